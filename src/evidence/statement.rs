//! The in-toto Statement v1: a predicate about subjects.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::container::{ContainerError, ContainerIdentity};
use super::image::{CONTENT_DIGEST, IDENTITY_DIGEST, ImageError, ImageIdentity};
use super::link::{FIELD, Link, Stage};
use super::predicate::{self, Predicate};
use super::resource::ResourceDescriptor;
use crate::digest::Sha256;

/// The `_type` of a Statement v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// A Statement v1. [`Statement::new`] makes one; verifying an envelope is the only way to read one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    type_: &'static str,
    subject: Vec<ResourceDescriptor>,
    predicate_type: String,
    predicate: Value,
}

/// Why a JSON document is not a statement that we can use.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not the JSON of a Statement; the source has the line and the column.
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
    /// A subject without a digest that can be matched.
    #[error("subject {index} ({label}) has no usable digest: {why}")]
    Digest {
        /// The subject's index, from 0.
        index: usize,
        /// Its name.
        label: String,
        /// What a digest must be.
        why: &'static str,
    },
    /// Two subjects with the same digest.
    #[error("subject {index} ({label}) is listed twice")]
    Twice {
        /// The second one's index, from 0.
        index: usize,
        /// Its name.
        label: String,
    },
    /// A subject annotated as a machine image that is not that image.
    #[error("subject {index}")]
    Image {
        /// The subject's index, from 0.
        index: usize,
        /// What does not match.
        #[source]
        source: ImageError,
    },
    /// A subject annotated as a container image without a repository.
    #[error("subject {index}")]
    Container {
        /// The subject's index, from 0.
        index: usize,
        /// What does not match.
        #[source]
        source: ContainerError,
    },
    /// The predicate is not a JSON object.
    #[error("the predicate of type {predicate_type:?} is not an object")]
    NotAnObject {
        /// The predicate's type.
        predicate_type: String,
    },
    /// The predicate has no valid link of the chain.
    #[error("the predicate's `{FIELD}` is not a link of a chain")]
    Link(#[source] serde_json::Error),
    /// The predicate type belongs to another stage.
    #[error("a statement of the stage {stage} has the predicate type {found:?}, expected {expected:?}")]
    PredicateType {
        /// The stage named in the link.
        stage: Stage,
        /// The type found.
        found: String,
        /// The type of that stage's statements.
        expected: &'static str,
    },
}

/// The digest algorithms that we know, and what their values must be.
const DIGESTS: [(&str, &str); 3] = [
    ("sha256", "`sha256` must be 64 lower-case hexadecimal digits"),
    (IDENTITY_DIGEST, "`bakeline_imageIdentityV1` must be 64 lower-case hexadecimal digits"),
    (CONTENT_DIGEST, "`bakeline_ebsContentV1` must be 64 lower-case hexadecimal digits"),
];

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
    /// A statement of the chain: `predicate` about `subject`, with `link` as a member of the predicate.
    ///
    /// # Errors
    /// There is no subject, a subject has no digest, or the predicate type belongs to another stage than the link.
    pub fn new<P: Predicate>(
        subject: Vec<ResourceDescriptor>,
        predicate: &P,
        link: &Link,
    ) -> Result<Self, StatementError> {
        let mut value = serde_json::to_value(predicate).map_err(StatementError::Json)?;
        let Some(members) = value.as_object_mut() else {
            return Err(StatementError::NotAnObject { predicate_type: P::TYPE.to_owned() });
        };
        members.insert(FIELD.to_owned(), serde_json::to_value(link).map_err(StatementError::Link)?);
        let statement =
            Self { type_: STATEMENT_V1, subject, predicate_type: P::TYPE.to_owned(), predicate: value };
        statement.check()?;
        statement.link()?;
        Ok(statement)
    }

    /// A statement outside the chain: `predicate` about `subject`, without a link.
    ///
    /// # Errors
    /// There is no subject, a subject has no digest, or the predicate is not an object.
    pub fn standalone(
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

    /// Reads the payload of an envelope; private to the code that verified it.
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
        // A cleanup plan may have tens of thousands of subjects.
        let mut seen = BTreeSet::new();
        for (index, subject) in self.subject.iter().enumerate() {
            let label = || subject.label().to_owned();
            if subject.digest.is_empty() {
                let why = "a subject is matched by its digest alone, so it needs at least one";
                return Err(StatementError::Digest { index, label: label(), why });
            }
            for (algorithm, why) in DIGESTS {
                if subject.digest.get(algorithm).is_some_and(|hex| hex.parse::<Sha256>().is_err()) {
                    return Err(StatementError::Digest { index, label: label(), why });
                }
            }
            if !seen.insert(&subject.digest) {
                return Err(StatementError::Twice { index, label: label() });
            }
        }
        Ok(())
    }

    /// The subjects; every one has a digest.
    #[must_use]
    pub fn subject(&self) -> &[ResourceDescriptor] {
        &self.subject
    }

    /// The predicate type, a URI.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The predicate, a JSON object.
    #[must_use]
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }

    /// The predicate as its Rust type.
    ///
    /// # Errors
    /// The predicate has another type, or lacks a member of that type.
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

    /// The statement's link in the chain.
    ///
    /// # Errors
    /// `bakeline_chain` is missing or malformed, or names a stage that makes other statements.
    pub fn link(&self) -> Result<Link, StatementError> {
        let link = Link::deserialize(self.predicate.get(FIELD).unwrap_or(&Value::Null))
            .map_err(StatementError::Link)?;
        let expected = predicate::type_of(link.stage);
        if self.predicate_type != expected {
            let found = self.predicate_type.clone();
            return Err(StatementError::PredicateType { stage: link.stage, found, expected });
        }
        Ok(link)
    }

    /// The machine images among the subjects.
    ///
    /// # Errors
    /// A subject is annotated as a machine image and its digest does not match that image.
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
    /// A subject is annotated as a container image without a repository.
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
