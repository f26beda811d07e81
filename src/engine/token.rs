//! The continuation token: the whole state of an action between two slices.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// The version this build writes. Every released version is read for ever (tests/golden/tokens).
pub const VERSION: u8 = 1;

/// What travels in `PutJobSuccessResult.continuationToken`: plain JSON, so that it reads in the console.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token<S> {
    /// The version of this layout.
    pub v: u8,
    /// The action execution that the state belongs to.
    pub execution: String,
    /// When the action's first slice began.
    pub started: Timestamp,
    /// Nothing is to be done before this moment.
    pub not_before: Timestamp,
    /// When the action is unwound, finished or not.
    pub deadline: Timestamp,
    /// Slices so far.
    pub slices: u32,
    /// Transient faults since the last step that succeeded.
    pub faults: u16,
    /// The target the stage acts in, as the spec named it when the action began; none is the worker itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The stage's resting place.
    pub state: S,
}

/// Why a token cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the continuation token is {length} bytes long; CodePipeline carries at most {}", Token::<()>::MAX)]
    TooLong { length: usize },
    #[error("the continuation token is not one of ours (byte {position}): {source}", position = .source.column())]
    Malformed { source: serde_json::Error },
    #[error("the continuation token is of version {found}; this build reads versions 1 to {VERSION}")]
    Version { found: u64 },
    #[error("the continuation token belongs to action execution {found}, the job to {expected}")]
    OtherExecution { found: String, expected: String },
    #[error("the state cannot be written as JSON: {source}")]
    State { source: serde_json::Error },
}

impl<S> Token<S> {
    /// `PutJobSuccessResult.continuationToken` takes 1 to 2048 characters.
    pub const MAX: usize = 2048;

    /// A token of an action that begins now in this state.
    #[must_use]
    pub fn opened(state: S, execution: &str, now: Timestamp, deadline: Timestamp) -> Self {
        let execution = execution.to_owned();
        Self {
            v: VERSION,
            execution,
            started: now,
            not_before: now,
            deadline,
            slices: 0,
            faults: 0,
            target: None,
            state,
        }
    }
}

impl<S: Serialize> Token<S> {
    /// The token as text.
    ///
    /// # Errors
    /// [`TokenError::TooLong`] past 2048 bytes: a token is never cut short.
    pub fn encode(&self) -> Result<String, TokenError> {
        let text = serde_json::to_string(self).map_err(|source| TokenError::State { source })?;
        if text.len() > Self::MAX {
            return Err(TokenError::TooLong { length: text.len() });
        }
        Ok(text)
    }
}

/// Enough of any version to know whose it is.
#[derive(Deserialize)]
struct Envelope {
    v: u64,
    execution: String,
}

impl<S: DeserializeOwned> Token<S> {
    /// Reads a token that must belong to action execution `of`.
    ///
    /// # Errors
    /// A token of another execution, of an unknown version, longer than CodePipeline carries, or not a token.
    pub fn decode(raw: &str, of: &str) -> Result<Self, TokenError> {
        if raw.len() > Self::MAX {
            return Err(TokenError::TooLong { length: raw.len() });
        }
        let malformed = |source| TokenError::Malformed { source };
        let envelope: Envelope = serde_json::from_str(raw).map_err(malformed)?;
        if envelope.v != u64::from(VERSION) {
            return Err(TokenError::Version { found: envelope.v });
        }
        if envelope.execution != of {
            return Err(TokenError::OtherExecution { found: envelope.execution, expected: of.to_owned() });
        }
        serde_json::from_str(raw).map_err(malformed)
    }
}

#[cfg(test)]
mod tests;
