"""ECS: a task's life on Fargate, and a service that keeps its tasks."""

from .embedded_aws import pages, refused, until

IMAGE = "public.ecr.aws/docker/library/busybox:1"


def tour(aws):
    ecs = aws.client("ecs")
    subnet = aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    cluster = ecs.create_cluster(clusterName="tour", tags=[{"key": "of", "value": "tour"}])["cluster"]["clusterArn"]
    assert cluster in pages(ecs, "list_clusters", "clusterArns", 1)
    described = ecs.describe_clusters(clusters=["tour", "none"], include=["TAGS"])
    assert described["clusters"][0]["tags"] == [{"key": "of", "value": "tour"}]
    assert described["failures"][0]["reason"] == "MISSING"
    ecs.tag_resource(resourceArn=cluster, tags=[{"key": "more", "value": "x"}])
    ecs.untag_resource(resourceArn=cluster, tagKeys=["of"])
    assert ecs.list_tags_for_resource(resourceArn=cluster)["tags"] == [{"key": "more", "value": "x"}]

    def register():
        made = ecs.register_task_definition(
            family="tour", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
            containerDefinitions=[{"name": "app", "image": IMAGE, "portMappings": [{"containerPort": 80}],
                                   "healthCheck": {"command": ["CMD-SHELL", "true"]}}])
        return made["taskDefinition"]["taskDefinitionArn"]

    one, two = register(), register()
    refused("ClientException", 400, ecs.register_task_definition, family="tour", cpu="1", memory="1",
            requiresCompatibilities=["FARGATE"], containerDefinitions=[{"name": "app", "image": IMAGE}])
    assert ecs.describe_task_definition(taskDefinition="tour")["taskDefinition"]["revision"] == 2
    assert pages(ecs, "list_task_definitions", "taskDefinitionArns", 1, familyPrefix="tour") == [one, two]
    assert ecs.list_task_definition_families(familyPrefix="to")["families"] == ["tour"]

    run = {"cluster": "tour", "taskDefinition": two, "launchType": "FARGATE", "networkConfiguration": network,
           "clientToken": "tour-1", "startedBy": "tour", "count": 2}
    started = ecs.run_task(**run)
    arns = {task["taskArn"] for task in started["tasks"]}
    assert len(arns) == 2 and started["failures"] == []
    assert {task["taskArn"] for task in ecs.run_task(**run)["tasks"]} == arns
    refused("ConflictException", 400, ecs.run_task, **{**run, "count": 1})
    refused("ClusterNotFoundException", 400, ecs.run_task, **{**run, "cluster": "none"})
    assert set(pages(ecs, "list_tasks", "taskArns", 1, cluster="tour", startedBy="tour")) == arns

    def task(arn):
        return ecs.describe_tasks(cluster="tour", tasks=[arn])["tasks"][0]

    first = min(arns)
    until(lambda: task(first)["lastStatus"] == "RUNNING" and task(first)["healthStatus"] == "HEALTHY", "the task is healthy")
    for arn in arns:
        ecs.stop_task(cluster="tour", task=arn, reason="the tour is over")
    until(lambda: all(task(arn)["lastStatus"] == "STOPPED" for arn in arns), "the tasks stop")
    assert task(first)["stopCode"] == "UserInitiated"
    refused("InvalidParameterException", 400, ecs.stop_task, cluster="tour", task="0" * 32)

    ecs.create_service(cluster="tour", serviceName="web", taskDefinition=one, desiredCount=1, launchType="FARGATE",
                       networkConfiguration=network)
    ecs.update_service(cluster="tour", service="web", taskDefinition=two)
    assert len(pages(ecs, "list_services", "serviceArns", 1, cluster="tour")) == 1

    def service():
        return ecs.describe_services(cluster="tour", services=["web"])["services"][0]

    until(lambda: [d["rolloutState"] for d in service()["deployments"]] == ["COMPLETED"], "the rollout")
    assert service()["taskDefinition"] == two
    refused("ClusterContainsServicesException", 400, ecs.delete_cluster, cluster="tour")
    ecs.delete_service(cluster="tour", service="web", force=True)
    until(lambda: service()["status"] == "INACTIVE", "the service is gone")
    ecs.deregister_task_definition(taskDefinition=one)
    deleted = ecs.delete_task_definitions(taskDefinitions=[one, two])
    assert [d["taskDefinitionArn"] for d in deleted["taskDefinitions"]] == [one], deleted
    assert ecs.delete_cluster(cluster="tour")["cluster"]["status"] == "INACTIVE"
