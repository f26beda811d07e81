//! Every kind of reference to an image, created through AWS's API.

use bakeline_rehearsal::services::{autoscaling, ec2};
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::fixtures::Fixture;

/// Creates a reference to an image.
pub type Refer = fn(&mut World, &Fixture, &str);

/// Every kind of reference that keeps an image.
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

/// A unique name for each image.
fn of(name: &str, image: &str) -> String {
    format!("{name}-{}", image.trim_start_matches("ami-"))
}

pub fn version(world: &mut World, fixture: &Fixture, template: &str, image: &str) {
    let data = json!({"ImageId": image, "InstanceType": "t3.small"});
    fixture.ask(
        world,
        "ec2",
        "CreateLaunchTemplateVersion",
        json!({"LaunchTemplateName": template, "LaunchTemplateData": data}),
    );
}

pub fn template(world: &mut World, fixture: &Fixture, name: &str, image: &str) -> String {
    let data = json!({"ImageId": image, "InstanceType": "t3.small"});
    ec2::seed_launch_template(world, &fixture.account, &fixture.region, name, data)
}

pub fn older_version(world: &mut World, fixture: &Fixture, image: &str) {
    let name = of("other", image);
    template(world, fixture, &name, image);
    let current = fixture.moment.provisioned.current_image.clone().unwrap();
    // Twelve versions: by default, DescribeImageReferences searches the ten newest.
    for _ in 0..12 {
        version(world, fixture, &name, &current);
    }
}

pub fn shared(world: &mut World, fixture: &Fixture, image: &str) {
    fixture.share(world, image, "210987654321");
}

pub fn parameter(world: &mut World, fixture: &Fixture, name: &str, value: &str) {
    let input = json!({"Name": name, "Value": value, "Type": "String"});
    fixture.ask(world, "ssm", "PutParameter", input);
}

pub fn plain_parameter(world: &mut World, fixture: &Fixture, image: &str) {
    parameter(world, fixture, &of("/golden/image", image), image);
}

pub fn odd_parameter(world: &mut World, fixture: &Fixture, image: &str) {
    parameter(world, fixture, &of("runner_config", image), image);
}

pub fn document(world: &mut World, fixture: &Fixture, image: &str) {
    parameter(world, fixture, &of("/runners", image), &format!(r#"{{"ami_id": ["{image}"]}}"#));
}

pub fn lost_template(world: &mut World, fixture: &Fixture, image: &str) {
    let id = template(world, fixture, &of("short-lived", image), image);
    let group =
        autoscaling::NewGroup::new(&fixture.account, &fixture.region, &of("broken", image), &id, "1", 0);
    autoscaling::seed_group(world, group);
    fixture.ask(world, "ec2", "DeleteLaunchTemplate", json!({"LaunchTemplateId": id}));
}

pub fn lone_template(world: &mut World, fixture: &Fixture, image: &str) {
    template(world, fixture, &of("lone", image), image);
}

pub fn by_parameter(world: &mut World, fixture: &Fixture, image: &str) {
    let name = of("golden", image);
    parameter(world, fixture, &name, image);
    template(world, fixture, &of("resolving", image), &format!("resolve:ssm:{name}:1"));
    let current = fixture.moment.provisioned.current_image.clone().unwrap();
    // The parameter is updated; the launch template names the old version.
    let input = json!({"Name": name, "Value": current, "Type": "String", "Overwrite": true});
    fixture.ask(world, "ssm", "PutParameter", input);
}

pub fn configuration(world: &mut World, fixture: &Fixture, image: &str) {
    let one = json!({"LaunchConfigurationName": of("unattached", image), "ImageId": image, "InstanceType": "t3.small",
        "CreatedTime": 1_700_000_000});
    autoscaling::seed_launch_configuration(world, &fixture.account, &fixture.region, one);
}

pub fn node_group(world: &mut World, fixture: &Fixture, image: &str) {
    let name = of("eks-node-group", image);
    let id = template(world, fixture, &name, image);
    let current = fixture.moment.provisioned.current_image.clone().unwrap();
    version(world, fixture, &name, &current);
    let group = autoscaling::NewGroup::new(
        &fixture.account,
        &fixture.region,
        &of("eks-nodes", image),
        &id,
        "$Default",
        0,
    );
    autoscaling::seed_group(world, group);
}

pub fn group_of_template(world: &mut World, fixture: &Fixture, image: &str) {
    let id = template(world, fixture, &of("behind-a-group", image), image);
    let group =
        autoscaling::NewGroup::new(&fixture.account, &fixture.region, &of("idle", image), &id, "$Latest", 0);
    autoscaling::seed_group(world, group);
}

pub fn fleet(world: &mut World, fixture: &Fixture, image: &str) {
    let fleet = json!({"FleetId": of("fleet", image), "FleetState": "active",
        "LaunchTemplateConfigs": [{"Overrides": [{"ImageId": image}]}]});
    ec2::seed_fleet(world, &fixture.account, &fixture.region, fleet);
}

pub fn spot_fleet(world: &mut World, fixture: &Fixture, image: &str) {
    let request = json!({"SpotFleetRequestId": of("sfr", image), "SpotFleetRequestState": "active",
        "SpotFleetRequestConfig": {"IamFleetRole": "arn:aws:iam::123456789012:role/fleet", "TargetCapacity": 1,
            "LaunchSpecifications": [{"ImageId": image}]}});
    ec2::seed_spot_fleet_request(world, &fixture.account, &fixture.region, request);
}

pub fn spot_request(world: &mut World, fixture: &Fixture, image: &str) {
    let request = json!({"SpotInstanceRequestId": of("sir", image), "State": "open",
        "LaunchSpecification": {"ImageId": image}});
    ec2::seed_spot_request(world, &fixture.account, &fixture.region, request);
}

pub fn instance(world: &mut World, fixture: &Fixture, image: &str) {
    launched(world, fixture, image);
}

fn launched(world: &mut World, fixture: &Fixture, image: &str) -> Value {
    let input = json!({"ImageId": image, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1,
        "SubnetId": fixture.subnet});
    let launched_on = fixture.ask(world, "ec2", "RunInstances", input);
    launched_on.pointer("/Instances/0/InstanceId").unwrap().clone()
}

pub fn stopped_instance(world: &mut World, fixture: &Fixture, image: &str) {
    let id = launched(world, fixture, image);
    world.advance(world.now + std::time::Duration::from_mins(5));
    fixture.ask(world, "ec2", "StopInstances", json!({"InstanceIds": [id]}));
}

pub fn recipe(world: &mut World, fixture: &Fixture, image: &str) {
    let components = fixture.ask(world, "imagebuilder", "ListComponents", json!({"owner": "Self"}));
    let component = &components["componentVersionList"][0]["arn"];
    let input = json!({"name": of("recipe", image), "semanticVersion": "1.0.0", "parentImage": image,
        "components": [{"componentArn": component}], "clientToken": of("recipe", image)});
    fixture.ask(world, "imagebuilder", "CreateImageRecipe", input);
}

pub fn container_recipe(world: &mut World, fixture: &Fixture, image: &str) {
    fixture.ask(
        world,
        "imagebuilder",
        "CreateContainerRecipe",
        container(&of("container", image), json!({"image": image})),
    );
}

/// A container recipe with this instance configuration.
fn container(name: &str, instance: Value) -> Value {
    json!({"containerType": "DOCKER", "name": name, "semanticVersion": "1.0.0", "parentImage": "amazonlinux:2023",
        "dockerfileTemplateData": "FROM x", "clientToken": name, "instanceConfiguration": instance,
        "targetRepository": {"service": "ECR", "repositoryName": "data"}})
}

/// Every kind of reference to a snapshot.
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

/// A unique name for each snapshot.
fn on(name: &str, snapshot: &str) -> String {
    format!("{name}-{}", snapshot.trim_start_matches("snap-"))
}

fn disk_of_older_version(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let name = on("data", snapshot);
    let data = json!({"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)});
    ec2::seed_launch_template(world, &fixture.account, &fixture.region, &name, data);
    let current = fixture.moment.provisioned.current_image.clone().unwrap();
    version(world, fixture, &name, &current);
}

fn disk_of_configuration(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let current = fixture.moment.provisioned.current_image.clone().unwrap();
    let one = json!({"LaunchConfigurationName": on("data", snapshot), "ImageId": current, "InstanceType": "t3.small",
        "CreatedTime": 1_700_000_000, "BlockDeviceMappings": disks(snapshot)});
    autoscaling::seed_launch_configuration(world, &fixture.account, &fixture.region, one);
}

fn disk_of_spot_fleet(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let request = json!({"SpotFleetRequestId": on("sfr", snapshot), "SpotFleetRequestState": "active",
        "SpotFleetRequestConfig": {"IamFleetRole": "arn:aws:iam::123456789012:role/fleet", "TargetCapacity": 1,
            "LaunchSpecifications": [{"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)}]}});
    ec2::seed_spot_fleet_request(world, &fixture.account, &fixture.region, request);
}

fn disk_of_spot_request(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let request = json!({"SpotInstanceRequestId": on("sir", snapshot), "State": "open",
        "LaunchSpecification": {"InstanceType": "t3.small", "BlockDeviceMappings": disks(snapshot)}});
    ec2::seed_spot_request(world, &fixture.account, &fixture.region, request);
}

fn disk_of_recipe(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let disks = json!([{"deviceName": "/dev/sdf", "ebs": {"snapshotId": snapshot}}]);
    let parent = fixture.moment.provisioned.current_image.clone().unwrap();
    let name = on("data", snapshot);
    let recipe = json!({"name": name, "semanticVersion": "1.0.0", "parentImage": parent, "components": [],
        "blockDeviceMappings": disks, "clientToken": name});
    fixture.ask(world, "imagebuilder", "CreateImageRecipe", recipe);
}

fn disk_of_container_recipe(world: &mut World, fixture: &Fixture, snapshot: &str) {
    let disks = json!([{"deviceName": "/dev/sdf", "ebs": {"snapshotId": snapshot}}]);
    let recipe = container(&on("container", snapshot), json!({"blockDeviceMappings": disks}));
    fixture.ask(world, "imagebuilder", "CreateContainerRecipe", recipe);
}
