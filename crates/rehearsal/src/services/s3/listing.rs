//! `ListObjectsV2` and `ListBuckets`.

use std::ops::Bound;

use s3s::dto::{
    Bucket as BucketEntry, CommonPrefix, ETag, ListBucketsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as ObjectEntry, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};

use super::super::super::world::World;
use super::object::bucket_mut;
use super::timestamp;

/// The maximum number of entries on a page.
const FULL_PAGE: i32 = 1000;

pub(super) fn objects(world: &mut World, input: &ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let bucket = bucket_mut(world, &input.bucket)?;
    let page = input.max_keys.unwrap_or(FULL_PAGE);
    if page < 0 {
        return Err(s3_error!(InvalidArgument, "max-keys must not be negative"));
    }
    let room = usize::try_from(page.min(FULL_PAGE)).unwrap_or_default();
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|d| !d.is_empty());
    // The token is the last entry of the previous page, with a prefix so that other strings are rejected.
    let token = match &input.continuation_token {
        None => None,
        Some(token) => Some(
            token
                .strip_prefix("after:")
                .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?,
        ),
    };
    let after = token.or(input.start_after.as_deref()).unwrap_or_default().to_owned();

    let mut contents = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut last = None;
    let mut truncated = false;
    let start =
        if after.as_str() < prefix { Bound::Included(prefix) } else { Bound::Excluded(after.as_str()) };
    let from = bucket.objects.range::<str, _>((start, Bound::Unbounded));
    for (key, object) in from.take_while(|(key, _)| key.starts_with(prefix)) {
        let group = delimiter.and_then(|delimiter| {
            let rest = key.get(prefix.len()..)?;
            let end = rest.find(delimiter)? + delimiter.len();
            key.get(..prefix.len() + end)
        });
        // A common prefix listed on this or the previous page is not listed again.
        if group.is_some_and(|group| prefixes.last().is_some_and(|p| p == group) || group == after) {
            continue;
        }
        if contents.len() + prefixes.len() == room {
            truncated = room > 0;
            break;
        }
        last = Some(group.unwrap_or(key).to_owned());
        match group {
            Some(group) => prefixes.push(group.to_owned()),
            None => contents.push(ObjectEntry {
                e_tag: Some(ETag::Strong(object.etag.clone())),
                key: Some(key.clone()),
                last_modified: Some(timestamp(object.modified)),
                size: i64::try_from(object.body.len()).ok(),
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                ..ObjectEntry::default()
            }),
        }
    }
    Ok(ListObjectsV2Output {
        name: Some(input.bucket.clone()),
        prefix: Some(prefix.to_owned()),
        delimiter: input.delimiter.clone(),
        max_keys: Some(page),
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        continuation_token: input.continuation_token.clone(),
        start_after: input.start_after.clone(),
        is_truncated: Some(truncated),
        next_continuation_token: last.filter(|_| truncated).map(|last| format!("after:{last}")),
        contents: Some(contents),
        common_prefixes: Some(
            prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect(),
        ),
        ..ListObjectsV2Output::default()
    })
}

pub(super) fn buckets(world: &World) -> ListBucketsOutput {
    let entries = world.s3.buckets.iter().map(|(name, bucket)| BucketEntry {
        bucket_region: Some(bucket.region.clone()),
        creation_date: Some(timestamp(bucket.created)),
        name: Some(name.clone()),
    });
    ListBucketsOutput { buckets: Some(entries.collect()), ..ListBucketsOutput::default() }
}
