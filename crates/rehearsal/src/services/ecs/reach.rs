//! Connections to a task's address: which container responds, and how.

use std::time::Duration;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::container::Container;
use super::task::Task;

/// The outcome of a connection to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No task has the address: packets are lost.
    Nobody,
    /// A task has the address, but nothing listens on the port.
    Refused,
    Answer {
        status: u16,
        body: String,
    },
}

/// Sends a request for a path to a port of an address.
#[must_use]
pub fn knock(world: &World, address: &str, port: u16, path: &str) -> Reached {
    let has_address =
        |task: &&Task| task.interface.address.as_deref() == Some(address) && !task.has_stopped();
    let Some(task) = world.ecs.tasks.values().find(has_address) else { return Reached::Nobody };
    let listens = |container: &&Container| {
        container.declared.port_mappings.iter().any(|mapping| mapping.container_port == Some(port))
            && since(container, world.now).is_some()
    };
    let Some(container) = task.containers.iter().find(listens) else { return Reached::Refused };
    let since = since(container, world.now).unwrap_or_default();
    let rule = container.behavior.answers.iter().find(|rule| {
        rule.port.is_none_or(|wanted| wanted == port)
            && path.starts_with(&rule.path)
            && rule.duration.is_none_or(|duration| since < duration.duration())
    });
    match rule {
        Some(rule) => Reached::Answer { status: rule.status, body: rule.body.clone() },
        None => Reached::Answer { status: 200, body: "ok".to_owned() },
    }
}

/// How long a container has been listening; `None` if it is not.
fn since(container: &Container, now: Time) -> Option<Duration> {
    let runs = now - container.started.filter(|_| container.is_running())?;
    container.behavior.listens.then_some(())?;
    runs.checked_sub(container.behavior.start.duration())
}
