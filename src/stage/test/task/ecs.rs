//! The task definition and the task of a test in ECS.
//!
//! `RegisterTaskDefinition` takes no client token: every call creates a revision. The family has the derived name of this
//! attempt; the stage lists its revisions before it registers one, and the SDK does not retry the call. Nor does it retry
//! the calls that stop and delete.

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, Compatibility, ContainerDefinition, CpuArchitecture, DesiredStatus,
    HealthCheck, KeyValuePair, LaunchType, LogConfiguration, LogDriver, NetworkConfiguration, NetworkMode,
    OsFamily, PortMapping, RuntimePlatform, Secret, Tag, Task as Shown, TaskDefinitionField,
    TaskDefinitionStatus, TransportProtocol,
};

use super::TaskInputs;
use super::error::TaskError;
use super::status::{DescribedContainer, DescribedTask};
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::evidence::Stage;
use crate::spec::Task;
use crate::spec::test::secret::Secret as Reference;
use crate::spec::test::task::Architecture;
use crate::stage::Cx;

/// The role in the name of the family; see [`crate::engine::ExecutionKey::name`].
pub const ROLE: &str = "task";

/// The name of the container.
const CONTAINER: &str = "app";

/// The family of this attempt.
fn family(cx: &Cx) -> String {
    cx.key().name(ROLE)
}

/// A revision, as requests name it.
fn reference(cx: &Cx, revision: i32) -> String {
    format!("{}:{revision}", family(cx))
}

/// A task definition of this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub status: Option<TaskDefinitionStatus>,
    /// The cluster of its task.
    pub cluster: Option<String>,
}

impl Definition {
    /// Whether it has a status.
    pub fn is(&self, status: &TaskDefinitionStatus) -> bool {
        self.status.as_ref() == Some(status)
    }
}

/// The revisions of this attempt's family with a status, the oldest first.
pub async fn revisions(cx: &Cx, status: TaskDefinitionStatus) -> Result<Vec<i32>, AwsError> {
    let family = family(cx);
    let call = cx.aws.ecs.list_task_definitions().family_prefix(&family).status(status);
    let arns = call.into_paginator().items().send().try_collect().await;
    let arns = arns.map_err(|error| AwsError::new("ecs:ListTaskDefinitions", &family, error))?;
    let mut revisions: Vec<i32> =
        arns.iter().filter_map(|arn| arn.rsplit_once(':')?.1.parse().ok()).collect();
    revisions.sort_unstable();
    Ok(revisions)
}

/// Describes a revision of this attempt's family; none if ECS does not find it.
pub async fn definition(cx: &Cx, revision: i32) -> Result<Option<Definition>, StageError> {
    let name = reference(cx, revision);
    let call =
        cx.aws.ecs.describe_task_definition().task_definition(&name).include(TaskDefinitionField::Tags);
    let answer = match call.send().await.map_err(|e| AwsError::new("ecs:DescribeTaskDefinition", &name, e)) {
        Ok(answer) => answer,
        // ECS's error for a missing task definition.
        Err(error) if error.is("ClientException") => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let cluster = answer.tags().iter().find(|tag| tag.key() == Some(tag::CLUSTER));
    Ok(Some(Definition {
        status: answer.task_definition().and_then(|definition| definition.status().cloned()),
        cluster: cluster.and_then(|tag| tag.value()).map(str::to_owned),
    }))
}

/// Registers the task definition of this attempt. Returns its revision.
pub async fn register(cx: &Cx, inputs: &TaskInputs) -> Result<i32, StageError> {
    let task = &inputs.task;
    let family = family(cx);
    let platform = RuntimePlatform::builder()
        .operating_system_family(OsFamily::Linux)
        .cpu_architecture(match task.architecture {
            Architecture::X86_64 => CpuArchitecture::X8664,
            Architecture::Arm64 => CpuArchitecture::Arm64,
        })
        .build();
    let mut tags = tags(cx, &inputs.release.spec.service);
    tags.push(Tag::builder().key(tag::CLUSTER).value(&task.cluster).build());
    let call = cx
        .aws
        .once
        .ecs
        .register_task_definition()
        .family(&family)
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .cpu(task.cpu_units.to_string())
        .memory(task.memory_mib.to_string())
        .runtime_platform(platform)
        .execution_role_arn(&task.execution_role)
        .set_task_role_arn(task.task_role.clone())
        .container_definitions(container(cx, inputs)?)
        .set_tags(Some(tags));
    let answer =
        call.send().await.map_err(|error| AwsError::new("ecs:RegisterTaskDefinition", &family, error))?;
    let revision = answer.task_definition().map(aws_sdk_ecs::types::TaskDefinition::revision);
    revision.ok_or_else(|| TaskError::NoRevision { family }.into())
}

fn tags(cx: &Cx, service: &str) -> Vec<Tag> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let mut tags: Vec<Tag> = cx.key().tags(Stage::Test).iter().map(|(key, value)| tag(key, value)).collect();
    tags.push(tag(tag::SERVICE, service));
    tags
}

fn container(cx: &Cx, inputs: &TaskInputs) -> Result<ContainerDefinition, StageError> {
    let task = &inputs.task;
    let ports = task.ports.iter().map(|port| {
        PortMapping::builder().container_port(i32::from(*port)).protocol(TransportProtocol::Tcp).build()
    });
    let environment =
        task.env.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    let words = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
    let container = ContainerDefinition::builder()
        .name(CONTAINER)
        .image(inputs.image.reference())
        .essential(true)
        .set_port_mappings(Some(ports.collect()))
        .set_environment(Some(environment.collect()))
        .set_secrets(Some(secrets(task)?))
        .set_entry_point(words(&task.entry_point))
        .set_command(words(&task.command))
        .set_health_check(health_check(task)?)
        .set_log_configuration(logs(cx, task)?);
    Ok(container.build())
}

/// References to the secrets. Only ECS reads them, when the task starts.
fn secrets(task: &Task) -> Result<Vec<Secret>, StageError> {
    let reference = |secret: &Reference| match secret {
        Reference::SecretsManager(reference) | Reference::Parameter(reference) => reference.clone(),
    };
    let secrets = task
        .secrets
        .iter()
        .map(|(variable, secret)| Secret::builder().name(variable).value_from(reference(secret)).build());
    secrets.collect::<Result<_, _>>().map_err(StageError::bug)
}

fn health_check(task: &Task) -> Result<Option<HealthCheck>, StageError> {
    let Some(check) = &task.health_check else { return Ok(None) };
    let seconds = |span: crate::spec::Span| i32::try_from(span.as_secs()).unwrap_or(i32::MAX);
    HealthCheck::builder()
        .set_command(Some(check.command.clone()))
        .interval(seconds(check.interval))
        .timeout(seconds(check.timeout))
        .retries(i32::from(check.retries))
        .set_start_period(check.start_period.map(seconds))
        .build()
        .map(Some)
        .map_err(StageError::bug)
}

fn logs(cx: &Cx, task: &Task) -> Result<Option<LogConfiguration>, StageError> {
    let Some(group) = &task.log_group else { return Ok(None) };
    LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", group)
        .options("awslogs-region", cx.aws.region())
        .options("awslogs-stream-prefix", "bakeline")
        .build()
        .map(Some)
        .map_err(StageError::bug)
}

/// The result of starting a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// The id of the task.
    Task(String),
    /// Why ECS started none.
    Refused(String),
}

/// Starts the task, or finds the one of this attempt: the client token starts one task only.
pub async fn start(cx: &Cx, inputs: &TaskInputs, revision: i32) -> Result<Started, StageError> {
    let task = &inputs.task;
    let public = if task.assign_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(task.subnets.clone()))
        .set_security_groups(Some(task.security_groups.clone()))
        .assign_public_ip(public)
        .build()
        .map_err(StageError::bug)?;
    let name = reference(cx, revision);
    let call = cx
        .aws
        .ecs
        .run_task()
        .cluster(&task.cluster)
        .task_definition(&name)
        .launch_type(LaunchType::Fargate)
        .count(1)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
        .client_token(cx.key().client_token("run-task"))
        .started_by(started_by(cx))
        .set_tags(Some(tags(cx, &inputs.release.spec.service)));
    let answer = call.send().await.map_err(|error| AwsError::new("ecs:RunTask", &name, error))?;
    if let Some(id) = answer.tasks().iter().find_map(|task| id(task.task_arn()?)) {
        return Ok(Started::Task(id));
    }
    let failures = answer.failures().iter().filter_map(|failure| failure.reason());
    Ok(Started::Refused(failures.collect::<Vec<_>>().join("; ")))
}

/// The `startedBy` of this attempt's tasks, by which `ListTasks` finds them.
fn started_by(cx: &Cx) -> String {
    cx.key().client_token("started-by").into()
}

/// The id at the end of a task's ARN.
fn id(arn: &str) -> Option<String> {
    arn.rsplit('/').next().map(str::to_owned)
}

/// The tasks of this attempt with a desired status. A missing cluster has none.
pub async fn tasks(cx: &Cx, cluster: &str, desired: DesiredStatus) -> Result<Vec<String>, StageError> {
    let call = cx.aws.ecs.list_tasks().cluster(cluster).started_by(started_by(cx)).desired_status(desired);
    let arns = call.into_paginator().items().send().try_collect().await;
    match arns.map_err(|error| AwsError::new("ecs:ListTasks", cluster, error)) {
        Ok(arns) => Ok(arns.iter().filter_map(|arn| id(arn)).collect()),
        Err(error) if error.class == Class::Missing => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Describes a task; none if ECS does not find it.
pub async fn describe(cx: &Cx, cluster: &str, task: &str) -> Result<Option<DescribedTask>, StageError> {
    let answer = cx.aws.ecs.describe_tasks().cluster(cluster).tasks(task).send().await;
    let answer = answer.map_err(|error| AwsError::new("ecs:DescribeTasks", task, error))?;
    Ok(answer.tasks().first().map(described))
}

fn described(task: &Shown) -> DescribedTask {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let details = task.attachments().iter().flat_map(aws_sdk_ecs::types::Attachment::details);
    let address = details
        .filter(|detail| detail.name() == Some("privateIPv4Address"))
        .find_map(|detail| detail.value()?.parse().ok());
    let container = |container: &aws_sdk_ecs::types::Container| DescribedContainer {
        name: text(container.name()),
        exit_code: container.exit_code(),
        reason: text(container.reason()),
    };
    DescribedTask {
        last_status: text(task.last_status()),
        desired_status: text(task.desired_status()),
        health: text(task.health_status().map(aws_sdk_ecs::types::HealthStatus::as_str)),
        stop_code: text(task.stop_code().map(aws_sdk_ecs::types::TaskStopCode::as_str)),
        reason: text(task.stopped_reason()),
        address,
        containers: task.containers().iter().map(container).collect(),
    }
}

/// Stops a task. Succeeds if the task is gone.
pub async fn stop(cx: &Cx, cluster: &str, task: &str) -> Result<(), StageError> {
    let call = cx.aws.once.ecs.stop_task().cluster(cluster).task(task).reason("bakeline: the test is over");
    match call.send().await.map_err(|error| AwsError::new("ecs:StopTask", task, error)) {
        // ECS's error for a missing task.
        Err(error) if error.class != Class::Invalid => Err(error.into()),
        _ => Ok(()),
    }
}

/// Deregisters a task definition.
pub async fn deregister(cx: &Cx, revision: i32) -> Result<(), StageError> {
    let name = reference(cx, revision);
    let call = cx.aws.once.ecs.deregister_task_definition().task_definition(&name);
    call.send().await.map_err(|error| AwsError::new("ecs:DeregisterTaskDefinition", &name, error))?;
    Ok(())
}

/// Deletes a deregistered task definition.
pub async fn delete(cx: &Cx, revision: i32) -> Result<(), StageError> {
    let name = reference(cx, revision);
    let call = cx.aws.once.ecs.delete_task_definitions().task_definitions(&name);
    call.send().await.map_err(|error| AwsError::new("ecs:DeleteTaskDefinitions", &name, error))?;
    Ok(())
}
