//! Images: deregistration, protection, copies and references.

use super::*;

#[test]
fn deregistering_keeps_snapshots_that_other_images_use() {
    let mut aws = TestAws::new();
    let (first, second) =
        (aws.image("first", InstanceBehavior::default()), aws.image("second", InstanceBehavior::default()));
    let own = aws.world.ec2.images[&second].snapshots[0].clone();
    let shared = aws.world.ec2.images[&first].snapshots[0].clone();
    share_snapshots(&mut aws.world, &second, &first);
    assert_eq!(aws.refused("ec2", "DeleteSnapshot", json!({ "SnapshotId": own })), "InvalidSnapshot.InUse");
    let input = json!({ "ImageId": second, "DeleteAssociatedSnapshots": true });
    let answer = aws.ok("ec2", "DeregisterImage", input.clone());
    assert_eq!(
        answer["DeleteSnapshotResults"],
        json!([{ "SnapshotId": own, "ReturnCode": "success" }, { "SnapshotId": shared, "ReturnCode": "skipped" }])
    );
    assert_eq!(aws.refused("ec2", "DeregisterImage", input), "InvalidAMIID.Unavailable");
    assert_eq!(
        image_state(&mut aws, &second).as_deref(),
        Some("deregistered"),
        "it is described for a while"
    );
    aws.pass(61);
    let gone = aws.refused("ec2", "DescribeImages", json!({ "ImageIds": [second] }));
    assert_eq!(gone, "InvalidAMIID.NotFound");
    aws.ok("ec2", "DeregisterImage", json!({ "ImageId": first }));
    aws.ok("ec2", "DeleteSnapshot", json!({ "SnapshotId": shared }));
}

#[test]
fn protection_with_cooldown_ends_a_day_after_it_is_disabled() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let of = json!({ "ImageId": image });
    let on = aws.ok(
        "ec2",
        "EnableImageDeregistrationProtection",
        with(of.clone(), &json!({ "WithCooldown": true })),
    );
    assert_eq!(on["Return"], "enabled-with-cooldown");
    let told = |aws: &mut TestAws| {
        let found = aws.ok("ec2", "DescribeImages", json!({ "ImageIds": [image] }));
        found["Images"][0]["DeregistrationProtection"].clone()
    };
    assert_eq!(told(&mut aws), "enabled-with-cooldown");
    assert_eq!(aws.refused("ec2", "DeregisterImage", of.clone()), "OperationNotPermitted");
    aws.ok("ec2", "DisableImageDeregistrationProtection", of.clone());
    aws.pass(23 * 3600);
    assert_ne!(told(&mut aws), "disabled");
    assert_eq!(aws.refused("ec2", "DeregisterImage", of.clone()), "OperationNotPermitted");
    aws.pass(3600);
    assert_eq!(told(&mut aws), "disabled");
    aws.ok("ec2", "DeregisterImage", of);
}

#[test]
fn disabling_hides_an_image_and_removes_its_permissions() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let share = json!({ "ImageId": image, "LaunchPermission": { "Add": [{ "UserId": "444455556666" }] } });
    aws.ok("ec2", "ModifyImageAttribute", share.clone());
    let permissions = |aws: &mut TestAws| {
        let input = json!({ "ImageId": image, "Attribute": "launchPermission" });
        aws.ok("ec2", "DescribeImageAttribute", input)["LaunchPermissions"].clone()
    };
    assert_eq!(permissions(&mut aws), json!([{ "UserId": "444455556666" }]));
    aws.ok("ec2", "DisableImage", json!({ "ImageId": image }));
    let answer = aws.ok("ec2", "DescribeImages", json!({ "Owners": ["self"] }));
    assert_eq!(answer["Images"], json!([]));
    let answer = aws.ok("ec2", "DescribeImages", json!({ "Owners": ["self"], "IncludeDisabled": true }));
    assert_eq!(answer["Images"][0]["State"], "disabled");
    aws.ok("ec2", "EnableImage", json!({ "ImageId": image }));
    assert_eq!(permissions(&mut aws), json!([]));
    let bad = json!({ "ImageId": image, "LaunchPermission": { "Add": [{ "UserId": "me" }] } });
    assert_eq!(aws.refused("ec2", "ModifyImageAttribute", bad), "InvalidAMIAttributeItemValue");
}

#[test]
fn image_references_are_found_within_the_documented_limits() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(1, InstanceBehavior::default());
    let container = json!({
        "containerType": "DOCKER", "name": "web", "semanticVersion": "1.0.0", "parentImage": "amazonlinux:2023",
        "dockerfileTemplateData": "FROM x", "clientToken": "c", "instanceConfiguration": { "image": fleet.old },
        "targetRepository": { "service": "ECR", "repositoryName": "web" },
    });
    aws.ok("imagebuilder", "CreateContainerRecipe", container);
    let now = aws.world.now;
    ssm::write_parameter(&mut aws.world, now, ACCOUNT, REGION, "/golden", "aws:ec2:image", &fleet.old);
    let recipe = json!({
        "name": "web", "semanticVersion": "1.0.0", "parentImage": fleet.old, "clientToken": "t", "components": [],
    });
    aws.ok("imagebuilder", "CreateImageRecipe", recipe);
    // Version 1 names the old image; nine newer ones do not.
    for _ in 0..8 {
        let input = json!({ "LaunchTemplateName": "web", "LaunchTemplateData": { "ImageId": fleet.new } });
        aws.ok("ec2", "CreateLaunchTemplateVersion", input);
    }
    let count = |aws: &mut TestAws, input: Value| {
        let answer =
            aws.ok("ec2", "DescribeImageReferences", with(json!({ "ImageIds": [fleet.old] }), &input));
        answer["ImageReferences"].as_array().unwrap().len()
    };
    let templates = |options: Value| json!({ "ResourceTypes": [{ "ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": options }] });
    let depth = |depth: &str| json!([{ "OptionName": "version-depth", "OptionValues": [depth] }]);
    assert_eq!(count(&mut aws, json!({ "IncludeAllResourceTypes": true })), 5);
    assert_eq!(count(&mut aws, templates(json!([]))), 1, "version 1 is the tenth");
    let input = json!({ "LaunchTemplateName": "web", "LaunchTemplateData": { "ImageId": fleet.new } });
    aws.ok("ec2", "CreateLaunchTemplateVersion", input);
    assert_eq!(count(&mut aws, templates(json!([]))), 0, "now it is the eleventh");
    assert_eq!(count(&mut aws, templates(depth("10000"))), 1);
    let running = json!([{ "OptionName": "state-name", "OptionValues": ["stopped"] }]);
    let instances =
        json!({ "ResourceTypes": [{ "ResourceType": "ec2:Instance", "ResourceTypeOptions": running }] });
    assert_eq!(count(&mut aws, instances), 0);
    for bad in [
        json!({ "ImageIds": [], "IncludeAllResourceTypes": true }),
        json!({ "ImageIds": vec!["ami-1"; 11], "IncludeAllResourceTypes": true }),
        json!({ "ImageIds": ["ami-1"] }),
        json!({ "ImageIds": ["ami-1"], "IncludeAllResourceTypes": true, "MaxResults": 4 }),
        with(json!({ "ImageIds": ["ami-1"] }), &templates(depth("10001"))),
    ] {
        aws.refused("ec2", "DescribeImageReferences", bad);
    }
}

#[test]
fn a_copy_behaves_like_its_source() {
    let mut aws = TestAws::new();
    let bad = InstanceBehavior { error_rate: 0.5, ..InstanceBehavior::default() };
    let source = aws.image("release", bad.clone());
    aws.region = "us-east-1";
    let input =
        json!({ "Name": "copy", "SourceImageId": source, "SourceRegion": REGION, "ClientToken": "c" });
    let copy = aws.ok("ec2", "CopyImage", input.clone())["ImageId"].as_str().unwrap().to_owned();
    assert_eq!(aws.ok("ec2", "CopyImage", input)["ImageId"], copy.as_str(), "once per token");
    assert_eq!(image_state(&mut aws, &copy).as_deref(), Some("pending"));
    assert_eq!(aws.refused("ec2", "RunInstances", run(&copy)), "InvalidAMIID.Unavailable");
    aws.pass(400);
    assert_eq!(super::super::behavior(&aws.world, &copy), Some(&bad));
    aws.ok("ec2", "RunInstances", run(&copy));
}

#[test]
fn an_image_of_an_instance_takes_the_name_only_once() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let id = first_id(&aws.ok("ec2", "RunInstances", run(&image)));
    aws.pass(60);
    let input = json!({ "InstanceId": id, "Name": "from-instance" });
    let made = aws.ok("ec2", "CreateImage", input.clone())["ImageId"].as_str().unwrap().to_owned();
    assert_eq!(aws.refused("ec2", "CreateImage", input), "InvalidAMIName.Duplicate");
    let answer = aws.ok("ec2", "DescribeImages", json!({ "ImageIds": [made] }));
    assert_eq!(answer["Images"][0]["SourceInstanceId"], id.as_str());
}
