//! The state of a task, and the outcome of its checks. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::super::checks::outcome::Invocation;
use super::super::checks::schedule::SentCheck;
use super::super::state::task::{Probe, ProbeAnswer};
use crate::spec::{Check, Task};

/// A task, as ECS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedTask {
    /// `lastStatus`: the actual status.
    pub last_status: String,
    /// `desiredStatus`: the status that ECS works toward.
    pub desired_status: String,
    pub health: String,
    pub stop_code: String,
    pub reason: String,
    /// The private IPv4 address.
    pub address: Option<IpAddr>,
    pub containers: Vec<DescribedContainer>,
}

/// A container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedContainer {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: String,
}

impl DescribedTask {
    /// Whether the task is stopped or stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.desired_status == "STOPPED"
    }

    /// Why the task stopped: ECS's reason, and how each container ended.
    #[must_use]
    pub fn stop_summary(&self) -> String {
        let mut text = format!("{}: {}", self.stop_code, self.reason);
        for container in &self.containers {
            let code = container.exit_code.map(|code| format!("exited with code {code}"));
            let reason = (!container.reason.is_empty() && container.reason != self.reason)
                .then(|| container.reason.clone());
            let parts: Vec<String> = code.into_iter().chain(reason).collect();
            if !parts.is_empty() {
                // Writing to a string does not fail.
                let _ = write!(text, "; container {} {}", container.name, parts.join(": "));
            }
        }
        text
    }
}

/// The state of a task that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It runs, and is healthy if it has a health check.
    Up(IpAddr),
    /// It is a job and exited with the expected code.
    Completed(i32),
    /// It failed; why.
    Failed(String),
    /// Not up yet; its status.
    Waiting(String),
}

/// The state of a task that was started; `found` is none if ECS does not find it yet.
#[must_use]
pub fn task_state(task: &Task, found: Option<&DescribedTask>) -> TaskState {
    let Some(found) = found else { return TaskState::Waiting("not found yet".to_owned()) };
    if found.is_stopping() {
        let code = found.containers.first().and_then(|container| container.exit_code);
        return match (task.expect_exit_code.map(i32::from), code) {
            (Some(expected), Some(code)) if code == expected => TaskState::Completed(code),
            // ECS may report the exit code some time after the container has ended.
            (Some(_), None) if found.last_status != "STOPPED" => {
                TaskState::Waiting(found.last_status.to_lowercase())
            }
            (Some(expected), Some(_)) => {
                TaskState::Failed(format!("it must exit with code {expected}; {}", found.stop_summary()))
            }
            (Some(_) | None, _) => TaskState::Failed(format!("it stopped: {}", found.stop_summary())),
        };
    }
    if found.last_status != "RUNNING" || task.expect_exit_code.is_some() {
        return TaskState::Waiting(found.last_status.to_lowercase());
    }
    match (found.address, task.health_check.is_some().then_some(found.health.as_str())) {
        (_, Some("UNHEALTHY")) => TaskState::Failed("its health check fails".to_owned()),
        (Some(address), None | Some("HEALTHY")) => TaskState::Up(address),
        (None, _) => TaskState::Waiting("running, address unknown".to_owned()),
        (Some(_), Some(_)) => TaskState::Waiting("running, health unknown".to_owned()),
    }
}

/// A check of a task, as the schedule takes it.
#[must_use]
pub fn sent(probe: &Probe) -> SentCheck {
    let status = match probe.ended {
        None => "InProgress",
        Some((_, ProbeAnswer::Expected)) => "Success",
        Some(_) => "Failed",
    };
    let command = Invocation { status: status.to_owned(), ..Invocation::default() };
    SentCheck { attempts: probe.attempts, elapsed: Duration::ZERO, command: Some(command) }
}

/// Records an answer, `now` seconds after the task was up. A check ends with the expected answer, or with its timeout.
pub fn record(probe: &mut Probe, check: &Check, answer: ProbeAnswer, now: u32) {
    let seconds = now.saturating_sub(probe.since);
    if answer == ProbeAnswer::Expected || u64::from(seconds) >= timeout(check).as_secs() {
        probe.ended = Some((seconds, answer));
    }
}

/// The timeout of a check of a task.
#[must_use]
pub fn timeout(check: &Check) -> Duration {
    check.timeout().as_duration()
}

/// An answer as text.
#[must_use]
pub fn describe_answer(check: &Check, answer: ProbeAnswer) -> String {
    let http = check.http.as_ref();
    match answer {
        ProbeAnswer::Expected => "the answer is as expected".to_owned(),
        ProbeAnswer::Status(status) => {
            format!("the status is {status}, not {}", http.map_or(0, |http| http.status))
        }
        ProbeAnswer::TextMissing => {
            let text = http.and_then(|http| http.contains.as_deref()).unwrap_or_default();
            format!("the answer does not contain \"{text}\"")
        }
        ProbeAnswer::Refused => "the port refuses connections".to_owned(),
        ProbeAnswer::Timeout => {
            "no answer; the worker must reach the task's subnet, and the task's security groups must let it in"
                .to_owned()
        }
        ProbeAnswer::NotHttp => "the answer is not an HTTP response".to_owned(),
    }
}
