//! What checks print, whole: Systems Manager keeps the beginning only, and the agent writes all of it to S3 where the spec
//! says so. Of what lies there the end is read, and never more than fits.

use super::judge::Invocation;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::spec::Output;
use crate::stage::Cx;

/// Most bytes read of one output, its last ones.
pub const KEPT: usize = 128 << 10;

/// Characters that `GetCommandInvocation` shows of standard output.
const STDOUT: usize = 24_000;
/// Characters that it shows of standard error.
const STDERR: usize = 8_000;
/// Characters that `ListCommandInvocations` shows of a step.
pub const STEP: usize = 2_500;

/// An invocation with its outputs whole.
///
/// # Errors
/// S3 did not answer.
pub async fn of(
    cx: &Cx,
    to: Option<&Output>,
    found: Option<Invocation>,
) -> Result<Option<Invocation>, StageError> {
    let Some(mut found) = found else { return Ok(None) };
    found.stdout = whole(cx, to, &found.stdout_url, found.stdout, STDOUT).await?;
    found.stderr = whole(cx, to, &found.stderr_url, found.stderr, STDERR).await?;
    Ok(Some(found))
}

/// The end of an output of which `limit` characters are shown. What cannot be read stays as it is shown, and says so.
///
/// # Errors
/// S3 did not answer.
pub async fn whole(
    cx: &Cx,
    to: Option<&Output>,
    url: &str,
    shown: String,
    limit: usize,
) -> Result<String, StageError> {
    let Some(to) = to.filter(|_| shown.chars().count() >= limit) else { return Ok(shown) };
    let Some(key) = key(to, url) else {
        return Ok(noted(shown, &format!("the rest is not at {url}, which is none of the spec's place")));
    };
    let place = format!("s3://{}/{key}", to.bucket);
    let call =
        cx.aws.artifacts(None).get_object().bucket(&to.bucket).key(key).range(format!("bytes=-{KEPT}"));
    let answer = match call.send().await.map_err(|error| AwsError::new("s3:GetObject", &place, error)) {
        Ok(answer) => answer,
        Err(error) if error.class.is_transient() => return Err(error.into()),
        Err(error) => {
            let why = match error.class {
                Class::Missing => "is not there: may the instance's role write it?".to_owned(),
                Class::Denied => "may not be read by the worker's role".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            return Ok(noted(shown, &format!("the rest, {place}, {why}")));
        }
    };
    let length = answer.content_range().and_then(total);
    let mut body = answer.body;
    let mut end = Vec::new();
    // A server that does not know ranges would send everything.
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| StageError::NotYet(format!("{place} broke off: {error}")))?;
        end.extend_from_slice(&chunk);
        end.drain(..end.len().saturating_sub(KEPT));
    }
    Ok(told(&end, length, &place))
}

/// The end of an output as text, and what is left out before it.
fn told(end: &[u8], length: Option<u64>, place: &str) -> String {
    let text = String::from_utf8_lossy(end);
    let left = length.unwrap_or(0).saturating_sub(u64::try_from(end.len()).unwrap_or(u64::MAX));
    if left == 0 { text.into_owned() } else { format!("({left} bytes before this are in {place})\n{text}") }
}

fn noted(shown: String, note: &str) -> String {
    format!("{shown}\n(cut off here; {note})\n")
}

/// The length of the whole in `bytes 10-19/20`.
fn total(range: &str) -> Option<u64> {
    range.rsplit_once('/')?.1.parse().ok()
}

/// The key that a URL of Systems Manager names, if it lies where the spec has outputs written: what an answer says is not
/// followed anywhere else.
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
    fn only_the_place_of_the_spec_is_read() {
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
    fn what_is_left_out_is_told() {
        assert_eq!(told(b"end", Some(3), "s3://out/k"), "end");
        assert_eq!(told(b"end", None, "s3://out/k"), "end");
        assert_eq!(told(b"end", Some(10), "s3://out/k"), "(7 bytes before this are in s3://out/k)\nend");
        assert_eq!(total("bytes 7-9/10"), Some(10));
        assert!(noted("start".into(), "why").starts_with("start\n(cut off here; why)"));
    }
}
