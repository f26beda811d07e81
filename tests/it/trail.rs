//! What a stage leaves in the world, told without the identifiers that another run would draw otherwise.

use std::collections::BTreeMap;

use bakeline_rehearsal::call::Call;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use crate::support::Moment;

/// What is there, each kind of thing with how it stands and how many there are of it.
pub type Trail = BTreeMap<String, u64>;

/// Asks the world as its administrator.
pub fn ask(
    moment: &Moment,
    world: &mut World,
    service: &'static str,
    operation: &str,
    input: Value,
) -> Value {
    let Value::Object(input) = input else { panic!("an input is an object") };
    let account = moment.provisioned.pipeline_arn.split(':').nth(4).unwrap().to_owned();
    let call = Call {
        service,
        operation: operation.into(),
        input,
        account,
        region: moment.region.clone(),
        access_key: String::new(),
        now: world.now,
    };
    world.call(&call).unwrap_or_else(|refused| panic!("{service}:{operation}: {refused:?}"))
}

/// Everything a stage can have changed.
pub fn trail(moment: &Moment, world: &World) -> Trail {
    let mut world = world.clone();
    let mut trail = Trail::new();
    let mut add = |line: String| *trail.entry(line).or_insert(0) += 1;
    let mut see = |service, operation: &str, input| ask(moment, &mut world, service, operation, input);

    // Which image is which, by the order in which they were made.
    let images = see("ec2", "DescribeImages", json!({"Owners": ["self"], "IncludeDisabled": true}));
    let mut known: Vec<(String, String)> = list(&images, "Images")
        .iter()
        .map(|image| (text(image, "CreationDate"), text(image, "ImageId")))
        .collect();
    known.sort();
    let name = |id: &str| match known.iter().position(|(_, known)| known == id) {
        Some(at) => format!("image {at}"),
        None => "an image that is gone".to_owned(),
    };

    for image in list(&images, "Images") {
        add(format!(
            "{} is {} with tags {}",
            name(&text(image, "ImageId")),
            text(image, "State"),
            tags(image)
        ));
    }
    for snapshot in list(&see("ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]})), "Snapshots") {
        add(format!("a snapshot is {}", text(snapshot, "State")));
    }
    for reservation in list(&see("ec2", "DescribeInstances", json!({})), "Reservations") {
        for instance in list(reservation, "Instances") {
            let state = instance.pointer("/State/Name").and_then(Value::as_str).unwrap_or_default();
            // Terminated instances are forgotten after an hour, and runs may differ in length.
            if state != "terminated" && state != "shutting-down" {
                add(format!(
                    "an instance of {} is {state} with tags {}",
                    name(&text(instance, "ImageId")),
                    tags(instance)
                ));
            }
        }
    }
    for template in list(&see("ec2", "DescribeLaunchTemplates", json!({})), "LaunchTemplates") {
        add(format!(
            "template {} has versions up to {}",
            template["LaunchTemplateName"], template["LatestVersionNumber"]
        ));
        let versions = see(
            "ec2",
            "DescribeLaunchTemplateVersions",
            json!({"LaunchTemplateId": template["LaunchTemplateId"]}),
        );
        for version in list(&versions, "LaunchTemplateVersions") {
            let image =
                version.pointer("/LaunchTemplateData/ImageId").and_then(Value::as_str).unwrap_or_default();
            add(format!("version {} of a template has {}", version["VersionNumber"], name(image)));
        }
    }
    for group in list(&see("autoscaling", "DescribeAutoScalingGroups", json!({})), "AutoScalingGroups") {
        let group_name = text(group, "AutoScalingGroupName");
        let version = group.pointer("/LaunchTemplate/Version").cloned().unwrap_or_default();
        add(format!(
            "group {group_name} wants {}, {} to {}, of template version {version}",
            group["DesiredCapacity"], group["MinSize"], group["MaxSize"]
        ));
        for instance in list(group, "Instances") {
            add(format!(
                "group {group_name} has an instance {} {}",
                text(instance, "LifecycleState"),
                text(instance, "HealthStatus")
            ));
        }
        let refreshes =
            see("autoscaling", "DescribeInstanceRefreshes", json!({"AutoScalingGroupName": group_name}));
        for refresh in list(&refreshes, "InstanceRefreshes") {
            add(format!("a refresh of {group_name} ended {}", text(refresh, "Status")));
        }
    }
    for balancer in list(&see("elbv2", "DescribeLoadBalancers", json!({})), "LoadBalancers") {
        let of = json!({"LoadBalancerArn": balancer["LoadBalancerArn"]});
        for listener in list(&see("elbv2", "DescribeListeners", of), "Listeners") {
            for target_group in
                listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"].as_array().unwrap()
            {
                let arn = text(target_group, "TargetGroupArn");
                let name = arn.split('/').nth(1).unwrap_or_default().to_owned();
                add(format!("target group {name} has the weight {}", target_group["Weight"]));
            }
        }
    }
    for repository in list(&see("ecr", "DescribeRepositories", json!({})), "repositories") {
        let name = text(repository, "repositoryName");
        for image in list(
            &see("ecr", "DescribeImages", json!({"repositoryName": name, "filter": {"imageStatus": "ANY"}})),
            "imageDetails",
        ) {
            let mut tags: Vec<&str> = list(image, "imageTags").iter().filter_map(Value::as_str).collect();
            tags.sort_unstable();
            add(format!("an image in {name} is {} with tags {tags:?}", text(image, "imageStatus")));
        }
    }
    for (operation, member) in [
        ("ListComponents", "componentVersionList"),
        ("ListContainerRecipes", "containerRecipeSummaryList"),
        ("ListImageRecipes", "imageRecipeSummaryList"),
    ] {
        for made in list(&see("imagebuilder", operation, json!({"owner": "Self"})), member) {
            add(format!("{} is there", text(made, "arn")));
        }
    }
    let parameters = see("ssm", "DescribeParameters", json!({}));
    for parameter in list(&parameters, "Parameters") {
        // Its name says when it was made.
        if text(parameter, "Name").starts_with("/bakeline/state/cleanup/container-images/marks/") {
            add("container images are marked".to_owned());
            continue;
        }
        let value = see("ssm", "GetParameter", json!({"Name": parameter["Name"]}));
        let is = value.pointer("/Parameter/Value").and_then(Value::as_str).unwrap_or_default();
        // Not in which version: a killed worker may write the same value again, see crash.rs.
        let is = if is.contains(".dkr.ecr.") { "a container image".to_owned() } else { name(is) };
        add(format!("parameter {} is {is}", parameter["Name"]));
    }
    for image in list(&see("imagebuilder", "ListImages", json!({"owner": "Self"})), "imageVersionList") {
        let builds = see("imagebuilder", "ListImageBuildVersions", json!({"imageVersionArn": image["arn"]}));
        for build in list(&builds, "imageSummaryList") {
            add(format!("a build is {}", build.pointer("/state/status").unwrap_or(&Value::Null)));
        }
    }
    for cluster in list(&see("ecs", "ListClusters", json!({})), "clusterArns") {
        for status in ["RUNNING", "STOPPED"] {
            let of = json!({"cluster": cluster, "desiredStatus": status});
            for _ in list(&see("ecs", "ListTasks", of), "taskArns") {
                add(format!("a task is {status}"));
            }
        }
    }
    for status in ["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"] {
        let of = json!({"status": status});
        for _ in list(&see("ecs", "ListTaskDefinitions", of), "taskDefinitionArns") {
            add(format!("a task definition is {status}"));
        }
    }
    for command in list(&see("ssm", "ListCommands", json!({})), "Commands") {
        add(format!("command {} ended {}", text(command, "DocumentName"), text(command, "Status")));
    }
    let execution =
        bakeline_rehearsal::services::codepipeline::execution(&world, &moment.provisioned.execution).unwrap();
    for run in &execution.runs {
        add(format!("action {} is {}", run.action, run.status.name()));
    }
    let bucket = bakeline_rehearsal::services::s3::bucket(&world, &moment.provisioned.bucket).unwrap();
    for (key, object) in bucket.objects() {
        let mut parts: Vec<&str> = key.split('/').collect();
        if parts.len() > 1 {
            parts.pop();
        }
        add(format!("object {} encrypted by {}", parts.join("/"), object.encryption.algorithm()));
    }
    trail
}

fn list<'v>(answer: &'v Value, member: &str) -> &'v [Value] {
    answer.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(answer: &Value, member: &str) -> String {
    answer.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Tags by key; the values of ours are identifiers of one run.
fn tags(of: &Value) -> String {
    let mut keys: Vec<String> = list(of, "Tags").iter().map(|tag| text(tag, "Key")).collect();
    keys.sort();
    keys.join(",")
}
