//! The last step of a cleanup that changes anything: removes the leftovers of runs that have ended.

use std::time::Duration;

use super::machine_images::removal::PendingRemoval;
use super::{Cleanup, Inputs};
use crate::engine::{Progress, StageError, Step};
use crate::stage::context::Cx;
use crate::stage::reap::{self, Builds, Leftover, LeftoverKind, RunStatus};

/// Maximum number of searches of one action, each followed by at most one call.
const MAX_SEARCHES: u8 = 60;

/// How many recent removals the token remembers.
const MAX_RECENT: usize = 8;

/// Pause after a removal.
const PAUSE: Duration = Duration::from_secs(2);

/// Pause while AWS finishes earlier removals.
const DRAIN_CHECK: Duration = Duration::from_mins(2);

/// Makes one call that removes a leftover. `recent` are the leftovers that were removed last: a search that still finds
/// one is stale, or AWS takes its time.
pub async fn reap(
    done: Vec<PendingRemoval>,
    searches: u8,
    mut recent: Vec<u32>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let found = reap::find(&cx.aws, Builds::of(&inputs.release.spec)).await?;
    let statuses = reap::run_statuses(&cx.home, &found).await?;
    let ended: Vec<Leftover> =
        found.into_iter().filter(|leftover| statuses.get(&leftover.run) == Some(&RunStatus::Ended)).collect();
    if ended.is_empty() || searches >= MAX_SEARCHES {
        return Ok(Step::Next(Cleanup::Sealing { done, why: None }));
    }
    let is_under_way = |leftover: &Leftover| {
        matches!(leftover.kind, LeftoverKind::EmptiedCanaryGroup { instances } if instances > 0)
            || recent.contains(&leftover.fingerprint())
    };
    let again_in = match ended.iter().find(|leftover| !is_under_way(leftover)) {
        Some(leftover) => {
            reap::remove(&cx.aws, leftover).await?;
            recent.truncate(MAX_RECENT - 1);
            recent.insert(0, leftover.fingerprint());
            PAUSE
        }
        None => DRAIN_CHECK,
    };
    let summary = format!("{} leftovers of ended runs are being removed", ended.len());
    let progress = Progress { percent: 90, summary, external_id: None };
    Ok(Step::Wait { state: Cleanup::Reaping { done, searches: searches + 1, recent }, again_in, progress })
}
