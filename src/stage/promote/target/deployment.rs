//! The closed set of deployments: every kind of target, with every way to deploy to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auto_scaling_group::GroupError;
use super::auto_scaling_group::begin::{Begun, FirstState, begin};
use super::auto_scaling_group::world::World;
use super::auto_scaling_group::{self as group, BlueGreen, Canary, Rolling, Waves};
use super::contract::{Abandon, Advance, Begin, DeploymentTarget, Description, ReadBack, Rollback, Version};
use crate::engine::machine::UNWINDING_GRACE;
use crate::engine::{StageError, Timestamp};
use crate::stage::context::Cx;
use crate::stage::promote::analysis::input::Sides;
use crate::stage::promote::check::Check;
use crate::stage::promote::inputs::Inputs;

/// A deployment, by its target and its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Deployment {
    /// An instance refresh of an Auto Scaling group.
    AsgRolling(Rolling),
    /// A canary group beside a baseline group; an instance refresh follows.
    AsgCanary(Canary),
    /// Two Auto Scaling groups that alternate, by the weights of a load balancer.
    AsgBlueGreen(BlueGreen),
    /// Further Auto Scaling groups, wave by wave, after the first one.
    AsgWaves(Waves),
}

impl DeploymentTarget for Deployment {
    type World = World;

    async fn observe(inputs: &Inputs, cx: &Cx) -> Result<World, StageError> {
        group::world::observe(inputs, cx).await
    }

    fn preflight(inputs: &Inputs, world: &World) -> Result<Vec<Check>, StageError> {
        Ok(group::preflight::check(&inputs.settings, inputs.subject.machine_image()?, world))
    }

    async fn begin(inputs: &Inputs, world: &World, cx: &Cx) -> Result<Begin<Self>, StageError> {
        Ok(match begin(inputs, world, cx).await? {
            Begun::New(way) => Begin::New(way.into()),
            Begun::Adopted(way) => Begin::Adopted(way.into()),
            Begun::Unneeded(way) => Begin::Unneeded(way.into()),
            Begun::Impossible => Begin::Impossible,
        })
    }

    async fn advance(self, inputs: &Inputs, began: Timestamp, cx: &Cx) -> Result<Advance<Self>, StageError> {
        Ok(match self {
            Self::AsgRolling(state) => state.advance(inputs, cx).await?.map(Self::AsgRolling),
            Self::AsgCanary(state) => match state.advance(inputs, cx).await? {
                Advance::Done(Canary::Removed { rollout }) => {
                    Advance::Next(Self::AsgRolling(Rolling::Starting { rollout }))
                }
                other => other.map(Self::AsgCanary),
            },
            Self::AsgBlueGreen(state) => state.advance(inputs, cx).await?.map(Self::AsgBlueGreen),
            Self::AsgWaves(state) => state.advance(inputs, began, cx).await?.map(Self::AsgWaves),
        })
    }

    fn passed(self, inputs: &Inputs, now: Timestamp) -> Self {
        match self {
            Self::AsgRolling(state) => Self::AsgRolling(state.passed(&inputs.settings, now)),
            Self::AsgCanary(state) => Self::AsgCanary(state.passed()),
            Self::AsgBlueGreen(state) => Self::AsgBlueGreen(state.passed(&inputs.settings)),
            Self::AsgWaves(state) => Self::AsgWaves(state.passed(&inputs.settings, now)),
        }
    }

    fn seen_healthy(self, now: Timestamp) -> Self {
        match self {
            Self::AsgWaves(state) => Self::AsgWaves(state.seen_healthy(now)),
            other @ (Self::AsgRolling(_) | Self::AsgCanary(_) | Self::AsgBlueGreen(_)) => other,
        }
    }

    fn abandon(self) -> Abandon<Self> {
        match self {
            Self::AsgRolling(state) => state.abandon().map(Self::AsgRolling),
            Self::AsgCanary(state) => state.abandon().map(Self::AsgCanary),
            Self::AsgBlueGreen(state) => state.abandon().map(Self::AsgBlueGreen),
            Self::AsgWaves(state) => state.abandon().map(Self::AsgWaves),
        }
    }

    async fn roll_back(self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        Ok(match self {
            Self::AsgRolling(state) => state.roll_back(inputs, cx).await?.map(Self::AsgRolling),
            Self::AsgCanary(state) => state.roll_back(cx).await?.map(Self::AsgCanary),
            Self::AsgBlueGreen(state) => state.roll_back(inputs, cx).await?.map(Self::AsgBlueGreen),
            Self::AsgWaves(state) => state.roll_back(inputs, cx).await?.map(Self::AsgWaves),
        })
    }

    fn rollback_grace(&self) -> Duration {
        match self {
            Self::AsgWaves(state) => state.rollback_grace(),
            Self::AsgRolling(_) | Self::AsgCanary(_) | Self::AsgBlueGreen(_) => UNWINDING_GRACE,
        }
    }

    async fn read_back(
        &self,
        version: Version,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> Result<Option<ReadBack>, StageError> {
        match self {
            Self::AsgRolling(state) => state.read_back(version, inputs, cx).await,
            Self::AsgCanary(state) => state.read_back(inputs, cx).await,
            Self::AsgBlueGreen(state) => state.read_back(version, inputs, cx).await,
            Self::AsgWaves(state) => state.read_back(version, inputs, cx).await,
        }
    }

    fn following(&self, inputs: &Inputs, now: Timestamp) -> Option<Self> {
        match self {
            Self::AsgRolling(state) => Waves::after(state.rollout()?, inputs, now).map(Self::AsgWaves),
            Self::AsgCanary(_) | Self::AsgBlueGreen(_) | Self::AsgWaves(_) => None,
        }
    }

    async fn metric_sides(&self, inputs: &Inputs, cx: &Cx) -> Result<Option<Sides>, StageError> {
        match self {
            Self::AsgBlueGreen(state) => state.metric_sides(inputs, cx).await,
            // The two groups of a canary analysis are named after the execution alone.
            Self::AsgCanary(_) | Self::AsgRolling(_) | Self::AsgWaves(_) => {
                Canary::metric_sides(inputs, cx).await
            }
        }
    }

    async fn describe(&self, inputs: &Inputs, promoted: bool, cx: &Cx) -> Result<Description, StageError> {
        let rollout = match self {
            Self::AsgRolling(state) => state.rollout(),
            Self::AsgCanary(state) => state.rollout(),
            Self::AsgBlueGreen(state) => state.rollout(),
            Self::AsgWaves(state) => Some(state.rollout()),
        };
        let rollout =
            rollout.ok_or_else(|| GroupError::NothingChanged { deployment: format!("{self:?}") })?;
        group::describe::describe(rollout, inputs, promoted, cx).await
    }

    fn describe_refused(inputs: &Inputs, world: &World, cx: &Cx) -> Description {
        group::describe::refused(inputs, world, cx)
    }

    fn external_id(&self) -> Option<String> {
        match self {
            Self::AsgRolling(state) => state.rollout().and_then(|rollout| rollout.refresh.clone()),
            Self::AsgWaves(state) => state.rollout().refresh.clone(),
            Self::AsgCanary(_) | Self::AsgBlueGreen(_) => None,
        }
    }
}

impl From<FirstState> for Deployment {
    fn from(state: FirstState) -> Self {
        match state {
            FirstState::Rolling(state) => Self::AsgRolling(state),
            FirstState::Canary(state) => Self::AsgCanary(state),
            FirstState::BlueGreen(state) => Self::AsgBlueGreen(state),
        }
    }
}
