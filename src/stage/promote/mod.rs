//! Promotes an image by canary: an instance refresh of an Auto Scaling group, judged at checkpoints.
//!
//! Before the first instance changes, preflight proves that the change can be undone. While instances are
//! replaced, alarms and metrics are looked at again and again; what is wrong rolls back at once, and what is not
//! known rolls back before AWS lets the refresh go on. The end is read back from the fleet itself.

mod approval;
pub(crate) mod canary_groups;
pub mod check;
pub mod examine;
mod fleet;
mod groups;
pub mod judge;
mod listener_weights;
pub mod log;
mod measure;
pub mod metrics;
mod observe;
pub mod pace;
pub mod preflight;
mod record;
mod refresh;
mod report;
mod run;
mod steps;
mod template;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod turns;
pub mod waves;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::canary_groups::is_trial;
pub use self::fleet::Census;
pub use self::observe::{Group, ImageView, Launches, group, identity};
pub use self::refresh::list as refreshes;
pub use self::run::{End, Plan, Run};
pub use self::template::is_ours;

use self::judge::Watch;
use self::waves::{Cursor, Turn};
use super::context::Cx;
use super::failure_reason::FailureReason;
use super::handover::Release;
use super::{StageMachine, not_unwinding};
use crate::aws::Aws;
use crate::engine::machine::UNWINDING_GRACE;
use crate::engine::{Failure, Machine, StageError, Step, Timestamp};
use crate::evidence::predicate::PromotionOutcome;
use crate::evidence::{ImageIdentity, Stage};
use crate::spec;

/// Good looks in a row that a read-back needs.
const CONFIRMATIONS: u8 = 2;

/// The promote stage, at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Promote {
    /// Nothing is changed; or an earlier run of this slice got further and was not heard of.
    Preflight,
    /// Every check of the preflight held. The template may have our version already.
    Versioning { plan: Plan },
    /// The template has our version. The two groups of the trial may have been made already, and are not all in
    /// service yet; `looks` found something missing.
    Opening { plan: Plan, to: i64, looks: u16 },
    /// Canary and baseline serve side by side, and are judged by their windows since then. Production is as it was.
    Judging { plan: Plan, to: i64, since: Timestamp },
    /// The trial is decided: for the refresh, or against it for a reason. `done` of the calls that take its two groups
    /// away have been made, and the next may have been.
    Closing {
        plan: Plan,
        to: i64,
        done: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<FailureReason>,
    },
    /// The template has our version. The group that is to take turns may launch it already, in the size of the other, and
    /// does so once `looks` is not 0: that many looks found it not all well yet. The traffic is as it was.
    Filling { run: Run, looks: u16 },
    /// The other group is whole, or the share before was let on. `done` lists of actions have the weights of the share
    /// at this place in the spec, and the next may have them.
    Shifting { run: Run, share: u8, done: u8 },
    /// Every list of actions has the weights of the share, or `doubts` looks in a row found others; judged by the windows
    /// since, and at 100 % the group before stands by as it was.
    Serving {
        run: Run,
        share: u8,
        since: Timestamp,
        #[serde(default)]
        doubts: u8,
    },
    /// The image is promoted. `done` of the two calls that let the group before go have been made.
    Emptying { run: Run, done: u8 },
    /// The promotion by weights has failed. `done` lists of actions give everything to the group before again.
    Restoring { run: Run, why: FailureReason, done: u8 },
    /// Every list of actions gave everything to the group before again; `looks` found otherwise. The other group may
    /// have been emptied already.
    Draining { run: Run, why: FailureReason, looks: u8 },
    /// The template has our version, and a trial, if there was one, was passed and is taken away. The refresh may have
    /// been started already.
    Starting { plan: Plan, to: i64 },
    /// The refresh was started; instances are replaced, held and watched.
    Refreshing { run: Run, watch: Watch },
    /// The refresh is successful, or was not needed; `seen` looks in a row found the whole fleet on the new image
    /// and healthy, after `looks` that did not. `doubt`: it ended before it could be judged.
    Confirming { run: Run, seen: u8, looks: u16, doubt: bool },
    /// The first group is wholly on the image, and with it every wave before this one. Groups of this wave are refreshed,
    /// or the whole wave holds.
    Following { run: Run, cursor: Cursor },
    /// The promotion has failed in a wave. Every group that was given the image is taken back, the last one first.
    TakingBack { run: Run, why: FailureReason, turn: Turn },
    /// The promotion has failed. The refresh is to be rolled back, or is being rolled back.
    RollingBack { run: Run, why: FailureReason },
    /// AWS will not roll the refresh back. It is to be cancelled, or is being cancelled.
    Cancelling { run: Run, why: FailureReason },
    /// The refresh is over and did not succeed; `seen` looks in a row found the whole fleet on the old image and
    /// healthy, after `looks` that did not. `restored`: AWS says the rollback was successful.
    Reverted { run: Run, why: FailureReason, seen: u8, looks: u16, restored: bool },
    /// The fleet is read back. The statement may have been handed over already.
    Sealing { run: Run, end: End },
    /// Nothing is left to be done or undone.
    GivingUp { why: FailureReason },
}

/// What a promotion works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub promote: spec::GroupPromotion,
    /// The image to promote, in the region of the clients.
    pub image: ImageIdentity,
    /// When the action began.
    pub at: Timestamp,
    /// The region of the first group.
    pub home: String,
    /// The regions of the waves.
    pub there: BTreeMap<String, RegionContext>,
}

/// A region of a wave.
#[derive(Debug)]
pub struct RegionContext {
    pub aws: Aws,
    /// The image to promote, in this region.
    pub image: ImageIdentity,
}

impl StageMachine for Promote {
    const STAGE: Stage = Stage::Promote;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Promote, at).await?;
        let promote = release.spec.promote().map_err(|missing| StageError::Config(missing.to_string()))?;
        cx.act_in(Stage::Promote, promote.environment.as_deref()).await?;
        let promote =
            promote.of_groups().map_err(|unsupported| StageError::Config(unsupported.to_string()))?;
        let home = cx.aws.region().to_owned();
        let image = release.image_in(&home)?.clone();
        let mut there = BTreeMap::new();
        for wave in &promote.waves {
            let region = wave.region.as_ref().unwrap_or(&home);
            if !there.contains_key(region) {
                let image = release.image_in(region)?.clone();
                there.insert(region.clone(), RegionContext { aws: cx.aws.in_region(region), image });
            }
        }
        Ok(Inputs { release, promote, image, at, home, there })
    }

    /// A first slice makes a template version at most, from which nothing is launched; it rests before more is done.
    fn recover_lost_first_slice(_: Failure) -> Option<Self> {
        None
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::GivingUp { why } => Ok(Step::Done(crate::engine::Outcome::Failed(why.into()))),
            other => steps::back_without_inputs(other, cx).await,
        }
    }
}

/// What is promoted, where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollbackTarget<'a> {
    /// Name of the Auto Scaling group.
    pub group: &'a str,
    /// The new image.
    pub image: &'a str,
}

/// The group that served when the promotion began, and the one that is to serve: twice the same one, unless two take
/// turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub old: &'a str,
    pub new: &'a str,
}

impl Inputs {
    fn names(&self, plan: &Plan) -> Names<'_> {
        let one = self.promote.group.as_str();
        let other = self.promote.alternate.as_deref().unwrap_or(one);
        if plan.swapped { Names { old: other, new: one } } else { Names { old: one, new: other } }
    }

    /// What the way back is about: the group that served before.
    fn scene(&self, plan: &Plan) -> RollbackTarget<'_> {
        RollbackTarget { group: self.names(plan).old, image: &self.image.image_id }
    }
}

impl Machine for Promote {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::Preflight
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.promote.timeout.as_duration()
    }

    fn unwind(self, why: Failure) -> Self {
        let why = FailureReason::from(why);
        match self {
            Self::Preflight | Self::Versioning { .. } => Self::GivingUp { why },
            Self::Opening { plan, to, .. }
            | Self::Judging { plan, to, .. }
            | Self::Closing { plan, to, why: None, .. } => {
                // Calls that were made are found made: the groups are looked at anew.
                Self::Closing { plan, to, done: 0, why: Some(why) }
            }
            Self::Starting { plan, to } => {
                // The refresh may have been started by a call whose answer was lost.
                Self::RollingBack { run: Run::begin(plan, to), why }
            }
            Self::Filling { run, .. } | Self::Shifting { run, .. } | Self::Serving { run, .. } => {
                Self::Restoring { run, why, done: 0 }
            }
            Self::Refreshing { run, .. } => Self::RollingBack { run, why },
            Self::Emptying { run, .. } | Self::Confirming { run, .. } => {
                let text = format!("the image serves, and its end was not confirmed: {}", why.text);
                let why = FailureReason::new(why.kind, &text);
                let at = run.plan.began;
                let end = End { outcome: PromotionOutcome::Failed, why: Some(why), fleet: [0; 3], at };
                Self::Sealing { run, end }
            }
            Self::Following { run, cursor } => {
                Self::TakingBack { run, why, turn: Turn::of(cursor.reached()) }
            }
            Self::Sealing { end: End { outcome: PromotionOutcome::Promoted, .. }, .. } => {
                let text =
                    format!("the image is promoted, and its statement was not handed over: {}", why.text);
                Self::GivingUp { why: FailureReason::new(why.kind, &text) }
            }
            back @ (Self::Closing { .. }
            | Self::Restoring { .. }
            | Self::Draining { .. }
            | Self::TakingBack { .. }
            | Self::RollingBack { .. }
            | Self::Cancelling { .. }
            | Self::Reverted { .. }
            | Self::Sealing { .. }
            | Self::GivingUp { .. }) => back,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Preflight
            | Self::Versioning { .. }
            | Self::Opening { .. }
            | Self::Judging { .. }
            | Self::Closing { why: None, .. }
            | Self::Filling { .. }
            | Self::Shifting { .. }
            | Self::Serving { .. }
            | Self::Emptying { .. }
            | Self::Starting { .. }
            | Self::Refreshing { .. }
            | Self::Confirming { .. }
            | Self::Following { .. } => false,
            Self::Sealing { end, .. } => end.outcome != PromotionOutcome::Promoted,
            Self::Closing { .. }
            | Self::Restoring { .. }
            | Self::Draining { .. }
            | Self::TakingBack { .. }
            | Self::RollingBack { .. }
            | Self::Cancelling { .. }
            | Self::Reverted { .. }
            | Self::GivingUp { .. } => true,
        }
    }

    fn unwinding_grace(&self) -> Duration {
        match self {
            Self::TakingBack { turn, .. } => turn.time(),
            _ => UNWINDING_GRACE,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Preflight => steps::preflight(inputs, cx).await,
            Self::Versioning { plan } => steps::version(plan, inputs, cx).await,
            Self::Opening { plan, to, looks } => steps::trial::open(plan, to, looks, inputs, cx).await,
            Self::Judging { plan, to, since } => steps::trial::look(plan, to, since, inputs, cx).await,
            Self::Closing { plan, to, done, why } => {
                let after = |decided| steps::trial::after(decided, inputs, cx);
                steps::trial::close(steps::trial::Decided { plan, to, why }, done, after, cx).await
            }
            Self::Filling { run, looks } => steps::shares::fill(run, looks, inputs, cx).await,
            Self::Shifting { run, share, done } => steps::shares::shift(run, share, done, inputs, cx).await,
            Self::Serving { run, share, since, doubts } => {
                steps::shares::serve(run, (share, since, doubts), inputs, cx).await
            }
            Self::Emptying { run, done } => steps::shares::empty(run, done, inputs, cx).await,
            Self::Restoring { run, why, done } => {
                let names = inputs.names(&run.plan);
                steps::shares::restore(run, (why, done), names, cx).await
            }
            Self::Draining { run, why, looks } => {
                let names = inputs.names(&run.plan);
                steps::shares::drain(run, (why, looks), names, cx).await
            }
            Self::Starting { plan, to } => steps::start(plan, to, inputs, cx).await,
            Self::Refreshing { run, watch } => steps::watch(run, watch, inputs, cx).await,
            Self::Confirming { run, seen, looks, doubt } => {
                steps::confirm(run, steps::Tries { seen, looks }, doubt, inputs, cx).await
            }
            Self::Following { run, cursor } => steps::waves::follow(run, cursor, inputs, cx).await,
            Self::TakingBack { run, why, turn } => {
                let line = inputs.line(&cx.aws)?;
                let turn = turn.through(u16::try_from(line.len()).unwrap_or(u16::MAX), false);
                steps::turn::take_back(run, why, turn, (&line, inputs.promote.max_concurrent()), cx).await
            }
            Self::RollingBack { run, why } => {
                let scene = inputs.scene(&run.plan);
                steps::roll_back(run, why, scene, cx).await
            }
            Self::Cancelling { run, why } => {
                let scene = inputs.scene(&run.plan);
                steps::cancel(run, why, scene, cx).await
            }
            Self::Reverted { run, why, seen, looks, restored } => {
                let scene = inputs.scene(&run.plan);
                steps::revert(run, why, steps::Tries { seen, looks }, restored, scene, cx).await
            }
            Self::Sealing { run, end } => steps::seal(run, end, inputs, cx).await,
            Self::GivingUp { why } => Ok(Step::Done(crate::engine::Outcome::Failed(why.into()))),
        }
    }
}
