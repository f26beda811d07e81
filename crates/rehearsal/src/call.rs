//! One API call as a service handler gets it: decoded, and validated against the service's model.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::time::Time;

/// A decoded request. `input` uses the model's member names; timestamps are epoch seconds, blobs base64 text.
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
    /// The input as a typed structure.
    ///
    /// # Errors
    /// `ValidationException` when the members do not fit the structure; the model check ran before, so this
    /// is a disagreement between handler and model.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_value(Value::Object(self.input.clone()))
            .map_err(|e| ApiError::new("ValidationException", format!("{}: {e}", self.operation)))
    }
}

/// What a handler answers: an object with the model's output member names.
pub type Answer = Result<Value, ApiError>;

/// A refusal, by AWS's own code. The wire layer finds the HTTP status in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub code: String,
    pub message: String,
    /// Overrides the model's status where the error is not modelled (EC2, most query services).
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
