//! The continuation token: the whole state of an action between two slices.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// The version of the layout that this build reads and writes (`tests/golden/tokens`).
pub const VERSION: u8 = 2;

/// The content of `PutJobSuccessResult.continuationToken`: plain JSON, readable in the console.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token<S> {
    /// The version of this layout.
    pub v: u8,
    /// The action execution id.
    pub execution: String,
    /// When the first slice of the action started.
    pub started: Timestamp,
    /// The earliest time of the next slice.
    pub not_before: Timestamp,
    /// When the engine unwinds an unfinished action.
    pub deadline: Timestamp,
    /// The number of slices so far.
    pub slices: u32,
    /// Transient errors since the last successful step.
    pub faults: u16,
    /// The environment of the stage, as the spec named it when the action started; `None` is the worker's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The state of the stage.
    pub state: S,
}

/// Why a token cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the continuation token has {length} bytes; CodePipeline accepts at most {}", Token::<()>::MAX)]
    TooLong { length: usize },
    #[error("the continuation token is not a token of bakeline (byte {position}): {source}", position = .source.column())]
    Malformed { source: serde_json::Error },
    #[error("the continuation token has version {found}; this build reads version {VERSION}")]
    Version { found: u64 },
    #[error("the continuation token belongs to action execution {found}, the job to {expected}")]
    OtherExecution { found: String, expected: String },
    #[error("the state cannot be encoded as JSON: {source}")]
    State { source: serde_json::Error },
}

impl<S> Token<S> {
    /// `PutJobSuccessResult.continuationToken` takes 1 to 2048 characters.
    pub const MAX: usize = 2048;

    /// Creates the token of an action that starts now.
    #[must_use]
    pub fn new(state: S, execution: &str, now: Timestamp, deadline: Timestamp) -> Self {
        let execution = execution.to_owned();
        Self {
            v: VERSION,
            execution,
            started: now,
            not_before: now,
            deadline,
            slices: 0,
            faults: 0,
            environment: None,
            state,
        }
    }
}

impl<S: Serialize> Token<S> {
    /// Encodes the token as JSON.
    ///
    /// # Errors
    /// [`TokenError::TooLong`] above 2048 bytes: a token is never truncated.
    pub fn encode(&self) -> Result<String, TokenError> {
        let text = serde_json::to_string(self).map_err(|source| TokenError::State { source })?;
        if text.len() > Self::MAX {
            return Err(TokenError::TooLong { length: text.len() });
        }
        Ok(text)
    }
}

/// The version of a token that a newer bakeline wrote; none for any other text. Workers of two versions run at the same
/// time while a deployment replaces them.
#[must_use]
pub fn newer_version(raw: &str) -> Option<u64> {
    if raw.len() > Token::<()>::MAX {
        return None;
    }
    let envelope: Envelope = serde_json::from_str(raw).ok()?;
    // No release counts that far.
    (u64::from(VERSION) + 1..=u64::from(u8::MAX)).contains(&envelope.v).then_some(envelope.v)
}

/// The members that every version has.
#[derive(Deserialize)]
struct Envelope {
    v: u64,
    execution: String,
}

impl<S: DeserializeOwned> Token<S> {
    /// Decodes a token that must belong to the action execution `of`.
    ///
    /// # Errors
    /// The token belongs to another execution, has another version, is too long, or is not a token.
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
