//! Uploads of artifacts: conditional, encrypted, read back, repeatable after any fault.

use super::s3::{Call, FakeS3, Fault, Object, at};
use super::*;
use crate::artifact::upload::{Sizes, put_in};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234";

fn archive() -> (Finished, Vec<u8>) {
    written(&[("statement.json", b"{}"), ("log", &b"line\n".repeat(1000))])
}

fn methods(calls: &[Call]) -> Vec<String> {
    calls
        .iter()
        .map(|call| call.line.replace("/artifacts/line/Source/abc", "").replace("?x-id=", ""))
        .collect()
}

#[tokio::test]
async fn an_artifact_is_stored_encrypted_and_read_back() {
    for kms in [Some(KEY), None] {
        let (finished, bytes) = archive();
        let fake = FakeS3::default();
        let stored = put(&fake.client(), &at(), &finished, kms).await.unwrap();
        assert_eq!(
            (stored.digest, stored.size, stored.adopted),
            (Sha256::of(&bytes), bytes.len() as u64, false)
        );
        assert_eq!(stored.etag, fake.object().unwrap().etag);
        assert_eq!(fake.object().unwrap().bytes(), bytes);
        let calls = fake.calls();
        assert_eq!(methods(&calls), ["PUT PutObject", "GET GetObject"]);
        let headers = &calls[0].headers;
        assert_eq!(headers["if-none-match"], "*");
        assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(headers.get("x-amz-server-side-encryption-aws-kms-key-id").map(String::as_str), kms);
        assert_eq!(headers["content-type"], "application/zip");
    }
}

#[tokio::test]
async fn the_same_bytes_are_adopted_and_others_are_refused() {
    let (finished, bytes) = archive();
    let fake = FakeS3::with(Object::of(bytes));
    let stored = put(&fake.client(), &at(), &finished, None).await.unwrap();
    assert!(stored.adopted);
    assert_eq!((stored.digest, stored.etag.as_str()), (finished.digest(), "\"first\""));

    let fake = FakeS3::with(Object::of(&b"something else"[..]));
    match put(&fake.client(), &at(), &finished, None).await {
        Err(ArtifactError::Occupied { digest, .. }) => {
            assert_eq!(digest, Sha256::of(b"something else"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fake.object().unwrap().bytes(), b"something else");
}

#[tokio::test]
async fn the_next_attempt_adopts_an_upload_with_a_lost_response() {
    for multipart in [false, true] {
        let (finished, bytes) = archive();
        let sizes = if multipart { Sizes { single_max: 100, part: 1500 } } else { Sizes::default() };
        let last_write = if multipart { 5 } else { 0 };
        let fake = FakeS3::default().fault(last_write, Fault::LoseReply);
        let error = put_in(&fake.client(), &at(), &finished, None, sizes).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert_eq!(fake.object().unwrap().bytes(), bytes);
        let stored = put_in(&fake.client(), &at(), &finished, None, sizes).await.unwrap();
        assert!(stored.adopted);
        assert!(fake.state().uploads.is_empty());
    }
}

#[tokio::test]
async fn an_upload_succeeds_only_after_the_read_back() {
    let (finished, _) = archive();
    let fake = FakeS3::default().fault(0, Fault::Corrupt);
    let error = put(&fake.client(), &at(), &finished, None).await.unwrap_err();
    assert!(matches!(error, ArtifactError::DigestMismatch { expected, .. } if expected == finished.digest()));

    let fake = FakeS3::default().fault(1, Fault::Replace);
    let error = put(&fake.client(), &at(), &finished, None).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Changed { .. }), "{error:?}");

    let fake = FakeS3::default().fault(1, Fault::Remove);
    assert!(put(&fake.client(), &at(), &finished, None).await.unwrap_err().is_not_found());

    let fake = FakeS3::default().fault(1, Fault::Refuse(403, "AccessDenied"));
    assert!(put(&fake.client(), &at(), &finished, None).await.unwrap_err().is_denied());
}

#[tokio::test]
async fn a_conflict_is_retried_a_few_times() {
    let (finished, _) = archive();
    let conflict = Fault::Refuse(409, "ConditionalRequestConflict");
    let fake = FakeS3::default().fault(0, conflict).fault(1, conflict);
    assert!(!put(&fake.client(), &at(), &finished, None).await.unwrap().adopted);

    let fake = (0..20).fold(FakeS3::default(), |fake, call| fake.fault(call, conflict));
    let error = put(&fake.client(), &at(), &finished, None).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Service { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(fake.calls().len(), 5);

    // The location had an object, which is gone at the next read.
    let fake = FakeS3::with(Object::of(&b"x"[..])).fault(1, Fault::Remove);
    assert!(!put(&fake.client(), &at(), &finished, None).await.unwrap().adopted);
}

#[tokio::test]
async fn a_large_artifact_is_stored_in_parts() {
    let (finished, bytes) = archive();
    let fake = FakeS3::default();
    let sizes = Sizes { single_max: 100, part: 1500 };
    let stored = put_in(&fake.client(), &at(), &finished, Some(KEY), sizes).await.unwrap();
    assert_eq!((stored.digest, stored.adopted), (finished.digest(), false));
    assert_eq!(fake.object().unwrap().bytes(), bytes);
    let calls = fake.calls();
    assert_eq!(calls.len(), 1 + 4 + 1 + 1, "{:?}", methods(&calls));
    assert_eq!(calls[0].headers["x-amz-server-side-encryption-aws-kms-key-id"], KEY);
    assert_eq!(calls[0].headers["x-amz-checksum-algorithm"], "CRC32");
    assert!(calls[1..5].iter().all(|call| call.headers["x-amz-trailer"] == "x-amz-checksum-crc32"));
    assert_eq!(calls[5].headers["if-none-match"], "*");
}

#[tokio::test]
async fn a_failed_multipart_upload_is_aborted() {
    let (finished, bytes) = archive();
    let sizes = Sizes { single_max: 100, part: 1500 };
    for call in 1..=5 {
        let fake = FakeS3::default().fault(call, Fault::Refuse(403, "AccessDenied"));
        let error = put_in(&fake.client(), &at(), &finished, None, sizes).await.unwrap_err();
        assert!(error.is_denied(), "{error:?}");
        assert!(fake.state().uploads.is_empty() && fake.object().is_none());
    }
    let fake = FakeS3::with(Object::of(bytes));
    assert!(put_in(&fake.client(), &at(), &finished, None, sizes).await.unwrap().adopted);
    assert!(fake.state().uploads.is_empty());

    let fake = FakeS3::default().fault(5, Fault::Refuse(409, "ConditionalRequestConflict"));
    assert!(!put_in(&fake.client(), &at(), &finished, None, sizes).await.unwrap().adopted);
    assert!(fake.state().uploads.is_empty());
}
