//! ECS clusters.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, Tags, present};
use super::tags::{self, Tag};
use super::task::Status;
use super::{arn, invalid, paged, place};

/// The default cluster.
const DEFAULT: &str = "default";

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub arn: String,
    pub name: String,
    pub active: bool,
    pub tags: Tags,
}

/// The cluster name in a name or ARN.
fn named(cluster: Option<&str>) -> &str {
    let cluster = cluster.unwrap_or(DEFAULT);
    cluster.rsplit_once(":cluster/").map_or(cluster, |(_, name)| name)
}

/// The active cluster that a request names.
///
/// # Errors
/// `ClusterNotFoundException` if it does not exist; `InvalidParameterException` if it was deleted.
pub(super) fn find<'w>(
    world: &'w World,
    here: &Place,
    cluster: Option<&str>,
) -> Result<&'w Cluster, ApiError> {
    match world.ecs.clusters.get(&(here.clone(), named(cluster).to_owned())) {
        Some(cluster) if cluster.active => Ok(cluster),
        Some(_) => Err(invalid("The referenced cluster was inactive.")),
        None => Err(ApiError::new("ClusterNotFoundException", "Cluster not found.")),
    }
}

fn view(world: &World, cluster: &Cluster, with_tags: bool) -> Value {
    let tasks = world.ecs.tasks.values().filter(|task| task.cluster == cluster.arn);
    let (mut running, mut pending) = (0, 0);
    for task in tasks {
        match task.status {
            Status::Running => running += 1,
            Status::Provisioning | Status::Pending => pending += 1,
            Status::Stopping | Status::Deprovisioning | Status::Stopped => {}
        }
    }
    let services =
        world.ecs.services.values().filter(|service| service.cluster == cluster.arn && service.is_active());
    json!({
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": if cluster.active { "ACTIVE" } else { "INACTIVE" },
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "activeServicesCount": services.count(),
        "statistics": [],
        "settings": [{ "name": "containerInsights", "value": "disabled" }],
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": [],
        "tags": if with_tags { tags::view(&cluster.tags) } else { json!([]) },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    cluster_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// `CreateCluster`: returns an existing cluster unchanged.
pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let name = input.cluster_name.unwrap_or_else(|| DEFAULT.to_owned());
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if name.is_empty() || name.len() > 255 || !fits {
        return Err(invalid("Identifier is invalid: clusterName"));
    }
    let new = tags::read(&input.tags)?;
    let here = place(call);
    let key = (here.clone(), name.clone());
    if !world.ecs.clusters.get(&key).is_some_and(|cluster| cluster.active) {
        let arn = arn(&here, &format!("cluster/{name}"));
        world.ecs.clusters.insert(key.clone(), Cluster { arn, name, active: true, tags: new });
    }
    Ok(json!({ "cluster": world.ecs.clusters.get(&key).map(|cluster| view(world, cluster, true)) }))
}

#[derive(Deserialize)]
struct Describe {
    #[serde(default)]
    clusters: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let mut input: Describe = call.parse()?;
    if input.clusters.len() > 100 {
        return Err(invalid("clusters cannot have more than 100 elements."));
    }
    if input.clusters.is_empty() {
        input.clusters.push(DEFAULT.to_owned());
    }
    let here = place(call);
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for asked in &input.clusters {
        let name = named(Some(asked)).to_owned();
        match world.ecs.clusters.get(&(here.clone(), name.clone())) {
            Some(cluster) => clusters.push(view(world, cluster, tags::wanted(&input.include))),
            None => {
                failures.push(json!({ "arn": arn(&here, &format!("cluster/{name}")), "reason": "MISSING" }));
            }
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let here = place(call);
    let mine = world.ecs.clusters.iter().filter(|((at, _), cluster)| *at == here && cluster.active);
    paged(call, "clusterArns", mine.map(|(_, cluster)| cluster.arn.clone()).collect())
}

#[derive(Deserialize)]
struct Delete {
    cluster: String,
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    let here = place(call);
    let cluster = find(world, &here, Some(&input.cluster))?;
    let (arn, name) = (cluster.arn.clone(), cluster.name.clone());
    if world.ecs.services.values().any(|service| service.cluster == arn && !service.is_gone()) {
        return Err(ApiError::new(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    if world.ecs.tasks.values().any(|task| task.cluster == arn && task.status != Status::Stopped) {
        return Err(ApiError::new(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    let key = (here, name);
    if let Some(cluster) = world.ecs.clusters.get_mut(&key) {
        cluster.active = false;
    }
    Ok(present(json!({ "cluster": world.ecs.clusters.get(&key).map(|cluster| view(world, cluster, true)) })))
}
