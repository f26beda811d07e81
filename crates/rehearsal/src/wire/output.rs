//! Validates responses against the model before encoding: a response that does not conform is a bug of the embedded
//! AWS.

use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Operation, Shape};

/// Checks that every member of a response is in the model, and removes null members.
///
/// # Errors
/// `InternalFailure` naming the operation and the member.
pub fn conform(
    model: &Model,
    (name, operation): (&str, &Operation),
    answer: Value,
) -> Result<Map<String, Value>, ApiError> {
    let wrong = |what: String| {
        ApiError::new("InternalFailure", format!("the answer of {} {name}: {what}", model.service))
            .with_status(500)
    };
    let answer = match answer {
        Value::Object(answer) => answer,
        Value::Null => Map::new(),
        _ => return Err(wrong("not an object".to_owned())),
    };
    match model.output(operation) {
        Some(shape) => structure(model, shape, answer, "").map_err(wrong),
        None if answer.is_empty() => Ok(answer),
        None => Err(wrong("the operation answers nothing".to_owned())),
    }
}

fn structure(
    model: &Model,
    shape: &Shape,
    value: Map<String, Value>,
    path: &str,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (name, inner) in value {
        if inner.is_null() {
            continue;
        }
        let path = format!("{path}/{name}");
        let Some(member) = shape.members.get(&name) else {
            return Err(format!("{path} is not in the model"));
        };
        out.insert(name, conform_member(model, member, inner, &path)?);
    }
    Ok(out)
}

fn conform_member(model: &Model, member: &Member, value: Value, path: &str) -> Result<Value, String> {
    let Some(shape) = model.shape(&member.shape) else { return Err(format!("{path} has no shape")) };
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(inner)) => structure(model, shape, inner, path).map(Value::Object),
        (Kind::List, Value::Array(entries)) => {
            let Some(entry) = &shape.member else { return Err(format!("{path} has no entries")) };
            let conformed = entries.into_iter().enumerate();
            conformed.map(|(i, v)| conform_member(model, entry, v, &format!("{path}/{i}"))).collect()
        }
        (Kind::Map, Value::Object(entries)) => {
            let Some(inner) = &shape.value else { return Err(format!("{path} has no values")) };
            let mut out = Map::new();
            for (key, v) in entries {
                let v = conform_member(model, inner, v, &format!("{path}/{key}"))?;
                out.insert(key, v);
            }
            Ok(Value::Object(out))
        }
        (kind, value) if fits(kind, &value) => Ok(value),
        (kind, value) => Err(format!("{path} should be {kind:?}, not {value}")),
    }
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::String | Kind::Character | Kind::Blob => value.is_string(),
        Kind::Boolean => value.is_boolean(),
        Kind::Integer | Kind::Long => value.is_i64() || value.is_u64(),
        Kind::Float | Kind::Double | Kind::Timestamp => value.is_number(),
        Kind::Structure | Kind::List | Kind::Map => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model;
    use super::*;

    fn conformed(answer: Value) -> Result<Value, String> {
        let model = model::of("sts").unwrap();
        let (name, operation) = model.operations.get_key_value("GetCallerIdentity").unwrap();
        conform(model, (name, operation), answer).map(Value::Object).map_err(|e| e.message)
    }

    #[test]
    fn null_members_are_removed_and_unknown_members_are_errors() {
        assert_eq!(conformed(json!({"Account": "1", "Arn": null})), Ok(json!({"Account": "1"})));
        assert!(conformed(json!({"account": "1"})).unwrap_err().contains("/account is not in the model"));
        assert!(conformed(json!({"Account": 1})).unwrap_err().contains("/Account should be String"));
        assert!(conformed(json!([])).is_err());
    }
}
