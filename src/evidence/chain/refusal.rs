//! Reasons to refuse a chain of statements.

use std::fmt;

use time::OffsetDateTime;

use crate::digest::Sha256;
use crate::evidence::dsse::EnvelopeError;
use crate::evidence::link::Stage;
use crate::evidence::purpose::Purpose;
use crate::evidence::statement::StatementError;
use crate::evidence::trust::VerifyError;

/// Why a chain was refused, and the file of the statement at fault.
#[derive(Debug)]
pub struct ChainError {
    /// The path of the statement's file in the artifact.
    pub file: String,
    /// The reason.
    pub refusal: Refusal,
}

impl ChainError {
    pub(super) fn new(file: &str, refusal: Refusal) -> Self {
        Self { file: file.to_owned(), refusal }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.refusal)
    }
}

impl std::error::Error for ChainError {
    /// The refusal is part of the message, so the source is the refusal's source.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.refusal)
    }
}

/// A rule of the chain that a statement or a file breaks.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A file that is not the statement expected at its position.
    #[error("is not the statement expected at this position{}", expected.as_ref().map(|p| format!(", expected {p}")).unwrap_or_default())]
    UnexpectedFile {
        /// The path expected; none after the last statement.
        expected: Option<String>,
    },
    /// A statement is missing.
    #[error("the statement of the stage {stage} is missing")]
    Missing {
        /// Its stage.
        stage: Stage,
    },
    /// The chain has more statements than expected.
    #[error("the chain continues to the stage {found}, expected it to end with {last}")]
    TooFar {
        /// The last stage found.
        found: Stage,
        /// The last stage expected.
        last: Stage,
    },
    /// Not an envelope, or one without a signature.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// A statement of the chain has exactly one signature.
    #[error("has {found} signatures, expected 1")]
    Signatures {
        /// How many there are.
        found: usize,
    },
    /// Signed by an untrusted key, or changed after it was signed.
    #[error(transparent)]
    Signature(VerifyError),
    /// The key id is not that of the key that signed.
    #[error("names the key {named:?} but was signed by {key:?} ({key_id})")]
    OtherKeyNamed {
        /// The key id in the envelope.
        named: String,
        /// The name of the key that signed.
        key: String,
        /// That key's id.
        key_id: String,
    },
    /// The envelope is not in canonical form.
    #[error("is not in the canonical form of an envelope")]
    NotCanonical,
    /// A statement without a valid link, or a malformed one.
    #[error(transparent)]
    Statement(StatementError),
    /// The key may not sign statements of this stage.
    #[error("signed by {key:?}, which may sign {}, not {stage}", names(allowed))]
    KeyNotForStage {
        /// The key's name.
        key: String,
        /// The statement's stage.
        stage: Stage,
        /// What it may sign.
        allowed: Vec<Purpose>,
    },
    /// The key may not sign statements about this service.
    #[error("signed by {key:?}, which may not sign for the service {service:?}")]
    KeyNotForService {
        /// The key's name.
        key: String,
        /// The statement's service.
        service: String,
    },
    /// The key was not valid when the statement was issued.
    #[error("signed by {key:?} at {}, when the key was not valid (from {}, before {})", written(*issued), moment(*not_before), moment(*not_after))]
    KeyNotValid {
        /// The key's name.
        key: String,
        /// When the statement was issued.
        issued: OffsetDateTime,
        /// The first moment at which the key is valid.
        not_before: Option<OffsetDateTime>,
        /// The first moment at which it is no longer valid.
        not_after: Option<OffsetDateTime>,
    },
    /// The statement of another stage in this stage's file.
    #[error("is a statement of the stage {found}, expected {expected}")]
    OtherStage {
        /// The stage of the file.
        expected: Stage,
        /// The stage found.
        found: Stage,
    },
    /// The statement's position is not that of its file.
    #[error("says it is at position {found} of the chain, expected {expected}")]
    OtherPosition {
        /// The position of the file.
        expected: u32,
        /// The position found.
        found: u32,
    },
    /// The statement is about another service.
    #[error("is about the service {found:?}, expected {expected:?}")]
    OtherService {
        /// The first statement's service.
        expected: String,
        /// The service found.
        found: String,
    },
    /// Two statements of the same attempt.
    #[error("replays {earlier}: {stage} was made by the same attempt {id}")]
    Replayed {
        /// The later one's stage.
        stage: Stage,
        /// The earlier one's stage.
        earlier: Stage,
        /// The later one's attempt.
        id: String,
    },
    /// The attempt that is about to run already made a statement.
    #[error("was made by the attempt {id}, which has not run yet")]
    OwnStatement {
        /// The statement's stage.
        stage: Stage,
        /// The attempt.
        id: String,
    },
    /// Made by another pipeline.
    #[error("is from the pipeline {found}, expected {expected}")]
    OtherPipeline {
        /// The pipeline expected.
        expected: String,
        /// The pipeline found.
        found: String,
    },
    /// Made in another run of the pipeline.
    #[error("is from the run {found}, expected {expected}")]
    OtherRun {
        /// The run expected.
        expected: String,
        /// The run found.
        found: String,
    },
    /// It names another file as the statement before it.
    #[error("follows a statement with the digest {}, expected {}", or_none(*found), or_none(*expected))]
    OtherPrevious {
        /// The digest of the file before it; none for the first.
        expected: Option<Sha256>,
        /// The digest it names.
        found: Option<Sha256>,
    },
    /// The hand-over has expired.
    #[error("expired at {}, and it is {} now", written(*expires), written(*now))]
    Expired {
        /// When it expired.
        expires: OffsetDateTime,
        /// The time of the verification.
        now: OffsetDateTime,
    },
    /// Issued in the future.
    #[error("was issued at {}, and it is only {} now", written(*issued), written(*now))]
    FromTheFuture {
        /// When it says it was issued.
        issued: OffsetDateTime,
        /// The time of the verification.
        now: OffsetDateTime,
    },
    /// Issued before the statement it follows.
    #[error("was issued at {}, before the statement it follows ({})", written(*issued), written(*earlier))]
    BeforeItsPredecessor {
        /// When it says it was issued.
        issued: OffsetDateTime,
        /// When the one before it was.
        earlier: OffsetDateTime,
    },
    /// A subject that the first statement does not have.
    #[error("is about {label}, which the first statement is not about")]
    OtherImage {
        /// The subject's name.
        label: String,
    },
    /// Made from another source artifact.
    #[error("is about a release from the source {}, expected {}", or_none(*found), or_none(*expected))]
    OtherSource {
        /// The first statement's source.
        expected: Option<Sha256>,
        /// The source found.
        found: Option<Sha256>,
    },
    /// A file has changed since the statement was signed.
    #[error("the file {path} has the digest {found}, the statement has {expected}")]
    FileChanged {
        /// The file's path.
        path: String,
        /// The digest in the statement.
        expected: Sha256,
        /// The digest of the file.
        found: Sha256,
    },
    /// A file that a statement lists is missing.
    #[error("the file {path} is missing from the artifact")]
    FileMissing {
        /// The file's path.
        path: String,
    },
    /// A file that the last statement does not list.
    #[error("the file {path} is in the artifact but no statement lists it")]
    FileExtra {
        /// The file's path.
        path: String,
    },
}

fn names(purposes: &[Purpose]) -> String {
    purposes.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().join(", ")
}

fn moment(moment: Option<OffsetDateTime>) -> String {
    moment.map_or_else(|| "any time".to_owned(), written)
}

/// A moment as RFC 3339 writes it: `2026-01-01T00:00:00Z`.
fn written(moment: OffsetDateTime) -> String {
    moment.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

fn or_none(digest: Option<Sha256>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}
