//! The life cycle of a task: network interface, image pull, containers, stop.

use std::time::Duration;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::container::Health;
use super::pull::{self, Pulled};
use super::task::{Status, Stop};
use super::{Event, enter, rollout};

/// The time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
/// The time from the end of the containers until the network interface is deleted.
const DETACHING: Duration = Duration::from_secs(12);
/// How long a stopped task is still described.
const DESCRIBED: Duration = Duration::from_hours(1);

pub(super) fn on_event(world: &mut World, at: Time, event: Event) {
    let task = match &event {
        Event::Exited { task, .. }
        | Event::Checked { task, .. }
        | Event::Attached(task)
        | Event::Pulled(task)
        | Event::Killed(task)
        | Event::Detached(task)
        | Event::Forgotten(task) => task.clone(),
        Event::Deleted { .. } | Event::Scheduled(_) => return,
    };
    match event {
        Event::Attached(_) => attached(world, at, &task),
        Event::Pulled(_) => pulled(world, at, &task),
        Event::Exited { container, code, .. } => exited(world, at, &task, container, code),
        Event::Checked { container, healthy, .. } => checked(world, &task, container, healthy),
        Event::Killed(_) => killed(world, at, &task),
        Event::Detached(_) => detached(world, at, &task),
        Event::Forgotten(_) => {
            world.ecs.tasks.remove(&task);
            return;
        }
        Event::Deleted { .. } | Event::Scheduled(_) => {}
    }
    if let Some(task) = world.ecs.tasks.get_mut(&task) {
        task.version += 1;
        let (group, cluster) = (task.group.clone(), task.cluster.clone());
        rollout::look_after(world, at, &group, &cluster);
    }
}

fn attached(world: &mut World, at: Time, arn: &str) {
    let address = free_address(world);
    let Some(task) = world.ecs.tasks.get(arn).filter(|task| task.status == Status::Provisioning) else {
        return;
    };
    // Images are pulled in parallel.
    let longest = task.images().map(|image| pull::seconds(world, image)).max().unwrap_or(0);
    if let Some(task) = world.ecs.tasks.get_mut(arn) {
        task.interface.address = Some(address);
        task.status = Status::Pending;
        task.pull.0 = Some(at);
    }
    enter(world, at + Duration::from_secs(longest), Event::Pulled(arn.to_owned()));
}

/// An unused private address.
fn free_address(world: &mut World) -> String {
    loop {
        let draw = world.ids.next();
        let address = format!("10.0.{}.{}", (draw >> 8) & 0x3f, 4 + draw % 250);
        let taken = |task: &super::Task| task.interface.address.as_deref() == Some(&address);
        if !world.ecs.tasks.values().any(taken) {
            return address;
        }
    }
}

fn pulled(world: &mut World, at: Time, arn: &str) {
    let Some(task) = world.ecs.tasks.get(arn).filter(|task| task.status == Status::Pending) else { return };
    let images: Vec<Result<Pulled, String>> = task.images().map(|image| pull::pull(world, image)).collect();
    if let Some(Err(why)) = images.iter().find(|image| image.is_err()) {
        let why = why.clone();
        fail_to_start(world, at, arn, &why);
        return;
    }
    let mut events = Vec::new();
    let runtime = arn.rsplit('/').next().unwrap_or_default();
    let Some(task) = world.ecs.tasks.get_mut(arn) else { return };
    task.pull.1 = Some(at);
    task.started = Some(at);
    task.status = Status::Running;
    let pairs = task.containers.iter_mut().zip(images.into_iter().flatten()).enumerate();
    for (number, (container, image)) in pairs {
        container.digest = Some(image.digest);
        container.behavior = image.behavior;
        container.runtime_id = Some(format!("{runtime}-{number:010}"));
        container.status = "RUNNING";
        container.started = Some(at);
        let task = || arn.to_owned();
        if let Some(exit) = container.exit() {
            let event = Event::Exited { task: task(), container: number, code: exit.exit_code };
            events.push((at + exit.after.duration(), event));
        }
        for (after, healthy) in
            container.declared.health_check.iter().flat_map(|check| check.results(&container.behavior))
        {
            events.push((at + after, Event::Checked { task: task(), container: number, healthy }));
        }
    }
    for (at, event) in events {
        enter(world, at, event);
    }
}

/// Stops a task whose images cannot be pulled, before any container starts.
fn fail_to_start(world: &mut World, at: Time, arn: &str, why: &str) {
    let Some(task) = world.ecs.tasks.get_mut(arn) else { return };
    task.pull.1 = Some(at);
    for container in &mut task.containers {
        container.end(None);
        container.reason = Some(why.to_owned());
    }
    task.stop = Some(Stop {
        code: "TaskFailedToStart",
        reason: why.to_owned(),
        asked: at,
        executed: Some(at),
        ended: None,
    });
    deprovision(world, at, arn);
}

fn deprovision(world: &mut World, at: Time, arn: &str) {
    if let Some(task) = world.ecs.tasks.get_mut(arn) {
        task.status = Status::Deprovisioning;
        if let Some(stop) = &mut task.stop {
            stop.executed.get_or_insert(at);
        }
    }
    enter(world, at + DETACHING, Event::Detached(arn.to_owned()));
}

fn exited(world: &mut World, at: Time, arn: &str, number: usize, code: i32) {
    let Some(task) = world.ecs.tasks.get_mut(arn) else { return };
    let Some(container) = task.containers.get_mut(number).filter(|c| c.is_running()) else { return };
    container.end(Some(code));
    if container.declared.essential || !task.containers.iter().any(super::container::Container::is_running) {
        stop(world, at, arn, "EssentialContainerExited", "Essential container in task exited".to_owned());
    }
}

fn checked(world: &mut World, arn: &str, number: usize, healthy: bool) {
    let container = world.ecs.tasks.get_mut(arn).and_then(|task| task.containers.get_mut(number));
    if let Some(container) = container.filter(|container| container.is_running()) {
        container.health = if healthy { Health::Healthy } else { Health::Unhealthy };
    }
}

/// Stops a task: SIGTERM now, SIGKILL later. No effect on a task that is already stopping.
pub(super) fn stop(world: &mut World, at: Time, arn: &str, code: &'static str, reason: String) {
    let Some(task) = world.ecs.tasks.get_mut(arn).filter(|task| task.stop.is_none()) else { return };
    task.stop = Some(Stop { code, reason, asked: at, executed: None, ended: None });
    task.version += 1;
    if task.status < Status::Running {
        for container in &mut task.containers {
            container.end(None);
        }
        deprovision(world, at, arn);
        return;
    }
    task.status = Status::Stopping;
    let running = task.containers.iter().filter(|container| container.is_running());
    let longest = running.map(|container| container.behavior.stop.duration()).max();
    enter(world, at + longest.unwrap_or_default().min(GRACE), Event::Killed(arn.to_owned()));
}

fn killed(world: &mut World, at: Time, arn: &str) {
    let Some(task) = world.ecs.tasks.get_mut(arn).filter(|task| task.status == Status::Stopping) else {
        return;
    };
    for container in task.containers.iter_mut().filter(|container| container.is_running()) {
        // The container exits on SIGTERM, or is killed by SIGKILL.
        let late = container.behavior.stop.duration() >= GRACE;
        container.end(Some(if late { 137 } else { 143 }));
    }
    deprovision(world, at, arn);
}

fn detached(world: &mut World, at: Time, arn: &str) {
    let Some(task) = world.ecs.tasks.get_mut(arn).filter(|task| task.status == Status::Deprovisioning) else {
        return;
    };
    task.status = Status::Stopped;
    if let Some(stop) = &mut task.stop {
        stop.ended = Some(at);
    }
    enter(world, at + DESCRIBED, Event::Forgotten(arn.to_owned()));
}
