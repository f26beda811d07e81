//! Tests of the documented rules of Systems Manager.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::call::{ApiError, Call};
use super::super::super::instance_behavior::{CommandRule, InstanceBehavior};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2;
use super::write_document;

mod commands;
mod parameters;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";

fn call(world: &mut World, service: &'static str, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { panic!("inputs are objects") };
    let call = Call {
        service,
        operation: operation.into(),
        input,
        account: ACCOUNT.into(),
        region: REGION.into(),
        access_key: "AKIATEST".into(),
        now: world.now,
    };
    world.call(&call)
}

fn ask(world: &mut World, operation: &str, input: Value) -> Result<Value, ApiError> {
    call(world, "ssm", operation, input)
}

fn wait(world: &mut World, seconds: u64) {
    world.advance(world.now + Duration::from_secs(seconds));
}

fn new_world() -> World {
    World::new(Time(1_700_000_000_000), 5)
}

fn image(world: &mut World, behavior: InstanceBehavior, available_after: u64) -> String {
    let image = ec2::NewImage {
        name: format!("image-{}", world.ids.next()),
        account: ACCOUNT.into(),
        region: REGION.into(),
        description: None,
        tags: BTreeMap::new(),
        source_image: None,
        behavior,
        available_after: Duration::from_secs(available_after),
        snapshots: 1,
        disk: ec2::Disk::default(),
    };
    ec2::register_image(world, image)
}

fn launch(world: &mut World, image: &str, profile: Option<&str>) -> String {
    let zone = format!("{REGION}a");
    let subnet = ec2::seed_subnet(world, ACCOUNT, REGION, &zone, "vpc-1");
    let mut input = json!({ "ImageId": image, "SubnetId": subnet, "MinCount": 1, "MaxCount": 1,
        "InstanceType": "t3.micro" });
    if let Some(name) = profile {
        input["IamInstanceProfile"] = json!({ "Name": name });
    }
    let answer = call(world, "ec2", "RunInstances", input).unwrap();
    answer["Instances"][0]["InstanceId"].as_str().unwrap().to_owned()
}

/// A world with an instance whose agent is online, and whose image has these command rules.
fn online(rules: Vec<CommandRule>) -> (World, String) {
    let mut world = new_world();
    let image = image(&mut world, InstanceBehavior { commands: rules, ..InstanceBehavior::default() }, 0);
    let id = launch(&mut world, &image, Some("Staging"));
    wait(&mut world, 60);
    (world, id)
}
