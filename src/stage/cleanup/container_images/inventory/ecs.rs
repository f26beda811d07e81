//! Clusters, their services and tasks, and task definitions: those registered, and those that something still runs.

use aws_sdk_ecs::types::{DesiredStatus, Service, Task, TaskDefinition, TaskDefinitionStatus};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Definitions, name_of};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::cleanup::containers::graph::{Facts, Kind, User};
use crate::stage::cleanup::graph::Source;
use crate::stage::cleanup::inventory::AT_ONCE;

/// The largest page of the lists.
const PAGE: i32 = 100;

/// Services and tasks in one call that describes them.
const SERVICES: usize = 10;
const TASKS: usize = 100;

/// Everything in ECS that runs images or may.
pub async fn everything(aws: &Aws, known: &Definitions, facts: &mut Facts) -> Result<(), StageError> {
    let mut pages = aws.ecs.list_clusters().max_results(PAGE).into_paginator().send();
    let mut clusters = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListClusters", "every cluster", e))?;
        clusters.extend(page.cluster_arns().iter().cloned());
    }
    facts.count(Source::Clusters, clusters.len());
    for cluster in &clusters {
        services(aws, cluster, facts).await?;
        tasks(aws, cluster, facts).await?;
    }
    // After what runs: a definition that is used from now on is registered, and on this list.
    let mut pages = aws
        .ecs
        .list_task_definitions()
        .status(TaskDefinitionStatus::Active)
        .max_results(PAGE)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListTaskDefinitions", "every definition", e))?;
        facts.active.extend(page.task_definition_arns().iter().cloned());
    }
    facts.count(Source::TaskDefinitions, facts.active.len());
    definitions(aws, known, facts).await
}

/// The services of a cluster, with the definitions of each deployment and task set.
async fn services(aws: &Aws, cluster: &str, facts: &mut Facts) -> Result<(), StageError> {
    let mut pages = aws.ecs.list_services().cluster(cluster).max_results(PAGE).into_paginator().send();
    let mut arns = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListServices", cluster, e))?;
        arns.extend(page.service_arns().iter().cloned());
    }
    facts.count(Source::Services, arns.len());
    for batch in arns.chunks(SERVICES) {
        let sent =
            aws.ecs.describe_services().cluster(cluster).set_services(Some(batch.to_vec())).send().await;
        let answer = sent.map_err(|e| AwsError::new("ecs:DescribeServices", batch.join(", "), e))?;
        let failures = answer.failures().iter().map(|failure| (failure.arn(), failure.reason()));
        missing_only("ecs:DescribeServices", failures)?;
        for service in answer.services() {
            let user = User::new(Kind::Service, name_of(service.service_arn().unwrap_or_default()));
            for definition in definitions_of(service) {
                facts.in_use.push((user.clone(), definition));
            }
        }
    }
    Ok(())
}

fn definitions_of(service: &Service) -> impl Iterator<Item = String> {
    let deployments = service.deployments().iter().filter_map(|one| one.task_definition());
    let sets = service.task_sets().iter().filter_map(|one| one.task_definition());
    service.task_definition().into_iter().chain(deployments).chain(sets).map(str::to_owned)
}

/// The tasks of a cluster: by the digest each container runs, whatever its tag means by now. Those that stopped not
/// long ago count too.
async fn tasks(aws: &Aws, cluster: &str, facts: &mut Facts) -> Result<(), StageError> {
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let ask = aws.ecs.list_tasks().cluster(cluster).desired_status(status.clone()).max_results(PAGE);
        let mut pages = ask.into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ecs:ListTasks", cluster, e))?;
            arns.extend(page.task_arns().iter().cloned());
        }
        if status == DesiredStatus::Running {
            facts.count(Source::Tasks, arns.len());
        }
        for batch in arns.chunks(TASKS) {
            let sent = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(batch.to_vec())).send().await;
            let answer = sent.map_err(|e| AwsError::new("ecs:DescribeTasks", cluster, e))?;
            let failures = answer.failures().iter().map(|failure| (failure.arn(), failure.reason()));
            missing_only("ecs:DescribeTasks", failures)?;
            for task in answer.tasks() {
                note(task, facts);
            }
        }
    }
    Ok(())
}

fn note(task: &Task, facts: &mut Facts) {
    let user = User::new(Kind::Task, name_of(task.task_arn().unwrap_or_default()));
    if let Some(definition) = task.task_definition_arn() {
        facts.in_use.push((user.clone(), definition.to_owned()));
    }
    for container in task.containers() {
        // An override of the image stands here and not in the definition.
        for text in [container.image(), container.image_digest()].into_iter().flatten() {
            facts.text(user.clone(), text);
        }
    }
}

/// What was listed and is gone by now is no gap; every other failure is one.
fn missing_only<'f>(
    call: &str,
    mut failures: impl Iterator<Item = (Option<&'f str>, Option<&'f str>)>,
) -> Result<(), StageError> {
    match failures.find(|(_, reason)| *reason != Some("MISSING")) {
        None => Ok(()),
        Some((arn, reason)) => Err(StageError::Rejected(format!(
            "{call} did not describe {}: {}",
            arn.unwrap_or("one of them"),
            reason.unwrap_or("no reason was given")
        ))),
    }
}

/// What the containers of each definition run.
async fn definitions(aws: &Aws, known: &Definitions, facts: &mut Facts) -> Result<(), StageError> {
    let read = |arn: String| async move {
        if let Some(images) = known.get(&arn) {
            return Ok((arn, images));
        }
        let sent = aws.ecs.describe_task_definition().task_definition(&arn).send().await;
        let answer = sent.map_err(|e| AwsError::new("ecs:DescribeTaskDefinition", &arn, e))?;
        let definition = answer.task_definition();
        let containers = definition.map(TaskDefinition::container_definitions).unwrap_or_default();
        let images: Vec<String> =
            containers.iter().filter_map(|container| container.image().map(str::to_owned)).collect();
        known.put(&arn, &images);
        Ok::<_, StageError>((arn, images))
    };
    let read: Vec<_> =
        stream::iter(facts.wanted_definitions()).map(read).buffered(AT_ONCE).try_collect().await?;
    facts.definitions.extend(read);
    Ok(())
}
