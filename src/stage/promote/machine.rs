//! The promotion as a state machine, neutral to the target.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::PromoteError;
use super::history::{End, History};
use super::inputs::Inputs;
use super::target::{Abandon, Advance, Begin, Deployment, DeploymentTarget, Rollback, Version};
use super::{hold, seal};
use crate::engine::machine::UNWINDING_GRACE;
use crate::engine::{Failure, FailureKind, Machine, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::{PromotionOutcome, Units};
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::{StageMachine, not_unwinding};

/// Polls in a row that must find the same before a read-back is believed.
const CONFIRMATIONS: u8 = 2;

/// The time between two polls of a read-back.
const POLL: Duration = Duration::from_secs(15);

/// Polls without success after which a read-back ends: 20 minutes.
const MAX_POLLS: u16 = 80;

/// The promote stage, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case", bound = "D: DeploymentTarget")]
pub enum Promote<D = Deployment> {
    /// Nothing is changed; or an earlier run of this slice changed something, and its worker died before it reported.
    Preflight,
    /// Every check of the preflight passed. The target is being changed, or holds.
    Deploying { deployment: D, history: History },
    /// Every unit was given the new version. `seen` polls in a row found all of them on it and healthy, after `polls` that
    /// did not. `unjudged`: AWS completed the deployment before it could be judged.
    Confirming {
        deployment: D,
        history: History,
        seen: u8,
        polls: u16,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unjudged: bool,
    },
    /// The promotion failed. The target is being rolled back.
    RollingBack { deployment: D, history: History, why: FailureReason },
    /// The target is rolled back. `seen` polls in a row found every unit on the previous version and healthy, after
    /// `polls` that did not.
    ConfirmingRollback { deployment: D, history: History, why: FailureReason, seen: u8, polls: u16 },
    /// The units are read back. The statement may have been handed over already.
    Sealing { deployment: D, history: History, end: End },
    /// Nothing is left to be done or undone.
    GivingUp { why: FailureReason },
}

impl<D: DeploymentTarget> StageMachine for Promote<D> {
    const STAGE: Stage = Stage::Promote;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        Inputs::load(cx, at).await
    }

    /// A first slice changes nothing that serves: a target waits before it does.
    fn recover_lost_first_slice(_: Failure) -> Option<Self> {
        None
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::RollingBack { deployment, history, why } => {
                roll_back(deployment, history, why, None, cx).await
            }
            Self::ConfirmingRollback { deployment, history, why, seen, polls } => {
                confirm_rollback(deployment, history, why, (seen, polls), None, cx).await
            }
            Self::Sealing { end: End { why: Some(why), .. }, .. } | Self::GivingUp { why } => {
                Ok(Step::Done(Outcome::Failed(why.into())))
            }
            state @ (Self::Preflight
            | Self::Deploying { .. }
            | Self::Confirming { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&state)),
        }
    }
}

impl<D: DeploymentTarget> Machine for Promote<D> {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::Preflight
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.settings.timeout
    }

    fn unwind(self, why: Failure) -> Self {
        let why = FailureReason::from(why);
        match self {
            Self::Preflight => Self::GivingUp { why },
            Self::Deploying { deployment, history } => abandoned(deployment, history, why),
            Self::Confirming { deployment, history, .. } => too_late(deployment, history, &why),
            Self::Sealing { end: End { outcome: PromotionOutcome::Promoted, .. }, .. } => {
                let text =
                    format!("the image is promoted, and its statement was not handed over: {}", why.text);
                Self::GivingUp { why: FailureReason::new(why.kind, &text) }
            }
            state @ (Self::RollingBack { .. }
            | Self::ConfirmingRollback { .. }
            | Self::Sealing { .. }
            | Self::GivingUp { .. }) => state,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Preflight | Self::Deploying { .. } | Self::Confirming { .. } => false,
            Self::Sealing { end, .. } => end.outcome != PromotionOutcome::Promoted,
            Self::RollingBack { .. } | Self::ConfirmingRollback { .. } | Self::GivingUp { .. } => true,
        }
    }

    fn unwinding_grace(&self) -> Duration {
        match self {
            Self::RollingBack { deployment, .. } | Self::ConfirmingRollback { deployment, .. } => {
                deployment.rollback_grace()
            }
            Self::Preflight
            | Self::Deploying { .. }
            | Self::Confirming { .. }
            | Self::Sealing { .. }
            | Self::GivingUp { .. } => UNWINDING_GRACE,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Preflight => preflight(inputs, cx).await,
            Self::Deploying { deployment, history } => deploy(deployment, history, inputs, cx).await,
            Self::Confirming { deployment, history, seen, polls, unjudged } => {
                confirm(deployment, history, (seen, polls), unjudged, inputs, cx).await
            }
            Self::RollingBack { deployment, history, why } => {
                roll_back(deployment, history, why, Some(inputs), cx).await
            }
            Self::ConfirmingRollback { deployment, history, why, seen, polls } => {
                confirm_rollback(deployment, history, why, (seen, polls), Some(inputs), cx).await
            }
            Self::Sealing { deployment, history, end } => {
                seal::seal(&deployment, &history, end, inputs, cx).await.map(Step::Done)
            }
            Self::GivingUp { why } => Ok(Step::Done(Outcome::Failed(why.into()))),
        }
    }
}

/// Checks that the change can be made and undone, and hands over what fails.
async fn preflight<D: DeploymentTarget>(inputs: &Inputs, cx: &Cx) -> Result<Step<Promote<D>>, StageError> {
    let world = D::observe(inputs, cx).await?;
    let history = History::begin(inputs.at);
    let new = match D::begin(inputs, &world, cx).await? {
        Begin::Adopted(deployment) => {
            let summary = "an earlier run of this slice began the deployment".to_owned();
            return Ok(decided(Promote::Deploying { deployment, history }, summary, None));
        }
        Begin::Unneeded(deployment) => {
            return Ok(Step::Next(Promote::Confirming {
                deployment,
                history,
                seen: 0,
                polls: 0,
                unjudged: false,
            }));
        }
        Begin::New(deployment) => Some(deployment),
        Begin::Impossible => None,
    };
    let checks = D::preflight(inputs, &world)?;
    match new {
        Some(deployment) if checks.iter().all(|check| check.holds) => {
            Ok(Step::Next(Promote::Deploying { deployment, history }))
        }
        _ => seal::refuse(D::describe_refused(inputs, &world, cx), &checks, inputs, cx).await.map(Step::Done),
    }
}

/// One step of the deployment, and the analysis when it holds.
async fn deploy<D: DeploymentTarget>(
    deployment: D,
    history: History,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote<D>>, StageError> {
    match deployment.advance(inputs, history.began, cx).await? {
        Advance::Next(deployment) => Ok(Step::Next(Promote::Deploying { deployment, history })),
        Advance::Wait(deployment, again_in, progress) => {
            Ok(Step::Wait { state: Promote::Deploying { deployment, history }, again_in, progress })
        }
        Advance::Done(deployment) => {
            Ok(Step::Next(Promote::Confirming { deployment, history, seen: 0, polls: 0, unjudged: false }))
        }
        Advance::Failed(deployment, why) => {
            let why = FailureReason::new(FailureKind::JobFailed, &why);
            let (summary, id) = (why.text.clone(), deployment.external_id());
            Ok(decided(abandoned(deployment, history, why), summary, id))
        }
        Advance::Paused(deployment, hold) => {
            let id = deployment.external_id();
            let decided_hold = hold::decide(deployment, *hold, history, inputs, cx).await?;
            Ok(match decided_hold {
                hold::Decided::Wait { deployment, history, again_in, progress } => {
                    Step::Wait { state: Promote::Deploying { deployment, history }, again_in, progress }
                }
                hold::Decided::Continue { deployment, history, summary } => {
                    decided(Promote::Deploying { deployment, history }, summary, id)
                }
                hold::Decided::RollBack { deployment, history, why } => {
                    let why = FailureReason::new(FailureKind::JobFailed, &why);
                    let summary = why.text.clone();
                    decided(abandoned(deployment, history, why), summary, id)
                }
                hold::Decided::Unjudged { deployment, history } => {
                    Step::Next(Promote::Confirming { deployment, history, seen: 0, polls: 0, unjudged: true })
                }
            })
        }
    }
}

/// Persists a decision in the token before anything is done about it. A worker that takes over in between would decide
/// again, about a target that has changed since.
fn decided<D>(state: Promote<D>, summary: String, external_id: Option<String>) -> Step<Promote<D>> {
    Step::Wait { state, again_in: Duration::ZERO, progress: Progress { percent: 1, summary, external_id } }
}

/// The state after a deployment is abandoned.
fn abandoned<D: DeploymentTarget>(deployment: D, history: History, why: FailureReason) -> Promote<D> {
    match deployment.abandon() {
        Abandon::Nothing => Promote::GivingUp { why },
        Abandon::RollBack(deployment) => Promote::RollingBack { deployment, history, why },
        Abandon::TooLate(deployment) => too_late(deployment, history, &why),
    }
}

/// The end of a deployment that serves and cannot be rolled back any more.
fn too_late<D>(deployment: D, history: History, why: &FailureReason) -> Promote<D> {
    let text = format!("the new version serves, and its end was not confirmed: {}", why.text);
    let why = Some(FailureReason::new(why.kind, &text));
    let at = history.began;
    let end = End { outcome: PromotionOutcome::Indeterminate, why, units: [0; 3], at };
    Promote::Sealing { deployment, history, end }
}

/// Reads the units back once every one of them was given the new version.
async fn confirm<D: DeploymentTarget>(
    deployment: D,
    history: History,
    (seen, polls): (u8, u16),
    unjudged: bool,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote<D>>, StageError> {
    let found = deployment.read_back(Version::New, Some(inputs), cx).await?;
    let found = found.ok_or_else(|| PromoteError::NoUnits { deployment: format!("{deployment:?}") })?;
    let (seen, polls) = counted(found.not_ready.as_deref(), (seen, polls));
    let count = count(inputs, found.units);
    let why = match &found.not_ready {
        None if seen < CONFIRMATIONS => {
            return Ok(confirming(deployment, history, (seen, polls), unjudged, "all healthy"));
        }
        Some(what) if polls < MAX_POLLS => {
            return Ok(confirming(deployment, history, (seen, polls), unjudged, what));
        }
        None if unjudged => Some(format!(
            "AWS completed the deployment before it could be judged, and a completed deployment is not rolled back; {count}"
        )),
        None => None,
        Some(_) => Some(format!("the new version serves, but {}; {count}", found.summary)),
    };
    if why.is_none()
        && let Some(deployment) = deployment.following(inputs, cx.now())
    {
        return Ok(Step::Next(Promote::Deploying { deployment, history }));
    }
    let outcome = if why.is_none() { PromotionOutcome::Promoted } else { PromotionOutcome::Indeterminate };
    let why = why.map(|text| FailureReason::new(FailureKind::JobFailed, &text));
    let end = End { outcome, why, units: numbers(found.units), at: cx.now() };
    Ok(Step::Next(Promote::Sealing { deployment, history, end }))
}

fn confirming<D: DeploymentTarget>(
    deployment: D,
    history: History,
    (seen, polls): (u8, u16),
    unjudged: bool,
    what: &str,
) -> Step<Promote<D>> {
    let summary = format!("reading the target back: {what}");
    let progress = Progress { percent: 99, summary, external_id: deployment.external_id() };
    let state = Promote::Confirming { deployment, history, seen, polls, unjudged };
    Step::Wait { state, again_in: POLL, progress }
}

/// One step of the rollback. Without inputs its end is reported and not signed: no artifact can take a statement.
async fn roll_back<D: DeploymentTarget>(
    deployment: D,
    history: History,
    why: FailureReason,
    inputs: Option<&Inputs>,
    cx: &Cx,
) -> Result<Step<Promote<D>>, StageError> {
    let noted = |why: FailureReason, note: Option<String>| match note {
        Some(note) => FailureReason::new(why.kind, &format!("{}; {note}", why.text)),
        None => why,
    };
    Ok(match deployment.roll_back(inputs, cx).await? {
        Rollback::Next(deployment) => Step::Next(Promote::RollingBack { deployment, history, why }),
        Rollback::Wait(deployment, again_in, progress) => {
            let progress = Progress { summary: format!("{}: {}", progress.summary, why.text), ..progress };
            Step::Wait { state: Promote::RollingBack { deployment, history, why }, again_in, progress }
        }
        Rollback::Irreversible(deployment, note) => {
            let why = noted(why, Some(note));
            Step::Next(Promote::RollingBack { deployment, history, why })
        }
        Rollback::Done(deployment, note) => Step::Next(Promote::ConfirmingRollback {
            deployment,
            history,
            why: noted(why, note),
            seen: 0,
            polls: 0,
        }),
    })
}

/// Reads the units back after a rollback.
async fn confirm_rollback<D: DeploymentTarget>(
    deployment: D,
    history: History,
    why: FailureReason,
    (seen, polls): (u8, u16),
    inputs: Option<&Inputs>,
    cx: &Cx,
) -> Result<Step<Promote<D>>, StageError> {
    let Some(found) = deployment.read_back(Version::Previous, inputs, cx).await? else {
        return Ok(Step::Next(Promote::GivingUp { why }));
    };
    let (seen, polls) = counted(found.not_ready.as_deref(), (seen, polls));
    let (outcome, text) = match &found.not_ready {
        None if seen >= CONFIRMATIONS => {
            (PromotionOutcome::RolledBack, format!("{}: {}", found.summary, why.text))
        }
        Some(_) if polls >= MAX_POLLS || found.settled => {
            let updated = found.units.updated;
            let text = format!("{}; {updated} units still run the new version; {}", found.summary, why.text);
            (PromotionOutcome::Indeterminate, text)
        }
        not_ready => {
            let what = not_ready.as_deref().unwrap_or("all healthy");
            let summary = format!("reading the previous version back: {what}");
            let progress = Progress { percent: 99, summary, external_id: deployment.external_id() };
            let state = Promote::ConfirmingRollback { deployment, history, why, seen, polls };
            return Ok(Step::Wait { state, again_in: POLL, progress });
        }
    };
    let why = Some(FailureReason::new(why.kind, &text));
    let end = End { outcome, why, units: numbers(found.units), at: cx.now() };
    Ok(Step::Next(Promote::Sealing { deployment, history, end }))
}

/// The counts of a read-back after one more poll: polls in a row that found the units ready, and polls that did not.
fn counted(not_ready: Option<&str>, (seen, polls): (u8, u16)) -> (u8, u16) {
    if not_ready.is_none() { (seen.saturating_add(1), polls) } else { (0, polls.saturating_add(1)) }
}

fn numbers(units: Units) -> [u32; 3] {
    [units.total, units.updated, units.healthy]
}

/// `4 in service, 1 of them on ami-…, 4 healthy`
fn count(inputs: &Inputs, units: Units) -> String {
    let Units { total, updated, healthy } = units;
    format!("{total} in service, {updated} of them on {}, {healthy} healthy", inputs.subject)
}
