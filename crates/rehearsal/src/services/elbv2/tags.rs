//! Tags of load balancers, target groups, listeners and rules.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, Tag, put_tags, refuse, tag_list};
use super::place;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    resource_arns: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// Checks that every resource exists.
fn all_exist(world: &World, call: &Call, arns: &[String]) -> Result<(), ApiError> {
    let here = place(call);
    let mine = |owner: Option<&Place>| owner == Some(&here);
    for arn in arns {
        let elb = &world.elbv2;
        let (known, code) = if arn.contains(":targetgroup/") {
            (mine(elb.target_groups.get(arn).map(|r| &r.place)), "TargetGroupNotFound")
        } else if arn.contains(":listener-rule/") {
            let default = elb.listeners.values().find(|l| l.default_rule == *arn).map(|l| &l.place);
            (mine(elb.rules.get(arn).map(|r| &r.place).or(default)), "RuleNotFound")
        } else if arn.contains(":listener/") {
            (mine(elb.listeners.get(arn).map(|r| &r.place)), "ListenerNotFound")
        } else {
            (mine(elb.load_balancers.get(arn).map(|r| &r.place)), "LoadBalancerNotFound")
        };
        if !known {
            return Err(refuse(code, format!("'{arn}' not found")));
        }
    }
    Ok(())
}

pub(super) fn add(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    all_exist(world, call, &input.resource_arns)?;
    for arn in input.resource_arns {
        put_tags(world.elbv2.tags.entry(arn).or_default(), &input.tags);
    }
    Ok(json!({}))
}

pub(super) fn remove(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    all_exist(world, call, &input.resource_arns)?;
    for arn in &input.resource_arns {
        if let Some(tags) = world.elbv2.tags.get_mut(arn) {
            tags.retain(|key, _| !input.tag_keys.contains(key));
        }
    }
    Ok(json!({}))
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    all_exist(world, call, &input.resource_arns)?;
    let views: Vec<Value> = input
        .resource_arns
        .iter()
        .map(|arn| {
            let tags = world.elbv2.tags.get(arn).map_or_else(|| json!([]), tag_list);
            json!({ "ResourceArn": arn, "Tags": tags })
        })
        .collect();
    Ok(json!({ "TagDescriptions": views }))
}
