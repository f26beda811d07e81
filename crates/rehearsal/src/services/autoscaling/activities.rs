//! Scaling activities: a group's launches and terminations, with their causes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{page, present};
use super::groups::Group;
use super::place;

/// The number of activities that a group keeps.
const KEPT: usize = 1000;

/// A scaling activity.
#[derive(Clone, Debug)]
pub struct Activity {
    pub id: String,
    pub group: String,
    pub group_arn: String,
    pub description: String,
    pub cause: String,
    pub status: &'static str,
    pub message: Option<String>,
    pub started: Time,
    pub ended: Option<Time>,
}

impl Activity {
    pub fn view(&self) -> Value {
        present(json!({
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "AutoScalingGroupARN": self.group_arn,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": self.started.epoch_seconds(),
            "EndTime": self.ended.map(Time::epoch_seconds),
            "StatusCode": self.status,
            "StatusMessage": self.message,
            "Progress": if self.ended.is_some() { 100 } else { 50 },
            "Details": "{}",
        }))
    }
}

/// Records an activity that begins now. Returns its id.
pub(super) fn begin(world: &mut World, group: &mut Group, description: String, cause: &str) -> String {
    let id = world.ids.uuid();
    if group.activities.len() >= KEPT {
        group.activities.remove(0);
    }
    group.activities.push(Activity {
        id: id.clone(),
        group: group.name.clone(),
        group_arn: group.arn.clone(),
        description,
        cause: cause.to_owned(),
        status: "InProgress",
        message: None,
        started: world.now,
        ended: None,
    });
    id
}

/// Ends an activity.
pub(super) fn end(group: &mut Group, id: &str, at: Time, status: &'static str, message: Option<String>) {
    if let Some(activity) = group.activities.iter_mut().rev().find(|a| a.id == id) {
        activity.status = status;
        activity.message = message;
        activity.ended = Some(at);
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    activity_ids: Vec<String>,
    auto_scaling_group_name: Option<String>,
    include_deleted_groups: bool,
    max_records: Option<usize>,
    next_token: Option<String>,
}

/// `DescribeScalingActivities`: newest first.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let is_asked = |name: &String| input.auto_scaling_group_name.as_ref().is_none_or(|asked| asked == name);
    let past = world
        .autoscaling
        .past
        .iter()
        .filter(|((place, name), _)| input.include_deleted_groups && *place == here && is_asked(name));
    let mut found: Vec<&Activity> = world
        .autoscaling
        .groups
        .values()
        .filter(|g| g.place == here && is_asked(&g.name))
        .flat_map(|g| g.activities.iter().rev())
        .chain(past.flat_map(|(_, activities)| activities.iter().rev()))
        .filter(|a| input.activity_ids.is_empty() || input.activity_ids.contains(&a.id))
        .collect();
    found.sort_by_key(|a| std::cmp::Reverse(a.started));
    let size = input.max_records.unwrap_or(100).min(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    let views: Vec<Value> = found.into_iter().map(Activity::view).collect();
    Ok(present(json!({ "Activities": views, "NextToken": next })))
}
