//! `bakeline run` in a process that is killed again and again: it continues with `--resume` and makes each call once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::repository;

pub const BAKELINE: &str = env!("CARGO_BIN_EXE_bakeline");

/// `bakeline serve-aws`, and the environment variables that it prints for its clients.
pub struct Listening {
    process: Child,
    stdout: BufReader<ChildStdout>,
    pub settings: BTreeMap<String, String>,
}

impl Listening {
    pub fn start(folder: &Path) -> Self {
        let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
        // The hold of three minutes is 0.6 s: AWS must not pass it while a worker starts on a busy machine.
        Self::with(folder, |command| command.arg(spec).args(["--speed", "300"]))
    }

    /// With the releases, the scenario and the speed that `say` gives.
    pub fn with(folder: &Path, say: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(BAKELINE);
        say(command.arg("serve-aws"));
        let mut process = command
            .args(["--listen", "127.0.0.1:0", "--out"])
            .arg(folder.join("out"))
            .arg("--transcript")
            .arg(folder.join("transcript.jsonl"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut settings = BTreeMap::new();
        loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the embedded AWS ended before it listened");
            match line.trim().strip_prefix("export ").and_then(|set| set.split_once('=')) {
                Some((name, value)) => drop(settings.insert(name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        Self { process, stdout, settings }
    }

    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(&self.settings).env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Stops the embedded AWS and returns the transcript of its calls.
    pub fn stop(mut self, folder: &Path) -> Vec<Value> {
        self.signal("-TERM");
        assert!(self.process.wait().unwrap().success());
        drop(self.stdout);
        let text = fs::read_to_string(folder.join("transcript.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Listening {
    /// SDK configuration of a client in this process.
    pub async fn sdk(&self) -> aws_types::SdkConfig {
        let region = aws_types::region::Region::new(self.settings["AWS_REGION"].clone());
        let credentials = aws_credential_types::Credentials::new(
            &self.settings["AWS_ACCESS_KEY_ID"],
            &self.settings["AWS_SECRET_ACCESS_KEY"],
            None,
            None,
            "test",
        );
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.settings["AWS_ENDPOINT_URL"])
            .load()
            .await
    }
}

/// The document of the first waiting job, as `aws codepipeline get-job-details` prints it.
fn first_job(aws: &Listening) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = aws.sdk().await;
        let client = aws_sdk_codepipeline::Client::new(&config);
        let kind = aws_sdk_codepipeline::types::ActionTypeId::builder()
            .category("Build".into())
            .owner("Custom".into())
            .provider("BakelineBake")
            .version("1")
            .build()
            .unwrap();
        let job = loop {
            let answer = client.poll_for_jobs().action_type_id(kind.clone()).send().await.unwrap();
            if let Some(job) = answer.jobs.unwrap_or_default().pop() {
                break job;
            }
        };
        document(job)
    })
}

fn document(job: aws_sdk_codepipeline::types::Job) -> Value {
    let data = job.data.unwrap();
    let context = data.pipeline_context.unwrap();
    let action = context.action.unwrap();
    let kind = data.action_type_id.unwrap();
    let credentials = data.artifact_credentials.unwrap();
    let artifacts = |list: Option<Vec<aws_sdk_codepipeline::types::Artifact>>| -> Vec<Value> {
        list.unwrap_or_default()
            .into_iter()
            .map(|artifact| {
                let at = artifact.location.unwrap().s3_location.unwrap();
                json!({"name": artifact.name, "location": {"type": "S3",
                    "s3Location": {"bucketName": at.bucket_name, "objectKey": at.object_key}}})
            })
            .collect()
    };
    json!({"jobDetails": {"id": job.id, "data": {
        "actionTypeId": {"category": kind.category.as_str(), "owner": "Custom", "provider": kind.provider, "version": kind.version},
        "actionConfiguration": {"configuration": {}},
        "pipelineContext": {"pipelineName": context.pipeline_name, "pipelineArn": context.pipeline_arn,
            "pipelineExecutionId": context.pipeline_execution_id, "stage": {"name": context.stage.unwrap().name},
            "action": {"name": action.name, "actionExecutionId": action.action_execution_id}},
        "inputArtifacts": artifacts(data.input_artifacts), "outputArtifacts": artifacts(data.output_artifacts),
        "artifactCredentials": {"accessKeyId": credentials.access_key_id, "secretAccessKey": credentials.secret_access_key,
            "sessionToken": credentials.session_token},
    }}})
}

/// Runs the job and resumes it after each kill; `lines` has the number of progress lines before each kill.
fn run_with_kills(aws: &Listening, folder: &Path, lines: &[usize]) -> (usize, String) {
    let mut kills = 0;
    let mut after = lines.iter();
    loop {
        let mut process = aws
            .client(BAKELINE)
            .args(["run", "--resume"])
            .arg(folder.join("job.json"))
            .arg("--input")
            .arg(format!("SourceArtifact={}", folder.join("out/source.zip").display()))
            .arg("--out")
            .arg(folder.join("job"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(process.stderr.take().unwrap()).lines();
        if let Some(&count) = after.next() {
            let printed = progress.by_ref().take(count).flatten().count();
            if printed == count {
                process.kill().unwrap();
                process.wait().unwrap();
                kills += 1;
                continue;
            }
        }
        let rest: Vec<String> = progress.map_while(Result::ok).collect();
        assert!(process.wait().unwrap().success(), "{rest:#?}");
        return (kills, rest.join("\n"));
    }
}

#[test]
fn a_job_that_is_killed_repeatedly_builds_one_image() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    fs::write(folder.path().join("job.json"), first_job(&aws).to_string()).unwrap();
    fs::write(folder.path().join("out/source.zip"), source()).unwrap();
    let (kills, _) = run_with_kills(&aws, folder.path(), &[1, 1, 2, 1, 3, 2]);
    assert!(kills >= 4, "killed {kills} times");
    let trust = format!("file:{}", folder.path().join("out/trust.yaml").display());
    let verified = Command::new(BAKELINE)
        .arg("verify")
        .arg(folder.path().join("job/BakedImage.zip"))
        .arg("--trust")
        .arg(&trust)
        .args(["--at", "2026-01-01T06:00:00Z"])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let calls = aws.stop(folder.path());
    let applied = |operation: &str| {
        let of = calls.iter().filter(|call| call["operation"] == operation && call["applied"] == true);
        of.map(|call| call["input"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(applied("StartImagePipelineExecution").len(), 1, "one client token, one build");
    assert_eq!(applied("PutParameter").len(), 1);
    let results = ["PutJobSuccessResult", "PutJobFailureResult"];
    assert!(
        !calls.iter().any(|call| results.iter().any(|operation| call["operation"] == **operation)),
        "without --answer CodePipeline gets no result"
    );
}

/// The source artifact of the release, as a rehearsal packs it.
fn source() -> Vec<u8> {
    let plan = crate::support::plan("tests/it/fixtures/crash/bakeline.yaml", "");
    plan.setup.source.to_vec()
}
