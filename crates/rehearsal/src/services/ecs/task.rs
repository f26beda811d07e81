//! Tasks: state and API view.

use serde_json::{Value, json};

use super::super::super::time::Time;
use super::super::support::{Place, Tags, present};
use super::container::{Container, Health};
use super::tags;

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Provisioning,
    Pending,
    Running,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// The reason of a task's stop, and its times.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub code: &'static str,
    pub reason: String,
    pub asked: Time,
    /// The time when its containers ended.
    pub executed: Option<Time>,
    pub ended: Option<Time>,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    pub arn: String,
    pub(super) place: Place,
    /// The ARN of the cluster.
    pub(super) cluster: String,
    /// The ARN of the task definition.
    pub(super) definition: String,
    pub(super) family: String,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
    pub(super) overrides: Value,
    pub(super) cpu: Option<String>,
    pub(super) memory: Option<String>,
    pub tags: Tags,
    pub(super) status: Status,
    pub(super) containers: Vec<Container>,
    pub(super) interface: Interface,
    pub(super) created: Time,
    pub(super) pull: (Option<Time>, Option<Time>),
    pub(super) started: Option<Time>,
    pub(super) stop: Option<Stop>,
    pub(super) version: u64,
}

/// A task's elastic network interface.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub attachment: String,
    pub id: String,
    pub subnet: String,
    pub zone: String,
    pub mac: String,
    /// The private IPv4 address, once attached.
    pub address: Option<String>,
}

impl Task {
    /// The images of its containers, as named in the definition.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|container| container.declared.image.as_str())
    }

    /// Whether the task has stopped.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.status == Status::Stopped
    }

    /// Whether the desired status is RUNNING.
    pub(super) fn is_wanted(&self) -> bool {
        self.stop.is_none()
    }

    pub(super) fn desired(&self) -> &'static str {
        if self.is_wanted() { "RUNNING" } else { "STOPPED" }
    }

    /// The health status, from its essential containers.
    pub(super) fn health(&self) -> Health {
        let essential = || self.containers.iter().filter(|container| container.declared.essential);
        if essential().any(|container| container.health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().all(|container| container.health == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }

    fn attachment(&self) -> Value {
        let interface = &self.interface;
        let status = match self.status {
            Status::Provisioning => "PRECREATED",
            Status::Pending | Status::Running | Status::Stopping => "ATTACHED",
            Status::Deprovisioning => "DETACHING",
            Status::Stopped => "DELETED",
        };
        let mut details = vec![json!({ "name": "subnetId", "value": interface.subnet })];
        if let Some(address) = &interface.address {
            details.extend([
                json!({ "name": "networkInterfaceId", "value": interface.id }),
                json!({ "name": "macAddress", "value": interface.mac }),
                json!({ "name": "privateDnsName",
                    "value": format!("ip-{}.{}.compute.internal", address.replace('.', "-"), self.place.region) }),
                json!({ "name": "privateIPv4Address", "value": address }),
            ]);
        }
        json!({ "id": interface.attachment, "type": "ElasticNetworkInterface", "status": status,
            "details": details })
    }

    pub(super) fn view(&self, with_tags: bool) -> Value {
        let seconds = |at: Option<Time>| at.map(Time::epoch_seconds);
        let address = self.interface.address.as_deref();
        let shown = address.map(|address| (self.interface.attachment.as_str(), address));
        let containers: Vec<Value> =
            self.containers.iter().map(|container| container.view(&self.arn, shown)).collect();
        let stop = self.stop.as_ref();
        let connected = self.interface.address.is_some();
        present(json!({
            "attachments": [self.attachment()],
            "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
            "availabilityZone": self.interface.zone,
            "clusterArn": self.cluster,
            "connectivity": connected.then_some("CONNECTED"),
            "connectivityAt": seconds(self.pull.0),
            "containers": containers,
            "cpu": self.cpu,
            "createdAt": self.created.epoch_seconds(),
            "desiredStatus": self.desired(),
            "enableExecuteCommand": false,
            "executionStoppedAt": seconds(stop.and_then(|stop| stop.executed)),
            "group": self.group,
            "healthStatus": self.health().name(),
            "lastStatus": self.status.name(),
            "launchType": "FARGATE",
            "memory": self.memory,
            "overrides": self.overrides,
            "platformVersion": "1.4.0",
            "platformFamily": "Linux",
            "pullStartedAt": seconds(self.pull.0),
            "pullStoppedAt": seconds(self.pull.1),
            "startedAt": seconds(self.started),
            "startedBy": self.started_by,
            "stopCode": stop.map(|stop| stop.code),
            "stoppedAt": seconds(stop.and_then(|stop| stop.ended)),
            "stoppedReason": stop.map(|stop| stop.reason.as_str()),
            "stoppingAt": stop.map(|stop| stop.asked.epoch_seconds()),
            "tags": if with_tags { tags::view(&self.tags) } else { json!([]) },
            "taskArn": self.arn,
            "taskDefinitionArn": self.definition,
            "version": self.version,
            "ephemeralStorage": { "sizeInGiB": 20 },
        }))
    }
}
