//! The `test` section: how the image is tested before production.

pub mod check;
pub mod instance;
pub mod kinds;
pub mod output;
pub mod secret;
pub mod soak;
pub mod task;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::check::Check;
use self::instance::Instance;
use self::output::Output;
use self::soak::Soak;
use self::task::Task;
use super::names::NAME;
use super::one_of::one_of;
use super::span::Span;

/// How the image is tested: a machine image on an EC2 instance, a container image in an ECS task, each by checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&["instance", "task"])))]
pub struct Test {
    /// Environment that the stage acts in: a role and a region in the worker's own file. Default: the worker's own role and region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"staging")]
    pub environment: Option<String>,
    /// EC2 instance that a machine image is tested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Instance")]
    pub instance: Option<Instance>,
    /// ECS task that a container image is tested in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Task")]
    pub task: Option<Task>,
    /// How long the start may take. An instance has started once its status checks pass and Systems Manager can reach it; a task once it runs and is healthy, or has ended where `expect_exit_code` is given. At least 1m, at most 2h.
    #[schemars(extend("x-min" = "1m", "x-max" = "2h"))]
    pub start_timeout: Span,
    /// Checks, run one after the other unless `needs` says otherwise. A task takes only `http` and `tcp` checks: the worker connects to the task's private address in place of 127.0.0.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub checks: Vec<Check>,
    /// Location in S3, `s3://BUCKET/PREFIX`, that the instance writes the whole output of checks to. Default: none, and Systems Manager keeps the first 24,000 characters. The instance profile must allow the writes, the worker's role the reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Output")]
    pub output: Option<Output>,
    /// How long the instance keeps running once all checks have passed, and the limits that its metrics must keep meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Soak")]
    pub soak: Option<Soak>,
    /// How long the whole test may take, the start included. At most 14d.
    #[schemars(extend("x-max" = "14d"))]
    pub timeout: Span,
}
