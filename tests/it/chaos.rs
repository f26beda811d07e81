//! Worker processes that are killed repeatedly: the release ends as without kills.
//!
//! `BAKELINE_TEST_CHAOS=N` runs N kills instead of 12.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::kill::{BAKELINE, Listening};
use crate::support::repository;

/// A worker process and its log lines.
fn worker(
    aws: &Listening,
    journal: &std::path::Path,
    drain: bool,
) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = aws.client(BAKELINE);
    command.args(["work", "--slots", "4", "--journal"]).arg(journal);
    if drain {
        command.arg("--drain");
    }
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    (process, lines)
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
    for kill in 0..kills {
        // Two journals in turn: the jobs of one wait while the worker of the other continues.
        let journal = folder.path().join(format!("journal-{}", kill % 2));
        let (mut process, lines) = worker(&aws, &journal, true);
        // The number of lines changes with every kill, so that kills hit all parts of a slice.
        let after = 2 + kill * 7 % 11;
        let printed = lines.take(after).count();
        if printed < after {
            break;
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    for journal in ["journal-0", "journal-1", "journal-0"] {
        let (mut process, lines) = worker(&aws, &folder.path().join(journal), true);
        let log: Vec<String> = lines.collect();
        assert!(process.wait().unwrap().success(), "{log:#?}");
    }
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
