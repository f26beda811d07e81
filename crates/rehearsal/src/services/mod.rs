//! The AWS services, one module each. A handler is a function of the world and a call; delayed effects are scheduled
//! events.

pub mod autoscaling;
pub mod cloudwatch;
pub mod codepipeline;
pub mod ebs;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod elbv2;
pub mod imagebuilder;
pub mod kms;
pub mod lambda;
mod page;
pub mod s3;
pub mod secretsmanager;
pub mod securityhub;
pub mod ssm;
pub mod sts;
mod support;
#[cfg(test)]
mod test_aws;
