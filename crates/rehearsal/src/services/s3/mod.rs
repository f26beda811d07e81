//! S3: buckets and objects. The s3s crate implements the wire protocol; this module implements the operations.

mod checksum;
mod chunked;
mod front;
mod listing;
mod multipart;
mod object;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use time::OffsetDateTime;

use super::super::call::ApiError;
use super::super::cloud::Cloud;
use super::super::time::Time;
use super::super::world::World;
pub use checksum::Checksums;
use multipart::Upload;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
    "DeleteObjects",
    "GetBucketLocation",
    "GetBucketPolicy",
    "GetBucketVersioning",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
];

/// All buckets, by name.
#[derive(Clone, Debug, Default)]
pub struct State {
    buckets: BTreeMap<String, Bucket>,
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub account: String,
    pub region: String,
    pub created: Time,
    /// Whether its policy denies writes without `aws:kms`, like that of `CodePipeline`'s artifact buckets.
    pub require_kms: bool,
    objects: BTreeMap<String, Arc<Object>>,
    uploads: BTreeMap<String, Upload>,
}

/// An object. Immutable; a write replaces it.
#[derive(Clone, Debug)]
pub struct Object {
    pub body: Bytes,
    /// The `ETag` without quotes. It is the MD5 of the body only for single-part objects without KMS.
    pub etag: String,
    pub modified: Time,
    pub content_type: Option<String>,
    /// User metadata (`x-amz-meta-…`) by name, without the prefix.
    pub metadata: BTreeMap<String, String>,
    pub encryption: Encryption,
    pub checksums: Checksums,
}

/// The server-side encryption that the caller requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// `AES256`, S3's default.
    #[default]
    S3,
    /// `aws:kms`, with a key or the AWS managed key.
    Kms { key_id: Option<String> },
    /// Another algorithm, stored as given.
    Other(String),
}

impl Encryption {
    /// The value of `x-amz-server-side-encryption`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        match self {
            Self::S3 => "AES256",
            Self::Kms { .. } => "aws:kms",
            Self::Other(name) => name,
        }
    }

    /// The KMS key as S3 returns it: always an ARN.
    #[must_use]
    pub fn key_arn(&self, bucket: &Bucket) -> Option<String> {
        let Self::Kms { key_id } = self else { return None };
        // AWS has one managed key per account; here it always has the same id.
        let id = key_id.as_deref().unwrap_or("00000000-0000-4000-8000-000000000053");
        if id.starts_with("arn:") {
            return Some(id.to_owned());
        }
        let kind = if id.starts_with("alias/") { "" } else { "key/" };
        Some(format!(
            "arn:{}:kms:{}:{}:{kind}{id}",
            crate::partition::id(&bucket.region),
            bucket.region,
            bucket.account
        ))
    }
}

impl Bucket {
    #[must_use]
    pub fn new(account: &str, region: &str, created: Time) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            created,
            require_kms: false,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// Adds the policy that denies writes without `aws:kms`.
    #[must_use]
    pub fn requiring_kms(mut self) -> Self {
        self.require_kms = true;
        self
    }

    /// The objects, sorted by key.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.objects.iter().map(|(key, object)| (key.as_str(), object.as_ref()))
    }
}

/// Creates a bucket, or replaces an existing one with all its objects.
pub fn create_bucket(world: &mut World, name: &str, bucket: Bucket) {
    world.s3.buckets.insert(name.to_owned(), bucket);
}

/// A bucket by its name.
#[must_use]
pub fn bucket<'w>(world: &'w World, name: &str) -> Option<&'w Bucket> {
    world.s3.buckets.get(name)
}

/// Writes an object on a service's behalf, regardless of bucket policies.
///
/// # Errors
/// `NoSuchBucket`.
pub fn put(
    world: &mut World,
    bucket: &str,
    key: &str,
    body: Bytes,
    encryption: Encryption,
) -> Result<(), ApiError> {
    let modified = world.now;
    let Some(bucket) = world.s3.buckets.get_mut(bucket) else {
        let message = format!("The specified bucket does not exist: {bucket}");
        return Err(ApiError::new("NoSuchBucket", message).with_status(404));
    };
    let etag = object::etag(&body, &encryption, key, modified);
    let object = Object {
        body,
        etag,
        modified,
        content_type: None,
        metadata: BTreeMap::new(),
        encryption,
        checksums: Checksums::default(),
    };
    bucket.objects.insert(key.to_owned(), Arc::new(object));
    Ok(())
}

/// An object by bucket and key.
#[must_use]
pub fn get<'w>(world: &'w World, bucket: &str, key: &str) -> Option<&'w Object> {
    world.s3.buckets.get(bucket)?.objects.get(key).map(AsRef::as_ref)
}

/// Deletes an object. Returns whether it existed.
pub fn delete(world: &mut World, bucket: &str, key: &str) -> bool {
    world.s3.buckets.get_mut(bucket).is_some_and(|bucket| bucket.objects.remove(key).is_some())
}

/// The world that a call sees: the current one, or a past one for a stale read.
#[derive(Clone)]
pub enum View {
    Present(Cloud),
    Past(Arc<Mutex<World>>),
}

impl View {
    fn with<T>(&self, visit: impl FnOnce(&mut World) -> T) -> T {
        match self {
            Self::Present(cloud) => cloud.with_world(visit),
            Self::Past(world) => visit(&mut world.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// Converts a time to s3s's type.
fn timestamp(at: Time) -> s3s::dto::Timestamp {
    let nanoseconds = i128::from(at.0).saturating_mul(1_000_000);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH).into()
}

#[cfg(test)]
mod tests;
