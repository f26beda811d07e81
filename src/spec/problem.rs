//! Mistakes in a spec file, with their positions.

use std::fmt;

/// A position in a file. Lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line number.
    pub line: usize,
    /// Column number.
    pub column: usize,
}

impl Position {
    /// The start of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One mistake: its position, what is wrong, what was expected, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Position of the mistake.
    pub at: Position,
    /// JSON pointer (RFC 6901) of the value.
    pub pointer: String,
    /// What is wrong.
    pub what: String,
    /// What was expected: the message continues with it after the word "expected".
    pub expected: Option<String>,
    /// How to correct it.
    pub hint: Option<String>,
}

/// Every mistake in one spec file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecErrors {
    file: String,
    problems: Vec<SpecProblem>,
}

impl SpecErrors {
    /// Most problems that are printed; the rest are counted.
    const PRINTED: usize = 50;

    pub(super) fn new(file: &str, mut problems: Vec<SpecProblem>) -> Self {
        problems.sort_by(|one, other| {
            (one.at, &one.pointer, &one.what).cmp(&(other.at, &other.pointer, &other.what))
        });
        problems.dedup();
        Self { file: file.to_owned(), problems }
    }

    /// Name of the file in messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[SpecProblem] {
        &self.problems
    }
}

impl std::error::Error for SpecErrors {}

impl fmt::Display for SpecErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(Self::PRINTED).enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            let Position { line, column } = problem.at;
            write!(out, "{}:{line}:{column}: {}", self.file, problem.what)?;
            if let Some(expected) = &problem.expected {
                write!(out, "\n  expected {expected}")?;
            }
            if let Some(hint) = &problem.hint {
                write!(out, "\n  hint: {hint}")?;
            }
        }
        match self.problems.len().saturating_sub(Self::PRINTED) {
            0 => Ok(()),
            more => write!(out, "\n{}: {more} more", self.file),
        }
    }
}

/// A text of the file for a message: quoted, control characters escaped, shortened.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The known name that is most like a name, if one is like it at all.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // The distance takes quadratic time, and no known name is long.
    if name.len() > 64 {
        return None;
    }
    let lowered = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
