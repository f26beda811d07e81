//! Tests of the documented rules of `CodePipeline`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::super::call::{ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::s3::{self, Bucket, Encryption};

mod declarations;
mod flows;
mod jobs;
mod results;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";

/// Calls `CodePipeline` at the world's current time.
fn ask(world: &mut World, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { panic!("inputs are objects") };
    let call = Call {
        service: "codepipeline",
        operation: operation.into(),
        input,
        account: ACCOUNT.into(),
        region: REGION.into(),
        access_key: "AKIATEST".into(),
        now: world.now,
    };
    world.call(&call)
}

fn wait(world: &mut World, seconds: u64) {
    world.advance(world.now + Duration::from_secs(seconds));
}

fn type_id(category: &str) -> Value {
    json!({ "category": category, "owner": "Custom", "provider": "Maker", "version": "1" })
}

fn create_type(world: &mut World, category: &str) {
    let property =
        |name: &str, secret: bool| json!({ "name": name, "required": false, "key": false, "secret": secret });
    ask(
        world,
        "CreateCustomActionType",
        json!({
            "category": category, "provider": "Maker", "version": "1",
            "settings": { "executionUrlTemplate": "https://maker.example/{ExternalExecutionId}" },
            "configurationProperties": [property("Spec", false), property("Password", true)],
            "inputArtifactDetails": { "minimumCount": 0, "maximumCount": 5 },
            "outputArtifactDetails": { "minimumCount": 0, "maximumCount": 5 },
        }),
    )
    .unwrap();
}

fn custom(name: &str, category: &str, input: &str, output: &str) -> Value {
    json!({
        "name": name, "actionTypeId": type_id(category), "namespace": name,
        "configuration": { "Spec": "release.yaml", "Password": "hush" },
        "inputArtifacts": [{ "name": input }], "outputArtifacts": [{ "name": output }],
    })
}

/// Source -> Build -> Deploy, one action each.
fn declaration() -> Value {
    json!({
        "name": "a-pipeline-with-a-long-name",
        "roleArn": "arn:aws:iam::111122223333:role/Pipeline",
        "artifactStore": {
            "type": "S3", "location": "artifact-bucket",
            "encryptionKey": { "id": "arn:aws:kms:eu-west-1:111122223333:key/k", "type": "KMS" },
        },
        "pipelineType": "V2",
        "stages": [
            { "name": "Source", "actions": [{
                "name": "Fetch", "namespace": "SourceVariables",
                "actionTypeId": { "category": "Source", "owner": "AWS", "provider": "S3", "version": "1" },
                "configuration": { "S3Bucket": "sources", "S3ObjectKey": "app.zip" },
                "outputArtifacts": [{ "name": "SourceArtifact" }],
            }] },
            { "name": "Build", "actions": [custom("Make", "Build", "SourceArtifact", "Made")] },
            { "name": "Deploy", "actions": [custom("Ship", "Deploy", "Made", "Shipped")] },
        ],
    })
}

const PIPELINE: &str = "a-pipeline-with-a-long-name";

fn put_source(world: &mut World) {
    for bucket in ["sources", "artifact-bucket"] {
        s3::create_bucket(world, bucket, Bucket::new(ACCOUNT, REGION, world.now));
    }
    s3::put(world, "sources", "app.zip", Bytes::from_static(b"zip"), Encryption::S3).unwrap();
}

/// A world with the action types, the source object and a pipeline with this declaration.
fn world_with(declaration: &Value) -> World {
    let mut world = World::new(Time(1_700_000_000_000), 11);
    for category in ["Build", "Deploy", "Test"] {
        create_type(&mut world, category);
    }
    put_source(&mut world);
    ask(&mut world, "CreatePipeline", json!({ "pipeline": declaration })).unwrap();
    world
}

fn start(world: &mut World) -> String {
    let answer = ask(world, "StartPipelineExecution", json!({ "name": PIPELINE })).unwrap();
    let id = answer["pipelineExecutionId"].as_str().unwrap().to_owned();
    wait(world, 1);
    id
}

/// A world with an execution whose Build job can be polled.
fn started() -> (World, String) {
    let mut world = world_with(&declaration());
    let id = start(&mut world);
    (world, id)
}

fn poll(world: &mut World, category: &str) -> Vec<Value> {
    let input = json!({ "actionTypeId": type_id(category), "maxBatchSize": 10 });
    ask(world, "PollForJobs", input).unwrap()["jobs"].as_array().unwrap().clone()
}

/// Polls and acknowledges the one job of a category.
fn claim(world: &mut World, category: &str) -> Value {
    let jobs = poll(world, category);
    assert_eq!(jobs.len(), 1, "one {category} job");
    let answer = ask(world, "AcknowledgeJob", json!({ "jobId": jobs[0]["id"], "nonce": jobs[0]["nonce"] }));
    assert_eq!(answer.unwrap()["status"], "InProgress");
    jobs[0].clone()
}

fn succeed(world: &mut World, job: &Value) {
    ask(world, "PutJobSuccessResult", json!({ "jobId": job["id"] })).unwrap();
}

fn fail(world: &mut World, job: &Value, message: &str) {
    let details = json!({ "type": "JobFailed", "message": message });
    ask(world, "PutJobFailureResult", json!({ "jobId": job["id"], "failureDetails": details })).unwrap();
}

fn status(world: &mut World, execution: &str) -> String {
    let input = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": execution });
    let answer = ask(world, "GetPipelineExecution", input).unwrap();
    answer["pipelineExecution"]["status"].as_str().unwrap().to_owned()
}

fn action_history(world: &mut World, execution: &str) -> Vec<Value> {
    let input = json!({ "pipelineName": PIPELINE, "filter": { "pipelineExecutionId": execution } });
    let answer = ask(world, "ListActionExecutions", input).unwrap();
    answer["actionExecutionDetails"].as_array().unwrap().clone()
}

fn action_execution_id(job: &Value) -> String {
    job["data"]["pipelineContext"]["action"]["actionExecutionId"].as_str().unwrap().to_owned()
}
