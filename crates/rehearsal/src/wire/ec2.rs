//! ec2Query: EC2's own dialect of forms and XML.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Model, Operation};
use super::respond;
use super::xml::Xml;

/// The answer as XML: members straight in the envelope, `return` for an operation that answers nothing.
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
