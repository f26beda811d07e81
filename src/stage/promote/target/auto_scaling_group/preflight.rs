//! The preflight: what must be true before the first instance is replaced, above all that the change can be undone.
//!
//! AWS rolls an instance refresh back to the group's saved configuration, and only when that names a numbered launch
//! template version with an AMI id (Auto Scaling user guide, "Undo changes with a rollback").

use super::processes::suspended_processes;
use super::world::{World, read_group, serving_group};
use crate::aws::Aws;
use crate::engine::{FailureKind, StageError, Timestamp};
use crate::evidence::ImageIdentity;
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::groups::{Group, GroupInstance, LaunchSource, Lifecycle};
use crate::stage::aws_view::launch_templates::number;
use crate::stage::promote::check::Check;
use crate::stage::promote::settings::{Settings, WaveSettings};

/// The preflight of a promotion that began now, without the checks of the new image: for whoever asks before there is
/// a release.
///
/// # Errors
/// A read failed.
pub async fn examine(aws: &Aws, settings: &Settings, now: Timestamp) -> Result<Vec<Check>, StageError> {
    let found = serving_group(settings, aws).await?;
    // A wave of another environment is checked when the promotion acts in it.
    let waves: Vec<(&WaveSettings, Aws)> = settings
        .waves
        .iter()
        .filter(|wave| wave.environment.is_none())
        .map(|wave| {
            (wave, wave.region.as_deref().map_or_else(|| aws.clone(), |region| aws.in_region(region)))
        })
        .collect();
    let world = read_group(settings, None, found, &waves, (aws, now)).await?;
    Ok(check_without_image(settings, &world))
}

/// Every check, in a fixed order. Without a group there is only the first one.
#[must_use]
pub fn check(settings: &Settings, image: &ImageIdentity, world: &World) -> Vec<Check> {
    all(settings, Some(image), world)
}

/// Every check that needs no new image.
#[must_use]
pub fn check_without_image(settings: &Settings, world: &World) -> Vec<Check> {
    all(settings, None, world)
}

fn all(settings: &Settings, image: Option<&ImageIdentity>, world: &World) -> Vec<Check> {
    let Some(group) = &world.group else {
        return vec![Check::of_configuration(
            "group_exists",
            false,
            format!("there is no Auto Scaling group {} in this account and region", settings.group),
            "correct promote.target in the spec, or the Region and the role of the environment",
        )];
    };
    let mut checks = vec![exists(settings, group)];
    checks.extend(rollback(world, group));
    checks.extend(image.map(|image| new_image(image, world)));
    checks.push(no_refresh(world));
    checks.push(processes(group));
    match &world.alternate {
        // No instance is replaced.
        Some(alternate) => checks.extend(alternate.checks()),
        None => checks.extend([instances(group), capacity(settings, group)]),
    }
    checks.push(in_use(world));
    checks.push(alarms(settings, world));
    if !world.waves.is_empty() {
        checks.push(waves(settings, world));
    }
    checks
}

/// That the groups of the waves can be changed and restored, as far as one list shows. Each group gets a preflight of
/// its own before it is changed.
fn waves(settings: &Settings, world: &World) -> Check {
    let problem_of = |(name, group): &(String, Option<Group>)| unfit(settings, name, group.as_ref());
    let unfit: Vec<String> = world.waves.iter().filter_map(problem_of).collect();
    let names: Vec<&str> = unfit.iter().map(String::as_str).collect();
    Check::of_configuration(
        "wave_groups_can_be_changed",
        unfit.is_empty(),
        if unfit.is_empty() { format!("{} groups", world.waves.len()) } else { few(&names) },
        "every group of promote.waves must exist and launch a numbered version of a launch template, with no process \
         suspended and no instance protected or on standby",
    )
}

/// Why a group of a wave cannot take the image, if it cannot.
fn unfit(settings: &Settings, name: &str, group: Option<&Group>) -> Option<String> {
    let Some(group) = group else { return Some(format!("{name} does not exist")) };
    if let Some(status) = &group.status {
        return Some(format!("{name} has the status `{status}`"));
    }
    match &group.launch_source {
        LaunchSource::Template { version, .. } if number(version).is_some() => {}
        LaunchSource::Template { version, .. } => return Some(format!("{name} launches version {version}")),
        LaunchSource::Mixed => return Some(format!("{name} has a mixed instances policy")),
        LaunchSource::Configuration(_) | LaunchSource::Nothing => {
            return Some(format!("{name} launches from no launch template"));
        }
    }
    let suspended = suspended_processes(group);
    if !suspended.is_empty() {
        return Some(format!("{name} has suspended processes: {}", suspended.join(", ")));
    }
    let checks = [instances(group), capacity(settings, group)];
    checks.iter().find(|check| !check.holds).map(|check| format!("{name}: {}", check.observed))
}

fn exists(settings: &Settings, group: &Group) -> Check {
    match &group.status {
        Some(status) => Check::of_configuration(
            "group_exists",
            false,
            format!("the group {} has the status `{status}`", settings.group),
            "promote to a group that is not being deleted",
        ),
        None => Check::of_configuration(
            "group_exists",
            true,
            format!("{} has {} instances, {} desired", settings.group, group.instances.len(), group.desired),
            "",
        ),
    }
}

/// That AWS rolls back to the group's saved configuration, and that its image still launches.
fn rollback(world: &World, group: &Group) -> Vec<Check> {
    const TEMPLATE: &str = "template_version_is_a_number";
    const LITERAL: &str = "template_image_is_an_ami";
    const PREVIOUS: &str = "previous_image_is_available";
    let refuse = |observed: String, hint| vec![Check::of_configuration(TEMPLATE, false, observed, hint)];
    let (id, version) = match &group.launch_source {
        LaunchSource::Template { id, version } => (id, version),
        LaunchSource::Mixed => {
            return refuse(
                "the group uses a mixed instances policy".into(),
                "promotion by template version does not cover mixed instances policies; use a launch template",
            );
        }
        LaunchSource::Configuration(name) => {
            return refuse(
                format!("the group uses the launch configuration {name}"),
                "move the group to a launch template: launch configurations cannot be refreshed to and rolled back",
            );
        }
        LaunchSource::Nothing => {
            return refuse(
                "the group names no launch template by id".into(),
                "give the group a launch template",
            );
        }
    };
    if number(version).is_none() {
        return refuse(
            format!("the group launches version `{version}` of {id}"),
            "set the group to a version number: AWS rolls back neither from $Latest nor from $Default",
        );
    }
    let mut checks = vec![Check::of_configuration(TEMPLATE, true, format!("version {version} of {id}"), "")];
    let hint = "put the id of the AMI into the template version: AWS does not roll back to an SSM parameter";
    let literal = world.template_image.as_deref().is_some_and(|image| image.starts_with("ami-"));
    let written = world.template_image.as_deref().unwrap_or("nothing");
    checks.push(Check::of_configuration(
        LITERAL,
        literal,
        format!("version {version} of {id} launches {written}"),
        hint,
    ));
    if literal {
        let state = world.previous.as_ref().map(|image| image.state.as_str());
        checks.push(Check::of_configuration(
            PREVIOUS,
            state == Some("available"),
            format!("{written} {}", state.map_or("does not exist".to_owned(), |state| format!("is {state}"))),
            "a rollback needs it: enable or restore the image that the group runs now",
        ));
    }
    checks
}

/// That the image can be launched here, and is the one that was baked and tested.
fn new_image(image: &ImageIdentity, world: &World) -> Check {
    const NAME: &str = "new_image_is_available";
    let id = &image.image_id;
    match &world.image {
        None => {
            let hint = "bake again, or share the image with this account and region";
            Check::of_state(NAME, false, format!("{id} does not exist here"), hint)
        }
        Some(found) if found.identity != *image => {
            let other = &found.identity;
            let seen = format!(
                "{id} is `{}` of {}, created {}, and not the image that the statements name",
                other.name, other.account, other.creation_date
            );
            Check::of_state(NAME, false, seen, "find out who replaced the image; do not promote it")
        }
        Some(found) => {
            let hint = "wait until it is available, or enable it again";
            Check::of_state(NAME, found.state == "available", format!("{id} is {}", found.state), hint)
        }
    }
}

fn no_refresh(world: &World) -> Check {
    let running = world.refreshes.iter().find(|refresh| !refresh.status.is_over());
    Check::of_state(
        "no_refresh_in_progress",
        running.is_none(),
        running.map_or("none".into(), |other| {
            let brings = other
                .brings
                .as_ref()
                .map_or("no template".into(), |(id, at)| format!("version {at} of {id}"));
            format!("{} is {} and brings {brings}", other.id, other.status.name())
        }),
        "another process started it: wait until it has ended, or cancel it",
    )
}

fn processes(group: &Group) -> Check {
    let suspended = suspended_processes(group);
    Check::of_configuration(
        "no_needed_process_suspended",
        suspended.is_empty(),
        if suspended.is_empty() { "none".into() } else { format!("suspended: {}", suspended.join(", ")) },
        "resume them: while they are suspended, a refresh replaces nothing or continues without health checks",
    )
}

fn instances(group: &Group) -> Check {
    let names = |wanted: &dyn Fn(&GroupInstance) -> bool| {
        let ids: Vec<&str> =
            group.instances.iter().filter(|one| wanted(one)).map(|one| one.id.as_str()).collect();
        ids
    };
    let standby = names(&|instance| instance.lifecycle == Lifecycle::Standby);
    let protected = names(&|instance| instance.protected && instance.lifecycle != Lifecycle::Terminating);
    let mut observed = Vec::new();
    if !standby.is_empty() {
        observed.push(format!("on standby: {}", few(&standby)));
    }
    if !protected.is_empty() {
        observed.push(format!("protected from scale-in: {}", few(&protected)));
    }
    Check::of_configuration(
        "every_instance_can_be_replaced",
        observed.is_empty(),
        if observed.is_empty() { "none on standby, none protected".into() } else { observed.join("; ") },
        "an instance refresh would leave them on the old image: return them to service and remove the protection",
    )
}

/// At most five of many, so that a message stays readable.
fn few(ids: &[&str]) -> String {
    let shown: Vec<&str> = ids.iter().copied().take(5).collect();
    let more = ids.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// That the group has instances, and room to launch one before one is terminated.
fn capacity(settings: &Settings, group: &Group) -> Check {
    let total = group.instances.iter().filter(|instance| instance.lifecycle == Lifecycle::InService).count();
    let peak = u64::from(group.desired) * u64::from(settings.max_healthy_percent) / 100;
    // When the percentage rounds down to no instance, AWS still launches one before it terminates one.
    let needed =
        if settings.max_healthy_percent > 100 { peak.max(u64::from(group.desired) + 1) } else { peak };
    let observed = format!(
        "{total} of {} desired instances in service, {} at most, {needed} needed",
        group.desired, group.max
    );
    let hint = if group.desired == 0 {
        "a group without instances cannot be analyzed: raise its desired capacity"
    } else if (total as u64) < u64::from(group.desired) {
        "wait until the group has its desired capacity in service"
    } else {
        "raise the group's maximum size, or lower promote.rolling.max_healthy_percent"
    };
    let holds =
        group.desired > 0 && total as u64 >= u64::from(group.desired) && needed <= u64::from(group.max);
    Check::of_configuration("capacity_has_head_room", holds, observed, hint)
}

fn in_use(world: &World) -> Check {
    let unused: Vec<&str> = world
        .targets
        .iter()
        .filter(|(_, targets)| targets.values().flatten().any(|ailment| ailment.not_in_use))
        .map(|(arn, _)| arn.rsplit(':').next().unwrap_or(arn))
        .collect();
    Check::of_configuration(
        "target_groups_are_in_use",
        unused.is_empty(),
        if unused.is_empty() {
            format!("{} target groups", world.targets.len())
        } else {
            format!("no load balancer forwards to {}", few(&unused))
        },
        "attach the target group to a listener, or detach it from the group: its targets never become healthy",
    )
}

/// The number of alarms that are all OK, in words.
#[must_use]
pub fn all_ok(alarms: usize) -> String {
    match alarms {
        1 => "1 alarm, OK".to_owned(),
        alarms => format!("{alarms} alarms, each OK"),
    }
}

fn alarms(settings: &Settings, world: &World) -> Check {
    let states = settings.alarms.iter().enumerate();
    let not_ok: Vec<(&str, AlarmState)> = states
        .map(|(at, name)| (name.as_str(), world.alarms.get(at).copied().unwrap_or(AlarmState::Unread)))
        .filter(|(_, state)| *state != AlarmState::Ok)
        .collect();
    let gone = not_ok.iter().any(|(_, state)| *state == AlarmState::Gone);
    let observed: Vec<String> = not_ok
        .iter()
        .map(|(name, state)| match state {
            AlarmState::Gone => format!("{name} does not exist"),
            state => format!("{name} is {}", state.name()),
        })
        .collect();
    Check {
        check: "alarms_are_ok",
        holds: not_ok.is_empty(),
        observed: if not_ok.is_empty() { all_ok(settings.alarms.len()) } else { observed.join("; ") },
        hint: if gone {
            "correct promote.analysis.alarms: an alarm that does not exist never goes off"
        } else {
            "an alarm that is not OK before the deployment cannot judge it: fix what it monitors first"
        },
        kind: if gone { FailureKind::ConfigurationError } else { FailureKind::JobFailed },
    }
}
