//! When a disturbed run has become the undisturbed one again, so that the rest of it need not be run.
//!
//! Between two slices everything lies in the continuation token and in AWS. A disturbed run whose token and whose world
//! equal those of the undisturbed run at some such moment goes on as the undisturbed run did. Times are left out of the
//! comparison, and so are identifiers: another run draws others.

use std::collections::BTreeMap;

use bakeline_rehearsal::transcript::Record;
use serde_json::Value;

use crate::trail::Trail;

/// The undisturbed run between two slices.
pub struct Checkpoint {
    /// Calls so far.
    pub calls: usize,
    token: Value,
    trail: Trail,
}

/// The checkpoints of an undisturbed run, by their calls.
#[derive(Default)]
pub struct Checkpoints(Vec<Checkpoint>);

impl Checkpoints {
    /// Adds the moment after so many calls, if a slice has ended since the last one.
    pub fn add(&mut self, calls: usize, token: Option<Value>, trail: impl FnOnce() -> Trail) {
        if self.0.last().is_some_and(|last| last.calls == calls) {
            return;
        }
        if let Some(token) = token {
            self.0.push(Checkpoint { calls, token, trail: trail() });
        }
    }

    /// The first checkpoint after `call` that a disturbed run has reached, if any: the same token, and the same world.
    pub fn reached(&self, call: usize, token: &Value, trail: impl FnOnce() -> Trail) -> Option<&Checkpoint> {
        let mut alike = self.0.iter().filter(|at| at.calls > call && at.token == *token).peekable();
        alike.peek()?;
        let trail = trail();
        alike.find(|at| at.trail == trail)
    }
}

/// The last token that CodePipeline took, without times and identifiers. None while a fault is counted in it: the step
/// that met the fault has not been repeated yet.
pub fn reported_token(records: &[Record]) -> Option<Value> {
    let result =
        records.iter().rev().find(|record| record.operation == "PutJobSuccessResult" && record.applied)?;
    let mut token: Value = serde_json::from_str(result.input["continuationToken"].as_str()?).ok()?;
    if token["faults"] != 0 {
        return None;
    }
    let members = token.as_object_mut()?;
    for time in ["started", "not_before", "deadline", "slices"] {
        members.remove(time);
    }
    let mut names = BTreeMap::new();
    Some(anonymous(token, &mut names))
}

/// A value in which every identifier is replaced by its place in the order of first appearance, and every time by a word.
fn anonymous(value: Value, names: &mut BTreeMap<String, usize>) -> Value {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(|number| number > 1e9) => "a time".into(),
        Value::String(text) => {
            let mut shown = String::new();
            for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
                let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                if word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit()) {
                    let next = names.len();
                    let place = *names.entry(word.to_owned()).or_insert(next);
                    shown.extend(["#", &place.to_string(), &part[word.len()..]]);
                } else {
                    shown.push_str(part);
                }
            }
            shown.into()
        }
        Value::Array(values) => values.into_iter().map(|value| anonymous(value, names)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, anonymous(value, names))).collect()
        }
        other => other,
    }
}

#[test]
fn times_and_identifiers_do_not_count_and_everything_else_does() {
    let anonymous = |text: &str| anonymous(serde_json::from_str(text).unwrap(), &mut BTreeMap::new());
    let one = anonymous(r#"{"at":"x","ami":"ami-0123456789abcdef0","since":1767225600,"seen":1}"#);
    for (other, same) in [
        (r#"{"at":"x","ami":"ami-0fedcba9876543210","since":1767229999,"seen":1}"#, true),
        (r#"{"at":"x","ami":"ami-0123456789abcdef0","since":1767225600,"seen":2}"#, false),
        (r#"{"at":"y","ami":"ami-0123456789abcdef0","since":1767225600,"seen":1}"#, false),
        (r#"{"at":"x","ami":"snap-0123456789abcdef0","since":1767225600,"seen":1}"#, false),
    ] {
        assert_eq!(anonymous(other) == one, same, "{other}");
    }
    // Which identifier stands where does count.
    let two = anonymous(r#"["i-0123456789abcdef0","i-0123456789abcdef0"]"#);
    assert_ne!(two, anonymous(r#"["i-0123456789abcdef0","i-0fedcba9876543210"]"#));
}
