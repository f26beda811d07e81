//! Action failures: the failure type and the message that CodePipeline receives.

use serde::{Deserialize, Serialize};

/// `FailureDetails.type` of `PutJobFailureResult`, and timeouts, which CodePipeline calls `JobFailed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The release failed a check, or AWS failed to do what the stage asked for.
    JobFailed,
    /// The action did not end before its deadline.
    TimedOut,
    /// The spec, the configuration of the action or the trust root is wrong.
    ConfigurationError,
    /// A role lacks a permission.
    PermissionError,
    /// The input artifact does not match the chain of statements.
    RevisionOutOfSync,
    /// The input artifact does not exist or cannot be read.
    RevisionUnavailable,
    /// AWS did not answer for as long as the stage could wait.
    SystemUnavailable,
}

/// Why an action failed: the failure type, and what failed, what was expected and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    /// The longest message in a continuation token, in bytes of JSON.
    const MAX_IN_TOKEN: usize = 700;

    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Shortens the message so that a token can carry it beside its state. The log has the whole message.
    #[must_use]
    pub fn for_token(mut self) -> Self {
        truncate_json(&mut self.message, Self::MAX_IN_TOKEN);
        self
    }
}

/// Shortens a text to `max` bytes as a JSON string, without the quotes, and appends an ellipsis if it was longer.
pub fn truncate_json(text: &mut String, max: usize) {
    let mut length = 0;
    let fits = |(_, c): &(usize, char)| {
        length += json_length(*c);
        length <= max
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    if end < text.len() {
        text.truncate(end);
        text.push('…');
    }
}

/// Bytes of a character in a JSON string. Quotes and line ends take a backslash, control characters `\u00XX`.
fn json_length(c: char) -> usize {
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
        fn a_message_in_a_token_never_exceeds_its_limit(text in "(\\PC|[\\x00-\\x1f\"\\\\]){0,1200}") {
            let failure = Failure::new(FailureKind::JobFailed, text.clone()).for_token();
            let length = serde_json::to_string(&failure.message).unwrap().len();
            prop_assert!(length <= Failure::MAX_IN_TOKEN + "\"\"…".len());
            let kept = failure.message.strip_suffix('…').unwrap_or(&failure.message);
            prop_assert!(text.starts_with(kept));
            let whole = serde_json::to_string(&text).unwrap().len() <= Failure::MAX_IN_TOKEN + 2;
            prop_assert_eq!(failure.message == text, whole);
        }
    }
}
