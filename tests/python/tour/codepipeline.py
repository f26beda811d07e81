"""CodePipeline: pipelines, executions, and the queue of custom jobs."""

import uuid

from .embedded_aws import pages, refused, until

TYPE = {"category": "Test", "provider": "Tour", "version": "1"}
WHOLE_TYPE = {**TYPE, "owner": "Custom"}


def tour(aws):
    pipelines = aws.client("codepipeline")
    declarations(aws, pipelines)
    jobs(pipelines)
    control(pipelines)
    for name in ("tour", "tour-2"):
        pipelines.delete_pipeline(name=name)
    refused("PipelineNotFoundException", 400, pipelines.get_pipeline, name="tour")
    pipelines.delete_custom_action_type(**TYPE)
    refused("ActionTypeNotFoundException", 400, pipelines.poll_for_jobs, actionTypeId=WHOLE_TYPE)


def declarations(aws, pipelines):
    asked = {**TYPE, "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
             "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 5},
             "configurationProperties": [
                 {"name": "Key", "required": True, "key": False, "secret": True, "type": "String"}]}
    pipelines.create_custom_action_type(**asked)
    refused("ValidationException", 400, pipelines.create_custom_action_type, **{**asked, "version": "1.0 beta"})
    types = pages_of(pipelines.list_action_types, "actionTypes", actionOwnerFilter="Custom")
    assert "Tour" in {t["id"]["provider"] for t in types}
    given = pipelines.get_pipeline(name="web")["pipeline"]
    declaration = {key: given[key] for key in ("roleArn", "artifactStore")}
    declaration |= {"name": "tour", "pipelineType": "V2", "executionMode": "QUEUED", "version": 1, "stages": [
        given["stages"][0],
        {"name": "Test", "actions": [{"name": "Test", "namespace": "test", "actionTypeId": WHOLE_TYPE, "runOrder": 1,
                                      "configuration": {"Key": "hush"},
                                      "inputArtifacts": [{"name": "SourceArtifact"}]}]},
        {"name": "Approve", "actions": [{"name": "Ask", "runOrder": 1, "actionTypeId": {
            "category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}}]},
    ]}
    pipelines.create_pipeline(pipeline=declaration, tags=[{"key": "of", "value": "tour"}])
    refused("PipelineNameInUseException", 400, pipelines.create_pipeline, pipeline=declaration)
    refused("InvalidStructureException", 400, pipelines.create_pipeline,
            pipeline={**declaration, "name": "tour-bad", "stages": declaration["stages"][1:]})
    pipelines.create_pipeline(pipeline={**declaration, "name": "tour-2"})
    shown = pipelines.get_pipeline(name="tour")
    assert shown["pipeline"]["stages"][1]["actions"][0]["configuration"] == {"Key": "*****"}, shown
    assert pipelines.update_pipeline(pipeline=shown["pipeline"])["pipeline"]["version"] == 2
    assert {p["name"] for p in pages(pipelines, "list_pipelines", "pipelines", 1)} >= {"tour", "tour-2", "web"}
    arn = shown["metadata"]["pipelineArn"]
    pipelines.tag_resource(resourceArn=arn, tags=[{"key": "more", "value": "1"}])
    tags = pages(pipelines, "list_tags_for_resource", "tags", 1, resourceArn=arn)
    assert {t["key"]: t["value"] for t in tags} == {"of": "tour", "more": "1"}
    pipelines.untag_resource(resourceArn=arn, tagKeys=["more"])
    refused("ResourceNotFoundException", 400, pipelines.list_tags_for_resource, resourceArn=arn + "-none")


def pages_of(call, key, **params):
    found, token = [], {}
    while True:
        page = call(**params, **token)
        found += page[key]
        if "nextToken" not in page:
            return found
        token = {"nextToken": page["nextToken"]}


def started(pipelines):
    return pipelines.start_pipeline_execution(name="tour")["pipelineExecutionId"]


def claimed(pipelines):
    job = until(lambda: pipelines.poll_for_jobs(actionTypeId=WHOLE_TYPE, maxBatchSize=1)["jobs"], "a job")[0]
    assert pipelines.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"] == "InProgress"
    return job


def jobs(pipelines):
    execution = started(pipelines)
    job = until(lambda: pipelines.poll_for_jobs(actionTypeId=WHOLE_TYPE, maxBatchSize=1)["jobs"], "a job")[0]
    refused("InvalidNonceException", 400, pipelines.acknowledge_job, jobId=job["id"], nonce="0")
    refused("JobNotFoundException", 400, pipelines.acknowledge_job, jobId=str(uuid.UUID(int=0)), nonce="0")
    assert pipelines.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"] == "InProgress"
    details = pipelines.get_job_details(jobId=job["id"])["jobDetails"]
    assert details["data"]["actionConfiguration"]["configuration"] == {"Key": "hush"}
    assert details["data"]["pipelineContext"]["pipelineExecutionId"] == execution
    assert details["data"]["artifactCredentials"]["sessionToken"]
    pipelines.put_job_success_result(jobId=job["id"], continuationToken="token")
    refused("InvalidJobStateException", 400, pipelines.put_job_success_result, jobId=job["id"])
    second = claimed(pipelines)
    assert second["id"] != job["id"] and second["data"]["continuationToken"] == "token"
    of_action = job["data"]["pipelineContext"]["action"]
    assert second["data"]["pipelineContext"]["action"] == of_action
    failure = {"type": "JobFailed", "message": "the tour says so"}
    refused("ValidationException", 400, pipelines.put_job_failure_result, jobId=second["id"],
            failureDetails={**failure, "type": "Bad"})
    pipelines.put_job_failure_result(jobId=second["id"], failureDetails=failure)
    until(lambda: status(pipelines, execution) == "Failed", "the execution fails")
    pipelines.retry_stage_execution(pipelineName="tour", stageName="Test", pipelineExecutionId=execution,
                                    retryMode="FAILED_ACTIONS")
    third = claimed(pipelines)
    assert third["data"]["pipelineContext"]["action"]["actionExecutionId"] != of_action["actionExecutionId"]
    pipelines.put_job_success_result(jobId=third["id"], outputVariables={"a": "1"})
    refused("StageNotRetryableException", 400, pipelines.retry_stage_execution, pipelineName="tour", stageName="Test",
            pipelineExecutionId=execution, retryMode="FAILED_ACTIONS")
    approve(pipelines)
    until(lambda: status(pipelines, execution) == "Succeeded", "the execution succeeds")


def approve(pipelines):
    def token():
        for stage in pipelines.get_pipeline_state(name="tour")["stageStates"]:
            for action in stage.get("actionStates", []):
                if action["actionName"] == "Ask" and action.get("latestExecution", {}).get("token"):
                    return action["latestExecution"]["token"]
    asked = {"pipelineName": "tour", "stageName": "Approve", "actionName": "Ask",
             "result": {"summary": "yes", "status": "Approved"}}
    given = until(token, "approval is asked for")
    refused("InvalidApprovalTokenException", 400, pipelines.put_approval_result, **asked, token=str(uuid.UUID(int=1)))
    pipelines.put_approval_result(**asked, token=given)
    refused("ApprovalAlreadyCompletedException", 400, pipelines.put_approval_result, **asked, token=given)


def status(pipelines, execution):
    return pipelines.get_pipeline_execution(pipelineName="tour", pipelineExecutionId=execution)[
        "pipelineExecution"]["status"]


def control(pipelines):
    first = pipelines.list_pipeline_executions(pipelineName="tour")["pipelineExecutionSummaries"][0]
    execution = started(pipelines)
    claimed(pipelines)
    pipelines.stop_pipeline_execution(pipelineName="tour", pipelineExecutionId=execution, abandon=True, reason="tour")
    until(lambda: status(pipelines, execution) == "Stopped", "the execution is abandoned")
    refused("PipelineExecutionNotStoppableException", 400, pipelines.stop_pipeline_execution, pipelineName="tour",
            pipelineExecutionId=execution)
    rolled = pipelines.rollback_stage(pipelineName="tour", stageName="Test",
                                      targetPipelineExecutionId=first["pipelineExecutionId"])["pipelineExecutionId"]
    job = claimed(pipelines)
    assert job["data"]["pipelineContext"]["pipelineExecutionId"] == rolled
    pipelines.put_job_success_result(jobId=job["id"])
    refused("PipelineExecutionNotFoundException", 400, pipelines.get_pipeline_execution, pipelineName="tour",
            pipelineExecutionId=str(uuid.UUID(int=0)))
    assert len(pages(pipelines, "list_pipeline_executions", "pipelineExecutionSummaries", 1, pipelineName="tour")) == 3
    actions = pages(pipelines, "list_action_executions", "actionExecutionDetails", 2, pipelineName="tour")
    assert {a["status"] for a in actions} >= {"Succeeded", "Failed", "Abandoned"}, actions
