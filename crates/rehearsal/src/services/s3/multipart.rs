//! Multipart uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part as PartEntry,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3Result, s3_error};

use super::super::super::time::Time;
use super::super::super::world::World;
use super::checksum::{answer, given, hex, md5, verify_md5};
use super::object::{bucket_mut, check_write, encryption_of, etag};
use super::{Bucket, Checksums, Encryption, Object, timestamp};

/// The minimum size of every part but the last (S3 user guide, multipart limits).
const SMALLEST_PART: usize = 5 << 20;
/// The highest part number.
const LAST_PART: i32 = 10_000;

/// A multipart upload in progress.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    key: String,
    begun: Time,
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
    encryption: Encryption,
    whole_checksum: bool,
    parts: BTreeMap<i32, Part>,
}

#[derive(Clone, Debug)]
struct Part {
    body: Bytes,
    etag: String,
    modified: Time,
    checksums: Checksums,
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}

fn upload_mut<'b>(bucket: &'b mut Bucket, key: &str, id: &str) -> S3Result<&'b mut Upload> {
    bucket.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or_else(no_such_upload)
}

pub(super) fn create(
    world: &mut World,
    input: &CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    let begun = world.now;
    let id = format!("{:016x}{:016x}", world.ids.next(), world.ids.next());
    let bucket = bucket_mut(world, &input.bucket)?;
    let encryption =
        encryption_of(bucket, input.server_side_encryption.as_ref(), input.ssekms_key_id.as_ref())?;
    let output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(id.clone()),
        checksum_algorithm: input.checksum_algorithm.clone(),
        checksum_type: input.checksum_type.clone(),
        server_side_encryption: Some(encryption.algorithm().to_owned().into()),
        ssekms_key_id: encryption.key_arn(bucket),
        ..CreateMultipartUploadOutput::default()
    };
    let whole = |kind: &ChecksumType| kind.as_str() == ChecksumType::FULL_OBJECT;
    let upload = Upload {
        key: input.key.clone(),
        begun,
        content_type: input.content_type.clone(),
        metadata: input.metadata.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        encryption,
        whole_checksum: input.checksum_type.as_ref().is_some_and(whole),
        parts: BTreeMap::new(),
    };
    bucket.uploads.insert(id, upload);
    Ok(output)
}

pub(super) fn upload_part(
    world: &mut World,
    input: &UploadPartInput,
    body: Bytes,
) -> S3Result<UploadPartOutput> {
    let modified = world.now;
    let checksums = given!(input);
    checksums.verify(&body)?;
    verify_md5(input.content_md5.as_deref(), &body)?;
    if !(1..=LAST_PART).contains(&input.part_number) {
        return Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        ));
    }
    let bucket = bucket_mut(world, &input.bucket)?;
    let upload = upload_mut(bucket, &input.key, &input.upload_id)?;
    let part =
        Part { etag: etag(&body, &upload.encryption, &input.key, modified), body, modified, checksums };
    let encryption = upload.encryption.clone();
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        server_side_encryption: Some(encryption.algorithm().to_owned().into()),
        ..UploadPartOutput::default()
    };
    answer!(output, &part.checksums);
    upload.parts.insert(input.part_number, part);
    output.ssekms_key_id = encryption.key_arn(bucket);
    Ok(output)
}

/// The uploaded parts that the caller listed, in the same order.
fn chosen<'u>(upload: &'u Upload, named: &[CompletedPart]) -> S3Result<Vec<&'u Part>> {
    let numbers = || named.iter().map(|part| part.part_number.unwrap_or_default());
    if !numbers().is_sorted_by(|one, next| one < next) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
    }
    let mut parts = Vec::with_capacity(named.len());
    for (place, (number, completed)) in numbers().zip(named).enumerate() {
        let part = upload
            .parts
            .get(&number)
            .filter(|part| completed.e_tag.as_ref().is_none_or(|tag| tag.value() == part.etag));
        let Some(part) = part else {
            return Err(s3_error!(InvalidPart, "One or more of the specified parts could not be found."));
        };
        if part.body.len() < SMALLEST_PART && place + 1 < named.len() {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size"
            ));
        }
        parts.push(part);
    }
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    Ok(parts)
}

/// The digest in a part's `ETag`.
fn digest_of(etag: &str) -> Vec<u8> {
    let pair = |at: usize| etag.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..etag.len()).step_by(2).filter_map(pair).collect()
}

pub(super) fn complete(
    world: &mut World,
    input: &CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let modified = world.now;
    let bucket = bucket_mut(world, &input.bucket)?;
    let upload = upload_mut(bucket, &input.key, &input.upload_id)?.clone();
    let named = input.multipart_upload.as_ref().and_then(|u| u.parts.as_deref()).unwrap_or_default();
    let parts = chosen(&upload, named)?;
    check_write(bucket, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;

    let mut body = BytesMut::with_capacity(parts.iter().map(|part| part.body.len()).sum());
    let mut digests = Vec::new();
    for part in &parts {
        body.extend_from_slice(&part.body);
        digests.extend(digest_of(&part.etag));
    }
    let body = body.freeze();
    let sums: Vec<&Checksums> = parts.iter().map(|part| &part.checksums).collect();
    let checksums = match sums.first() {
        Some(first) if upload.whole_checksum => first.over(&body),
        _ => Checksums::composite(&sums),
    };
    if upload.whole_checksum {
        given!(input).verify(&body)?;
    }
    let object = Object {
        etag: format!("{}-{}", hex(&md5(&digests)), parts.len()),
        body,
        modified,
        content_type: upload.content_type.clone(),
        metadata: upload.metadata.clone(),
        encryption: upload.encryption.clone(),
        checksums,
    };
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        location: Some(format!(
            "https://{}.s3.{}.{}/{}",
            input.bucket,
            bucket.region,
            crate::partition::dns_suffix(&bucket.region),
            input.key
        )),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        checksum_type: object.checksums.kind(),
        server_side_encryption: Some(object.encryption.algorithm().to_owned().into()),
        ssekms_key_id: object.encryption.key_arn(bucket),
        ..CompleteMultipartUploadOutput::default()
    };
    answer!(output, &object.checksums);
    bucket.uploads.remove(&input.upload_id);
    bucket.objects.insert(input.key.clone(), Arc::new(object));
    Ok(output)
}

pub(super) fn abort(world: &mut World, bucket: &str, key: &str, id: &str) -> S3Result<()> {
    let bucket = bucket_mut(world, bucket)?;
    upload_mut(bucket, key, id)?;
    bucket.uploads.remove(id);
    Ok(())
}

pub(super) fn parts(world: &mut World, input: &ListPartsInput) -> S3Result<ListPartsOutput> {
    let bucket = bucket_mut(world, &input.bucket)?;
    let upload = upload_mut(bucket, &input.key, &input.upload_id)?;
    let after = input.part_number_marker.unwrap_or_default();
    let room = input.max_parts.unwrap_or(1000).clamp(1, 1000);
    let mut later = upload.parts.range(after.saturating_add(1)..);
    let page: Vec<PartEntry> = later
        .by_ref()
        .take(usize::try_from(room).unwrap_or_default())
        .map(|(number, part)| {
            let mut entry = PartEntry {
                e_tag: Some(ETag::Strong(part.etag.clone())),
                last_modified: Some(timestamp(part.modified)),
                part_number: Some(*number),
                size: i64::try_from(part.body.len()).ok(),
                ..PartEntry::default()
            };
            answer!(entry, &part.checksums);
            entry
        })
        .collect();
    let truncated = later.next().is_some();
    Ok(ListPartsOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(input.upload_id.clone()),
        max_parts: Some(room),
        part_number_marker: Some(after),
        next_part_number_marker: page.last().filter(|_| truncated).and_then(|part| part.part_number),
        is_truncated: Some(truncated),
        parts: Some(page),
        ..ListPartsOutput::default()
    })
}

pub(super) fn uploads(
    world: &mut World,
    input: &ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let bucket = bucket_mut(world, &input.bucket)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let entries = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket.clone()),
        prefix: input.prefix.clone(),
        is_truncated: Some(false),
        uploads: Some(
            entries
                .map(|(id, upload)| MultipartUpload {
                    key: Some(upload.key.clone()),
                    upload_id: Some(id.clone()),
                    initiated: Some(timestamp(upload.begun)),
                    ..MultipartUpload::default()
                })
                .collect(),
        ),
        ..ListMultipartUploadsOutput::default()
    })
}
