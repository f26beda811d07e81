//! The decision at a hold: alarms, limits and, where two sides serve, the judge.

use std::time::Duration;

use super::analysis::approval;
use super::analysis::decide::{self, Decision};
use super::analysis::guards::{self, Due, Finding, Readings};
use super::analysis::input::{self, AnalysisInput};
use super::analysis::windows::Period;
use super::error::PromoteError;
use super::history::History;
use super::inputs::Inputs;
use super::log::Entry;
use super::target::{DeploymentTarget, Ended, Hold};
use crate::engine::{Progress, StageError, Timestamp};
use crate::evidence::predicate::DecisionAction;
use crate::stage::context::Cx;

/// What was decided at a hold.
#[derive(Debug)]
pub enum Decided<D> {
    /// No decision yet.
    Wait { deployment: D, history: History, again_in: Duration, progress: Progress },
    /// The deployment continues.
    Continue { deployment: D, history: History, summary: String },
    /// The deployment is rolled back.
    RollBack { deployment: D, history: History, why: String },
    /// The deployment should be rolled back, and AWS completed it before.
    Unjudged { deployment: D, history: History },
}

/// Decides whether a deployment continues past a hold.
///
/// # Errors
/// A read failed; an alarm or a limit that cannot be read is no error, but unknown.
pub async fn decide<D: DeploymentTarget>(
    deployment: D,
    hold: Hold,
    mut history: History,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Decided<D>, StageError> {
    let now = cx.now();
    let readings = guards::read(&hold.guards, hold.since, now).await;
    let finding = guards::find(&hold.guards.alarms, &hold.guards.limits, &readings);
    let deployment = if finding == Finding::Healthy { deployment.seen_healthy(now) } else { deployment };
    if let (Some(Ended::Failed(why)), false) = (&hold.ended, matches!(finding, Finding::Breached(_))) {
        return Ok(Decided::RollBack { deployment, history, why: why.clone() });
    }
    let decision = if hold.compare {
        compare(&deployment, &hold, &mut history, &finding, inputs, cx).await?
    } else {
        guard(finding.and_not_ready(hold.not_ready.clone()), hold.due)
    };
    Ok(match decision {
        Decision::Wait(why) => {
            let why = if why.is_empty() { String::new() } else { format!("; {why}") };
            let (percent, external_id) = hold.progress;
            let progress = Progress { percent, summary: format!("{}{why}", hold.doing), external_id };
            Decided::Wait { deployment, history, again_in: hold.poll, progress }
        }
        Decision::Continue => {
            log(&mut history, &hold, DecisionAction::Continue, readings, now);
            let summary = format!("{}: the deployment continues", hold.place);
            Decided::Continue { deployment: deployment.passed(inputs, now), history, summary }
        }
        Decision::RollBack(why) => {
            log(&mut history, &hold, DecisionAction::RollBack, readings, now);
            if hold.ended == Some(Ended::Completed) {
                Decided::Unjudged { deployment, history }
            } else {
                let why = format!("{}: {why}", hold.place);
                Decided::RollBack { deployment, history, why }
            }
        }
    })
}

/// The decision of alarms and limits alone.
fn guard(finding: Finding, due: Due) -> Decision {
    match guards::action(&finding, due) {
        DecisionAction::Continue => Decision::Continue,
        DecisionAction::RollBack => Decision::RollBack(guards::reason(&finding)),
        DecisionAction::Wait => Decision::Wait(match finding {
            Finding::Healthy => "all healthy".to_owned(),
            // Right after a hold began there are no datapoints yet. That matters only once a decision is due.
            Finding::Unknown(_) if due == Due::NotYet => String::new(),
            Finding::Breached(what) | Finding::Unknown(what) => what.join("; "),
        }),
    }
}

/// The decision of the judge, who compares the two sides by the windows so far.
async fn compare<D: DeploymentTarget>(
    deployment: &D,
    hold: &Hold,
    history: &mut History,
    finding: &Finding,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Decision, StageError> {
    let (judge, now) = (inputs.judge()?, cx.now());
    let sides = deployment.metric_sides(inputs, cx).await?;
    let sides = sides.ok_or_else(|| PromoteError::NoSides { deployment: format!("{deployment:?}") })?;
    if history.periods.last().is_none_or(|period| period.0 != hold.since) {
        history.periods.push(Period(hold.since, 0));
    }
    if let Some(last) = history.periods.last_mut() {
        *last = input::settled(judge, hold.since, now);
    }
    let input = AnalysisInput { judge, sides, periods: history.periods.clone() };
    let windows = input.windows(&cx.aws).await?;
    let look = input.judge(&windows)?;
    let approval = match judge.on_inconclusive.approval_action() {
        Some(action) => Some(approval::read(cx, action).await?),
        None => None,
    };
    let elapsed = now.since(hold.since).as_secs();
    let mut decision =
        decide::decide(judge, &look, finding, hold.not_ready.as_deref(), elapsed, approval.as_ref());
    if decision == Decision::Continue && hold.due == Due::NotYet {
        decision = Decision::Wait(format!("held for {elapsed} s"));
    }
    // A verdict on earlier steps says nothing of this one.
    if decision == Decision::Continue && history.periods.last().is_none_or(|period| period.1 == 0) {
        decision = Decision::Wait("no window of this step is complete".to_owned());
    }
    // A comparison that has no verdict at all yet is not recorded.
    if history.periods.len() > 1 || !matches!(decision, Decision::Wait(_)) {
        history.analysis = Some(input.result(&look, &windows));
    }
    let seen = &look.exposure;
    Ok(match decision {
        Decision::Wait(why) => Decision::Wait(format!(
            "compared for {:.0} min, {:.0} requests on the new version; {why}",
            seen.minutes, seen.canary_requests
        )),
        decision => decision,
    })
}

/// Adds a decision to the log, unless the result of the comparison is its record.
fn log(history: &mut History, hold: &Hold, action: DecisionAction, readings: Readings, now: Timestamp) {
    let Some(phase) = hold.phase else { return };
    let after = u32::try_from(now.since(history.began).as_secs()).unwrap_or(u32::MAX);
    let (alarms, values) = (readings.alarms, Some(readings.values));
    history.log.push(Entry { phase, percent: hold.percent, action, after, alarms, values });
}
