//! The worker as a process: health checks, signals, a journal in S3 that another process takes over, and the
//! commands of buildspec.yml as CodeBuild runs them.

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

    /// Waits for a line with these words.
    fn hears(&self, words: &str) {
        let mut told = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_mins(1)) {
                Ok(line) if line.contains(words) => return,
                Ok(line) => told.push(line),
                Err(error) => panic!("the worker never said `{words}` ({error}): {told:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    fn ends(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Asks, and asks again until someone listens.
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
    panic!("nobody listens on {address}");
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
fn health_is_told_and_the_first_signal_ends_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let journal = folder.path().join("journal");
    let journal = journal.to_str().unwrap();
    let address = free_address();
    let worker = Worker::start(&aws, &["--journal", journal, "--health", &address.to_string()]);
    worker.hears("bakeline.job.claimed");
    assert_eq!(get(address, "/livez", &worker), 200);
    assert_eq!(get(address, "/readyz", &worker), 200);
    assert_eq!(get(address, "/other", &worker), 404);
    worker.signal("-TERM");
    assert_eq!(worker.ends(), Some(0));
    let left = std::fs::read_dir(journal).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name != ".lock"
    });
    assert_eq!(left.count(), 0, "what it had was reported or given back");
    let last = Worker::start(&aws, &["--drain", "--journal", journal]);
    assert_eq!(last.ends(), Some(0));
    let (runtime, clients) = clients(&aws);
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}

#[test]
fn a_second_signal_ends_at_once_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let journal = folder.path().join("journal");
    let journal = journal.to_str().unwrap();
    let worker = Worker::start(&aws, &["--journal", journal, "--grace", "1440m"]);
    worker.hears("bakeline.job.claimed");
    // The whole of AWS stands still: a slice under way cannot come to rest.
    aws.signal("-STOP");
    worker.signal("-TERM");
    worker.hears("bakeline.worker.stopping");
    worker.signal("-INT");
    assert_eq!(worker.ends(), Some(0));
    aws.signal("-CONT");
    let last = Worker::start(&aws, &["--drain", "--journal", journal]);
    assert_eq!(last.ends(), Some(0));
    let (runtime, clients) = clients(&aws);
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}

#[test]
fn a_journal_in_s3_is_taken_over_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let (runtime, clients) = clients(&aws);
    runtime.block_on(bucket(&clients, "journal"));
    let place = ["--journal", "s3://journal/workers"];
    let left_behind = || {
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
    let killed_with_a_job = (0..20).any(|_| {
        let mut dying = Worker::start(&aws, &place);
        dying.hears("bakeline.job.claimed");
        dying.process.kill().unwrap();
        dying.process.wait().unwrap();
        left_behind()
    });
    assert!(killed_with_a_job, "no worker died with a job in its hands");
    let heir = Worker::start(&aws, &place);
    heir.hears("bakeline.lease.taken_over");
    heir.hears("bakeline.action.ended");
    heir.signal("-TERM");
    assert_eq!(heir.ends(), Some(0));
    let last = Worker::start(&aws, &["--drain", place[0], place[1]]);
    assert_eq!(last.ends(), Some(0));
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    assert!(!left_behind(), "every job was answered");
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

/// The shell that CodeBuild runs: one for all phases; a command that fails ends its phase, a phase that fails ends the
/// build, but for `post_build`, which follows `build` however it went.
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
fn the_buildspec_drains_the_queue_as_codebuild_would_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let (runtime, clients) = clients(&aws);
    runtime.block_on(bucket(&clients, "journal"));
    let text = std::fs::read_to_string(repository("buildspec.yml")).unwrap();
    let spec: Buildspec = serde_saphyr::from_str(&text).unwrap();
    let source = folder.path().join("src");
    std::fs::create_dir_all(source.join("bin")).unwrap();
    std::os::unix::fs::symlink(BAKELINE, source.join("bin/bakeline")).unwrap();
    let trust = std::fs::read_to_string(&aws.settings["BAKELINE_TRUST"]).unwrap();
    let mut shell = Command::new("bash");
    shell.env_clear().envs(&spec.env.variables);
    for (name, value) in &aws.settings {
        // The trust root and the key come the project's way.
        if name != "BAKELINE_TRUST" {
            shell.env(name, value);
        }
    }
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
            ("BAKELINE_TRUST_ROOT", trust.as_str()),
        ])
        .current_dir(&source)
        .args(["-c", &script(&spec)])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}: {told}\n{said}", ended.status);
    assert!(told.contains("exported BAKELINE_OUTCOME=drained"), "{told}");
    let jobs = told.lines().find_map(|line| line.strip_prefix("exported BAKELINE_JOBS=")).unwrap();
    assert!(jobs.parse::<u32>().unwrap() >= 4, "{jobs} jobs");
    let report = std::fs::read_to_string(source.join("reports/actions.xml")).unwrap();
    assert!(report.contains("tests=\"4\" failures=\"0\""), "{report}");
    assert!(std::fs::read_to_string(source.join("reports/drain.xml")).unwrap().contains("failures=\"0\""));
    assert_eq!(runtime.block_on(status(&clients)), "Succeeded");
    aws.stop(folder.path());
}
