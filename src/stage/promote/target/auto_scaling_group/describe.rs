//! What the statement and the reports say of Auto Scaling groups.

use std::collections::BTreeMap;

use super::preflight::all_ok;
use super::rollout::Rollout;
use super::wave_groups;
use super::world::World;
use crate::engine::StageError;
use crate::evidence::predicate::{AutoScalingGroupChange, Change, Preflight, Target, Units};
use crate::stage::aws_view::groups::{self, Group, Lifecycle};
use crate::stage::aws_view::images;
use crate::stage::context::Cx;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::settings::Way;
use crate::stage::promote::target::Description;

/// The description of groups once the deployment is over; `promoted` says how it ended.
///
/// # Errors
/// A read failed.
pub async fn describe(
    rollout: &Rollout,
    inputs: &Inputs,
    promoted: bool,
    cx: &Cx,
) -> Result<Description, StageError> {
    let (plan, settings) = (&rollout.plan, &inputs.settings);
    let names = plan.groups(settings);
    let name = if promoted { names.new } else { names.old };
    let group = groups::group(&cx.aws, name).await?;
    let previous = images::image(&cx.aws, &plan.old).await?.map(|image| image.identity);
    let waves = wave_groups::read_back(inputs).await?;
    let mut variables = BTreeMap::from([
        ("LaunchTemplateVersion".to_owned(), rollout.to.to_string()),
        ("TargetName".to_owned(), names.new.to_owned()),
        ("PreviousImage".to_owned(), plan.old.clone()),
    ]);
    if let Some(refresh) = &rollout.refresh {
        variables.insert("InstanceRefreshId".to_owned(), refresh.clone());
    }
    Ok(Description {
        target: target(name, group.as_ref(), inputs, cx),
        previous,
        change: Some(Change {
            auto_scaling_group: Some(AutoScalingGroupChange {
                launch_template: plan.template.clone(),
                previous_version: plan.from.to_string(),
                version: rollout.to.to_string(),
                instance_refresh_id: rollout.refresh.clone(),
            }),
        }),
        units: None,
        waves,
        preflight: passed_checks(rollout, inputs),
        reason: reason(rollout, inputs),
        variables,
    })
}

/// The description of a group that the preflight refused.
#[must_use]
pub fn refused(inputs: &Inputs, world: &World, cx: &Cx) -> Description {
    let units = world.group.as_ref().map(|group| {
        let in_service = group.instances.iter().filter(|one| one.lifecycle == Lifecycle::InService);
        let healthy = in_service.clone().filter(|instance| instance.healthy).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Units { total: count(in_service.count()), updated: 0, healthy: count(healthy) }
    });
    Description {
        target: target(&inputs.settings.group, world.group.as_ref(), inputs, cx),
        previous: world.previous.as_ref().map(|image| image.identity.clone()),
        change: None,
        units,
        waves: Vec::new(),
        preflight: Vec::new(),
        reason: String::new(),
        variables: BTreeMap::new(),
    }
}

fn target(name: &str, group: Option<&Group>, inputs: &Inputs, cx: &Cx) -> Target {
    // Without the group, its account is most likely that of the image.
    let account = match group {
        Some(group) => group.account().to_owned(),
        None => inputs.subject.machine_image().map(|image| image.account.clone()).unwrap_or_default(),
    };
    Target {
        kind: "auto_scaling_group".to_owned(),
        name: name.to_owned(),
        uri: group.map(|group| group.arn.clone()),
        account,
        region: cx.aws.region().to_owned(),
    }
}

/// Why the promotion succeeded.
fn reason(rollout: &Rollout, inputs: &Inputs) -> String {
    let settings = &inputs.settings;
    if !settings.waves.is_empty() {
        return format!(
            "every instance of {} groups in {} waves after the first runs the image",
            settings.groups(),
            settings.waves.len()
        );
    }
    match (&rollout.refresh, settings.way) {
        (_, Way::BlueGreen) if rollout.to != rollout.plan.from => {
            "the image has all traffic, on instances that are all healthy".to_owned()
        }
        (Some(_), _) => "every instance in service runs the image and is healthy".to_owned(),
        (None, _) => "every instance in service ran the image already and is healthy".to_owned(),
    }
}

/// The checks that passed: a rollout exists only when every check passed.
fn passed_checks(rollout: &Rollout, inputs: &Inputs) -> Vec<Preflight> {
    let (plan, settings) = (&rollout.plan, &inputs.settings);
    let [desired, max] = plan.size;
    let passed = |check: &str, observed: String| Preflight { check: check.to_owned(), holds: true, observed };
    let serves = plan.groups(settings).old;
    let of_way = match settings.way {
        Way::BlueGreen => [
            passed("weights_are_on_one_group", format!("all on {serves}")),
            passed("alternate_group_is_empty", "it was empty".to_owned()),
        ],
        Way::Rolling | Way::CanaryThenRolling => [
            passed("every_instance_can_be_replaced", "none on standby, none protected".to_owned()),
            passed("capacity_has_head_room", format!("{desired} desired, {max} at most")),
        ],
    };
    let mut checks = vec![
        passed("group_exists", format!("{serves} with {desired} desired instances")),
        passed("template_version_is_a_number", format!("version {} of {}", plan.from, plan.template)),
        passed("template_image_is_an_ami", format!("version {} launches {}", plan.from, plan.old)),
        passed("previous_image_is_available", format!("{} is available", plan.old)),
        passed("new_image_is_available", format!("{} is available", inputs.subject)),
        passed("no_refresh_in_progress", "none".to_owned()),
        passed("no_needed_process_suspended", "none".to_owned()),
    ];
    checks.extend(of_way);
    checks.extend([
        passed("target_groups_are_in_use", "all".to_owned()),
        passed("alarms_are_ok", all_ok(settings.alarms.len())),
    ]);
    if !settings.waves.is_empty() {
        let groups = settings.groups() - 1;
        checks.push(passed("wave_groups_can_be_changed", format!("{groups} groups")));
    }
    checks
}
