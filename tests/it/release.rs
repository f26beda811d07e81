//! A whole release as a user runs it: exit codes, output, artifacts, and their verification.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::repository;

const BAKELINE: &str = env!("CARGO_BIN_EXE_bakeline");

/// A rehearsal of the example in a temporary folder.
struct Rehearsal {
    folder: tempfile::TempDir,
    output: Output,
}

impl Rehearsal {
    fn of(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(BAKELINE)
            .args(["--log", "trace,s3s=off", "rehearse"])
            .arg(repository("examples/web/bakeline.yaml"))
            .arg("--scenario")
            .arg(repository(&format!("examples/web/scenarios/{scenario}.yaml")))
            .arg("--out")
            .arg(folder.path().join("out"))
            .arg("--transcript")
            .arg(folder.path().join("transcript.jsonl"))
            .output()
            .unwrap();
        Self { folder, output }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// The error message at the end of standard error, with its causes and hint.
    fn error(&self) -> String {
        let parts = ["error: ", "caused by: ", "hint: "];
        let stderr = self.stderr();
        let lines = stderr.lines().filter(|line| parts.iter().any(|part| line.starts_with(part)));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn verify(&self, path: &Path) -> Output {
        verify(path, &self.out().join("trust.yaml"))
    }
}

fn verify(path: &Path, trust: &Path) -> Output {
    Command::new(BAKELINE)
        .arg("verify")
        .arg(path)
        .arg("--trust")
        .arg(format!("file:{}", trust.display()))
        .args(["--at", "2026-01-01T04:00:00Z"])
        .output()
        .unwrap()
}

#[test]
fn a_good_release_succeeds_and_verifies() {
    let rehearsal = Rehearsal::of("good");
    assert_eq!(rehearsal.output.status.code(), Some(0), "{}", rehearsal.error());
    let stdout = rehearsal.stdout();
    for stage in ["bake     ok", "test     ok", "promote  ok", "cleanup  ok"] {
        assert!(stdout.contains(stage), "{stdout}");
    }
    // More than three hours of virtual time.
    assert!(stdout.contains("03:") && stdout.contains("of virtual time"), "{stdout}");
    let verified = rehearsal.verify(&rehearsal.out());
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let printed = String::from_utf8(verified.stdout).unwrap();
    assert!(printed.contains("source artifact of the release"), "{printed}");
    assert_eq!(printed.matches("signed ").count(), 1 + 2 + 3 + 4, "{printed}");
}

#[test]
fn verify_detects_every_changed_byte() {
    let rehearsal = Rehearsal::of("good");
    let trust = bakeline::evidence::TrustRoot::from_file(&rehearsal.out().join("trust.yaml")).unwrap();
    let options = bakeline::cli::verify::Options {
        at: Some(time::macros::datetime!(2026-01-01 04:00 UTC)),
        ..Default::default()
    };
    let mut tried = 0;
    for artifact in ["1-bake.zip", "2-test.zip", "3-promote.zip", "4-cleanup.zip"] {
        let good = fs::read(rehearsal.out().join(artifact)).unwrap();
        assert!(
            bakeline::cli::verify::verify(&rehearsal.out().join(artifact), &trust, &options)
                .unwrap()
                .is_some()
        );
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (good, trust, options) = (&good, &trust, &options);
                let file = rehearsal.folder.path().join(format!("changed-{thread}.zip"));
                scope.spawn(move || {
                    for at in (thread..good.len()).step_by(threads) {
                        let mut bad = good.clone();
                        bad[at] ^= 1 << (at % 8);
                        fs::write(&file, &bad).unwrap();
                        let found = bakeline::cli::verify::verify(&file, trust, options);
                        assert!(found.is_err(), "{artifact}: byte {at} was changed, and verify accepts it");
                    }
                });
            }
        });
        tried += good.len();
    }
    println!("{tried} changed bytes were detected");
    // The statements have the digest of the source.
    let mut source = fs::read(rehearsal.out().join("source.zip")).unwrap();
    let middle = source.len() / 2;
    source[middle] ^= 1;
    fs::write(rehearsal.out().join("source.zip"), source).unwrap();
    assert_eq!(rehearsal.verify(&rehearsal.out()).status.code(), Some(1));
}

#[test]
fn a_failed_bake_names_the_component_and_the_step() {
    let rehearsal = Rehearsal::of("bake-fails");
    assert_eq!(rehearsal.output.status.code(), Some(1));
    for part in ["web-install", "InstallPackages", "No package httpd-next available"] {
        assert!(rehearsal.error().contains(part), "{}", rehearsal.error());
    }
    assert!(rehearsal.stdout().contains("test     not run"), "{}", rehearsal.stdout());
}

#[test]
fn a_canary_with_errors_is_rolled_back_and_the_statement_says_why() {
    let rehearsal = Rehearsal::of("canary-errors");
    assert_eq!(rehearsal.output.status.code(), Some(1));
    let stdout = rehearsal.stdout();
    assert!(stdout.contains("promote  FAILED") && stdout.contains("cleanup  not run"), "{stdout}");
    let old = stdout.lines().find(|line| line.contains("web-9-days-ago")).unwrap();
    assert!(old.contains("8 instances"), "{stdout}");
    assert!(rehearsal.verify(&rehearsal.out().join("3-promote.zip")).status.success());
    let statement = statement(&rehearsal.out().join("3-promote.zip"), "statements/03-promote.dsse.json");
    assert_eq!(statement["predicate"]["outcome"], "rolled_back");
    assert!(statement["predicate"]["reason"].as_str().unwrap().contains("error-percent"), "{statement}");
    let decisions = statement["predicate"]["decisions"].as_array().unwrap();
    let last = decisions.last().unwrap();
    assert_eq!(last["action"], "roll_back", "{last}");
    assert!(last["measurements"][0]["value"].as_f64().unwrap() > 1.0, "{last}");
}

/// The statement in an envelope of an artifact.
fn statement(artifact: &Path, entry: &str) -> serde_json::Value {
    use base64::Engine as _;
    let mut archive = zip::ZipArchive::new(fs::File::open(artifact).unwrap()).unwrap();
    let envelope: serde_json::Value = serde_json::from_reader(archive.by_name(entry).unwrap()).unwrap();
    let payload =
        base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn a_rehearsal_is_reproducible_to_the_byte() {
    let (one, two) = (Rehearsal::of("canary-errors"), Rehearsal::of("canary-errors"));
    let transcript = |of: &Rehearsal| fs::read_to_string(of.folder.path().join("transcript.jsonl")).unwrap();
    assert_eq!(transcript(&one), transcript(&two));
    for artifact in ["source.zip", "1-bake.zip", "2-test.zip", "3-promote.zip"] {
        assert_eq!(
            fs::read(one.out().join(artifact)).unwrap(),
            fs::read(two.out().join(artifact)).unwrap(),
            "{artifact}"
        );
    }
}

#[test]
fn no_credential_is_written_to_logs_output_or_artifacts() {
    use bakeline_rehearsal::services::sts;
    let rehearsal = Rehearsal::of("good");
    // A second run of the same release has the same keys.
    let secrets: Vec<String> = crate::support::in_virtual_time(async {
        let release = crate::support::example("description: the same release");
        let moment = crate::support::Moment::start(&release);
        let (cloud, clock) = moment.go_on();
        let deps = moment
            .worker(
                &cloud,
                &clock,
                &std::sync::Arc::new(bakeline::worker::journal::Journal::in_memory()),
                &bakeline::evidence::Stage::ALL,
                bakeline::telemetry::Telemetry::default(),
            )
            .await;
        crate::support::work(&moment, &cloud, &deps, bakeline::evidence::Stage::Cleanup).await;
        let keys: std::collections::BTreeSet<String> = cloud.with_transcript(|transcript| {
            transcript.records().iter().filter_map(|r| r.access_key.clone()).collect()
        });
        assert!(keys.len() > 4, "the worker's key and those of several jobs");
        cloud.with_world(|world| {
            keys.iter()
                .filter_map(|key| sts::credentials(world, key))
                .flat_map(|c| [Some(c.secret_access_key.clone()), c.session_token.clone()])
                .flatten()
                .collect()
        })
    });
    assert!(secrets.len() > 8);
    let mut searched = vec![rehearsal.output.stdout.clone(), rehearsal.output.stderr.clone()];
    searched.push(fs::read(rehearsal.folder.path().join("transcript.jsonl")).unwrap());
    for entry in fs::read_dir(rehearsal.out()).unwrap() {
        searched.push(fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(searched[1].len() > 100_000, "the log level is trace");
    for secret in secrets {
        for text in &searched {
            let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret was written");
        }
    }
}

#[test]
fn a_release_of_container_images_runs_the_stages_of_its_spec() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = Command::new(BAKELINE)
        .args(["rehearse"])
        .arg(repository("examples/container/bakeline.yaml"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for stage in ["bake     ok", "test     ok", "cleanup  ok"] {
        assert!(told.contains(stage), "{told}");
    }
    assert!(!told.contains("promote"), "the spec has no promotion: {told}");
    let verified = verify(&out, &out.join("trust.yaml"));
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{said}\n{}", String::from_utf8_lossy(&verified.stderr));
    assert!(said.contains("dkr.ecr.eu-west-1.amazonaws.com/shop@sha256:"), "{said}");
}
