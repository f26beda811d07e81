//! The wire protocols: decode an HTTP request to a [`Call`](super::call::Call)'s input, and encode the response.

pub mod errors;
pub mod form;
pub mod model;
pub mod output;
pub mod scope;
pub mod text;
pub mod validate;

mod cbor;
mod ec2;
mod json;
mod query;
mod rest_json;
mod xml;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use self::model::{Model, Operation};
use self::validate::Dialect;
use super::call::{Answer, ApiError};

/// An operation with its name.
pub type Named<'m> = (&'m str, &'m Operation);

/// The protocol of a request and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Json,
    RestJson,
    Query,
    Ec2,
    Cbor,
}

impl Protocol {
    /// The protocol of a request, for services with several protocols.
    #[must_use]
    pub fn of(model: &Model, parts: &Parts) -> Self {
        let smithy = parts.headers.get("smithy-protocol").is_some_and(|v| v == cbor::PROTOCOL);
        if model.speaks("smithy-rpc-v2-cbor") && smithy {
            Self::Cbor
        } else if model.speaks("json")
            && (parts.headers.contains_key("x-amz-target") || !model.speaks("query"))
        {
            Self::Json
        } else if model.speaks("rest-json") {
            Self::RestJson
        } else if model.speaks("ec2") {
            Self::Ec2
        } else {
            Self::Query
        }
    }

    /// The wording of validation errors.
    #[must_use]
    pub fn dialect(self, model: &Model) -> Dialect {
        match self {
            Self::Ec2 => Dialect::Ec2,
            // CloudWatch keeps the wording of its original protocol, awsQuery.
            _ if model.speaks("query") => Dialect::Query,
            _ => Dialect::Json,
        }
    }
}

/// Decodes the operation and the input of a request, not yet validated.
///
/// # Errors
/// The service's error for an unknown operation or a malformed body.
pub fn decode<'m>(
    model: &'m Model,
    protocol: Protocol,
    parts: &Parts,
    body: &Bytes,
) -> Result<(Named<'m>, Map<String, Value>), ApiError> {
    match protocol {
        Protocol::Json => json::decode(model, parts, body),
        Protocol::RestJson => rest_json::decode(model, parts, body),
        Protocol::Query => query::decode(model, parts, body, form::Style::Query),
        Protocol::Ec2 => query::decode(model, parts, body, form::Style::Ec2),
        Protocol::Cbor => cbor::decode(model, parts, body),
    }
}

/// Encodes a response or an error.
#[must_use]
pub fn encode(
    model: &Model,
    protocol: Protocol,
    named: Named<'_>,
    answer: Answer,
    request_id: &str,
) -> Response<Bytes> {
    let written = answer.and_then(|answer| output::conform(model, named, answer)).and_then(|answer| {
        Ok(match protocol {
            Protocol::Json => json::encode(model, named.1, answer),
            Protocol::RestJson => rest_json::encode(model, named.1, answer)?,
            Protocol::Query => query::encode(model, named, &answer, request_id)?,
            Protocol::Ec2 => ec2::encode(model, named, &answer, request_id)?,
            Protocol::Cbor => cbor::encode(model, named.1, &answer)?,
        })
    });
    written.unwrap_or_else(|error| errors::encode(model, protocol, &error, request_id))
}

/// The JSON services' error for an unknown operation.
fn unknown_operation(target: &str) -> ApiError {
    ApiError::new("UnknownOperationException", format!("there is no operation {target}")).with_status(400)
}

/// An HTTP response with this content type.
pub(super) fn respond(status: u16, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
