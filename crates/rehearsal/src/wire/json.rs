//! The awsJson 1.0 and 1.1 protocols: the operation in `X-Amz-Target`, JSON bodies.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Model, Operation};
use super::{Named, respond};

/// The operation and input of a request.
pub(super) fn decode<'m>(
    model: &'m Model,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Named<'m>, Map<String, Value>), ApiError> {
    let target = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let prefix = model.metadata.target_prefix.as_deref().unwrap_or_default();
    let action = target.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    let Some(named) = model.operations.get_key_value(action) else {
        return Err(super::unknown_operation(target));
    };
    Ok(((named.0, named.1), object(body)?))
}

/// Parses a JSON object; an empty body is an empty object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(input)) => Ok(input),
        Ok(_) => Err(ApiError::new("SerializationException", "expected a JSON object").with_status(400)),
        Err(e) => Err(ApiError::new("SerializationException", e.to_string()).with_status(400)),
    }
}

/// Encodes a response as JSON. Operations without output have a body too.
pub(super) fn encode(model: &Model, operation: &Operation, answer: Map<String, Value>) -> Response<Bytes> {
    let body =
        if model.output(operation).is_some() { Value::Object(answer).to_string() } else { String::new() };
    respond(200, content_type(model), Bytes::from(body))
}

/// `application/x-amz-json-1.1`, or the version the service speaks.
pub(super) fn content_type(model: &Model) -> &'static str {
    match model.metadata.json_version.as_deref() {
        Some("1.0") => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    }
}
