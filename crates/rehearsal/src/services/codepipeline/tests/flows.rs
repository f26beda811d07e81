//! How executions advance, stop, retry, roll back and supersede each other.

use super::*;

fn stop(world: &mut World, execution: &str, abandon: bool) -> Result<Value, ApiError> {
    let input = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": execution, "abandon": abandon,
        "reason": "enough" });
    ask(world, "StopPipelineExecution", input)
}

fn retry(world: &mut World, execution: &str, mode: &str) -> Result<Value, ApiError> {
    let input = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": execution, "stageName": "Build",
        "retryMode": mode });
    ask(world, "RetryStageExecution", input)
}

fn through(world: &mut World) {
    for category in ["Build", "Deploy"] {
        let job = claim(world, category);
        succeed(world, &job);
    }
}

#[test]
fn a_retry_keeps_the_execution_and_has_a_new_action_execution() {
    let (mut world, execution) = started();
    let first = claim(&mut world, "Build");
    fail(&mut world, &first, "the oven is cold");
    assert_eq!(status(&mut world, &execution), "Failed");
    let answer = retry(&mut world, &execution, "FAILED_ACTIONS").unwrap();
    assert_eq!(answer["pipelineExecutionId"], execution);
    let second = claim(&mut world, "Build");
    assert_ne!(action_execution_id(&second), action_execution_id(&first));
    assert_ne!(second["data"]["outputArtifacts"], first["data"]["outputArtifacts"]);
    assert_eq!(second["data"]["pipelineContext"]["pipelineExecutionId"], execution);
    assert!(second["data"].get("continuationToken").is_none(), "a retry has no continuation token");
    let statuses: Vec<_> =
        action_history(&mut world, &execution).iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, ["InProgress", "Failed", "Succeeded"]);
    assert_eq!(
        retry(&mut world, &execution, "FAILED_ACTIONS").unwrap_err().code,
        "StageNotRetryableException"
    );
}

#[test]
fn a_retry_runs_failed_actions_or_all_of_them() {
    for (mode, again) in [("FAILED_ACTIONS", 1), ("ALL_ACTIONS", 2)] {
        let mut declared = declaration();
        let other = custom("Other", "Test", "SourceArtifact", "Report");
        declared["stages"][1]["actions"].as_array_mut().unwrap().push(other);
        let mut world = world_with(&declared);
        let execution = start(&mut world);
        let (good, bad) = (claim(&mut world, "Test"), claim(&mut world, "Build"));
        succeed(&mut world, &good);
        fail(&mut world, &bad, "no");
        retry(&mut world, &execution, mode).unwrap();
        let offered = poll(&mut world, "Build").len() + poll(&mut world, "Test").len();
        assert_eq!(offered, again, "{mode}");
    }
}

#[test]
fn run_orders_are_sequential() {
    let mut declared = declaration();
    let mut later = custom("Later", "Test", "Made", "Report");
    later["runOrder"] = json!(2);
    declared["stages"][1]["actions"].as_array_mut().unwrap().push(later);
    let mut world = world_with(&declared);
    start(&mut world);
    assert!(poll(&mut world, "Test").is_empty());
    let first = claim(&mut world, "Build");
    succeed(&mut world, &first);
    assert!(poll(&mut world, "Deploy").is_empty());
    assert_eq!(poll(&mut world, "Test").len(), 1);
}

#[test]
fn stop_waits_for_the_action_and_abandon_does_not() {
    let (mut world, execution) = started();
    let job = claim(&mut world, "Build");
    stop(&mut world, &execution, false).unwrap();
    assert_eq!(status(&mut world, &execution), "Stopping");
    assert_eq!(stop(&mut world, &execution, false).unwrap_err().code, "DuplicatedStopRequestException");
    succeed(&mut world, &job);
    assert_eq!(status(&mut world, &execution), "Stopped");
    assert!(poll(&mut world, "Deploy").is_empty());

    let (mut world, execution) = started();
    let job = claim(&mut world, "Build");
    stop(&mut world, &execution, true).unwrap();
    assert_eq!(status(&mut world, &execution), "Stopped");
    assert_eq!(action_history(&mut world, &execution)[0]["status"], "Abandoned");
    let late = ask(&mut world, "PutJobSuccessResult", json!({ "jobId": job["id"] })).unwrap_err();
    assert_eq!(late.code, "InvalidJobStateException");
    assert_eq!(
        stop(&mut world, &execution, true).unwrap_err().code,
        "PipelineExecutionNotStoppableException"
    );
    retry(&mut world, &execution, "FAILED_ACTIONS").unwrap();
    assert_eq!(poll(&mut world, "Build").len(), 1);
}

#[test]
fn a_start_with_the_same_token_returns_the_same_execution() {
    let mut world = world_with(&declaration());
    let mut go = |token: &str| {
        let input = json!({ "name": PIPELINE, "clientRequestToken": token });
        ask(&mut world, "StartPipelineExecution", input).unwrap()["pipelineExecutionId"].clone()
    };
    assert_eq!(go("a"), go("a"));
    assert_ne!(go("a"), go("b"));
}

#[test]
fn the_execution_mode_decides_which_execution_enters_a_stage() {
    for (mode, second, third, entered) in [
        ("SUPERSEDED", "Superseded", "InProgress", 1),
        ("QUEUED", "InProgress", "InProgress", 1),
        ("PARALLEL", "InProgress", "InProgress", 3),
    ] {
        let mut declared = declaration();
        declared["executionMode"] = json!(mode);
        let mut world = world_with(&declared);
        let ids = [start(&mut world), start(&mut world), start(&mut world)];
        assert_eq!(status(&mut world, &ids[0]), "InProgress", "{mode}");
        assert_eq!(status(&mut world, &ids[1]), second, "{mode}");
        assert_eq!(status(&mut world, &ids[2]), third, "{mode}");
        let jobs = poll(&mut world, "Build");
        assert_eq!(jobs.len(), entered, "{mode}");
        let first = &jobs[0];
        assert_eq!(first["data"]["pipelineContext"]["pipelineExecutionId"], ids[0], "{mode}");
        ask(&mut world, "AcknowledgeJob", json!({ "jobId": first["id"], "nonce": first["nonce"] })).unwrap();
        succeed(&mut world, first);
        if mode != "PARALLEL" {
            let next = &poll(&mut world, "Build")[0]["data"]["pipelineContext"]["pipelineExecutionId"];
            assert_eq!(*next, ids[if mode == "QUEUED" { 1 } else { 2 }], "{mode}");
        }
    }
}

#[test]
fn a_failed_execution_cannot_be_retried_once_a_newer_one_has_entered_the_stage() {
    let (mut world, first) = started();
    let job = claim(&mut world, "Build");
    fail(&mut world, &job, "no");
    start(&mut world);
    let refused = retry(&mut world, &first, "ALL_ACTIONS").unwrap_err();
    assert_eq!(refused.code, "NotLatestPipelineExecutionException");
}

#[test]
fn a_rollback_runs_one_stage_with_the_targets_artifacts() {
    let (mut world, first) = started();
    let made = claim(&mut world, "Build");
    succeed(&mut world, &made);
    let shipped = claim(&mut world, "Deploy");
    succeed(&mut world, &shipped);
    start(&mut world);
    through(&mut world);
    let input = |stage: &str, target: &str| {
        json!({ "pipelineName": PIPELINE, "stageName": stage,
        "targetPipelineExecutionId": target })
    };
    let answer = ask(&mut world, "RollbackStage", input("Deploy", &first)).unwrap();
    let rollback = answer["pipelineExecutionId"].as_str().unwrap().to_owned();
    assert_ne!(rollback, first);
    let job = claim(&mut world, "Deploy");
    assert_eq!(job["data"]["pipelineContext"]["pipelineExecutionId"], rollback);
    assert_eq!(job["data"]["inputArtifacts"], shipped["data"]["inputArtifacts"]);
    succeed(&mut world, &job);
    assert_eq!(status(&mut world, &rollback), "Succeeded");
    let shown = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": rollback });
    let shown = ask(&mut world, "GetPipelineExecution", shown).unwrap();
    assert_eq!(shown["pipelineExecution"]["executionType"], "ROLLBACK");
    for (stage, target, code) in [
        ("Source", first.as_str(), "UnableToRollbackStageException"),
        ("Deploy", rollback.as_str(), "UnableToRollbackStageException"),
        ("Nowhere", first.as_str(), "StageNotFoundException"),
        ("Deploy", "nobody", "PipelineExecutionNotFoundException"),
    ] {
        assert_eq!(ask(&mut world, "RollbackStage", input(stage, target)).unwrap_err().code, code);
    }
}

#[test]
fn a_stage_can_declare_a_retry_or_rollback_on_failure() {
    let mut declared = declaration();
    declared["stages"][2]["onFailure"] = json!({ "result": "ROLLBACK" });
    declared["stages"][1]["onFailure"] =
        json!({ "result": "RETRY", "retryConfiguration": { "retryMode": "ALL_ACTIONS" } });
    let mut world = world_with(&declared);
    start(&mut world);
    through(&mut world);
    let second = start(&mut world);
    let job = claim(&mut world, "Build");
    fail(&mut world, &job, "once");
    let job = claim(&mut world, "Build");
    succeed(&mut world, &job);
    let job = claim(&mut world, "Deploy");
    fail(&mut world, &job, "twice");
    assert_eq!(status(&mut world, &second), "Failed");
    let job = claim(&mut world, "Deploy");
    let newest = ask(&mut world, "ListPipelineExecutions", json!({ "pipelineName": PIPELINE })).unwrap();
    let newest = &newest["pipelineExecutionSummaries"][0];
    assert_eq!(newest["pipelineExecutionId"], job["data"]["pipelineContext"]["pipelineExecutionId"]);
    assert_eq!(newest["trigger"]["triggerType"], "AutomatedRollback");
}

#[test]
fn an_approval_requires_its_token() {
    let mut declared = declaration();
    let approve = json!({ "name": "Gate", "actions": [{ "name": "Ask",
        "actionTypeId": { "category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1" },
    }] });
    declared["stages"].as_array_mut().unwrap().insert(1, approve);
    for (answer, outcome) in [("Approved", "InProgress"), ("Rejected", "Failed")] {
        let mut world = world_with(&declared);
        let execution = start(&mut world);
        let state = ask(&mut world, "GetPipelineState", json!({ "name": PIPELINE })).unwrap();
        let token = state["stageStates"][1]["actionStates"][0]["latestExecution"]["token"].clone();
        let input = |token: &Value| {
            json!({ "pipelineName": PIPELINE, "stageName": "Gate", "actionName": "Ask",
            "result": { "summary": "seen", "status": answer }, "token": token })
        };
        let wrong = ask(&mut world, "PutApprovalResult", input(&json!("wrong"))).unwrap_err();
        assert_eq!(wrong.code, "InvalidApprovalTokenException");
        ask(&mut world, "PutApprovalResult", input(&token)).unwrap();
        assert_eq!(status(&mut world, &execution), outcome);
        let twice = ask(&mut world, "PutApprovalResult", input(&token)).unwrap_err();
        assert_eq!(twice.code, "ApprovalAlreadyCompletedException");
    }
}

#[test]
fn a_missing_source_object_fails_the_execution() {
    let mut declared = declaration();
    declared["stages"][0]["actions"][0]["configuration"]["S3ObjectKey"] = json!("gone.zip");
    let mut world = world_with(&declared);
    let execution = start(&mut world);
    assert_eq!(status(&mut world, &execution), "Failed");
}

#[test]
fn a_copy_of_the_world_is_independent_and_the_same_seed_gives_the_same_ids() {
    let (mut world, execution) = started();
    let mut copy = world.clone();
    through(&mut world);
    assert_eq!(status(&mut world, &execution), "Succeeded");
    assert_eq!(status(&mut copy, &execution), "InProgress");
    assert_eq!(started().1, execution);
}
