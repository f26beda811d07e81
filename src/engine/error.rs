//! Stage errors: what failed, whether a retry may help, and which failure type CodePipeline receives.
//!
//! A module of a stage defines its own error enum with `thiserror` and implements [`ModuleError`] for it; `?` then
//! converts the error into a [`StageError`] that keeps its source.

use std::error::Error;
use std::fmt;

use super::failure::{Failure, FailureKind};
use crate::aws::{AwsError, Class};
use crate::evidence::SignError;

/// How the engine treats an error that a module of a stage defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The spec, the action's configuration or the worker's configuration is wrong.
    Config,
    /// The release failed a check, or the state of AWS makes it unsafe to continue.
    Rejected,
    /// A retry may succeed: a read is stale, or another change is in progress.
    NotYet,
    /// An invariant of bakeline does not hold.
    Bug,
}

/// A typed error of one module of a stage.
pub trait ModuleError: Error + Send + Sync + 'static {
    /// How the engine treats this error.
    fn class(&self) -> ErrorClass;
}

impl<E: ModuleError> From<E> for StageError {
    fn from(error: E) -> Self {
        Self::Module(ClassifiedError { class: error.class(), error: Box::new(error) })
    }
}

/// An error of any type and its class.
#[derive(Debug)]
pub struct ClassifiedError {
    class: ErrorClass,
    error: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for ClassifiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            ErrorClass::Bug => write!(f, "this is a defect in bakeline: {}", self.error),
            ErrorClass::Config | ErrorClass::Rejected | ErrorClass::NotYet => self.error.fmt(f),
        }
    }
}

impl Error for ClassifiedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Why a step of a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// AWS refused a call or did not answer it.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// AWS refused a call for a reason that passes: the resource is not visible yet, or another change is in progress.
    #[error(transparent)]
    RetryLater(AwsError),
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] crate::artifact::ArtifactError),
    /// The chain of statements is invalid.
    #[error("the input artifact is refused: {0}")]
    Chain(#[from] crate::evidence::ChainError),
    /// The continuation token does not belong to this job.
    #[error(transparent)]
    Token(#[from] super::token::TokenError),
    /// A statement cannot be signed.
    #[error("the statement cannot be signed: {0}")]
    Sign(#[from] SignError),
    /// An error of a module of a stage.
    #[error(transparent)]
    Module(ClassifiedError),
    /// The spec or the configuration is wrong; see [`ErrorClass::Config`].
    #[error("{0}")]
    Config(String),
    /// The release must not continue; see [`ErrorClass::Rejected`].
    #[error("{0}")]
    Rejected(String),
    /// A retry may succeed; see [`ErrorClass::NotYet`].
    #[error("{0}")]
    NotYet(String),
    /// An invariant does not hold; see [`ErrorClass::Bug`].
    #[error("this is a defect in bakeline: {0}")]
    Bug(String),
}

impl StageError {
    /// Wraps an error of any type as [`ErrorClass::Config`].
    pub fn config(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Module(ClassifiedError { class: ErrorClass::Config, error: error.into() })
    }

    /// Wraps an error of any type as [`ErrorClass::Rejected`].
    pub fn rejected(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Module(ClassifiedError { class: ErrorClass::Rejected, error: error.into() })
    }

    /// Wraps an error of any type as [`ErrorClass::NotYet`].
    pub fn not_yet(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Module(ClassifiedError { class: ErrorClass::NotYet, error: error.into() })
    }

    /// Wraps an error of any type as [`ErrorClass::Bug`].
    pub fn bug(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Module(ClassifiedError { class: ErrorClass::Bug, error: error.into() })
    }

    /// The error of a module, if it has this type.
    #[must_use]
    pub fn module<E: ModuleError>(&self) -> Option<&E> {
        match self {
            Self::Module(classified) => classified.error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the same step may succeed in a later slice.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Aws(error) => error.class.is_transient(),
            Self::Artifact(error) => error.is_transient(),
            Self::Sign(error) => sign_class(error).is_transient(),
            Self::Module(error) => error.class == ErrorClass::NotYet,
            Self::NotYet(_) | Self::RetryLater(_) => true,
            Self::Config(_) | Self::Chain(_) | Self::Token(_) | Self::Rejected(_) | Self::Bug(_) => false,
        }
    }

    /// The failure type that CodePipeline receives.
    #[must_use]
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Config(_) | Self::Token(_) => FailureKind::ConfigurationError,
            Self::Aws(error) => match error.class {
                Class::Denied | Class::ExpiredCredentials => FailureKind::PermissionError,
                Class::Transient | Class::Throttled => FailureKind::SystemUnavailable,
                Class::Missing | Class::Conflict | Class::Invalid => FailureKind::ConfigurationError,
                Class::Other => FailureKind::JobFailed,
            },
            Self::Artifact(error) if error.is_denied() => FailureKind::PermissionError,
            Self::Artifact(error) if error.is_transient() => FailureKind::SystemUnavailable,
            Self::Artifact(error) if error.is_not_found() => FailureKind::RevisionUnavailable,
            Self::Artifact(_) | Self::Chain(_) => FailureKind::RevisionOutOfSync,
            Self::Sign(error) => match sign_class(error) {
                Class::Transient | Class::Throttled => FailureKind::SystemUnavailable,
                Class::Denied | Class::ExpiredCredentials => FailureKind::PermissionError,
                Class::Missing | Class::Conflict | Class::Invalid | Class::Other => {
                    FailureKind::ConfigurationError
                }
            },
            Self::Module(error) => match error.class {
                ErrorClass::Config => FailureKind::ConfigurationError,
                ErrorClass::NotYet => FailureKind::SystemUnavailable,
                ErrorClass::Rejected | ErrorClass::Bug => FailureKind::JobFailed,
            },
            Self::NotYet(_) | Self::RetryLater(_) => FailureKind::SystemUnavailable,
            Self::Rejected(_) | Self::Bug(_) => FailureKind::JobFailed,
        }
    }

    /// The failure of the action, with the causes of this error.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::new(self.failure_kind(), with_causes(self))
    }
}

/// The class of the AWS call that failed to sign.
fn sign_class(error: &SignError) -> Class {
    match error {
        SignError::Secret { source, .. } => Class::of_error(source),
        SignError::GetPublicKey { source, .. } => Class::of_error(source),
        SignError::Kms { source, .. } => Class::of_error(source),
        SignError::File { .. }
        | SignError::FileTooLong { .. }
        | SignError::PrivateKey { .. }
        | SignError::KmsKey { .. }
        | SignError::KmsPublicKey { .. }
        | SignError::Local { .. }
        | SignError::DoesNotVerify { .. }
        | SignError::Statement(_) => Class::Other,
    }
}

/// Formats an error and its causes on one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        // The SDK's wrappers add nothing: `AwsError` has printed AWS's answer already.
        if message == "service error" || message.starts_with("unhandled error") {
            break;
        }
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum ReadError {
        #[error("the file cannot be read")]
        Io(#[source] std::io::Error),
        #[error("the file is gone")]
        Gone,
    }

    impl ModuleError for ReadError {
        fn class(&self) -> ErrorClass {
            match self {
                Self::Io(_) => ErrorClass::NotYet,
                Self::Gone => ErrorClass::Rejected,
            }
        }
    }

    #[test]
    fn a_module_error_keeps_its_class_type_and_source() {
        let error = StageError::from(ReadError::Io(std::io::Error::other("disk full")));
        assert!(error.is_transient());
        assert_eq!(error.failure_kind(), FailureKind::SystemUnavailable);
        assert_eq!(with_causes(&error), "the file cannot be read: disk full");
        assert!(matches!(error.module::<ReadError>(), Some(ReadError::Io(_))));
        let gone = StageError::from(ReadError::Gone);
        assert_eq!(gone.failure(), Failure::new(FailureKind::JobFailed, "the file is gone"));
    }

    #[test]
    fn each_class_has_its_failure_kind() {
        for (error, kind, transient) in [
            (StageError::config("x"), FailureKind::ConfigurationError, false),
            (StageError::rejected("x"), FailureKind::JobFailed, false),
            (StageError::not_yet("x"), FailureKind::SystemUnavailable, true),
            (StageError::bug("x"), FailureKind::JobFailed, false),
        ] {
            assert_eq!((error.failure_kind(), error.is_transient()), (kind, transient), "{error}");
        }
        assert_eq!(StageError::bug("x").to_string(), "this is a defect in bakeline: x");
    }
}
