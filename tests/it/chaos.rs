//! Worker processes that are killed repeatedly: the release ends as without kills.
//!
//! `BAKELINE_TEST_CHAOS=N` runs N kills instead of 12.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use aws_sdk_codepipeline::types::PipelineExecutionStatus;

use crate::kill::{BAKELINE, Listening};
use crate::support::repository;

/// The maximum number of worker processes that one release is given.
const MAX_STARTS: usize = 2_000;

/// A worker process that ends when there is nothing to do, and its log lines.
fn worker(aws: &Listening, journal: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = aws.client(BAKELINE);
    command.args(["work", "--slots", "4", "--drain", "--journal"]).arg(journal);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    (process, lines)
}

/// Whether the only execution of the pipeline has ended.
fn has_ended(aws: &Listening) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = aws_sdk_codepipeline::Client::new(&aws.sdk().await);
        let pipelines = client.list_pipelines().send().await.unwrap();
        let pipeline = pipelines.pipelines()[0].name().unwrap();
        let answer = client.list_pipeline_executions().pipeline_name(pipeline).send().await.unwrap();
        let [execution] = answer.pipeline_execution_summaries() else { panic!("{answer:?}") };
        *execution.status().unwrap() != PipelineExecutionStatus::InProgress
    })
}

#[test]
fn a_release_survives_kills_of_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    // At this speed the hold of three minutes is 1.5 s. It must be longer than a kill and the start of the next worker on a
    // busy machine: AWS would pass the checkpoint while nobody judges it, and the promotion would fail as it should.
    let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
    let aws = Listening::with(folder.path(), |command| command.arg(spec).args(["--speed", "120"]));
    let kills: usize =
        std::env::var("BAKELINE_TEST_CHAOS").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    let mut killed = 0;
    // A worker that drains ends when CodePipeline offers nothing. A job that a killed worker had polled is offered again
    // later, so that workers are started until the execution has ended, as a schedule does it.
    for start in 0.. {
        assert!(start < MAX_STARTS, "{MAX_STARTS} workers did not finish the release");
        if has_ended(&aws) {
            break;
        }
        // Two journals in turn: the jobs of one wait while the worker of the other continues.
        let (mut process, mut lines) = worker(&aws, &folder.path().join(format!("journal-{}", start % 2)));
        // The number of lines changes with every kill, so that kills hit all parts of a slice.
        let after = if killed < kills { 2 + killed * 7 % 11 } else { usize::MAX };
        let log: Vec<String> = lines.by_ref().take(after).collect();
        if log.len() == after {
            process.kill().unwrap();
            process.wait().unwrap();
            killed += 1;
        } else {
            assert!(process.wait().unwrap().success(), "{log:#?}");
        }
    }
    assert_eq!(killed, kills, "the release ended before every kill");
    let calls = aws.stop(folder.path());
    let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
    let mut applied: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call["applied"] == true) {
        let operation = call["operation"].as_str().unwrap();
        match operation {
            "PutJobSuccessResult" if call["input"].get("continuationToken").is_none() => {
                *ended.entry("succeeded").or_default() += 1;
            }
            "PutJobFailureResult" => *ended.entry("failed").or_default() += 1,
            "RunInstances"
            | "StartImagePipelineExecution"
            | "StartInstanceRefresh"
            | "TerminateInstances"
            | "SendCommand" => {
                // With a client token AWS applies a call once, however often it arrives.
                let token =
                    ["clientToken", "ClientToken"].iter().find_map(|member| call["input"].get(member));
                *applied.entry(format!("{operation} {}", token.unwrap_or(&call["input"]))).or_default() += 1;
            }
            _ => {}
        }
    }
    assert_eq!(ended, [("succeeded", 4)].into(), "bake, test, promote, cleanup");
    let count = |operation: &str| applied.keys().filter(|call| call.starts_with(operation)).count();
    assert_eq!(
        (count("StartImagePipelineExecution"), count("RunInstances"), count("StartInstanceRefresh")),
        (1, 1, 1),
        "{applied:#?}"
    );
    for (call, times) in applied
        .iter()
        .filter(|(call, _)| call.starts_with("StartInstanceRefresh") || call.starts_with("SendCommand"))
    {
        assert_eq!(*times, 1, "{call}");
    }
    assert!(count("TerminateInstances") >= 1, "no test instance is left");
}
