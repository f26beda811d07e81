//! How a command ends badly: a message, what to do next, and a code from sysexits.h.

use std::fmt;

/// The command line is wrong.
pub const USAGE: u8 = 64;
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const BUG: u8 = 70;
const DENIED: u8 = 77;
/// The command did its work, and the release was found wanting.
const FAILED: u8 = 1;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct CliError {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl CliError {
    fn new(code: u8, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint: String = hint.into();
        Self { code, message: message.into(), hint: Some(hint).filter(|hint| !hint.is_empty()) }
    }

    /// The arguments do not fit together (64).
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(USAGE, message, hint)
    }

    /// A file or an answer is not what it must be (65).
    pub fn data(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(DATA, message, hint)
    }

    /// Something needed is not there or does not answer (69).
    pub fn unavailable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, message, hint)
    }

    /// A rule of this program does not hold (70).
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(BUG, message, "please report it with the output of the same command under --log debug")
    }

    /// AWS says no (77).
    pub fn denied(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(DENIED, message, hint)
    }

    /// The release failed (1).
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FAILED, message, hint)
    }

    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
