//! A failure that is short enough for a continuation token beside a large state.

use serde::{Deserialize, Serialize};

use crate::engine::failure::truncate_json;
use crate::engine::{Failure, FailureKind};

/// A failure of limited length. The log has the whole message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReason {
    pub kind: FailureKind,
    pub text: String,
}

impl FailureReason {
    /// The longest text, in bytes of JSON.
    pub const MAX: usize = 400;

    #[must_use]
    pub fn new(kind: FailureKind, text: &str) -> Self {
        let mut text = text.to_owned();
        truncate_json(&mut text, Self::MAX - '…'.len_utf8());
        Self { kind, text }
    }
}

impl From<Failure> for FailureReason {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, &failure.message)
    }
}

impl From<FailureReason> for Failure {
    fn from(reason: FailureReason) -> Self {
        Self::new(reason.kind, reason.text)
    }
}
