//! What can go wrong in a stage, and what CodePipeline is told about it.

use serde::{Deserialize, Serialize};

use crate::aws::{AwsError, Class};
use crate::evidence::SignError;

/// `FailureDetails.type` of `PutJobFailureResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The release is not good, or the work was done and found wanting.
    JobFailed,
    /// The spec, the action's configuration or the trust root must be mended.
    ConfigurationError,
    /// A role must be given a permission.
    PermissionError,
    /// The input artifact is not what the chain says.
    RevisionOutOfSync,
    /// The input artifact cannot be had.
    RevisionUnavailable,
    /// AWS did not answer for as long as the stage could wait.
    SystemUnavailable,
}

/// Why an action ends badly: what it was about, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    /// Room for a reason inside a continuation token, in bytes.
    const IN_TOKEN: usize = 700;

    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The same failure with a message that a token can carry beside its state; the end of a long one is
    /// replaced by an ellipsis, since the whole of it was logged when it happened.
    #[must_use]
    pub fn for_token(mut self) -> Self {
        let mut written = 0;
        let fits = |(_, c): &(usize, char)| {
            written += written_length(*c);
            written <= Self::IN_TOKEN
        };
        let end = self.message.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
        if end < self.message.len() {
            self.message.truncate(end);
            self.message.push('…');
        }
        self
    }
}

/// Bytes of a character in a JSON string: quotes and line ends are written with a backslash, control characters as
/// `\u00XX`.
fn written_length(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_failure_fits_its_room_in_a_token_however_it_is_escaped(text in "(\\PC|[\\x00-\\x1f\"\\\\]){0,1200}") {
            let failure = Failure::new(FailureKind::JobFailed, text.clone()).for_token();
            let written = serde_json::to_string(&failure.message).unwrap().len();
            prop_assert!(written <= Failure::IN_TOKEN + "\"\"…".len());
            let kept = failure.message.strip_suffix('…').unwrap_or(&failure.message);
            prop_assert!(text.starts_with(kept));
            let whole = serde_json::to_string(&text).unwrap().len() <= Failure::IN_TOKEN + 2;
            prop_assert_eq!(failure.message == text, whole);
        }
    }
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// What the user wrote cannot be carried out.
    #[error("{0}")]
    Config(String),
    /// AWS refused or did not answer.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// An artifact could not be read or written.
    #[error(transparent)]
    Artifact(#[from] crate::artifact::ArtifactError),
    /// The chain of statements does not hold.
    #[error("the input artifact is refused: {0}")]
    Chain(#[from] crate::evidence::ChainError),
    /// The continuation token is not one of this job.
    #[error(transparent)]
    Token(#[from] super::token::TokenError),
    /// A statement could not be signed.
    #[error("the hand-over could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The world is such that going on would do harm, or the release was found wanting.
    #[error("{0}")]
    Rejected(String),
    /// The world is not yet as it will be: an eventually consistent look, a conflict that passes.
    #[error("{0}")]
    NotYet(String),
    /// A rule of this program does not hold.
    #[error("this is a defect in bakeline: {0}")]
    Bug(String),
}

impl StageError {
    /// Whether the same step may succeed when run again later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Aws(error) => error.class.is_transient(),
            Self::Artifact(error) => error.is_transient(),
            Self::Sign(error) => sign_class(error).is_transient(),
            Self::NotYet(_) => true,
            Self::Config(_) | Self::Chain(_) | Self::Token(_) | Self::Rejected(_) | Self::Bug(_) => false,
        }
    }

    /// What CodePipeline is told.
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
            Self::NotYet(_) => FailureKind::SystemUnavailable,
            Self::Rejected(_) | Self::Bug(_) => FailureKind::JobFailed,
        }
    }

    /// The error as an end of the action.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::new(self.failure_kind(), with_causes(self))
    }
}

/// What a failed signature means for what to do next.
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

/// An error with everything that led to it, on one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // The SDK's own wrappers say nothing; what AWS answered is in our message already.
        if said == "service error" || said.starts_with("unhandled error") {
            break;
        }
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
