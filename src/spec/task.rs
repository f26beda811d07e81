//! The `test.task` section: the task of ECS that a container image is tested in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Secret;
use super::span::Span;

/// A task on Fargate whose one container runs the baked image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name or ARN of the cluster.
    #[schemars(
        regex(pattern = r"^(arn:aws(-[a-z]+)*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[A-Za-z0-9_-]{1,255}$"),
        example = &"staging"
    )]
    pub cluster: String,
    /// The ids of the subnets that the task may run in. The worker must reach them where checks ask its ports.
    #[schemars(length(min = 1, max = 16), inner(regex(pattern = r"^subnet-[0-9a-f]{8,17}$")), extend("uniqueItems" = true), extend("examples" = [["subnet-0123456789abcdef0"]]))]
    pub subnets: Vec<String>,
    /// The ids of the security groups of the task.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = r"^sg-[0-9a-f]{8,17}$")), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Whether it has a public address: in a subnet without a NAT gateway or endpoints it cannot pull its image otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public_ip: bool,
    /// Units of CPU, 1024 of which are a vCPU.
    #[schemars(range(min = 256, max = 16384), example = &256)]
    pub cpu: u32,
    /// Memory in MiB.
    #[schemars(range(min = 512, max = 122_880), example = &512)]
    pub memory: u32,
    /// The architecture that the image is for.
    #[serde(default)]
    pub architecture: Architecture,
    /// ARN of the role that pulls the image, reads the secrets and writes the logs.
    #[schemars(
        regex(pattern = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([A-Za-z0-9+=,.@_-]+/)*[A-Za-z0-9+=,.@_-]{1,64}$"),
        example = &"arn:aws:iam::123456789012:role/web-execution"
    )]
    pub execution_role: String,
    /// ARN of the role that the container acts as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(pattern = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([A-Za-z0-9+=,.@_-]+/)*[A-Za-z0-9+=,.@_-]{1,64}$"),
        example = &"arn:aws:iam::123456789012:role/web-task"
    )]
    pub task_role: Option<String>,
    /// The TCP ports that the container listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(range(min = 1, max = 65535)), extend("uniqueItems" = true))]
    pub ports: Vec<u16>,
    /// The entry point, in place of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 4000)))]
    pub entry_point: Vec<String>,
    /// The command, in place of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 4000)))]
    pub command: Vec<String>,
    /// Environment variables. Secrets are no such: see `secrets`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}, "maxProperties" = 50))]
    pub environment: BTreeMap<String, String>,
    /// Secrets in environment variables, by the name of the variable. ECS fetches them when the task starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}, "maxProperties" = 10))]
    pub secrets: BTreeMap<String, Secret>,
    /// The log group of CloudWatch Logs, which exists, that the container's output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[A-Za-z0-9_/.#-]{1,512}$"), example = &"/staging/web")]
    pub log_group: Option<String>,
    /// A command that is run in the container and tells whether it is healthy. Given, the task is up once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HealthCheck")]
    pub health_check: Option<HealthCheck>,
    /// The code that the container must exit with. Given, it is a job: it is up once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(max = 255))]
    pub exits: Option<u8>,
}

impl Task {
    /// What reports call it.
    pub const NAME: &str = "task";
}

/// The architecture of a container image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    #[default]
    X86_64,
    Arm64,
}

/// A health check of a container, as ECS knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The command: CMD and its words, or CMD-SHELL and one line for the container's shell.
    #[schemars(length(min = 2, max = 20), inner(length(max = 4000)), extend("examples" = [["CMD-SHELL", "curl -f http://127.0.0.1:8080/healthz"]]))]
    pub command: Vec<String>,
    /// Between two runs of it. At least 5s, at most 5m.
    #[serde(default = "HealthCheck::default_interval")]
    #[schemars(extend("x-at-least" = "5s", "x-at-most" = "5m"))]
    pub interval: Span,
    /// How long a run may take. At least 2s, at most 1m.
    #[serde(default = "HealthCheck::default_timeout")]
    #[schemars(extend("x-at-least" = "2s", "x-at-most" = "1m"))]
    pub timeout: Span,
    /// After how many failed runs in a row the container is unhealthy.
    #[serde(default = "HealthCheck::default_retries")]
    #[schemars(range(min = 1, max = 10))]
    pub retries: u8,
    /// How long failed runs do not count, from the container's start. At most 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-at-most" = "5m"))]
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
