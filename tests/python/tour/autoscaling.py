"""Auto Scaling: groups that keep their capacity, and refreshes that roll through them."""

from .embedded_aws import pages, refused, until


def tour(aws):
    groups, ec2 = aws.client("autoscaling"), aws.client("ec2")
    image = ec2.describe_images(Owners=["self"])["Images"][0]["ImageId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    ec2.create_launch_template(LaunchTemplateName="fleet",
                               LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"})
    ec2.create_launch_template_version(LaunchTemplateName="fleet", SourceVersion="1",
                                       LaunchTemplateData={"InstanceType": "t3.small"})
    template = {"LaunchTemplateName": "fleet", "Version": "1"}
    asked = {"AutoScalingGroupName": "tour", "LaunchTemplate": template, "MinSize": 0, "MaxSize": 4,
             "DesiredCapacity": 2, "VPCZoneIdentifier": subnet,
             "Tags": [{"Key": "of", "Value": "tour", "PropagateAtLaunch": True}]}
    groups.create_auto_scaling_group(**asked)
    refused("AlreadyExists", 400, groups.create_auto_scaling_group, **asked)
    refused("ValidationError", 400, groups.create_auto_scaling_group, **{**asked, "AutoScalingGroupName": "bad", "MinSize": 5})
    members(groups)
    configurations(groups, image)
    refreshes(groups)
    ending(groups)


def group(groups):
    return groups.describe_auto_scaling_groups(AutoScalingGroupNames=["tour"])["AutoScalingGroups"][0]


def serving(groups, count):
    def settled():
        members = group(groups)["Instances"]
        return len(members) == count and all(m["LifecycleState"] == "InService" for m in members)
    until(settled, f"{count} instances are in service")
    return [m["InstanceId"] for m in group(groups)["Instances"]]


def members(groups):
    first, second = serving(groups, 2)
    assert len(pages(groups, "describe_auto_scaling_groups", "AutoScalingGroups", 1)) == 2
    assert {first, second} <= {i["InstanceId"] for i in pages(
        groups, "describe_auto_scaling_instances", "AutoScalingInstances", 1)}
    groups.set_desired_capacity(AutoScalingGroupName="tour", DesiredCapacity=3)
    first, *_ = serving(groups, 3)
    refused("ValidationError", 400, groups.set_desired_capacity, AutoScalingGroupName="tour", DesiredCapacity=9)
    groups.set_instance_protection(AutoScalingGroupName="tour", InstanceIds=[first], ProtectedFromScaleIn=True)
    groups.set_desired_capacity(AutoScalingGroupName="tour", DesiredCapacity=1)
    assert serving(groups, 1) == [first]
    groups.set_instance_protection(AutoScalingGroupName="tour", InstanceIds=[first], ProtectedFromScaleIn=False)
    groups.enter_standby(AutoScalingGroupName="tour", InstanceIds=[first], ShouldDecrementDesiredCapacity=True)
    until(lambda: [m["LifecycleState"] for m in group(groups)["Instances"]] == ["Standby"], "standby")
    groups.exit_standby(AutoScalingGroupName="tour", InstanceIds=[first])
    serving(groups, 1)
    groups.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)
    until(lambda: first not in [m["InstanceId"] for m in group(groups)["Instances"]], "the instance goes")
    serving(groups, 1)
    refused("ValidationError", 400, groups.terminate_instance_in_auto_scaling_group,
            InstanceId="i-00000000000000000", ShouldDecrementDesiredCapacity=False)
    groups.suspend_processes(AutoScalingGroupName="tour", ScalingProcesses=["Launch"])
    assert [p["ProcessName"] for p in group(groups)["SuspendedProcesses"]] == ["Launch"]
    groups.resume_processes(AutoScalingGroupName="tour", ScalingProcesses=["Launch"])
    assert group(groups)["SuspendedProcesses"] == []
    activities = pages(groups, "describe_scaling_activities", "Activities", 2, AutoScalingGroupName="tour")
    assert len(activities) >= 4


def configurations(groups, image):
    groups.create_or_update_tags(Tags=[{"ResourceId": "tour", "ResourceType": "auto-scaling-group", "Key": "more",
                                        "Value": "1", "PropagateAtLaunch": False}])
    tags = pages(groups, "describe_tags", "Tags", 1, Filters=[{"Name": "auto-scaling-group", "Values": ["tour"]}])
    assert [(t["Key"], t["Value"]) for t in tags] == [("more", "1"), ("of", "tour")]
    groups.create_launch_configuration(LaunchConfigurationName="old", ImageId=image, InstanceType="t3.micro")
    refused("AlreadyExists", 400, groups.create_launch_configuration, LaunchConfigurationName="old",
            ImageId=image, InstanceType="t3.micro")
    shown = pages(groups, "describe_launch_configurations", "LaunchConfigurations", 1)
    assert [c["ImageId"] for c in shown] == [image]
    assert groups.describe_lifecycle_hooks(AutoScalingGroupName="tour")["LifecycleHooks"] == []
    refused("ValidationError", 400, groups.describe_lifecycle_hooks, AutoScalingGroupName="none")
    assert groups.describe_warm_pool(AutoScalingGroupName="tour")["Instances"] == []
    balanced = target_behind(groups)
    groups.attach_load_balancer_target_groups(AutoScalingGroupName="tour", TargetGroupARNs=[balanced])
    assert balanced in group(groups)["TargetGroupARNs"]


def target_behind(groups):
    production = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["web-production"])
    return production["AutoScalingGroups"][0]["TargetGroupARNs"][0]


def refreshes(groups):
    wanted = {"LaunchTemplate": {"LaunchTemplateName": "fleet", "Version": "2"}}
    slow = {"MinHealthyPercentage": 90, "CheckpointPercentages": [50, 100], "CheckpointDelay": 172800,
            "InstanceWarmup": 0}
    groups.update_auto_scaling_group(AutoScalingGroupName="tour", DesiredCapacity=2, HealthCheckGracePeriod=0)
    serving(groups, 2)
    first = groups.start_instance_refresh(AutoScalingGroupName="tour", DesiredConfiguration=wanted, Preferences=slow)
    refused("InstanceRefreshInProgress", 400, groups.start_instance_refresh, AutoScalingGroupName="tour",
            DesiredConfiguration=wanted)
    groups.rollback_instance_refresh(AutoScalingGroupName="tour")
    until(lambda: newest(groups)["Status"] == "RollbackSuccessful", "the rollback")
    groups.start_instance_refresh(AutoScalingGroupName="tour", DesiredConfiguration=wanted, Preferences=slow)
    groups.cancel_instance_refresh(AutoScalingGroupName="tour")
    until(lambda: newest(groups)["Status"] == "Cancelled", "the cancellation")
    refused("ActiveInstanceRefreshNotFound", 400, groups.cancel_instance_refresh, AutoScalingGroupName="tour")
    refused("ActiveInstanceRefreshNotFound", 400, groups.rollback_instance_refresh, AutoScalingGroupName="tour")
    refused("ValidationError", 400, groups.start_instance_refresh, AutoScalingGroupName="tour",
            Preferences={"MinHealthyPercentage": 101})
    refused("ValidationError", 400, groups.start_instance_refresh, AutoScalingGroupName="none")
    known = pages(groups, "describe_instance_refreshes", "InstanceRefreshes", 1, AutoScalingGroupName="tour")
    assert first["InstanceRefreshId"] in {r["InstanceRefreshId"] for r in known} and len(known) == 2


def newest(groups):
    return groups.describe_instance_refreshes(AutoScalingGroupName="tour")["InstanceRefreshes"][0]


def ending(groups):
    refused("ResourceInUse", 400, groups.delete_auto_scaling_group, AutoScalingGroupName="tour")
    groups.delete_auto_scaling_group(AutoScalingGroupName="tour", ForceDelete=True)
    until(lambda: not groups.describe_auto_scaling_groups(AutoScalingGroupNames=["tour"])["AutoScalingGroups"],
          "the group goes")
