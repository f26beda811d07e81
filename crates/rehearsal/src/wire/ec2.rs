//! The ec2Query protocol: EC2's variant of form requests and XML responses.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Model, Operation};
use super::respond;
use super::xml::Xml;

/// Encodes a response as XML: members directly in the envelope, or `return` for an operation without output.
pub(super) fn encode(
    model: &Model,
    (name, operation): (&str, &Operation),
    answer: &Map<String, Value>,
    request_id: &str,
) -> Result<Response<Bytes>, ApiError> {
    let mut xml = Xml::new(model);
    let envelope = format!("{name}Response");
    let namespace = format!("http://ec2.amazonaws.com/doc/{}/", model.metadata.api_version);
    xml.open_in(&envelope, &namespace)?;
    xml.text("requestId", request_id)?;
    match model.output(operation) {
        Some(shape) => xml.structure(shape, answer)?,
        None => xml.text("return", "true")?,
    }
    xml.close(&envelope)?;
    Ok(respond(200, "text/xml;charset=UTF-8", xml.finish()))
}
