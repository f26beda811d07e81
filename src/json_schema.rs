//! JSON Schemas that strict validators accept: no formats and no keywords beside those of the draft.

use serde_json::Value;

/// Removes what is no keyword of the draft: the formats that Rust's types add (`uint32`), and keywords of our own (`x-`).
///
/// ajv refuses both in its default mode. It also refuses `date-time` unless a plugin is loaded: a pattern says it better.
pub fn remove_extensions(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    members.retain(|key, _| key != "format" && !key.starts_with("x-"));
    for (key, member) in members {
        match (key.as_str(), member) {
            // The keys of these are names that a file may have, not keywords.
            ("properties" | "patternProperties" | "$defs" | "dependentSchemas", Value::Object(schemas)) => {
                schemas.values_mut().for_each(remove_extensions);
            }
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(remove_extensions);
            }
            (
                "items"
                | "additionalProperties"
                | "propertyNames"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else",
                schema,
            ) => remove_extensions(schema),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_and_own_keywords_are_removed_and_properties_of_those_names_stay() {
        let mut schema = json!({
            "properties": {
                "format": { "type": "integer", "format": "uint32" },
                "x-max": { "anyOf": [{ "x-max": "5m" }, { "items": { "format": "double" } }] },
            },
            "$defs": { "A": { "additionalProperties": { "format": "date-time", "minimum": 0 } } },
            "examples": [{ "format": "uint32" }],
        });
        remove_extensions(&mut schema);
        assert_eq!(
            schema,
            json!({
                "properties": { "format": { "type": "integer" }, "x-max": { "anyOf": [{}, { "items": {} }] } },
                "$defs": { "A": { "additionalProperties": { "minimum": 0 } } },
                "examples": [{ "format": "uint32" }],
            })
        );
    }
}
