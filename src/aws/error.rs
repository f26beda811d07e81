//! Errors of AWS calls, and what each means for the caller.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::{ErrorKind, ProvideErrorKind};

/// The error type of an SDK operation.
pub trait ServiceError: ProvideErrorMetadata + ProvideErrorKind + StdError + Send + Sync + 'static {}

impl<E: ProvideErrorMetadata + ProvideErrorKind + StdError + Send + Sync + 'static> ServiceError for E {}

/// The class of an AWS error: what the caller can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No response, or a fault of the service: the call may or may not have taken effect.
    Transient,
    /// The call was throttled and had no effect.
    Throttled,
    /// The resource does not exist, or is not visible yet.
    Missing,
    /// The caller lacks a permission.
    Denied,
    /// The temporary credentials of the caller have expired.
    ExpiredCredentials,
    /// Another change is in progress, or the client token was used with other parameters.
    Conflict,
    /// The request is invalid.
    Invalid,
    Other,
}

impl Class {
    /// Whether a retry of the same call may succeed.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Transient | Self::Throttled | Self::ExpiredCredentials => true,
            Self::Missing | Self::Denied | Self::Conflict | Self::Invalid | Self::Other => false,
        }
    }

    /// Classifies a failed call.
    #[must_use]
    pub fn of_error<E: ServiceError>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => {
                let error = answer.err();
                let code = ProvideErrorMetadata::code(error);
                Self::of_answer(answer.raw().status().as_u16(), error.retryable_error_kind(), code)
            }
            SdkError::ConstructionFailure(_) => Self::Invalid,
            _ => Self::Transient,
        }
    }

    /// Classifies an error response: by HTTP status, then by the retry kind in the service model, then by error code.
    ///
    /// The status decides first, because services define new codes for their faults: `HealthUnavailable`,
    /// `KeyUnavailableException`. The SDK's own list of throttling codes is not used: it has `LimitExceededException`,
    /// which is a quota with status 400 in most services.
    #[must_use]
    pub fn of_answer(status: u16, retry: Option<ErrorKind>, code: Option<&str>) -> Self {
        let by_code = code.map(Self::of_code);
        match (status, retry, by_code) {
            // EC2 and S3 throttle with status 503.
            (_, _, Some(Self::Throttled)) | (429, ..) | (_, Some(ErrorKind::ThrottlingError), _) => {
                Self::Throttled
            }
            (..500, retry, Some(class))
                if !matches!(retry, Some(ErrorKind::TransientError | ErrorKind::ServerError)) =>
            {
                class
            }
            // A response without an error code is not from the service.
            _ => Self::Transient,
        }
    }

    /// Classifies an error code.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        match code {
            "InternalFailure"
            | "InternalError"
            | "InternalServerError"
            | "InternalServerException"
            | "InternalServiceError"
            | "ServerException"
            | "InternalException"
            | "ServiceException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "Unavailable"
            | "HealthUnavailable"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ResourceContention"
            | "ResourceContentionFault"
            | "KMSInternalException"
            | "KeyUnavailableException"
            | "DependencyTimeoutException"
            | "ConcurrentModificationException" => Self::Transient,
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "CallRateLimitExceededException"
            | "SlowDown"
            | "TooManyUpdates"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "EC2ThrottledException"
            | "PriorRequestNotComplete"
            | "BandwidthLimitExceeded" => Self::Throttled,
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Self::ExpiredCredentials,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "AuthFailure"
            | "OptInRequired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ForbiddenException"
            | "SignatureDoesNotMatch" => Self::Denied,
            _ if code.contains("NotFound") || code.contains("DoesNotExist") || code.starts_with("NoSuch") => {
                Self::Missing
            }
            _ if code.contains("InUse")
                || code.contains("InProgress")
                || code.contains("AlreadyExists")
                || code.contains("Conflict")
                || code.contains("Mismatch") =>
            {
                Self::Conflict
            }
            _ if code.contains("Validation")
                || code.contains("InvalidParameter")
                || code.starts_with("Malformed")
                || code.starts_with("Missing")
                || code.starts_with("Invalid") =>
            {
                Self::Invalid
            }
            _ => Self::Other,
        }
    }
}

/// A failed AWS call: the operation, the resource and AWS's answer.
#[derive(Debug, thiserror::Error)]
#[error("{call} of {thing}: {detail}{}", hint(.class))]
pub struct AwsError {
    /// `service:Operation`, as in IAM policies.
    pub call: &'static str,
    /// The resource.
    pub thing: String,
    pub class: Class,
    /// AWS's error code, if AWS answered.
    pub code: Option<String>,
    detail: String,
    #[source]
    source: Box<dyn StdError + Send + Sync>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "a format argument is a reference")]
fn hint(class: &Class) -> &'static str {
    match class {
        Class::Denied => " (give the role this permission)",
        Class::Transient
        | Class::Throttled
        | Class::Missing
        | Class::ExpiredCredentials
        | Class::Conflict
        | Class::Invalid
        | Class::Other => "",
    }
}

impl AwsError {
    /// Wraps the error of a call. `call` is spelled as in IAM policies, such as `ec2:RunInstances`.
    pub fn new<E: ServiceError>(
        call: &'static str,
        thing: impl Into<String>,
        error: SdkError<E, HttpResponse>,
    ) -> Self {
        let class = Class::of_error(&error);
        let (code, detail) = match &error {
            SdkError::ServiceError(answer) => {
                let code = ProvideErrorMetadata::code(answer.err()).map(str::to_owned);
                let message = answer.err().message().unwrap_or("no message");
                let detail = format!("{}: {message}", code.as_deref().unwrap_or("unknown error"));
                (code, detail)
            }
            SdkError::ConstructionFailure(_) => (None, "the request cannot be built".to_owned()),
            SdkError::TimeoutError(_) => (None, "no response within the timeout".to_owned()),
            SdkError::DispatchFailure(_) => (None, "the connection failed".to_owned()),
            SdkError::ResponseError(_) => (None, "the response cannot be read".to_owned()),
            _ => (None, "the call failed".to_owned()),
        };
        Self { call, thing: thing.into(), class, code, detail, source: Box::new(error) }
    }

    /// A response without a required member: treated like a missing response.
    pub fn incomplete(call: &'static str, thing: impl Into<String>, detail: &'static str) -> Self {
        let class = Class::Transient;
        Self {
            call,
            thing: thing.into(),
            class,
            code: None,
            detail: detail.to_owned(),
            source: detail.into(),
        }
    }

    /// Whether AWS answered with this error code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

#[cfg(test)]
mod tests;
