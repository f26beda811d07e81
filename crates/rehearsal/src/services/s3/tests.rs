//! S3 through the AWS SDK.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use bytes::Bytes;

use super::super::super::timeline::Timeline;
use super::*;

const NOW: Time = Time(1_700_000_000_000);

fn cloud() -> Cloud {
    let mut world = World::new(NOW, 1);
    create_bucket(&mut world, "plain", Bucket::new("123456789012", "us-east-1", NOW));
    create_bucket(&mut world, "strict", Bucket::new("123456789012", "us-east-1", NOW).requiring_kms());
    Cloud::new(world, Timeline::tokio(NOW))
}

fn config(cloud: &Cloud) -> aws_sdk_s3::config::Builder {
    let key = cloud.with_world(super::super::super::cloud::test_key);
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            key, "secret", None, None, "test",
        )))
        .http_client(cloud.http_client())
}

fn client(cloud: &Cloud) -> Client {
    Client::from_conf(config(cloud).build())
}

fn code<E: ProvideErrorMetadata, R: std::fmt::Debug>(error: &SdkError<E, R>) -> String {
    error.code().map_or_else(|| "none".to_owned(), ToOwned::to_owned)
}

#[tokio::test(start_paused = true)]
async fn an_object_is_read_as_written() {
    let cloud = cloud();
    for s3 in [client(&cloud), Client::from_conf(config(&cloud).force_path_style(true).build())] {
        let put = s3
            .put_object()
            .bucket("plain")
            .key("a folder/ä+b.zip")
            .content_type("application/zip")
            .metadata("release", "7")
            .body(ByteStream::from_static(b"hello"))
            .send()
            .await
            .unwrap();
        assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
        assert!(put.checksum_crc32().is_some(), "the SDK sends one by default");
        let got = s3.get_object().bucket("plain").key("a folder/ä+b.zip").send().await.unwrap();
        assert_eq!(got.content_type(), Some("application/zip"));
        assert_eq!(got.metadata().and_then(|m| m.get("release")).map(String::as_str), Some("7"));
        assert_eq!(got.last_modified().map(aws_sdk_s3::primitives::DateTime::secs), Some(1_700_000_000));
        assert_eq!(got.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
        assert_eq!(got.body.collect().await.unwrap().into_bytes().as_ref(), b"hello");
        assert_eq!(cloud.with_world(|w| get(w, "plain", "a folder/ä+b.zip").unwrap().body.len()), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_decoded() {
    let cloud = cloud();
    let file = tempfile::NamedTempFile::new().unwrap();
    let content = "0123456789".repeat(30_000);
    std::fs::write(file.path(), &content).unwrap();
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Sha256] {
        let body = ByteStream::from_path(file.path()).await.unwrap();
        let put =
            client(&cloud).put_object().bucket("plain").key("big").checksum_algorithm(algorithm).body(body);
        put.send().await.unwrap();
        let stored = cloud.with_world(|w| get(w, "plain", "big").cloned()).unwrap();
        assert_eq!(stored.body, content.as_bytes());
        assert!(!stored.checksums.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn reads_honor_ranges_and_conditions() {
    let cloud = cloud();
    cloud.with_world(|w| put(w, "plain", "k", Bytes::from_static(b"0123456789"), Encryption::S3)).unwrap();
    let s3 = client(&cloud);
    for (range, expected) in
        [("bytes=0-3", "0123"), ("bytes=7-", "789"), ("bytes=-2", "89"), ("bytes=8-99", "89")]
    {
        let got = s3.get_object().bucket("plain").key("k").range(range).send().await.unwrap();
        assert!(got.content_range().is_some_and(|r| r.ends_with("/10")));
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), expected.as_bytes());
    }
    let refused = |e: SdkError<aws_sdk_s3::operation::get_object::GetObjectError, _>| code(&e);
    let object = || s3.get_object().bucket("plain");
    assert_eq!(
        object().key("k").range("bytes=10-").send().await.map_err(refused).unwrap_err(),
        "InvalidRange"
    );
    assert_eq!(
        object().key("k").if_match("\"0\"").send().await.map_err(refused).unwrap_err(),
        "PreconditionFailed"
    );
    assert_eq!(object().key("none").send().await.map_err(refused).unwrap_err(), "NoSuchKey");
    let head = s3.head_object().bucket("plain").key("none").send().await.unwrap_err();
    assert!(head.into_service_error().is_not_found());
}

#[tokio::test(start_paused = true)]
async fn only_one_conditional_write_succeeds() {
    let cloud = cloud();
    let s3 = client(&cloud);
    let write = || s3.put_object().bucket("plain").key("lock").body(ByteStream::from_static(b"x"));
    let first = write().if_none_match("*").send().await.unwrap();
    let lost = write().if_none_match("*").send().await.unwrap_err();
    assert_eq!(
        (code(&lost).as_str(), lost.raw_response().unwrap().status().as_u16()),
        ("PreconditionFailed", 412)
    );
    write().if_match(first.e_tag().unwrap()).send().await.unwrap();
    assert_eq!(code(&write().if_match("\"other\"").send().await.unwrap_err()), "PreconditionFailed");
    let missing = s3.put_object().bucket("plain").key("new").if_match("\"0\"").send().await.unwrap_err();
    assert_eq!(code(&missing), "NoSuchKey");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_checksum_is_refused() {
    let cloud = cloud();
    let s3 = client(&cloud);
    let put = || s3.put_object().bucket("plain").key("k").body(ByteStream::from_static(b"x"));
    let refused = put().checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").send().await;
    assert_eq!(code(&refused.unwrap_err()), "BadDigest");
    let checked = put().checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let head = client(&cloud)
        .head_object()
        .bucket("plain")
        .key("k")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert!(head.checksum_sha256().is_some());
    assert_eq!(head.checksum_sha256(), checked.checksum_sha256());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_policy_can_require_kms_and_the_etag_is_then_not_the_md5() {
    let cloud = cloud();
    let s3 = client(&cloud);
    let write = || s3.put_object().bucket("strict").key("k").body(ByteStream::from_static(b"hello"));
    assert_eq!(code(&write().send().await.unwrap_err()), "AccessDenied");
    let denied = write().server_side_encryption(ServerSideEncryption::Aes256).send().await.unwrap_err();
    assert_eq!(code(&denied), "AccessDenied");
    let kms = || write().server_side_encryption(ServerSideEncryption::AwsKms);
    assert_ne!(kms().send().await.unwrap().e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    kms().ssekms_key_id("abc").send().await.unwrap();
    let head = s3.head_object().bucket("strict").key("k").send().await.unwrap();
    assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert_eq!(head.ssekms_key_id(), Some("arn:aws:kms:us-east-1:123456789012:key/abc"));
}

#[tokio::test(start_paused = true)]
async fn a_multipart_upload_creates_an_object_and_invalid_completions_are_rejected() {
    let cloud = cloud();
    let s3 = client(&cloud);
    let begin = s3
        .create_multipart_upload()
        .bucket("strict")
        .key("big")
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .send()
        .await
        .unwrap();
    let id = begin.upload_id().unwrap();
    let large = vec![7_u8; 5 << 20];
    let mut parts = Vec::new();
    for (number, body) in [(1, large.clone()), (2, b"tail".to_vec())] {
        let part = s3.upload_part().bucket("strict").key("big").upload_id(id).part_number(number);
        let part = part.body(ByteStream::from(body)).send().await.unwrap();
        let mut completed = CompletedPart::builder().part_number(number);
        completed = completed.set_e_tag(part.e_tag).set_checksum_crc32(part.checksum_crc32);
        parts.push(completed.build());
    }
    let listed = s3.list_parts().bucket("strict").key("big").upload_id(id).max_parts(1).send().await.unwrap();
    assert_eq!((listed.parts().len(), listed.is_truncated()), (1, Some(true)));
    let complete = |parts: Vec<CompletedPart>| {
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        s3.complete_multipart_upload()
            .bucket("strict")
            .key("big")
            .upload_id(id)
            .multipart_upload(upload)
            .send()
    };
    let reversed = parts.iter().rev().cloned().collect();
    assert_eq!(code(&complete(reversed).await.unwrap_err()), "InvalidPartOrder");
    let unknown = CompletedPart::builder().part_number(3).e_tag("\"0\"").build();
    assert_eq!(code(&complete(vec![unknown]).await.unwrap_err()), "InvalidPart");
    let done = complete(parts.clone()).await.unwrap();
    assert!(done.e_tag().is_some_and(|tag| tag.ends_with("-2\"")), "{:?}", done.e_tag());
    let got = s3.get_object().bucket("strict").key("big").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().into_bytes().len(), large.len() + 4);
    assert_eq!(code(&complete(parts).await.unwrap_err()), "NoSuchUpload");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_upload_and_a_too_small_part_create_no_object() {
    let cloud = cloud();
    let s3 = client(&cloud);
    let begin = s3.create_multipart_upload().bucket("plain").key("k").send().await.unwrap();
    let id = begin.upload_id().unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let part = s3.upload_part().bucket("plain").key("k").upload_id(id).part_number(number);
        let part = part.body(ByteStream::from_static(b"small")).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
    }
    let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete =
        s3.complete_multipart_upload().bucket("plain").key("k").upload_id(id).multipart_upload(upload);
    assert_eq!(code(&complete.clone().send().await.unwrap_err()), "EntityTooSmall");
    assert_eq!(s3.list_multipart_uploads().bucket("plain").send().await.unwrap().uploads().len(), 1);
    s3.abort_multipart_upload().bucket("plain").key("k").upload_id(id).send().await.unwrap();
    assert_eq!(code(&complete.send().await.unwrap_err()), "NoSuchUpload");
}

#[tokio::test(start_paused = true)]
async fn listings_are_paginated_and_grouped_by_delimiter() {
    let cloud = cloud();
    cloud.with_world(|w| {
        for key in ["a", "b/1", "b/2", "c/1", "d", "e"] {
            put(w, "plain", key, Bytes::new(), Encryption::S3).unwrap();
        }
    });
    let s3 = client(&cloud);
    let mut pages = s3.list_objects_v2().bucket("plain").max_keys(2).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().filter_map(|o| o.key().map(ToOwned::to_owned)));
    }
    assert_eq!(keys, ["a", "b/1", "b/2", "c/1", "d", "e"]);
    let mut grouped = s3.list_objects_v2().bucket("plain").delimiter("/").max_keys(1).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = grouped.next().await {
        let page = page.unwrap();
        found.extend(page.contents().iter().filter_map(|o| o.key().map(ToOwned::to_owned)));
        found.extend(page.common_prefixes().iter().filter_map(|p| p.prefix().map(ToOwned::to_owned)));
    }
    assert_eq!(found, ["a", "b/", "c/", "d", "e"]);
    let under = s3.list_objects_v2().bucket("plain").prefix("b/").start_after("b/1").send().await.unwrap();
    assert_eq!(under.key_count(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn objects_are_copied_and_deleted_and_buckets_are_listed() {
    let cloud = cloud();
    cloud.with_world(|w| put(w, "plain", "from", Bytes::from_static(b"x"), Encryption::S3)).unwrap();
    let s3 = client(&cloud);
    let copy = s3.copy_object().bucket("strict").key("to").copy_source("plain/from");
    assert_eq!(code(&copy.clone().send().await.unwrap_err()), "AccessDenied");
    copy.server_side_encryption(ServerSideEncryption::AwsKms).send().await.unwrap();
    assert!(cloud.with_world(|w| get(w, "strict", "to").is_some()));
    let id = |key: &str| aws_sdk_s3::types::ObjectIdentifier::builder().key(key).build().unwrap();
    let doomed =
        aws_sdk_s3::types::Delete::builder().objects(id("from")).objects(id("none")).build().unwrap();
    let deleted = s3.delete_objects().bucket("plain").delete(doomed).send().await.unwrap();
    assert_eq!(deleted.deleted().len(), 2);
    s3.delete_object().bucket("strict").key("to").send().await.unwrap();
    s3.create_bucket().bucket("fresh").send().await.unwrap();
    s3.head_bucket().bucket("fresh").send().await.unwrap();
    assert_eq!(s3.list_buckets().send().await.unwrap().buckets().len(), 3);
    s3.delete_bucket().bucket("fresh").send().await.unwrap();
    assert!(s3.head_bucket().bucket("fresh").send().await.is_err());
    assert!(s3.get_bucket_policy().bucket("strict").send().await.unwrap().policy().is_some());
    let missing = s3.get_object().bucket("nowhere").key("k").send().await.unwrap_err();
    assert_eq!(code(&missing), "NoSuchBucket");
}
