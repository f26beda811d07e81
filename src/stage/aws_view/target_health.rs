//! The health of targets in the target groups of a load balancer.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{TargetHealthReasonEnum, TargetHealthStateEnum};

use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// The problem of every target of a target group, by instance id; none for a healthy target.
///
/// # Errors
/// `DescribeTargetHealth` failed.
pub async fn targets(
    aws: &Aws,
    target_group: &str,
) -> Result<BTreeMap<String, Option<TargetProblem>>, StageError> {
    let answer = aws
        .elbv2
        .describe_target_health()
        .target_group_arn(target_group)
        .send()
        .await
        .map_err(|e| AwsError::new("elasticloadbalancing:DescribeTargetHealth", target_group, e))?;
    let mut targets = BTreeMap::new();
    for target in answer.target_health_descriptions() {
        let Some(id) = target.target().and_then(|target| target.id()) else { continue };
        let health = target.target_health();
        let state = health.and_then(|health| health.state());
        let problem = (state != Some(&TargetHealthStateEnum::Healthy)).then(|| TargetProblem {
            state: state.map_or("unknown", |state| state.as_str()).to_owned(),
            not_in_use: health.and_then(|health| health.reason()) == Some(&TargetHealthReasonEnum::NotInUse),
        });
        // An instance may be registered on several ports: it is healthy when all of them are.
        let known: &mut Option<TargetProblem> = targets.entry(id.to_owned()).or_default();
        *known = problem.or(known.take());
    }
    Ok(targets)
}

/// Why a target is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetProblem {
    pub state: String,
    /// No load balancer uses the target group or the zone: the target does not become healthy by waiting.
    pub not_in_use: bool,
}
