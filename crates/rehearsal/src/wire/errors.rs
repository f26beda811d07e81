//! Error responses: body, headers and status in each protocol.

use bytes::Bytes;
use http::{HeaderValue, Response};
use serde_json::json;

use super::super::call::ApiError;
use super::model::{Model, Shape};
use super::xml::Xml;
use super::{Protocol, cbor, json, respond};

/// Encodes an error response in a protocol.
#[must_use]
pub fn encode(model: &Model, protocol: Protocol, error: &ApiError, request_id: &str) -> Response<Bytes> {
    let known = model.error(&error.code);
    let shape_name = known.map_or(error.code.as_str(), |(name, _)| name);
    let wire_code = known.and_then(|(_, shape)| shape.error.as_ref()?.code.as_deref()).unwrap_or(shape_name);
    let status =
        error.status.unwrap_or_else(|| status_of(&error.code, known.map(|(_, shape)| shape), protocol));
    let sender = if status < 500 { "Sender" } else { "Receiver" };
    match protocol {
        Protocol::Json | Protocol::RestJson => {
            let mut body = json!({ message_member(known): error.message });
            if protocol == Protocol::Json {
                body["__type"] = shape_name.into();
            }
            let content_type =
                if protocol == Protocol::Json { json::content_type(model) } else { "application/json" };
            let response = respond(status, content_type, Bytes::from(body.to_string()));
            with_header(response, "x-amzn-errortype", shape_name)
        }
        Protocol::Cbor => {
            let error_type = format!("com.amazonaws.{}#{shape_name}", model.service);
            let body = cbor::encode_error(&error_type, &error.message).unwrap_or_default();
            let response = cbor::marked(respond(status, "application/cbor", body));
            // CloudWatch migrated from awsQuery: clients expect the old error code in this header.
            with_header(response, "x-amzn-query-error", &format!("{wire_code};{sender}"))
        }
        Protocol::Query => {
            let write = || -> Result<Bytes, ApiError> {
                let mut xml = Xml::new(model);
                xml.open_in("ErrorResponse", model.metadata.xml_namespace.as_deref().unwrap_or_default())?;
                xml.open("Error")?;
                xml.text("Type", sender)?;
                xml.text("Code", wire_code)?;
                xml.text("Message", &error.message)?;
                xml.close("Error")?;
                xml.text("RequestId", request_id)?;
                xml.close("ErrorResponse")?;
                Ok(xml.finish())
            };
            respond(status, "text/xml", write().unwrap_or_default())
        }
        Protocol::Ec2 => {
            let write = || -> Result<Bytes, ApiError> {
                let mut xml = Xml::new(model);
                xml.open("Response")?;
                xml.open("Errors")?;
                xml.open("Error")?;
                xml.text("Code", wire_code)?;
                xml.text("Message", &error.message)?;
                xml.close("Error")?;
                xml.close("Errors")?;
                xml.text("RequestID", request_id)?;
                xml.close("Response")?;
                Ok(xml.finish())
            };
            respond(status, "text/xml;charset=UTF-8", write().unwrap_or_default())
        }
    }
}

/// Encodes an S3 error for a request that does not reach s3s.
#[must_use]
pub fn encode_s3(error: &ApiError, request_id: &str) -> Response<Bytes> {
    let escape = |text: &str| quick_xml::escape::escape(text).into_owned();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
         <RequestId>{request_id}</RequestId></Error>",
        escape(&error.code),
        escape(&error.message)
    );
    respond(error.status.unwrap_or(400), "application/xml", Bytes::from(body))
}

/// The member of the error message, `message` or `Message`, depending on the error's shape.
fn message_member(known: Option<(&str, &Shape)>) -> &'static str {
    let capital = known.is_some_and(|(_, shape)| {
        shape.members.contains_key("Message") && !shape.members.contains_key("message")
    });
    if capital { "Message" } else { "message" }
}

/// The HTTP status from the model, otherwise the one that services commonly use.
fn status_of(code: &str, known: Option<&Shape>, protocol: Protocol) -> u16 {
    if let Some(status) = known.and_then(Model::status) {
        return status;
    }
    match code {
        "InternalFailure" | "InternalError" | "InternalServerError" => 500,
        "ServiceUnavailable" | "Unavailable" | "RequestLimitExceeded" => 503,
        "AccessDenied" | "UnauthorizedOperation" => 403,
        "AccessDeniedException" if protocol == Protocol::RestJson => 403,
        _ => 400,
    }
}

fn with_header(mut response: Response<Bytes>, name: &'static str, value: &str) -> Response<Bytes> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_outside_the_models_have_the_status_that_services_commonly_use() {
        for (code, protocol, status) in [
            ("InternalFailure", Protocol::Json, 500),
            ("ServiceUnavailable", Protocol::Query, 503),
            ("RequestLimitExceeded", Protocol::Ec2, 503),
            ("UnauthorizedOperation", Protocol::Ec2, 403),
            ("AccessDenied", Protocol::Query, 403),
            ("AccessDeniedException", Protocol::Json, 400),
            ("AccessDeniedException", Protocol::RestJson, 403),
            ("InvalidAMIID.NotFound", Protocol::Ec2, 400),
        ] {
            assert_eq!(status_of(code, None, protocol), status, "{code}");
        }
    }
}
