//! The trust root: the public keys, what each may sign, for which services, and when.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use time::OffsetDateTime;

use super::dsse::{Envelope, Signature};
use super::key::{KeyError, PublicKey};
use super::purpose::Purpose;
use super::statement::{Statement, StatementError};

/// The longest trust root that is read, in bytes.
pub const MAX_TRUST_ROOT_BYTES: usize = 256 * 1024;

/// The most keys of a trust root; the verifier tries each on each signature.
pub const MAX_KEYS: usize = 64;

/// The version of the trust root's format.
const VERSION: u32 = 1;

/// Named public keys, and what each may sign.
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
    /// The statements that it may sign; at least one kind.
    pub may_sign: Vec<Purpose>,
    /// The services whose statements it may sign; none is every service.
    pub services: Option<Vec<String>>,
    /// Statements issued before this moment are refused.
    pub not_before: Option<OffsetDateTime>,
    /// Statements issued at this moment or later are refused.
    pub not_after: Option<OffsetDateTime>,
}

/// A position in a trust root: line and column, from 1.
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

/// Why a text is not a trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
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
    /// Not YAML or JSON with the members of a trust root; the message has what was expected.
    #[error("trust root{}: {message}", at.map(|at| format!(", {at}")).unwrap_or_default())]
    Shape {
        /// Where, if known.
        at: Option<Position>,
        /// What is wrong.
        message: String,
    },
    /// Another version of the format.
    #[error("trust root, {at}: version is {found}, expected {VERSION}")]
    Version {
        /// Where.
        at: Position,
        /// The version found.
        found: u32,
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
    /// A name or a public key for the second time.
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
    /// The public key cannot be read.
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
    /// `may_sign` or `services` is empty, or has an item twice.
    #[error("trust root, {at}: `{field}` of {name:?} must have at least one item and none twice")]
    List {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
        /// The field.
        field: &'static str,
    },
    /// Not a time.
    #[error("trust root, {at}: `{field}` of {name:?} is not an RFC 3339 time, such as 2026-01-31T00:00:00Z")]
    Time {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
        /// The field.
        field: &'static str,
    },
    /// The key is valid at no time.
    #[error("trust root, {at}: `not_after` of {name:?} is not later than its `not_before`")]
    NeverValid {
        /// Where.
        at: Position,
        /// The key's name.
        name: String,
    },
}

/// Why no trusted key verifies an envelope.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No trusted key made the signature, and the envelope names none.
    #[error("signed by the key {keyid:?}, which the trust root does not have")]
    UntrustedKey {
        /// The key id in the envelope.
        keyid: String,
    },
    /// The envelope names a trusted key that did not make the signature over this payload.
    #[error("the key {key:?} did not make the signature over this payload")]
    BadSignature {
        /// The key's name.
        key: String,
    },
    /// A trusted key signed the payload, but it is not a statement.
    #[error("the payload signed by {key:?} is not a statement")]
    Statement {
        /// The key's name.
        key: String,
        /// What is wrong with it.
        #[source]
        source: StatementError,
    },
}

/// The verified content of an envelope.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The statement, parsed from the verified bytes.
    pub statement: Statement,
    /// The key that verified them.
    pub key: &'a TrustedKey,
    /// The signature that the key verified.
    pub signature: Signature,
}

/// The trust root: the public keys whose statements are accepted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bakeline trust root")]
struct Wire {
    /// The version of this format.
    #[schemars(with = "u32", extend("const" = 1))]
    version: Spanned<u32>,
    /// The keys, 1 to 64.
    #[schemars(with = "Vec<WireKey>")]
    keys: Spanned<Vec<WireKey>>,
}

/// A public key, and what it may sign.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key")]
struct WireKey {
    /// A name for messages, unique in the file.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// The public key on P-256 as PEM (PUBLIC KEY).
    #[schemars(with = "String")]
    public_key: Spanned<String>,
    /// The statements that the key may sign.
    #[schemars(with = "Vec<Purpose>")]
    may_sign: Spanned<Vec<Purpose>>,
    /// The services whose statements the key may sign; without it, every service.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    services: Option<Spanned<Vec<String>>>,
    /// Statements issued before this moment (RFC 3339) are refused.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    not_before: Option<Spanned<String>>,
    /// Statements issued at this moment (RFC 3339) or later are refused.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    not_after: Option<Spanned<String>>,
}

/// The JSON Schema of a trust root.
#[must_use]
pub fn schema() -> serde_json::Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Wire>();
    schema.insert("$id".to_owned(), "https://bakeline.dev/schema/trust/v1".into());
    let mut schema = schema.to_value();
    crate::json_schema::remove_extensions(&mut schema);
    schema
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

    /// Reads a trust root from YAML or JSON; `bakeline schema trust` prints its JSON Schema.
    ///
    /// # Errors
    /// See [`TrustError`]: unknown fields, duplicates and empty lists are refused with line and column.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        if text.len() > MAX_TRUST_ROOT_BYTES {
            return Err(TrustError::TooLong { bytes: text.len() });
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let text = crate::text::yaml(text);
        let wire: Wire = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
            let at = error.location().map(position);
            TrustError::Shape { at, message: error.without_snippet().to_string() }
        })?;
        if wire.version.value != VERSION {
            let at = position(wire.version.referenced);
            return Err(TrustError::Version { at, found: wire.version.value });
        }
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

    /// Verifies an envelope with the trusted keys and reads the statement from the verified bytes.
    ///
    /// The result says *who* signed. [`super::chain::verify`] checks whether that key may sign such a statement at
    /// that time, and whether the statement belongs to the release.
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
    /// Whether the key may sign statements of this kind, for a stage or a purpose.
    #[must_use]
    pub fn may_sign(&self, purpose: impl Into<Purpose>) -> bool {
        self.may_sign.contains(&purpose.into())
    }

    /// Whether the key may sign statements about this service.
    #[must_use]
    pub fn may_sign_for(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|allowed| allowed == service))
    }

    /// Whether the key is valid at `moment`: not before `not_before`, and before `not_after`.
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
    let list = |field, at: Location| TrustError::List { at: position(at), name: name.clone(), field };
    let may_sign = wire.may_sign.value;
    if !is_set(&may_sign) {
        return Err(list("may_sign", wire.may_sign.referenced));
    }
    let services = match wire.services {
        Some(services) if !is_set(&services.value) => return Err(list("services", services.referenced)),
        services => services.map(|services| services.value),
    };
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
    Ok(TrustedKey { name, public_key, may_sign, services, not_before, not_after })
}

/// Whether a list has at least one item and none twice.
fn is_set<T: PartialEq>(items: &[T]) -> bool {
    !items.is_empty() && items.iter().enumerate().all(|(i, item)| !items.iter().take(i).any(|i| i == item))
}

fn position(location: Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

#[cfg(test)]
mod tests;
