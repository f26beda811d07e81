//! Behavior of AWS services that AWS does not document, and capacity, by botocore's name of the service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::services::autoscaling::AlarmAtStart;
use super::super::services::{codepipeline, ecs};
use super::super::span::{Span, SpanOrNever};
use super::super::world::World;

/// Behavior of AWS services.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Aws {
    pub autoscaling: AutoScaling,
    pub codepipeline: CodePipeline,
    pub ec2: Ec2,
    pub ecs: Ecs,
    pub securityhub: SecurityHub,
}

/// Instance refreshes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct AutoScaling {
    /// What an instance refresh does about an alarm that is in ALARM when the refresh starts.
    pub alarm_at_start: AlarmAtStart,
}

/// Jobs of custom actions.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct CodePipeline {
    /// From a result with a continuation token until the next job is offered.
    pub continuation_delay: Span,
    /// From an offer that nobody acknowledged until the job is offered again, or `never`.
    pub visibility_timeout: SpanOrNever,
    /// From an acknowledgement until a job without a result is offered again, or `never`.
    pub redelivery_delay: SpanOrNever,
    /// Lifetime of a job's artifact credentials.
    pub credentials_lifetime: Span,
}

impl Default for CodePipeline {
    fn default() -> Self {
        Self {
            continuation_delay: Span::from_secs(1),
            visibility_timeout: SpanOrNever::After(Span::from_mins(1)),
            redelivery_delay: SpanOrNever::Never,
            credentials_lifetime: Span::from_mins(15),
        }
    }
}

/// EC2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2 {
    /// From the creation of a resource until describe calls show it.
    pub visible_after: Span,
    /// Whether there is Spot capacity.
    pub spot_capacity: Capacity,
    /// How long the Recycle Bin keeps deregistered images and their snapshots. Default: there is no retention rule.
    pub recycle_bin: Option<Span>,
}

/// ECS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Ecs {
    /// From the creation of a task until list and describe calls show it.
    pub visible_after: Span,
    /// Whether there is Fargate capacity.
    pub capacity: Capacity,
}

/// Whether AWS has capacity.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    #[default]
    Available,
    None,
}

/// Security Hub.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHub {
    /// Whether Security Hub is enabled in the account.
    pub enabled: bool,
    /// Vulnerabilities whose findings Security Hub rejects, with its error message.
    pub rejects: BTreeMap<String, String>,
}

impl Default for SecurityHub {
    fn default() -> Self {
        Self { enabled: true, rejects: BTreeMap::new() }
    }
}

impl Aws {
    /// Configures the services of a new world.
    pub(super) fn apply(&self, world: &mut World) {
        world.autoscaling.alarm_at_start = self.autoscaling.alarm_at_start;
        world.codepipeline.options = codepipeline::Options {
            continuation_delay: self.codepipeline.continuation_delay.duration(),
            visibility: self.codepipeline.visibility_timeout.duration(),
            redeliver_acknowledged_after: self.codepipeline.redelivery_delay.duration(),
            credentials_lifetime: self.codepipeline.credentials_lifetime.duration(),
            ..codepipeline::Options::default()
        };
        world.ec2.no_spot = self.ec2.spot_capacity == Capacity::None;
        world.ec2.bin.keeps = self.ec2.recycle_bin.map(Span::duration);
        world.ecs.options = ecs::Options {
            visible_after: self.ecs.visible_after.duration(),
            no_capacity: self.ecs.capacity == Capacity::None,
            ..ecs::Options::default()
        };
        world.securityhub.rejected.clone_from(&self.securityhub.rejects);
    }
}
