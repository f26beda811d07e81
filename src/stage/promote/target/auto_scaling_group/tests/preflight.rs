//! Which groups the preflight refuses, and when a fleet is ready.

use std::collections::BTreeMap;

use super::super::preflight::check;
use super::super::world::World;
use crate::evidence::ImageIdentity;
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::{Group, GroupInstance, LaunchSource, Lifecycle};
use crate::stage::aws_view::images::ImageView;
use crate::stage::aws_view::instance_refreshes::{Refresh, Status};
use crate::stage::aws_view::target_health::TargetProblem;
use crate::stage::promote::tests::{NEW, OLD, TEMPLATE, settings};

fn identity(id: &str) -> ImageIdentity {
    ImageIdentity {
        account: "123456789012".into(),
        creation_date: "2026-11-02T10:00:00.000Z".into(),
        image_id: id.into(),
        name: format!("web {id}"),
        region: "eu-west-1".into(),
    }
}

fn instance(id: &str) -> GroupInstance {
    GroupInstance {
        id: id.into(),
        lifecycle: Lifecycle::InService,
        healthy: true,
        template: Some((TEMPLATE.into(), "7".into())),
        protected: false,
    }
}

fn group() -> Group {
    Group {
        arn: "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web".into(),
        launch_source: LaunchSource::Template { id: TEMPLATE.into(), version: "7".into() },
        min: 2,
        max: 8,
        desired: 4,
        status: None,
        suspended: vec!["AZRebalance".into()],
        instances: ["i-1", "i-2", "i-3", "i-4"].map(instance).into(),
        target_groups: ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1".to_owned()]
            .into(),
    }
}

fn targets() -> BTreeMap<String, BTreeMap<String, Option<TargetProblem>>> {
    let each = group().instances.into_iter().map(|instance| (instance.id, None)).collect();
    group().target_groups.into_iter().map(|arn| (arn, BTreeMap::clone(&each))).collect()
}

fn world() -> World {
    let view = |id| Some(ImageView { identity: identity(id), state: "available".into() });
    World {
        group: Some(group()),
        template_image: Some(OLD.into()),
        previous: view(OLD),
        image: view(NEW),
        refreshes: vec![refresh(Status::Successful)],
        alarms: vec![AlarmState::Ok],
        targets: targets(),
        alternate: None,
        waves: Vec::new(),
        adopted: None,
    }
}

fn refresh(status: Status) -> Refresh {
    Refresh { id: "r-1".into(), status, reason: String::new(), percent: 0, started: 0, brings: None }
}

#[test]
fn preflight_passes_a_group_that_can_be_rolled_back() {
    let checks = check(&settings(), &identity(NEW), &world());
    let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
    assert_eq!((checks.len(), broken), (11, vec![]));
}

#[test]
fn preflight_refuses_each_thing_that_would_stop_a_rollback() {
    type Change = fn(&mut World);
    type WorldChange = Box<dyn Fn(&mut World)>;
    fn with(change: impl Fn(&mut Group)) -> impl Fn(&mut World) {
        move |world| change(world.group.as_mut().unwrap())
    }
    let cases: Vec<(&str, WorldChange)> = vec![
        ("group_exists", Box::new((|world| world.group = None) as Change)),
        ("group_exists", Box::new(with(|group| group.status = Some("Delete in progress".into())))),
        ("template_version_is_a_number", Box::new(with(|group| group.launch_source = LaunchSource::Mixed))),
        (
            "template_version_is_a_number",
            Box::new(with(|g| g.launch_source = LaunchSource::Configuration("lc".into()))),
        ),
        ("template_version_is_a_number", Box::new(with(|group| group.launch_source = LaunchSource::Nothing))),
        (
            "template_version_is_a_number",
            Box::new(with(|g| {
                g.launch_source = LaunchSource::Template { id: TEMPLATE.into(), version: "$Latest".into() }
            })),
        ),
        (
            "template_image_is_an_ami",
            Box::new((|w| w.template_image = Some("resolve:ssm:/web".into())) as Change),
        ),
        ("template_image_is_an_ami", Box::new((|world| world.template_image = None) as Change)),
        ("previous_image_is_available", Box::new((|world| world.previous = None) as Change)),
        (
            "previous_image_is_available",
            Box::new((|world| world.previous.as_mut().unwrap().state = "disabled".into()) as Change),
        ),
        ("new_image_is_available", Box::new((|world| world.image = None) as Change)),
        (
            "new_image_is_available",
            Box::new((|w| w.image.as_mut().unwrap().state = "pending".into()) as Change),
        ),
        (
            "new_image_is_available",
            Box::new(
                (|w| w.image.as_mut().unwrap().identity.creation_date = "2026-11-03T10:00:00Z".into())
                    as Change,
            ),
        ),
        ("no_refresh_in_progress", Box::new((|w| w.refreshes.push(refresh(Status::Baking))) as Change)),
        ("no_needed_process_suspended", Box::new(with(|group| group.suspended.push("Launch".into())))),
        ("every_instance_can_be_replaced", Box::new(with(|group| group.instances[1].protected = true))),
        ("capacity_has_head_room", Box::new(with(|group| group.max = 4))),
        ("capacity_has_head_room", Box::new(with(|group| group.instances.truncate(3)))),
        (
            "capacity_has_head_room",
            Box::new(with(|group| {
                group.desired = 0;
                group.instances.clear();
            })),
        ),
        (
            "target_groups_are_in_use",
            Box::new(
                (|world| {
                    let targets = world.targets.values_mut().next().unwrap();
                    targets.insert(
                        "i-1".into(),
                        Some(TargetProblem { state: "unused".into(), not_in_use: true }),
                    );
                }) as Change,
            ),
        ),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmState::Alarm]) as Change)),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmState::InsufficientData]) as Change)),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmState::Gone]) as Change)),
        ("alarms_are_ok", Box::new((|world| world.alarms.clear()) as Change)),
    ];
    for (index, (name, change)) in cases.iter().enumerate() {
        let mut world = world();
        change(&mut world);
        let checks = check(&settings(), &identity(NEW), &world);
        let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
        assert_eq!(broken.iter().map(|check| check.check).collect::<Vec<_>>(), [*name], "case {index}");
        assert!(broken.iter().all(|check| !check.hint.is_empty()), "case {index}");
    }
    let mut standby = world();
    standby
        .group
        .as_mut()
        .unwrap()
        .instances
        .push(GroupInstance { lifecycle: Lifecycle::Standby, ..instance("i-5") });
    let checks = check(&settings(), &identity(NEW), &standby);
    assert!(
        checks
            .iter()
            .any(|c| c.check == "every_instance_can_be_replaced" && !c.holds && c.observed.contains("i-5"))
    );
}

#[test]
fn preflight_refuses_wave_groups_that_cannot_be_restored() {
    type Change = fn(&mut Group);
    let mut fit = world();
    fit.waves = vec![("web-b".to_owned(), Some(group()))];
    let checks = check(&settings(), &identity(NEW), &fit);
    assert!(checks.iter().all(|check| check.holds) && checks.len() == 12);
    let changed: [(&str, Change); 6] = [
        ("web-b has the status `Delete in progress`", |g| g.status = Some("Delete in progress".into())),
        ("web-b launches version $Latest", |g| {
            g.launch_source = LaunchSource::Template { id: TEMPLATE.into(), version: "$Latest".into() };
        }),
        ("web-b has a mixed instances policy", |g| g.launch_source = LaunchSource::Mixed),
        ("web-b has suspended processes: Launch", |g| g.suspended.push("Launch".into())),
        ("web-b: protected from scale-in: i-2", |g| g.instances[1].protected = true),
        ("web-b: 4 of 4 desired instances in service, 4 at most", |g| g.max = 4),
    ];
    for (expected, with) in changed {
        let mut world = fit.clone();
        with(world.waves[0].1.as_mut().unwrap());
        let checks = check(&settings(), &identity(NEW), &world);
        let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
        let [broken] = broken[..] else { panic!("{expected}: {broken:?}") };
        assert!(broken.observed.starts_with(expected), "{expected}: {}", broken.observed);
    }
    fit.waves[0].1 = None;
    let checks = check(&settings(), &identity(NEW), &fit);
    assert!(checks.iter().any(|check| !check.holds && check.observed == "web-b does not exist"));
}

fn fleet(image: &str) -> FleetView {
    let images = group().instances.into_iter().map(|instance| (instance.id, image.to_owned())).collect();
    FleetView { group: group(), images, targets: targets() }
}

#[test]
fn a_fleet_is_ready_only_when_every_instance_is() {
    type Change = fn(&mut FleetView);
    assert_eq!(fleet(NEW).not_ready(NEW), None);
    assert_eq!(fleet(OLD).not_ready(NEW).as_deref(), Some("4 on ami-00000000000000001"));
    let changed: [(&str, Change); 7] = [
        ("1 on ami-00000000000000001", |c| drop(c.images.insert("i-2".into(), OLD.into()))),
        ("1 on an image that is not known yet", |c| drop(c.images.remove("i-2"))),
        ("3 of 4 in service", |c| c.group.instances[3].lifecycle = Lifecycle::Terminating),
        ("3 of 4 in service", |c| c.group.instances[3].lifecycle = Lifecycle::Launching),
        ("i-1 unhealthy", |c| c.group.instances[0].healthy = false),
        ("i-1 not registered with targetgroup/web/1", |c| {
            c.targets.values_mut().for_each(|targets| drop(targets.remove("i-1")));
        }),
        ("i-1 draining in targetgroup/web/1", |c| {
            let problem = TargetProblem { state: "draining".into(), not_in_use: false };
            c.targets
                .values_mut()
                .for_each(|targets| drop(targets.insert("i-1".into(), Some(problem.clone()))));
        }),
    ];
    for (expected, with) in changed {
        let mut fleet = fleet(NEW);
        with(&mut fleet);
        assert_eq!(fleet.not_ready(NEW).as_deref(), Some(expected));
    }
}

#[test]
fn the_share_is_a_percentage_of_the_desired_capacity() {
    let mut group = group();
    assert_eq!((group.share_of(TEMPLATE, 7), group.share_of(TEMPLATE, 8)), (100, 0));
    group.instances[0].template = Some((TEMPLATE.into(), "8".into()));
    assert_eq!(group.share_of(TEMPLATE, 8), 25);
    group.instances[0].lifecycle = Lifecycle::Launching;
    assert_eq!(group.share_of(TEMPLATE, 8), 0);
}
