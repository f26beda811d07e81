//! Worker processes killed for real, again and again: every release reaches the end it reaches undisturbed.
//!
//! `BAKELINE_CHAOS=N` runs N kills instead of a few.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::kill::{BAKELINE, Listening};

/// A worker process that is killed once it has logged so many lines.
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
fn a_release_survives_the_death_of_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let kills: usize =
        std::env::var("BAKELINE_CHAOS").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    for kill in 0..kills {
        // Two folders in turn: the jobs of one wait in its journal while the other's worker goes on.
        let journal = folder.path().join(format!("journal-{}", kill % 2));
        let (mut process, lines) = worker(&aws, &journal, true);
        // A number of lines that no two neighbours share, so that kills fall everywhere in a slice.
        let after = 2 + kill * 7 % 11;
        let heard = lines.take(after).count();
        if heard < after {
            break;
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    for journal in ["journal-0", "journal-1", "journal-0"] {
        let (mut process, lines) = worker(&aws, &folder.path().join(journal), true);
        let told: Vec<String> = lines.collect();
        assert!(process.wait().unwrap().success(), "{told:#?}");
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
                // Under a client token a call is carried out once, however often it arrives.
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
    assert!(count("TerminateInstances") >= 1, "no instance is left in staging");
}
