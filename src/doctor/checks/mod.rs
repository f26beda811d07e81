//! Checks: findings from what was observed. Pure functions.

mod account;
mod pipeline;
mod release;

pub use account::{action_type, bucket, caller, environment, key, key_is_trusted};
pub use pipeline::{pipeline, spec_path, stages};
pub use release::{
    cluster, image_pipeline, images, instance_type, metric, network, parameter, promotion, repository,
};

use super::observed::ReadError;
use super::{Finding, Status};

/// The finding about a resource that could not be read.
#[must_use]
pub fn unread(check: &'static str, subject: &str, error: &ReadError) -> Finding {
    match error {
        ReadError::Denied(said) => Finding::new(check, subject, Status::Denied, said)
            .hint("run doctor as a principal with the policy of pipeline/doctor.yaml"),
        ReadError::NoAnswer(said) => {
            Finding::new(check, subject, Status::Unknown, said).hint("run doctor again")
        }
        ReadError::Refused(said) => Finding::new(check, subject, Status::Failed, said),
    }
}
