//! One run of a stage in the crash test: undisturbed, or under a fault.

use std::sync::Arc;
use std::time::Duration;

use bakeline::engine::Clock;
use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::faults::FaultPlan;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::transcript::Record;
use futures::FutureExt as _;

use super::convergence::{Checkpoints, reported_token};
use crate::support::{Moment, in_virtual_time, work_until};
use crate::trail::{Trail, trail};

/// A stage run to its end without a fault.
pub struct Undisturbed {
    pub status: ActionStatus,
    pub trail: Trail,
    /// From the first poll on: a worker's own start is not part of the stage.
    pub records: Vec<Record>,
    pub snapshots: Vec<Snapshot>,
    pub checkpoints: Checkpoints,
}

/// A copy of the world between two slices, after so many calls.
pub struct Snapshot {
    pub calls: usize,
    pub moment: Moment,
}

/// Calls between two snapshots.
const BETWEEN_SNAPSHOTS: usize = 6;

/// How a run under a fault went, from the first call after its snapshot.
pub struct Disturbed {
    pub records: Vec<Record>,
    pub end: End,
}

/// Where a run under a fault ended.
pub enum End {
    /// It equaled the undisturbed run after so many of that run's calls.
    Converged { calls: usize },
    /// The stage ended.
    Ended { status: ActionStatus, trail: Trail },
}

/// Runs a stage to its end without a fault.
pub fn undisturbed(moment: &Moment, stage: Stage) -> Undisturbed {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
        let first = calls(&cloud);
        let mut snapshots: Vec<Snapshot> = Vec::new();
        let mut checkpoints = Checkpoints::default();
        let status = work_until(moment, &cloud, &deps, stage, || {
            let made = calls(&cloud) - first;
            if snapshots.last().is_none_or(|last| made >= last.calls + BETWEEN_SNAPSHOTS) {
                snapshots.push(Snapshot { calls: made, moment: moment.now(&cloud) });
            }
            let token = cloud.with_transcript(|transcript| reported_token(&transcript.records()[first..]));
            checkpoints.add(made, token, || cloud.with_world(|world| trail(moment, world)));
            false
        })
        .await
        .expect("nothing stops an undisturbed run before its end");
        settle(&clock).await;
        let trail = cloud.with_world(|world| trail(moment, world));
        Undisturbed { status, trail, records: records_since(&cloud, first), snapshots, checkpoints }
    })
}

/// Goes on from a snapshot under a plan: to the stage's end, or until the run has become the undisturbed one after
/// `call`. A worker that is killed is followed by another with the same journal.
pub fn disturbed(
    moment: &Moment,
    stage: Stage,
    faults: FaultPlan,
    until: Option<(&Checkpoints, usize)>,
) -> Disturbed {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        cloud.record_wire(false);
        let journal = Arc::new(Journal::in_memory());
        let mut first = 0;
        let mut faults = Some(faults);
        let mut converged = None;
        let mut compared = 0;
        let status = loop {
            let deps = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
            if let Some(faults) = faults.take() {
                first = calls(&cloud);
                cloud.set_faults(faults);
            }
            let mut kills = cloud.kills();
            kills.mark_unchanged();
            let has_converged = || {
                let Some((checkpoints, call)) = until else { return false };
                let made = calls(&cloud);
                if made == compared || has_jobs(&journal) {
                    return false;
                }
                compared = made;
                let token = cloud.with_transcript(|transcript| {
                    let records = &transcript.records()[first..];
                    let met = |record: &Record| record.fault.as_ref().is_some_and(|fault| fault.took_effect);
                    records.iter().any(met).then(|| reported_token(records)).flatten()
                });
                let world = || cloud.with_world(|world| trail(moment, world));
                converged = token.and_then(|token| Some(checkpoints.reached(call, &token, world)?.calls));
                converged.is_some()
            };
            tokio::select! {
                status = work_until(moment, &cloud, &deps, stage, has_converged) => break status,
                _ = kills.changed() => {}
            }
        };
        cloud.set_faults(FaultPlan::default());
        let end = match (status, converged) {
            (None, Some(calls)) => End::Converged { calls },
            (Some(status), _) => {
                settle(&clock).await;
                End::Ended { status, trail: cloud.with_world(|world| trail(moment, world)) }
            }
            (None, None) => unreachable!("only convergence stops a run before its end"),
        };
        Disturbed { records: records_since(&cloud, first), end }
    })
}

/// Whether a worker that died left a job behind: the next one goes on with it first.
fn has_jobs(journal: &Journal) -> bool {
    let jobs = journal.jobs().now_or_never().expect("a journal in memory answers at once");
    !jobs.expect("and does not fail").is_empty()
}

fn calls(cloud: &Cloud) -> usize {
    cloud.with_transcript(|transcript| transcript.records().len())
}

fn records_since(cloud: &Cloud, first: usize) -> Vec<Record> {
    cloud.with_transcript(|transcript| transcript.records()[first..].to_vec())
}

/// Lets come to an end what AWS does by itself: instances that shut down, targets that drain.
async fn settle(clock: &Clock) {
    clock.sleep(Duration::from_mins(10)).await;
}
