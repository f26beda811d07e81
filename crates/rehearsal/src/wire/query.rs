//! The awsQuery protocol: form requests, XML responses (Auto Scaling, load balancing, STS; older `CloudWatch`
//! clients).

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::form::{Style, Tree};
use super::model::{Model, Operation};
use super::xml::Xml;
use super::{Named, respond};

/// Parses the form of a request: its body or, for GET, its query string.
pub(super) fn form(parts: &Parts, body: &Bytes) -> Result<Tree, ApiError> {
    let query = parts.uri.query().filter(|_| body.is_empty()).unwrap_or_default();
    if body.is_empty() {
        return Tree::parse(query);
    }
    let body = std::str::from_utf8(body)
        .map_err(|_| ApiError::new("MalformedQueryString", "the body is not UTF-8").with_status(400))?;
    Tree::parse(body)
}

/// Decodes the operation and input of a form.
pub(super) fn decode<'m>(
    model: &'m Model,
    parts: &Parts,
    body: &Bytes,
    style: Style,
) -> Result<(Named<'m>, Map<String, Value>), ApiError> {
    let mut tree = form(parts, body)?;
    let Some(action) = tree.take("Action") else {
        return Err(
            ApiError::new("MissingAction", "The request must contain the parameter Action").with_status(400)
        );
    };
    tree.take("Version");
    let Some((name, operation)) = model.operations.get_key_value(&action) else {
        return Err(invalid_action(model, &action));
    };
    let input = match model.input(operation) {
        Some(shape) => tree.structure(model, shape, style),
        None => Map::new(),
    };
    Ok(((name, operation), input))
}

fn invalid_action(model: &Model, action: &str) -> ApiError {
    let message = format!("The action {action} is not valid for {}", model.metadata.endpoint_prefix);
    ApiError::new("InvalidAction", message).with_status(400)
}

/// Encodes a response as XML.
pub(super) fn encode(
    model: &Model,
    (name, operation): (&str, &Operation),
    answer: &Map<String, Value>,
    request_id: &str,
) -> Result<Response<Bytes>, ApiError> {
    let mut xml = Xml::new(model);
    let namespace = model.metadata.xml_namespace.as_deref().unwrap_or_default();
    let envelope = format!("{name}Response");
    xml.open_in(&envelope, namespace)?;
    if let Some(shape) = model.output(operation) {
        let wrapper = operation.result_wrapper.clone().unwrap_or_else(|| format!("{name}Result"));
        xml.open(&wrapper)?;
        xml.structure(shape, answer)?;
        xml.close(&wrapper)?;
    }
    xml.open("ResponseMetadata")?;
    xml.text("RequestId", request_id)?;
    xml.close("ResponseMetadata")?;
    xml.close(&envelope)?;
    Ok(respond(200, "text/xml", xml.finish()))
}
