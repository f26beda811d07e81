//! The trust root: whose signatures count, for which stages, and when.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use time::OffsetDateTime;

use super::dsse::{Envelope, Signature};
use super::key::{KeyError, PublicKey};
use super::link::Stage;
use super::statement::{Statement, StatementError};

/// The longest trust root that is read, in bytes.
pub const MAX_TRUST_ROOT_BYTES: usize = 256 * 1024;

/// The most keys of a trust root; each is tried on each signature.
pub const MAX_KEYS: usize = 64;

/// Named public keys and what each may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot {
    keys: Vec<TrustedKey>,
}

/// One key of a trust root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key's name, for people.
    pub name: String,
    /// The key.
    pub public_key: PublicKey,
    /// The stages whose statements it may sign; at least one.
    pub stages: Vec<Stage>,
    /// What it signs before this moment does not count.
    pub not_before: Option<OffsetDateTime>,
    /// What it signs from this moment on does not count.
    pub not_after: Option<OffsetDateTime>,
}

/// A place in a trust root, as the text of a message: line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a file is not a trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("the trust root {path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Longer than [`MAX_TRUST_ROOT_BYTES`].
    #[error("the trust root has {bytes} bytes, more than the {MAX_TRUST_ROOT_BYTES} that are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not YAML or JSON of the right shape; the message has what was expected.
    #[error("trust root{}: {message}", at.map(|at| format!(", {at}")).unwrap_or_default())]
    Shape {
        /// Where, if known.
        at: Option<Position>,
        /// What is wrong.
        message: String,
    },
    /// No key, or more than [`MAX_KEYS`].
    #[error("trust root, {at}: {found} keys, expected 1 to {MAX_KEYS}")]
    Count {
        /// Where.
        at: Position,
        /// How many there are.
        found: usize,
    },
    /// A key without a name.
    #[error("trust root, {at}: a key's name must not be empty")]
    Unnamed {
        /// Where.
        at: Position,
    },
    /// A name, or a key under another name, for the second time.
    #[error("trust root, {at}: the key {name:?} repeats the {what} of {earlier:?}")]
    Twice {
        /// Where the second one is.
        at: Position,
        /// The second one's name.
        name: String,
        /// What is repeated: `name` or `public key`.
        what: &'static str,
        /// The first one's name.
        earlier: String,
    },
    /// Not a public key.
    #[error("trust root, {at}: the public key of {name:?} cannot be used")]
    Key {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// No stage, or one twice.
    #[error(
        "trust root, {at}: the stages of {name:?} must be at least one of bake, test, promote, cleanup, none twice"
    )]
    Stages {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
    },
    /// Not a time.
    #[error(
        "trust root, {at}: `{field}` of {name:?} is not a time as RFC 3339 writes it, such as 2026-01-31T00:00:00Z"
    )]
    Time {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
        /// The field.
        field: &'static str,
    },
    /// The key is never valid.
    #[error("trust root, {at}: `not_after` of {name:?} is not later than its `not_before`")]
    NeverValid {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
    },
}

/// Why an envelope was not opened.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It names a key that is not trusted, and none of the trusted keys made its signature.
    #[error("signed by the key {keyid:?}, which the trust root does not have")]
    UntrustedKey {
        /// The key id in the envelope, only a hint.
        keyid: String,
    },
    /// It names a trusted key, which did not make the signature over this payload.
    #[error("the signature is not the one the key {key:?} makes for this payload")]
    BadSignature {
        /// The key's name.
        key: String,
    },
    /// Rightly signed, but not a statement.
    #[error("the payload signed by {key:?} is not a statement")]
    Statement {
        /// The key's name.
        key: String,
        /// What it lacks.
        #[source]
        source: StatementError,
    },
}

/// What was in an envelope, and who vouches for it.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The statement, parsed from the bytes that were verified.
    pub statement: Statement,
    /// The key that verified them.
    pub key: &'a TrustedKey,
    /// The signature it verified.
    pub signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    keys: Spanned<Vec<WireKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKey {
    name: Spanned<String>,
    public_key: Spanned<String>,
    stages: Spanned<Vec<Stage>>,
    #[serde(default)]
    not_before: Option<Spanned<String>>,
    #[serde(default)]
    not_after: Option<Spanned<String>>,
}

impl TrustRoot {
    /// Reads a trust root from a file.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn from_file(path: &Path) -> Result<Self, TrustError> {
        use std::io::Read as _;
        let failed = |source| TrustError::File { path: path.display().to_string(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_TRUST_ROOT_BYTES as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text)
    }

    /// Reads a trust root from YAML or JSON: `keys`, a list of `name`, `public_key` (PEM), `stages`, and
    /// optionally `not_before` and `not_after` (RFC 3339).
    ///
    /// # Errors
    /// See [`TrustError`]: unknown fields, duplicates and emptiness are refused, with their place.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        if text.len() > MAX_TRUST_ROOT_BYTES {
            return Err(TrustError::TooLong { bytes: text.len() });
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let wire: Wire = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let at = error.location().map(position);
            TrustError::Shape { at, message: error.without_snippet().to_string() }
        })?;
        let at = position(wire.keys.referenced);
        let found = wire.keys.value.len();
        if !(1..=MAX_KEYS).contains(&found) {
            return Err(TrustError::Count { at, found });
        }
        let mut keys: Vec<TrustedKey> = Vec::with_capacity(found);
        for wire in wire.keys.value {
            let name_at = position(wire.name.referenced);
            let key_at = position(wire.public_key.referenced);
            let key = trusted_key(wire)?;
            let twice = |at, what, earlier: &TrustedKey| TrustError::Twice {
                at,
                name: key.name.clone(),
                what,
                earlier: earlier.name.clone(),
            };
            if let Some(earlier) = keys.iter().find(|k| k.name == key.name) {
                return Err(twice(name_at, "name", earlier));
            }
            if let Some(earlier) = keys.iter().find(|k| k.public_key == key.public_key) {
                return Err(twice(key_at, "public key", earlier));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The keys, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Verifies an envelope with the trusted keys and reads the statement from the bytes verified.
    ///
    /// This says *who* signed. Whether that key may sign for that stage at that time, and whether the
    /// statement belongs to the release at hand, is judged by [`super::chain::verify`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn open(&self, envelope: &Envelope) -> Result<Opened<'_>, VerifyError> {
        for key in &self.keys {
            if let Some((payload, signature)) = envelope.verified_by(&key.public_key) {
                let statement = Statement::parse(payload)
                    .map_err(|source| VerifyError::Statement { key: key.name.clone(), source })?;
                return Ok(Opened { statement, key, signature: signature.clone() });
            }
        }
        let mut hints = envelope.signatures().iter().map(|s| &s.keyid);
        let named = hints.clone().find_map(|id| self.keys.iter().find(|k| k.public_key.id() == *id));
        Err(match named {
            Some(key) => VerifyError::BadSignature { key: key.name.clone() },
            None => VerifyError::UntrustedKey { keyid: hints.next().cloned().unwrap_or_default() },
        })
    }
}

impl TrustedKey {
    /// Whether the key may sign for `stage`.
    #[must_use]
    pub fn may_sign(&self, stage: Stage) -> bool {
        self.stages.contains(&stage)
    }

    /// Whether the key counts at `moment`: not before `not_before`, and before `not_after`.
    #[must_use]
    pub fn valid_at(&self, moment: OffsetDateTime) -> bool {
        self.not_before.is_none_or(|from| from <= moment) && self.not_after.is_none_or(|until| moment < until)
    }
}

fn trusted_key(wire: WireKey) -> Result<TrustedKey, TrustError> {
    let at = position(wire.name.referenced);
    let name = wire.name.value;
    if name.trim().is_empty() {
        return Err(TrustError::Unnamed { at });
    }
    let public_key = PublicKey::from_pem(&wire.public_key.value).map_err(|source| TrustError::Key {
        at: position(wire.public_key.referenced),
        name: name.clone(),
        source,
    })?;
    let stages = wire.stages.value;
    let repeated = stages.iter().enumerate().any(|(i, stage)| stages.iter().take(i).any(|s| s == stage));
    if stages.is_empty() || repeated {
        return Err(TrustError::Stages { at: position(wire.stages.referenced), name });
    }
    let moment = |field, text: Option<Spanned<String>>| {
        let Some(text) = text else { return Ok(None) };
        OffsetDateTime::parse(&text.value, &time::format_description::well_known::Rfc3339)
            .map(Some)
            .map_err(|_| TrustError::Time { at: position(text.referenced), name: name.clone(), field })
    };
    let end_at = wire.not_after.as_ref().map_or(at, |text| position(text.referenced));
    let not_before = moment("not_before", wire.not_before)?;
    let not_after = moment("not_after", wire.not_after)?;
    if not_before.zip(not_after).is_some_and(|(from, until)| until <= from) {
        return Err(TrustError::NeverValid { at: end_at, name });
    }
    Ok(TrustedKey { name, public_key, stages, not_before, not_after })
}

fn position(location: Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

#[cfg(test)]
mod tests;
