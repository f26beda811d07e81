//! A recorded rollout: JSON lines, the rules first and then each window, as `promote` writes them into its artifact.

use serde::{Deserialize, Serialize};

use super::rules::{Rules, RulesError};
use super::window::Window;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The rules; the first line and no other.
    Rules(Box<Rules>),
    /// A window.
    Window(Window),
}

/// A recorded rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What the judge was told.
    pub rules: Rules,
    /// What was seen, in order.
    pub windows: Vec<Window>,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A line is not one of a recording.
    #[error("line {line} is no line of a recording")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The rules are not the first line.
    #[error("the rules must be the first line, and that line alone")]
    Order,
    /// The rules cannot hold.
    #[error("the rules cannot hold")]
    Rules(#[from] RulesError),
}

impl Recording {
    /// Reads a recording; empty lines are skipped.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let (mut rules, mut windows) = (None, Vec::new());
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parsed =
                serde_json::from_str(line).map_err(|source| RecordingError::Line { line: at + 1, source })?;
            match (parsed, &rules) {
                (Line::Rules(found), None) => {
                    found.check()?;
                    rules = Some(*found);
                }
                (Line::Window(window), Some(_)) => windows.push(window),
                _ => return Err(RecordingError::Order),
            }
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
    fn the_example_holds_passes_then_fails() {
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
    fn lines_are_written_as_they_are_read() {
        for line in EXAMPLE.lines() {
            let parsed: Line = serde_json::from_str(line).unwrap();
            let again: Line = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
            assert_eq!(parsed, again);
        }
    }

    #[test]
    fn what_is_no_recording_is_refused_by_its_line() {
        let window = EXAMPLE.lines().nth(1).unwrap();
        let rules = EXAMPLE.lines().next().unwrap();
        let refused = |text: &str| Recording::parse(text).unwrap_err().to_string();
        assert!(refused("").contains("first line"));
        assert!(refused(window).contains("first line"));
        assert!(refused(&format!("{rules}\n{rules}")).contains("first line"));
        assert!(refused(&format!("{rules}\n\n{{}}")).contains("line 3"));
        assert!(refused(&rules.replace("0.01", "7.0")).contains("cannot hold"));
    }
}
