//! `test.task`: the ECS task that a container image is tested in.

use crate::partitions::partition_pattern;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::spec::names::{ROLE, SECURITY_GROUP, SUBNET, VARIABLE};
use crate::spec::span::Span;

/// Fargate task with one container, which runs the baked image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name or ARN of the ECS cluster.
    #[schemars(
        regex(pattern = concat!(r"^(arn:", partition_pattern!(), r":ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[A-Za-z0-9_-]{1,255}$")),
        example = &"staging"
    )]
    pub cluster: String,
    /// Ids of the subnets that the task may run in. The worker must reach them to run checks.
    #[schemars(length(min = 1, max = 16), inner(regex(pattern = SUBNET)), extend("uniqueItems" = true), extend("examples" = [["subnet-0123456789abcdef0"]]))]
    pub subnets: Vec<String>,
    /// Ids of the security groups of the task.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = SECURITY_GROUP)), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Whether the task gets a public IP address. Without one it can pull its image only through a NAT gateway or VPC endpoints.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assign_public_ip: bool,
    /// CPU units: 1024 are one vCPU.
    #[schemars(range(min = 256, max = 16384), example = &256)]
    pub cpu_units: u32,
    /// Memory in MiB.
    #[schemars(range(min = 512, max = 122_880), example = &512)]
    pub memory_mib: u32,
    /// Architecture of the image.
    #[serde(default)]
    pub architecture: Architecture,
    /// ARN of the task execution role: ECS pulls the image, reads the secrets and writes the logs with it.
    #[schemars(
        regex(pattern = ROLE),
        example = &"arn:aws:iam::123456789012:role/web-execution"
    )]
    pub execution_role: String,
    /// ARN of the task role: the container acts with it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(pattern = ROLE),
        example = &"arn:aws:iam::123456789012:role/web-task"
    )]
    pub task_role: Option<String>,
    /// TCP ports that the container listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(range(min = 1, max = 65535)), extend("uniqueItems" = true))]
    pub ports: Vec<u16>,
    /// Entry point, in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 4000)))]
    pub entry_point: Vec<String>,
    /// Command, in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 4000)))]
    pub command: Vec<String>,
    /// Environment variables by name. Put secrets into `secrets`. Names that begin with `BAKELINE_` are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": VARIABLE}, "maxProperties" = 50))]
    pub env: BTreeMap<String, String>,
    /// Environment variables that ECS sets from secrets when the task starts: the name of the variable, and where the secret is stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": VARIABLE}, "maxProperties" = 10))]
    pub secrets: BTreeMap<String, Secret>,
    /// Log group of CloudWatch Logs that receives the output of the container. It must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[A-Za-z0-9_/.#-]{1,512}$"), example = &"/staging/web")]
    pub log_group: Option<String>,
    /// Health check that ECS runs in the container. With one, the task has started once it is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HealthCheck")]
    pub health_check: Option<HealthCheck>,
    /// Exit code that the container must end with. With one, the task is a job that passes by ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(max = 255))]
    pub expect_exit_code: Option<u8>,
}

impl Task {
    /// The name of the task in reports.
    pub const NAME: &str = "task";
}

/// Architecture of a container image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline, extend("type" = "string"))]
pub enum Architecture {
    #[default]
    X86_64,
    Arm64,
}

/// Health check of a container, run by ECS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Command: CMD and its words, or CMD-SHELL and one line for the shell of the container.
    #[schemars(length(min = 2, max = 20), inner(length(max = 4000)), extend("examples" = [["CMD-SHELL", "curl -f http://127.0.0.1:8080/healthz"]]))]
    pub command: Vec<String>,
    /// Time between two runs. At least 5s, at most 5m. Default: 30s.
    #[serde(default = "HealthCheck::default_interval")]
    #[schemars(extend("x-min" = "5s", "x-max" = "5m"))]
    pub interval: Span,
    /// How long a run may take. At least 2s, at most 1m. Default: 5s.
    #[serde(default = "HealthCheck::default_timeout")]
    #[schemars(extend("x-min" = "2s", "x-max" = "1m"))]
    pub timeout: Span,
    /// Number of failed runs in a row that make the container unhealthy. Default: 3.
    #[serde(default = "HealthCheck::default_retries")]
    #[schemars(range(min = 1, max = 10))]
    pub retries: u8,
    /// How long after the start of the container failed runs do not count. At most 5m. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-max" = "5m"))]
    pub start_period: Option<Span>,
}

impl HealthCheck {
    const fn default_interval() -> Span {
        Span::from_secs(30)
    }

    const fn default_timeout() -> Span {
        Span::from_secs(5)
    }

    const fn default_retries() -> u8 {
        3
    }
}
