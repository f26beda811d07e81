"""Elastic Load Balancing: target groups, listeners, rules, weights."""

from .embedded_aws import pages, refused, until


def tour(aws):
    elb, ec2 = aws.client("elbv2"), aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    vpc = subnet["VpcId"]
    groups = [
        elb.create_target_group(Name=f"tour-{name}", Protocol="HTTP", Port=80, VpcId=vpc,
                                HealthCheckIntervalSeconds=5)["TargetGroups"][0]
        for name in "ab"
    ]
    a, b = (group["TargetGroupArn"] for group in groups)
    same = elb.create_target_group(Name="tour-a", Protocol="HTTP", Port=80, VpcId=vpc, HealthCheckIntervalSeconds=5)
    assert same["TargetGroups"][0]["TargetGroupArn"] == a
    refused("DuplicateTargetGroupName", 400, elb.create_target_group, Name="tour-a", Protocol="HTTP", Port=81, VpcId=vpc)
    refused("ValidationError", 400, elb.create_target_group, Name="tour-c", Protocol="GOPHER", Port=80, VpcId=vpc)
    listed = pages(elb, "describe_target_groups", "TargetGroups", 1)
    assert {"tour-a", "tour-b"} <= {g["TargetGroupName"] for g in listed}
    refused("TargetGroupNotFound", 400, elb.describe_target_groups, Names=["none"])

    elb.modify_target_group_attributes(TargetGroupArn=a, Attributes=[
        {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
    attributes = {x["Key"]: x["Value"] for x in elb.describe_target_group_attributes(TargetGroupArn=a)["Attributes"]}
    assert attributes["deregistration_delay.timeout_seconds"] == "30"

    balancer = elb.create_load_balancer(Name="tour", Subnets=[subnet["SubnetId"]])["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    assert arn in {x["LoadBalancerArn"] for x in pages(elb, "describe_load_balancers", "LoadBalancers", 1)}
    refused("LoadBalancerNotFound", 400, elb.describe_load_balancers, Names=["none"])
    forward = [{"Type": "forward", "TargetGroupArn": a}]
    listener = elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=forward)
    listener = listener["Listeners"][0]["ListenerArn"]
    refused("DuplicateListener", 400, elb.create_listener, LoadBalancerArn=arn, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": b}])
    weights = [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
        {"TargetGroupArn": a, "Weight": 90}, {"TargetGroupArn": b, "Weight": 10}]}}]
    elb.modify_listener(ListenerArn=listener, DefaultActions=weights)
    shown = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]
    assert [g["Weight"] for g in shown["TargetGroups"]] == [90, 10]
    refused("ListenerNotFound", 400, elb.describe_listeners, ListenerArns=[listener[:-1] + "x"])
    path = [{"Field": "path-pattern", "Values": ["/tour/*"]}]
    rule = elb.create_rule(ListenerArn=listener, Conditions=path, Priority=10, Actions=weights)["Rules"][0]
    refused("PriorityInUse", 400, elb.create_rule, ListenerArn=listener, Conditions=path, Priority=10, Actions=forward)
    elb.modify_rule(RuleArn=rule["RuleArn"], Actions=forward)
    rules = pages(elb, "describe_rules", "Rules", 1, ListenerArn=listener)
    assert [r["Priority"] for r in rules] == ["10", "default"]
    refused("RuleNotFound", 400, elb.delete_rule, RuleArn=rule["RuleArn"][:-1] + "x")

    instance = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    instance = instance["Reservations"][0]["Instances"][0]["InstanceId"]
    elb.register_targets(TargetGroupArn=a, Targets=[{"Id": instance}])

    def state():
        health = elb.describe_target_health(TargetGroupArn=a)["TargetHealthDescriptions"]
        return health[0]["TargetHealth"]["State"] if health else "gone"
    until(lambda: state() == "healthy", "the target is healthy")
    refused("InvalidTarget", 400, elb.register_targets, TargetGroupArn=a, Targets=[{"Id": "i-00000000000000000"}])
    refused("TargetGroupNotFound", 400, elb.describe_target_health, TargetGroupArn=a[:-1] + "x")
    elb.deregister_targets(TargetGroupArn=a, Targets=[{"Id": instance}])
    until(lambda: state() == "gone", "the target is drained")

    elb.add_tags(ResourceArns=[a, arn], Tags=[{"Key": "of", "Value": "tour"}])
    tags = elb.describe_tags(ResourceArns=[a, arn])["TagDescriptions"]
    assert [t["Tags"] for t in tags] == [[{"Key": "of", "Value": "tour"}]] * 2
    elb.remove_tags(ResourceArns=[a], TagKeys=["of"])
    assert elb.describe_tags(ResourceArns=[a])["TagDescriptions"][0]["Tags"] == []

    refused("ResourceInUse", 400, elb.delete_target_group, TargetGroupArn=a)
    elb.delete_rule(RuleArn=rule["RuleArn"])
    elb.delete_listener(ListenerArn=listener)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    for group in (a, b):
        elb.delete_target_group(TargetGroupArn=group)
    refused("TargetGroupNotFound", 400, elb.describe_target_groups, TargetGroupArns=[a])
