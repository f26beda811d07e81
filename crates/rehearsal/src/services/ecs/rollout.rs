//! Reconciliation of services: starts missing tasks, replaces old and unhealthy ones, fails or rolls back a
//! deployment.
//!
//! Implements the rolling update of the developer guide: new tasks are started up to the maximum, and old ones are
//! stopped as far as the minimum allows.

use std::time::Duration;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{float, percent_up};
use super::container::Health;
use super::run::{Start, begin};
use super::service::{Deployment, Rollout, Service, Status};
use super::task::{self, Task};
use super::{Event, enter, life, task_definition};

/// The delay before a service replaces failed tasks.
const PAUSE: Duration = Duration::from_secs(10);

/// Reconciles the service of a changed task.
pub(super) fn look_after(world: &mut World, at: Time, group: &str, cluster: &str) {
    let Some(name) = group.strip_prefix("service:") else { return };
    let service =
        world.ecs.services.values().find(|service| service.name == name && service.cluster == cluster);
    let Some((service, is_idle)) = service.map(|service| (service.arn.clone(), service.is_gone())) else {
        return;
    };
    if !is_idle {
        count_failures(world, &service);
        let waits = world.schedule.contains(
            |event| matches!(event, super::world::Event::Ecs(Event::Scheduled(known)) if *known == service),
        );
        if !waits {
            let pause = if fails(world, &service) { PAUSE } else { Duration::ZERO };
            enter(world, at + pause, Event::Scheduled(service));
        }
    }
}

fn fails(world: &World, service: &str) -> bool {
    let service = world.ecs.services.get(service);
    service.and_then(|service| service.deployments.first()).is_some_and(|deployment| deployment.failed > 0)
}

/// The tasks that a deployment started.
fn tasks<'w>(world: &'w World, service: &Service, deployment: &str) -> impl Iterator<Item = &'w Task> {
    let cluster = service.cluster.clone();
    let deployment = deployment.to_owned();
    world
        .ecs
        .tasks
        .values()
        .filter(move |task| task.cluster == cluster && task.started_by.as_ref() == Some(&deployment))
}

/// Counts the newest deployment's tasks that stopped unexpectedly; a healthy task resets the count.
fn count_failures(world: &mut World, arn: &str) {
    let Some(service) = world.ecs.services.get(arn) else { return };
    let Some(first) = service.deployments.first() else { return };
    let by_itself = |task: &&Task| {
        task.stop
            .as_ref()
            .is_some_and(|stop| stop.code != "UserInitiated" && !stop.reason.starts_with("Scaling"))
    };
    let failed = tasks(world, service, &first.id).filter(by_itself).count();
    if let Some(first) = world.ecs.services.get_mut(arn).and_then(|service| service.deployments.first_mut()) {
        first.failed =
            if first.rollout == Rollout::Completed { 0 } else { failed.try_into().unwrap_or(u64::MAX) };
    }
}

/// Whether a task counts as running and healthy in a rollout.
fn is_good(task: &Task) -> bool {
    let checked = task.containers.iter().any(|container| container.declared.health_check.is_some());
    task.is_wanted() && task.status == task::Status::Running && (!checked || task.health() == Health::Healthy)
}

/// Reconciles a service once.
pub(super) fn reconcile(world: &mut World, at: Time, arn: &str) {
    replace_unhealthy(world, at, arn);
    let Some(service) = world.ecs.services.get(arn).cloned() else { return };
    let Some(first) = service.deployments.first().cloned() else { return };
    let desired = usize::try_from(service.desired).unwrap_or(usize::MAX);
    let mine: Vec<&str> = service.deployments.iter().map(|deployment| deployment.id.as_str()).collect();
    let wanted = |world: &World, id: &str| tasks(world, &service, id).filter(|task| task.is_wanted()).count();
    let all: usize = mine.iter().map(|id| wanted(world, id)).sum();
    let new = wanted(world, &first.id);
    if turns_back(world, &service, &first) {
        enter(world, at, Event::Scheduled(arn.to_owned()));
        return;
    }
    // Start the newest deployment's missing tasks, up to the maximum.
    let most = desired.saturating_mul(service.limits.maximum_percent) / 100;
    let lacks = desired.saturating_sub(new).min(most.saturating_sub(all));
    if service.status == Status::Active && first.rollout != Rollout::Failed && lacks > 0 {
        launch(world, arn, &service, &first, lacks);
    }
    // Stop old tasks, down to the minimum. Surplus tasks of the newest deployment are stopped at once.
    let old: Vec<&Task> = mine
        .iter()
        .skip(1)
        .flat_map(|id| tasks(world, &service, id))
        .filter(|task| task.is_wanted())
        .collect();
    let good = mine.iter().flat_map(|id| tasks(world, &service, id)).filter(|task| is_good(task)).count();
    let least = percent_up(desired, service.limits.minimum_healthy_percent);
    let mut spare = good.saturating_sub(least);
    let mut going = Vec::new();
    for task in old {
        if !is_good(task) {
            going.push(task.arn.clone());
        } else if spare > 0 {
            spare -= 1;
            going.push(task.arn.clone());
        }
    }
    let surplus = tasks(world, &service, &first.id).filter(|task| task.is_wanted());
    going.extend(surplus.skip(desired).map(|task| task.arn.clone()));
    for task in going {
        let reason = format!("Scaling activity initiated by (deployment {})", first.id);
        life::stop(world, at, &task, "ServiceSchedulerInitiated", reason);
    }
    settle(world, at, arn);
}

/// Stops tasks whose containers fail their health checks.
fn replace_unhealthy(world: &mut World, at: Time, arn: &str) {
    let Some(service) = world.ecs.services.get(arn) else { return };
    let group = service.group();
    let sick: Vec<String> = world
        .ecs
        .tasks
        .values()
        .filter(|task| task.cluster == service.cluster && task.group == group && task.is_wanted())
        .filter(|task| task.health() == Health::Unhealthy)
        .map(|task| task.arn.clone())
        .collect();
    for task in sick {
        let reason = "Task failed container health checks".to_owned();
        life::stop(world, at, &task, "ServiceSchedulerInitiated", reason);
    }
    count_failures(world, arn);
}

fn launch(world: &mut World, arn: &str, service: &Service, deployment: &Deployment, count: usize) {
    let found = task_definition::find(&world.ecs.definitions, &service.place, &deployment.definition);
    let Some(definition) = found.cloned() else { return };
    let mut started = 0;
    for _ in 0..count {
        let start = Start {
            cluster: service.cluster.clone(),
            definition: &definition,
            network: &service.network,
            started_by: Some(deployment.id.clone()),
            group: service.group(),
            overrides: serde_json::Map::new(),
            tags: super::super::support::Tags::new(),
        };
        if !world.ecs.options.no_capacity && begin(world, &service.place, start).is_ok() {
            started += 1;
        }
    }
    let message = if started == count {
        format!("(service {}) has started {started} tasks.", service.name)
    } else {
        format!("(service {}) was unable to place a task.", service.name)
    };
    say(world, arn, message);
}

/// The deployment circuit breaker: its threshold is half the desired count, at least 3 and at most 200 consecutive
/// failures. Returns whether it failed the deployment.
fn turns_back(world: &mut World, service: &Service, first: &Deployment) -> bool {
    let breaker = service.limits.deployment_circuit_breaker;
    let threshold =
        (float(usize::try_from(service.desired).unwrap_or(usize::MAX)) * 0.5).ceil().clamp(3.0, 200.0);
    let failed = float(usize::try_from(first.failed).unwrap_or(usize::MAX));
    if !breaker.enable || first.rollout != Rollout::InProgress || failed < threshold {
        return false;
    }
    let back = service.steady_at.clone().filter(|_| breaker.rollback);
    let deployment = back.map(|definition| Deployment::new(world, definition));
    if let Some(service) = world.ecs.services.get_mut(&service.arn) {
        if let Some(first) = service.deployments.first_mut() {
            first.rollout = Rollout::Failed;
            "ECS deployment circuit breaker: tasks failed to start.".clone_into(&mut first.reason);
        }
        if let Some(deployment) = deployment {
            service.deployments.insert(0, deployment);
        }
    }
    say(
        world,
        &service.arn,
        format!(
            "(service {}) (deployment {}) deployment failed: tasks failed to start.",
            service.name, first.id
        ),
    );
    true
}

/// Removes old deployments without tasks, completes the newest once all its tasks are healthy, and ends a drained
/// service.
fn settle(world: &mut World, at: Time, arn: &str) {
    let Some(service) = world.ecs.services.get(arn).cloned() else { return };
    let desired = usize::try_from(service.desired).unwrap_or(usize::MAX);
    let live = |id: &str| tasks(world, &service, id).filter(|task| !task.has_stopped()).count();
    let empty: Vec<String> = service
        .deployments
        .iter()
        .skip(1)
        .filter(|deployment| live(&deployment.id) == 0)
        .map(|deployment| deployment.id.clone())
        .collect();
    let Some(first) = service.deployments.first() else { return };
    let good = tasks(world, &service, &first.id).filter(|task| is_good(task)).count();
    let all_live: usize = service.deployments.iter().map(|deployment| live(&deployment.id)).sum();
    let completes = first.rollout == Rollout::InProgress
        && good >= desired
        && service.deployments.len() == empty.len() + 1;
    let Some(service) = world.ecs.services.get_mut(arn) else { return };
    service.deployments.retain(|deployment| !empty.contains(&deployment.id));
    if service.status == Status::Draining && all_live == 0 {
        service.status = Status::Inactive;
    }
    let name = service.name.clone();
    if let Some(first) = service.deployments.first_mut().filter(|_| completes) {
        first.rollout = Rollout::Completed;
        first.updated = at;
        first.failed = 0;
        service.steady_at = Some(first.definition.clone());
        first.reason = format!("ECS deployment {} completed.", first.id);
        let message = format!("(service {name}) has reached a steady state.");
        say(world, arn, message);
    }
}

fn say(world: &mut World, arn: &str, message: String) {
    let event = (world.ids.uuid(), world.now, message);
    if let Some(service) = world.ecs.services.get_mut(arn) {
        service.events.push(event);
    }
}
