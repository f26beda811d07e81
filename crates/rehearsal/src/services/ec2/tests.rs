//! Tests of instances, launches, launch templates and tags.

mod images;

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::instance_behavior::InstanceBehavior;
use super::super::ssm;
use super::super::test_aws::{ACCOUNT, REGION, TestAws};
use super::{CapacityShortage, seed_security_group, seed_subnet, share_snapshots};

fn run(image: &str) -> Value {
    json!({ "ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1 })
}

fn with(mut base: Value, more: &Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

fn first_id(answer: &Value) -> String {
    answer["Instances"][0]["InstanceId"].as_str().unwrap().to_owned()
}

fn state(aws: &mut TestAws, id: &str) -> String {
    let answer = aws.ok("ec2", "DescribeInstances", json!({ "InstanceIds": [id] }));
    answer["Reservations"][0]["Instances"][0]["State"]["Name"].as_str().unwrap().to_owned()
}

fn status(aws: &mut TestAws, id: &str) -> String {
    let input = json!({ "InstanceIds": [id], "IncludeAllInstances": true });
    let answer = aws.ok("ec2", "DescribeInstanceStatus", input);
    answer["InstanceStatuses"][0]["InstanceStatus"]["Status"].as_str().unwrap().to_owned()
}

fn image_state(aws: &mut TestAws, id: &str) -> Option<String> {
    let answer = aws.ok("ec2", "DescribeImages", json!({ "ImageIds": [id], "IncludeDisabled": true }));
    answer["Images"][0]["State"].as_str().map(str::to_owned)
}

#[test]
fn an_instance_goes_from_pending_to_terminated_and_disappears() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let id = first_id(&aws.ok("ec2", "RunInstances", run(&image)));
    assert_eq!((state(&mut aws, &id), status(&mut aws, &id)), ("pending".into(), "initializing".into()));
    aws.pass(6);
    assert_eq!((state(&mut aws, &id), status(&mut aws, &id)), ("running".into(), "initializing".into()));
    aws.pass(40);
    assert_eq!(status(&mut aws, &id), "ok");
    let answer = aws.ok("ec2", "TerminateInstances", json!({ "InstanceIds": [id] }));
    assert_eq!(answer["TerminatingInstances"][0]["PreviousState"]["Name"], "running");
    assert_eq!(state(&mut aws, &id), "shutting-down");
    aws.pass(1800);
    assert_eq!(state(&mut aws, &id), "terminated");
    aws.pass(2000);
    let gone = aws.refused("ec2", "DescribeInstances", json!({ "InstanceIds": [id] }));
    assert_eq!(gone, "InvalidInstanceID.NotFound");
}

#[test]
fn an_instance_that_does_not_boot_is_impaired_with_console_output() {
    let mut aws = TestAws::new();
    let image = aws.image("broken", InstanceBehavior::never_boots());
    let id = first_id(&aws.ok("ec2", "RunInstances", run(&image)));
    aws.pass(3600);
    assert_eq!((state(&mut aws, &id), status(&mut aws, &id)), ("running".into(), "impaired".into()));
    let answer = aws.ok("ec2", "GetConsoleOutput", json!({ "InstanceId": id }));
    assert!(answer["Output"].as_str().unwrap().len().is_multiple_of(4));
}

#[test]
fn a_client_token_launches_once() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let input = with(run(&image), &json!({ "ClientToken": "slice-1" }));
    let first = first_id(&aws.ok("ec2", "RunInstances", input.clone()));
    aws.pass(60);
    let again = aws.ok("ec2", "RunInstances", input.clone());
    assert_eq!(
        (first_id(&again), &again["Instances"][0]["State"]["Name"]),
        (first.clone(), &json!("running"))
    );
    let other = with(input.clone(), &json!({ "InstanceType": "t3.small" }));
    assert_eq!(aws.refused("ec2", "RunInstances", other), "IdempotentParameterMismatch");
    aws.ok("ec2", "TerminateInstances", json!({ "InstanceIds": [first] }));
    aws.pass(7200);
    let late = aws.ok("ec2", "RunInstances", input);
    assert_eq!((first_id(&late), &late["Instances"][0]["State"]["Name"]), (first, &json!("terminated")));
    assert_eq!(aws.world.ec2.instances.len(), 0, "nothing new was launched");
    let long = with(run(&image), &json!({ "ClientToken": "x".repeat(65) }));
    assert_eq!(aws.refused("ec2", "RunInstances", long), "InvalidParameterValue");
}

#[test]
fn each_invalid_launch_has_its_own_error_code() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let gone = aws.image("gone", InstanceBehavior::default());
    let disabled = aws.image("disabled", InstanceBehavior::default());
    aws.ok("ec2", "DeregisterImage", json!({ "ImageId": gone }));
    aws.ok("ec2", "DisableImage", json!({ "ImageId": disabled }));
    for (input, code) in [
        (run("ami-00000000000000000"), "InvalidAMIID.NotFound"),
        (run("release"), "InvalidAMIID.Malformed"),
        (run(&gone), "InvalidAMIID.Unavailable"),
        (run(&disabled), "InvalidAMIID.Unavailable"),
        (run("resolve:ssm:/nothing"), "InvalidParameterValue"),
        (json!({ "MinCount": 1, "MaxCount": 1 }), "MissingParameter"),
        (with(run(&image), &json!({ "InstanceType": "t3.gigantic" })), "InvalidParameterValue"),
        (with(run(&image), &json!({ "SubnetId": "subnet-1" })), "InvalidSubnetID.NotFound"),
        (with(run(&image), &json!({ "SecurityGroupIds": ["sg-1"] })), "InvalidGroup.NotFound"),
        (with(run(&image), &json!({ "MaxCount": 0 })), "InvalidParameterValue"),
        (with(run(&image), &json!({ "DryRun": true })), "DryRunOperation"),
        (
            with(run(&image), &json!({ "LaunchTemplate": { "LaunchTemplateName": "none" } })),
            "InvalidLaunchTemplateName.NotFoundException",
        ),
    ] {
        assert_eq!(aws.refused("ec2", "RunInstances", input.clone()), code, "{input}");
    }
    let dry = aws.call("ec2", "RunInstances", with(run(&image), &json!({ "DryRun": true }))).unwrap_err();
    assert_eq!(dry.status, Some(412), "the request would have succeeded");
    aws.region = "us-east-1";
    assert_eq!(aws.refused("ec2", "RunInstances", run(&image)), "InvalidAMIID.NotFound", "another Region");
}

#[test]
fn an_ssm_parameter_resolves_to_an_image_by_version_or_label() {
    let mut aws = TestAws::new();
    let (first, second) =
        (aws.image("first", InstanceBehavior::default()), aws.image("second", InstanceBehavior::default()));
    for image in [&first, &second] {
        let now = aws.world.now;
        ssm::write_parameter(&mut aws.world, now, ACCOUNT, REGION, "/golden", "aws:ec2:image", image);
    }
    for (reference, expected) in [("resolve:ssm:/golden", &second), ("resolve:ssm:/golden:1", &first)] {
        let answer = aws.ok("ec2", "RunInstances", run(reference));
        assert_eq!(answer["Instances"][0]["ImageId"], expected.as_str(), "{reference}");
    }
}

#[test]
fn capacity_runs_out_by_zone_and_type() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let subnet = seed_subnet(&mut aws.world, ACCOUNT, REGION, "eu-west-1a", "vpc-1");
    let other = seed_subnet(&mut aws.world, ACCOUNT, REGION, "eu-west-1b", "vpc-1");
    aws.world.ec2.capacity_shortages = vec![CapacityShortage {
        zone: Some("eu-west-1a".into()),
        instance_type: Some("t3.micro".into()),
        region: None,
    }];
    let input = with(run(&image), &json!({ "SubnetId": subnet }));
    assert_eq!(aws.refused("ec2", "RunInstances", input.clone()), "InsufficientInstanceCapacity");
    aws.ok("ec2", "RunInstances", with(input.clone(), &json!({ "SubnetId": other })));
    aws.ok("ec2", "RunInstances", with(input, &json!({ "InstanceType": "t3.small" })));
}

#[test]
fn a_launch_template_supplies_missing_parameters() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let group = seed_security_group(&mut aws.world, ACCOUNT, REGION, "vpc-1", "web");
    let data = json!({
        "ImageId": image, "InstanceType": "m7g.large", "SecurityGroupIds": [group],
        "IamInstanceProfile": { "Name": "web" }, "MetadataOptions": { "HttpTokens": "required" },
        "TagSpecifications": [{ "ResourceType": "instance", "Tags": [{ "Key": "from", "Value": "template" }] }],
    });
    aws.ok("ec2", "CreateLaunchTemplate", json!({ "LaunchTemplateName": "web", "LaunchTemplateData": data }));
    let input = json!({
        "LaunchTemplate": { "LaunchTemplateName": "web" }, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 2,
    });
    let answer = aws.ok("ec2", "RunInstances", input);
    let instances = answer["Instances"].as_array().unwrap();
    assert_eq!(instances.len(), 2);
    let first = &instances[0];
    assert_eq!((&first["ImageId"], &first["InstanceType"]), (&json!(image), &json!("t3.micro")));
    assert_eq!(first["IamInstanceProfile"]["Arn"], format!("arn:aws:iam::{ACCOUNT}:instance-profile/web"));
    assert_eq!(first["MetadataOptions"]["HttpTokens"], "required");
    assert_eq!(first["Tags"], json!([{ "Key": "from", "Value": "template" }]));
    assert_eq!(first["SecurityGroups"][0]["GroupId"], group.as_str());
}

#[test]
fn a_new_resource_is_hidden_until_it_is_visible() {
    let mut aws = TestAws::new();
    aws.world.ec2.visible_after = Duration::from_secs(2);
    let image = aws.image("release", InstanceBehavior::default());
    let hidden = aws.refused("ec2", "DescribeImages", json!({ "ImageIds": [image] }));
    assert_eq!(hidden, "InvalidAMIID.NotFound");
    let id = first_id(&aws.ok("ec2", "RunInstances", run(&image)));
    let hidden = aws.refused("ec2", "DescribeInstances", json!({ "InstanceIds": [id] }));
    assert_eq!(hidden, "InvalidInstanceID.NotFound");
    aws.pass(2);
    assert_eq!(
        (state(&mut aws, &id), image_state(&mut aws, &image)),
        ("pending".into(), Some("available".into()))
    );
}

#[test]
fn instances_are_filtered_and_paginated() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    for n in 0..7 {
        let tags = json!([{ "ResourceType": "instance", "Tags": [{ "Key": "run", "Value": format!("run-{}", n % 2) }] }]);
        aws.ok("ec2", "RunInstances", with(run(&image), &json!({ "TagSpecifications": tags })));
    }
    let filters = |list: Value| json!({ "Filters": list });
    for (list, expected) in [
        (json!([{ "Name": "tag:run", "Values": ["run-0"] }]), 4),
        (json!([{ "Name": "tag:run", "Values": ["run-*"] }]), 7),
        (json!([{ "Name": "tag:run", "Values": ["run-0"] }, { "Name": "image-id", "Values": ["ami-1"] }]), 0),
        (json!([{ "Name": "tag-key", "Values": ["run"] }]), 7),
        (json!([{ "Name": "instance-state-name", "Values": ["running", "pending"] }]), 7),
    ] {
        let answer = aws.ok("ec2", "DescribeInstances", filters(list.clone()));
        assert_eq!(answer["Reservations"].as_array().unwrap().len(), expected, "{list}");
    }
    let wrong = filters(json!([{ "Name": "colour", "Values": ["red"] }]));
    assert_eq!(aws.refused("ec2", "DescribeInstances", wrong), "InvalidParameterValue");
    let page = aws.ok("ec2", "DescribeInstances", json!({ "MaxResults": 5 }));
    let rest = aws.ok("ec2", "DescribeInstances", json!({ "MaxResults": 5, "NextToken": page["NextToken"] }));
    let sizes = [&page, &rest].map(|p| p["Reservations"].as_array().unwrap().len());
    assert_eq!((sizes, rest["NextToken"].is_null()), ([5, 2], true));
}

#[test]
fn template_versions_are_numbered_inherited_and_deleted() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let mapping = json!([{ "DeviceName": "/dev/xvda", "Ebs": { "SnapshotId": "snap-1", "VolumeSize": 8 } }]);
    let data = json!({ "ImageId": image, "InstanceType": "t3.micro", "BlockDeviceMappings": mapping });
    let create = json!({ "LaunchTemplateName": "web", "LaunchTemplateData": data });
    aws.ok("ec2", "CreateLaunchTemplate", create.clone());
    assert_eq!(
        aws.refused("ec2", "CreateLaunchTemplate", create),
        "InvalidLaunchTemplateName.AlreadyExistsException"
    );
    let version = json!({
        "LaunchTemplateName": "web", "SourceVersion": "1", "ClientToken": "t", "VersionDescription": "two",
        "LaunchTemplateData": { "ImageId": "ami-2" },
    });
    let made = aws.ok("ec2", "CreateLaunchTemplateVersion", version.clone());
    let data = &made["LaunchTemplateVersion"]["LaunchTemplateData"];
    assert_eq!((&data["ImageId"], &data["InstanceType"]), (&json!("ami-2"), &json!("t3.micro")));
    assert!(data["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].is_null(), "snapshots are not inherited");
    let again = aws.ok("ec2", "CreateLaunchTemplateVersion", version.clone());
    assert_eq!(again["LaunchTemplateVersion"]["VersionNumber"], 2, "the same token makes no second version");
    let other = with(version, &json!({ "VersionDescription": "three" }));
    assert_eq!(aws.refused("ec2", "CreateLaunchTemplateVersion", other), "IdempotentParameterMismatch");
    let bare = json!({ "LaunchTemplateName": "web", "LaunchTemplateData": { "ImageId": "ami-3" } });
    let bare = aws.ok("ec2", "CreateLaunchTemplateVersion", bare);
    assert!(bare["LaunchTemplateVersion"]["LaunchTemplateData"]["InstanceType"].is_null());

    let numbers = |aws: &mut TestAws, more: Value| -> Vec<u64> {
        let input = with(json!({ "LaunchTemplateName": "web" }), &more);
        let answer = aws.ok("ec2", "DescribeLaunchTemplateVersions", input);
        let list = answer["LaunchTemplateVersions"].as_array().unwrap();
        list.iter().map(|v| v["VersionNumber"].as_u64().unwrap()).collect()
    };
    for (more, expected) in [
        (json!({}), vec![3, 2, 1]),
        (json!({ "Versions": ["$Default"] }), vec![1]),
        (json!({ "Versions": ["$Latest", "1"] }), vec![3, 1]),
        (json!({ "MinVersion": "2" }), vec![3]),
        (json!({ "MinVersion": "1", "MaxVersion": "2" }), vec![2]),
        (json!({ "MaxVersion": "1" }), vec![1]),
        (json!({ "Filters": [{ "Name": "image-id", "Values": ["ami-2"] }] }), vec![2]),
        (json!({ "MaxResults": 2 }), vec![3, 2]),
    ] {
        assert_eq!(numbers(&mut aws, more.clone()), expected, "{more}");
    }
    let answer =
        aws.ok("ec2", "ModifyLaunchTemplate", json!({ "LaunchTemplateName": "web", "DefaultVersion": "2" }));
    assert_eq!(answer["LaunchTemplate"]["DefaultVersionNumber"], 2);
    let input = json!({ "LaunchTemplateName": "web", "Versions": ["2", "3", "9"] });
    let answer = aws.ok("ec2", "DeleteLaunchTemplateVersions", input);
    assert_eq!(answer["SuccessfullyDeletedLaunchTemplateVersions"][0]["VersionNumber"], 3);
    let kept: Vec<&Value> = answer["UnsuccessfullyDeletedLaunchTemplateVersions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["VersionNumber"])
        .collect();
    assert_eq!(kept, [&json!(2), &json!(9)], "the default and the unknown stay");
    let next = json!({ "LaunchTemplateName": "web", "LaunchTemplateData": { "ImageId": "ami-4" } });
    let next = aws.ok("ec2", "CreateLaunchTemplateVersion", next);
    assert_eq!(next["LaunchTemplateVersion"]["VersionNumber"], 4, "numbers are never reused");
}

#[test]
fn the_last_launch_time_lags_by_a_day() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    aws.ok("ec2", "RunInstances", run(&image));
    let launched = |aws: &mut TestAws| {
        aws.ok("ec2", "DescribeImages", json!({ "ImageIds": [image] }))["Images"][0]["LastLaunchedTime"]
            .clone()
    };
    aws.pass(24 * 3600 - 1);
    assert!(launched(&mut aws).is_null());
    aws.pass(1);
    assert_eq!(launched(&mut aws), "2026-01-01T00:00:00.000Z");
}

#[test]
fn deprecation_dates_have_bounds() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let now = aws.world.now;
    for (at, fine) in [
        (now + Duration::from_secs(90), true),
        (super::super::super::time::Time(now.0 - 60_000), false),
        (now + Duration::from_hours(24 * 366 * 11), false),
    ] {
        let input = json!({ "ImageId": image, "DeprecateAt": at.epoch_seconds() });
        assert_eq!(aws.call("ec2", "EnableImageDeprecation", input).is_ok(), fine);
    }
    let answer = aws.ok("ec2", "DescribeImages", json!({ "ImageIds": [image] }));
    assert_eq!(answer["Images"][0]["DeprecationTime"], "2026-01-01T00:02:00.000Z", "rounded to the minute");
}

#[test]
fn tags_change_only_if_every_resource_exists() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let tags = json!([{ "Key": "run", "Value": "1" }]);
    let input = json!({ "Resources": [image, "i-00000000000000000"], "Tags": tags });
    assert_eq!(aws.refused("ec2", "CreateTags", input), "InvalidInstanceID.NotFound");
    let found =
        |aws: &mut TestAws| aws.ok("ec2", "DescribeTags", json!({}))["Tags"].as_array().unwrap().len();
    assert_eq!(found(&mut aws), 0);
    aws.ok("ec2", "CreateTags", json!({ "Resources": [image], "Tags": tags }));
    aws.ok("ec2", "DeleteTags", json!({ "Resources": [image], "Tags": [{ "Key": "run", "Value": "2" }] }));
    assert_eq!(found(&mut aws), 1, "a tag with another value is not deleted");
    aws.ok("ec2", "DeleteTags", json!({ "Resources": [image], "Tags": [{ "Key": "run" }] }));
    assert_eq!(found(&mut aws), 0);
    let reserved = json!({ "Resources": [image], "Tags": [{ "Key": "aws:x", "Value": "1" }] });
    assert_eq!(aws.refused("ec2", "CreateTags", reserved), "InvalidParameterValue");
}

#[test]
fn describe_calls_show_the_accounts_own_resources() {
    let mut aws = TestAws::new();
    seed_subnet(&mut aws.world, ACCOUNT, REGION, "eu-west-1a", "vpc-1");
    seed_subnet(&mut aws.world, "999988887777", REGION, "eu-west-1a", "vpc-9");
    let filter = json!({ "Filters": [{ "Name": "vpc-id", "Values": ["vpc-*"] }] });
    let answer = aws.ok("ec2", "DescribeSubnets", filter);
    assert_eq!(answer["Subnets"].as_array().unwrap().len(), 1, "only the caller's");
    let answer =
        aws.ok("ec2", "DescribeInstanceTypes", json!({ "InstanceTypes": ["t4g.small", "m7i.large"] }));
    let kinds = answer["InstanceTypes"].as_array().unwrap();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.iter().any(|k| k["ProcessorInfo"]["SupportedArchitectures"][0] == "arm64"));
    assert_eq!(aws.ok("ec2", "DescribeFleets", json!({}))["Fleets"], json!([]));
    assert!(aws.ok("ec2", "DescribeRegions", json!({}))["Regions"].as_array().unwrap().len() > 10);
}
