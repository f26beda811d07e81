//! Downloads an object to a scratch file and opens it as a local archive.

use std::fs::File;
use std::io;

use aws_sdk_s3::Client;
use tokio::io::AsyncWriteExt as _;

use super::archive::Archive;
use super::caps::Caps;
use super::digest::Hasher;
use super::error::{ArtifactError, Location, Origin};
use super::fetch::ObjectStream;
use crate::digest::Sha256;

/// An artifact in an unnamed scratch file; dropping it removes the file.
#[derive(Debug)]
pub struct Spooled {
    /// The archive, its structure checked.
    pub archive: Archive<File>,
    /// SHA-256 of the object.
    pub digest: Sha256,
    /// Size of the object in bytes.
    pub size: u64,
    /// `ETag` of the object.
    pub etag: String,
}

/// Downloads an artifact in bounded memory; [`Caps::archive_bytes`] limits the disk space.
///
/// # Errors
/// [`ArtifactError::Refused`] if it is not a valid archive, [`ArtifactError::Changed`] if it was replaced during
/// the download, [`ArtifactError::Scratch`] if it cannot be written; otherwise the error of S3.
pub async fn spool(s3: &Client, at: &Location, caps: &Caps) -> Result<Spooled, ArtifactError> {
    let scratch = |doing| move |source: io::Error| ArtifactError::Scratch { doing, source };
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(scratch("make"))?);
    let mut stream = ObjectStream::open(s3, at, caps).await?;
    let mut hasher = Hasher::new();
    while let Some(bytes) = stream.next().await? {
        hasher.update(&bytes);
        file.write_all(&bytes).await.map_err(scratch("fill"))?;
    }
    file.flush().await.map_err(scratch("fill"))?;
    let file = file.into_std().await;
    let (origin, caps) = (Origin::S3(at.clone()), caps.clone());
    let opened = tokio::task::spawn_blocking(move || Archive::from_source(file, origin, &caps)).await;
    let archive = opened.map_err(|error| scratch("read")(io::Error::other(error)))??;
    let pinned = stream.pinned();
    Ok(Spooled { archive, digest: hasher.finish(), size: pinned.size, etag: pinned.etag.clone() })
}
