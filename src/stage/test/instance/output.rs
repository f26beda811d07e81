//! The full output of checks: Systems Manager keeps only its beginning, and the agent writes all of it to S3 if the spec has
//! `test.output`. The stage reads the end of it.

use super::super::checks::outcome::Invocation;
use super::super::checks::report::READ_BYTES;
use super::error::InstanceError;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::spec::Output;
use crate::stage::Cx;

/// Characters of standard output in `GetCommandInvocation`.
const STDOUT: usize = 24_000;
/// Characters of standard error in `GetCommandInvocation`.
const STDERR: usize = 8_000;
/// Characters of a step's output in `ListCommandInvocations`.
pub const STEP: usize = 2_500;

/// Completes the outputs of a command from S3.
///
/// # Errors
/// S3 fails.
pub async fn complete(
    cx: &Cx,
    to: Option<&Output>,
    found: Option<Invocation>,
) -> Result<Option<Invocation>, StageError> {
    let Some(mut found) = found else { return Ok(None) };
    found.stdout = end_of(cx, to, &found.stdout_url, found.stdout, STDOUT).await?;
    found.stderr = end_of(cx, to, &found.stderr_url, found.stderr, STDERR).await?;
    Ok(Some(found))
}

/// The end of an output, if Systems Manager shows `limit` characters of it. An output that cannot be read in S3 keeps its
/// beginning, with a line that says why.
///
/// # Errors
/// S3 fails.
pub async fn end_of(
    cx: &Cx,
    to: Option<&Output>,
    url: &str,
    shown: String,
    limit: usize,
) -> Result<String, StageError> {
    let Some(to) = to.filter(|_| shown.chars().count() >= limit) else { return Ok(shown) };
    let Some(key) = key(to, url) else {
        return Ok(cut_off(shown, &format!("the rest is at {url}, which is not in test.output of the spec")));
    };
    let place = format!("s3://{}/{key}", to.bucket);
    let call =
        cx.aws.artifacts(None).get_object().bucket(&to.bucket).key(key).range(format!("bytes=-{READ_BYTES}"));
    let answer = match call.send().await.map_err(|error| AwsError::new("s3:GetObject", &place, error)) {
        Ok(answer) => answer,
        Err(error) if error.class.is_transient() => return Err(error.into()),
        Err(error) => {
            let why = match error.class {
                Class::Missing => "does not exist: the instance's role needs s3:PutObject for it".to_owned(),
                Class::Denied => "cannot be read: the worker's role needs s3:GetObject for it".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            return Ok(cut_off(shown, &format!("the rest, {place}, {why}")));
        }
    };
    let length = answer.content_range().and_then(total);
    let mut body = answer.body;
    let mut end = Vec::new();
    // A server without range support would send everything.
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|source| InstanceError::CutOff { object: place.clone(), source })?;
        end.extend_from_slice(&chunk);
        end.drain(..end.len().saturating_sub(READ_BYTES));
    }
    Ok(with_note(&end, length, &place))
}

/// The end of an output as text, with a line about what is left out before it.
fn with_note(end: &[u8], length: Option<u64>, place: &str) -> String {
    let text = String::from_utf8_lossy(end);
    let left = length.unwrap_or(0).saturating_sub(u64::try_from(end.len()).unwrap_or(u64::MAX));
    if left == 0 { text.into_owned() } else { format!("({left} bytes before this are in {place})\n{text}") }
}

/// The beginning of an output, with a line that says why the rest is missing.
fn cut_off(shown: String, note: &str) -> String {
    format!("{shown}\n(cut off here; {note})\n")
}

/// The total length in `bytes 10-19/20`.
fn total(range: &str) -> Option<u64> {
    range.rsplit_once('/')?.1.parse().ok()
}

/// The key in a URL of Systems Manager, if it is in the bucket and prefix of the spec: the stage reads nowhere else.
fn key<'u>(to: &Output, url: &'u str) -> Option<&'u str> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let key = if host.starts_with(&format!("{}.s3", to.bucket)) {
        path
    } else {
        path.strip_prefix(to.bucket.as_str())?.strip_prefix('/')?
    };
    key.strip_prefix(to.prefix.as_str())?.starts_with('/').then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bucket_and_prefix_of_the_spec_are_read() {
        let to = Output { bucket: "out".into(), prefix: "web/checks".into() };
        let path = "web/checks/c/i-1/awsrunShellScript/0.awsrunShellScript/stdout";
        for url in [
            format!("https://s3.eu-west-1.amazonaws.com/out/{path}"),
            format!("https://out.s3.eu-west-1.amazonaws.com/{path}"),
        ] {
            assert_eq!(key(&to, &url), Some(path), "{url}");
        }
        for url in [
            "",
            "https://s3.eu-west-1.amazonaws.com/other/web/checks/c",
            "https://s3.eu-west-1.amazonaws.com/out/web/secrets",
            "https://s3.eu-west-1.amazonaws.com/out/web/checks-of-another/c",
            "http://s3.eu-west-1.amazonaws.com/out/web/checks/c",
        ] {
            assert_eq!(key(&to, url), None, "{url}");
        }
    }

    #[test]
    fn what_is_left_out_is_with_note() {
        assert_eq!(with_note(b"end", Some(3), "s3://out/k"), "end");
        assert_eq!(with_note(b"end", None, "s3://out/k"), "end");
        assert_eq!(with_note(b"end", Some(10), "s3://out/k"), "(7 bytes before this are in s3://out/k)\nend");
        assert_eq!(total("bytes 7-9/10"), Some(10));
        assert!(cut_off("start".into(), "why").starts_with("start\n(cut off here; why)"));
    }
}
