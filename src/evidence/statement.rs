//! The in-toto Statement v1: what is said (the predicate) about which things (the subjects).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::container::{ContainerError, ContainerIdentity};
use super::image::{ImageError, ImageIdentity};
use super::link::{FIELD, Link, Stage};
use super::predicate::{self, Predicate};
use crate::digest::Sha256;

/// The `_type` of a Statement v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// An in-toto `ResourceDescriptor` (v1): a thing, by name, by digest, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// A name that tells it from the other things in the same list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A URI of the thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Algorithm to lower-case hexadecimal digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Where it can be had, if not at `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_location: Option<String>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub annotations: serde_json::Map<String, Value>,
}

impl ResourceDescriptor {
    /// A thing with a name and the SHA-256 of its content.
    #[must_use]
    pub fn named(name: impl Into<String>, digest: &Sha256) -> Self {
        Self {
            name: Some(name.into()),
            digest: BTreeMap::from([("sha256".to_owned(), digest.to_string())]),
            ..Self::default()
        }
    }

    /// A thing known by its URI alone, such as an ARN; not enough for a subject.
    #[must_use]
    pub fn at(uri: impl Into<String>) -> Self {
        Self { uri: Some(uri.into()), ..Self::default() }
    }

    /// How a message should call it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.uri.as_deref()).unwrap_or("unnamed subject")
    }
}

/// A Statement. It is made by [`Statement::new`], and read by verifying an envelope, in no other way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    type_: &'static str,
    subject: Vec<ResourceDescriptor>,
    predicate_type: String,
    predicate: Value,
}

/// Why something is not a statement of ours.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not the JSON of a Statement; the source tells line and column.
    #[error("not an in-toto statement")]
    Json(#[source] serde_json::Error),
    /// Another `_type`.
    #[error("the statement's `_type` is {found:?}, expected {STATEMENT_V1:?}")]
    Type {
        /// The type found.
        found: String,
    },
    /// No subject.
    #[error("the statement has no subject")]
    NoSubject,
    /// A subject that cannot be matched.
    #[error("subject {index} ({label}) has no usable digest: {why}")]
    Digest {
        /// The subject's place, from 0.
        index: usize,
        /// Its name.
        label: String,
        /// What a digest must be.
        why: &'static str,
    },
    /// Two subjects with the same digest.
    #[error("subject {index} ({label}) is there twice")]
    Twice {
        /// The second one's place, from 0.
        index: usize,
        /// Its name.
        label: String,
    },
    /// A subject annotated as an image that is not that image.
    #[error("subject {index}")]
    Image {
        /// The subject's place, from 0.
        index: usize,
        /// What does not fit.
        #[source]
        source: ImageError,
    },
    /// A subject annotated as a container image that does not say where it lies.
    #[error("subject {index}")]
    Container {
        /// The subject's place, from 0.
        index: usize,
        /// What does not fit.
        #[source]
        source: ContainerError,
    },
    /// The predicate is not a JSON object.
    #[error("the predicate of type {predicate_type:?} is not an object")]
    NotAnObject {
        /// The predicate's type.
        predicate_type: String,
    },
    /// The predicate does not say where in the chain it stands.
    #[error("the predicate's `{FIELD}` is not a link of a chain")]
    Link(#[source] serde_json::Error),
    /// A stage may only make its own kind of statement.
    #[error("a statement of the stage {stage} has the predicate type {found:?}, expected {expected:?}")]
    PredicateType {
        /// The stage named in the link.
        stage: Stage,
        /// The type found.
        found: String,
        /// The type of that stage's statements.
        expected: &'static str,
    },
    /// The link's number is not its stage's.
    #[error("the stage {stage} has the sequence number {}, not {found}", stage.sequence())]
    Sequence {
        /// The stage named in the link.
        stage: Stage,
        /// The number found.
        found: u32,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(rename = "_type")]
    type_: String,
    subject: Vec<ResourceDescriptor>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

impl Statement {
    /// Says `predicate` about `subject`, at the place `link` in the chain.
    ///
    /// # Errors
    /// If there is no subject, one of them has no digest, or the link's stage makes other statements.
    pub fn new<P: Predicate>(
        subject: Vec<ResourceDescriptor>,
        predicate: &P,
        link: &Link,
    ) -> Result<Self, StatementError> {
        let mut said = serde_json::to_value(predicate).map_err(StatementError::Json)?;
        let Some(members) = said.as_object_mut() else {
            return Err(StatementError::NotAnObject { predicate_type: P::TYPE.to_owned() });
        };
        members.insert(FIELD.to_owned(), serde_json::to_value(link).map_err(StatementError::Link)?);
        let statement =
            Self { type_: STATEMENT_V1, subject, predicate_type: P::TYPE.to_owned(), predicate: said };
        statement.check()?;
        statement.link()?;
        Ok(statement)
    }

    /// Says something about `subject` that stands in no chain.
    ///
    /// # Errors
    /// If there is no subject, one of them has no digest, or what is said is not an object.
    pub fn apart(
        subject: Vec<ResourceDescriptor>,
        predicate_type: &str,
        predicate: &impl Serialize,
    ) -> Result<Self, StatementError> {
        let predicate = serde_json::to_value(predicate).map_err(StatementError::Json)?;
        let predicate_type = predicate_type.to_owned();
        let statement = Self { type_: STATEMENT_V1, subject, predicate_type, predicate };
        statement.check()?;
        Ok(statement)
    }

    /// Reads the payload of an envelope; private to the code that has just verified it.
    pub(super) fn parse(verified: &[u8]) -> Result<Self, StatementError> {
        let wire: Wire = serde_json::from_slice(verified).map_err(StatementError::Json)?;
        if wire.type_ != STATEMENT_V1 {
            return Err(StatementError::Type { found: wire.type_ });
        }
        let Wire { subject, predicate_type, predicate, .. } = wire;
        let statement = Self { type_: STATEMENT_V1, subject, predicate_type, predicate };
        statement.check()?;
        Ok(statement)
    }

    /// The payload: compact JSON.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    fn check(&self) -> Result<(), StatementError> {
        if self.subject.is_empty() {
            return Err(StatementError::NoSubject);
        }
        if !self.predicate.is_object() {
            return Err(StatementError::NotAnObject { predicate_type: self.predicate_type.clone() });
        }
        // A plan may speak of tens of thousands of images.
        let mut seen = BTreeSet::new();
        for (index, subject) in self.subject.iter().enumerate() {
            let label = || subject.label().to_owned();
            if subject.digest.is_empty() {
                let why = "a subject is matched by its digest alone, so it needs at least one";
                return Err(StatementError::Digest { index, label: label(), why });
            }
            if subject.digest.get("sha256").is_some_and(|hex| hex.parse::<Sha256>().is_err()) {
                let why = "`sha256` must be 64 lower-case hexadecimal digits";
                return Err(StatementError::Digest { index, label: label(), why });
            }
            if !seen.insert(&subject.digest) {
                return Err(StatementError::Twice { index, label: label() });
            }
        }
        Ok(())
    }

    /// What the statement is about; every one has a digest.
    #[must_use]
    pub fn subject(&self) -> &[ResourceDescriptor] {
        &self.subject
    }

    /// The kind of the predicate, a URI.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// What is said: a JSON object.
    #[must_use]
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }

    /// The predicate as the type it was made from.
    ///
    /// # Errors
    /// If it is of another kind or does not have that type's fields.
    pub fn predicate_as<P: Predicate + serde::de::DeserializeOwned>(&self) -> Result<P, StatementError> {
        if self.predicate_type != P::TYPE {
            return Err(StatementError::PredicateType {
                stage: P::STAGE,
                found: self.predicate_type.clone(),
                expected: P::TYPE,
            });
        }
        P::deserialize(&self.predicate).map_err(StatementError::Json)
    }

    /// The statement's place in the chain.
    ///
    /// # Errors
    /// If `bakeline_chain` is missing or malformed, or does not fit the statement's kind.
    pub fn link(&self) -> Result<Link, StatementError> {
        let link = Link::deserialize(self.predicate.get(FIELD).unwrap_or(&Value::Null))
            .map_err(StatementError::Link)?;
        let expected = predicate::type_of(link.stage);
        if self.predicate_type != expected {
            let found = self.predicate_type.clone();
            return Err(StatementError::PredicateType { stage: link.stage, found, expected });
        }
        if link.sequence != link.stage.sequence() {
            return Err(StatementError::Sequence { stage: link.stage, found: link.sequence });
        }
        Ok(link)
    }

    /// The machine images among the subjects.
    ///
    /// # Errors
    /// If a subject is annotated as an image and its digest is not that image's.
    pub fn images(&self) -> Result<Vec<ImageIdentity>, StatementError> {
        let mut images = Vec::new();
        for (index, subject) in self.subject.iter().enumerate() {
            images.extend(
                ImageIdentity::of(subject).map_err(|source| StatementError::Image { index, source })?,
            );
        }
        Ok(images)
    }

    /// The copies of container images among the subjects.
    ///
    /// # Errors
    /// If a subject is annotated as a container image and does not say where it lies.
    pub fn containers(&self) -> Result<Vec<ContainerIdentity>, StatementError> {
        let mut containers = Vec::new();
        for (index, subject) in self.subject.iter().enumerate() {
            containers.extend(
                ContainerIdentity::of(subject)
                    .map_err(|source| StatementError::Container { index, source })?,
            );
        }
        Ok(containers)
    }
}

#[cfg(test)]
mod tests;
