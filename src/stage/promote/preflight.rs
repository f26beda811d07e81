//! What must hold before the first instance changes: above all, that the change can be undone.
//!
//! A rollback goes back to the group's saved configuration, and only when that names a numbered launch template
//! version with a literal AMI (Auto Scaling user guide, "Undo changes with a rollback").

use std::collections::BTreeMap;

use super::check::{Check, hindered};
use super::log::AlarmLetter;
use super::observe::{Ailment, Group, ImageView, Launches, Life};
use super::refresh::Refresh;
use super::turns::Turns;
use crate::engine::FailureKind;
use crate::evidence::ImageIdentity;
use crate::spec::GroupPromotion;

/// The world before a promotion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The group; none if there is none of this name.
    pub group: Option<Group>,
    /// `ImageId` of the group's template version, as written there.
    pub template_image: Option<String>,
    /// The image of that name, if it is a literal AMI that exists.
    pub previous: Option<ImageView>,
    /// The image to promote, in this region.
    pub image: Option<ImageView>,
    pub refreshes: Vec<Refresh>,
    /// In the order of the spec.
    pub alarms: Vec<AlarmLetter>,
    /// Targets by target group and instance.
    pub targets: BTreeMap<String, BTreeMap<String, Option<Ailment>>>,
    /// With `blue_green`: the two groups that take turns, of which `group` is the one that serves.
    pub turns: Option<Turns>,
    /// The groups of the waves by name, in the order of the spec.
    pub following: Vec<(String, Option<Group>)>,
}

/// Whether a group's template version is a number.
#[must_use]
pub fn number(version: &str) -> Option<i64> {
    version.parse().ok().filter(|number| *number > 0)
}

/// Every check, in a fixed order. Without a group, there is only the first.
#[must_use]
pub fn check(promote: &GroupPromotion, image: &ImageIdentity, world: &World) -> Vec<Check> {
    every(promote, Some(image), world)
}

/// Every check that needs no new image: what can be known before a release is baked.
#[must_use]
pub fn standing(promote: &GroupPromotion, world: &World) -> Vec<Check> {
    every(promote, None, world)
}

fn every(promote: &GroupPromotion, image: Option<&ImageIdentity>, world: &World) -> Vec<Check> {
    let Some(group) = &world.group else {
        return vec![wrong(
            "group_exists",
            false,
            format!("there is no Auto Scaling group {} in this account and region", promote.group),
            "correct promote.group in the spec, or the region and role of the worker",
        )];
    };
    let mut checks = vec![exists(promote, group)];
    checks.extend(rollback(world, group));
    checks.extend(image.map(|image| new_image(image, world)));
    checks.push(no_refresh(world));
    checks.push(processes(group));
    match &world.turns {
        // No instance is replaced.
        Some(turns) => checks.extend(turns.checks()),
        None => checks.extend([instances(group), capacity(promote, group)]),
    }
    checks.push(in_use(world));
    checks.push(alarms(promote, world));
    if !world.following.is_empty() {
        checks.push(following(promote, world));
    }
    checks
}

/// That the groups of the waves are such that they can be changed and taken back, as far as their list tells. Each is
/// looked at again, and whole, when its turn comes.
fn following(promote: &GroupPromotion, world: &World) -> Check {
    let wrong_of = |(name, group): &(String, Option<Group>)| unfit(promote, name, group.as_ref());
    let unfit: Vec<String> = world.following.iter().filter_map(wrong_of).collect();
    let names: Vec<&str> = unfit.iter().map(String::as_str).collect();
    wrong(
        "groups_of_the_waves_are_fit",
        unfit.is_empty(),
        if unfit.is_empty() { format!("{} groups", world.following.len()) } else { few(&names) },
        "every group of promote.waves must exist and launch a numbered version of a launch template, with no process \
         suspended and no instance protected or on standby",
    )
}

/// What is wrong with a group of a wave, if anything is.
fn unfit(promote: &GroupPromotion, name: &str, group: Option<&Group>) -> Option<String> {
    let Some(group) = group else { return Some(format!("{name} does not exist")) };
    if let Some(status) = &group.status {
        return Some(format!("{name} has the status `{status}`"));
    }
    match &group.launches {
        Launches::Template { version, .. } if number(version).is_some() => {}
        Launches::Template { version, .. } => return Some(format!("{name} launches version {version}")),
        Launches::Mixed => return Some(format!("{name} has a mixed instances policy")),
        Launches::Configuration(_) | Launches::Nothing => {
            return Some(format!("{name} launches from no launch template"));
        }
    }
    let suspended = hindered(group);
    if !suspended.is_empty() {
        return Some(format!("{name} has suspended processes: {}", suspended.join(", ")));
    }
    let checks = [instances(group), capacity(promote, group)];
    checks.iter().find(|check| !check.holds).map(|check| format!("{name}: {}", check.observed))
}

fn wrong(check: &'static str, holds: bool, observed: String, hint: &'static str) -> Check {
    Check { check, holds, observed, hint, kind: FailureKind::ConfigurationError }
}

fn passing(check: &'static str, holds: bool, observed: String, hint: &'static str) -> Check {
    Check { check, holds, observed, hint, kind: FailureKind::JobFailed }
}

fn exists(promote: &GroupPromotion, group: &Group) -> Check {
    match &group.status {
        Some(status) => wrong(
            "group_exists",
            false,
            format!("the group {} has the status `{status}`", promote.group),
            "promote to a group that is not being deleted",
        ),
        None => wrong(
            "group_exists",
            true,
            format!("{} has {} instances, {} desired", promote.group, group.instances.len(), group.desired),
            "",
        ),
    }
}

/// That the group's saved configuration is one AWS rolls back to, and one that still launches.
fn rollback(world: &World, group: &Group) -> Vec<Check> {
    const TEMPLATE: &str = "template_version_is_a_number";
    const LITERAL: &str = "template_image_is_an_ami";
    const PREVIOUS: &str = "previous_image_is_available";
    let refuse = |observed: String, hint| vec![wrong(TEMPLATE, false, observed, hint)];
    let (id, version) = match &group.launches {
        Launches::Template { id, version } => (id, version),
        Launches::Mixed => {
            return refuse(
                "the group uses a mixed instances policy".into(),
                "promotion by template version does not cover mixed instances policies; use a launch template",
            );
        }
        Launches::Configuration(name) => {
            return refuse(
                format!("the group uses the launch configuration {name}"),
                "move the group to a launch template: launch configurations cannot be refreshed to and rolled back",
            );
        }
        Launches::Nothing => {
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
    let mut checks = vec![wrong(TEMPLATE, true, format!("version {version} of {id}"), "")];
    let hint = "put the id of the AMI into the template version: AWS does not roll back to an SSM parameter";
    let literal = world.template_image.as_deref().is_some_and(|image| image.starts_with("ami-"));
    let written = world.template_image.as_deref().unwrap_or("nothing");
    checks.push(wrong(LITERAL, literal, format!("version {version} of {id} launches {written}"), hint));
    if literal {
        let state = world.previous.as_ref().map(|image| image.state.as_str());
        checks.push(wrong(
            PREVIOUS,
            state == Some("available"),
            format!("{written} {}", state.map_or("does not exist".to_owned(), |state| format!("is {state}"))),
            "there is nothing to roll back to: enable or restore the image the group runs now",
        ));
    }
    checks
}

/// That the image can be launched here, and is the very one that was baked and tested.
fn new_image(image: &ImageIdentity, world: &World) -> Check {
    const NAME: &str = "new_image_is_available";
    let id = &image.image_id;
    match &world.image {
        None => {
            let hint = "bake again, or share the image with this account and region";
            passing(NAME, false, format!("{id} does not exist here"), hint)
        }
        Some(found) if found.identity != *image => {
            let other = &found.identity;
            let seen = format!(
                "{id} is `{}` of {}, created {}, and not the image the statements speak of",
                other.name, other.account, other.creation_date
            );
            passing(NAME, false, seen, "find out who replaced the image; do not promote it")
        }
        Some(found) => {
            let hint = "wait until it is available, or enable it again";
            passing(NAME, found.state == "available", format!("{id} is {}", found.state), hint)
        }
    }
}

fn no_refresh(world: &World) -> Check {
    let running = world.refreshes.iter().find(|refresh| !refresh.status.is_over());
    passing(
        "no_refresh_in_progress",
        running.is_none(),
        running.map_or("none".into(), |other| {
            let brings = other
                .brings
                .as_ref()
                .map_or("no template".into(), |(id, at)| format!("version {at} of {id}"));
            format!("{} is {} and brings {brings}", other.id, other.status.name())
        }),
        "it is not this action's: wait until it has ended, or cancel it",
    )
}

fn processes(group: &Group) -> Check {
    let suspended = hindered(group);
    wrong(
        "no_needed_process_suspended",
        suspended.is_empty(),
        if suspended.is_empty() { "none".into() } else { format!("suspended: {}", suspended.join(", ")) },
        "resume them: while they are suspended a refresh replaces nothing or goes on without health checks",
    )
}

fn instances(group: &Group) -> Check {
    let names = |wanted: &dyn Fn(&super::observe::Member) -> bool| {
        let ids: Vec<&str> = group.instances.iter().filter(|i| wanted(i)).map(|i| i.id.as_str()).collect();
        ids
    };
    let standby = names(&|instance| instance.life == Life::Standby);
    let protected = names(&|instance| instance.protected && instance.life != Life::Leaving);
    let mut observed = Vec::new();
    if !standby.is_empty() {
        observed.push(format!("on standby: {}", few(&standby)));
    }
    if !protected.is_empty() {
        observed.push(format!("protected from scale-in: {}", few(&protected)));
    }
    wrong(
        "every_instance_can_be_replaced",
        observed.is_empty(),
        if observed.is_empty() { "none on standby, none protected".into() } else { observed.join("; ") },
        "a refresh would leave them on the old image: return them to service and take the protection away",
    )
}

/// At most five of many, so that a message stays readable.
fn few(ids: &[&str]) -> String {
    let shown: Vec<&str> = ids.iter().copied().take(5).collect();
    let more = ids.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// That there is something to refresh, and room to launch before terminating.
fn capacity(promote: &GroupPromotion, group: &Group) -> Check {
    let in_service = group.instances.iter().filter(|instance| instance.life == Life::InService).count();
    let peak = u64::from(group.desired) * u64::from(promote.max_healthy_percent) / 100;
    // When the share rounds down to nothing, AWS still launches one instance before it terminates one.
    let needed =
        if promote.max_healthy_percent > 100 { peak.max(u64::from(group.desired) + 1) } else { peak };
    let observed = format!(
        "{in_service} of {} desired instances in service, {} at most, {needed} needed",
        group.desired, group.max
    );
    let hint = if group.desired == 0 {
        "a group of no instances proves nothing: raise its desired capacity"
    } else if (in_service as u64) < u64::from(group.desired) {
        "wait until the group has its desired capacity in service"
    } else {
        "raise the group's maximum size, or lower promote.max_healthy_percent"
    };
    let holds =
        group.desired > 0 && in_service as u64 >= u64::from(group.desired) && needed <= u64::from(group.max);
    wrong("capacity_has_head_room", holds, observed, hint)
}

fn in_use(world: &World) -> Check {
    let unused: Vec<&str> = world
        .targets
        .iter()
        .filter(|(_, targets)| targets.values().flatten().any(|ailment| ailment.not_in_use))
        .map(|(arn, _)| arn.rsplit(':').next().unwrap_or(arn))
        .collect();
    wrong(
        "target_groups_are_in_use",
        unused.is_empty(),
        if unused.is_empty() {
            format!("{} target groups", world.targets.len())
        } else {
            format!("no load balancer sends to {}", few(&unused))
        },
        "attach the target group to a listener, or take it off the group: its targets never become healthy",
    )
}

/// So many alarms, of which none is red.
pub(super) fn all_ok(alarms: usize) -> String {
    match alarms {
        1 => "1 alarm, OK".to_owned(),
        alarms => format!("{alarms} alarms, each OK"),
    }
}

fn alarms(promote: &GroupPromotion, world: &World) -> Check {
    let states = promote.alarms.iter().enumerate();
    let not_ok: Vec<(&str, AlarmLetter)> = states
        .map(|(at, name)| (name.as_str(), world.alarms.get(at).copied().unwrap_or(AlarmLetter::Unread)))
        .filter(|(_, state)| *state != AlarmLetter::Ok)
        .collect();
    let gone = not_ok.iter().any(|(_, state)| *state == AlarmLetter::Gone);
    let observed: Vec<String> = not_ok
        .iter()
        .map(|(name, state)| match state {
            AlarmLetter::Gone => format!("{name} does not exist"),
            state => format!("{name} is {}", state.name()),
        })
        .collect();
    Check {
        check: "alarms_are_ok",
        holds: not_ok.is_empty(),
        observed: if not_ok.is_empty() { all_ok(promote.alarms.len()) } else { observed.join("; ") },
        hint: if gone {
            "correct promote.alarms: a missing alarm never goes off"
        } else {
            "an alarm that is not OK before the change cannot judge it: mend what it watches first"
        },
        kind: if gone { FailureKind::ConfigurationError } else { FailureKind::JobFailed },
    }
}
