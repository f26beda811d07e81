//! Launching instances: `RunInstances`, launch template data, `resolve:ssm:` images, client tokens, capacity.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ssm;
use super::super::support::{Place, Tag, Tags, put_tags, refuse};
use super::images::ImageState;
use super::instances::{self, Instance, InstanceState};
use super::launch_templates::{TemplateKey, resolve_template};
use super::{Remembered, instance_describe, instance_types, network, place};

/// The maximum number of instances in one launch.
const MOST_LAUNCHED: usize = 1000;

/// The members that `RunInstances` and launch template data share, as far as they have an effect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LaunchSpec {
    pub image_id: Option<String>,
    pub instance_type: Option<String>,
    pub subnet_id: Option<String>,
    security_group_ids: Vec<String>,
    security_groups: Vec<String>,
    network_interfaces: Vec<NetworkInterface>,
    iam_instance_profile: Option<Profile>,
    metadata_options: Option<Map<String, Value>>,
    tag_specifications: Vec<TagSpecification>,
    placement: Option<Placement>,
    key_name: Option<String>,
    disable_api_termination: Option<bool>,
    instance_market_options: Option<MarketOptions>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MarketOptions {
    market_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkInterface {
    subnet_id: Option<String>,
    groups: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Profile {
    arn: Option<String>,
    name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Placement {
    availability_zone: Option<String>,
}

/// Tags for one type of resource that a call creates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TagSpecification {
    pub resource_type: String,
    pub tags: Vec<Tag>,
}

/// The requested tags for one type of resource.
pub fn tags_for(specifications: &[TagSpecification], kind: &str) -> Tags {
    let mut tags = Tags::new();
    for specification in specifications.iter().filter(|s| s.resource_type == kind) {
        put_tags(&mut tags, &specification.tags);
    }
    tags
}

/// The result of a launch.
#[derive(Debug)]
pub struct Launched {
    pub reservation: String,
    pub instances: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunInstances {
    min_count: usize,
    max_count: usize,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    launch_template: Option<TemplateKey>,
}

pub(super) fn run_instances(world: &mut World, call: &Call) -> Answer {
    let input: RunInstances = call.parse()?;
    if input.min_count == 0 || input.max_count < input.min_count {
        return Err(refuse(
            "InvalidParameterValue",
            format!(
                "Invalid value '{}' for MaxCount. Should be an integer at least MinCount and 1.",
                input.max_count
            ),
        ));
    }
    if input.max_count > MOST_LAUNCHED {
        return Err(refuse(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({}) than your limit of {MOST_LAUNCHED}.",
                input.max_count
            ),
        ));
    }
    let here = place(call);
    if let Some(token) = &input.client_token {
        if token.len() > 64 {
            return Err(refuse("InvalidParameterValue", "Client token exceeds 64 ASCII characters."));
        }
        if let Some(answer) = replay(world, &here, "RunInstances", token, call)? {
            return Ok(as_it_is_now(world, answer));
        }
    }
    let mut members = match &input.launch_template {
        Some(key) => {
            let (template, version) = resolve_template(world, &here, key)?;
            let data = template.versions.get(&version).map(|v| v.data.clone());
            data.and_then(|d| d.as_object().cloned()).unwrap_or_default()
        }
        None => Map::new(),
    };
    for (name, value) in &call.input {
        members.insert(name.clone(), value.clone());
    }
    let spec: LaunchSpec = serde_json::from_value(Value::Object(members))
        .map_err(|e| refuse("InvalidParameterValue", e.to_string()))?;
    let launched = launch(world, &here, &spec, input.max_count, input.client_token.as_deref(), &Tags::new())?;
    let views: Vec<Value> = launched
        .instances
        .iter()
        .filter_map(|id| world.ec2.instances.get(id))
        .map(instance_describe::view)
        .collect();
    let answer = json!({
        "ReservationId": launched.reservation,
        "OwnerId": here.account,
        "Groups": [],
        "Instances": views,
    });
    if let Some(token) = input.client_token {
        remember(world, here, "RunInstances", token, call, &answer);
    }
    Ok(answer)
}

/// The first response to a client token, if the request is the same.
pub(super) fn replay(
    world: &World,
    here: &Place,
    operation: &'static str,
    token: &str,
    call: &Call,
) -> Result<Option<Value>, ApiError> {
    let key = (here.clone(), operation, token.to_owned());
    let Some(first) = world.ec2.remembered.get(&key) else { return Ok(None) };
    if first.input != Value::Object(call.input.clone()) {
        return Err(refuse(
            "IdempotentParameterMismatch",
            format!(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s) with ClientToken '{token}'."
            ),
        ));
    }
    Ok(Some(first.answer.clone()))
}

pub(super) fn remember(
    world: &mut World,
    here: Place,
    operation: &'static str,
    token: String,
    call: &Call,
    answer: &Value,
) {
    let remembered = Remembered { input: Value::Object(call.input.clone()), answer: answer.clone() };
    world.ec2.remembered.insert((here, operation, token), remembered);
}

/// Updates a replayed response: the same instances, in their current state, possibly terminated.
fn as_it_is_now(world: &World, mut answer: Value) -> Value {
    let Some(instances) = answer.get_mut("Instances").and_then(Value::as_array_mut) else { return answer };
    for view in instances {
        let id = view.get("InstanceId").and_then(Value::as_str).unwrap_or_default();
        match world.ec2.instances.get(id) {
            Some(instance) => *view = instance_describe::view(instance),
            None => {
                if let Some(members) = view.as_object_mut() {
                    members.insert("State".into(), InstanceState::Terminated.view());
                }
            }
        }
    }
    answer
}

/// Launches `count` instances, all or none.
///
/// # Errors
/// EC2's error codes for an unknown image, subnet, security group or instance type, and for lack of capacity.
pub fn launch(
    world: &mut World,
    here: &Place,
    spec: &LaunchSpec,
    count: usize,
    client_token: Option<&str>,
    extra_tags: &Tags,
) -> Result<Launched, ApiError> {
    let Some(image_id) = &spec.image_id else {
        return Err(refuse("MissingParameter", "The request must contain the parameter ImageId"));
    };
    let image_id = resolve_image(world, here, image_id)?;
    let behavior = usable_image(world, here, &image_id)?;
    let instance_type = spec.instance_type.clone().unwrap_or_else(|| "m1.small".into());
    if !instance_types::exists(&instance_type) {
        return Err(refuse(
            "InvalidParameterValue",
            format!("Invalid value '{instance_type}' for InstanceType."),
        ));
    }
    let interface = spec.network_interfaces.first();
    let subnet = spec.subnet_id.as_ref().or_else(|| interface.and_then(|i| i.subnet_id.as_ref()));
    let zone = spec.placement.as_ref().and_then(|p| p.availability_zone.as_deref());
    let location = network::locate(world, here, subnet.map(String::as_str), zone)?;
    let mut groups: Vec<String> = spec.security_group_ids.clone();
    groups.extend(interface.into_iter().flat_map(|i| i.groups.iter().cloned()));
    network::check_groups(world, here, &groups)?;
    groups.extend(spec.security_groups.iter().cloned());
    if let Some(shortage) = world.ec2.capacity_shortages.iter().find(|s| {
        s.region.as_ref().is_none_or(|r| *r == here.region)
            && s.zone.as_ref().is_none_or(|z| *z == location.zone)
            && s.instance_type.as_ref().is_none_or(|t| *t == instance_type)
    }) {
        return Err(ApiError::new(
            "InsufficientInstanceCapacity",
            format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}).",
                shortage.instance_type.as_ref().unwrap_or(&instance_type),
                location.zone
            ),
        )
        .with_status(500));
    }
    let market = spec.instance_market_options.as_ref().and_then(|options| options.market_type.as_deref());
    let spot = market == Some("spot");
    if spot && world.ec2.no_spot {
        return Err(ApiError::new(
            "InsufficientInstanceCapacity",
            "There is no Spot capacity available that matches your request.",
        )
        .with_status(500));
    }
    let now = world.now;
    let reservation = world.ids.ec2("r");
    let mut tags = tags_for(&spec.tag_specifications, "instance");
    tags.extend(extra_tags.iter().map(|(k, v)| (k.clone(), v.clone())));
    let mut ids = Vec::with_capacity(count);
    for launch_index in 0..count {
        let id = world.ids.ec2("i");
        let draw = world.ids.next();
        let instance = Instance {
            id: id.clone(),
            account: here.account.clone(),
            region: here.region.clone(),
            image_id: image_id.clone(),
            instance_type: instance_type.clone(),
            state: InstanceState::Pending,
            status_ok: false,
            impaired: false,
            tags: tags.clone(),
            launched: now,
            zone: location.zone.clone(),
            subnet_id: location.subnet_id.clone(),
            vpc_id: location.vpc_id.clone(),
            reservation: reservation.clone(),
            launch_index,
            client_token: client_token.map(str::to_owned),
            security_groups: groups.clone(),
            profile_arn: spec.iam_instance_profile.as_ref().and_then(|p| p.arn_in(here)),
            metadata_options: metadata_options(spec.metadata_options.as_ref()),
            key_name: spec.key_name.clone(),
            private_ip: format!("10.0.{}.{}", (draw >> 8) & 0xff, 4 + draw % 250),
            protected: spec.disable_api_termination.unwrap_or(false),
            ended: None,
            transition_reason: String::new(),
            spot,
            behavior: Arc::clone(&behavior),
        };
        world.ec2.instances.insert(id.clone(), instance);
        instances::begin(world, &id, now, &behavior);
        ids.push(id);
    }
    note_launch(world, &image_id, now);
    Ok(Launched { reservation, instances: ids })
}

fn note_launch(world: &mut World, image_id: &str, now: Time) {
    if let Some(image) = world.ec2.images.get_mut(image_id) {
        image.last_launched = Some(now);
    }
}

/// Resolves `resolve:ssm:name[:version|:label]` to an image id; other ids are returned unchanged.
pub(super) fn resolve_image(world: &World, here: &Place, image_id: &str) -> Result<String, ApiError> {
    let Some(parameter) = image_id.strip_prefix("resolve:ssm:") else { return Ok(image_id.to_owned()) };
    ssm::parameter_value(world, &here.account, &here.region, parameter).ok_or_else(|| {
        refuse(
            "InvalidParameterValue",
            format!("The parameter '{parameter}' could not be resolved to an AMI."),
        )
    })
}

/// An image of this Region that the account may launch now.
fn usable_image(
    world: &World,
    here: &Place,
    image_id: &str,
) -> Result<Arc<super::InstanceBehavior>, ApiError> {
    let Some(image) =
        world.ec2.images.get(image_id).filter(|i| i.region == here.region && i.launchable_by(&here.account))
    else {
        return Err(if image_id.starts_with("ami-") {
            refuse("InvalidAMIID.NotFound", format!("The image id '[{image_id}]' does not exist"))
        } else {
            refuse("InvalidAMIID.Malformed", format!("Invalid id: \"{image_id}\" (expecting \"ami-...\")"))
        });
    };
    if image.state != ImageState::Available {
        return Err(refuse(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{image_id}' is no longer available (state {}).", image.state.name()),
        ));
    }
    Ok(Arc::clone(&image.behavior))
}

impl Profile {
    fn arn_in(&self, here: &Place) -> Option<String> {
        let (partition, account) = (crate::partition::id(&here.region), &here.account);
        self.arn.clone().or_else(|| {
            self.name.as_ref().map(|name| format!("arn:{partition}:iam::{account}:instance-profile/{name}"))
        })
    }
}

/// EC2's default metadata options, overridden by the requested ones.
fn metadata_options(asked: Option<&Map<String, Value>>) -> Value {
    let mut options = Map::new();
    options.insert("State".into(), json!("applied"));
    options.insert("HttpTokens".into(), json!("optional"));
    options.insert("HttpPutResponseHopLimit".into(), json!(1));
    options.insert("HttpEndpoint".into(), json!("enabled"));
    for (name, value) in asked.into_iter().flatten() {
        options.insert(name.clone(), value.clone());
    }
    Value::Object(options)
}
