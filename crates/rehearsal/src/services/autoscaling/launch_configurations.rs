//! Launch configurations, the predecessors of launch templates. Groups refer to them by name.

use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::support::refuse;
use super::config::invalid;
use super::place;

/// Request members that are stored as given. `InstanceId`, which copies an instance's settings, is not supported.
const FROM_INSTANCE: &str = "InstanceId";

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let text = |name: &str| call.input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, here) = (text("LaunchConfigurationName"), place(call));
    let named = |c: &Value| c.get("LaunchConfigurationName").and_then(Value::as_str) == Some(&name);
    if world.autoscaling.launch_configurations.iter().any(|(at, c)| *at == here && named(c)) {
        return Err(refuse(
            "AlreadyExists",
            format!("Launch Configuration by this name already exists - {name}"),
        ));
    }
    if call.input.contains_key(FROM_INSTANCE) {
        return Err(invalid(
            "The embedded AWS creates launch configurations from an ImageId and an InstanceType only.",
        ));
    }
    for needed in ["ImageId", "InstanceType"] {
        if text(needed).is_empty() {
            return Err(invalid(format!("Valid requests must contain the {needed} parameter")));
        }
    }
    let mut made = call.input.clone();
    let uuid = world.ids.uuid();
    let arn = format!(
        "arn:{}:autoscaling:{}:{}:launchConfiguration:{uuid}:launchConfigurationName/{name}",
        crate::partition::id(&here.region),
        here.region,
        here.account
    );
    made.insert("LaunchConfigurationARN".into(), arn.into());
    made.insert("CreatedTime".into(), world.now.epoch_seconds().into());
    world.autoscaling.launch_configurations.push((here, Value::Object(made)));
    Ok(json!({}))
}
