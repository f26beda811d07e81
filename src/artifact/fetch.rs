//! Reads of an S3 object, pinned to one version by `If-Match`.

use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::caps::Caps;
use super::digest::Hasher;
use super::error::{ArtifactError, Location, Origin};
use super::fault::ArchiveFault;
use crate::digest::Sha256;

const CALL: &str = "GetObject";

/// How often in a row a response may break off without progress. The SDK retries each request itself.
const BREAKS: u32 = 4;

/// One version of an object; all reads send its `ETag` as `If-Match`.
#[derive(Debug, Clone)]
pub(super) struct Pinned {
    pub(super) at: Location,
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The last `len` bytes of an object, or all of a smaller one, and the pin for later reads.
pub(super) async fn tail(
    s3: &Client,
    at: &Location,
    len: u64,
    caps: &Caps,
) -> Result<(Pinned, Vec<u8>), ArtifactError> {
    let mut breaks = 0;
    loop {
        let request = s3.get_object().bucket(&at.bucket).key(&at.key).range(format!("bytes=-{len}"));
        let answer = match request.send().await {
            Ok(answer) => answer,
            // An empty object has no suffix range.
            Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == 416) => {
                let fault =
                    ArchiveFault::Truncated { offset: 0, what: "the end record: the object is empty" };
                return Err(ArtifactError::Refused { origin: Origin::S3(at.clone()), fault });
            }
            Err(error) => return Err(ArtifactError::of_call(error, at, CALL, None)),
        };
        let (size, range) = extent(&answer, at)?;
        if range.end != size || (range.start != 0 && range.end - range.start != len) {
            return Err(protocol(at, "another range than requested"));
        }
        // A server without suffix ranges returns the whole object; accepted if it is not longer than requested.
        if range.end - range.start > len {
            return Err(protocol(at, "the whole object instead of its end"));
        }
        let pinned = pin(&answer, at, size, caps)?;
        match collect(answer.body, range.end - range.start, at).await {
            Ok(bytes) => return Ok((pinned, bytes)),
            Err(broken) => again(&mut breaks, broken)?,
        }
    }
}

/// The bytes of a range. The caller has limited its length.
pub(super) async fn range(s3: &Client, of: &Pinned, range: Range<u64>) -> Result<Vec<u8>, ArtifactError> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let mut breaks = 0;
    loop {
        let answer = get(s3, of, format!("bytes={}-{}", range.start, range.end - 1)).await?;
        if extent(&answer, &of.at)? != (of.size, range.clone()) {
            return Err(protocol(&of.at, "another range than requested"));
        }
        match collect(answer.body, range.end - range.start, &of.at).await {
            Ok(bytes) => return Ok(bytes),
            Err(broken) => again(&mut breaks, broken)?,
        }
    }
}

/// A whole object as a stream. After a network error it continues from the last byte received.
pub(super) struct ObjectStream<'a> {
    s3: &'a Client,
    of: Pinned,
    offset: u64,
    body: Option<ByteStream>,
    breaks: u32,
}

impl<'a> ObjectStream<'a> {
    /// Starts to read an object, and pins its version.
    pub(super) async fn open(s3: &'a Client, at: &Location, caps: &Caps) -> Result<Self, ArtifactError> {
        let request = s3.get_object().bucket(&at.bucket).key(&at.key);
        let answer = request.send().await.map_err(|error| ArtifactError::of_call(error, at, CALL, None))?;
        let (size, range) = extent(&answer, at)?;
        if range != (0..size) {
            return Err(protocol(at, "a part instead of the whole object"));
        }
        let of = pin(&answer, at, size, caps)?;
        Ok(Self { s3, of, offset: 0, body: Some(answer.body), breaks: 0 })
    }

    /// Reads an object whose version is already pinned.
    pub(super) fn of(s3: &'a Client, of: Pinned) -> Self {
        Self { s3, of, offset: 0, body: None, breaks: 0 }
    }

    /// The object being read.
    pub(super) fn pinned(&self) -> &Pinned {
        &self.of
    }

    /// The next bytes; `None` at the end of the object.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ArtifactError> {
        while self.offset < self.of.size {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.rest().await?,
            };
            let broken = match body.next().await {
                Some(Ok(bytes)) => {
                    self.offset += bytes.len() as u64;
                    if self.offset > self.of.size {
                        return Err(protocol(&self.of.at, "more bytes than the object has"));
                    }
                    self.body = Some(body);
                    if bytes.is_empty() {
                        continue;
                    }
                    self.breaks = 0;
                    return Ok(Some(bytes));
                }
                Some(Err(error)) => transport(&self.of.at, error),
                None => transport(&self.of.at, "the response ended early"),
            };
            again(&mut self.breaks, broken)?;
        }
        // The SDK compares the checksum, if S3 sends one, only at the end of the response.
        if let Some(mut body) = self.body.take() {
            while let Some(more) = body.next().await {
                if !more.map_err(|error| transport(&self.of.at, error))?.is_empty() {
                    return Err(protocol(&self.of.at, "more bytes than the object has"));
                }
            }
        }
        Ok(None)
    }

    /// The SHA-256 of the rest of the object.
    pub(super) async fn digest(mut self) -> Result<Sha256, ArtifactError> {
        let mut hasher = Hasher::new();
        while let Some(bytes) = self.next().await? {
            hasher.update(&bytes);
        }
        Ok(hasher.finish())
    }

    async fn rest(&self) -> Result<ByteStream, ArtifactError> {
        let answer = get(self.s3, &self.of, format!("bytes={}-", self.offset)).await?;
        if extent(&answer, &self.of.at)? != (self.of.size, self.offset..self.of.size) {
            return Err(protocol(&self.of.at, "another range than requested"));
        }
        Ok(answer.body)
    }
}

async fn get(s3: &Client, of: &Pinned, range: String) -> Result<GetObjectOutput, ArtifactError> {
    let request = s3.get_object().bucket(&of.at.bucket).key(&of.at.key).if_match(&of.etag).range(range);
    let answer =
        request.send().await.map_err(|error| ArtifactError::of_call(error, &of.at, CALL, Some(&of.etag)))?;
    // For a store that ignores the condition.
    if answer.e_tag() != Some(of.etag.as_str()) {
        return Err(ArtifactError::Changed { at: of.at.clone(), etag: of.etag.clone() });
    }
    Ok(answer)
}

fn pin(answer: &GetObjectOutput, at: &Location, size: u64, caps: &Caps) -> Result<Pinned, ArtifactError> {
    let Some(etag) = answer.e_tag().filter(|etag| !etag.is_empty()) else {
        return Err(protocol(at, "no ETag"));
    };
    if size > caps.archive_bytes {
        let (what, limit) = ("the archive".to_owned(), caps.archive_bytes);
        let fault = ArchiveFault::TooLarge { what, found: size, limit };
        return Err(ArtifactError::Refused { origin: Origin::S3(at.clone()), fault });
    }
    Ok(Pinned { at: at.clone(), etag: etag.to_owned(), size })
}

/// The size of the object, and the range of the response.
fn extent(answer: &GetObjectOutput, at: &Location) -> Result<(u64, Range<u64>), ArtifactError> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let extent = match answer.content_range() {
        Some(text) => content_range(text),
        None => length.map(|length| (length, 0..length)),
    };
    extent
        .filter(|(_, range)| length.is_none_or(|length| length == range.end - range.start))
        .ok_or_else(|| protocol(at, "no usable Content-Range or Content-Length"))
}

/// Reads `bytes 5-9/100`, RFC 9110 section 14.4.
fn content_range(text: &str) -> Option<(u64, Range<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    let end = last.checked_add(1)?;
    (first < end && end <= size).then_some((size, first..end))
}

/// Reads exactly `len` bytes; fewer or more are a transport error.
async fn collect(mut body: ByteStream, len: u64, at: &Location) -> Result<Vec<u8>, ArtifactError> {
    let mut out = Vec::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| transport(at, error))?;
        if out.len() as u64 + bytes.len() as u64 > len {
            return Err(transport(at, "the response is longer than its range"));
        }
        out.extend_from_slice(&bytes);
    }
    if out.len() as u64 == len { Ok(out) } else { Err(transport(at, "the response ended early")) }
}

fn again(breaks: &mut u32, broken: ArtifactError) -> Result<(), ArtifactError> {
    *breaks += 1;
    if *breaks > BREAKS { Err(broken) } else { Ok(()) }
}

fn transport(at: &Location, source: impl Into<super::error::CallError>) -> ArtifactError {
    ArtifactError::Transport { at: at.clone(), call: CALL, source: source.into() }
}

fn protocol(at: &Location, what: &'static str) -> ArtifactError {
    ArtifactError::Protocol { at: at.clone(), call: CALL, what }
}
