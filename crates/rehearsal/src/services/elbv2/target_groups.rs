//! Target groups: create, describe, attributes, delete, and fixtures.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, Tag, Tags, page, present, put_tags, refuse};
use super::actions;
use super::targets::Target;
use super::{Listener, LoadBalancer, arn, place, short_id};

/// A target group.
#[derive(Clone, Debug)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    pub place: Place,
    pub target_type: String,
    pub protocol: String,
    pub port: u16,
    pub vpc_id: Option<String>,
    pub health_check: HealthCheck,
    pub attributes: BTreeMap<String, String>,
    /// The seeded traffic of this group, in requests per minute.
    pub requests_per_minute: Option<u32>,
    /// Targets by instance and port.
    pub targets: BTreeMap<(String, u16), Target>,
}

/// The health check settings.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    pub path: String,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: Value,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".into(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: json!({ "HttpCode": "200" }),
        }
    }
}

impl TargetGroup {
    fn new(here: &Place, name: &str, arn: String) -> Self {
        let attributes = [
            ("deregistration_delay.timeout_seconds", "300"),
            ("load_balancing.algorithm.type", "round_robin"),
            ("slow_start.duration_seconds", "0"),
            ("stickiness.enabled", "false"),
            ("stickiness.type", "lb_cookie"),
        ];
        Self {
            arn,
            name: name.to_owned(),
            place: here.clone(),
            target_type: "instance".into(),
            protocol: "HTTP".into(),
            port: 80,
            vpc_id: None,
            health_check: HealthCheck::default(),
            attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            requests_per_minute: None,
            targets: BTreeMap::new(),
        }
    }

    /// The deregistration delay in seconds.
    pub(super) fn deregistration_delay(&self) -> u64 {
        self.attributes
            .get("deregistration_delay.timeout_seconds")
            .and_then(|v| v.parse().ok())
            .unwrap_or(300)
    }

    fn view(&self, world: &World) -> Value {
        present(json!({
            "TargetGroupArn": self.arn,
            "TargetGroupName": self.name,
            "Protocol": self.protocol,
            "ProtocolVersion": "HTTP1",
            "Port": self.port,
            "VpcId": self.vpc_id,
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPort": "traffic-port",
            "HealthCheckEnabled": true,
            "HealthCheckPath": self.health_check.path,
            "HealthCheckIntervalSeconds": self.health_check.interval_seconds,
            "HealthCheckTimeoutSeconds": self.health_check.timeout_seconds,
            "HealthyThresholdCount": self.health_check.healthy_threshold,
            "UnhealthyThresholdCount": self.health_check.unhealthy_threshold,
            "Matcher": self.health_check.matcher,
            "LoadBalancerArns": actions::load_balancers_of(world, &self.arn),
            "TargetType": self.target_type,
            "IpAddressType": "ipv4",
        }))
    }
}

/// Seeds a target group with its own load balancer and listener. Returns its ARN.
pub fn seed_target_group(
    world: &mut World,
    account: &str,
    region: &str,
    name: &str,
    requests_per_minute: u32,
) -> String {
    let (group, balancer) = (short_id(world), short_id(world));
    let group = format!("targetgroup/{name}/{group}");
    place_target_group(world, account, region, &format!("app/{name}/{balancer}"), &group, requests_per_minute)
}

/// Seeds a target group with its own load balancer and listener. Returns its ARN. The names are those of CloudWatch's
/// dimensions: `app/NAME/ID` and `targetgroup/NAME/ID`.
pub fn place_target_group(
    world: &mut World,
    account: &str,
    region: &str,
    load_balancer: &str,
    target_group: &str,
    requests_per_minute: u32,
) -> String {
    let here = Place::new(account, region);
    let name = target_group.split('/').nth(1).unwrap_or(target_group);
    let group_arn = arn(&here, target_group);
    let mut group = TargetGroup::new(&here, name, group_arn.clone());
    group.requests_per_minute = Some(requests_per_minute);
    // Fast health checks: two in a row, ten seconds apart.
    group.health_check.interval_seconds = 10;
    group.health_check.healthy_threshold = 2;
    world.elbv2.target_groups.insert(group_arn.clone(), group);
    let load_balancer =
        LoadBalancer::place(world, &here, load_balancer, "internet-facing", Vec::new(), Vec::new());
    let forward = json!({
        "Type": "forward",
        "TargetGroupArn": group_arn,
        "ForwardConfig": {
            "TargetGroups": [{ "TargetGroupArn": group_arn, "Weight": 1 }],
            "TargetGroupStickinessConfig": { "Enabled": false },
        },
    });
    Listener::add(world, &load_balancer, 80, "HTTP", vec![forward]);
    group_arn
}

/// Sets the traffic of a target group.
pub fn set_requests_per_minute(world: &mut World, group: &str, requests: u32) {
    if let Some(group) = world.elbv2.target_groups.get_mut(group) {
        group.requests_per_minute = Some(requests);
        world.elbv2.epoch += 1;
    }
}

/// The caller's target group.
pub(super) fn owned<'a>(
    world: &'a mut World,
    call: &Call,
    arn: &str,
) -> Result<&'a mut TargetGroup, ApiError> {
    let here = place(call);
    world.elbv2.target_groups.get_mut(arn).filter(|g| g.place == here).ok_or_else(|| not_found(arn))
}

pub(super) fn not_found(arn: &str) -> ApiError {
    refuse("TargetGroupNotFound", format!("Target groups '{arn}' not found"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: String,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    vpc_id: Option<String>,
    #[serde(default)]
    target_type: Option<String>,
    #[serde(default)]
    health_check_path: Option<String>,
    #[serde(default)]
    health_check_interval_seconds: Option<u32>,
    #[serde(default)]
    health_check_timeout_seconds: Option<u32>,
    #[serde(default)]
    healthy_threshold_count: Option<u32>,
    #[serde(default)]
    unhealthy_threshold_count: Option<u32>,
    #[serde(default)]
    matcher: Option<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    let id = short_id(world);
    let arn = arn(&here, &format!("targetgroup/{}/{id}", input.name));
    let mut group = TargetGroup::new(&here, &input.name, arn.clone());
    let defaults = HealthCheck::default();
    group.protocol = input.protocol.unwrap_or(group.protocol);
    group.port = input.port.unwrap_or(group.port);
    group.target_type = input.target_type.unwrap_or(group.target_type);
    group.vpc_id = input.vpc_id;
    group.health_check = HealthCheck {
        path: input.health_check_path.unwrap_or(defaults.path),
        interval_seconds: input.health_check_interval_seconds.unwrap_or(defaults.interval_seconds),
        timeout_seconds: input.health_check_timeout_seconds.unwrap_or(defaults.timeout_seconds),
        healthy_threshold: input.healthy_threshold_count.unwrap_or(defaults.healthy_threshold),
        unhealthy_threshold: input.unhealthy_threshold_count.unwrap_or(defaults.unhealthy_threshold),
        matcher: input.matcher.unwrap_or(defaults.matcher),
    };
    let existing = world.elbv2.target_groups.values().find(|g| g.place == here && g.name == input.name);
    if let Some(existing) = existing {
        // Creating the same group again returns the existing one.
        let same = existing.protocol == group.protocol
            && existing.port == group.port
            && existing.vpc_id == group.vpc_id
            && existing.target_type == group.target_type;
        return if same {
            Ok(json!({ "TargetGroups": [existing.view(world)] }))
        } else {
            Err(refuse(
                "DuplicateTargetGroupName",
                format!(
                    "A target group with the same name '{}' exists, but with different settings",
                    input.name
                ),
            ))
        };
    }
    let view = group.view(world);
    world.elbv2.target_groups.insert(arn.clone(), group);
    let mut tags = Tags::new();
    put_tags(&mut tags, &input.tags);
    world.elbv2.tags.insert(arn, tags);
    Ok(json!({ "TargetGroups": [view] }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    load_balancer_arn: Option<String>,
    target_group_arns: Vec<String>,
    names: Vec<String>,
    marker: Option<String>,
    page_size: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let mine: Vec<&TargetGroup> = world.elbv2.target_groups.values().filter(|g| g.place == here).collect();
    if let Some(arn) = input.target_group_arns.iter().find(|arn| !mine.iter().any(|g| g.arn == **arn)) {
        return Err(not_found(arn));
    }
    if let Some(name) = input.names.iter().find(|name| !mine.iter().any(|g| g.name == **name)) {
        return Err(not_found(name));
    }
    let views: Vec<Value> = mine
        .into_iter()
        .filter(|g| input.target_group_arns.is_empty() || input.target_group_arns.contains(&g.arn))
        .filter(|g| input.names.is_empty() || input.names.contains(&g.name))
        .filter(|g| {
            input
                .load_balancer_arn
                .as_ref()
                .is_none_or(|lb| actions::load_balancers_of(world, &g.arn).contains(lb))
        })
        .map(|g| g.view(world))
        .collect();
    let size = input.page_size.unwrap_or(400);
    let (views, next) = page(views, input.marker.as_deref(), size, "ValidationError")?;
    Ok(present(json!({ "TargetGroups": views, "NextMarker": next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfGroup {
    target_group_arn: String,
    #[serde(default)]
    attributes: Vec<Tag>,
}

fn attribute_list(group: &TargetGroup) -> Value {
    let list: Vec<Value> = group.attributes.iter().map(|(k, v)| json!({ "Key": k, "Value": v })).collect();
    json!({ "Attributes": list })
}

pub(super) fn describe_attributes(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    Ok(attribute_list(owned(world, call, &input.target_group_arn)?))
}

pub(super) fn modify_attributes(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    let group = owned(world, call, &input.target_group_arn)?;
    if let Some(unknown) = input.attributes.iter().find(|a| !group.attributes.contains_key(&a.key)) {
        return Err(refuse(
            "ValidationError",
            format!("Target group attribute key '{}' is not recognized", unknown.key),
        ));
    }
    for attribute in input.attributes {
        group.attributes.insert(attribute.key, attribute.value.unwrap_or_default());
    }
    Ok(attribute_list(group))
}

/// `DeleteTargetGroup`: fails while a listener or rule forwards to the group. Succeeds if the group does not exist.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    if actions::in_use(world, &input.target_group_arn) {
        return Err(refuse(
            "ResourceInUse",
            format!("Target group '{}' is currently in use by a listener or a rule", input.target_group_arn),
        ));
    }
    if owned(world, call, &input.target_group_arn).is_ok() {
        world.elbv2.target_groups.remove(&input.target_group_arn);
        world.elbv2.tags.remove(&input.target_group_arn);
        world.elbv2.epoch += 1;
    }
    Ok(json!({}))
}
