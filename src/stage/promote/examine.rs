//! What a promotion would find if it began now: for whoever asks before there is a release.

use std::time::Duration;

use super::check::Check;
use super::preflight::standing;
use super::{metrics, steps};
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::spec::{GroupPromotion, Limit};

/// Every check of the preflight that needs no new image.
///
/// # Errors
/// As the calls: what cannot be read cannot be promoted to either.
pub async fn examine(aws: &Aws, promote: &GroupPromotion, now: Timestamp) -> Result<Vec<Check>, StageError> {
    let found = steps::standing(promote, aws).await?;
    let world = steps::read_preflight_state(promote, None, found, aws, now).await?;
    Ok(standing(promote, &world))
}

/// How many datapoints of a metric a hold that ended now would have had.
///
/// # Errors
/// As the call.
pub async fn datapoints(
    aws: &Aws,
    metric: &Limit,
    hold: Duration,
    now: Timestamp,
) -> Result<u32, StageError> {
    let from = Timestamp(now.0.saturating_sub_unsigned(hold.as_secs()));
    Ok(metrics::read(aws, metric, from, now).await?.samples)
}
