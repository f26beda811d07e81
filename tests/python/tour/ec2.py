"""EC2: images and their lives, templates, instances."""

from .embedded_aws import pages, refused, until

# A retention rule, so that what is removed can be brought back.
SCENARIO = "version: 1\naws: {ec2: {recycle_bin: 7d}}\n"


def tour(aws):
    ec2 = aws.client("ec2")
    places(ec2)
    instance = instances(ec2)
    images(ec2, instance)
    templates(ec2)
    until(lambda: ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"], "termination")
    refused("InvalidInstanceID.NotFound", 400, ec2.terminate_instances, InstanceIds=["i-00000000000000000"])


def places(ec2):
    assert "eu-west-1" in {r["RegionName"] for r in ec2.describe_regions()["Regions"]}
    subnets = pages(ec2, "describe_subnets", "Subnets", 5)
    assert {"subnet-0123456789abcdef0"} <= {s["SubnetId"] for s in subnets}
    refused("InvalidSubnetID.NotFound", 400, ec2.describe_subnets, SubnetIds=["subnet-00000000000000000"])
    assert pages(ec2, "describe_security_groups", "SecurityGroups", 5)
    refused("InvalidGroup.NotFound", 400, ec2.describe_security_groups, GroupIds=["sg-00000000000000000"])
    types = ec2.describe_instance_types(InstanceTypes=["t3.micro", "m7g.large"])["InstanceTypes"]
    assert {t["InstanceType"]: t["ProcessorInfo"]["SupportedArchitectures"] for t in types} == {
        "t3.micro": ["x86_64"], "m7g.large": ["arm64"]}
    refused("InvalidInstanceType", 400, ec2.describe_instance_types, InstanceTypes=["t0.micro"])
    assert ec2.describe_fleets()["Fleets"] == []
    assert ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"] == []
    assert ec2.describe_spot_instance_requests()["SpotInstanceRequests"] == []


def instances(ec2):
    image = sorted(ec2.describe_images(Owners=["self"])["Images"], key=lambda i: i["CreationDate"])[-1]["ImageId"]
    asked = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ClientToken": "tour",
             "SubnetId": "subnet-0123456789abcdef0", "SecurityGroupIds": ["sg-0123456789abcdef0"],
             "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "of", "Value": "tour"}]}]}
    launched = ec2.run_instances(**asked)["Instances"][0]
    instance = launched["InstanceId"]
    assert ec2.run_instances(**asked)["Instances"][0]["InstanceId"] == instance
    refused("IdempotentParameterMismatch", 400, ec2.run_instances, **{**asked, "InstanceType": "t3.small"})
    refused("InvalidAMIID.NotFound", 400, ec2.run_instances, ImageId="ami-00000000000000000", MinCount=1, MaxCount=1)
    refused("MissingParameter", 400, ec2.run_instances, ImageId=image, MinCount=1)
    refused("DryRunOperation", 412, ec2.run_instances, ImageId=image, MinCount=1, MaxCount=1, DryRun=True)

    def status():
        found = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        return found and found[0]["InstanceStatus"]["Status"] == "ok"
    until(status, "the instance passes its checks")
    tagged = ec2.describe_instances(Filters=[{"Name": "tag:of", "Values": ["tour"]}])["Reservations"]
    assert [r["Instances"][0]["InstanceId"] for r in tagged] == [instance]
    assert len(pages(ec2, "describe_instances", "Reservations", 5)) >= 2
    assert len(pages(ec2, "describe_instance_status", "InstanceStatuses", 5)) >= 2
    refused("InvalidInstanceID.Malformed", 400, ec2.describe_instances, InstanceIds=["i-x"])
    refused("InvalidInstanceID.NotFound", 400, ec2.describe_instances, InstanceIds=["i-00000000000000000"])
    assert "Output" in ec2.get_console_output(InstanceId=instance)
    ec2.reboot_instances(InstanceIds=[instance])
    until(status, "the instance is back")
    ec2.stop_instances(InstanceIds=[instance])
    until(lambda: ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
          == "stopped", "the instance stops")
    return instance


def images(ec2, instance):
    made = ec2.create_image(InstanceId=instance, Name="tour", NoReboot=True)["ImageId"]
    refused("InvalidAMIName.Duplicate", 400, ec2.create_image, InstanceId=instance, Name="tour")
    until(lambda: ec2.describe_images(ImageIds=[made])["Images"][0]["State"] == "available", "the image")
    copied = ec2.copy_image(SourceImageId=made, SourceRegion="eu-west-1", Name="tour-copy", ClientToken="copy")
    assert ec2.copy_image(SourceImageId=made, SourceRegion="eu-west-1", Name="tour-copy", ClientToken="copy")[
        "ImageId"] == copied["ImageId"]
    copy = copied["ImageId"]
    until(lambda: ec2.describe_images(ImageIds=[copy])["Images"][0]["State"] == "available", "the copy")
    assert len(pages(ec2, "describe_images", "Images", 5, Owners=["self"])) >= 7
    refused("InvalidAMIID.NotFound", 400, ec2.describe_images, ImageIds=["ami-00000000000000000"])
    refused("InvalidAMIID.Malformed", 400, ec2.describe_images, ImageIds=["image"])

    ec2.create_tags(Resources=[made], Tags=[{"Key": "of", "Value": "tour"}])
    tags = pages(ec2, "describe_tags", "Tags", 5, Filters=[{"Name": "resource-id", "Values": [made]}])
    assert [(t["Key"], t["Value"]) for t in tags] == [("of", "tour")]
    ec2.delete_tags(Resources=[made], Tags=[{"Key": "of"}])
    assert ec2.describe_images(ImageIds=[made])["Images"][0].get("Tags", []) == []

    ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111122223333"}]})
    shared = ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"]
    assert shared == [{"UserId": "111122223333"}]
    ec2.enable_image_deprecation(ImageId=made, DeprecateAt="2030-01-01T00:00:30Z")
    when = ec2.describe_images(ImageIds=[made])["Images"][0]["DeprecationTime"]
    assert when.startswith("2030-01-01T00:0"), when
    ec2.disable_image_deprecation(ImageId=made)
    assert "DeprecationTime" not in ec2.describe_images(ImageIds=[made])["Images"][0]
    ec2.disable_image(ImageId=made)
    assert ec2.describe_images(Owners=["self"], Filters=[{"Name": "image-id", "Values": [made]}])["Images"] == []
    hidden = ec2.describe_images(Owners=["self"], IncludeDisabled=True,
                                 Filters=[{"Name": "image-id", "Values": [made]}])["Images"]
    assert [i["State"] for i in hidden] == ["disabled"]
    refused("InvalidAMIID.Unavailable", 400, ec2.run_instances, ImageId=made, MinCount=1, MaxCount=1)
    ec2.enable_image(ImageId=made)
    assert ec2.describe_image_attribute(ImageId=made, Attribute="launchPermission")["LaunchPermissions"] == []

    ec2.enable_image_deregistration_protection(ImageId=made)
    refused("OperationNotPermitted", 400, ec2.deregister_image, ImageId=made)
    ec2.disable_image_deregistration_protection(ImageId=made)
    used = ec2.describe_image_references(ImageIds=[made], IncludeAllResourceTypes=True)["ImageReferences"]
    assert used == []
    usage_report(ec2, made)
    snapshot = ec2.describe_images(ImageIds=[made])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert [s["SnapshotId"] for s in ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]] == [snapshot]
    assert len(pages(ec2, "describe_snapshots", "Snapshots", 5, OwnerIds=["self"])) >= 7
    refused("InvalidSnapshot.InUse", 400, ec2.delete_snapshot, SnapshotId=snapshot)
    ec2.deregister_image(ImageId=made)
    ec2.delete_snapshot(SnapshotId=snapshot)
    refused("InvalidSnapshot.NotFound", 400, ec2.describe_snapshots, SnapshotIds=[snapshot])
    gone = ec2.deregister_image(ImageId=copy, DeleteAssociatedSnapshots=True)["DeleteSnapshotResults"]
    assert [r["ReturnCode"] for r in gone] == ["success"]
    recycle_bin(ec2, made, snapshot)


def usage_report(ec2, image):
    asked = {"ImageId": image, "ResourceTypes": [{"ResourceType": "ec2:Instance"}], "ClientToken": "usage"}
    report = ec2.create_image_usage_report(**asked)["ReportId"]
    assert ec2.create_image_usage_report(**asked)["ReportId"] == report
    refused("IdempotentParameterMismatch", 400, ec2.create_image_usage_report,
            **{**asked, "ResourceTypes": [{"ResourceType": "ec2:LaunchTemplate"}]})
    refused("InvalidAMIID.NotFound", 400, ec2.create_image_usage_report, **{
        **asked, "ImageId": "ami-00000000000000000", "ClientToken": "other"})

    def state():
        return ec2.describe_image_usage_reports(ReportIds=[report])["ImageUsageReports"][0]["State"]
    until(lambda: state() == "available", "the report")
    assert ec2.describe_image_usage_report_entries(ReportIds=[report])["ImageUsageReportEntries"] == []


def recycle_bin(ec2, image, snapshot):
    """Snapshots come back before the image that stands on them."""
    assert [i["ImageId"] for i in ec2.list_images_in_recycle_bin(ImageIds=[image])["Images"]] == [image]
    assert snapshot in {s["SnapshotId"] for s in pages(ec2, "list_snapshots_in_recycle_bin", "Snapshots", 5)}
    refused("InvalidSnapshot.NotFound", 400, ec2.restore_image_from_recycle_bin, ImageId=image)
    assert ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot)["SnapshotId"] == snapshot
    assert ec2.restore_image_from_recycle_bin(ImageId=image)["Return"]
    assert [i["State"] for i in ec2.describe_images(ImageIds=[image])["Images"]] == ["available"]
    refused("InvalidAMIID.NotFound", 400, ec2.restore_image_from_recycle_bin, ImageId=image)
    refused("InvalidSnapshot.NotFound", 400, ec2.restore_snapshot_from_recycle_bin, SnapshotId=snapshot)


def templates(ec2):
    data = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.micro"}
    made = ec2.create_launch_template(LaunchTemplateName="tour", LaunchTemplateData=data)["LaunchTemplate"]
    template = made["LaunchTemplateId"]
    refused("InvalidLaunchTemplateName.AlreadyExistsException", 400, ec2.create_launch_template,
            LaunchTemplateName="tour", LaunchTemplateData=data)
    asked = {"LaunchTemplateId": template, "SourceVersion": "1", "ClientToken": "tour",
             "LaunchTemplateData": {"InstanceType": "t3.small"}}
    version = ec2.create_launch_template_version(**asked)["LaunchTemplateVersion"]
    assert version["VersionNumber"] == 2 and version["LaunchTemplateData"]["ImageId"] == data["ImageId"]
    assert ec2.create_launch_template_version(**asked)["LaunchTemplateVersion"]["VersionNumber"] == 2
    ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    versions = pages(ec2, "describe_launch_template_versions", "LaunchTemplateVersions", 1, LaunchTemplateId=template)
    assert sorted(v["VersionNumber"] for v in versions) == [1, 2, 3]
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    assert ec2.describe_launch_templates(LaunchTemplateNames=["tour"])["LaunchTemplates"][0]["DefaultVersionNumber"] == 2
    assert len(pages(ec2, "describe_launch_templates", "LaunchTemplates", 1)) >= 2
    gone = ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2"])
    assert [v["VersionNumber"] for v in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]
    assert [v["VersionNumber"] for v in gone["UnsuccessfullyDeletedLaunchTemplateVersions"]] == [2]
    refused("InvalidLaunchTemplateName.NotFoundException", 400, ec2.describe_launch_templates,
            LaunchTemplateNames=["none"])
    ec2.delete_launch_template(LaunchTemplateId=template)
    refused("InvalidLaunchTemplateId.NotFound", 400, ec2.delete_launch_template, LaunchTemplateId=template)
