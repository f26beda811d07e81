//! Stores an archive in S3: conditional, encrypted, and read back.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::byte_stream::{ByteStream, Length};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::caps::Caps;
use super::error::{ArtifactError, CallError, Location};
use super::fetch::ObjectStream;
use super::writer::Finished;
use crate::digest::Sha256;

mod multipart;

/// The sizes of requests and parts of an upload, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The largest archive that is sent in one request.
    pub(super) single_max: u64,
    /// Size of all parts but the last: S3 takes 5 MiB or more, and 10,000 parts.
    pub(super) part: u64,
}

impl Default for Sizes {
    /// One request up to 64 MiB; otherwise parts of 16 MiB, enough for 156 GiB.
    fn default() -> Self {
        Self { single_max: 64 << 20, part: 16 << 20 }
    }
}

/// How often the whole upload is tried: S3 may report a concurrent write (409), or an object that is then gone.
const ATTEMPTS: u32 = 5;
/// The read buffer while sending, in bytes.
const READ_BUFFER: usize = 64 * 1024;

/// The object that [`put`] stored or adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of the object, as read back.
    pub digest: Sha256,
    /// Size in bytes.
    pub size: u64,
    /// `ETag` of the object.
    pub etag: String,
    /// Whether an earlier attempt had already stored the same bytes.
    pub adopted: bool,
}

/// Stores an archive at a location without an object, encrypted by SSE-KMS with the key `kms` or the AWS managed key.
///
/// An object with the same bytes is adopted. The call may be repeated after any failure.
///
/// # Errors
/// [`ArtifactError::Occupied`] if the location has another object; [`ArtifactError::DigestMismatch`] if the object
/// read back differs from the archive; otherwise the error of S3.
pub async fn put(
    s3: &Client,
    to: &Location,
    archive: &Finished,
    kms: Option<&str>,
) -> Result<Stored, ArtifactError> {
    put_in(s3, to, archive, kms, Sizes::default()).await
}

/// [`put`] with other sizes, for tests.
pub(super) async fn put_in(
    s3: &Client,
    to: &Location,
    archive: &Finished,
    kms: Option<&str>,
    sizes: Sizes,
) -> Result<Stored, ArtifactError> {
    let upload = Upload { s3, to, archive, kms, sizes };
    let mut attempt = 1;
    loop {
        let written =
            if archive.size() > sizes.single_max { upload.multipart().await } else { upload.single().await };
        let again = match written {
            Ok(etag) => return upload.read_back(&etag).await,
            Err(Unwritten::Failed(error)) => return Err(error),
            Err(Unwritten::Conflict(error)) => error,
            Err(Unwritten::Taken) => match upload.adopt().await {
                Err(gone) if gone.is_not_found() => gone,
                found => return found,
            },
        };
        if attempt == ATTEMPTS {
            return Err(again);
        }
        attempt += 1;
    }
}

/// The upload of one archive to one location.
struct Upload<'a> {
    s3: &'a Client,
    to: &'a Location,
    archive: &'a Finished,
    kms: Option<&'a str>,
    sizes: Sizes,
}

/// Why a write failed.
enum Unwritten {
    /// The location has an object; it may be the one of an earlier attempt whose response was lost.
    Taken,
    /// A concurrent write to the same key.
    Conflict(ArtifactError),
    Failed(ArtifactError),
}

impl Unwritten {
    fn of_call<E>(error: SdkError<E, HttpResponse>, at: &Location, call: &'static str) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let error = ArtifactError::of_call(error, at, call, None);
        match (status, code.as_deref()) {
            (Some(412), _) | (_, Some("NoSuchUpload")) => Self::Taken,
            (_, Some("ConditionalRequestConflict" | "OperationAborted")) => Self::Conflict(error),
            _ => Self::Failed(error),
        }
    }
}

impl Upload<'_> {
    /// Returns the `ETag`.
    async fn single(&self) -> Result<String, Unwritten> {
        const CALL: &str = "PutObject";
        let answer = self
            .s3
            .put_object()
            .bucket(&self.to.bucket)
            .key(&self.to.key)
            .if_none_match("*")
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.kms.map(str::to_owned))
            .content_type("application/zip")
            .content_length(i64::try_from(self.archive.size()).unwrap_or(i64::MAX))
            .checksum_sha256(BASE64.encode(self.archive.digest().as_bytes()))
            .body(self.bytes(0, self.archive.size()).await?)
            .send()
            .await
            .map_err(|error| Unwritten::of_call(error, self.to, CALL))?;
        self.etag(answer.e_tag, CALL)
    }

    /// A part of the archive as a request body that can be sent again.
    async fn bytes(&self, offset: u64, len: u64) -> Result<ByteStream, Unwritten> {
        ByteStream::read_from()
            .path(self.archive.path())
            .offset(offset)
            .length(Length::Exact(len))
            .buffer_size(READ_BUFFER)
            .build()
            .await
            .map_err(|error| {
                let source = std::io::Error::other(error);
                Unwritten::Failed(ArtifactError::Scratch { doing: "read", source })
            })
    }

    fn etag(&self, etag: Option<String>, call: &'static str) -> Result<String, Unwritten> {
        let missing = ArtifactError::Protocol { at: self.to.clone(), call, what: "no ETag" };
        etag.filter(|etag| !etag.is_empty()).ok_or(Unwritten::Failed(missing))
    }

    /// Reads the object back and compares its digest.
    async fn read_back(&self, etag: &str) -> Result<Stored, ArtifactError> {
        let stored = self.inspect(u64::MAX).await?;
        if stored.etag != etag {
            return Err(ArtifactError::Changed { at: self.to.clone(), etag: etag.to_owned() });
        }
        let (expected, found) = (self.archive.digest(), stored.digest);
        if found != expected {
            return Err(ArtifactError::DigestMismatch { at: self.to.clone(), expected, found });
        }
        Ok(stored)
    }

    /// Adopts the object at the location if its bytes are the same.
    async fn adopt(&self) -> Result<Stored, ArtifactError> {
        let stored = self.inspect(Caps::default().archive_bytes.max(self.archive.size())).await?;
        if stored.digest == self.archive.digest() {
            return Ok(Stored { adopted: true, ..stored });
        }
        Err(ArtifactError::Occupied { at: self.to.clone(), digest: stored.digest })
    }

    async fn inspect(&self, max: u64) -> Result<Stored, ArtifactError> {
        let caps = Caps { archive_bytes: max, ..Caps::default() };
        let stream = ObjectStream::open(self.s3, self.to, &caps).await?;
        let (size, etag) = (stream.pinned().size, stream.pinned().etag.clone());
        Ok(Stored { digest: stream.digest().await?, size, etag, adopted: false })
    }

    fn protocol(&self, call: &'static str, what: &'static str) -> Unwritten {
        Unwritten::Failed(ArtifactError::Protocol { at: self.to.clone(), call, what })
    }
}

/// Logs an abort that failed; the caller reports the failure of the upload.
fn log_leftover(at: &Location, upload_id: &str, error: &CallError) {
    tracing::warn!(%at, upload_id, error = %aws_sdk_s3::error::DisplayErrorContext(error.as_ref()),
        "the parts of a failed upload could not be removed");
}
