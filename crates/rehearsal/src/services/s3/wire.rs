//! S3's wire protocol: the operation of a request, path-style and virtual-hosted-style buckets, and dispatch to s3s.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use s3s::Body;
use s3s::service::S3ServiceBuilder;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::super::wire::errors::encode_s3;
use super::super::super::wire::text;
use super::front::Front;
use super::{View, chunked};

/// The operation, bucket and key of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub operation: &'static str,
    /// Empty for `ListBuckets`.
    pub bucket: String,
    /// The key, percent-encoded as received, without the leading slash; empty for bucket operations.
    raw_key: String,
}

impl Target {
    /// Parses bucket and key from host and path, and the operation from method and query.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let path = parts.uri.path().trim_start_matches('/');
        let (bucket, raw_key) = match virtual_bucket(parts) {
            Some(bucket) => (bucket, path),
            None => match path.split_once('/') {
                Some((bucket, key)) => (bucket.to_owned(), key),
                None => (path.to_owned(), ""),
            },
        };
        let operation = operation(parts, !bucket.is_empty(), !raw_key.is_empty());
        Self { operation, bucket, raw_key: raw_key.to_owned() }
    }

    /// The target as recorded in the transcript.
    #[must_use]
    pub fn as_input(&self, body: usize) -> Value {
        let mut input = json!({ "Bucket": self.bucket });
        if !self.raw_key.is_empty() {
            input["Key"] = text::percent_decode(&self.raw_key, false).into();
        }
        if body > 0 {
            input["ContentLength"] = body.into();
        }
        input
    }
}

/// The bucket in a host such as `bucket.s3.eu-west-1.amazonaws.com` or `bucket.localhost`.
fn virtual_bucket(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let host = header.or_else(|| parts.uri.host())?;
    let host = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let labels: Vec<&str> = host.split('.').collect();
    let anchor = labels
        .iter()
        .rposition(|label| *label == "s3" || label.starts_with("s3-") || *label == "localhost")?;
    let bucket = labels.get(..anchor)?.join(".");
    (!bucket.is_empty()).then_some(bucket)
}

fn operation(parts: &Parts, bucket: bool, key: bool) -> &'static str {
    let query = text::pairs(parts.uri.query().unwrap_or_default());
    let asks = |name: &str| query.iter().any(|(n, _)| n == name);
    let copies = parts.headers.contains_key("x-amz-copy-source");
    match (parts.method.as_str(), bucket, key) {
        (_, false, _) => "ListBuckets",
        ("HEAD", _, false) => "HeadBucket",
        ("PUT", _, false) if query.is_empty() => "CreateBucket",
        ("DELETE", _, false) if query.is_empty() => "DeleteBucket",
        ("POST", _, false) if asks("delete") => "DeleteObjects",
        ("GET", _, false) if asks("location") => "GetBucketLocation",
        ("GET", _, false) if asks("versioning") => "GetBucketVersioning",
        ("GET", _, false) if asks("policy") => "GetBucketPolicy",
        ("GET", _, false) if asks("uploads") => "ListMultipartUploads",
        ("GET", _, false) if asks("list-type") => "ListObjectsV2",
        ("GET", _, false) => "GetBucket",
        (_, _, false) => "PutBucket",
        ("HEAD", _, true) => "HeadObject",
        ("GET", _, true) if asks("uploadId") => "ListParts",
        ("GET", _, true) => "GetObject",
        ("PUT", _, true) if asks("uploadId") && copies => "UploadPartCopy",
        ("PUT", _, true) if asks("uploadId") => "UploadPart",
        ("PUT", _, true) if copies => "CopyObject",
        ("POST", _, true) if asks("uploads") => "CreateMultipartUpload",
        ("POST", _, true) if asks("uploadId") => "CompleteMultipartUpload",
        ("DELETE", _, true) if asks("uploadId") => "AbortMultipartUpload",
        ("DELETE", _, true) => "DeleteObject",
        _ => "PutObject",
    }
}

/// Headers of the signature and the transfer encoding, which are already processed.
const DONE_WITH: [&str; 9] = [
    "authorization",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "transfer-encoding",
    "content-length",
    "expect",
];

/// Handles a request of an authenticated caller.
pub async fn serve(
    view: View,
    (account, region): (String, String),
    target: Target,
    parts: Parts,
    body: Bytes,
) -> Response<Bytes> {
    let Some(request) = plain(&target, parts, body) else {
        let refusal = ApiError::new("IncompleteBody", "The request body terminated unexpectedly");
        return encode_s3(&refusal.with_status(400), "");
    };
    let head = request.method() == Method::HEAD;
    let service = S3ServiceBuilder::new(Front { view, account, region }).build();
    let failed = |why| encode_s3(&ApiError::new("InternalError", why).with_status(500), "");
    let Ok(response) = service.call(request).await else { return failed("s3s could not answer") };
    let (mut parts, body) = response.into_parts();
    // A single-chunk body is passed on without a copy.
    let Ok(body) = body.collect().await else { return failed("the response body was truncated") };
    let bytes = body.to_bytes();
    // Neither a 304 response nor a HEAD response has a body.
    if parts.status == StatusCode::NOT_MODIFIED {
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Bytes::new());
    }
    if head {
        return Response::from_parts(parts, Bytes::new());
    }
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Response::from_parts(parts, bytes)
}

/// Converts the request to an unsigned path-style one with a decoded body.
fn plain(target: &Target, parts: Parts, body: Bytes) -> Option<Request<Body>> {
    let mut headers = parts.headers;
    let codings: Vec<String> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(',').map(|coding| coding.trim().to_owned()))
        .collect();
    let streamed =
        headers.get("x-amz-content-sha256").is_some_and(|v| v.as_bytes().starts_with(b"STREAMING-"));
    let body = if streamed || codings.iter().any(|coding| coding == "aws-chunked") {
        let decoded = chunked::decode(body)?;
        for (name, value) in decoded.trailers {
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        keep_codings(&mut headers, codings)?;
        decoded.body
    } else {
        body
    };
    for name in DONE_WITH {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = path_style(target, &parts.uri)?;
    *request.headers_mut() = headers;
    Some(request)
}

/// Keeps the remaining content codings as the object's.
fn keep_codings(headers: &mut HeaderMap, codings: Vec<String>) -> Option<()> {
    headers.remove(header::CONTENT_ENCODING);
    let own: Vec<String> = codings.into_iter().filter(|coding| coding != "aws-chunked").collect();
    if !own.is_empty() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::try_from(own.join(", ")).ok()?);
    }
    Some(())
}

/// The path-style URL, without the query parameters of a presigned signature.
fn path_style(target: &Target, uri: &Uri) -> Option<Uri> {
    let query: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.to_ascii_lowercase().starts_with("x-amz-"))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let slash = if target.bucket.is_empty() { "" } else { "/" };
    format!("/{}{slash}{}{mark}{}", target.bucket, target.raw_key, query.join("&")).parse().ok()
}

/// The error code of a response, from its body or, for HEAD, from the status.
#[must_use]
pub fn error_code(response: &Response<Bytes>) -> Option<String> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let body = String::from_utf8_lossy(response.body());
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    Some(code.map_or_else(|| status.as_str().to_owned(), |(code, _)| code.to_owned()))
}
