//! Runs the checks of a task that is up: requests to its ports, in parallel where the checks allow it.

use futures::future::join_all;

use super::super::checks::schedule::{self, NextStep};
use super::super::state::Test;
use super::super::state::task::{Probe, ProbeAnswer, TaskFindings, TaskTest};
use super::error::TaskError;
use super::status::{record, sent};
use super::steps::stop_with;
use super::{POLL_INTERVAL, TaskInputs, ecs, probe, progress, wait};
use crate::engine::{StageError, Step, Timestamp};
use crate::spec::Check;
use crate::stage::Cx;

/// A task that is up, and its checks so far.
pub struct Round {
    pub revision: i32,
    pub task: String,
    pub since: Timestamp,
    pub start_seconds: u32,
    pub probes: Vec<Probe>,
}

/// Sends one request for every running check, and begins the checks that are ready. Requests change nothing, so another
/// worker can repeat a round.
pub async fn run_probes(inputs: &TaskInputs, cx: &Cx, round: Round) -> Result<Step<Test>, StageError> {
    let Round { revision, task, since, start_seconds, mut probes } = round;
    let checks = &inputs.test.checks;
    let seconds = || u32::try_from(cx.now().since(since).as_secs()).unwrap_or(u32::MAX);
    let address = match ecs::describe(cx, &inputs.task.cluster, &task).await? {
        None => return Err(TaskError::TaskNotFound { task }.into()),
        Some(found) if found.is_stopping() => {
            let failure = format!("it stopped during the test: {}", found.stop_summary());
            return stop_with(revision, task, TaskFindings::new(start_seconds, Some(&failure), probes));
        }
        Some(found) => found.address,
    };
    let Some(address) = address else {
        return Err(TaskError::NoAddress { task }.into());
    };
    begin_ready(checks, &mut probes, seconds());
    let running: Vec<usize> = (0..probes.len()).filter(|index| is_running(&probes, *index)).collect();
    let requests = running.iter().filter_map(|index| checks.get(*index));
    let answers: Vec<ProbeAnswer> = join_all(requests.map(|check| probe::request(cx, address, check))).await;
    let now = seconds();
    for (index, answer) in running.into_iter().zip(answers) {
        if let (Some(probe), Some(check)) = (probes.get_mut(index), checks.get(index)) {
            record(probe, check, answer, now);
        }
    }
    let Some(waiting) = begin_ready(checks, &mut probes, now) else {
        return stop_with(revision, task, TaskFindings::new(start_seconds, None, probes));
    };
    let total = checks.len();
    // There are at most 20 checks.
    let percent = u8::try_from(20 + waiting * 70 / total.max(1)).unwrap_or(90);
    let name = checks.get(waiting).map_or("", |check| check.name.as_str());
    let progress = progress(percent, format!("check {} of {total}, {name}", waiting + 1), &task);
    let state = TaskTest::Probing { revision, task, since, start_seconds, probes };
    wait(state, POLL_INTERVAL, progress)
}

fn is_running(probes: &[Probe], index: usize) -> bool {
    probes.get(index).is_some_and(|probe| probe.ended.is_none())
}

/// Begins every check that is ready. Returns the first one that runs; none if all have ended.
fn begin_ready(checks: &[Check], probes: &mut Vec<Probe>, now: u32) -> Option<usize> {
    // Each round begins one check.
    for _ in 0..=checks.len() {
        let sent: Vec<_> = probes.iter().map(sent).collect();
        match schedule::next(checks, &sent) {
            NextStep::Send { check, attempt } => {
                let begun = Probe { attempts: attempt.saturating_add(1), since: now, ended: None };
                match probes.get_mut(check) {
                    Some(probe) => *probe = begun,
                    None => probes.push(begun),
                }
            }
            NextStep::Wait { check, .. } => return Some(check),
            // A check of a task ends by itself and is never overdue.
            NextStep::Overdue | NextStep::Stop { .. } => return None,
        }
    }
    None
}
