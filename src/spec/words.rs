//! The words for a value: its name, and its description and example in the schema.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::schema::own_schema;

/// The schema of the release spec.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(own_schema);

/// The schemas that the value at this pointer is validated against, references followed: one at every step, the last
/// being its own definition.
pub(super) fn schemas_of(pointer: &str) -> Vec<&'static Map<String, Value>> {
    let mut chain = Vec::new();
    let mut schema = SCHEMA.as_object();
    let mut steps = pointer.split('/').skip(1);
    while let Some(at) = schema {
        chain.push(at);
        let reference = at.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        let resolved =
            match reference.and_then(|reference| SCHEMA.pointer(reference)).and_then(Value::as_object) {
                Some(resolved) => {
                    chain.push(resolved);
                    resolved
                }
                None => at,
            };
        let Some(step) = steps.next() else { return chain };
        schema = if let Some(items) = resolved.get("items") {
            items.as_object()
        } else {
            // What describes a mapping does not describe the values of its keys.
            chain.clear();
            let known = resolved.get("properties").and_then(|properties| properties.get(step));
            known.or_else(|| resolved.get("additionalProperties")).and_then(Value::as_object)
        };
    }
    Vec::new()
}

/// The schema's description of a value: that of the key, or that of its type.
pub(super) fn description(schemas: &[&Map<String, Value>]) -> Option<String> {
    let text = schemas.iter().find_map(|schema| schema.get("description")?.as_str())?;
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    let first = letters.next()?;
    // An abbreviation keeps its capitals.
    if letters.next().is_some_and(|second| second.is_lowercase() || second == ' ') {
        return Some(format!("{}{}", first.to_lowercase(), text.get(first.len_utf8()..).unwrap_or_default()));
    }
    Some(text.to_owned())
}

/// An example of the value, in YAML's flow style.
pub(super) fn example(schemas: &[&Map<String, Value>]) -> Option<String> {
    let example = schemas.iter().rev().find_map(|schema| schema.get("examples")?.get(0))?;
    let of_a_list =
        schemas.last().is_some_and(|schema| schema.get("type").is_some_and(|kind| kind == "array"));
    let shown = |example: &Value| match example {
        Value::String(text) if text.parse::<f64>().is_err() => text.clone(),
        other => other.to_string(),
    };
    Some(match example {
        Value::Array(items) if of_a_list => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        // The list's example shows what an item of it may be.
        Value::Array(items) => shown(items.first()?),
        example => shown(example),
    })
}

/// A pointer as people read it: `promote.rolling.steps[1].percent`; the root is "the spec".
pub(super) fn dotted(pointer: &str) -> String {
    let mut name = String::new();
    for step in pointer.split('/').skip(1) {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            name.extend(["[", step, "]"]);
            continue;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(step.replace("~1", "/").replace("~0", "~").chars().take(80).flat_map(char::escape_debug));
    }
    if name.is_empty() { "the spec".to_owned() } else { name }
}

/// A lower-case text as the name that it nearly is.
pub(super) fn as_name(text: &str) -> Option<String> {
    let name: String = text.trim().replace(['_', '.', ' ', '/'], "-").chars().take(40).collect();
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let name = name.trim_matches('-');
    (!name.is_empty() && name.chars().all(allowed)).then(|| name.to_owned())
}
