//! The test stage. A machine image is tested on one instance, a container image in one task. The stage runs the spec's
//! checks, ends the instance or task, and signs the test result.

pub mod checks;
mod instance;
mod state;
mod task;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::instance::InstanceInputs;
use self::state::task::TaskTest;
pub use self::state::{SoakResult, Test};
use self::task::TaskInputs;
use super::handover::Release;
use super::{Cx, StageMachine, not_unwinding};
use crate::engine::{Failure, Machine, StageError, Step, Timestamp};
use crate::evidence::Stage;

/// What a test works from.
#[derive(Debug)]
pub enum Inputs {
    /// A machine image, tested on an instance.
    Instance(Box<InstanceInputs>),
    /// A container image, tested in a task.
    Task(Box<TaskInputs>),
}

impl StageMachine for Test {
    const STAGE: Stage = Stage::Test;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Test, at).await?;
        let test = release.spec.test().map_err(StageError::config)?.clone();
        cx.act_in(Stage::Test, test.environment.as_deref()).await?;
        if let Some(task) = test.task.clone() {
            let image = release.container_in(cx.aws.region())?.clone();
            return Ok(Inputs::Task(Box::new(TaskInputs { release, test, task, image })));
        }
        let image = release.image_in(cx.aws.region())?.clone();
        Ok(Inputs::Instance(Box::new(InstanceInputs::new(release, test, image)?)))
    }

    fn recover_lost_first_slice(reason: Failure) -> Option<Self> {
        // Nobody knows whether the first slice tested a container image or a machine image: look for both.
        Some(TaskTest::UndoFindingDefinitions { empty_reads: 0, then_instances: true, reason }.into())
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::UndoFindingInstances { empty_reads, reason } => {
                instance::undo::find_instances(cx, empty_reads, reason).await
            }
            Self::UndoTerminating { instance, empty_reads, reason } => {
                instance::undo::terminate(cx, instance, empty_reads, reason).await
            }
            Self::UndoConfirmingTermination { instance, reason } => {
                instance::undo::confirm_termination(cx, instance, reason).await
            }
            Self::Task { task } => task::unwind_without_inputs(task, cx).await,
            forward @ (Self::Launching { .. }
            | Self::LaunchingOnDemand { .. }
            | Self::Booting { .. }
            | Self::SendingChecks { .. }
            | Self::RunningChecks { .. }
            | Self::Overdue { .. }
            | Self::CancellingChecks { .. }
            | Self::Soaking { .. }
            | Self::Terminating { .. }
            | Self::ConfirmingTermination { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&forward)),
        }
    }
}

impl Machine for Test {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(inputs: &Inputs) -> Self {
        match inputs {
            Inputs::Instance(_) => Self::Launching { subnet: 0 },
            Inputs::Task(_) => TaskTest::Registering.into(),
        }
    }

    fn timeout(inputs: &Inputs) -> Duration {
        match inputs {
            Inputs::Instance(inputs) => inputs.test.timeout.as_duration(),
            Inputs::Task(inputs) => inputs.test.timeout.as_duration(),
        }
    }

    fn unwind(self, reason: Failure) -> Self {
        self.undo(reason)
    }

    fn is_unwinding(&self) -> bool {
        self.is_undo()
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        if self.is_undo() {
            return self.unwind_without_inputs(cx).await;
        }
        match (self, inputs) {
            (Self::Task { task }, Inputs::Task(inputs)) => task::step(task, inputs, cx).await,
            (Self::Task { .. }, Inputs::Instance(_)) | (_, Inputs::Task(_)) => {
                Err(StageError::bug("the token belongs to the other kind of test"))
            }
            (state, Inputs::Instance(inputs)) => instance::step(state, inputs, cx).await,
        }
    }
}
