//! The link to the CloudWatch log stream of a build. Pure.

/// The console's URL of a build's log stream; none if `arn` is not the ARN of a build. `name` is the name of the image:
/// the ARN has it in lower case.
///
/// Image Builder writes to the log group `/aws/imagebuilder/NAME` and the stream `VERSION/BUILD`.
#[must_use]
pub fn log_link(arn: &str, name: Option<&str>) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (_, partition, _, region, _, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let mut resource = resource.strip_prefix("image/")?.split('/');
    let (lower, version, build) = (resource.next()?, resource.next()?, resource.next()?);
    let console = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        "aws" => "console.aws.amazon.com",
        // No page of AWS says how other partitions link to log streams.
        _ => return None,
    };
    let (group, stream) = (
        encoded(&format!("/aws/imagebuilder/{}", name.unwrap_or(lower))),
        encoded(&format!("{version}/{build}")),
    );
    Some(format!(
        "https://{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}/log-events/{stream}"
    ))
}

/// A name as the console writes it behind the `#`: percent-encoded twice, with `$` for the second `%`.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("$25{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_link_follows_from_the_arn_of_the_build() {
        let arn = |partition: &str| {
            format!("arn:{partition}:imagebuilder:eu-west-1:123456789012:image/web-app/1.0.3/2")
        };
        let end = |console: &str, group: &str| {
            Some(format!(
                "https://{console}/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/\
                 $252Faws$252Fimagebuilder$252F{group}/log-events/1.0.3$252F2"
            ))
        };
        for (arn, name, expected) in [
            (arn("aws"), None, end("console.aws.amazon.com", "web-app")),
            (arn("aws"), Some("Web App"), end("console.aws.amazon.com", "Web$2520App")),
            (arn("aws-cn"), None, end("console.amazonaws.cn", "web-app")),
            (arn("aws-us-gov"), None, end("console.amazonaws-us-gov.com", "web-app")),
            ("arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.3".into(), None, None),
            ("arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web".into(), None, None),
            ("web".into(), None, None),
        ] {
            assert_eq!(log_link(&arn, name), expected, "{arn}");
        }
    }
}
