//! Containers: their definitions, and their state in a task.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::super::container_behavior::{ContainerBehavior, ExitRule};
use super::super::super::time::Time;
use super::{client, invalid};

/// A container definition, as far as it has an effect.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Declared {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub image: String,
    #[serde(default = "yes")]
    pub essential: bool,
    #[serde(default)]
    entry_point: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    pub health_check: Option<HealthCheck>,
    #[serde(default)]
    cpu: u64,
    memory: Option<u64>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortMapping {
    pub container_port: Option<u16>,
    host_port: Option<u16>,
}

/// A container health check. Times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthCheck {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default = "HealthCheck::usual_interval")]
    interval: u64,
    #[serde(default = "HealthCheck::usual_timeout")]
    timeout: u64,
    #[serde(default = "HealthCheck::usual_retries")]
    retries: u64,
    #[serde(default)]
    start_period: u64,
}

impl HealthCheck {
    fn usual_interval() -> u64 {
        30
    }

    fn usual_timeout() -> u64 {
        5
    }

    fn usual_retries() -> u64 {
        3
    }

    fn check(&self) -> Result<(), ApiError> {
        let ranges = [
            ("interval", self.interval, 5..=300),
            ("timeout", self.timeout, 2..=60),
            ("retries", self.retries, 1..=10),
            ("startPeriod", self.start_period, 0..=300),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                let message = format!(
                    "Container healthCheck {name} must be between {} and {}.",
                    range.start(),
                    range.end()
                );
                return Err(client(message));
            }
        }
        match self.command.first().map(String::as_str) {
            Some("CMD" | "CMD-SHELL" | "NONE") => Ok(()),
            _ => Err(client("Container healthCheck command must start with CMD or CMD-SHELL.")),
        }
    }

    /// The results of the health check, with their times since the container's start. The command fails until the
    /// container serves; the container is unhealthy after the start period and the retries.
    pub(super) fn results(&self, behavior: &ContainerBehavior) -> Vec<(Duration, bool)> {
        let fails_at = self.start_period + self.retries * self.interval;
        let first_good = behavior.start.duration().as_secs().div_ceil(self.interval).max(1) * self.interval;
        let mut results = Vec::new();
        if !behavior.healthy || first_good > fails_at {
            results.push((Duration::from_secs(fails_at), false));
        }
        if behavior.healthy {
            results.push((Duration::from_secs(first_good), true));
        }
        results
    }
}

impl Declared {
    pub(super) fn check(&self, network: Option<&str>) -> Result<(), ApiError> {
        let differs =
            |port: &PortMapping| port.host_port.is_some_and(|host| Some(host) != port.container_port);
        if network == Some("awsvpc") && self.port_mappings.iter().any(differs) {
            return Err(client(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ));
        }
        if self.port_mappings.iter().any(|port| port.container_port.is_none_or(|port| port == 0)) {
            return Err(client("Container port must be between 1 and 65535."));
        }
        self.health_check.as_ref().map_or(Ok(()), HealthCheck::check)
    }
}

/// `RunTask`'s overrides of one container, as far as they have an effect.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Override {
    pub name: Option<String>,
    command: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Unknown,
    Healthy,
    Unhealthy,
}

impl Health {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// A container of a task.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub arn: String,
    pub declared: Declared,
    /// The entry point and command, joined by spaces.
    pub line: String,
    pub digest: Option<String>,
    pub runtime_id: Option<String>,
    pub status: &'static str,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub health: Health,
    pub started: Option<Time>,
    pub behavior: ContainerBehavior,
}

impl Container {
    /// Creates the containers of a task, not yet started.
    ///
    /// # Errors
    /// An override names a container that is not in the definition.
    pub(super) fn all(declared: &[Declared], overrides: &[Override]) -> Result<Vec<Self>, ApiError> {
        let unknown = overrides
            .iter()
            .find(|given| !declared.iter().any(|container| Some(&container.name) == given.name.as_ref()));
        if unknown.is_some() {
            return Err(invalid(
                "Override for container named in the request is not in the task definition.",
            ));
        }
        let made = declared.iter().map(|declared| {
            let given = overrides.iter().find(|given| given.name.as_ref() == Some(&declared.name));
            let command = given.and_then(|given| given.command.as_ref()).unwrap_or(&declared.command);
            let words: Vec<&str> = declared.entry_point.iter().chain(command).map(String::as_str).collect();
            Self {
                arn: String::new(),
                declared: declared.clone(),
                line: words.join(" "),
                digest: None,
                runtime_id: None,
                status: "PENDING",
                exit_code: None,
                reason: None,
                health: Health::Unknown,
                started: None,
                behavior: ContainerBehavior::default(),
            }
        });
        Ok(made.collect())
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == "RUNNING"
    }

    /// The rule by which it exits by itself, if any.
    pub(super) fn exit(&self) -> Option<&ExitRule> {
        self.behavior.exits.iter().find(|rule| self.line.contains(&rule.contains))
    }

    pub(super) fn end(&mut self, code: Option<i32>) {
        self.status = "STOPPED";
        self.exit_code = code;
    }

    pub(super) fn view(&self, task: &str, address: Option<(&str, &str)>) -> Value {
        let interfaces: Vec<Value> = address
            .iter()
            .map(|(attachment, address)| json!({ "attachmentId": attachment, "privateIpv4Address": address }))
            .collect();
        json!({
            "containerArn": self.arn,
            "taskArn": task,
            "name": self.declared.name,
            "image": self.declared.image,
            "imageDigest": self.digest,
            "runtimeId": self.runtime_id,
            "lastStatus": self.status,
            "exitCode": self.exit_code,
            "reason": self.reason,
            "networkBindings": [],
            "networkInterfaces": interfaces,
            "healthStatus": self.health.name(),
            "cpu": self.declared.cpu.to_string(),
            "memory": self.declared.memory.map(|memory| memory.to_string()),
        })
    }
}
