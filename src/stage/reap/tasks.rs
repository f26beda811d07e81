//! Finds and removes what tests of container images left: running tasks and task definitions.
//!
//! ECS cannot list by tag. Task definitions are found by the prefix of their family; their tags name the run and the
//! cluster of the task.

use aws_sdk_ecs::types::{
    DesiredStatus, Tag, TaskDefinitionFamilyStatus, TaskDefinitionField, TaskDefinitionStatus,
};

use super::{Leftover, LeftoverKind, Run};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;

/// Prefix of the task definition family of every test.
const FAMILIES: &str = "bakeline-task-";

/// Finds every running task of a test, and every task definition of one.
pub async fn find(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let mut found = Vec::new();
    for family in families(aws).await? {
        for (status, kind) in [
            (TaskDefinitionStatus::Active, LeftoverKind::TaskDefinition),
            (TaskDefinitionStatus::Inactive, LeftoverKind::DeregisteredTaskDefinition),
        ] {
            let call = aws.ecs.list_task_definitions().family_prefix(&family).status(status);
            let mut arns = call.into_paginator().items().send();
            while let Some(arn) = arns.next().await {
                let arn = arn.map_err(|e| AwsError::new("ecs:ListTaskDefinitions", &family, e))?;
                let Some((run, cluster)) = whose(aws, &arn).await? else { continue };
                if let Some(cluster) = cluster {
                    found.extend(tasks(aws, &cluster, &family, &run).await?);
                }
                found.push(Leftover { kind, id: arn, run });
            }
        }
    }
    Ok(found)
}

/// The families of tests. A role that may not list task definitions never started a task either.
async fn families(aws: &Aws) -> Result<Vec<String>, StageError> {
    let call = aws.ecs.list_task_definition_families().family_prefix(FAMILIES);
    let listed =
        call.status(TaskDefinitionFamilyStatus::All).into_paginator().items().send().try_collect().await;
    match listed.map_err(|e| AwsError::new("ecs:ListTaskDefinitionFamilies", FAMILIES, e)) {
        Ok(families) => Ok(families),
        Err(error) if error.class == Class::Denied => {
            tracing::info!(%error, "bakeline does not search for test tasks: the role may not list task definitions");
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// The run that registered a task definition, and the cluster of its task; `None` if it carries no run's tags or was
/// deleted.
async fn whose(aws: &Aws, arn: &str) -> Result<Option<(Run, Option<String>)>, StageError> {
    let call = aws.ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
    let answer = match call.send().await.map_err(|e| AwsError::new("ecs:DescribeTaskDefinition", arn, e)) {
        Ok(answer) => answer,
        Err(error) if error.is("ClientException") => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let get = |key: &str| answer.tags().iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value);
    Ok(Run::of(get).map(|run| (run, get(tag::CLUSTER).map(str::to_owned))))
}

async fn tasks(aws: &Aws, cluster: &str, family: &str, run: &Run) -> Result<Vec<Leftover>, StageError> {
    let call = aws.ecs.list_tasks().cluster(cluster).family(family).desired_status(DesiredStatus::Running);
    let listed = call.into_paginator().items().send().try_collect().await;
    match listed.map_err(|e| AwsError::new("ecs:ListTasks", cluster, e)) {
        Ok(arns) => {
            let leftover = |id| Leftover { kind: LeftoverKind::TestTask, id, run: run.clone() };
            Ok(arns.into_iter().map(leftover).collect())
        }
        // The cluster was deleted, and its tasks with it.
        Err(error) if error.class == Class::Missing => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Stops a task by its ARN, `arn:…:task/CLUSTER/ID`.
pub async fn stop(aws: &Aws, arn: &str) -> Result<(), AwsError> {
    let cluster = arn.split('/').nth(1).unwrap_or_default();
    let call = aws.once.ecs.stop_task().cluster(cluster).task(arn).reason("bakeline: its run has ended");
    call.send().await.map(drop).map_err(|e| AwsError::new("ecs:StopTask", arn, e))
}

pub async fn deregister(aws: &Aws, arn: &str) -> Result<(), AwsError> {
    let call = aws.once.ecs.deregister_task_definition().task_definition(arn);
    call.send().await.map(drop).map_err(|e| AwsError::new("ecs:DeregisterTaskDefinition", arn, e))
}

pub async fn delete(aws: &Aws, arn: &str) -> Result<(), AwsError> {
    let call = aws.once.ecs.delete_task_definitions().task_definitions(arn);
    call.send().await.map(drop).map_err(|e| AwsError::new("ecs:DeleteTaskDefinitions", arn, e))
}
