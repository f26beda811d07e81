"""Systems Manager: parameters with their versions and labels, and commands."""

from .embedded_aws import pages, refused, until


def tour(aws):
    ssm = aws.client("ssm")
    parameters(ssm)
    commands(aws, ssm)


def parameters(ssm):
    assert ssm.put_parameter(Name="/tour/a", Value="1", Type="String", Description="d")["Version"] == 1
    refused("ParameterAlreadyExists", 400, ssm.put_parameter, Name="/tour/a", Value="2", Type="String")
    assert ssm.put_parameter(Name="/tour/a", Value="2", Overwrite=True)["Version"] == 2
    refused("ValidationException", 400, ssm.put_parameter, Name="/tour/new", Value="2")
    refused("ValidationException", 400, ssm.put_parameter, Name="aws/tour", Value="2", Type="String")
    refused("ValidationException", 400, ssm.put_parameter, Name="/tour/x", Value="x" * 4097, Type="String")
    for name in "bcd":
        ssm.put_parameter(Name=f"/tour/{name}", Value=name, Type="StringList" if name == "b" else "String")
    ssm.put_parameter(Name="/tour/deep/e", Value="e", Type="String")
    assert ssm.get_parameter(Name="/tour/a:1")["Parameter"]["Value"] == "1"
    refused("ParameterNotFound", 400, ssm.get_parameter, Name="/tour/none")
    refused("ParameterVersionNotFound", 400, ssm.get_parameter, Name="/tour/a:9")
    several = ssm.get_parameters(Names=["/tour/a", "/tour/none"])
    assert [p["Version"] for p in several["Parameters"]] == [2] and several["InvalidParameters"] == ["/tour/none"]
    flat = pages(ssm, "get_parameters_by_path", "Parameters", 2, Path="/tour")
    assert [p["Name"] for p in flat] == ["/tour/a", "/tour/b", "/tour/c", "/tour/d"]
    deep = pages(ssm, "get_parameters_by_path", "Parameters", 2, Path="/tour", Recursive=True)
    assert len(deep) == 5
    history = pages(ssm, "get_parameter_history", "Parameters", 1, Name="/tour/a")
    assert [p["Value"] for p in history] == ["1", "2"]
    described = pages(ssm, "describe_parameters", "Parameters", 2,
                      ParameterFilters=[{"Key": "Name", "Option": "BeginsWith", "Values": ["/tour/"]}])
    assert len(described) == 5

    ssm.label_parameter_version(Name="/tour/a", ParameterVersion=1, Labels=["stable"])
    assert ssm.get_parameter(Name="/tour/a:stable")["Parameter"]["Version"] == 1
    ssm.label_parameter_version(Name="/tour/a", Labels=["stable"])
    assert ssm.get_parameter(Name="/tour/a:stable")["Parameter"]["Version"] == 2
    answer = ssm.label_parameter_version(Name="/tour/a", Labels=["aws-is-taken", "9lives"])
    assert sorted(answer["InvalidLabels"]) == ["9lives", "aws-is-taken"]
    for index in range(10):
        ssm.label_parameter_version(Name="/tour/a", ParameterVersion=1, Labels=[f"l{index}"])
    refused("ParameterVersionLabelLimitExceeded", 400, ssm.label_parameter_version, Name="/tour/a",
            ParameterVersion=1, Labels=["l10"])
    gone = ssm.unlabel_parameter_version(Name="/tour/a", ParameterVersion=2, Labels=["stable", "never"])
    assert gone["RemovedLabels"] == ["stable"] and gone["InvalidLabels"] == ["never"]

    tag = {"ResourceType": "Parameter", "ResourceId": "/tour/a"}
    ssm.add_tags_to_resource(**tag, Tags=[{"Key": "of", "Value": "tour"}])
    assert ssm.list_tags_for_resource(**tag)["TagList"] == [{"Key": "of", "Value": "tour"}]
    ssm.remove_tags_from_resource(**tag, TagKeys=["of"])
    assert ssm.list_tags_for_resource(**tag)["TagList"] == []
    refused("InvalidResourceId", 400, ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/tour/none")

    ssm.delete_parameter(Name="/tour/a")
    refused("ParameterNotFound", 400, ssm.delete_parameter, Name="/tour/a")
    gone = ssm.delete_parameters(Names=["/tour/b", "/tour/a"])
    assert gone["DeletedParameters"] == ["/tour/b"] and gone["InvalidParameters"] == ["/tour/a"]


def commands(aws, ssm):
    nodes = until(lambda: pages(ssm, "describe_instance_information", "InstanceInformationList", 5),
                  "instances register")
    instance = nodes[0]["InstanceId"]
    sent = ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript",
                            Parameters={"commands": ["true"]}, TimeoutSeconds=60, Comment="tour")["Command"]
    assert sent["Status"] in ("Pending", "InProgress")
    asked = {"CommandId": sent["CommandId"], "InstanceId": instance}

    def ended():
        try:
            return ssm.get_command_invocation(**asked)["Status"] == "Success"
        except ssm.exceptions.InvocationDoesNotExist:
            return False
    until(ended, "the command ends")
    assert ssm.list_commands(CommandId=sent["CommandId"])["Commands"][0]["CompletedCount"] == 1
    again = ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript",
                             Parameters={"commands": ["true"]})["Command"]
    assert len(pages(ssm, "list_commands", "Commands", 1)) >= 2
    assert len(pages(ssm, "list_command_invocations", "CommandInvocations", 1, InstanceId=instance)) >= 2
    ssm.cancel_command(CommandId=again["CommandId"])
    patched = ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunPatchBaseline",
                               Parameters={"Operation": ["Scan"]})["Command"]
    of_steps = {"CommandId": patched["CommandId"], "InstanceId": instance}

    def steps():
        found = ssm.list_command_invocations(Details=True, **of_steps)["CommandInvocations"]
        return found and found[0]["Status"] == "Success" and found[0]["CommandPlugins"]
    names = [step["Name"] for step in until(steps, "the document ends")]
    assert names == ["PatchWindows", "PatchLinux", "PatchMacOS"]
    assert ssm.get_command_invocation(PluginName=names[1], **of_steps)["Status"] == "Success"
    refused("InvalidPluginName", 400, ssm.get_command_invocation, **of_steps)
    refused("InvalidParameters", 400, ssm.send_command, InstanceIds=[instance], DocumentName="AWS-RunPatchBaseline",
            Parameters={"Operation": ["Look"]})
    refused("InvalidCommandId", 400, ssm.cancel_command, CommandId="0" * 36)
    refused("InvalidDocument", 400, ssm.send_command, InstanceIds=[instance], DocumentName="None")
    refused("InvalidInstanceId", 400, ssm.send_command, InstanceIds=["i-00000000000000000"],
            DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]})
    refused("ValidationException", 400, ssm.send_command, InstanceIds=[instance], TimeoutSeconds=29,
            DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]})
    refused("InvalidCommandId", 400, ssm.get_command_invocation, CommandId="0" * 36, InstanceId=instance)
