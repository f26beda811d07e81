//! The restJson1 protocol: the operation in method and path, members in path, query, headers and a JSON body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Operation};
use super::{Named, json, respond, text};

/// The operation and input of a request.
pub(super) fn decode<'m>(
    model: &'m Model,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Named<'m>, Map<String, Value>), ApiError> {
    let path = parts.uri.path();
    let found = model.operations.iter().find_map(|(name, operation)| {
        let labels = (operation.http.method == parts.method.as_str())
            .then(|| match_path(&operation.http.request_uri, path))
            .flatten()?;
        Some((name, operation, labels))
    });
    let Some((name, operation, labels)) = found else {
        return Err(super::unknown_operation(&format!("{} {path}", parts.method)).with_status(404));
    };
    let mut input = json::object(body)?;
    let Some(shape) = model.input(operation) else { return Ok(((name, operation), input)) };
    let query = text::pairs(parts.uri.query().unwrap_or_default());
    for (member_name, member) in &shape.members {
        let wire_name = member.location_name.as_deref().unwrap_or(member_name);
        let value = match member.location.as_deref() {
            Some("uri") => {
                labels.iter().find(|(label, _)| label == wire_name).map(|(_, v)| scalar(model, member, v))
            }
            Some("querystring") => from_query(model, member, wire_name, &query),
            Some("header") => {
                parts.headers.get(wire_name).and_then(|v| v.to_str().ok()).map(|v| scalar(model, member, v))
            }
            _ => continue,
        };
        input.remove(member_name);
        input.extend(value.map(|v| (member_name.clone(), v)));
    }
    Ok(((name, operation), input))
}

/// Matches a path with a template and decodes its labels. A label may contain an encoded `/`.
fn match_path(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let template = template.split('?').next()?;
    let (expected, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    if expected.len() != given.len() {
        return None;
    }
    let mut labels = Vec::new();
    for (expected, given) in expected.into_iter().zip(given) {
        match expected.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
            Some(label) if !given.is_empty() => {
                labels.push((label.trim_end_matches('+').to_owned(), text::percent_decode(given, false)));
            }
            None if expected == given => {}
            _ => return None,
        }
    }
    Some(labels)
}

fn from_query(model: &Model, member: &Member, name: &str, query: &[(String, String)]) -> Option<Value> {
    let values: Vec<&str> = query.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
    let shape = model.shape(&member.shape)?;
    match (&shape.member, values.first()) {
        (_, None) => None,
        (Some(entry), _) => Some(values.iter().map(|v| scalar(model, entry, v)).collect()),
        (None, Some(first)) => Some(scalar(model, member, first)),
    }
}

fn scalar(model: &Model, member: &Member, text: &str) -> Value {
    let parsed = match model.shape(&member.shape).map(|shape| shape.kind) {
        Some(Kind::Boolean) => text.parse().ok().map(Value::Bool),
        Some(Kind::Integer | Kind::Long) => text.parse::<i64>().ok().map(Value::from),
        Some(Kind::Float | Kind::Double) => text.parse::<f64>().ok().map(text::number),
        Some(Kind::Timestamp) => text::parse_date(text).map(text::number),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Encodes a response: some members as headers, the others as JSON, or the payload member as the body.
pub(super) fn encode(
    model: &Model,
    operation: &Operation,
    mut answer: Map<String, Value>,
) -> Result<Response<Bytes>, ApiError> {
    let status = operation.http.response_code.unwrap_or(200);
    let shape = model.output(operation);
    let mut headers = Vec::new();
    for (name, member) in shape.iter().flat_map(|shape| &shape.members) {
        if member.location.as_deref() == Some("header")
            && let Some(value) = answer.remove(name)
        {
            headers.push(header(member.location_name.as_deref().unwrap_or(name), &value)?);
        }
    }
    let mut response = match shape.and_then(|shape| shape.payload.as_deref()) {
        Some(name) => respond(status, "application/octet-stream", payload(name, answer.remove(name))?),
        None => respond(status, "application/json", Bytes::from(Value::Object(answer).to_string())),
    };
    response.headers_mut().extend(headers);
    Ok(response)
}

fn header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), ApiError> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(text)) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(defect(format!("{name} cannot be a header"))),
    }
}

/// Encodes a blob payload as the body.
fn payload(name: &str, value: Option<Value>) -> Result<Bytes, ApiError> {
    let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).map(Bytes::from).map_err(|_| defect(format!("the payload {name} is not base64")))
}

fn defect(what: String) -> ApiError {
    ApiError::new("InternalFailure", what).with_status(500)
}

#[cfg(test)]
mod tests {
    use super::match_path;

    #[test]
    fn a_label_can_contain_an_encoded_slash() {
        let labels = match_path("/tags/{resourceArn}", "/tags/arn%3Aaws%3Aimage%2Fx").unwrap();
        assert_eq!(labels, [("resourceArn".to_owned(), "arn:aws:image/x".to_owned())]);
        assert!(match_path("/tags/{resourceArn}", "/tags/").is_none());
        assert!(match_path("/tags/{resourceArn}", "/tags/a/b").is_none());
        assert!(match_path("/GetImage", "/GetImagePipeline").is_none());
    }
}
