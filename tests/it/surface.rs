//! What a newcomer meets first: the example's job files, the schema, and the help texts.

use std::process::{Command, Output};

use bakeline::engine::Job;
use bakeline::evidence::Stage;
use bakeline::worker::action::stage_of;

use crate::support::repository;

fn bakeline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bakeline")).args(arguments).output().unwrap()
}

#[test]
fn every_job_file_of_the_example_is_the_job_of_its_stage() {
    let mut found = 0;
    for file in std::fs::read_dir(repository("examples/web/jobs")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let job = Job::from_document(&std::fs::read(&path).unwrap(), &name).unwrap();
        assert_eq!(stage_of(&job.action_type).map(Stage::name), Some(name.as_str()));
        assert_eq!((job.inputs.len(), job.outputs.len()), (1, 1), "{name}");
        assert!(job.credentials.is_some() && job.continuation_token.is_none(), "{name}");
        assert_eq!(job.configuration.get("Spec"), Some("bakeline.yaml"), "{name}");
        found += 1;
    }
    assert_eq!(found, Stage::ALL.len());
}

#[test]
fn a_job_document_is_read_in_every_form_that_aws_prints() {
    let text = std::fs::read(repository("examples/web/jobs/bake.json")).unwrap();
    let details = Job::from_document(&text, "job.json").unwrap();
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let bare = document["jobDetails"].clone();
    let offered = serde_json::json!({"jobs": [bare]});
    for form in [bare, offered] {
        let job = Job::from_document(form.to_string().as_bytes(), "job.json").unwrap();
        assert_eq!((job.id, job.key), (details.id.clone(), details.key.clone()));
    }
}

#[test]
fn the_schema_that_is_printed_is_the_published_one() {
    let printed = bakeline(&["schema"]);
    assert!(printed.status.success());
    let golden = std::fs::read_to_string(repository("tests/golden/spec/schema.json")).unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap().trim_end(), golden.trim_end());
}

#[test]
fn every_command_helps() {
    let table: &[(&[&str], &[&str])] = &[
        (&[], &["rehearse", "run", "verify", "schema", "--log", "--version"]),
        (&["rehearse"], &["[SPEC]", "--scenario", "--out", "--json", "--transcript", "--listen", "--speed"]),
        (
            &["run"],
            &[
                "--job-file",
                "--input",
                "--output",
                "--resume",
                "--report",
                "--rehearse",
                "--signing-key",
                "--trust",
            ],
        ),
        (&["verify"], &["<PATH>", "--trust", "--at", "--pipeline", "--run", "BAKELINE_TRUST"]),
        (&["schema"], &["JSON Schema"]),
    ];
    for (command, mentions) in table {
        let asked = bakeline(&[command, &["--help"][..]].concat());
        let help = String::from_utf8(asked.stdout).unwrap();
        assert!(asked.status.success() && asked.stderr.is_empty(), "{command:?}");
        for mention in *mentions {
            assert!(help.contains(mention), "{command:?} does not mention {mention}:\n{help}");
        }
    }
    let version = bakeline(&["--version"]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("bakeline {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_command_line_that_is_wrong_is_a_usage_error() {
    for (arguments, says) in [
        (&["relase"][..], "relase"),
        (&[], "Usage"),
        (&["run"], "--job-file"),
        (&["verify", "x.zip"], "--trust"),
        (&["verify", "x.zip", "--trust", "file:t", "--at", "noon"], "2026-01-31T12:00:00Z"),
        (&["run", "--job-file", "x", "--input", "x.zip"], "NAME=FILE"),
        (&["rehearse", "--speed", "3"], "--listen"),
        (&["run", "--job-file", "examples/web/jobs/bake.json"], "trust root"),
    ] {
        let asked = Command::new(env!("CARGO_BIN_EXE_bakeline"))
            .args(arguments)
            .current_dir(repository(""))
            .env_remove("BAKELINE_SIGNING_KEY")
            .env_remove("BAKELINE_TRUST")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "eu-west-1")
            .output()
            .unwrap();
        let stderr = String::from_utf8(asked.stderr).unwrap();
        assert_eq!(asked.status.code(), Some(64), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says) && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
