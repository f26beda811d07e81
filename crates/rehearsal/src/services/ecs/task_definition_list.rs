//! Lists of task definitions and families.

use serde::Deserialize;

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::task_definition::{Status, TaskDefinition};
use super::{paged, place};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
}

/// `ListTaskDefinitions`: `familyPrefix` is a full family name, as the model documents.
pub(super) fn definitions(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let here = place(call);
    let status = input.status.as_deref().unwrap_or(Status::Active.name());
    let mine = world.ecs.definitions.iter().filter(|((at, family), _)| {
        *at == here && input.family_prefix.as_ref().is_none_or(|wanted| wanted == family)
    });
    let fitting = mine.flat_map(|(_, revisions)| revisions).filter(|d| d.status.name() == status);
    let mut arns: Vec<String> = fitting.map(|definition| definition.arn.clone()).collect();
    if input.sort.as_deref() == Some("DESC") {
        arns.reverse();
    }
    paged(call, "taskDefinitionArns", arns)
}

/// `ListTaskDefinitionFamilies`: a family is active while one of its revisions is.
pub(super) fn families(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let here = place(call);
    let status = input.status.as_deref().unwrap_or("ACTIVE");
    let prefix = input.family_prefix.unwrap_or_default();
    let is_active = |revisions: &[TaskDefinition]| revisions.iter().any(|d| d.status == Status::Active);
    let mine = world.ecs.definitions.iter().filter(|((at, family), revisions)| {
        let fits = match status {
            "ACTIVE" => is_active(revisions),
            "INACTIVE" => !revisions.is_empty() && !is_active(revisions),
            _ => !revisions.is_empty(),
        };
        *at == here && family.starts_with(&prefix) && fits
    });
    paged(call, "families", mine.map(|((_, family), _)| family.clone()).collect())
}
