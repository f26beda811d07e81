//! What can go wrong with an artifact, and what a caller should make of it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use thiserror::Error;

use super::fault::ArchiveFault;
use crate::digest::Sha256;

/// Where an artifact lies in S3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The object key.
    pub key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Where an archive was read from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An object in S3.
    S3(Location),
    /// A local file.
    File(PathBuf),
    /// Bytes in memory, or a scratch file.
    Memory,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(at) => at.fmt(f),
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str("the archive"),
        }
    }
}

/// The error an SDK call ended with, whichever operation it was.
pub type CallError = Box<dyn StdError + Send + Sync>;

/// Why an artifact could not be read or stored. The texts name the artifact and what was done; the reason,
/// where there is one beneath, is the source.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The archive itself is at fault.
    #[error("{origin} is refused")]
    Refused {
        /// The archive.
        origin: Origin,
        /// What is wrong with it.
        #[source]
        fault: ArchiveFault,
    },
    /// There is no such object or bucket.
    #[error("{at} does not exist")]
    NotFound {
        /// The object.
        at: Location,
        /// S3's answer.
        #[source]
        source: CallError,
    },
    /// S3 refuses the call. It also does so for a missing object if the caller may not list the bucket.
    #[error("{call} on {at} is denied (S3 says so of a missing object too, without s3:ListBucket)")]
    Denied {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// S3's answer.
        #[source]
        source: CallError,
    },
    /// The credentials have expired; fresh ones come with `GetJobDetails`.
    #[error("the credentials for {call} on {at} have expired")]
    ExpiredCredentials {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// S3's answer.
        #[source]
        source: CallError,
    },
    /// The object was replaced between two reads.
    #[error("{at} changed while it was being read (it had ETag {etag})")]
    Changed {
        /// The object.
        at: Location,
        /// The `ETag` of the first read.
        etag: String,
    },
    /// Another object is already where this one should go.
    #[error("{at} is taken by another artifact, with SHA-256 {digest}")]
    Occupied {
        /// The object.
        at: Location,
        /// Digest of what is there.
        digest: Sha256,
    },
    /// What was read has another digest than what was expected.
    #[error("{at} has SHA-256 {found}, expected {expected}")]
    DigestMismatch {
        /// The object.
        at: Location,
        /// Digest of what should be there.
        expected: Sha256,
        /// Digest of what is there.
        found: Sha256,
    },
    /// S3's answer is not one the protocol allows.
    #[error("S3 gave an unusable answer to {call} on {at}: {what}")]
    Protocol {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// S3 gave an error that none of the others covers.
    #[error("{call} on {at} failed with {code} (HTTP {status})")]
    Service {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// S3's error code.
        code: String,
        /// The HTTP status.
        status: u16,
        /// S3's answer.
        #[source]
        source: CallError,
    },
    /// No answer came, or it broke off, and trying again did not help.
    #[error("{call} on {at} got no complete answer")]
    Transport {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// What broke.
        #[source]
        source: CallError,
    },
    /// The request cannot be made: most likely the bucket or key is no possible one.
    #[error("{call} on {at} cannot be asked for")]
    Unsendable {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// What is wrong with the request.
        #[source]
        source: CallError,
    },
    /// A local file cannot be opened.
    #[error("cannot open {path}", path = path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A scratch file cannot be made, written or read.
    #[error("cannot {doing} a scratch file in the temporary folder")]
    Scratch {
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Two paths given to the writer cannot lie in one archive.
    #[error("`{path}` cannot be added: {why}")]
    Unwritable {
        /// The path.
        path: String,
        /// What it collides with.
        why: String,
    },
}

impl ArtifactError {
    /// Whether the same call may succeed later without anything else being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Scratch { .. } => true,
            Self::Service { code, status, .. } => transient(code, *status),
            Self::Refused { fault, .. } => !fault.is_of_the_data(),
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::ExpiredCredentials { .. }
            | Self::Changed { .. }
            | Self::Occupied { .. }
            | Self::DigestMismatch { .. }
            | Self::Protocol { .. }
            | Self::Unsendable { .. }
            | Self::Local { .. }
            | Self::Unwritable { .. } => false,
        }
    }

    /// Whether S3 refused the call for lack of permission.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether fresh credentials for the same job would help.
    #[must_use]
    pub fn is_expired_credentials(&self) -> bool {
        matches!(self, Self::ExpiredCredentials { .. })
    }

    /// Whether the artifact is missing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the artifact's bytes are at fault: the caller should answer with exit code 65.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Refused { fault, .. } => fault.is_of_the_data(),
            Self::DigestMismatch { .. } | Self::Unwritable { .. } => true,
            _ => false,
        }
    }

    /// Sorts the error of an SDK call. `etag` is the one the call was pinned to, if it was.
    pub(super) fn of_call<E>(
        error: SdkError<E, HttpResponse>,
        at: &Location,
        call: &'static str,
        etag: Option<&str>,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let at = at.clone();
        if matches!(error, SdkError::ConstructionFailure(_)) {
            return Self::Unsendable { at, call, source: error.into() };
        }
        let Some(status) = error.raw_response().map(|response| response.status().as_u16()) else {
            return Self::Transport { at, call, source: error.into() };
        };
        // Without a body (HEAD, or a broken answer) only the status tells.
        let code = error.code().unwrap_or_default().to_owned();
        match (code.as_str(), status) {
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired", _) => {
                Self::ExpiredCredentials { at, call, source: error.into() }
            }
            // The clock, not a permission, and a later signature may be accepted.
            ("RequestTimeTooSkewed", _) => Self::Service { at, call, code, status, source: error.into() },
            ("NoSuchKey" | "NoSuchBucket" | "NotFound" | "", 404) => {
                Self::NotFound { at, source: error.into() }
            }
            ("InvalidToken", _) | (_, 401 | 403) => Self::Denied { at, call, source: error.into() },
            (_, 412) if etag.is_some() => Self::Changed { at, etag: etag.unwrap_or_default().to_owned() },
            _ => Self::Service { at, call, code, status, source: error.into() },
        }
    }
}

fn transient(code: &str, status: u16) -> bool {
    const CODES: [&str; 8] = [
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "InternalError",
        "ConditionalRequestConflict",
        "OperationAborted",
    ];
    status >= 500 || status == 429 || CODES.contains(&code)
}
