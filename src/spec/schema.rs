//! The JSON Schema of the release spec, derived from the types in [`super::release`].

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::release::ReleaseSpec;
use crate::json_schema::remove_extensions;

/// Id of the schema. `bakeline schema` prints it; nothing is served at this address.
pub const ID: &str = "https://bakeline.dev/schema/release/v2";

/// The JSON Schema (draft 2020-12) of `bakeline.yaml`, the same at every call: without keywords of our own, which strict
/// validators refuse. Descriptions say the bounds of a duration.
#[must_use]
pub fn schema() -> Value {
    let mut schema = own_schema();
    describe_bounds(&mut schema);
    remove_extensions(&mut schema);
    schema
}

/// The schema that specs are checked against. Two keywords of our own, `x-min` and `x-max`, are the bounds of a duration.
pub(super) fn own_schema() -> Value {
    let derived = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ReleaseSpec>();
    let mut derived = derived.to_value();
    remove_backticks(&mut derived);
    let Value::Object(mut members) = derived else {
        // The derived schema of a struct is always an object.
        return Value::Bool(true);
    };
    members.insert("$id".to_owned(), Value::from(ID));
    members.insert("title".to_owned(), Value::from("bakeline release spec"));
    let mut ordered = serde_json::Map::new();
    for key in ["$schema", "$id", "title", "description"] {
        ordered.extend(members.shift_remove_entry(key));
    }
    ordered.append(&mut members);
    Value::Object(ordered)
}

/// Adds the bounds of durations to their descriptions.
fn describe_bounds(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let bound = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
            let bounds = match (bound("x-min"), bound("x-max")) {
                (Some(min), Some(max)) => Some(format!("From {min} to {max}.")),
                (Some(min), None) => Some(format!("At least {min}.")),
                (None, Some(max)) => Some(format!("At most {max}.")),
                (None, None) => None,
            };
            if let (Some(bounds), Some(Value::String(text))) = (bounds, members.get_mut("description")) {
                text.push(' ');
                text.push_str(&bounds);
            }
            members.values_mut().for_each(describe_bounds);
        }
        Value::Array(items) => items.iter_mut().for_each(describe_bounds),
        _ => {}
    }
}

/// Descriptions are doc comments; editors show them as plain text, without backticks.
fn remove_backticks(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if key == "description" => text.retain(|letter| letter != '`'),
                    member => remove_backticks(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(remove_backticks),
        _ => {}
    }
}
