//! A failure cut down to what a continuation token can carry beside a full state.

use serde::{Deserialize, Serialize};

use crate::engine::{Failure, FailureKind};

/// A failure in bounded room. The whole of it was logged when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReason {
    pub kind: FailureKind,
    pub text: String,
}

impl FailureReason {
    /// Bytes of the text inside a JSON string.
    pub const ROOM: usize = 400;

    #[must_use]
    pub fn new(kind: FailureKind, text: &str) -> Self {
        let mut kept = String::new();
        let mut length = 0;
        for c in text.chars() {
            // A control character is written as six bytes, a quote or a backslash as two.
            length += if c.is_control() { 6 } else { c.len_utf8() + usize::from(matches!(c, '"' | '\\')) };
            if length > Self::ROOM - '…'.len_utf8() {
                kept.push('…');
                break;
            }
            kept.push(c);
        }
        Self { kind, text: kept }
    }
}

impl From<Failure> for FailureReason {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, &failure.message)
    }
}

impl From<FailureReason> for Failure {
    fn from(why: FailureReason) -> Self {
        Self::new(why.kind, why.text)
    }
}
