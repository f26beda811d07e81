//! The first state of a deployment: new, adopted from an earlier slice, or unneeded.

use super::alternate::AlternateGroups;
use super::rollout::{Plan, Rollout};
use super::world::World;
use super::{BlueGreen, Canary, Rolling};
use crate::engine::StageError;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::LaunchSource;
use crate::stage::aws_view::launch_templates::number;
use crate::stage::context::Cx;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::settings::{Settings, Way};

/// The first state, by the way.
#[derive(Clone, Debug, PartialEq)]
pub enum FirstState {
    Rolling(Rolling),
    Canary(Canary),
    BlueGreen(BlueGreen),
}

/// How a deployment begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    New(FirstState),
    Adopted(FirstState),
    Unneeded(FirstState),
    Impossible,
}

/// The first state of the deployment, from what the preflight read.
///
/// # Errors
/// The fleet could not be read.
pub async fn begin(inputs: &Inputs, world: &World, cx: &Cx) -> Result<Begun, StageError> {
    let settings = &inputs.settings;
    if let Some(rollout) = &world.adopted {
        return Ok(Begun::Adopted(versioned(rollout.clone(), settings)));
    }
    let Some(plan) = plan(world) else { return Ok(Begun::Impossible) };
    if let Some(state) = unneeded(inputs, world, &plan, cx).await? {
        return Ok(Begun::Unneeded(state));
    }
    Ok(Begun::New(match settings.way {
        Way::Rolling => FirstState::Rolling(Rolling::Versioning { plan }),
        Way::CanaryThenRolling => FirstState::Canary(Canary::Versioning { plan }),
        Way::BlueGreen => FirstState::BlueGreen(BlueGreen::Versioning { plan }),
    }))
}

/// The state once the template version exists.
fn versioned(rollout: Rollout, settings: &Settings) -> FirstState {
    match settings.way {
        Way::Rolling => FirstState::Rolling(Rolling::Starting { rollout }),
        Way::CanaryThenRolling => FirstState::Canary(Canary::Launching { rollout, polls: 0 }),
        Way::BlueGreen => FirstState::BlueGreen(BlueGreen::Filling { rollout, polls: 0 }),
    }
}

/// The plan of a deployment to the group that serves; none if the group launches from no numbered template version.
fn plan(world: &World) -> Option<Plan> {
    let group = world.group.as_ref()?;
    let LaunchSource::Template { id, version } = &group.launch_source else { return None };
    Some(Plan {
        template: id.clone(),
        from: number(version)?,
        old: world.template_image.clone()?,
        size: [group.desired, group.max],
        swapped: world.alternate.as_ref().and_then(AlternateGroups::serving) == Some(1),
    })
}

/// The final state, when the group's template launches the image already and every instance runs it: a release that is
/// promoted again.
async fn unneeded(
    inputs: &Inputs,
    world: &World,
    plan: &Plan,
    cx: &Cx,
) -> Result<Option<FirstState>, StageError> {
    let image = inputs.subject.machine_image()?.image_id.as_str();
    let serving = plan.groups(&inputs.settings).old;
    let unfit = match &world.alternate {
        Some(alternate) => alternate.checks().iter().any(|check| !check.holds),
        None => world.refreshes.iter().any(|refresh| !refresh.status.is_over()),
    };
    if plan.old != image || unfit || FleetView::read(&cx.aws, serving).await?.not_ready(image).is_some() {
        return Ok(None);
    }
    let rollout = Rollout::new(plan.clone(), plan.from);
    if world.alternate.is_none() {
        return Ok(Some(FirstState::Rolling(Rolling::Refreshed { rollout })));
    }
    // The group that serves is the one that took over.
    let plan = Plan { swapped: !plan.swapped, ..plan.clone() };
    Ok(Some(FirstState::BlueGreen(BlueGreen::Emptied { rollout: Rollout { plan, ..rollout } })))
}
