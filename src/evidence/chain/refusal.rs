//! Why a chain of statements is refused.

use std::fmt;

use time::OffsetDateTime;

use crate::digest::Sha256;
use crate::evidence::dsse::EnvelopeError;
use crate::evidence::link::Stage;
use crate::evidence::statement::StatementError;
use crate::evidence::trust::VerifyError;

/// A chain was refused: the file in which, and why.
#[derive(Debug)]
pub struct ChainError {
    /// The path of the statement's file in the artifact.
    pub file: String,
    /// What does not hold.
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
    /// The refusal is part of the message, so the source is what lies behind it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.refusal)
    }
}

/// What does not hold in a chain.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A file that should not be there, or not yet.
    #[error("is not a statement that belongs here{}", expected.map(|p| format!(", expected {p}")).unwrap_or_default())]
    UnexpectedFile {
        /// The path expected at this place; none after the last.
        expected: Option<&'static str>,
    },
    /// A statement that should be there.
    #[error("the statement of the stage {stage} is missing")]
    Missing {
        /// Its stage.
        stage: Stage,
    },
    /// The chain goes on where it should end.
    #[error("the chain goes on to {found}, expected it to end with {last}")]
    TooFar {
        /// The last stage found.
        found: Stage,
        /// The last stage expected.
        last: Stage,
    },
    /// Not an envelope, or an unsigned one.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// Our statements carry one signature; a second would be outside every digest.
    #[error("carries {found} signatures, expected 1")]
    Signatures {
        /// How many there are.
        found: usize,
    },
    /// Signed by a stranger, or changed after it was signed.
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
    /// The same statement, but not the bytes we would have written.
    #[error("is not in the one form in which statements are written")]
    NotCanonical,
    /// A statement that has no place in a chain, or is malformed.
    #[error(transparent)]
    Statement(StatementError),
    /// The key may sign, but not for this stage.
    #[error("signed by {key:?}, which may sign for {}, not for {stage}", names(allowed))]
    KeyNotForStage {
        /// The key's name.
        key: String,
        /// The statement's stage.
        stage: Stage,
        /// The stages it may sign for.
        allowed: Vec<Stage>,
    },
    /// The key did not count when the statement was issued.
    #[error("signed by {key:?} at {issued}, when the key was not valid (from {}, before {})", moment(*not_before), moment(*not_after))]
    KeyNotValid {
        /// The key's name.
        key: String,
        /// When the statement was issued.
        issued: OffsetDateTime,
        /// From when on the key counts.
        not_before: Option<OffsetDateTime>,
        /// Until when it counts.
        not_after: Option<OffsetDateTime>,
    },
    /// Another stage's statement under this stage's name.
    #[error("is a statement of the stage {found}, expected {expected}")]
    OtherStage {
        /// The stage of this place.
        expected: Stage,
        /// The stage found.
        found: Stage,
    },
    /// The same run twice, or the same place.
    #[error("replays {earlier}: {stage} was made by the action execution {id}, or stands in the same place")]
    Replayed {
        /// The later one's stage.
        stage: Stage,
        /// The earlier one's stage.
        earlier: Stage,
        /// The later one's action execution.
        id: String,
    },
    /// The action that is about to run has already spoken.
    #[error("was made by the action execution {id}, which is only about to run")]
    OwnStatement {
        /// The statement's stage.
        stage: Stage,
        /// The action execution.
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
    /// Made in another execution of the pipeline.
    #[error("is from the pipeline execution {found}, expected {expected}")]
    OtherExecution {
        /// The execution expected.
        expected: String,
        /// The execution found.
        found: String,
    },
    /// It does not follow the statement before it.
    #[error("follows a statement with the digest {}, expected {}", or_none(*found), or_none(*expected))]
    OtherPrevious {
        /// The digest of the file before it; none for the first.
        expected: Option<Sha256>,
        /// The digest it names.
        found: Option<Sha256>,
    },
    /// Too old to act on.
    #[error("expired at {expires}, and now is {now}")]
    Expired {
        /// When it expired.
        expires: OffsetDateTime,
        /// The moment of the judgement.
        now: OffsetDateTime,
    },
    /// Issued later than now.
    #[error("was issued at {issued}, and now is only {now}")]
    FromTheFuture {
        /// When it says it was issued.
        issued: OffsetDateTime,
        /// The moment of the judgement.
        now: OffsetDateTime,
    },
    /// Issued before the statement it follows.
    #[error("was issued at {issued}, before the statement it follows ({earlier})")]
    BeforeItsPredecessor {
        /// When it says it was issued.
        issued: OffsetDateTime,
        /// When the one before it was.
        earlier: OffsetDateTime,
    },
    /// About something the first statement is not about.
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
    /// A file is not what was signed.
    #[error("the file {path} has the digest {found}, signed was {expected}")]
    FileChanged {
        /// The file's path.
        path: String,
        /// The digest signed.
        expected: Sha256,
        /// The digest of the file at hand.
        found: Sha256,
    },
    /// A file that was signed is gone.
    #[error("the file {path} is missing from the artifact")]
    FileMissing {
        /// The file's path.
        path: String,
    },
    /// A file nobody signed.
    #[error("the file {path} is in the artifact but was not signed")]
    FileExtra {
        /// The file's path.
        path: String,
    },
}

fn names(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ")
}

fn moment(moment: Option<OffsetDateTime>) -> String {
    moment.map_or_else(|| "any time".to_owned(), |moment| moment.to_string())
}

fn or_none(digest: Option<Sha256>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}
