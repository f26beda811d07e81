"""The scripts. Each touches an area for which an emulator is a fair oracle; ids and dates are never compared."""

import base64
import hashlib
import time


def images(r):
    """AMI create and deregister, with the snapshots between them."""
    ec2 = r.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro", SubnetId=subnet)
    instance = instance["Instances"][0]["InstanceId"]
    settle(lambda: ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
           == "running")
    made = r.step("create", ec2.create_image, InstanceId=instance, Name="oracle")["ImageId"]
    r.step("create again", ec2.create_image, InstanceId=instance, Name="oracle")
    r.step("create of nothing", ec2.create_image, InstanceId="i-00000000000000000", Name="nothing")
    settle(lambda: ec2.describe_images(ImageIds=[made])["Images"][0]["State"] == "available")
    shown = r.step("describe", ec2.describe_images, lambda a: sorted(
        k for k in a["Images"][0] if k in ("ImageId", "Name", "State", "OwnerId", "RootDeviceName", "Architecture",
                                           "BlockDeviceMappings", "Public", "CreationDate", "RootDeviceType")),
        ImageIds=[made])
    snapshot = shown["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    r.step("snapshot in use", ec2.delete_snapshot, SnapshotId=snapshot)
    r.step("copy", ec2.copy_image, lambda a: a["ImageId"][:4], SourceImageId=made, SourceRegion="eu-west-1", Name="copy")
    r.step("copy of nothing", ec2.copy_image, SourceImageId="ami-00000000000000000", SourceRegion="eu-west-1", Name="nothing")
    r.step("share", ec2.modify_image_attribute, ImageId=made,
           LaunchPermission={"Add": [{"UserId": "111122223333"}]})
    r.step("shared", ec2.describe_image_attribute, lambda a: a["LaunchPermissions"], ImageId=made,
           Attribute="launchPermission")
    r.step("tag", ec2.create_tags, Resources=[made], Tags=[{"Key": "k", "Value": "v"}])
    r.step("tagged", ec2.describe_images, lambda a: len(a["Images"]), Filters=[{"Name": "tag:k", "Values": ["v"]}])
    r.step("deregister", ec2.deregister_image, ImageId=made)
    r.step("deregister again", ec2.deregister_image, ImageId=made)
    r.step("snapshot stays", ec2.describe_snapshots, lambda a: len(a["Snapshots"]), SnapshotIds=[snapshot])
    r.step("delete snapshot", ec2.delete_snapshot, SnapshotId=snapshot)
    r.step("delete snapshot again", ec2.delete_snapshot, SnapshotId=snapshot)
    r.step("describe malformed", ec2.describe_images, ImageIds=["image"])
    r.step("describe unknown", ec2.describe_images, ImageIds=["ami-00000000000000000"])


def groups(r):
    """A group's instances, their health in a target group, and the replacement of one that goes."""
    ec2, asg, elb = r.client("ec2"), r.client("autoscaling"), r.client("elbv2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.create_launch_template(LaunchTemplateName="oracle",
                               LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"})
    target = elb.create_target_group(Name="oracle", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"])
    target = target["TargetGroups"][0]["TargetGroupArn"]
    asked = {"AutoScalingGroupName": "oracle", "MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2,
             "LaunchTemplate": {"LaunchTemplateName": "oracle", "Version": "1"}, "TargetGroupARNs": [target],
             "VPCZoneIdentifier": subnet["SubnetId"]}
    r.step("create", asg.create_auto_scaling_group, **asked)

    def group():
        return asg.describe_auto_scaling_groups(AutoScalingGroupNames=["oracle"])["AutoScalingGroups"][0]

    def serving(count):
        settle(lambda: [m["LifecycleState"] for m in group()["Instances"]] == ["InService"] * count)
        return [m["InstanceId"] for m in group()["Instances"]]
    before = serving(2)
    r.fact("instances", len(before))

    def targets():
        return {d["Target"]["Id"] for d in elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]
                if d["TargetHealth"]["State"] in ("healthy", "unused", "initial")}
    settle(lambda: targets() == set(before))
    r.fact("targets are the instances", targets() == set(before))
    asg.terminate_instance_in_auto_scaling_group(InstanceId=before[0], ShouldDecrementDesiredCapacity=False)
    settle(lambda: before[0] not in [m["InstanceId"] for m in group()["Instances"]] and len(group()["Instances"]) == 2)
    after = serving(2)
    r.fact("one was replaced", (before[1] in after, before[0] in after, len(after)))
    settle(lambda: targets() == set(after))
    r.fact("targets follow", targets() == set(after))
    r.step("too many", asg.set_desired_capacity, AutoScalingGroupName="oracle", DesiredCapacity=5)
    r.step("desired", asg.set_desired_capacity, AutoScalingGroupName="oracle", DesiredCapacity=3)
    r.fact("grown", len(serving(3)))
    r.step("suspend", asg.suspend_processes, AutoScalingGroupName="oracle", ScalingProcesses=["Launch"])
    r.fact("suspended", [p["ProcessName"] for p in group()["SuspendedProcesses"]])
    r.step("unknown group", asg.set_desired_capacity, AutoScalingGroupName="none", DesiredCapacity=1)
    r.step("create again", asg.create_auto_scaling_group, **asked)
    r.step("delete in use", asg.delete_auto_scaling_group, AutoScalingGroupName="oracle")
    r.step("delete by force", asg.delete_auto_scaling_group, AutoScalingGroupName="oracle", ForceDelete=True)


def balancing(r):
    """Weights of a listener's target groups, and what cannot be deleted while it is used."""
    ec2, elb = r.client("ec2"), r.client("elbv2")
    subnets = ec2.describe_subnets()["Subnets"]
    vpc = subnets[0]["VpcId"]
    subnets = [s["SubnetId"] for s in subnets if s["VpcId"] == vpc][:2]
    a, b = (elb.create_target_group(Name=f"weight-{n}", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0][
        "TargetGroupArn"] for n in "ab")
    r.step("same name, other settings", elb.create_target_group, Name="weight-a", Protocol="HTTP", Port=81, VpcId=vpc)
    balancer = elb.create_load_balancer(Name="oracle", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    weights = [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
        {"TargetGroupArn": a, "Weight": 90}, {"TargetGroupArn": b, "Weight": 10}]}}]
    listener = r.step("listener", elb.create_listener, LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
                      DefaultActions=weights)["Listeners"][0]["ListenerArn"]

    def weighed(answer):
        groups = answer["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        return sorted(g["Weight"] for g in groups)
    r.step("weights", elb.describe_listeners, weighed, ListenerArns=[listener])
    weights[0]["ForwardConfig"]["TargetGroups"][0]["Weight"] = 0
    r.step("modify", elb.modify_listener, weighed, ListenerArn=listener, DefaultActions=weights)
    weights[0]["ForwardConfig"]["TargetGroups"][0]["Weight"] = 1000
    r.step("weight out of range", elb.modify_listener, ListenerArn=listener, DefaultActions=weights)
    r.step("unknown target group", elb.create_listener, LoadBalancerArn=balancer, Protocol="HTTP", Port=81,
           DefaultActions=[{"Type": "forward", "TargetGroupArn": a[:-3] + "000"}])
    r.step("same port", elb.create_listener, LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
           DefaultActions=[{"Type": "forward", "TargetGroupArn": a}])
    r.step("target group in use", elb.delete_target_group, TargetGroupArn=a)
    path = [{"Field": "path-pattern", "Values": ["/a"]}]
    rule = elb.create_rule(ListenerArn=listener, Priority=1, Conditions=path,
                           Actions=[{"Type": "forward", "TargetGroupArn": a}])["Rules"][0]["RuleArn"]
    r.step("priority in use", elb.create_rule, ListenerArn=listener, Priority=1, Conditions=path,
           Actions=[{"Type": "forward", "TargetGroupArn": a}])
    r.step("rules", elb.describe_rules, lambda x: [rule["Priority"] for rule in x["Rules"]], ListenerArn=listener)
    r.step("delete rule", elb.delete_rule, RuleArn=rule)
    r.step("delete listener", elb.delete_listener, ListenerArn=listener)
    r.step("unknown listener", elb.describe_listeners, ListenerArns=[listener])
    r.step("delete balancer", elb.delete_load_balancer, LoadBalancerArn=balancer)
    r.step("delete target group", elb.delete_target_group, TargetGroupArn=a)
    r.step("unknown", elb.describe_target_groups, TargetGroupArns=[a])


def objects(r):
    """Conditional writes and uploads in parts."""
    s3 = r.client("s3")
    at = {"Bucket": "oracle", "Key": "k"}
    r.step("bucket", s3.create_bucket, Bucket="oracle", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    first = r.step("once", s3.put_object, lambda a: a["ETag"], **at, Body=b"1", IfNoneMatch="*")["ETag"]
    r.step("twice", s3.put_object, **at, Body=b"2", IfNoneMatch="*")
    second = r.step("if it is the first", s3.put_object, lambda a: a["ETag"], **at, Body=b"2", IfMatch=first)
    r.step("if it were the first", s3.put_object, **at, Body=b"3", IfMatch=first)
    r.step("if there were one", s3.put_object, Bucket="oracle", Key="never", Body=b"3", IfMatch=first)
    r.step("read the first", s3.get_object, **at, IfMatch=first)
    if second:
        r.step("read if changed", s3.get_object, **at, IfNoneMatch=second["ETag"])
    r.step("read", s3.get_object, lambda a: a["Body"].read().decode(), **at)
    r.step("range", s3.get_object, lambda a: (a["Body"].read().decode(), a["ContentRange"]), **at, Range="bytes=0-0")
    r.step("no such key", s3.get_object, Bucket="oracle", Key="none")
    r.step("no such bucket", s3.get_object, Bucket="oracle-none", Key="none")
    r.step("head of nothing", s3.head_object, Bucket="oracle", Key="none")
    upload = s3.create_multipart_upload(Bucket="oracle", Key="parts")["UploadId"]
    where = {"Bucket": "oracle", "Key": "parts", "UploadId": upload}
    body = b"x" * (5 << 20)
    tags = [s3.upload_part(**where, PartNumber=n, Body=part)["ETag"] for n, part in ((1, body), (2, b"end"))]
    r.fact("tags of parts", tags)
    r.step("parts", s3.list_parts, lambda a: [(p["PartNumber"], p["Size"]) for p in a["Parts"]], **where)
    whole = [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]
    r.step("no such part", s3.complete_multipart_upload, **where,
           MultipartUpload={"Parts": [{"PartNumber": 7, "ETag": tags[0]}]})
    r.step("wrong order", s3.complete_multipart_upload, **where, MultipartUpload={"Parts": whole[::-1]})
    r.step("complete", s3.complete_multipart_upload, lambda a: a["ETag"], **where, MultipartUpload={"Parts": whole})
    r.step("size", s3.head_object, lambda a: a["ContentLength"], Bucket="oracle", Key="parts")
    r.step("gone", s3.list_parts, **where)
    small = s3.create_multipart_upload(Bucket="oracle", Key="small")["UploadId"]
    where = {"Bucket": "oracle", "Key": "small", "UploadId": small}
    tags = [s3.upload_part(**where, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)]
    r.step("too small", s3.complete_multipart_upload, **where,
           MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]})
    r.step("abort", s3.abort_multipart_upload, **where)
    r.step("not empty", s3.delete_bucket, Bucket="oracle")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="oracle")["Contents"]]
    r.fact("listed", keys)


def signatures_of_messages(r):
    """KMS signs a RAW message."""
    kms = r.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    r.fact("key", (key["KeyState"], key["KeySpec"], key["KeyUsage"], key["SigningAlgorithms"]))
    asked = {"KeyId": key["KeyId"], "Message": b"message", "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
    signed = r.step("sign", kms.sign, lambda a: a["SigningAlgorithm"], **asked)
    r.step("verify", kms.verify, lambda a: a["SignatureValid"], **asked, Signature=signed["Signature"])
    r.step("verify another", kms.verify, **{**asked, "Message": b"other"}, Signature=signed["Signature"])
    r.step("too long", kms.sign, **{**asked, "Message": b"x" * 4097})
    r.step("wrong algorithm", kms.sign, **{**asked, "SigningAlgorithm": "RSASSA_PSS_SHA_256"})
    r.step("unknown key", kms.sign, **{**asked, "KeyId": "00000000-0000-0000-0000-000000000000"})
    r.step("alias", kms.create_alias, AliasName="alias/oracle", TargetKeyId=key["KeyId"])
    r.step("alias again", kms.create_alias, AliasName="alias/oracle", TargetKeyId=key["KeyId"])
    r.step("sign by alias", kms.sign, lambda a: a["KeyId"] == key["Arn"], **{**asked, "KeyId": "alias/oracle"})
    symmetric = kms.create_key()["KeyMetadata"]
    r.step("symmetric", kms.sign, **{**asked, "KeyId": symmetric["KeyId"]})
    r.step("disable", kms.disable_key, KeyId=key["KeyId"])
    r.step("sign disabled", kms.sign, **asked)


def signatures_of_digests(r):
    """KMS signs a DIGEST, and refuses what is none."""
    kms = r.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    digest = hashlib.sha256(b"message").digest()
    asked = {"KeyId": key, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
    signed = r.step("sign", kms.sign, lambda a: a["SigningAlgorithm"], **asked)
    signature = signed["Signature"] if signed else b""
    r.step("verify", kms.verify, lambda a: a["SignatureValid"], **asked, Signature=signature)
    r.step("verify as the message", kms.verify, lambda a: a["SignatureValid"], Signature=signature,
           **{**asked, "Message": b"message", "MessageType": "RAW"})
    r.step("short", kms.sign, **{**asked, "Message": digest[:-1]})
    r.step("long", kms.sign, **{**asked, "Message": digest + b"x"})
    r.step("verify another", kms.verify, **{**asked, "Message": hashlib.sha256(b"other").digest()}, Signature=signature)
    r.step("unknown key", kms.sign, **{**asked, "KeyId": "00000000-0000-0000-0000-000000000000"})


def secrets(r):
    """Versions of a secret and their stages."""
    sm = r.client("secretsmanager")
    token = "0000000000000000000000000000000{}".format
    r.step("create", sm.create_secret, lambda a: a["VersionId"], Name="oracle", SecretString="1",
           ClientRequestToken=token(1))
    r.step("create again", sm.create_secret, Name="oracle", SecretString="2", ClientRequestToken=token(9))
    r.step("put", sm.put_secret_value, lambda a: a["VersionStages"], SecretId="oracle", SecretString="2",
           ClientRequestToken=token(2))
    r.step("put the same", sm.put_secret_value, lambda a: a["VersionId"], SecretId="oracle", SecretString="2",
           ClientRequestToken=token(2))
    r.step("put another under the same token", sm.put_secret_value, SecretId="oracle", SecretString="x",
           ClientRequestToken=token(2))
    r.step("current", sm.get_secret_value, lambda a: (a["SecretString"], a["VersionStages"]), SecretId="oracle")
    r.step("previous", sm.get_secret_value, lambda a: a["SecretString"], SecretId="oracle", VersionStage="AWSPREVIOUS")
    r.step("pending", sm.put_secret_value, lambda a: a["VersionStages"], SecretId="oracle", SecretString="3",
           ClientRequestToken=token(3), VersionStages=["AWSPENDING"])
    r.step("still current", sm.get_secret_value, lambda a: a["SecretString"], SecretId="oracle")
    r.step("move", sm.update_secret_version_stage, SecretId="oracle", VersionStage="AWSCURRENT",
           MoveToVersionId=token(3), RemoveFromVersionId=token(2))
    r.step("stages", sm.describe_secret, lambda a: {k: sorted(v) for k, v in sorted(a["VersionIdsToStages"].items())},
           SecretId="oracle")
    r.step("by version", sm.get_secret_value, lambda a: a["SecretString"], SecretId="oracle", VersionId=token(2))
    r.step("version and stage disagree", sm.get_secret_value, SecretId="oracle", VersionId=token(2),
           VersionStage="AWSCURRENT")
    r.step("no such stage", sm.get_secret_value, SecretId="oracle", VersionStage="none")
    r.step("no such secret", sm.get_secret_value, SecretId="none")
    r.step("delete", sm.delete_secret, lambda a: a["Name"], SecretId="oracle", RecoveryWindowInDays=7)
    r.step("read deleted", sm.get_secret_value, SecretId="oracle")
    r.step("restore", sm.restore_secret, lambda a: a["Name"], SecretId="oracle")
    r.step("read restored", sm.get_secret_value, lambda a: a["SecretString"], SecretId="oracle")
    r.step("window", sm.delete_secret, SecretId="oracle", RecoveryWindowInDays=6)


def labels(r):
    """Versions of a parameter and their labels."""
    ssm = r.client("ssm")
    r.step("create", ssm.put_parameter, lambda a: a["Version"], Name="/oracle", Value="1", Type="String")
    r.step("create again", ssm.put_parameter, Name="/oracle", Value="1", Type="String")
    r.step("overwrite", ssm.put_parameter, lambda a: a["Version"], Name="/oracle", Value="2", Type="String",
           Overwrite=True)
    r.step("label", ssm.label_parameter_version, lambda a: (a["InvalidLabels"], a["ParameterVersion"]),
           Name="/oracle", ParameterVersion=1, Labels=["stable"])
    r.step("by label", ssm.get_parameter, lambda a: (a["Parameter"]["Value"], a["Parameter"].get("Selector")),
           Name="/oracle:stable")
    r.step("move", ssm.label_parameter_version, lambda a: a["InvalidLabels"], Name="/oracle", ParameterVersion=2,
           Labels=["stable"])
    r.step("moved", ssm.get_parameter, lambda a: a["Parameter"]["Value"], Name="/oracle:stable")
    r.step("history", ssm.get_parameter_history,
           lambda a: [(p["Version"], p["Value"], p["Labels"]) for p in a["Parameters"]], Name="/oracle")
    r.step("bad labels", ssm.label_parameter_version, lambda a: sorted(a["InvalidLabels"]), Name="/oracle",
           Labels=["aws-x", "9", "fine"])
    r.step("by version", ssm.get_parameter, lambda a: a["Parameter"]["Value"], Name="/oracle:1")
    r.step("no such version", ssm.get_parameter, Name="/oracle:9")
    r.step("no such label", ssm.get_parameter, Name="/oracle:none")
    r.step("label of no version", ssm.label_parameter_version, Name="/oracle", ParameterVersion=9, Labels=["x"])
    r.step("label of nothing", ssm.label_parameter_version, Name="/none", Labels=["x"])
    r.step("unknown", ssm.get_parameter, Name="/none")
    r.step("some unknown", ssm.get_parameters, lambda a: a["InvalidParameters"], Names=["/oracle", "/none"])
    r.step("delete", ssm.delete_parameter, Name="/oracle")
    r.step("delete again", ssm.delete_parameter, Name="/oracle")


def composites(r):
    """An alarm over alarms."""
    watch = r.client("cloudwatch")
    for name in ("one", "two"):
        watch.put_metric_alarm(AlarmName=name, Namespace="Oracle", MetricName=name, Statistic="Sum", Period=86400,
                               EvaluationPeriods=1, Threshold=5.0, ComparisonOperator="GreaterThanThreshold")
    r.step("put", watch.put_composite_alarm, AlarmName="any", AlarmRule="ALARM(one) OR ALARM(two)")

    def shown(answer):
        return [(a["AlarmName"], a["AlarmRule"]) for a in answer["CompositeAlarms"]]
    r.step("describe", watch.describe_alarms, shown, AlarmNames=["any"], AlarmTypes=["CompositeAlarm"])
    r.step("not among the others", watch.describe_alarms, lambda a: [x["AlarmName"] for x in a["MetricAlarms"]],
           AlarmNames=["any"], AlarmTypes=["MetricAlarm"])
    r.step("state", watch.set_alarm_state, AlarmName="one", StateValue="ALARM", StateReason="oracle")
    r.step("bad rule", watch.put_composite_alarm, AlarmName="bad", AlarmRule="ALARM(")
    r.step("bad state", watch.set_alarm_state, AlarmName="one", StateValue="BAD", StateReason="oracle")
    r.step("unknown", watch.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="oracle")
    r.step("delete", watch.delete_alarms, AlarmNames=["any"])
    r.step("gone", watch.describe_alarms, shown, AlarmNames=["any"], AlarmTypes=["CompositeAlarm"])


def checksums(r):
    """Checksums of objects: kept, shown, and refused when they are wrong."""
    s3 = r.client("s3")
    s3.create_bucket(Bucket="sums", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    body = b"what is stored"
    sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
    r.step("given", s3.put_object, lambda a: a.get("ChecksumSHA256"), Bucket="sums", Key="given", Body=body,
           ChecksumSHA256=sha)
    r.step("shown", s3.head_object, lambda a: a.get("ChecksumSHA256"), Bucket="sums", Key="given",
           ChecksumMode="ENABLED")
    r.step("not asked for", s3.head_object, lambda a: a.get("ChecksumSHA256"), Bucket="sums", Key="given")
    r.step("wrong", s3.put_object, Bucket="sums", Key="wrong", Body=b"other", ChecksumSHA256=sha)
    r.step("wrong was not stored", s3.head_object, Bucket="sums", Key="wrong")
    r.step("malformed", s3.put_object, Bucket="sums", Key="wrong", Body=b"other", ChecksumSHA256="x")
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        r.step(f"made {algorithm}", s3.put_object, lambda a: a.get(f"Checksum{algorithm}"), Bucket="sums",
               Key=algorithm, Body=body, ChecksumAlgorithm=algorithm)
    r.step("md5", s3.put_object, Bucket="sums", Key="md5", Body=body,
           ContentMD5=base64.b64encode(hashlib.md5(b"other").digest()).decode())


def settle(look, seconds=8):
    """Waits until a look is good; the comparison says what it came to if it never is."""
    for _ in range(seconds * 10):
        if look():
            return
        time.sleep(0.1)


MOTO = (images, groups, balancing, objects, signatures_of_messages, secrets, labels)
MINISTACK = (signatures_of_digests, composites, checksums)
