//! The worker as a process: health endpoint, signals, takeover of a journal in S3, and buildspec.yml as CodeBuild runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bakeline::aws::Aws;
use serde::Deserialize;

use crate::kill::{BAKELINE, Listening};
use crate::support::repository;

const PIPELINE: &str = "web";

/// A worker process and the lines it logs.
struct Worker {
    process: Child,
    lines: Receiver<String>,
}

impl Worker {
    fn start(aws: &Listening, arguments: &[&str]) -> Self {
        let mut command = aws.client(BAKELINE);
        let mut process = command.arg("work").args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let (err, (sender, lines)) = (process.stderr.take().unwrap(), channel());
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// Waits for a log line that contains `text`.
    fn waits_for(&self, text: &str) {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_mins(1)) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => lines.push(line),
                Err(error) => panic!("no log line contains `{text}` ({error}): {lines:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    fn exit_code(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Sends a request; retries until the worker listens.
fn get(address: SocketAddr, path: &str, worker: &Worker) -> u16 {
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect(address) {
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            return answer.split(' ').nth(1).unwrap().parse().unwrap();
        }
        let _ = worker.lines.recv_timeout(Duration::from_millis(50));
    }
    panic!("no server on {address}");
}

fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn clients(aws: &Listening) -> (tokio::runtime::Runtime, Aws) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let aws = runtime.block_on(async { Aws::new(&aws.sdk().await) });
    (runtime, aws)
}

async fn status(aws: &Aws) -> String {
    let answer = aws.codepipeline.list_pipeline_executions().pipeline_name(PIPELINE).send().await.unwrap();
    answer.pipeline_execution_summaries.unwrap()[0].status.as_ref().unwrap().as_str().to_owned()
}

async fn bucket(aws: &Aws, name: &str) {
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint(aws.region().into())
        .build();
    let call = aws.artifacts(None).create_bucket().bucket(name);
    call.create_bucket_configuration(place).send().await.unwrap();
}

#[test]
fn the_health_endpoint_answers_and_the_first_signal_stops_gracefully() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let journal = folder.path().join("journal");
    let journal = journal.to_str().unwrap();
    let address = free_address();
    let worker = Worker::start(&aws, &["--journal", journal, "--health", &address.to_string()]);
    worker.waits_for("bakeline.job.claimed");
    assert_eq!(get(address, "/livez", &worker), 200);
    assert_eq!(get(address, "/readyz", &worker), 200);
    assert_eq!(get(address, "/other", &worker), 404);
    worker.signal("-TERM");
    assert_eq!(worker.exit_code(), Some(0));
    let left = std::fs::read_dir(journal).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name != ".lock"
    });
    assert_eq!(left.count(), 0, "every job was reported or returned");
    let last = Worker::start(&aws, &["--drain", "--journal", journal]);
    assert_eq!(last.exit_code(), Some(0));
    let (runtime, clients) = clients(&aws);
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}

#[test]
fn a_second_signal_stops_at_once_and_the_journal_keeps_the_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let journal = folder.path().join("journal");
    let journal = journal.to_str().unwrap();
    let worker = Worker::start(&aws, &["--journal", journal, "--grace", "1440m"]);
    worker.waits_for("bakeline.job.claimed");
    // The embedded AWS is suspended: a running slice cannot end.
    aws.signal("-STOP");
    worker.signal("-TERM");
    worker.waits_for("bakeline.worker.stopping");
    worker.signal("-INT");
    assert_eq!(worker.exit_code(), Some(0));
    aws.signal("-CONT");
    let last = Worker::start(&aws, &["--drain", "--journal", journal]);
    assert_eq!(last.exit_code(), Some(0));
    let (runtime, clients) = clients(&aws);
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}

#[test]
fn another_process_takes_over_a_journal_in_s3() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let (runtime, clients) = clients(&aws);
    runtime.block_on(bucket(&clients, "journal"));
    let journal = ["--journal", "s3://journal/journal"];
    let has_jobs = || {
        runtime.block_on(async {
            let s3 = clients.artifacts(None);
            let listed = s3.list_objects_v2().bucket("journal").send().await.unwrap();
            listed
                .contents
                .unwrap_or_default()
                .iter()
                .any(|o| o.key().is_some_and(|key| key.contains("/jobs/")))
        })
    };
    let killed_with_job = (0..20).any(|_| {
        let mut dying = Worker::start(&aws, &journal);
        dying.waits_for("bakeline.job.claimed");
        dying.process.kill().unwrap();
        dying.process.wait().unwrap();
        has_jobs()
    });
    assert!(killed_with_job, "no worker was killed while it had a job");
    let heir = Worker::start(&aws, &journal);
    heir.waits_for("bakeline.lease.taken_over");
    heir.waits_for("bakeline.action.ended");
    heir.signal("-TERM");
    assert_eq!(heir.exit_code(), Some(0));
    let last = Worker::start(&aws, &["--drain", journal[0], journal[1]]);
    assert_eq!(last.exit_code(), Some(0));
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    assert!(!has_jobs(), "every job has a result");
    aws.stop(folder.path());
}

#[derive(Deserialize)]
struct Buildspec {
    env: Environment,
    phases: Phases,
}

#[derive(Deserialize)]
struct Environment {
    variables: BTreeMap<String, String>,
    #[serde(rename = "exported-variables")]
    exported: Vec<String>,
}

#[derive(Deserialize)]
struct Phases {
    install: Phase,
    pre_build: Phase,
    build: Phase,
    post_build: Phase,
}

#[derive(Deserialize)]
struct Phase {
    commands: Vec<String>,
}

/// The script that CodeBuild runs. A failed command ends its phase; a failed phase ends the build, except that
/// `post_build` always follows `build`.
fn script(spec: &Buildspec) -> String {
    let mut text = String::new();
    let phases = &spec.phases;
    for (name, phase) in [
        ("install", &phases.install),
        ("pre_build", &phases.pre_build),
        ("build", &phases.build),
        ("post_build", &phases.post_build),
    ] {
        let _ = writeln!(text, "phase_{name}() {{");
        for command in &phase.commands {
            let _ = writeln!(text, "{{\n{command}\n}} || return 1");
        }
        let _ = writeln!(text, "}}");
    }
    text.push_str("phase_install && phase_pre_build || exit 10\n");
    text.push_str("phase_build; BUILT=$?\n[ $BUILT -eq 0 ] || export CODEBUILD_BUILD_SUCCEEDING=0\n");
    text.push_str("phase_post_build || exit 11\n");
    for name in &spec.env.exported {
        let _ = writeln!(text, "echo \"exported {name}=${{{name}}}\"");
    }
    text.push_str("exit $BUILT\n");
    text
}

#[test]
fn the_buildspec_drains_the_queue_in_codebuild() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let (runtime, clients) = clients(&aws);
    runtime.block_on(bucket(&clients, "journal"));
    let text = std::fs::read_to_string(repository("buildspec.yml")).unwrap();
    let spec: Buildspec = serde_saphyr::from_str(&text).unwrap();
    let source = folder.path().join("src");
    std::fs::create_dir_all(source.join("bin")).unwrap();
    std::os::unix::fs::symlink(BAKELINE, source.join("bin/bakeline")).unwrap();
    let mut shell = Command::new("bash");
    shell.env_clear().envs(&spec.env.variables).envs(&aws.settings);
    let ended = shell
        .envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", folder.path().to_str().unwrap()),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            ("CODEBUILD_BUILD_ID", "bakeline-worker:0f0e"),
            ("CODEBUILD_BUILD_ARN", "arn:aws:codebuild:eu-west-1:123456789012:build/bakeline-worker:0f0e"),
            ("CODEBUILD_BUILD_SUCCEEDING", "1"),
            ("CODEBUILD_INITIATOR", "rule/bakeline-wake"),
            ("CODEBUILD_SRC_DIR", source.to_str().unwrap()),
            ("BAKELINE_JOURNAL", "s3://journal/codebuild"),
            ("BAKELINE_SLOTS", "8"),
        ])
        .current_dir(&source)
        .args(["-c", &script(&spec)])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&ended.stdout);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}: {stdout}\n{stderr}", ended.status);
    assert!(stdout.contains("exported BAKELINE_OUT_RESULT=success"), "{stdout}");
    let jobs = stdout.lines().find_map(|line| line.strip_prefix("exported BAKELINE_OUT_JOBS=")).unwrap();
    assert!(jobs.parse::<u32>().unwrap() >= 4, "{jobs} jobs");
    let report = std::fs::read_to_string(source.join("reports/actions.xml")).unwrap();
    assert!(report.contains("tests=\"4\" failures=\"0\""), "{report}");
    assert!(std::fs::read_to_string(source.join("reports/drain.xml")).unwrap().contains("failures=\"0\""));
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}
