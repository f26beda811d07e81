//! The contract between the promotion and a deployment target.
//!
//! The promotion (`super::super::machine`) proves, judges, decides, signs and reports. A target finds, changes and
//! reads back. tests/it/conformance holds every target to what is written here.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::machine::UNWINDING_GRACE;
use crate::engine::{Progress, StageError, Timestamp};
use crate::evidence::ImageIdentity;
use crate::evidence::predicate::{Change, Preflight, Target, Units, Wave};
use crate::stage::context::Cx;
use crate::stage::promote::analysis::guards::Guards;
use crate::stage::promote::analysis::input::Sides;
use crate::stage::promote::check::Check;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::log::Phase;

pub use crate::stage::promote::analysis::guards::Due;

/// A deployment to one kind of target, in one of its states.
///
/// The state travels in the continuation token. Any method may run any number of times from the same state, on any
/// worker, at any time. `advance` and `roll_back` make at most one mutating call each, under a key derived from the
/// execution, and adopt what they find already done. The other methods change nothing.
pub trait DeploymentTarget:
    Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + Sized
{
    /// What the preflight reads.
    type World: Send + Sync;

    /// Reads what the preflight checks.
    fn observe(inputs: &Inputs, cx: &Cx) -> impl Future<Output = Result<Self::World, StageError>> + Send;

    /// Every check that must pass before the first change, above all that the change can be undone. Pure.
    fn preflight(inputs: &Inputs, world: &Self::World) -> Result<Vec<Check>, StageError>;

    /// The first state of the deployment, or the one of a deployment that an earlier slice began.
    fn begin(
        inputs: &Inputs,
        world: &Self::World,
        cx: &Cx,
    ) -> impl Future<Output = Result<Begin<Self>, StageError>> + Send;

    /// One step forward.
    fn advance(
        self,
        inputs: &Inputs,
        began: Timestamp,
        cx: &Cx,
    ) -> impl Future<Output = Result<Advance<Self>, StageError>> + Send;

    /// The state after the analysis let the deployment continue past the hold in which it is. Pure.
    #[must_use]
    fn passed(self, inputs: &Inputs, now: Timestamp) -> Self;

    /// The state after a poll in which every alarm and limit was known and good. Pure.
    #[must_use]
    fn seen_healthy(self, _now: Timestamp) -> Self {
        self
    }

    /// The state from which the deployment is rolled back. Pure.
    fn abandon(self) -> Abandon<Self>;

    /// One step of the rollback. Without `inputs`, because the input artifact is gone, the target must find what the
    /// deployment changed from the state and from keys derived from the execution.
    fn roll_back(
        self,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> impl Future<Output = Result<Rollback<Self>, StageError>> + Send;

    /// How long a rollback may take past the deadline.
    fn rollback_grace(&self) -> Duration {
        UNWINDING_GRACE
    }

    /// Reads which version the target's units run. None when the target cannot be found without `inputs`.
    fn read_back(
        &self,
        version: Version,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> impl Future<Output = Result<Option<ReadBack>, StageError>> + Send;

    /// The part of the deployment that follows once the units of this one were read back. Pure.
    #[must_use]
    fn following(&self, _inputs: &Inputs, _now: Timestamp) -> Option<Self> {
        None
    }

    /// The two sides that the judge compares, if this deployment has two.
    fn metric_sides(
        &self,
        inputs: &Inputs,
        cx: &Cx,
    ) -> impl Future<Output = Result<Option<Sides>, StageError>> + Send;

    /// What the statement and the reports say of the target once it is over; `promoted` says how it ended.
    fn describe(
        &self,
        inputs: &Inputs,
        promoted: bool,
        cx: &Cx,
    ) -> impl Future<Output = Result<Description, StageError>> + Send;

    /// What the statement and the reports say of a target that the preflight refused. Pure.
    fn describe_refused(inputs: &Inputs, world: &Self::World, cx: &Cx) -> Description;

    /// The id of what AWS deploys, which the console links to.
    fn external_id(&self) -> Option<String> {
        None
    }
}

/// How a deployment begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Begin<D> {
    /// Nothing is changed yet.
    New(D),
    /// An earlier slice passed the preflight and changed something; its worker died before it reported.
    Adopted(D),
    /// The target runs the new version already.
    Unneeded(D),
    /// The target cannot take the new version; the checks of the preflight say why.
    Impossible,
}

/// The result of one step forward.
#[derive(Clone, Debug)]
pub enum Advance<D> {
    /// The next step can be made at once.
    Next(D),
    /// AWS must move first.
    Wait(D, Duration, Progress),
    /// The target holds: the analysis decides whether it continues.
    Paused(D, Box<Hold>),
    /// Every unit was given the new version.
    Done(D),
    /// The deployment cannot be completed, for this reason.
    Failed(D, String),
}

impl<D> Advance<D> {
    /// The same result for a state that contains this one.
    #[must_use]
    pub fn map<E>(self, of: impl FnOnce(D) -> E) -> Advance<E> {
        match self {
            Self::Next(state) => Advance::Next(of(state)),
            Self::Wait(state, again_in, progress) => Advance::Wait(of(state), again_in, progress),
            Self::Paused(state, hold) => Advance::Paused(of(state), hold),
            Self::Done(state) => Advance::Done(of(state)),
            Self::Failed(state, why) => Advance::Failed(of(state), why),
        }
    }
}

/// A hold: what the target runs now, and what the analysis needs to decide.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The place of the decision in the log. None when the result of the comparison is the record.
    pub phase: Option<Phase>,
    /// The share of units or of traffic on the new version, 0 to 100.
    pub percent: u8,
    /// Where the deployment is, as the reason for a rollback begins: `with 25 % of the traffic on the new image`.
    pub place: String,
    /// What the deployment does now, for people.
    pub doing: String,
    /// Datapoints count from this moment on.
    pub since: Timestamp,
    /// Whether a decision is due.
    pub due: Due,
    /// The alarms and limits that decide.
    pub guards: Guards,
    /// Whether the judge compares the two sides of [`DeploymentTarget::metric_sides`], too.
    pub compare: bool,
    /// Why the units are not all on the version they should run, and healthy.
    pub not_ready: Option<String>,
    /// AWS ended the deployment by itself.
    pub ended: Option<Ended>,
    /// The time until the next poll.
    pub poll: Duration,
    /// The percentage of the progress, and the id that the console links to.
    pub progress: (u8, Option<String>),
}

/// How AWS ended a deployment by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It completed, and cannot be rolled back any more.
    Completed,
    /// It failed or was rolled back, for this reason.
    Failed(String),
}

/// What can be done about a deployment that is to be abandoned.
#[derive(Clone, Debug, PartialEq)]
pub enum Abandon<D> {
    /// Nothing needs to be undone.
    Nothing,
    /// It is rolled back from this state.
    RollBack(D),
    /// The new version serves, and what it replaced is gone or going.
    TooLate(D),
}

impl<D> Abandon<D> {
    /// The same for a state that contains this one.
    #[must_use]
    pub fn map<E>(self, of: impl FnOnce(D) -> E) -> Abandon<E> {
        match self {
            Self::Nothing => Abandon::Nothing,
            Self::RollBack(state) => Abandon::RollBack(of(state)),
            Self::TooLate(state) => Abandon::TooLate(of(state)),
        }
    }
}

/// The result of one step of a rollback. A note is added to the reason of the rollback.
#[derive(Clone, Debug, PartialEq)]
pub enum Rollback<D> {
    /// The next step can be made at once.
    Next(D),
    /// AWS must move first.
    Wait(D, Duration, Progress),
    /// AWS does not roll this back. The rollback goes on from here by other calls.
    Irreversible(D, String),
    /// Nothing is left to be undone.
    Done(D, Option<String>),
}

impl<D> Rollback<D> {
    /// The same result for a state that contains this one.
    #[must_use]
    pub fn map<E>(self, of: impl FnOnce(D) -> E) -> Rollback<E> {
        match self {
            Self::Next(state) => Rollback::Next(of(state)),
            Self::Wait(state, again_in, progress) => Rollback::Wait(of(state), again_in, progress),
            Self::Irreversible(state, note) => Rollback::Irreversible(of(state), note),
            Self::Done(state, note) => Rollback::Done(of(state), note),
        }
    }
}

/// The version that the units are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that is promoted.
    New,
    /// The one that ran before.
    Previous,
}

/// The units of a target, as they were read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    pub units: Units,
    /// Why the units are not all on the version, and healthy; none if they are.
    pub not_ready: Option<String>,
    /// Nothing is under way that would change `not_ready`.
    pub settled: bool,
    /// What the target runs, for people: `web runs ami-1 on 8 instances`.
    pub summary: String,
}

/// What the statement and the reports say of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub target: Target,
    /// The image that was replaced.
    pub previous: Option<ImageIdentity>,
    /// What was changed; none if nothing was.
    pub change: Option<Change>,
    /// The units as the preflight saw them.
    pub units: Option<Units>,
    /// The waves as they were read back.
    pub waves: Vec<Wave>,
    /// The checks that passed before the first change.
    pub preflight: Vec<Preflight>,
    /// Why the promotion succeeded, in a sentence.
    pub reason: String,
    /// Output variables of the action.
    pub variables: BTreeMap<String, String>,
}
