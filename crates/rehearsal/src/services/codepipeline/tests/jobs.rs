//! Offers, nonces and job documents.

use std::time::Duration;

use super::*;

#[test]
fn only_known_custom_action_types_can_be_polled() {
    let (mut world, _) = started();
    let with = |owner: &str, version: &str| {
        json!({ "actionTypeId":
            { "category": "Build", "owner": owner, "provider": "Maker", "version": version } })
    };
    for (owner, version, code) in [
        ("AWS", "1", "ValidationException"),
        ("ThirdParty", "1", "ValidationException"),
        ("Custom", "2", "ActionTypeNotFoundException"),
    ] {
        let refused = ask(&mut world, "PollForJobs", with(owner, version)).unwrap_err();
        assert_eq!(refused.code, code, "{owner} {version}");
    }
    assert!(ask(&mut world, "PollForJobs", with("Custom", "1")).is_ok());
}

#[test]
fn a_job_document_has_everything_a_worker_needs() {
    let (mut world, execution) = started();
    let job = poll(&mut world, "Build").remove(0);
    assert_eq!(job["accountId"], ACCOUNT);
    let data = &job["data"];
    assert_eq!(data["actionTypeId"], type_id("Build"));
    assert_eq!(
        data["actionConfiguration"]["configuration"],
        json!({ "Password": "hush", "Spec": "release.yaml" })
    );
    let context = &data["pipelineContext"];
    assert_eq!(context["pipelineName"], PIPELINE);
    assert_eq!(context["pipelineArn"], format!("arn:aws:codepipeline:{REGION}:{ACCOUNT}:{PIPELINE}"));
    assert_eq!(context["pipelineExecutionId"], execution);
    assert_eq!(context["stage"]["name"], "Build");
    assert_eq!(context["action"]["name"], "Make");
    assert_eq!(data["encryptionKey"]["type"], "KMS");
    assert!(data.get("continuationToken").is_none());

    let input = &data["inputArtifacts"][0];
    let key = input["location"]["s3Location"]["objectKey"].as_str().unwrap();
    assert!(key.starts_with("a-pipeline-with-a-lo/SourceArti/"), "{key}");
    assert!(input["revision"].is_string());
    assert_eq!(s3::get(&world, "artifact-bucket", key).unwrap().body, Bytes::from_static(b"zip"));
    let output = &data["outputArtifacts"][0];
    assert_eq!((output["name"].as_str(), output.get("revision")), (Some("Made"), None));
    assert_eq!(output["location"]["type"], "S3");
}

#[test]
fn artifact_credentials_are_temporary_and_new_in_every_response() {
    let (mut world, _) = started();
    let job = claim(&mut world, "Build");
    let first = job["data"]["artifactCredentials"]["accessKeyId"].as_str().unwrap().to_owned();
    let principal = super::super::super::sts::principal(&world, &first).unwrap();
    assert_eq!(principal.account, ACCOUNT);
    assert_eq!(principal.expires, Some(world.now + Duration::from_mins(15)));
    wait(&mut world, 600);
    let details = ask(&mut world, "GetJobDetails", json!({ "jobId": job["id"] })).unwrap();
    let data = &details["jobDetails"]["data"];
    assert_ne!(data["artifactCredentials"]["accessKeyId"], first.as_str());
    assert_eq!(data["actionConfiguration"]["configuration"]["Password"], "hush");
    assert!(details["jobDetails"].get("nonce").is_none());
}

#[test]
fn the_worker_with_the_newer_nonce_gets_the_job() {
    let (mut world, _) = started();
    let first = poll(&mut world, "Build").remove(0);
    assert!(poll(&mut world, "Build").is_empty(), "an offered job is invisible for a while");
    wait(&mut world, 60);
    let second = poll(&mut world, "Build").remove(0);
    assert_eq!(first["id"], second["id"]);
    assert_ne!(first["nonce"], second["nonce"]);
    let ack = |nonce: &Value| json!({ "jobId": first["id"], "nonce": nonce });
    assert_eq!(
        ask(&mut world, "AcknowledgeJob", ack(&first["nonce"])).unwrap_err().code,
        "InvalidNonceException"
    );
    assert_eq!(ask(&mut world, "AcknowledgeJob", ack(&second["nonce"])).unwrap()["status"], "InProgress");
    assert_eq!(
        ask(&mut world, "AcknowledgeJob", ack(&first["nonce"])).unwrap_err().code,
        "InvalidNonceException"
    );
}

#[test]
fn a_repeated_acknowledgement_succeeds_or_fails_by_option() {
    for (accepted, options_say) in [(true, true), (false, false)] {
        let (mut world, _) = started();
        world.codepipeline.options.repeat_acknowledgement = options_say;
        let job = claim(&mut world, "Build");
        let again = ask(&mut world, "AcknowledgeJob", json!({ "jobId": job["id"], "nonce": job["nonce"] }));
        assert_eq!(again.is_ok(), accepted);
    }
}

#[test]
fn unacknowledged_jobs_can_be_lost_permanently() {
    let (mut world, _) = started();
    world.codepipeline.options.visibility = None;
    assert_eq!(poll(&mut world, "Build").len(), 1);
    wait(&mut world, 3600);
    assert!(poll(&mut world, "Build").is_empty());
}

#[test]
fn an_acknowledged_job_is_offered_again_only_by_option() {
    for (redeliver, comes_back) in [(None, false), (Some(Duration::from_mins(5)), true)] {
        let (mut world, _) = started();
        world.codepipeline.options.redeliver_acknowledged_after = redeliver;
        let job = claim(&mut world, "Build");
        wait(&mut world, 299);
        assert!(poll(&mut world, "Build").is_empty());
        wait(&mut world, 1);
        let offers = poll(&mut world, "Build");
        assert_eq!(!offers.is_empty(), comes_back);
        if let Some(offer) = offers.first() {
            assert_eq!(offer["id"], job["id"]);
            assert_ne!(offer["nonce"], job["nonce"]);
        }
    }
}

#[test]
fn a_poll_returns_one_job_unless_max_batch_size_is_given() {
    let (mut world, _) = started();
    let first = claim(&mut world, "Build");
    succeed(&mut world, &first);
    start(&mut world);
    let bare = json!({ "actionTypeId": type_id("Build") });
    assert_eq!(ask(&mut world, "PollForJobs", bare).unwrap()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_queryable_property_filters_jobs_and_is_mandatory() {
    let mut world = World::new(Time(0), 1);
    ask(
        &mut world,
        "CreateCustomActionType",
        json!({
            "category": "Build", "provider": "Maker", "version": "1",
            "configurationProperties":
                [{ "name": "Farm", "required": true, "key": true, "secret": false, "queryable": true }],
            "inputArtifactDetails": { "minimumCount": 0, "maximumCount": 1 },
            "outputArtifactDetails": { "minimumCount": 0, "maximumCount": 1 },
        }),
    )
    .unwrap();
    put_source(&mut world);
    let mut declared = declaration();
    declared["stages"].as_array_mut().unwrap().truncate(2);
    declared["stages"][1]["actions"][0]["configuration"] = json!({ "Farm": "blue" });
    ask(&mut world, "CreatePipeline", json!({ "pipeline": declared })).unwrap();
    start(&mut world);
    for (query, expected) in [
        (json!(null), Err("ValidationException")),
        (json!({}), Err("ValidationException")),
        (json!({ "Other": "blue" }), Err("ValidationException")),
        (json!({ "Farm": "green" }), Ok(0)),
        (json!({ "Farm": "blue" }), Ok(1)),
    ] {
        let input = json!({ "actionTypeId": type_id("Build"), "queryParam": query });
        let found = ask(&mut world, "PollForJobs", input)
            .map(|answer| answer["jobs"].as_array().unwrap().len())
            .map_err(|refused| refused.code);
        assert_eq!(found, expected.map_err(str::to_owned), "{query}");
    }
}

#[test]
fn query_parameters_are_rejected_without_a_queryable_property() {
    let (mut world, _) = started();
    let input = json!({ "actionTypeId": type_id("Build"), "queryParam": { "Spec": "x" } });
    assert_eq!(ask(&mut world, "PollForJobs", input).unwrap_err().code, "ValidationException");
}

#[test]
fn jobs_are_visible_only_in_their_account_and_region() {
    let (mut world, _) = started();
    let job = poll(&mut world, "Build").remove(0);
    let call = Call {
        service: "codepipeline",
        operation: "GetJobDetails".into(),
        input: json!({ "jobId": job["id"] }).as_object().unwrap().clone(),
        account: ACCOUNT.into(),
        region: "us-east-1".into(),
        access_key: String::new(),
        now: world.now,
    };
    assert_eq!(world.call(&call).unwrap_err().code, "JobNotFoundException");
}
