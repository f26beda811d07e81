//! The `test` section: how the image is tested.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// How the image is tested: one instance of it in staging, and checks that run there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The id of the subnet of the instance.
    #[schemars(regex(pattern = r"^subnet-[0-9a-f]{8,17}$"), example = &"subnet-0123456789abcdef0")]
    pub subnet: String,
    /// The ids of the security groups of the instance.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = r"^sg-[0-9a-f]{8,17}$")), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Name or ARN of the instance profile. It must let the instance register with Systems Manager.
    #[schemars(
        regex(
            pattern = r"^(arn:aws(-[a-z]+)*:iam::[0-9]{12}:instance-profile/([A-Za-z0-9+=,.@_-]+/)*)?[A-Za-z0-9+=,.@_-]{1,128}$"
        ),
        example = &"web-staging"
    )]
    pub instance_profile: String,
    /// The type of the instance, such as t3.small.
    #[schemars(regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$"), example = &"t3.small")]
    pub instance_type: String,
    /// How long the instance may take until its status checks pass and Systems Manager hears from it. At least 1m, at most 2h.
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "2h"))]
    pub boot_timeout: Span,
    /// How long the whole test may take, boot included. At most 14d.
    #[schemars(extend("x-at-most" = "14d"))]
    pub timeout: Span,
    /// What is run on the instance, one after the other.
    #[schemars(length(min = 1, max = 20))]
    pub checks: Vec<Check>,
}

/// A script that runs on the test instance. It passes by ending with exit code 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The check's name in reports, unique in the spec: 1 to 64 letters, digits, spaces and `._-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"), example = &"serves")]
    pub name: String,
    /// Path of the script in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no
    /// part beginning with a dot.
    #[schemars(
        length(max = 255),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        example = &"checks/serves.sh"
    )]
    pub script: String,
    /// How long the command may wait until the instance takes it (`TimeoutSeconds` of `SendCommand`). At least 30s, at most 30d.
    #[serde(default = "Check::default_delivery_timeout")]
    #[schemars(extend("x-at-least" = "30s", "x-at-most" = "30d"))]
    pub delivery_timeout: Span,
    /// How long the script may run (`executionTimeout` of the document). At most 2d.
    #[schemars(extend("x-at-most" = "2d"))]
    pub timeout: Span,
}

impl Check {
    fn default_delivery_timeout() -> Span {
        Span::from_secs(120)
    }
}
