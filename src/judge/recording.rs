//! A recorded rollout: JSON lines, first the version and the rules, then each window.

use serde::{Deserialize, Serialize};

use super::rules::{Rules, RulesError};
use super::window::Window;

/// The version of the format.
pub const VERSION: u8 = 1;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The first line.
    Header(Header),
    /// Every other line.
    Window(WindowLine),
}

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    pub version: u8,
    /// The judge's rules.
    pub rules: Box<Rules>,
}

/// A line with a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLine {
    /// The window.
    pub window: Window,
}

impl Line {
    /// The first line of a recording by these rules.
    #[must_use]
    pub fn header(rules: Rules) -> Self {
        Self::Header(Header { version: VERSION, rules: Box::new(rules) })
    }

    /// The line of a window.
    #[must_use]
    pub fn window(window: Window) -> Self {
        Self::Window(WindowLine { window })
    }
}

/// A recorded rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The judge's rules.
    pub rules: Rules,
    /// The windows, in order.
    pub windows: Vec<Window>,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A line is not one of a recording.
    #[error("line {line} is not a line of a recording")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The error and its position.
        #[source]
        source: serde_json::Error,
    },
    /// The rules are not the first line.
    #[error("the first line, and no other, must have the version and the rules")]
    Order,
    /// The recording has another version.
    #[error("the recording has version {0}; this build reads version {VERSION}")]
    Version(u8),
    /// The rules are invalid.
    #[error("the rules are invalid")]
    Rules(#[from] RulesError),
}

impl Recording {
    /// Reads a recording; empty lines are skipped.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let text = crate::text::without_bom(text);
        let (mut rules, mut windows) = (None, Vec::new());
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let refused = |source| RecordingError::Line { line: at + 1, source };
            if rules.is_some() {
                // A second header is an error of the order, not of the line.
                if serde_json::from_str::<Header>(line).is_ok() {
                    return Err(RecordingError::Order);
                }
                windows.push(serde_json::from_str::<WindowLine>(line).map_err(refused)?.window);
                continue;
            }
            if serde_json::from_str::<WindowLine>(line).is_ok() {
                return Err(RecordingError::Order);
            }
            let header: Header = serde_json::from_str(line).map_err(refused)?;
            if header.version != VERSION {
                return Err(RecordingError::Version(header.version));
            }
            header.rules.check()?;
            rules = Some(*header.rules);
        }
        Ok(Self { rules: rules.ok_or(RecordingError::Order)?, windows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Judge, Verdict};

    const EXAMPLE: &str = include_str!("../../tests/golden/judge/rollout.jsonl");

    #[test]
    fn the_example_is_inconclusive_then_passes_then_fails() {
        let recording = Recording::parse(EXAMPLE).unwrap();
        let mut judge = Judge::new(&recording.rules).unwrap();
        let mut verdicts: Vec<Verdict> = recording
            .windows
            .iter()
            .map(|window| {
                judge.observe(window);
                judge.look().verdict
            })
            .collect();
        verdicts.dedup();
        let (hold, pass, fail) = (Verdict::Inconclusive, Verdict::Pass, Verdict::Fail);
        assert_eq!(verdicts, [hold, pass, hold, fail]);
    }

    #[test]
    fn lines_read_back_as_they_were_written() {
        for line in EXAMPLE.lines() {
            let parsed: Line = serde_json::from_str(line).unwrap();
            let again: Line = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
            assert_eq!(parsed, again);
        }
    }

    #[test]
    fn invalid_recordings_are_refused_with_their_line() {
        let window = EXAMPLE.lines().nth(1).unwrap();
        let rules = EXAMPLE.lines().next().unwrap();
        let refused = |text: &str| Recording::parse(text).unwrap_err().to_string();
        assert!(refused("").contains("first line"));
        assert!(refused(window).contains("first line"));
        assert!(refused(&format!("{rules}\n{rules}")).contains("first line"));
        assert!(refused(&format!("{rules}\n\n{{}}")).contains("line 3"));
        assert!(refused(&rules.replace("\"version\":1", "\"version\":9")).contains("version 9"));
        assert!(refused(&rules.replace("0.01", "7.0")).contains("invalid"));
    }
}
