//! Sets of keys of which exactly one is given: how the JSON Schema states them.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// The schema's `oneOf` for a mapping that has exactly one of these keys.
pub(super) fn one_of(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

/// The keys of a `oneOf` that [`one_of`] made; none for any other schema.
pub(super) fn keys(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    let alternatives = schema.get("oneOf")?.as_array()?;
    alternatives.iter().map(|one| one.get("required")?.get(0)?.as_str()).collect()
}

/// Turns the schema of an enum, an alternative for each variant, into one mapping whose keys are the variants.
///
/// Editors and our own messages then know the keys, as they know those of any other mapping.
pub(super) fn as_mapping(schema: &mut Schema) {
    let Some(Value::Array(alternatives)) = schema.remove("oneOf") else { return };
    let mut properties = Map::new();
    for alternative in alternatives {
        let description = alternative.get("description").cloned();
        let Some(Value::Object(variant)) = alternative.get("properties") else { continue };
        for (key, value) in variant {
            let mut value = value.clone();
            if let (Some(description), Some(value)) = (&description, value.as_object_mut()) {
                value.insert("description".to_owned(), description.clone());
            }
            properties.insert(key.clone(), value);
        }
    }
    let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
    let alternatives = one_of(&keys);
    schema.insert("type".to_owned(), "object".into());
    schema.insert("oneOf".to_owned(), alternatives);
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), false.into());
}
