//! Everything that can use an image, each as AWS keeps it.

use bakeline_rehearsal::services::{autoscaling, ec2};
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::ground::Ground;

/// Makes something use an image.
pub type Refer = fn(&mut World, &Ground, &str);

/// Every way that keeps an image.
pub const ALL: [(&str, Refer); 14] = [
    ("an older template version", older_version),
    ("a plain parameter", plain_parameter),
    ("a template that no group uses", lone_template),
    ("a version of a parameter, through a template", by_parameter),
    ("a launch configuration", configuration),
    ("a parameter that holds a document", document),
    ("a node group behind $Default", node_group),
    ("a fleet", fleet),
    ("a Spot fleet", spot_fleet),
    ("a Spot request", spot_request),
    ("an instance", instance),
    ("a recipe", recipe),
    ("a container recipe", container_recipe),
    ("shared", shared),
];

/// A name of its own for each image.
fn of(name: &str, image: &str) -> String {
    format!("{name}-{}", image.trim_start_matches("ami-"))
}

pub fn version(world: &mut World, ground: &Ground, template: &str, image: &str) {
    let data = json!({"ImageId": image, "InstanceType": "t3.small"});
    ground.ask(
        world,
        "ec2",
        "CreateLaunchTemplateVersion",
        json!({"LaunchTemplateName": template, "LaunchTemplateData": data}),
    );
}

pub fn template(world: &mut World, ground: &Ground, name: &str, image: &str) -> String {
    let data = json!({"ImageId": image, "InstanceType": "t3.small"});
    ec2::seed_launch_template(world, &ground.account, &ground.region, name, data)
}

pub fn older_version(world: &mut World, ground: &Ground, image: &str) {
    let name = of("other", image);
    template(world, ground, &name, image);
    let current = ground.moment.founded.current_image.clone().unwrap();
    // The version is older than the ten that DescribeImageReferences looks at by default.
    for _ in 0..12 {
        version(world, ground, &name, &current);
    }
}

pub fn shared(world: &mut World, ground: &Ground, image: &str) {
    ground.share(world, image, "210987654321");
}

pub fn parameter(world: &mut World, ground: &Ground, name: &str, value: &str) {
    let input = json!({"Name": name, "Value": value, "Type": "String"});
    ground.ask(world, "ssm", "PutParameter", input);
}

pub fn plain_parameter(world: &mut World, ground: &Ground, image: &str) {
    parameter(world, ground, &of("/golden/image", image), image);
}

pub fn odd_parameter(world: &mut World, ground: &Ground, image: &str) {
    parameter(world, ground, &of("runner_config", image), image);
}

pub fn document(world: &mut World, ground: &Ground, image: &str) {
    parameter(world, ground, &of("/runners", image), &format!(r#"{{"ami_id": ["{image}"]}}"#));
}

pub fn lost_template(world: &mut World, ground: &Ground, image: &str) {
    let id = template(world, ground, &of("short-lived", image), image);
    let group =
        autoscaling::NewGroup::new(&ground.account, &ground.region, &of("broken", image), &id, "1", 0);
    autoscaling::seed_group(world, group);
    ground.ask(world, "ec2", "DeleteLaunchTemplate", json!({"LaunchTemplateId": id}));
}

pub fn lone_template(world: &mut World, ground: &Ground, image: &str) {
    template(world, ground, &of("lone", image), image);
}

pub fn by_parameter(world: &mut World, ground: &Ground, image: &str) {
    let name = of("golden", image);
    parameter(world, ground, &name, image);
    template(world, ground, &of("resolving", image), &format!("resolve:ssm:{name}:1"));
    let current = ground.moment.founded.current_image.clone().unwrap();
    // The parameter has moved on; the template has not.
    let input = json!({"Name": name, "Value": current, "Type": "String", "Overwrite": true});
    ground.ask(world, "ssm", "PutParameter", input);
}

pub fn configuration(world: &mut World, ground: &Ground, image: &str) {
    let one = json!({"LaunchConfigurationName": of("unattached", image), "ImageId": image, "InstanceType": "t3.small",
        "CreatedTime": 1_700_000_000});
    autoscaling::seed_launch_configuration(world, &ground.account, &ground.region, one);
}

pub fn node_group(world: &mut World, ground: &Ground, image: &str) {
    let name = of("eks-node-group", image);
    let id = template(world, ground, &name, image);
    let current = ground.moment.founded.current_image.clone().unwrap();
    version(world, ground, &name, &current);
    let group = autoscaling::NewGroup::new(
        &ground.account,
        &ground.region,
        &of("eks-nodes", image),
        &id,
        "$Default",
        0,
    );
    autoscaling::seed_group(world, group);
}

pub fn group_of_template(world: &mut World, ground: &Ground, image: &str) {
    let id = template(world, ground, &of("behind-a-group", image), image);
    let group =
        autoscaling::NewGroup::new(&ground.account, &ground.region, &of("idle", image), &id, "$Latest", 0);
    autoscaling::seed_group(world, group);
}

pub fn fleet(world: &mut World, ground: &Ground, image: &str) {
    let fleet = json!({"FleetId": of("fleet", image), "FleetState": "active",
        "LaunchTemplateConfigs": [{"Overrides": [{"ImageId": image}]}]});
    ec2::seed_fleet(world, &ground.account, &ground.region, fleet);
}

pub fn spot_fleet(world: &mut World, ground: &Ground, image: &str) {
    let request = json!({"SpotFleetRequestId": of("sfr", image), "SpotFleetRequestState": "active",
        "SpotFleetRequestConfig": {"IamFleetRole": "arn:aws:iam::123456789012:role/fleet", "TargetCapacity": 1,
            "LaunchSpecifications": [{"ImageId": image}]}});
    ec2::seed_spot_fleet_request(world, &ground.account, &ground.region, request);
}

pub fn spot_request(world: &mut World, ground: &Ground, image: &str) {
    let request = json!({"SpotInstanceRequestId": of("sir", image), "State": "open",
        "LaunchSpecification": {"ImageId": image}});
    ec2::seed_spot_request(world, &ground.account, &ground.region, request);
}

pub fn instance(world: &mut World, ground: &Ground, image: &str) {
    launched(world, ground, image);
}

fn launched(world: &mut World, ground: &Ground, image: &str) -> Value {
    let input = json!({"ImageId": image, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1,
        "SubnetId": ground.subnet});
    let launched_on = ground.ask(world, "ec2", "RunInstances", input);
    launched_on.pointer("/Instances/0/InstanceId").unwrap().clone()
}

pub fn stopped_instance(world: &mut World, ground: &Ground, image: &str) {
    let id = launched(world, ground, image);
    world.advance(world.now + std::time::Duration::from_mins(5));
    ground.ask(world, "ec2", "StopInstances", json!({"InstanceIds": [id]}));
}

pub fn recipe(world: &mut World, ground: &Ground, image: &str) {
    let components = ground.ask(world, "imagebuilder", "ListComponents", json!({"owner": "Self"}));
    let component = &components["componentVersionList"][0]["arn"];
    let input = json!({"name": of("recipe", image), "semanticVersion": "1.0.0", "parentImage": image,
        "components": [{"componentArn": component}], "clientToken": of("recipe", image)});
    ground.ask(world, "imagebuilder", "CreateImageRecipe", input);
}

pub fn container_recipe(world: &mut World, ground: &Ground, image: &str) {
    ground.ask(
        world,
        "imagebuilder",
        "CreateContainerRecipe",
        container(&of("container", image), json!({"image": image})),
    );
}

/// A container recipe whose build instances are so.
fn container(name: &str, instance: Value) -> Value {
    json!({"containerType": "DOCKER", "name": name, "semanticVersion": "1.0.0", "parentImage": "amazonlinux:2023",
        "dockerfileTemplateData": "FROM x", "clientToken": name, "instanceConfiguration": instance,
        "targetRepository": {"service": "ECR", "repositoryName": "data"}})
}

/// Every way for something to name a snapshot.
pub const DISKS: &[(&str, Refer)] = &[
    ("launch template", disk_of_older_version),
    ("launch configuration", disk_of_configuration),
    ("Spot fleet", disk_of_spot_fleet),
    ("Spot request", disk_of_spot_request),
    ("Image Builder recipe", disk_of_recipe),
    ("Image Builder recipe", disk_of_container_recipe),
];

fn disks(snapshot: &str) -> Value {
    json!([{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot}}])
}

/// A name of its own for each snapshot.
fn on(name: &str, snapshot: &str) -> String {
    format!("{name}-{}", snapshot.trim_start_matches("snap-"))
}

fn disk_of_older_version(world: &mut World, ground: &Ground, snapshot: &str) {
    let name = on("data", snapshot);
    let data = json!({"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)});
    ec2::seed_launch_template(world, &ground.account, &ground.region, &name, data);
    let current = ground.moment.founded.current_image.clone().unwrap();
    version(world, ground, &name, &current);
}

fn disk_of_configuration(world: &mut World, ground: &Ground, snapshot: &str) {
    let current = ground.moment.founded.current_image.clone().unwrap();
    let one = json!({"LaunchConfigurationName": on("data", snapshot), "ImageId": current, "InstanceType": "t3.small",
        "CreatedTime": 1_700_000_000, "BlockDeviceMappings": disks(snapshot)});
    autoscaling::seed_launch_configuration(world, &ground.account, &ground.region, one);
}

fn disk_of_spot_fleet(world: &mut World, ground: &Ground, snapshot: &str) {
    let request = json!({"SpotFleetRequestId": on("sfr", snapshot), "SpotFleetRequestState": "active",
        "SpotFleetRequestConfig": {"IamFleetRole": "arn:aws:iam::123456789012:role/fleet", "TargetCapacity": 1,
            "LaunchSpecifications": [{"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)}]}});
    ec2::seed_spot_fleet_request(world, &ground.account, &ground.region, request);
}

fn disk_of_spot_request(world: &mut World, ground: &Ground, snapshot: &str) {
    let request = json!({"SpotInstanceRequestId": on("sir", snapshot), "State": "open",
        "LaunchSpecification": {"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)}});
    ec2::seed_spot_request(world, &ground.account, &ground.region, request);
}

fn disk_of_recipe(world: &mut World, ground: &Ground, snapshot: &str) {
    let disks = json!([{"deviceName": "/dev/sdf", "ebs": {"snapshotId": snapshot}}]);
    let parent = ground.moment.founded.current_image.clone().unwrap();
    let name = on("data", snapshot);
    let recipe = json!({"name": name, "semanticVersion": "1.0.0", "parentImage": parent, "components": [],
        "blockDeviceMappings": disks, "clientToken": name});
    ground.ask(world, "imagebuilder", "CreateImageRecipe", recipe);
}

fn disk_of_container_recipe(world: &mut World, ground: &Ground, snapshot: &str) {
    let disks = json!([{"deviceName": "/dev/sdf", "ebs": {"snapshotId": snapshot}}]);
    let recipe = container(&on("container", snapshot), json!({"blockDeviceMappings": disks}));
    ground.ask(world, "imagebuilder", "CreateContainerRecipe", recipe);
}
