//! Errors of reading and storing artifacts.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use thiserror::Error;

use super::fault::ArchiveFault;
use crate::digest::Sha256;

/// The location of an artifact in S3.
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

/// The origin of an archive, for messages.
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

/// The error of an SDK call, of any operation.
pub type CallError = Box<dyn StdError + Send + Sync>;

/// Why an artifact could not be read or stored. The message names the artifact and the call; the source has the reason.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The archive is not valid.
    #[error("{origin} is not a valid archive")]
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
        /// S3's error.
        #[source]
        source: CallError,
    },
    /// S3 denied the call. Without `s3:ListBucket`, S3 also denies a call on a missing object.
    #[error(
        "{call} on {at} was denied (without s3:ListBucket, S3 answers the same if the object is missing)"
    )]
    Denied {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// S3's error.
        #[source]
        source: CallError,
    },
    /// The credentials have expired; `GetJobDetails` returns new ones.
    #[error("the credentials for {call} on {at} have expired")]
    ExpiredCredentials {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// S3's error.
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
    /// The location already has another object.
    #[error("{at} already has another artifact, with SHA-256 {digest}")]
    Occupied {
        /// The object.
        at: Location,
        /// The digest of that object.
        digest: Sha256,
    },
    /// The object has another digest than expected.
    #[error("{at} has SHA-256 {found}, expected {expected}")]
    DigestMismatch {
        /// The object.
        at: Location,
        /// The digest expected.
        expected: Sha256,
        /// The digest found.
        found: Sha256,
    },
    /// S3's response breaks the protocol.
    #[error("S3 returned an invalid response to {call} on {at}: {what}")]
    Protocol {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Any other error of S3.
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
        /// S3's error.
        #[source]
        source: CallError,
    },
    /// The response did not arrive or was incomplete, and retries did not help.
    #[error("{call} on {at} got no complete response")]
    Transport {
        /// The object.
        at: Location,
        /// The operation.
        call: &'static str,
        /// The network error.
        #[source]
        source: CallError,
    },
    /// The request cannot be built, for example because the bucket name is not valid.
    #[error("the request {call} on {at} cannot be built")]
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
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A scratch file cannot be created, written or read.
    #[error("cannot {doing} a scratch file in the temporary folder")]
    Scratch {
        /// The operation that failed.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Two paths cannot be in the same archive.
    #[error("`{path}` cannot be added: {why}")]
    Unwritable {
        /// The path.
        path: String,
        /// The reason.
        why: String,
    },
}

impl ArtifactError {
    /// Whether the same call may succeed later.
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

    /// Whether S3 denied the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether the credentials have expired, so that new ones help.
    #[must_use]
    pub fn is_expired_credentials(&self) -> bool {
        matches!(self, Self::ExpiredCredentials { .. })
    }

    /// Whether the artifact is missing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the artifact's bytes are the cause: the command should exit with code 65.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Refused { fault, .. } => fault.is_of_the_data(),
            Self::DigestMismatch { .. } | Self::Unwritable { .. } => true,
            _ => false,
        }
    }

    /// Classifies the error of an SDK call. `etag` is the `If-Match` of the call, if it had one.
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
        // A response without a body has no code, only the status.
        let code = error.code().unwrap_or_default().to_owned();
        match (code.as_str(), status) {
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired", _) => {
                Self::ExpiredCredentials { at, call, source: error.into() }
            }
            // The clock is wrong, not the permission: S3 may accept a later signature.
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
