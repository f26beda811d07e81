//! Load balancers: create, describe, delete.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, Tag, Tags, page, present, put_tags, refuse};
use super::{arn, place, short_id, targets};

/// An Application Load Balancer.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    pub arn: String,
    pub name: String,
    pub place: Place,
    pub scheme: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub created: Time,
}

impl LoadBalancer {
    /// Adds a load balancer. Returns its ARN.
    pub(super) fn add(
        world: &mut World,
        here: &Place,
        name: &str,
        scheme: &str,
        subnets: Vec<String>,
        security_groups: Vec<String>,
    ) -> String {
        let dimension = format!("app/{name}/{}", short_id(world));
        Self::place(world, here, &dimension, scheme, subnets, security_groups)
    }

    /// As [`LoadBalancer::add`], with a given `app/NAME/ID`.
    pub(super) fn place(
        world: &mut World,
        here: &Place,
        dimension: &str,
        scheme: &str,
        subnets: Vec<String>,
        security_groups: Vec<String>,
    ) -> String {
        let name = dimension.split('/').nth(1).unwrap_or(dimension);
        let arn = arn(here, &format!("loadbalancer/{dimension}"));
        let load_balancer = Self {
            arn: arn.clone(),
            name: name.to_owned(),
            place: here.clone(),
            scheme: scheme.to_owned(),
            subnets,
            security_groups,
            created: world.now,
        };
        world.elbv2.load_balancers.insert(arn.clone(), load_balancer);
        arn
    }

    fn view(&self) -> Value {
        let zones: Vec<Value> = self
            .subnets
            .iter()
            .map(|id| json!({ "SubnetId": id, "ZoneName": format!("{}a", self.place.region) }))
            .collect();
        json!({
            "LoadBalancerArn": self.arn,
            "LoadBalancerName": self.name,
            "DNSName": format!("{}-1.{}.elb.{}", self.name, self.place.region, crate::partition::dns_suffix(&self.place.region)),
            "CreatedTime": self.created.epoch_seconds(),
            "Scheme": self.scheme,
            "State": { "Code": "active" },
            "Type": "application",
            "AvailabilityZones": zones,
            "SecurityGroups": self.security_groups,
            "IpAddressType": "ipv4",
        })
    }
}

pub(super) fn not_found(arn: &str) -> ApiError {
    refuse("LoadBalancerNotFound", format!("Load balancers '[{arn}]' not found"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: String,
    #[serde(default)]
    subnets: Vec<String>,
    #[serde(default)]
    security_groups: Vec<String>,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    let scheme = input.scheme.as_deref().unwrap_or("internet-facing");
    if let Some(existing) =
        world.elbv2.load_balancers.values().find(|l| l.place == here && l.name == input.name)
    {
        return if existing.scheme == scheme && existing.subnets == input.subnets {
            Ok(json!({ "LoadBalancers": [existing.view()] }))
        } else {
            Err(refuse(
                "DuplicateLoadBalancerName",
                format!(
                    "A load balancer with the same name '{}' exists, but with different settings",
                    input.name
                ),
            ))
        };
    }
    let arn = LoadBalancer::add(world, &here, &input.name, scheme, input.subnets, input.security_groups);
    let mut tags = Tags::new();
    put_tags(&mut tags, &input.tags);
    world.elbv2.tags.insert(arn.clone(), tags);
    Ok(json!({ "LoadBalancers": [world.elbv2.load_balancers.get(&arn).map(LoadBalancer::view)] }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    load_balancer_arns: Vec<String>,
    names: Vec<String>,
    marker: Option<String>,
    page_size: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let mine: Vec<&LoadBalancer> = world.elbv2.load_balancers.values().filter(|l| l.place == here).collect();
    if let Some(arn) = input.load_balancer_arns.iter().find(|arn| !mine.iter().any(|l| l.arn == **arn)) {
        return Err(not_found(arn));
    }
    if let Some(name) = input.names.iter().find(|name| !mine.iter().any(|l| l.name == **name)) {
        return Err(not_found(name));
    }
    let views: Vec<Value> = mine
        .into_iter()
        .filter(|l| input.load_balancer_arns.is_empty() || input.load_balancer_arns.contains(&l.arn))
        .filter(|l| input.names.is_empty() || input.names.contains(&l.name))
        .map(LoadBalancer::view)
        .collect();
    let size = input.page_size.unwrap_or(400);
    let (views, next) = page(views, input.marker.as_deref(), size, "ValidationError")?;
    Ok(present(json!({ "LoadBalancers": views, "NextMarker": next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    load_balancer_arn: String,
}

/// `DeleteLoadBalancer`: also deletes its listeners and rules. Succeeds if the load balancer does not exist.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    let here = place(call);
    if world.elbv2.load_balancers.get(&input.load_balancer_arn).is_some_and(|l| l.place == here) {
        world.elbv2.load_balancers.remove(&input.load_balancer_arn);
        world.elbv2.listeners.retain(|_, l| l.load_balancer != input.load_balancer_arn);
        world.elbv2.rules.retain(|_, r| r.load_balancer != input.load_balancer_arn);
        world.elbv2.tags.remove(&input.load_balancer_arn);
        targets::routing_changed(world);
    }
    Ok(json!({}))
}
