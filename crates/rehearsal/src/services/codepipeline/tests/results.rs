//! Effects of a job's result.

use super::*;

#[test]
fn a_continuation_token_ends_the_job_and_creates_a_new_one_of_the_same_action() {
    let (mut world, execution) = started();
    let first = claim(&mut world, "Build");
    let put = json!({ "jobId": first["id"], "continuationToken": "state-1",
        "executionDetails": { "summary": "half way", "externalExecutionId": "x1", "percentComplete": 50 } });
    ask(&mut world, "PutJobSuccessResult", put.clone()).unwrap();
    assert!(poll(&mut world, "Build").is_empty(), "the next job is offered a little later");
    wait(&mut world, 1);
    let second = claim(&mut world, "Build");
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["data"]["continuationToken"], "state-1");
    assert_eq!(action_execution_id(&second), action_execution_id(&first));
    assert_eq!(
        second["data"]["outputArtifacts"], first["data"]["outputArtifacts"],
        "the action's outputs keep their places"
    );
    assert_eq!(ask(&mut world, "PutJobSuccessResult", put).unwrap_err().code, "InvalidJobStateException");
    let history = &action_history(&mut world, &execution)[0];
    assert_eq!(history["status"], "InProgress");
    assert_eq!(history["output"]["executionResult"]["externalExecutionSummary"], "half way");
    assert_eq!(history["output"]["executionResult"]["externalExecutionUrl"], "https://maker.example/x1");
}

#[test]
fn invalid_results_are_rejected() {
    let (mut world, _) = started();
    let job = claim(&mut world, "Build");
    let big = "v".repeat(122_880);
    let id = &job["id"];
    for (input, code) in [
        (json!({ "jobId": "nobody" }), "JobNotFoundException"),
        (
            json!({ "jobId": id, "continuationToken": "t", "outputVariables": { "K": "v" } }),
            "ValidationException",
        ),
        (json!({ "jobId": id, "continuationToken": "t".repeat(2049) }), "ValidationException"),
        (json!({ "jobId": id, "continuationToken": "" }), "ValidationException"),
        (json!({ "jobId": id, "outputVariables": { "K": big } }), "OutputVariablesSizeExceededException"),
    ] {
        assert_eq!(ask(&mut world, "PutJobSuccessResult", input).unwrap_err().code, code);
    }
    for message in [String::new(), "m".repeat(5001)] {
        let input = json!({ "jobId": id, "failureDetails": { "type": "JobFailed", "message": message } });
        assert_eq!(ask(&mut world, "PutJobFailureResult", input).unwrap_err().code, "ValidationException");
    }
    // None of the rejected results ended the job.
    let fits = "v".repeat(122_879);
    ask(&mut world, "PutJobSuccessResult", json!({ "jobId": id, "outputVariables": { "K": fits } })).unwrap();
    let details = json!({ "type": "JobFailed", "message": "late" });
    let late = ask(&mut world, "PutJobFailureResult", json!({ "jobId": id, "failureDetails": details }));
    assert_eq!(late.unwrap_err().code, "InvalidJobStateException");
}

#[test]
fn an_unacknowledged_job_accepts_no_result() {
    let (mut world, _) = started();
    let job = poll(&mut world, "Build").remove(0);
    let refused = ask(&mut world, "PutJobSuccessResult", json!({ "jobId": job["id"] })).unwrap_err();
    assert_eq!(refused.code, "InvalidJobStateException");
}

#[test]
fn acknowledging_an_ended_job_returns_its_status() {
    let (mut world, _) = started();
    let job = claim(&mut world, "Build");
    succeed(&mut world, &job);
    let answer = ask(&mut world, "AcknowledgeJob", json!({ "jobId": job["id"], "nonce": job["nonce"] }));
    assert_eq!(answer.unwrap()["status"], "Succeeded");
}

#[test]
fn outputs_become_the_next_actions_inputs_and_variables_resolve() {
    let mut declared = declaration();
    declared["stages"][2]["actions"][0]["configuration"]["Spec"] =
        json!("#{Make.ImageId} of #{codepipeline.PipelineExecutionId} from #{SourceVariables.ObjectKey}");
    let mut world = world_with(&declared);
    let execution = start(&mut world);
    let made = claim(&mut world, "Build");
    let put = json!({ "jobId": made["id"], "outputVariables": { "ImageId": "ami-1" } });
    ask(&mut world, "PutJobSuccessResult", put).unwrap();
    let shipped = claim(&mut world, "Deploy");
    assert_eq!(
        shipped["data"]["inputArtifacts"][0]["location"],
        made["data"]["outputArtifacts"][0]["location"]
    );
    assert_eq!(
        shipped["data"]["actionConfiguration"]["configuration"]["Spec"],
        format!("ami-1 of {execution} from app.zip")
    );
    succeed(&mut world, &shipped);
    assert_eq!(status(&mut world, &execution), "Succeeded");
}

#[test]
fn an_unresolvable_variable_fails_the_action() {
    let mut declared = declaration();
    declared["stages"][2]["actions"][0]["configuration"]["Spec"] = json!("#{Make.Missing}");
    let mut world = world_with(&declared);
    let execution = start(&mut world);
    let made = claim(&mut world, "Build");
    succeed(&mut world, &made);
    assert_eq!(status(&mut world, &execution), "Failed");
    let error =
        action_history(&mut world, &execution)[0]["output"]["executionResult"]["errorDetails"].clone();
    assert!(error["message"].as_str().unwrap().contains("#{Make.Missing}"), "{error}");
}

#[test]
fn only_workers_see_secrets() {
    let (mut world, execution) = started();
    let shown = [
        ask(&mut world, "GetPipeline", json!({ "name": PIPELINE })).unwrap(),
        json!(action_history(&mut world, &execution)),
        ask(&mut world, "GetPipelineState", json!({ "name": PIPELINE })).unwrap(),
    ];
    for answer in shown {
        assert!(!answer.to_string().contains("hush"), "{answer}");
    }
}

#[test]
fn an_action_times_out_after_one_day_over_all_its_jobs() {
    let (mut world, execution) = started();
    let mut job = claim(&mut world, "Build");
    for hour in 0..23 {
        wait(&mut world, 3600);
        let put = json!({ "jobId": job["id"], "continuationToken": format!("{hour}") });
        ask(&mut world, "PutJobSuccessResult", put).unwrap();
        wait(&mut world, 1);
        job = claim(&mut world, "Build");
    }
    wait(&mut world, 3600);
    let refused = ask(&mut world, "PutJobSuccessResult", json!({ "jobId": job["id"] })).unwrap_err();
    assert_eq!(refused.code, "InvalidJobStateException");
    assert_eq!(status(&mut world, &execution), "Failed");
}
