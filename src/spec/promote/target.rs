//! `promote.target`: what an image is promoted to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::one_of::as_mapping;

/// What the image is promoted to: exactly one of `auto_scaling_group`, `ecs_service`, `lambda_alias` and stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = as_mapping)]
pub enum Target {
    /// EC2 Auto Scaling group, which takes a machine image.
    AutoScalingGroup(AutoScalingGroup),
    /// ECS service, which takes a container image. Not supported yet.
    EcsService(EcsService),
    /// Alias of a Lambda function, which takes a container image. Not supported yet.
    LambdaAlias(LambdaAlias),
    /// CloudFormation stack with a parameter that takes the image. Not supported yet.
    Stack(Stack),
}

/// EC2 Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoScalingGroup {
    /// Name of the Auto Scaling group.
    #[schemars(length(min = 1, max = 255), example = &"web-production")]
    pub name: String,
    /// Name of a second Auto Scaling group, for `blue_green`. The two alternate: the image goes into the one that does not serve. Both launch from the same launch template, each has a target group of its own, and every listener action that forwards to one forwards to both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255), example = &"web-green")]
    pub alternate: Option<String>,
}

/// ECS service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsService {
    /// Name or ARN of the cluster.
    #[schemars(length(min = 1, max = 512), example = &"production")]
    pub cluster: String,
    /// Name or ARN of the service.
    #[schemars(length(min = 1, max = 512), example = &"shop")]
    pub service: String,
    /// Name of the container definition that takes the image.
    #[schemars(length(min = 1, max = 255), example = &"app")]
    pub container: String,
}

/// Alias of a Lambda function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LambdaAlias {
    /// Name or ARN of the function.
    #[schemars(length(min = 1, max = 512), example = &"shop")]
    pub function: String,
    /// Name of the alias.
    #[schemars(length(min = 1, max = 128), example = &"live")]
    pub alias: String,
}

/// CloudFormation stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Name or ARN of the stack.
    #[schemars(length(min = 1, max = 1024), example = &"batch")]
    pub name: String,
    /// Name of the template parameter that takes the image.
    #[schemars(length(min = 1, max = 255), example = &"ImageId")]
    pub image_parameter: String,
}

/// A kind of target that this version does not promote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("promote.target.{kind} is not supported yet; this version promotes to auto_scaling_group only")]
pub struct UnsupportedTarget {
    /// Key of the kind.
    pub kind: &'static str,
}

impl Target {
    /// Key of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AutoScalingGroup(_) => "auto_scaling_group",
            Self::EcsService(_) => "ecs_service",
            Self::LambdaAlias(_) => "lambda_alias",
            Self::Stack(_) => "stack",
        }
    }

    /// The Auto Scaling group.
    ///
    /// # Errors
    /// [`UnsupportedTarget`] when the target is of another kind.
    pub const fn auto_scaling_group(&self) -> Result<&AutoScalingGroup, UnsupportedTarget> {
        match self {
            Self::AutoScalingGroup(group) => Ok(group),
            Self::EcsService(_) | Self::LambdaAlias(_) | Self::Stack(_) => {
                Err(UnsupportedTarget { kind: self.kind() })
            }
        }
    }
}
