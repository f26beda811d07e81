//! Listeners and their default actions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, Tag, Tags, page, present, put_tags, refuse};
use super::actions::{Forward, accept, forwards};
use super::{load_balancers, place, short_id, targets};

/// A listener.
#[derive(Clone, Debug)]
pub struct Listener {
    pub arn: String,
    pub place: Place,
    pub load_balancer: String,
    pub port: u16,
    pub protocol: String,
    pub actions: Vec<Value>,
    pub(super) forwards: Vec<Forward>,
    /// The ARN of the default rule, which has the default actions.
    pub(super) default_rule: String,
}

impl Listener {
    /// Adds a listener. Returns its ARN.
    pub(super) fn add(
        world: &mut World,
        load_balancer: &str,
        port: u16,
        protocol: &str,
        actions: Vec<Value>,
    ) -> String {
        let place = world
            .elbv2
            .load_balancers
            .get(load_balancer)
            .map_or_else(|| Place::new("", ""), |l| l.place.clone());
        let arn = format!("{}/{}", load_balancer.replace(":loadbalancer/", ":listener/"), short_id(world));
        let default_rule = format!("{}/{}", arn.replace(":listener/", ":listener-rule/"), short_id(world));
        let listener = Self {
            arn: arn.clone(),
            place,
            load_balancer: load_balancer.to_owned(),
            port,
            protocol: protocol.to_owned(),
            forwards: forwards(&actions),
            actions,
            default_rule,
        };
        world.elbv2.listeners.insert(arn.clone(), listener);
        targets::routing_changed(world);
        arn
    }

    fn view(&self) -> Value {
        json!({
            "ListenerArn": self.arn,
            "LoadBalancerArn": self.load_balancer,
            "Port": self.port,
            "Protocol": self.protocol,
            "DefaultActions": self.actions,
        })
    }
}

pub(super) fn not_found(arn: &str) -> ApiError {
    refuse("ListenerNotFound", format!("One or more listeners not found: '{arn}'"))
}

/// The caller's listener.
pub(super) fn owned<'a>(world: &'a mut World, call: &Call, arn: &str) -> Result<&'a mut Listener, ApiError> {
    let here = place(call);
    world.elbv2.listeners.get_mut(arn).filter(|l| l.place == here).ok_or_else(|| not_found(arn))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    load_balancer_arn: String,
    default_actions: Vec<Value>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    let known = world.elbv2.load_balancers.get(&input.load_balancer_arn).is_some_and(|l| l.place == here);
    if !known {
        return Err(load_balancers::not_found(&input.load_balancer_arn));
    }
    let port = input.port.unwrap_or(80);
    let taken =
        world.elbv2.listeners.values().any(|l| l.load_balancer == input.load_balancer_arn && l.port == port);
    if taken {
        return Err(refuse("DuplicateListener", format!("A listener already exists on port {port}")));
    }
    let actions = accept(world, &here, &input.load_balancer_arn, &input.default_actions)?;
    let protocol = input.protocol.as_deref().unwrap_or("HTTP");
    let arn = Listener::add(world, &input.load_balancer_arn, port, protocol, actions);
    let mut tags = Tags::new();
    put_tags(&mut tags, &input.tags);
    world.elbv2.tags.insert(arn.clone(), tags);
    Ok(json!({ "Listeners": [world.elbv2.listeners.get(&arn).map(Listener::view)] }))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    load_balancer_arn: Option<String>,
    listener_arns: Vec<String>,
    marker: Option<String>,
    page_size: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    if let Some(lb) = &input.load_balancer_arn
        && !world.elbv2.load_balancers.contains_key(lb)
    {
        return Err(load_balancers::not_found(lb));
    }
    let mine: Vec<&Listener> = world.elbv2.listeners.values().filter(|l| l.place == here).collect();
    if let Some(arn) = input.listener_arns.iter().find(|arn| !mine.iter().any(|l| l.arn == **arn)) {
        return Err(not_found(arn));
    }
    let views: Vec<Value> = mine
        .into_iter()
        .filter(|l| input.listener_arns.is_empty() || input.listener_arns.contains(&l.arn))
        .filter(|l| input.load_balancer_arn.as_ref().is_none_or(|lb| *lb == l.load_balancer))
        .map(Listener::view)
        .collect();
    let size = input.page_size.unwrap_or(400);
    let (views, next) = page(views, input.marker.as_deref(), size, "ValidationError")?;
    Ok(present(json!({ "Listeners": views, "NextMarker": next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Modify {
    listener_arn: String,
    #[serde(default)]
    default_actions: Option<Vec<Value>>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    protocol: Option<String>,
}

/// `ModifyListener`: given default actions replace the whole list.
pub(super) fn modify(world: &mut World, call: &Call) -> Answer {
    let input: Modify = call.parse()?;
    let load_balancer = owned(world, call, &input.listener_arn)?.load_balancer.clone();
    let actions = match &input.default_actions {
        Some(actions) => Some(accept(world, &place(call), &load_balancer, actions)?),
        None => None,
    };
    let listener = owned(world, call, &input.listener_arn)?;
    if let Some(actions) = actions {
        listener.forwards = forwards(&actions);
        listener.actions = actions;
    }
    listener.port = input.port.unwrap_or(listener.port);
    if let Some(protocol) = input.protocol {
        listener.protocol = protocol;
    }
    let view = listener.view();
    targets::routing_changed(world);
    Ok(json!({ "Listeners": [view] }))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Modify = call.parse()?;
    owned(world, call, &input.listener_arn)?;
    world.elbv2.listeners.remove(&input.listener_arn);
    world.elbv2.rules.retain(|_, r| r.listener != input.listener_arn);
    world.elbv2.tags.remove(&input.listener_arn);
    targets::routing_changed(world);
    Ok(json!({}))
}
