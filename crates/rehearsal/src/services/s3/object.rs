//! Conditional writes, and reads of single objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, ETag, ETagCondition,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, MetadataDirective,
    PutObjectInput, PutObjectOutput, Range, ServerSideEncryption, StreamingBlob,
};
use s3s::{Body, S3Result, s3_error};

use super::super::super::time::Time;
use super::super::super::world::World;
use super::checksum::{answer, given, hex, md5, verify_md5};
use super::{Bucket, Checksums, Encryption, Object, timestamp};

/// The bucket, or `NoSuchBucket`.
pub(super) fn bucket_mut<'w>(world: &'w mut World, name: &str) -> S3Result<&'w mut Bucket> {
    let missing = || s3_error!(NoSuchBucket, "The specified bucket does not exist");
    world.s3.buckets.get_mut(name).ok_or_else(missing)
}

/// The `ETag` of a single-part object: its MD5, except under KMS.
pub(super) fn etag(body: &[u8], encryption: &Encryption, key: &str, modified: Time) -> String {
    let digest = md5(body);
    if *encryption == Encryption::S3 {
        return hex(&digest);
    }
    let salted = [&digest, key.as_bytes(), &modified.0.to_be_bytes()].concat();
    hex(&md5(&salted))
}

/// Checks a write against the bucket's policy.
pub(super) fn encryption_of(
    bucket: &Bucket,
    algorithm: Option<&ServerSideEncryption>,
    key_id: Option<&String>,
) -> S3Result<Encryption> {
    let encryption = match algorithm.map(ServerSideEncryption::as_str) {
        None | Some("AES256") if key_id.is_some() => {
            return Err(s3_error!(
                InvalidArgument,
                "Server Side Encryption with KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
            ));
        }
        None | Some("AES256") => Encryption::S3,
        Some("aws:kms") => Encryption::Kms { key_id: key_id.cloned() },
        Some(other) => Encryption::Other(other.to_owned()),
    };
    if bucket.require_kms && encryption.algorithm() != "aws:kms" {
        return Err(s3_error!(
            AccessDenied,
            "Access Denied with an explicit deny in a resource-based policy"
        ));
    }
    Ok(encryption)
}

/// Checks the conditions of a write (S3 user guide, conditional writes).
pub(super) fn check_write(
    bucket: &Bucket,
    key: &str,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let there = bucket.objects.get(key);
    match (if_none_match, there) {
        (Some(ETagCondition::Any), Some(_)) => return Err(failed()),
        (Some(ETagCondition::ETag(_)), _) => {
            return Err(s3_error!(NotImplemented, "If-None-Match accepts only * in a write"));
        }
        _ => {}
    }
    match (if_match, there) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        (Some(condition), Some(object)) if matches(condition, object) => Ok(()),
        (Some(_), Some(_)) => Err(failed()),
    }
}

fn failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == object.etag,
    }
}

fn plain(metadata: Option<&Metadata>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn put(world: &mut World, input: &PutObjectInput, body: Bytes) -> S3Result<PutObjectOutput> {
    let modified = world.now;
    let checksums = given!(input);
    checksums.verify(&body)?;
    verify_md5(input.content_md5.as_deref(), &body)?;
    let bucket = bucket_mut(world, &input.bucket)?;
    let encryption =
        encryption_of(bucket, input.server_side_encryption.as_ref(), input.ssekms_key_id.as_ref())?;
    check_write(bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let object = Object {
        etag: etag(&body, &encryption, &input.key, modified),
        body,
        modified,
        content_type: input.content_type.clone(),
        metadata: plain(input.metadata.as_ref()),
        encryption,
        checksums,
    };
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(object.etag.clone())),
        server_side_encryption: Some(object.encryption.algorithm().to_owned().into()),
        ssekms_key_id: object.encryption.key_arn(bucket),
        checksum_type: object.checksums.kind(),
        ..PutObjectOutput::default()
    };
    answer!(output, &object.checksums);
    bucket.objects.insert(input.key.clone(), Arc::new(object));
    Ok(output)
}

/// The object to read, after checking the request's conditions.
fn readable<'w>(
    world: &'w mut World,
    bucket: &str,
    key: &str,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<(&'w Bucket, Arc<Object>)> {
    let bucket = bucket_mut(world, bucket)?;
    let missing = || s3_error!(NoSuchKey, "The specified key does not exist.");
    let object = Arc::clone(bucket.objects.get(key).ok_or_else(missing)?);
    if if_match.is_some_and(|condition| !matches(condition, &object)) {
        return Err(failed());
    }
    if if_none_match.is_some_and(|condition| matches(condition, &object)) {
        return Err(s3_error!(NotModified));
    }
    Ok((bucket, object))
}

/// The requested range of bytes, and the `Content-Range` of the response.
fn slice(object: &Object, range: Option<&Range>) -> S3Result<(Bytes, Option<String>)> {
    let Some(range) = range else { return Ok((object.body.clone(), None)) };
    let full = object.body.len() as u64;
    let wanted = range.check(full)?;
    if wanted.is_empty() {
        return Err(s3_error!(InvalidRange, "The requested range is not satisfiable"));
    }
    let content_range = format!("bytes {}-{}/{full}", wanted.start, wanted.end - 1);
    // `check` keeps the range within the object, whose length is a usize.
    let start = usize::try_from(wanted.start).unwrap_or(usize::MAX).min(object.body.len());
    let end = usize::try_from(wanted.end).unwrap_or(usize::MAX).clamp(start, object.body.len());
    Ok((object.body.slice(start..end), Some(content_range)))
}

pub(super) fn get(world: &mut World, input: &GetObjectInput) -> S3Result<GetObjectOutput> {
    let (bucket, object) =
        readable(world, &input.bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let (body, content_range) = slice(&object, input.range.as_ref())?;
    let whole = content_range.is_none();
    let mut output = GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(body.len()).ok(),
        body: Some(StreamingBlob::from(Body::from(body))),
        content_range,
        content_type: Some(content_type(&object)),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(timestamp(object.modified)),
        metadata: metadata(&object),
        server_side_encryption: Some(object.encryption.algorithm().to_owned().into()),
        ssekms_key_id: object.encryption.key_arn(bucket),
        ..GetObjectOutput::default()
    };
    // A stored checksum is of the whole object and does not apply to a range.
    if whole && input.checksum_mode.is_some() {
        answer!(output, &object.checksums);
        output.checksum_type = object.checksums.kind();
    }
    Ok(output)
}

pub(super) fn head(world: &mut World, input: &HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let (bucket, object) =
        readable(world, &input.bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let (body, content_range) = slice(&object, input.range.as_ref())?;
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(body.len()).ok(),
        content_range,
        content_type: Some(content_type(&object)),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(timestamp(object.modified)),
        metadata: metadata(&object),
        server_side_encryption: Some(object.encryption.algorithm().to_owned().into()),
        ssekms_key_id: object.encryption.key_arn(bucket),
        ..HeadObjectOutput::default()
    };
    if input.checksum_mode.is_some() {
        answer!(output, &object.checksums);
        output.checksum_type = object.checksums.kind();
    }
    Ok(output)
}

fn content_type(object: &Object) -> String {
    object.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned())
}

fn metadata(object: &Object) -> Option<Metadata> {
    let map: Metadata = object.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    (!map.is_empty()).then_some(map)
}

/// `DeleteObject`. Returns whether the object existed; S3's response is the same either way.
pub(super) fn delete(world: &mut World, input: &DeleteObjectInput) -> S3Result<bool> {
    let bucket = bucket_mut(world, &input.bucket)?;
    if let Some(condition) = &input.if_match {
        match bucket.objects.get(&input.key) {
            Some(object) if !matches(condition, object) => return Err(failed()),
            None => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            Some(_) => {}
        }
    }
    Ok(bucket.objects.remove(&input.key).is_some())
}

pub(super) fn copy(world: &mut World, input: &CopyObjectInput) -> S3Result<CopyObjectOutput> {
    let CopySource::Bucket { bucket: from, key, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "the embedded AWS does not support access points"));
    };
    let conditions = (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
    let source = match readable(world, from, key, conditions.0, conditions.1) {
        Err(refused) if *refused.code() == s3s::S3ErrorCode::NotModified => return Err(failed()),
        other => other?.1,
    };
    let modified = world.now;
    let bucket = bucket_mut(world, &input.bucket)?;
    let encryption =
        encryption_of(bucket, input.server_side_encryption.as_ref(), input.ssekms_key_id.as_ref())?;
    let replace = input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
    let same_place = **from == *input.bucket && **key == *input.key;
    if same_place && !replace && encryption == source.encryption {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing anything."
        ));
    }
    let object = Object {
        etag: etag(&source.body, &encryption, &input.key, modified),
        body: source.body.clone(),
        modified,
        content_type: if replace { input.content_type.clone() } else { source.content_type.clone() },
        metadata: if replace { plain(input.metadata.as_ref()) } else { source.metadata.clone() },
        encryption,
        checksums: if source.checksums.composite { Checksums::default() } else { source.checksums.clone() },
    };
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(timestamp(modified)),
        checksum_type: object.checksums.kind(),
        ..CopyObjectResult::default()
    };
    answer!(result, &object.checksums);
    let output = CopyObjectOutput {
        copy_object_result: Some(result),
        server_side_encryption: Some(object.encryption.algorithm().to_owned().into()),
        ssekms_key_id: object.encryption.key_arn(bucket),
        ..CopyObjectOutput::default()
    };
    bucket.objects.insert(input.key.clone(), Arc::new(object));
    Ok(output)
}
