//! Names and references that several sections share: their patterns, each stated once.

use crate::partitions::{partition_pattern, region_pattern};

/// A name that people give: of the service, an environment, a check, a limit, a metric or a wave.
pub const NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
/// An AWS region.
pub const REGION: &str = concat!("^", region_pattern!(), "$");
/// An AWS account.
pub const ACCOUNT: &str = "^[0-9]{12}$";
/// A path in the source artifact: relative, no part beginning with a dot.
pub const SOURCE_PATH: &str = "^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$";
/// The id of a subnet.
pub const SUBNET: &str = "^subnet-[0-9a-f]{8,17}$";
/// The id of a security group.
pub const SECURITY_GROUP: &str = "^sg-[0-9a-f]{8,17}$";
/// The ARN of a role.
pub const ROLE: &str = concat!(
    "^arn:",
    partition_pattern!(),
    ":iam::[0-9]{12}:role/([A-Za-z0-9+=,.@_-]+/)*[A-Za-z0-9+=,.@_-]{1,64}$"
);
/// The ARN of an Image Builder infrastructure configuration.
pub const INFRASTRUCTURE_CONFIGURATION: &str = concat!(
    "^arn:",
    partition_pattern!(),
    ":imagebuilder:",
    region_pattern!(),
    ":[0-9]{12}:infrastructure-configuration/[a-z0-9_-]{1,128}$"
);
/// The ARN of an Image Builder distribution configuration.
pub const DISTRIBUTION_CONFIGURATION: &str = concat!(
    "^arn:",
    partition_pattern!(),
    ":imagebuilder:",
    region_pattern!(),
    ":[0-9]{12}:distribution-configuration/[a-z0-9_-]{1,128}$"
);
/// The name of a parameter of Systems Manager.
pub const PARAMETER: &str = "^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$";
/// The name of an environment variable.
pub const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]{0,127}$";
