//! `ListTasks` and `DescribeTasks`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::task::Task;
use super::{cluster, invalid, paged, place, tags};

/// The maximum number of tasks in one `DescribeTasks`.
const MOST: usize = 100;

/// Whether list and describe calls show a task yet.
fn is_visible(world: &World, task: &Task) -> bool {
    task.created + world.ecs.options.visible_after <= world.now
}

#[derive(Deserialize)]
struct Describe {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe_tasks(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if input.tasks.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if input.tasks.len() > MOST {
        return Err(invalid("Tasks cannot have more than 100 elements."));
    }
    let here = place(call);
    let cluster = cluster::find(world, &here, input.cluster.as_deref())?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for asked in &input.tasks {
        let arn = task_arn(cluster, asked);
        let task = world.ecs.tasks.get(&arn).filter(|task| task.cluster == cluster.arn);
        match task.filter(|task| is_visible(world, task)) {
            Some(task) => tasks.push(task.view(tags::wanted(&input.include))),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

/// The ARN of a task, given its id or ARN.
pub(super) fn task_arn(cluster: &cluster::Cluster, asked: &str) -> String {
    if asked.starts_with("arn:") {
        return asked.to_owned();
    }
    format!("{}/{asked}", cluster.arn.replace(":cluster/", ":task/"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    cluster: Option<String>,
    container_instance: Option<String>,
    family: Option<String>,
    started_by: Option<String>,
    service_name: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
}

impl List {
    /// Checks that `startedBy` is combined with no filter other than the desired status.
    fn check(&self) -> Result<(), ApiError> {
        let others =
            self.family.is_some() || self.service_name.is_some() || self.container_instance.is_some();
        if self.started_by.is_some() && others {
            return Err(invalid("Can not filter by startedBy together with another filter."));
        }
        Ok(())
    }

    fn fits(&self, task: &Task) -> bool {
        let status = self.desired_status.as_deref().unwrap_or("RUNNING");
        let service = self.service_name.as_deref().map(|name| {
            let name = name.rsplit('/').next().unwrap_or(name);
            format!("service:{name}")
        });
        task.desired() == status
            && self.container_instance.is_none()
            && self.family.as_ref().is_none_or(|family| *family == task.family)
            && self.started_by.as_ref().is_none_or(|by| Some(by) == task.started_by.as_ref())
            && service.is_none_or(|group| group == task.group)
            && self.launch_type.as_deref().is_none_or(|kind| kind == "FARGATE")
    }
}

/// `ListTasks`: filters by the desired status, not the last status.
pub(super) fn tasks(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    input.check()?;
    let cluster = cluster::find(world, &place(call), input.cluster.as_deref())?;
    let arns = world
        .ecs
        .tasks
        .values()
        .filter(|task| task.cluster == cluster.arn && is_visible(world, task) && input.fits(task))
        .map(|task| task.arn.clone())
        .collect();
    paged(call, "taskArns", arns)
}

/// The API views of tasks.
pub(super) fn views<'t>(tasks: impl Iterator<Item = &'t Task>) -> Value {
    tasks.map(|task| task.view(true)).collect()
}
