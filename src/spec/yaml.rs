//! Reads a YAML file into a JSON value, with the position of every part of it.
//!
//! The reader supports what a spec needs: one document, YAML 1.2 core types, keys that are plain text. It refuses aliases,
//! tags and duplicate keys, so that a reviewer sees what runs, and it limits depth, size and the number of values. It
//! folds the parser's events with a stack: nothing recurses.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::problem::{Position, SpecProblem, quoted};

/// Maximum size of a file, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
const MAX_DEPTH: usize = 16;
const MAX_VALUES: usize = 10_000;
const MAX_KEY: usize = 255;

/// Position of a value.
#[derive(Clone, Debug)]
struct Positions {
    key: Option<Position>,
    value: Position,
    /// Text of a plain scalar: `012345678901` is a number, but its author meant these digits.
    written: Option<String>,
}

/// Value of a file, and the positions of its parts by JSON pointer.
#[derive(Debug)]
pub(super) struct Document {
    pub value: Value,
    positions: HashMap<String, Positions>,
    /// Pointers of values that could not be read; they are null.
    unread: Vec<String>,
}

impl Document {
    /// Position of the value, or of its key if the value is empty or a collection.
    pub fn position(&self, pointer: &str) -> Position {
        let value = self.value.pointer(pointer);
        let by_key = value.is_none_or(|value| value.is_null() || value.is_object() || value.is_array());
        self.nearest(pointer)
            .map_or(Position::START, |found| found.key.filter(|_| by_key).unwrap_or(found.value))
    }

    /// Position of the value's key, or of the value if it has none.
    pub fn key_position(&self, pointer: &str) -> Position {
        self.nearest(pointer).map_or(Position::START, |found| found.key.unwrap_or(found.value))
    }

    /// Text of a plain scalar, as it is in the file.
    pub fn written(&self, pointer: &str) -> Option<&str> {
        self.nearest(pointer).and_then(|found| found.written.as_deref())
    }

    /// Whether the value could not be read, so that no other message is about it.
    pub fn is_unread(&self, pointer: &str) -> bool {
        self.unread.iter().any(|unread| unread == pointer)
    }

    /// Position of the value, or of the nearest one around it.
    fn nearest(&self, pointer: &str) -> Option<&Positions> {
        let mut pointer = pointer;
        loop {
            if let Some(found) = self.positions.get(pointer) {
                return Some(found);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// The pointer of a member of the value at `parent` (RFC 6901).
pub(super) fn member(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Reads a file. Returns its mistakes, and all that could be read beside them.
pub(super) fn read(bytes: &[u8]) -> (Option<Document>, Vec<SpecProblem>) {
    if bytes.len() > MAX_BYTES {
        let what = format!("the file has {} bytes", bytes.len());
        return (None, vec![fatal(Position::START, what, "at most 256 KiB")]);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => crate::text::yaml(text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            return (None, vec![fatal(end_of(valid), "the file is not UTF-8 text here".to_owned(), "UTF-8")]);
        }
    };
    let mut fold = Fold::default();
    let mut parser = Parser::new_from_str(&text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => fold.take(event, position(span.start)),
            Err(error) => {
                let at = position(*error.marker());
                let mut problem = fatal(at, format!("not YAML: {}", error.info()), "YAML 1.2");
                let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
                if line.trim_start_matches(' ').starts_with('\t') {
                    problem.hint = Some("indent with spaces: YAML allows no tabs there".to_owned());
                }
                if error.info().contains("unknown anchor") {
                    problem.hint = Some(
                        "put it in quotes if it is meant as text: this reader supports no aliases".to_owned(),
                    );
                }
                Err(problem)
            }
        };
        if let Err(problem) = step {
            fold.problems.push(problem);
            return (None, fold.problems);
        }
    }
    let Some(value) = fold.root else {
        fold.problems.push(fatal(Position::START, "the file is empty".to_owned(), "a release spec"));
        return (None, fold.problems);
    };
    (Some(Document { value, positions: fold.positions, unread: fold.unread }), fold.problems)
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn end_of(valid: &[u8]) -> Position {
    let text = String::from_utf8_lossy(valid);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

fn fatal(at: Position, what: String, expected: &str) -> SpecProblem {
    SpecProblem { at, pointer: String::new(), what, expected: Some(expected.to_owned()), hint: None }
}

enum Frame {
    Mapping { pointer: String, members: Map<String, Value>, key: Option<Key> },
    Sequence { pointer: String, items: Vec<Value> },
}

struct Key {
    text: String,
    at: Position,
    /// Whether the mapping has the key already; its second value is dropped.
    again: bool,
}

/// The state of reading: open collections, and what is known so far.
#[derive(Default)]
struct Fold {
    open: Vec<Frame>,
    root: Option<Value>,
    positions: HashMap<String, Positions>,
    unread: Vec<String>,
    problems: Vec<SpecProblem>,
    values: usize,
}

impl Fold {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), SpecProblem> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(fatal(at, "a second document begins here".to_owned(), "one document"));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
            Event::Scalar(text, style, _, tag) => {
                if self.expects_key() {
                    return self.key(&text, at);
                }
                let pointer = self.enter(at)?;
                let plain = style == ScalarStyle::Plain;
                let value = if let Some(tag) = tag {
                    let what = format!("the value has a YAML tag ({tag})");
                    self.refuse(&pointer, at, what, "a plain value", "remove the tag");
                    Value::Null
                } else if plain {
                    self.resolve(&pointer, &text, at)
                } else {
                    Value::String(text.clone().into_owned())
                };
                if plain && let Some(found) = self.positions.get_mut(&pointer) {
                    found.written = Some(text.into_owned());
                }
                self.put(value);
            }
            Event::Alias(_) => {
                if self.expects_key() {
                    return Err(fatal(at, "an alias is used as a key".to_owned(), "a name"));
                }
                let pointer = self.enter(at)?;
                let what = "the value is a YAML alias (*)".to_owned();
                self.refuse(
                    &pointer,
                    at,
                    what,
                    "the value itself",
                    "write the value out: this reader supports no aliases",
                );
                self.put(Value::Null);
            }
            Event::SequenceStart(_, tag) => {
                let pointer = self.open_collection(at, tag.is_some())?;
                self.open.push(Frame::Sequence { pointer, items: Vec::new() });
            }
            Event::MappingStart(_, tag) => {
                let pointer = self.open_collection(at, tag.is_some())?;
                self.open.push(Frame::Mapping { pointer, members: Map::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Frame::Mapping { members, .. }) => self.put(Value::Object(members)),
                Some(Frame::Sequence { items, .. }) => self.put(Value::Array(items)),
                None => {}
            },
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame::Mapping { key: None, .. }))
    }

    fn open_collection(&mut self, at: Position, tagged: bool) -> Result<String, SpecProblem> {
        if self.expects_key() {
            return Err(fatal(at, "a collection is used as a key".to_owned(), "a name"));
        }
        if self.open.len() >= MAX_DEPTH {
            let what = format!("values are nested more than {MAX_DEPTH} deep here");
            return Err(fatal(at, what, "a release spec, which is at most 9 deep"));
        }
        let pointer = self.enter(at)?;
        if tagged {
            self.refuse(
                &pointer,
                at,
                "the value has a YAML tag".to_owned(),
                "a plain value",
                "remove the tag",
            );
        }
        Ok(pointer)
    }

    fn key(&mut self, text: &str, at: Position) -> Result<(), SpecProblem> {
        if text.len() > MAX_KEY {
            return Err(fatal(at, format!("a key of {} bytes", text.len()), "a key of at most 255 bytes"));
        }
        let Some(Frame::Mapping { pointer, members, key }) = self.open.last_mut() else {
            return Ok(());
        };
        let again = members.contains_key(text);
        *key = Some(Key { text: text.to_owned(), at, again });
        if again {
            let pointer = member(pointer, text);
            let first = self.positions.get(&pointer).and_then(|found| found.key);
            let hint = first.map(|first| format!("the first one is in line {}", first.line));
            let what = format!("the key {} is given twice", quoted(text));
            let expected = Some("every key once".to_owned());
            self.problems.push(SpecProblem { at, pointer, what, expected, hint });
        }
        Ok(())
    }

    /// The pointer of the value that begins here. Stores its position.
    fn enter(&mut self, at: Position) -> Result<String, SpecProblem> {
        self.values += 1;
        if self.values > MAX_VALUES {
            let what = format!("more than {MAX_VALUES} values");
            return Err(fatal(at, what, "a release spec, which has far fewer"));
        }
        let (pointer, key) = match self.open.last() {
            None => (String::new(), None),
            Some(Frame::Sequence { pointer, items }) => (format!("{pointer}/{}", items.len()), None),
            Some(Frame::Mapping { pointer, key, .. }) => match key {
                // `~2` is no escape of RFC 6901: no pointer finds the dropped value.
                Some(key) if key.again => (format!("{}~2", member(pointer, &key.text)), Some(key.at)),
                Some(key) => (member(pointer, &key.text), Some(key.at)),
                None => (pointer.clone(), None),
            },
        };
        self.positions.insert(pointer.clone(), Positions { key, value: at, written: None });
        Ok(pointer)
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Frame::Sequence { items, .. }) => items.push(value),
            Some(Frame::Mapping { members, key, .. }) => {
                if let Some(key) = key.take()
                    && !key.again
                {
                    members.insert(key.text, value);
                }
            }
        }
    }

    fn refuse(&mut self, pointer: &str, at: Position, what: String, expected: &str, hint: &str) {
        self.unread.push(pointer.to_owned());
        self.problems.push(SpecProblem {
            at,
            pointer: pointer.to_owned(),
            what,
            expected: Some(expected.to_owned()),
            hint: Some(hint.to_owned()),
        });
    }

    /// A plain scalar by the core schema (YAML 1.2.2, section 10.3.2).
    fn resolve(&mut self, pointer: &str, text: &str, at: Position) -> Value {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" | "True" | "TRUE" => return Value::Bool(true),
            "false" | "False" | "FALSE" => return Value::Bool(false),
            _ => {}
        }
        let Some(number) = number(text) else { return Value::String(text.to_owned()) };
        // A whole number is one whether it is written 25 or 25.0: JSON Schema and serde then agree about it.
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        let whole = (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        if let Some(number) = whole.map(Number::from).or_else(|| Number::from_f64(number)) {
            return Value::Number(number);
        }
        let what = format!("{} is not a finite number", quoted(text));
        self.refuse(pointer, at, what, "a number", "put it in quotes if it is meant as text");
        Value::Null
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no number in a spec is beyond 2^53; one that is fails its bounds"
)]
fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8)
            .ok()
            .filter(|_| !digits.starts_with('+'))
            .map(|number| number as f64);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| !digits.starts_with('+'))
            .map(|number| number as f64);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        _ => {}
    }
    let begins = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let of_a_number =
        |letter: u8| letter.is_ascii_digit() || matches!(letter, b'.' | b'e' | b'E' | b'+' | b'-');
    (begins && unsigned.bytes().all(of_a_number)).then(|| text.parse().ok()).flatten()
}
