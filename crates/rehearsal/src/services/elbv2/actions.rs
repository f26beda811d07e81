//! Actions of listeners and rules: validation, and the routed traffic.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::super::world::World;
use super::super::support::{Place, refuse};

/// The default of requests per minute.
const DEFAULT_TRAFFIC: f64 = 600.0;
/// The maximum number of target groups in a forward action.
const MOST_GROUPS: usize = 5;

/// A forward action: target groups and their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    pub groups: Vec<(String, u32)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Action {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    target_group_arn: Option<String>,
    #[serde(default)]
    forward_config: Option<ForwardConfig>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ForwardConfig {
    target_groups: Vec<Weighted>,
    target_group_stickiness_config: Option<Stickiness>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weighted {
    target_group_arn: Option<String>,
    #[serde(default)]
    weight: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Stickiness {
    enabled: bool,
    duration_seconds: Option<i64>,
}

/// Validates a list of actions and converts them to the form that the service returns: a forward action has both
/// `TargetGroupArn` (if it names one group) and `ForwardConfig`.
pub(super) fn accept(
    world: &World,
    here: &Place,
    load_balancer: &str,
    actions: &[Value],
) -> Result<Vec<Value>, ApiError> {
    if actions.is_empty() {
        return Err(refuse("ValidationError", "At least one action must be specified"));
    }
    let mut accepted = Vec::with_capacity(actions.len());
    for (index, raw) in actions.iter().enumerate() {
        let action: Action =
            serde_json::from_value(raw.clone()).map_err(|e| refuse("ValidationError", e.to_string()))?;
        let mut raw = raw.clone();
        let Some(members) = raw.as_object_mut() else { continue };
        if actions.len() > 1 && !members.contains_key("Order") {
            members.insert("Order".into(), json!(index + 1));
        }
        if action.kind == "forward" {
            let groups = groups(&action)?;
            for (arn, weight) in &groups {
                check_group(world, here, load_balancer, arn, *weight)?;
            }
            if let [(only, weight)] = groups.as_slice() {
                members.insert("TargetGroupArn".into(), json!(only));
                if action.forward_config.is_none() {
                    members.insert(
                        "ForwardConfig".into(),
                        json!({
                            "TargetGroups": [{ "TargetGroupArn": only, "Weight": weight }],
                            "TargetGroupStickinessConfig": { "Enabled": false },
                        }),
                    );
                }
            }
        }
        accepted.push(raw);
    }
    Ok(accepted)
}

fn groups(action: &Action) -> Result<Vec<(String, u32)>, ApiError> {
    let groups: Vec<(String, u32)> = match (&action.forward_config, &action.target_group_arn) {
        (Some(config), arn) => {
            if let Some(stickiness) = &config.target_group_stickiness_config
                && stickiness.enabled
                && !stickiness.duration_seconds.is_some_and(|s| (1..=604_800).contains(&s))
            {
                return Err(refuse(
                    "ValidationError",
                    "Stickiness duration must be between 1 and 604800 seconds",
                ));
            }
            let named: Vec<(String, u32)> = config
                .target_groups
                .iter()
                .filter_map(|g| Some((g.target_group_arn.clone()?, g.weight.unwrap_or(1))))
                .collect();
            if arn.as_ref().is_some_and(|arn| named.len() != 1 || named.iter().any(|(n, _)| n != arn)) {
                return Err(refuse(
                    "ValidationError",
                    "TargetGroupArn and ForwardConfig name different target groups",
                ));
            }
            named
        }
        (None, Some(arn)) => vec![(arn.clone(), 1)],
        (None, None) => Vec::new(),
    };
    if groups.is_empty() || groups.len() > MOST_GROUPS {
        return Err(refuse(
            "ValidationError",
            format!("A forward action must name between 1 and {MOST_GROUPS} target groups"),
        ));
    }
    Ok(groups)
}

fn check_group(
    world: &World,
    here: &Place,
    load_balancer: &str,
    arn: &str,
    weight: u32,
) -> Result<(), ApiError> {
    let known = world.elbv2.target_groups.get(arn).is_some_and(|g| g.place == *here);
    if !known {
        return Err(refuse("TargetGroupNotFound", format!("Target group '{arn}' not found")));
    }
    if weight > 999 {
        return Err(refuse("ValidationError", format!("Weight '{weight}' must be between 0 and 999")));
    }
    // A target group belongs to one load balancer.
    if load_balancers_of(world, arn).iter().any(|other| other != load_balancer) {
        return Err(refuse(
            "TargetGroupAssociationLimit",
            format!("The target group '{arn}' is already associated with another load balancer"),
        ));
    }
    Ok(())
}

/// The forward actions in a validated list.
pub(super) fn forwards(actions: &[Value]) -> Vec<Forward> {
    actions
        .iter()
        .filter(|a| a.get("Type").and_then(Value::as_str) == Some("forward"))
        .filter_map(|a| serde_json::from_value::<Action>(a.clone()).ok())
        .filter_map(|a| groups(&a).ok())
        .map(|groups| Forward { groups })
        .collect()
}

/// Every forward action with its load balancer, of rules and of listener defaults.
fn all(world: &World) -> impl Iterator<Item = (&str, &Forward)> {
    let defaults = world
        .elbv2
        .listeners
        .values()
        .flat_map(|l| l.forwards.iter().map(move |f| (l.load_balancer.as_str(), f)));
    let rules = world
        .elbv2
        .rules
        .values()
        .flat_map(|r| r.forwards.iter().map(move |f| (r.load_balancer.as_str(), f)));
    defaults.chain(rules)
}

/// The load balancers that forward to a group, by ARN.
pub(super) fn load_balancers_of(world: &World, group: &str) -> Vec<String> {
    let mut arns: Vec<String> = all(world)
        .filter(|(_, forward)| forward.groups.iter().any(|(arn, _)| arn == group))
        .map(|(load_balancer, _)| load_balancer.to_owned())
        .collect();
    arns.sort();
    arns.dedup();
    arns
}

/// Whether some listener or rule forwards to a group.
pub(super) fn in_use(world: &World, group: &str) -> bool {
    all(world).any(|(_, forward)| forward.groups.iter().any(|(arn, _)| arn == group))
}

/// The requests per minute of every target group in use, with its load balancer.
///
/// A forward action receives the sum of its groups' seeded traffic (600 per minute by default) and splits it by
/// weight. A group in several actions receives the largest share of any of them. There is no failover between
/// weighted groups: requests to an empty group fail.
pub fn traffic(world: &World) -> BTreeMap<String, (String, f64)> {
    let mut rates: BTreeMap<String, (String, f64)> = BTreeMap::new();
    for (load_balancer, forward) in all(world) {
        let seeded: Vec<f64> = forward
            .groups
            .iter()
            .filter_map(|(arn, _)| world.elbv2.target_groups.get(arn)?.requests_per_minute)
            .map(f64::from)
            .collect();
        let arriving = if seeded.is_empty() { DEFAULT_TRAFFIC } else { seeded.iter().sum() };
        let weights: f64 = forward.groups.iter().map(|(_, weight)| f64::from(*weight)).sum();
        for (arn, weight) in &forward.groups {
            let share = if weights > 0.0 { arriving * f64::from(*weight) / weights } else { 0.0 };
            let entry = rates.entry(arn.clone()).or_insert_with(|| (load_balancer.to_owned(), 0.0));
            entry.1 = entry.1.max(share);
        }
    }
    rates
}
