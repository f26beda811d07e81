//! An API call as a service handler receives it: decoded, and validated against the service model.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::time::Time;

/// A decoded API request. `input` uses the model's member names; timestamps are epoch seconds, blobs are base64 text.
#[derive(Clone, Debug)]
pub struct Call {
    /// botocore's service name: `codepipeline`, `ec2`, `elbv2`, …
    pub service: &'static str,
    pub operation: String,
    pub input: Map<String, Value>,
    pub account: String,
    pub region: String,
    pub access_key: String,
    pub now: Time,
}

impl Call {
    /// Deserializes the input into a typed structure.
    ///
    /// # Errors
    /// `ValidationException` if the input does not match the structure. The input has already been checked against
    /// the model, so this means that the handler disagrees with the model.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_value(Value::Object(self.input.clone()))
            .map_err(|e| ApiError::new("ValidationException", format!("{}: {e}", self.operation)))
    }
}

/// The result of a handler: an object with the model's output member names, or an error.
pub type Answer = Result<Value, ApiError>;

/// An error response with AWS's error code. The wire layer looks up the HTTP status in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub code: String,
    pub message: String,
    /// The HTTP status of an error that the model does not list (EC2, most query services).
    pub status: Option<u16>,
}

impl ApiError {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: None }
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}
