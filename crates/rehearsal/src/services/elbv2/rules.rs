//! Listener rules: conditions and actions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, Tag, Tags, page, present, put_tags, refuse};
use super::actions::{Forward, accept, forwards};
use super::listeners;
use super::{Listener, place, short_id, targets};

/// A rule other than a listener's default.
#[derive(Clone, Debug)]
pub struct Rule {
    pub arn: String,
    pub place: Place,
    pub listener: String,
    pub load_balancer: String,
    pub priority: u32,
    pub conditions: Vec<Value>,
    pub actions: Vec<Value>,
    pub(super) forwards: Vec<Forward>,
}

impl Rule {
    fn view(&self) -> Value {
        json!({
            "RuleArn": self.arn,
            "Priority": self.priority.to_string(),
            "Conditions": self.conditions,
            "Actions": self.actions,
            "IsDefault": false,
        })
    }
}

fn default_view(listener: &Listener) -> Value {
    json!({
        "RuleArn": listener.default_rule,
        "Priority": "default",
        "Conditions": [],
        "Actions": listener.actions,
        "IsDefault": true,
    })
}

fn not_found(arn: &str) -> ApiError {
    refuse("RuleNotFound", format!("One or more rules not found: '{arn}'"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    listener_arn: String,
    conditions: Vec<Value>,
    priority: u32,
    actions: Vec<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    let load_balancer = listeners::owned(world, call, &input.listener_arn)?.load_balancer.clone();
    if world.elbv2.rules.values().any(|r| r.listener == input.listener_arn && r.priority == input.priority) {
        return Err(refuse("PriorityInUse", format!("Priority '{}' is currently in use", input.priority)));
    }
    let actions = accept(world, &here, &load_balancer, &input.actions)?;
    let arn = format!("{}/{}", input.listener_arn.replace(":listener/", ":listener-rule/"), short_id(world));
    let rule = Rule {
        arn: arn.clone(),
        place: here,
        listener: input.listener_arn,
        load_balancer,
        priority: input.priority,
        conditions: input.conditions,
        forwards: forwards(&actions),
        actions,
    };
    let view = rule.view();
    world.elbv2.rules.insert(arn.clone(), rule);
    let mut tags = Tags::new();
    put_tags(&mut tags, &input.tags);
    world.elbv2.tags.insert(arn, tags);
    targets::routing_changed(world);
    Ok(json!({ "Rules": [view] }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    listener_arn: Option<String>,
    rule_arns: Vec<String>,
    marker: Option<String>,
    page_size: Option<usize>,
}

/// `DescribeRules`: sorted by priority, the default last.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let mut found: Vec<(u32, Value)> = Vec::new();
    match &input.listener_arn {
        Some(arn) => {
            let listener = world
                .elbv2
                .listeners
                .get(arn)
                .filter(|l| l.place == here)
                .ok_or_else(|| listeners::not_found(arn))?;
            let rules = world.elbv2.rules.values().filter(|r| r.listener == *arn);
            found.extend(rules.map(|r| (r.priority, r.view())));
            found.push((u32::MAX, default_view(listener)));
        }
        None if input.rule_arns.is_empty() => {
            return Err(refuse("ValidationError", "You must specify either listener ARN or rule ARNs"));
        }
        None => {
            for arn in &input.rule_arns {
                let rule = world.elbv2.rules.get(arn).filter(|r| r.place == here);
                let default = || world.elbv2.listeners.values().find(|l| l.default_rule == *arn);
                match (rule, default()) {
                    (Some(rule), _) => found.push((rule.priority, rule.view())),
                    (None, Some(listener)) => found.push((u32::MAX, default_view(listener))),
                    (None, None) => return Err(not_found(arn)),
                }
            }
        }
    }
    found.sort_by_key(|(priority, _)| *priority);
    let views: Vec<Value> = found.into_iter().map(|(_, view)| view).collect();
    let size = input.page_size.unwrap_or(400);
    let (views, next) = page(views, input.marker.as_deref(), size, "ValidationError")?;
    Ok(present(json!({ "Rules": views, "NextMarker": next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Modify {
    rule_arn: String,
    #[serde(default)]
    conditions: Option<Vec<Value>>,
    #[serde(default)]
    actions: Option<Vec<Value>>,
}

/// The rule with this ARN. A listener's default rule cannot be changed as a rule.
fn owned<'a>(world: &'a mut World, call: &Call, arn: &str) -> Result<&'a mut Rule, ApiError> {
    let here = place(call);
    if world.elbv2.listeners.values().any(|l| l.place == here && l.default_rule == arn) {
        return Err(refuse(
            "OperationNotPermitted",
            format!("Default rule '{arn}' cannot be modified or deleted"),
        ));
    }
    world.elbv2.rules.get_mut(arn).filter(|r| r.place == here).ok_or_else(|| not_found(arn))
}

/// `ModifyRule`: a given list replaces the whole list.
pub(super) fn modify(world: &mut World, call: &Call) -> Answer {
    let input: Modify = call.parse()?;
    let load_balancer = owned(world, call, &input.rule_arn)?.load_balancer.clone();
    let actions = match &input.actions {
        Some(actions) => Some(accept(world, &place(call), &load_balancer, actions)?),
        None => None,
    };
    let rule = owned(world, call, &input.rule_arn)?;
    if let Some(actions) = actions {
        rule.forwards = forwards(&actions);
        rule.actions = actions;
    }
    if let Some(conditions) = input.conditions {
        rule.conditions = conditions;
    }
    let view = rule.view();
    targets::routing_changed(world);
    Ok(json!({ "Rules": [view] }))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Modify = call.parse()?;
    owned(world, call, &input.rule_arn)?;
    world.elbv2.rules.remove(&input.rule_arn);
    world.elbv2.tags.remove(&input.rule_arn);
    targets::routing_changed(world);
    Ok(json!({}))
}
