//! Errors of commands: message, causes and hint for people, exit code for scripts.

use std::error::Error;
use std::fmt;

/// Exit codes: 1 and the codes of sysexits.h.
mod code {
    /// The command worked, and the answer is no.
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 64;
    pub const DATA: u8 = 65;
    pub const NO_INPUT: u8 = 66;
    pub const UNAVAILABLE: u8 = 69;
    pub const SOFTWARE: u8 = 70;
    pub const TEMPFAIL: u8 = 75;
    pub const DENIED: u8 = 77;
}

pub use code::USAGE;

/// What failed, of which thing, and the errors that caused it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    text: String,
    causes: Vec<String>,
}

impl Message {
    /// The message of an error, with its sources as causes.
    #[must_use]
    pub fn of(error: &dyn Error) -> Self {
        Self { text: error.to_string(), causes: Vec::new() }.with_sources(error)
    }

    /// Adds an error and its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        self.add(error.to_string());
        self.with_sources(error)
    }

    fn with_sources(mut self, error: &dyn Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            let said = cause.to_string();
            // The SDK's wrappers add nothing to what AWS answered.
            if said == "service error" || said.starts_with("unhandled error") {
                break;
            }
            self.add(said);
            source = cause.source();
        }
        self
    }

    /// Adds a cause, unless the message or another cause says the same already.
    fn add(&mut self, said: String) {
        if !self.text.contains(&said) && !self.causes.iter().any(|cause| cause.contains(&said)) {
            self.causes.push(said);
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text, causes: Vec::new() }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Error of a command, with its exit code.
///
/// It prints as `error: …`, one line `caused by: …` for each cause, and `hint: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    code: u8,
    message: Message,
    hint: Option<String>,
}

impl CliError {
    fn new(code: u8, message: impl Into<Message>, hint: impl Into<String>) -> Self {
        let hint: String = hint.into();
        Self { code, message: message.into(), hint: Some(hint).filter(|hint| !hint.is_empty()) }
    }

    /// The command worked, and the answer is no: a release failed, a chain does not verify (1).
    pub fn failed(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::FAILED, message, hint)
    }

    /// The arguments are wrong or contradict each other (64).
    pub fn usage(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::USAGE, message, hint)
    }

    /// An input cannot be read or has mistakes (65).
    pub fn data(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::DATA, message, hint)
    }

    /// An input file does not exist or cannot be opened (66).
    pub fn missing(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::NO_INPUT, message, hint)
    }

    /// Something the command needs does not exist or does not answer (69).
    pub fn unavailable(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::UNAVAILABLE, message, hint)
    }

    /// A defect in bakeline (70).
    pub fn bug(message: impl Into<Message>) -> Self {
        Self::new(code::SOFTWARE, message, "report it with the output of the same command with `--log debug`")
    }

    /// The work is not finished, and the same command finishes it later (75).
    pub fn try_again(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::TEMPFAIL, message, hint)
    }

    /// AWS denied access (77).
    pub fn denied(message: impl Into<Message>, hint: impl Into<String>) -> Self {
        Self::new(code::DENIED, message, hint)
    }

    /// Adds an error and its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        self.message = self.message.caused_by(error);
        self
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message.text)?;
        for cause in &self.message.causes {
            write!(f, "\ncaused by: {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the key `k` cannot be read")]
    struct Key(#[source] Io);

    #[derive(Debug, thiserror::Error)]
    #[error("permission denied")]
    struct Io;

    #[derive(Debug, thiserror::Error)]
    #[error("the job failed: {0}")]
    struct Repeats(#[source] Io);

    #[test]
    fn an_error_prints_message_causes_and_hint_on_lines_of_their_own() {
        let error = CliError::unavailable("the worker cannot start", "check the key").caused_by(&Key(Io));
        assert_eq!(
            error.to_string(),
            "error: the worker cannot start\ncaused by: the key `k` cannot be read\ncaused by: permission denied\n\
             hint: check the key"
        );
        assert_eq!(error.code(), 69);
    }

    #[test]
    fn a_cause_that_the_message_repeats_is_not_printed_twice() {
        let error = CliError::failed(Message::of(&Repeats(Io)), "");
        assert_eq!(error.to_string(), "error: the job failed: permission denied");
    }
}
