//! Where Image Builder writes what a build says. Pure.

/// Address in the console of a build's stream of logs, from the build's ARN and its image's name, whose case the ARN
/// does not keep; none if the ARN is not one of a build.
///
/// Image Builder writes to the group `/aws/imagebuilder/NAME` and the stream `VERSION/BUILD`.
#[must_use]
pub fn address(arn: &str, name: Option<&str>) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    let (_, partition, _, region, _, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let mut resource = resource.strip_prefix("image/")?.split('/');
    let (lower, version, build) = (resource.next()?, resource.next()?, resource.next()?);
    let console = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    let (group, stream) = (
        quoted(&format!("/aws/imagebuilder/{}", name.unwrap_or(lower))),
        quoted(&format!("{version}/{build}")),
    );
    Some(format!(
        "https://{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}/log-events/{stream}"
    ))
}

/// As the console writes names behind the `#`: quoted as in an address, twice, with `$` for the second `%`.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("$25{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_a_stream_of_logs() {
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
            assert_eq!(address(&arn, name), expected, "{arn}");
        }
    }
}
