//! References from ECS: services, tasks, and the task definitions that are active or that a service or task still
//! runs.

use aws_sdk_ecs::types::{DesiredStatus, Service, Task, TaskDefinition, TaskDefinitionStatus};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::graph::{Listings, Resource, ResourceKind};
use super::{Definitions, ListError, name_of};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::aws_view::image_references::AT_ONCE;
use crate::stage::aws_view::image_references::graph::ListName;

/// The largest page of the lists.
const PAGE: i32 = 100;

/// Maximum number of services and tasks that one call describes.
const SERVICES: usize = 10;
const TASKS: usize = 100;

/// Reads every list of this file.
pub async fn everything(aws: &Aws, known: &Definitions, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ecs.list_clusters().max_results(PAGE).into_paginator().send();
    let mut clusters = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListClusters", "every cluster", e))?;
        clusters.extend(page.cluster_arns().iter().cloned());
    }
    listings.add_length(ListName::Clusters, clusters.len());
    for cluster in &clusters {
        services(aws, cluster, listings).await?;
        tasks(aws, cluster, listings).await?;
    }
    // After services and tasks: a definition that is used from now on is active, and on this list.
    let mut pages = aws
        .ecs
        .list_task_definitions()
        .status(TaskDefinitionStatus::Active)
        .max_results(PAGE)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListTaskDefinitions", "every definition", e))?;
        listings.active.extend(page.task_definition_arns().iter().cloned());
    }
    listings.add_length(ListName::TaskDefinitions, listings.active.len());
    definitions(aws, known, listings).await
}

/// Reads the services of a cluster with the task definition of each deployment and task set.
async fn services(aws: &Aws, cluster: &str, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ecs.list_services().cluster(cluster).max_results(PAGE).into_paginator().send();
    let mut arns = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ecs:ListServices", cluster, e))?;
        arns.extend(page.service_arns().iter().cloned());
    }
    listings.add_length(ListName::Services, arns.len());
    for batch in arns.chunks(SERVICES) {
        let sent =
            aws.ecs.describe_services().cluster(cluster).set_services(Some(batch.to_vec())).send().await;
        let answer = sent.map_err(|e| AwsError::new("ecs:DescribeServices", batch.join(", "), e))?;
        let failures = answer.failures().iter().map(|failure| (failure.arn(), failure.reason()));
        only_missing("ecs:DescribeServices", failures)?;
        for service in answer.services() {
            let resource =
                Resource::new(ResourceKind::Service, name_of(service.service_arn().unwrap_or_default()));
            for definition in definitions_of(service) {
                listings.in_use.push((resource.clone(), definition));
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

/// Reads the tasks of a cluster, including recently stopped ones: each container by the digest it runs, whatever
/// image its tag names now.
async fn tasks(aws: &Aws, cluster: &str, listings: &mut Listings) -> Result<(), StageError> {
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let ask = aws.ecs.list_tasks().cluster(cluster).desired_status(status.clone()).max_results(PAGE);
        let mut pages = ask.into_paginator().send();
        let mut arns = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ecs:ListTasks", cluster, e))?;
            arns.extend(page.task_arns().iter().cloned());
        }
        if status == DesiredStatus::Running {
            listings.add_length(ListName::Tasks, arns.len());
        }
        for batch in arns.chunks(TASKS) {
            let sent = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(batch.to_vec())).send().await;
            let answer = sent.map_err(|e| AwsError::new("ecs:DescribeTasks", cluster, e))?;
            let failures = answer.failures().iter().map(|failure| (failure.arn(), failure.reason()));
            only_missing("ecs:DescribeTasks", failures)?;
            for task in answer.tasks() {
                add_task(task, listings);
            }
        }
    }
    Ok(())
}

fn add_task(task: &Task, listings: &mut Listings) {
    let resource = Resource::new(ResourceKind::Task, name_of(task.task_arn().unwrap_or_default()));
    if let Some(definition) = task.task_definition_arn() {
        listings.in_use.push((resource.clone(), definition.to_owned()));
    }
    for container in task.containers() {
        // An image override is in the task and not in its definition.
        for text in [container.image(), container.image_digest()].into_iter().flatten() {
            listings.add_text(resource.clone(), text);
        }
    }
}

/// A resource that was deleted since it was listed is no error; every other failure is one.
fn only_missing<'f>(
    call: &'static str,
    mut failures: impl Iterator<Item = (Option<&'f str>, Option<&'f str>)>,
) -> Result<(), ListError> {
    match failures.find(|(_, reason)| *reason != Some("MISSING")) {
        None => Ok(()),
        Some((arn, reason)) => Err(ListError::NotDescribed {
            call,
            resource: arn.unwrap_or("a resource").to_owned(),
            reason: reason.unwrap_or("no reason given").to_owned(),
        }),
    }
}

/// Reads the images of each task definition.
async fn definitions(aws: &Aws, known: &Definitions, listings: &mut Listings) -> Result<(), StageError> {
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
        stream::iter(listings.wanted_definitions()).map(read).buffered(AT_ONCE).try_collect().await?;
    listings.definitions.extend(read);
    Ok(())
}
