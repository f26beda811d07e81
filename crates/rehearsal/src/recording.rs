//! A byte-exact recording of HTTP exchanges, for comparison with AWS's service models.
//!
//! The environment variable [`FOLDER`] turns it on for a whole process, because tests create many clouds and all of
//! them must be recorded. Each process writes one file of JSON lines into that folder; `tests/python/wire` reads
//! them.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

/// The environment variable that names the folder of the recordings.
pub const FOLDER: &str = "BAKELINE_TEST_WIRE";
/// The size limit of a recorded body. Of larger bodies, and of binary S3 objects, only the length is recorded.
const LARGEST_KEPT: usize = 256 << 10;
/// Headers that are not recorded: they are secret, or differ in every request without affecting it.
const LEFT_OUT: [&str; 6] = [
    "authorization",
    "x-amz-security-token",
    "x-amz-date",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "user-agent",
];

/// A file of recorded HTTP exchanges.
#[derive(Debug)]
pub struct Recording {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Hashes of the exchanges already in the file: crash tests repeat the same exchange thousands of times.
    seen: HashSet<u64>,
}

impl Recording {
    /// This process's recording, if [`FOLDER`] is set.
    #[must_use]
    pub fn of_process() -> Option<&'static Self> {
        static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
        RECORDING
            .get_or_init(|| {
                let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty())?;
                let opened = Self::open(&Path::new(&folder).join(format!("{}.jsonl", std::process::id())));
                match opened {
                    Ok(recording) => Some(recording),
                    Err(error) => {
                        tracing::error!(%error, "cannot open the wire recording");
                        None
                    }
                }
            })
            .as_ref()
    }

    /// Opens a recording that appends to a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { inner: Mutex::new(Inner { file, seen: HashSet::new() }) })
    }

    /// Records one exchange, unless the same bytes were recorded before.
    pub fn enter(&self, parts: &Parts, body: &Bytes, response: &Response<Bytes>) {
        let key = key(parts, body, response);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.seen.insert(key) {
            return;
        }
        let scope = super::wire::scope::Scope::of(parts);
        let of_s3 = scope.as_ref().is_some_and(|scope| scope.service == "s3");
        let exchange = json!({
            "request": {
                "method": parts.method.as_str(),
                "uri": parts.uri.to_string(),
                "scope": scope.map(|scope| json!({ "region": scope.region, "service": scope.service })),
                "headers": headers(&parts.headers),
                "body": shown(body, of_s3),
            },
            "response": {
                "status": response.status().as_u16(),
                "headers": headers(response.headers()),
                "body": shown(response.body(), of_s3),
            },
        });
        // One write per line, so that a killed process leaves complete lines.
        let line = format!("{exchange}\n");
        if let Err(error) = inner.file.write_all(line.as_bytes()) {
            tracing::error!(%error, "cannot record an exchange");
        }
    }
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect()
}

fn shown(body: &Bytes, of_s3: bool) -> Value {
    if body.len() > LARGEST_KEPT {
        return json!({ "length": body.len() });
    }
    match std::str::from_utf8(body) {
        Ok(text) => json!({ "text": text }),
        Err(_) if of_s3 => json!({ "length": body.len() }),
        Err(_) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(body) }),
    }
}

/// The hash by which exchanges are deduplicated: of everything but dates, signatures and request ids.
fn key(parts: &Parts, body: &Bytes, response: &Response<Bytes>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (parts.method.as_str(), parts.uri.path(), parts.uri.query()).hash(&mut hasher);
    for name in ["x-amz-target", "content-type", "smithy-protocol", "if-none-match", "if-match"] {
        parts.headers.get(name).map(http::HeaderValue::as_bytes).hash(&mut hasher);
    }
    (body, response.status().as_u16()).hash(&mut hasher);
    let id = response.headers().get("x-amzn-requestid").map_or(&b""[..], http::HeaderValue::as_bytes);
    without(response.body(), id).hash(&mut hasher);
    hasher.finish()
}

/// The pieces of `body` between the occurrences of `id`.
fn without<'b>(body: &'b [u8], id: &[u8]) -> Vec<&'b [u8]> {
    let found = (!id.is_empty()).then(|| body.windows(id.len()).position(|window| window == id)).flatten();
    match found.and_then(|at| body.split_at_checked(at)) {
        Some((before, rest)) => vec![before, rest.get(id.len()..).unwrap_or_default()],
        None => vec![body],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(body: &'static str, id: &str) -> (Parts, Bytes, Response<Bytes>) {
        let request = http::Request::builder()
            .uri("/")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIA/1/eu-west-1/ec2/aws4_request, Signature=f",
            )
            .header("x-amz-security-token", "hush")
            .body(())
            .unwrap();
        let answer =
            Response::builder().header("x-amzn-requestid", id).body(Bytes::from(format!("<r>{id}</r>")));
        (request.into_parts().0, Bytes::from_static(body.as_bytes()), answer.unwrap())
    }

    #[test]
    fn an_exchange_is_recorded_once_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let recording = Recording::open(&path).unwrap();
        for (body, id) in [("Action=A", "id-1"), ("Action=A", "id-2"), ("Action=B", "id-3")] {
            let (parts, body, response) = exchange(body, id);
            recording.enter(&parts, &body, &response);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["request"]["scope"], json!({"region": "eu-west-1", "service": "ec2"}));
        assert_eq!(lines[0]["response"]["body"], json!({"text": "<r>id-1</r>"}));
        assert!(!text.contains("hush") && !text.contains("Signature"), "{text}");
    }

    #[test]
    fn binary_bodies_are_recorded_as_base64_and_large_ones_by_length() {
        assert_eq!(shown(&Bytes::from_static(&[0xff]), false), json!({"base64": "/w=="}));
        assert_eq!(shown(&Bytes::from_static(&[0xff]), true), json!({"length": 1}));
        assert_eq!(
            shown(&Bytes::from(vec![b'x'; LARGEST_KEPT + 1]), false),
            json!({"length": LARGEST_KEPT + 1})
        );
    }
}
