//! A minimal S3 as an HTTP connector of the SDK. It records calls, and injects a fault into a given call.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::artifact::{Location, Sha256};

/// What goes wrong on one call, counted from 0.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The call is answered with this status and code, and nothing is done.
    Refuse(u16, &'static str),
    /// The call is done, but no answer arrives.
    LoseReply,
    /// The body of the answer breaks off after so many bytes.
    CutBody(u64),
    /// The object is replaced by one of the same size before the call.
    Replace,
    /// The object is removed before the call.
    Remove,
    /// The bytes that are stored are not those that were sent.
    Corrupt,
    /// The answer is that the object has no such range, but all of it.
    IgnoreRange,
}

/// An object: some bytes at some offsets, and zeros everywhere else.
#[derive(Clone, Debug, Default)]
pub struct Object {
    pub size: u64,
    pub segments: Vec<(u64, Bytes)>,
    pub etag: String,
}

impl Object {
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { size: bytes.len() as u64, segments: vec![(0, bytes)], etag: "\"first\"".to_owned() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.slice(0, self.size)
    }

    fn slice(&self, at: u64, end: u64) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(end - at).unwrap()];
        for (start, bytes) in &self.segments {
            let (from, to) = ((*start).max(at), (start + bytes.len() as u64).min(end));
            if from < to {
                let index = |value: u64| usize::try_from(value).unwrap();
                out[index(from - at)..index(to - at)]
                    .copy_from_slice(&bytes[index(from - start)..index(to - start)]);
            }
        }
        out
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Method, path and query.
    pub line: String,
    pub headers: BTreeMap<String, String>,
    /// Bytes of the answer's body.
    pub gave: u64,
}

#[derive(Default, Debug)]
pub struct State {
    pub objects: BTreeMap<String, Object>,
    pub uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    pub calls: Vec<Call>,
    faults: BTreeMap<usize, Fault>,
    serial: u32,
}

#[derive(Clone, Default, Debug)]
pub struct FakeS3(Arc<Mutex<State>>);

pub fn at() -> Location {
    Location { bucket: "artifacts".to_owned(), key: "line/Source/abc".to_owned() }
}

impl FakeS3 {
    pub fn with(object: Object) -> Self {
        let fake = Self::default();
        fake.state().objects.insert("/artifacts/line/Source/abc".to_owned(), object);
        fake
    }

    pub fn fault(self, call: usize, fault: Fault) -> Self {
        self.state().faults.insert(call, fault);
        self
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Bytes given by all answers.
    pub fn gave(&self) -> u64 {
        self.state().calls.iter().map(|call| call.gave).sum()
    }

    pub fn object(&self) -> Option<Object> {
        self.state().objects.values().next().cloned()
    }

    pub fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "planted", None, None, "test"))
            .endpoint_url("https://s3.test")
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .time_source(StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(1_790_000_000)))
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Client::from_conf(config)
    }
}

impl HttpConnector for FakeS3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fake = self.clone();
        HttpConnectorFuture::new(async move {
            let uri: http::Uri = request.uri().parse().unwrap();
            let headers: BTreeMap<String, String> =
                request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let method = request.method().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            let call = Call { line: format!("{method} {}", uri.path_and_query().unwrap()), headers, gave: 0 };
            let mut state = fake.state();
            let fault = {
                let index = state.calls.len();
                state.faults.remove(&index)
            };
            state.calls.push(call.clone());
            if let Some(Fault::Refuse(status, code)) = fault {
                return Ok(error(status, code));
            }
            let answer = state.answer(&call, uri.path(), body, fault);
            if matches!(fault, Some(Fault::LoseReply)) {
                return Err(ConnectorError::io("connection reset".into()));
            }
            Ok(answer)
        })
    }
}

impl State {
    fn answer(&mut self, call: &Call, path: &str, body: Vec<u8>, fault: Option<Fault>) -> HttpResponse {
        match fault {
            Some(Fault::Replace) => {
                self.objects.values_mut().for_each(|object| object.etag.insert_str(1, "new"));
            }
            Some(Fault::Remove) => self.objects.clear(),
            _ => {}
        }
        let (method, target) = call.line.split_once(' ').unwrap();
        let query: BTreeMap<&str, &str> = target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        let body = sent(call, body);
        let taken = call.headers.get("if-none-match").is_some_and(|tag| tag == "*")
            && self.objects.contains_key(path);
        match (method, query.get("uploadId")) {
            ("GET", _) => self.get(call, path, fault),
            ("POST", None) => {
                self.serial += 1;
                let id = format!("upload-{}", self.serial);
                self.uploads.insert(id.clone(), BTreeMap::new());
                xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            (_, Some(id)) if !self.uploads.contains_key(*id) => error(404, "NoSuchUpload"),
            ("DELETE", Some(id)) => {
                self.uploads.remove(*id);
                respond(204, &[], SdkBody::empty())
            }
            _ if taken => error(412, "PreconditionFailed"),
            ("PUT", Some(id)) => {
                let number = query["partNumber"].parse().unwrap();
                self.uploads.get_mut(*id).unwrap().insert(number, body);
                respond(200, &[("etag", format!("\"part-{number}\""))], SdkBody::empty())
            }
            ("POST", Some(id)) => {
                let listed = String::from_utf8(body).unwrap().matches("<Part>").count();
                let parts = self.uploads.remove(*id).unwrap();
                assert_eq!(parts.len(), listed);
                let etag = self.store(path, parts.into_values().flatten().collect());
                let etag = etag.replace('"', "&quot;");
                xml(&format!(
                    "<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
                ))
            }
            ("PUT", None) => {
                let declared = &call.headers["x-amz-checksum-sha256"];
                let digest = Sha256::of(&body);
                if *declared != base64::engine::general_purpose::STANDARD.encode(digest.as_bytes()) {
                    return error(400, "BadDigest");
                }
                let mut body = body;
                if matches!(fault, Some(Fault::Corrupt)) {
                    body[0] ^= 1;
                }
                let etag = self.store(path, body);
                respond(200, &[("etag", etag)], SdkBody::empty())
            }
            other => panic!("not a call of ours: {other:?}"),
        }
    }

    fn store(&mut self, path: &str, bytes: Vec<u8>) -> String {
        self.serial += 1;
        let etag = format!("\"etag-{}\"", self.serial);
        self.objects.insert(path.to_owned(), Object { etag: etag.clone(), ..Object::of(bytes) });
        etag
    }

    fn get(&mut self, call: &Call, path: &str, fault: Option<Fault>) -> HttpResponse {
        let Some(object) = self.objects.get(path).cloned() else { return error(404, "NoSuchKey") };
        if call.headers.get("if-match").is_some_and(|etag| *etag != object.etag) {
            return error(412, "PreconditionFailed");
        }
        let mut headers = vec![("etag", object.etag.clone())];
        let (start, end) = match call.headers.get("range") {
            Some(range) if !matches!(fault, Some(Fault::IgnoreRange)) => {
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
                    (Err(_), Ok(suffix)) => (object.size.saturating_sub(suffix), object.size),
                    (Ok(first), Ok(last)) => (first, object.size.min(last + 1)),
                    (Ok(first), Err(_)) => (first, object.size),
                    _ => panic!("{range}"),
                };
                if start >= end {
                    return error(416, "InvalidRange");
                }
                headers.push(("content-range", format!("bytes {start}-{}/{}", end - 1, object.size)));
                (start, end)
            }
            _ => (0, object.size),
        };
        headers.push(("content-length", (end - start).to_string()));
        let cut = match fault {
            Some(Fault::CutBody(after)) => Some(start + after),
            _ => None,
        };
        let gave = cut.unwrap_or(end) - start;
        self.calls.last_mut().unwrap().gave = gave;
        let status = if headers.iter().any(|(name, _)| *name == "content-range") { 206 } else { 200 };
        respond(status, &headers, body(object, start, end, cut))
    }
}

/// The bytes of an object, made as they are asked for, with a break if there shall be one.
fn body(object: Object, start: u64, end: u64, cut: Option<u64>) -> SdkBody {
    let stream = futures::stream::unfold(Some(start), move |state| {
        let object = object.clone();
        async move {
            let position = state?;
            if Some(position) == cut {
                return Some((Err(std::io::Error::other("connection reset")), None));
            }
            let next = (position + 65_536).min(cut.unwrap_or(end));
            if next == position {
                return None;
            }
            Some((Ok(Frame::data(Bytes::from(object.slice(position, next)))), Some(next)))
        }
    });
    SdkBody::from_body_1_x(StreamBody::new(stream.fuse()))
}

/// The bytes that were sent, taken out of the `aws-chunked` encoding if they came in it.
fn sent(call: &Call, body: Vec<u8>) -> Vec<u8> {
    if call.headers.get("content-encoding").is_none_or(|encoding| encoding != "aws-chunked") {
        return body;
    }
    let (mut rest, mut out) = (&body[..], Vec::new());
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..line]).unwrap().split(';').next().unwrap().to_owned();
        let length = usize::from_str_radix(&length, 16).unwrap();
        if length == 0 {
            return out;
        }
        out.extend(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 4 + length..];
    }
}

fn respond(status: u16, headers: &[(&str, String)], body: SdkBody) -> HttpResponse {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    HttpResponse::try_from(response.body(body).unwrap()).unwrap()
}

fn xml(text: &str) -> HttpResponse {
    respond(200, &[], SdkBody::from(text))
}

fn error(status: u16, code: &str) -> HttpResponse {
    let mut text = String::new();
    write!(text, "<Error><Code>{code}</Code><Message>as the test wishes</Message></Error>").unwrap();
    respond(status, &[], SdkBody::from(text))
}
