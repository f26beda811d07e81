//! Reads of artifacts in S3: few, of one version, with limits, and with retries.

use super::forge::{Part, zip};
use super::s3::{FakeS3, Fault, Object, at};
use super::*;

const SPEC: &[u8] = b"version: 1\nservice: web\n";

fn sample() -> Vec<u8> {
    zip(&[
        Part::deflated("bakeline.yaml", SPEC),
        Part::stored("app/data", &b"0123456789".repeat(20_000)),
        Part::stored("checks/smoke.sh", b"#!/bin/sh\n"),
    ])
}

/// A source artifact of 1 GiB and some: one huge file with the spec before it, and so many small files behind
/// it that the directory is longer than the end of the object that the opening reads.
fn gigabyte() -> Object {
    const HUGE: u64 = 1 << 30;
    let huge = Part::stored("app/huge.bin", b"").both(|header| {
        (header.packed, header.size) = (u32::try_from(HUGE).unwrap(), u32::try_from(HUGE).unwrap());
    });
    let spec = Part::deflated("bakeline.yaml", SPEC);
    let head = zip(&[spec.clone(), huge.clone()]);
    let entries_at = head.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    // The same archive again with the small files, from which the parts around the huge content are cut.
    let small_at = u32::try_from(entries_at as u64 + HUGE).unwrap();
    let mut parts = vec![spec, huge];
    let mut offset = small_at;
    for index in 0..2_000 {
        let part = Part::stored(&format!("site/page-{index:06}.html"), b"<p>").at(offset);
        offset += 30 + u32::try_from(part.local.name.len()).unwrap() + 3;
        parts.push(part);
    }
    let mut bytes = zip(&parts);
    let end = bytes.len() - 22;
    bytes[end + 16..end + 20].copy_from_slice(&offset.to_le_bytes());
    let tail = bytes.split_off(entries_at);
    Object {
        size: u64::from(small_at) + tail.len() as u64,
        segments: vec![(0, bytes.into()), (small_at.into(), tail.into())],
        etag: "\"huge\"".to_owned(),
    }
}

#[tokio::test]
async fn the_spec_of_a_gigabyte_archive_takes_three_small_reads() {
    let fake = FakeS3::with(gigabyte());
    let archive = RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.unwrap();
    assert_eq!(archive.entries().len(), 2_002);
    assert!(archive.size() > 1 << 30);
    assert_eq!(archive.read(&path("bakeline.yaml"), 1 << 20).await.unwrap(), SPEC);
    let calls = fake.calls();
    assert_eq!(calls.len(), 3, "{calls:#?}");
    assert!(fake.gave() < 300_000, "{} bytes", fake.gave());
    assert!(calls[1..].iter().all(|call| call.headers["if-match"] == "\"huge\""));
    // Files within the last bytes of the object take no further read.
    assert_eq!(archive.read(&path("site/page-001999.html"), 10).await.unwrap(), b"<p>");
    let error = archive.read(&path("app/huge.bin"), 1 << 20).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Refused { fault: ArchiveFault::TooLarge { .. }, .. }));
}

#[tokio::test]
async fn a_small_artifact_takes_one_read() {
    let fake = FakeS3::with(Object::of(zip(&[Part::stored("x", b"content")])));
    let archive = RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.unwrap();
    assert_eq!(archive.read(&path("x"), 100).await.unwrap(), b"content");
    assert_eq!((fake.calls().len(), archive.etag()), (1, "\"first\""));
}

#[tokio::test]
async fn an_object_that_changes_during_the_read_is_refused() {
    for replaced_before in [1, 2] {
        let fake = FakeS3::with(gigabyte()).fault(replaced_before, Fault::Replace);
        let read = async {
            let archive = RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await?;
            archive.read(&path("bakeline.yaml"), 1 << 20).await
        };
        let error = read.await.unwrap_err();
        assert!(matches!(&error, ArtifactError::Changed { etag, .. } if etag == "\"huge\""), "{error:?}");
        assert!(!error.is_transient());
    }
    let fake = FakeS3::with(Object::of(sample())).fault(0, Fault::CutBody(70_000)).fault(1, Fault::Replace);
    let error = spool(&fake.client(), &at(), &Caps::default()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Changed { .. }), "{error:?}");
}

#[tokio::test]
async fn digest_and_spool_continue_after_a_network_error() {
    let bytes = sample();
    for cuts in [&[][..], &[0], &[70_000], &[70_000, 0, 0, 0, 1], &[200_000, 0]] {
        let (mut whole, mut spooled) =
            (FakeS3::with(Object::of(bytes.clone())), FakeS3::with(Object::of(bytes.clone())));
        for (call, cut) in cuts.iter().enumerate() {
            whole = whole.fault(call + 1, Fault::CutBody(*cut));
            spooled = spooled.fault(call, Fault::CutBody(*cut));
        }
        let archive = RemoteArchive::open(&whole.client(), &at(), &Caps::default()).await.unwrap();
        assert_eq!(archive.digest().await.unwrap(), Sha256::of(&bytes));
        assert_eq!(whole.calls().len(), 2 + cuts.len());
        let mut spooled = spool(&spooled.client(), &at(), &Caps::default()).await.unwrap();
        assert_eq!((spooled.digest, spooled.size), (Sha256::of(&bytes), bytes.len() as u64));
        assert_eq!(spooled.archive.read(&path("bakeline.yaml"), 100).unwrap(), SPEC);
        spooled.archive.check_contents().unwrap();
    }
}

#[tokio::test]
async fn repeated_network_errors_end_the_read() {
    let mut fake = FakeS3::with(Object::of(sample()));
    for call in 0..20 {
        fake = fake.fault(call, Fault::CutBody(0));
    }
    for error in [
        RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.map(|_| ()).unwrap_err(),
        spool(&fake.client(), &at(), &Caps::default()).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, ArtifactError::Transport { .. }) && error.is_transient(), "{error:?}");
    }
    assert_eq!(fake.calls().len(), 10);
}

#[tokio::test]
async fn every_s3_error_has_its_own_variant() {
    type Is = fn(&ArtifactError) -> bool;
    let table: &[(u16, &str, Is)] = &[
        (404, "NoSuchKey", ArtifactError::is_not_found),
        (404, "NoSuchBucket", ArtifactError::is_not_found),
        (403, "AccessDenied", ArtifactError::is_denied),
        (403, "InvalidAccessKeyId", ArtifactError::is_denied),
        (400, "ExpiredToken", ArtifactError::is_expired_credentials),
        (503, "SlowDown", ArtifactError::is_transient),
        (500, "InternalError", ArtifactError::is_transient),
        (400, "RequestTimeout", ArtifactError::is_transient),
        (416, "InvalidRange", ArtifactError::is_bad_data),
        (301, "PermanentRedirect", |error| {
            matches!(error, ArtifactError::Service { .. }) && !error.is_transient()
        }),
    ];
    for (status, code, is) in table {
        let fake = FakeS3::with(Object::of(sample())).fault(0, Fault::Refuse(*status, code));
        let error = RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.unwrap_err();
        assert!(is(&error), "{code}: {error:?}");
        let others = table.iter().filter(|(_, _, other)| other(&error)).count();
        assert!(others <= 3, "{code} is everything at once");
        assert!(error.to_string().contains("s3://artifacts/line/Source/abc"), "{error}");
        assert!(!format!("{error:?}").contains("planted"));
    }
    let fake = FakeS3::with(Object::of(sample())).fault(0, Fault::LoseReply);
    assert!(RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn an_invalid_location_is_not_retried() {
    let nowhere = Location { bucket: String::new(), key: "x".to_owned() };
    let fake = FakeS3::default();
    let error = RemoteArchive::open(&fake.client(), &nowhere, &Caps::default()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Unsendable { .. }) && !error.is_transient(), "{error:?}");
    assert!(fake.calls().is_empty());
}

/// The worker spawns jobs, so their futures must be able to move between threads.
#[test]
fn all_futures_are_send() {
    fn send<T: Send>(_: T) {}
    let (fake, caps, (finished, _)) = (FakeS3::default().client(), Caps::default(), written(&[]));
    send(RemoteArchive::open(&fake, &at(), &caps));
    send(spool(&fake, &at(), &caps));
    send(put(&fake, &at(), &finished, None));
    let read = |archive: &RemoteArchive| {
        send(archive.read(&path("x"), 1));
        send(archive.digest());
    };
    let _ = read;
}

#[tokio::test]
async fn caps_are_checked_before_the_download() {
    let caps = Caps { archive_bytes: 1000, ..Caps::default() };
    let fake = FakeS3::with(Object::of(sample()));
    for error in [
        RemoteArchive::open(&fake.client(), &at(), &caps).await.map(|_| ()).unwrap_err(),
        spool(&fake.client(), &at(), &caps).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(
            error,
            ArtifactError::Refused { fault: ArchiveFault::TooLarge { limit: 1000, .. }, .. }
        ));
    }
    let ignoring = FakeS3::with(Object::of(sample())).fault(0, Fault::IgnoreRange);
    let error = RemoteArchive::open(&ignoring.client(), &at(), &Caps::default()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Protocol { .. }), "{error:?}");
    let ignoring = FakeS3::with(Object::of(zip(&[]))).fault(0, Fault::IgnoreRange);
    assert!(RemoteArchive::open(&ignoring.client(), &at(), &Caps::default()).await.is_ok());
}

#[tokio::test]
async fn a_file_with_a_wrong_local_header_is_refused() {
    let lying = Part::stored("x", b"content").local(|header| header.crc32 ^= 1);
    let hidden = Part::stored("y", b"content").after(&[7; 5]);
    let streamed = Part::deflated("z", b"zzzzzzzzzz")
        .both(|header| header.flags = 1 << 3)
        .local(|header| (header.crc32, header.packed, header.size) = (0, 0, 0));
    let descriptor = [streamed.central.crc32, streamed.central.packed, 10].map(u32::to_le_bytes).concat();
    let streamed = streamed.after(&descriptor);
    let fake = FakeS3::with(Object::of(zip(&[lying, hidden, streamed])));
    let archive = RemoteArchive::open(&fake.client(), &at(), &Caps::default()).await.unwrap();
    let fault = async |name: &str| match archive.read(&path(name), 100).await {
        Err(ArtifactError::Refused { fault, origin: Origin::S3(_) }) => fault,
        other => panic!("{other:?}"),
    };
    assert!(matches!(fault("x").await, ArchiveFault::Differs { field: "CRC-32", .. }));
    assert!(matches!(fault("y").await, ArchiveFault::Hidden { len: 5, .. }));
    assert!(matches!(fault("nowhere").await, ArchiveFault::NoEntry { .. }));
    assert_eq!(archive.read(&path("z"), 100).await.unwrap(), b"zzzzzzzzzz");
}
