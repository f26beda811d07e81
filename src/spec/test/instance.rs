//! `test.instance`: the EC2 instance that a machine image is tested on.

use crate::partitions::partition_pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::names::{SECURITY_GROUP, SUBNET};

/// EC2 instance that a machine image is tested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Instance type, such as t3.small.
    #[schemars(regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$"), example = &"t3.small")]
    pub instance_type: String,
    /// Ids of the subnets that the instance may run in, tried in this order.
    #[schemars(length(min = 1, max = 16), inner(regex(pattern = SUBNET)), extend("uniqueItems" = true), extend("examples" = [["subnet-0123456789abcdef0"]]))]
    pub subnets: Vec<String>,
    /// Ids of the security groups of the instance.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = SECURITY_GROUP)), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Name or ARN of the instance profile. It must let the instance register with Systems Manager.
    #[schemars(
        regex(
            pattern = concat!(r"^(arn:", partition_pattern!(), r":iam::[0-9]{12}:instance-profile/([A-Za-z0-9+=,.@_-]+/)*)?[A-Za-z0-9+=,.@_-]{1,128}$")
        ),
        example = &"web-staging"
    )]
    pub instance_profile: String,
    /// Capacity of the instance: `on_demand`, or `prefer_spot` (a Spot instance, or an on-demand one where EC2 has no Spot capacity).
    #[serde(default, skip_serializing_if = "Capacity::is_default")]
    pub capacity: Capacity,
    /// Whether the instance gets a public IPv4 address. Default: as the subnet assigns them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub assign_public_ip: Option<bool>,
}

choice! {
    /// Capacity that an instance runs on.
    Capacity { OnDemand, PreferSpot }
}
