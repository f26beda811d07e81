//! The test stage: one instance of the baked image in staging, the spec's checks run on it, and its end confirmed.

mod back;
mod checks;
mod command;
mod forward;
mod instance;
pub mod judge;
pub mod junit;
mod order;
pub mod output;
pub mod page;
pub mod plan;
pub mod report;
pub mod script;
pub mod soak;
pub mod task;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::order::Order;
use self::soak::Soaked;
use self::task::TaskTest;
use super::handover::Release;
use super::{Cx, StageMachine, not_unwinding};
use crate::engine::{Failure, Machine, Progress, StageError, Step, Timestamp};
use crate::evidence::{ImageIdentity, Stage};
use crate::spec;
use crate::spec::test::instance::Capacity;

/// Looks that must find nothing before it is believed that nothing is there.
const LOOKS: u8 = 3;
/// Between looks at a booting instance.
const BOOT_EVERY: Duration = Duration::from_secs(15);
/// Between looks at the metrics of a soak.
const SOAK_EVERY: Duration = Duration::from_mins(1);
/// Between looks at anything that moves fast.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The resting places of a test. `commands` are the ids of the checks' commands so far, in the order of the spec; of a
/// check that was tried again, the last one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Test {
    /// No instance is known. One may have been launched: its client token finds it again.
    Launching,
    /// No Spot instance was to be had. An on-demand one may have been launched: its client token finds it again.
    LaunchingOnDemand,
    /// The instance was launched at `since`.
    Booting { instance: String, since: Timestamp },
    /// The instance is up, and the commands so far were sent; another check's may have been: its mark finds it.
    Checking { instance: String, commands: Vec<String> },
    /// As before; one of the commands was sent at `since`, or found then, none later.
    Running { instance: String, commands: Vec<String>, since: Timestamp },
    /// One of the commands should have ended by itself, and did not: all that go on are to be cancelled.
    Overdue { instance: String, commands: Vec<String> },
    /// Systems Manager was asked, at `since` for the last time, to cancel the commands that went on.
    Cancelling { instance: String, commands: Vec<String>, since: Timestamp },
    /// All checks passed, and the instance is watched since `since`.
    Soaking { instance: String, commands: Vec<String>, since: Timestamp },
    /// Nothing more is to be run. `given_up`: some of the commands may not have ended. `soak`: how the watching ended.
    Terminating {
        instance: String,
        commands: Vec<String>,
        given_up: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<Soaked>,
    },
    /// EC2 was asked to terminate the instance.
    Ending {
        instance: String,
        commands: Vec<String>,
        given_up: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<Soaked>,
    },
    /// The instance is gone or going. Only the hand-over is left.
    Sealing {
        instance: String,
        commands: Vec<String>,
        given_up: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<Soaked>,
    },
    /// A container image is tested in a task: where that stands.
    Task { task: TaskTest },
    /// Unwinding: an instance may have been launched; `looks` looks in a row did not find one running.
    Recalling { looks: u8, why: Failure },
    /// Unwinding: the instance is to be terminated; `looks` looks in a row did not find it at all.
    Withdrawing { instance: String, looks: u8, why: Failure },
    /// Unwinding: EC2 was asked to terminate the instance.
    Withdrawn { instance: String, why: Failure },
}

/// What a test works from.
#[derive(Debug)]
pub enum Ground {
    /// A machine image, which is tested on an instance.
    Instance(Box<Inputs>),
    /// A container image, which is tested in a task.
    Task(Box<task::Inputs>),
}

/// What the test of a machine image works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub test: spec::Test,
    /// The release's image in the worker's region.
    pub image: ImageIdentity,
    /// What is run for every check.
    pub orders: Vec<Order>,
}

impl StageMachine for Test {
    const STAGE: Stage = Stage::Test;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Ground, StageError> {
        let release = Release::open(cx, Stage::Test, at).await?;
        let test = release.spec.test().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        cx.act_in(Stage::Test, test.environment.as_deref()).await?;
        if let Some(task) = test.task.clone() {
            let image = release.container_in(cx.aws.region())?.clone();
            return Ok(Ground::Task(Box::new(task::Inputs { release, test, task, image })));
        }
        let image = release.image_in(cx.aws.region())?.clone();
        let orders = order::all(&test.checks, &release.artifact.files)?;
        Ok(Ground::Instance(Box::new(Inputs { release, test, image, orders })))
    }

    fn recover_lost_first_slice(why: Failure) -> Option<Self> {
        Some(TaskTest::recover_lost_first_slice(why).into())
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Recalling { looks, why } => back::recalling(cx, looks, why).await,
            Self::Withdrawing { instance, looks, why } => back::withdrawing(cx, instance, looks, why).await,
            Self::Withdrawn { instance, why } => back::withdrawn(cx, instance, why).await,
            Self::Task { task } => task.unwind_without_inputs(cx).await,
            forward @ (Self::Launching
            | Self::LaunchingOnDemand
            | Self::Booting { .. }
            | Self::Checking { .. }
            | Self::Running { .. }
            | Self::Overdue { .. }
            | Self::Cancelling { .. }
            | Self::Soaking { .. }
            | Self::Terminating { .. }
            | Self::Ending { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&forward)),
        }
    }
}

impl Machine for Test {
    type Inputs = Ground;
    type Context = Cx;

    fn start(ground: &Ground) -> Self {
        match ground {
            Ground::Instance(_) => Self::Launching,
            Ground::Task(_) => TaskTest::Registering.into(),
        }
    }

    fn timeout(ground: &Ground) -> Duration {
        match ground {
            Ground::Instance(inputs) => inputs.test.timeout.as_duration(),
            Ground::Task(inputs) => inputs.test.timeout.as_duration(),
        }
    }

    fn unwind(self, why: Failure) -> Self {
        match self {
            Self::Launching | Self::LaunchingOnDemand => Self::Recalling { looks: 0, why },
            Self::Booting { instance, .. }
            | Self::Checking { instance, .. }
            | Self::Running { instance, .. }
            | Self::Overdue { instance, .. }
            | Self::Cancelling { instance, .. }
            | Self::Soaking { instance, .. }
            | Self::Terminating { instance, .. }
            | Self::Ending { instance, .. } => Self::Withdrawing { instance, looks: 0, why },
            Self::Task { task } => task.unwind(why).into(),
            // Of a sealing test the instance is gone, so nothing is left to undo; the others are unwinding already.
            Self::Sealing { .. }
            | Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. } => self,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Launching
            | Self::LaunchingOnDemand
            | Self::Booting { .. }
            | Self::Checking { .. }
            | Self::Running { .. }
            | Self::Overdue { .. }
            | Self::Cancelling { .. }
            | Self::Soaking { .. }
            | Self::Terminating { .. }
            | Self::Ending { .. }
            | Self::Sealing { .. } => false,
            Self::Recalling { .. } | Self::Withdrawing { .. } | Self::Withdrawn { .. } => true,
            Self::Task { task } => task.is_unwinding(),
        }
    }

    async fn step(self, ground: &Ground, cx: &Cx) -> Result<Step<Self>, StageError> {
        if self.is_unwinding() {
            return self.unwind_without_inputs(cx).await;
        }
        let (state, inputs) = match (self, ground) {
            (Self::Task { task }, Ground::Task(inputs)) => return task.step(inputs, cx).await,
            (Self::Task { .. }, Ground::Instance(_)) | (_, Ground::Task(_)) => {
                return Err(StageError::Bug("a token of another kind of test than the spec's".to_owned()));
            }
            (instance, Ground::Instance(inputs)) => (instance, inputs),
        };
        match state {
            Self::Launching => {
                let capacity = inputs.test.instance.as_ref().map(|instance| instance.capacity);
                forward::launching(inputs, cx, capacity == Some(Capacity::PreferSpot)).await
            },
            Self::LaunchingOnDemand => forward::launching(inputs, cx, false).await,
            Self::Booting { instance, since } => forward::booting(inputs, cx, instance, since).await,
            Self::Checking { instance, commands } => {
                let since = cx.now();
                checks::checking(inputs, cx, instance, commands, since).await
            }
            Self::Running { instance, commands, since } => {
                checks::checking(inputs, cx, instance, commands, since).await
            }
            Self::Overdue { instance, commands } => checks::overdue(cx, instance, commands).await,
            Self::Cancelling { instance, commands, since } => {
                checks::cancelling(cx, instance, commands, since).await
            }
            Self::Soaking { instance, commands, since } => {
                forward::soaking(inputs, cx, instance, commands, since).await
            }
            Self::Terminating { instance, commands, given_up, soak } => {
                forward::terminating(cx, instance, commands, given_up, soak).await
            }
            Self::Ending { instance, commands, given_up, soak } => {
                forward::ending(cx, instance, commands, given_up, soak).await
            }
            Self::Sealing { instance, commands, given_up, soak } => {
                forward::sealing(inputs, cx, &instance, &commands, given_up, soak).await
            }
            back @ (Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. }
            | Self::Task { .. }) => back.unwind_without_inputs(cx).await,
        }
    }
}

fn progress(percent: u8, summary: String, id: &str) -> Progress {
    Progress { percent, summary, external_id: Some(id.to_owned()) }
}
