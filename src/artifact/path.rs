//! Paths of entries: relative, without `..`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest path, in bytes (`PATH_MAX` of Linux, less its NUL).
pub const MAX_PATH: usize = 4095;
/// Longest component of a path, in bytes (`NAME_MAX` of the usual file systems).
pub const MAX_COMPONENT: usize = 255;

/// A valid path of a file in an archive: components joined by `/`, none of them empty, `.` or `..`, without backslash,
/// drive letter or control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryPath(String);

/// Why a name is not a valid [`EntryPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathFault {
    /// The name is empty.
    #[error("it is empty")]
    Empty,
    /// Longer than `PATH_MAX` bytes (4095).
    #[error("it is {0} bytes long, more than {MAX_PATH}")]
    TooLong(usize),
    /// One component is longer than `NAME_MAX` bytes (255).
    #[error("it has a component of {0} bytes, more than {MAX_COMPONENT}")]
    ComponentTooLong(usize),
    /// Contains a NUL byte.
    #[error("it contains a NUL byte")]
    Nul,
    /// Contains another control character.
    #[error("it contains a control character")]
    Control,
    /// Contains a backslash, a separator on some systems.
    #[error("it contains a backslash")]
    Backslash,
    /// Begins with `/`.
    #[error("it is absolute")]
    Absolute,
    /// Begins with a drive letter and a colon.
    #[error("it begins with a drive letter")]
    DriveLetter,
    /// Has a component `..`.
    #[error("it has a component `..`")]
    Parent,
    /// Has a component `.`.
    #[error("it has a component `.`")]
    Dot,
    /// Has an empty component (`//`, or `/` at its end).
    #[error("it has an empty component")]
    EmptyComponent,
    /// The bytes are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl EntryPath {
    /// Checks a path.
    ///
    /// # Errors
    /// The first [`PathFault`] found.
    pub fn new(path: impl Into<String>) -> Result<Self, PathFault> {
        let path = path.into();
        check(&path)?;
        Ok(Self(path))
    }

    /// The root of an archive. No caller can name it: [`EntryPath::new`] refuses `.`.
    pub(super) fn root() -> Self {
        Self(".".to_owned())
    }

    /// The path as text, components joined by `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parent folders, outermost first: `a` and `a/b` of `a/b/c`.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }
}

fn check(path: &str) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong(path.len()));
    }
    if path.contains('\0') {
        return Err(PathFault::Nul);
    }
    if path.contains(char::is_control) {
        return Err(PathFault::Control);
    }
    if path.contains('\\') {
        return Err(PathFault::Backslash);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    if let [letter, b':', ..] = path.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        return Err(PathFault::DriveLetter);
    }
    for component in path.split('/') {
        match component {
            "" => return Err(PathFault::EmptyComponent),
            "." => return Err(PathFault::Dot),
            ".." => return Err(PathFault::Parent),
            long if long.len() > MAX_COMPONENT => return Err(PathFault::ComponentTooLong(long.len())),
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EntryPath {
    type Err = PathFault;

    fn from_str(path: &str) -> Result<Self, PathFault> {
        Self::new(path)
    }
}

impl TryFrom<String> for EntryPath {
    type Error = PathFault;

    fn try_from(path: String) -> Result<Self, PathFault> {
        Self::new(path)
    }
}

impl TryFrom<&str> for EntryPath {
    type Error = PathFault;

    fn try_from(path: &str) -> Result<Self, PathFault> {
        Self::new(path)
    }
}

impl From<EntryPath> for String {
    fn from(path: EntryPath) -> Self {
        path.0
    }
}

impl Borrow<str> for EntryPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for EntryPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_relative_paths_are_accepted() {
        for path in ["a", "bakeline.yaml", "dir/file.txt", "a/b/c", "..a", "a..", "...", "ab:c", "Ü/ß", "-rf"]
        {
            assert_eq!(EntryPath::new(path).map(String::from), Ok(path.to_owned()));
        }
    }

    #[test]
    fn every_invalid_path_is_refused_with_its_fault() {
        let long = "a/".repeat(2048) + "a";
        let wide = "b".repeat(256);
        let table: &[(&str, PathFault)] = &[
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("//host/share", PathFault::Absolute),
            ("..", PathFault::Parent),
            ("../x", PathFault::Parent),
            ("a/../../x", PathFault::Parent),
            ("a/..", PathFault::Parent),
            ("./a", PathFault::Dot),
            ("a/./b", PathFault::Dot),
            ("a//b", PathFault::EmptyComponent),
            ("a/", PathFault::EmptyComponent),
            ("a\\..\\b", PathFault::Backslash),
            ("C:/x", PathFault::DriveLetter),
            ("c:x", PathFault::DriveLetter),
            ("a\0b", PathFault::Nul),
            ("a\nb", PathFault::Control),
            ("a\u{1b}[2Jb", PathFault::Control),
            (&long, PathFault::TooLong(4097)),
            (&wide, PathFault::ComponentTooLong(256)),
        ];
        for (path, fault) in table {
            assert_eq!(EntryPath::new(*path), Err(*fault), "{path:?}");
        }
    }

    #[test]
    fn folders_are_the_strict_prefixes() {
        let path = EntryPath::new("a/b/c").unwrap();
        assert_eq!(path.folders().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn deserializing_checks_the_path() {
        assert!(serde_json::from_str::<EntryPath>("\"../x\"").is_err());
        assert_eq!(serde_json::from_str::<EntryPath>("\"x\"").unwrap().as_str(), "x");
    }
}
