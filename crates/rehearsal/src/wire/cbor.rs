//! The Smithy RPC v2 CBOR protocol: the operation in the path, CBOR bodies. Current `CloudWatch` clients use it.

use bytes::Bytes;
use ciborium::Value as Cbor;
use http::request::Parts;
use http::{HeaderValue, Response};
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Operation, Shape};
use super::{Named, respond, text};

/// Epoch seconds (RFC 8949, 3.4.2).
const EPOCH_TAG: u64 = 1;
/// The value of the `smithy-protocol` header.
pub(super) const PROTOCOL: &str = "rpc-v2-cbor";

/// The operation and input of a request.
pub(super) fn decode<'m>(
    model: &'m Model,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Named<'m>, Map<String, Value>), ApiError> {
    let path = parts.uri.path();
    let action = path.rsplit_once("/operation/").map(|(_, action)| action).unwrap_or_default();
    let Some((name, operation)) = model.operations.get_key_value(action) else {
        return Err(super::unknown_operation(path));
    };
    let input = if body.is_empty() {
        Value::Object(Map::new())
    } else {
        let malformed = |e: String| ApiError::new("SerializationException", e).with_status(400);
        let cbor: Cbor = ciborium::from_reader(body.as_ref()).map_err(|e| malformed(e.to_string()))?;
        to_json(cbor).map_err(|e| malformed(e.to_owned()))?
    };
    match input {
        Value::Object(input) => Ok(((name, operation), input)),
        _ => Err(ApiError::new("SerializationException", "expected a CBOR map").with_status(400)),
    }
}

/// Converts CBOR to the JSON of handlers: bytes as base64, tagged dates as epoch seconds.
fn to_json(cbor: Cbor) -> Result<Value, &'static str> {
    Ok(match cbor {
        Cbor::Null => Value::Null,
        Cbor::Bool(b) => Value::Bool(b),
        Cbor::Integer(n) => {
            let n = i128::from(n);
            i64::try_from(n).map_or_else(|_| u64::try_from(n).map_or(Value::Null, Value::from), Value::from)
        }
        Cbor::Float(n) if n.is_finite() => text::number(n),
        Cbor::Float(n) if n.is_nan() => Value::from("NaN"),
        Cbor::Float(n) => Value::from(if n > 0.0 { "Infinity" } else { "-Infinity" }),
        Cbor::Text(t) => Value::String(t),
        Cbor::Bytes(b) => Value::String(text::base64_encode(&b)),
        Cbor::Array(entries) => Value::Array(entries.into_iter().map(to_json).collect::<Result<_, _>>()?),
        Cbor::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Cbor::Text(key) = key else { return Err("a map key is not text") };
                map.insert(key, to_json(value)?);
            }
            Value::Object(map)
        }
        Cbor::Tag(EPOCH_TAG, inner) => match to_json(*inner)? {
            Value::Number(n) => text::number(n.as_f64().unwrap_or_default()),
            _ => return Err("a date is not a number"),
        },
        _ => return Err("an unexpected CBOR item"),
    })
}

/// Encodes a response as CBOR.
pub(super) fn encode(
    model: &Model,
    operation: &Operation,
    answer: &Map<String, Value>,
) -> Result<Response<Bytes>, ApiError> {
    let body = match model.output(operation) {
        Some(shape) => bytes(&structure(model, shape, answer))?,
        None => Bytes::new(),
    };
    Ok(marked(respond(200, "application/cbor", body)))
}

/// Encodes the body of an error response.
pub(super) fn encode_error(error_type: &str, message: &str) -> Result<Bytes, ApiError> {
    let member = |name: &str, text: &str| (Cbor::Text(name.into()), Cbor::Text(text.into()));
    bytes(&Cbor::Map(vec![member("__type", error_type), member("message", message)]))
}

/// Sets the protocol header.
pub(super) fn marked(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert("smithy-protocol", HeaderValue::from_static(PROTOCOL));
    response
}

fn bytes(value: &Cbor) -> Result<Bytes, ApiError> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out)
        .map_err(|e| ApiError::new("InternalFailure", e.to_string()).with_status(500))?;
    Ok(out.into())
}

fn structure(model: &Model, shape: &Shape, value: &Map<String, Value>) -> Cbor {
    let entries = value.iter().filter_map(|(name, inner)| {
        let member = shape.members.get(name)?;
        Some((Cbor::Text(name.clone()), from_json(model, member, inner)))
    });
    Cbor::Map(entries.collect())
}

fn from_json(model: &Model, member: &Member, value: &Value) -> Cbor {
    let Some(shape) = model.shape(&member.shape) else { return Cbor::Null };
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(inner)) => structure(model, shape, inner),
        (Kind::List, Value::Array(entries)) => {
            let Some(entry) = &shape.member else { return Cbor::Null };
            Cbor::Array(entries.iter().map(|v| from_json(model, entry, v)).collect())
        }
        (Kind::Map, Value::Object(entries)) => {
            let Some(inner) = &shape.value else { return Cbor::Null };
            let pair = |(k, v): (&String, &Value)| (Cbor::Text(k.clone()), from_json(model, inner, v));
            Cbor::Map(entries.iter().map(pair).collect())
        }
        (Kind::Timestamp, Value::Number(n)) => {
            Cbor::Tag(EPOCH_TAG, Box::new(Cbor::Float(n.as_f64().unwrap_or_default())))
        }
        (Kind::Blob, Value::String(encoded)) => Cbor::Bytes(text::base64_decode(encoded).unwrap_or_default()),
        (Kind::Float | Kind::Double, Value::Number(n)) => Cbor::Float(n.as_f64().unwrap_or_default()),
        (Kind::Float | Kind::Double, Value::String(name)) => Cbor::Float(match name.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => f64::NAN,
        }),
        (_, Value::Number(n)) => n.as_i64().map_or(Cbor::Null, |n| Cbor::Integer(n.into())),
        (_, Value::Bool(b)) => Cbor::Bool(*b),
        (_, Value::String(text)) => Cbor::Text(text.clone()),
        _ => Cbor::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model;
    use super::*;

    #[test]
    fn dates_and_bytes_round_trip() {
        let model = model::of("cloudwatch").unwrap();
        let operation = &model.operations["GetMetricData"];
        let answer = json!({"MetricDataResults": [
            {"Id": "a", "Timestamps": [1_700_000_000.5], "Values": [1.0, 2.5], "StatusCode": "Complete"},
        ]});
        let response = encode(model, operation, answer.as_object().unwrap()).unwrap();
        let cbor: Cbor = ciborium::from_reader(response.body().as_ref()).unwrap();
        assert_eq!(to_json(cbor).unwrap(), answer);
        assert_eq!(response.headers()["smithy-protocol"], PROTOCOL);
    }

    #[test]
    fn values_without_a_json_form_are_rejected_or_converted() {
        assert_eq!(to_json(Cbor::Float(f64::NAN)).unwrap(), json!("NaN"));
        assert!(to_json(Cbor::Map(vec![(Cbor::Null, Cbor::Null)])).is_err());
        assert!(to_json(Cbor::Tag(1, Box::new(Cbor::Text("now".into())))).is_err());
    }
}
