//! The rules for keys and values of a spec, as far as the schema shows them.

use serde_json::{Map, Value};

use super::super::one_of;
use super::super::schema;

/// Every schema with keys: its name and its properties.
fn mappings(schema: &Value) -> Vec<(String, &Map<String, Value>)> {
    let definitions = schema["$defs"].as_object().expect("definitions");
    let all = std::iter::once(("the spec", schema))
        .chain(definitions.iter().map(|(name, one)| (name.as_str(), one)));
    all.filter(|(_, one)| one.get("properties").is_some())
        .filter_map(|(name, one)| Some((name.to_owned(), one.as_object()?)))
        .collect()
}

fn properties(mapping: &Map<String, Value>) -> &Map<String, Value> {
    mapping["properties"].as_object().expect("properties")
}

/// The schema itself, or the definition that it refers to.
fn resolved<'s>(schema: &'s Value, one: &'s Value) -> &'s Value {
    match one.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).expect("the definition exists"),
        None => one,
    }
}

fn is_snake_case(word: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    word.starts_with(|first: char| first.is_ascii_lowercase()) && word.chars().all(allowed)
}

#[test]
fn keys_and_words_are_snake_case() {
    fn check(one: &Value) {
        match one {
            Value::Object(members) => {
                for word in members.get("enum").and_then(Value::as_array).into_iter().flatten() {
                    assert!(word.as_str().is_some_and(is_snake_case), "{word}");
                }
                members.values().for_each(check);
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    let schema = schema();
    check(&schema);
    for (name, mapping) in mappings(&schema) {
        assert!(properties(mapping).keys().all(|key| is_snake_case(key)), "{name}");
    }
}

#[test]
fn the_variants_of_a_choice_between_keys_are_mappings() {
    let schema = schema();
    let mut sets = 0;
    for (name, mapping) in mappings(&schema) {
        let Some(keys) = one_of::keys(mapping) else { continue };
        // A path or an ARN names the document of a component: neither needs keys of its own.
        if name == "Component" {
            continue;
        }
        sets += 1;
        for key in keys {
            let variant = resolved(&schema, &properties(mapping)[key]);
            assert_eq!(variant["type"], "object", "{name}.{key}");
        }
    }
    assert_eq!(sets, 7, "bake, test, check, promote, target, judge metric, on_inconclusive");
}

#[test]
fn free_maps_hold_texts() {
    let schema = schema();
    for (name, mapping) in mappings(&schema) {
        for (key, value) in properties(mapping) {
            let value = resolved(&schema, value);
            let Some(values) = value.get("additionalProperties").filter(|values| values.is_object()) else {
                continue;
            };
            // Systems Manager's own form: each parameter is a list of texts.
            let values = if name == "Document" { &values["items"] } else { values };
            assert_eq!(resolved(&schema, values)["type"], "string", "{name}.{key}");
        }
    }
}

#[test]
fn no_mapping_takes_unknown_keys() {
    let schema = schema();
    for (name, mapping) in mappings(&schema) {
        assert_eq!(mapping.get("additionalProperties"), Some(&Value::Bool(false)), "{name}");
    }
}

#[test]
fn bounds_and_references_have_their_words() {
    let schema = schema();
    for (name, mapping) in mappings(&schema) {
        for key in properties(mapping).keys() {
            for word in ["at_most", "at_least", "most", "least", "longest", "within_", "no_", "not_"] {
                assert!(!key.starts_with(word), "{name}.{key}");
            }
            for word in ["_arn", "_id", "_name", "_seconds", "_minutes", "_at_most", "_at_least"] {
                assert!(!key.ends_with(word), "{name}.{key}");
            }
        }
    }
}
