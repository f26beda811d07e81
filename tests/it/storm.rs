//! Many releases on several worker processes that are killed repeatedly, with throttling and lost responses: every execution
//! ends as without faults, nothing is created twice, and nothing is left behind.
//!
//! `BAKELINE_TEST_STORM=N` runs N pipelines, `BAKELINE_TEST_STORM_SEED=N` other kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aws_sdk_codepipeline::types::{PipelineExecutionStatus, StageExecutionStatus};
use bakeline::aws::Aws;

use crate::kill::{BAKELINE, Listening};
use crate::support::repository;

const WORKERS: usize = 4;
/// Every fourth release fails its analysis.
const BAD_INTERVAL: usize = 4;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Writes a release with unique names and returns the path of its spec.
fn release(folder: &Path, number: usize) -> PathBuf {
    let fixture = repository("tests/it/fixtures/crash");
    let text = std::fs::read_to_string(fixture.join("bakeline.yaml")).unwrap();
    let name = format!("web{number}");
    let mut text = text
        .replace("service: web\n", &format!("service: {name}\n"))
        .replace("image-pipeline/web", &format!("image-pipeline/{name}"))
        .replace("/bakeline/images/web/", &format!("/bakeline/images/{name}/"))
        .replace("web-production", &format!("{name}-production"))
        .replace("[web-5xx]", &format!("[{name}-5xx]"))
        .replace("targetgroup/web/73e2d6bc24d8a067", &format!("targetgroup/{name}/{number:016x}"))
        .replace("app/web/50dc6c495c0c9188", &format!("app/{name}/{number:016x}"))
        // Room for a machine that is busy with many processes: a hold must not end unseen.
        .replace("hold: 3m", "hold: 10m")
        .replace("duration: 3m", "duration: 10m");
    if is_bad(number) {
        text = text.replace("max: 1.0", "max: -1.0");
    }
    let home = folder.join(&name);
    std::fs::create_dir_all(home.join("checks")).unwrap();
    std::fs::copy(fixture.join("checks/serves.sh"), home.join("checks/serves.sh")).unwrap();
    let spec = home.join("bakeline.yaml");
    std::fs::write(&spec, text).unwrap();
    spec
}

fn is_bad(number: usize) -> bool {
    number % BAD_INTERVAL == BAD_INTERVAL - 1
}

/// Starts a worker process with a journal of its own; sends its number for each log line.
fn worker(aws: &Listening, folder: &Path, number: usize, lines: &Sender<usize>) -> Child {
    let mut command = aws.client(BAKELINE);
    command.args(["work", "--slots", "8", "--journal"]).arg(folder.join(format!("journal-{number}")));
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (err, lines) = (process.stderr.take().unwrap(), lines.clone());
    std::thread::spawn(move || {
        for _ in BufReader::new(err).lines().map_while(Result::ok) {
            if lines.send(number).is_err() {
                return;
            }
        }
    });
    process
}

/// Kills random workers, each after a random number of log lines, until `is_over`.
fn storm(
    aws: &Listening,
    folder: &Path,
    random: &mut fastrand::Rng,
    is_over: impl Fn() -> bool,
) -> (usize, Vec<Child>) {
    let (sender, lines): (Sender<usize>, Receiver<usize>) = channel();
    let mut workers: Vec<Child> = (0..WORKERS).map(|number| worker(aws, folder, number, &sender)).collect();
    let mut kills = 0;
    loop {
        for _ in 0..random.usize(20..60) {
            if lines.recv_timeout(Duration::from_secs(1)).is_err() {
                break;
            }
        }
        if is_over() {
            return (kills, workers);
        }
        let number = random.usize(..WORKERS);
        workers[number].kill().unwrap();
        workers[number].wait().unwrap();
        workers[number] = worker(aws, folder, number, &sender);
        kills += 1;
    }
}

struct World {
    aws: Aws,
    runtime: tokio::runtime::Runtime,
    pipelines: usize,
}

impl World {
    fn executions(&self) -> BTreeMap<usize, PipelineExecutionStatus> {
        self.runtime.block_on(async {
            let mut found = BTreeMap::new();
            for number in 0..self.pipelines {
                let call =
                    self.aws.codepipeline.list_pipeline_executions().pipeline_name(format!("web{number}"));
                // A call with an injected fault: the next round reads it again.
                let Ok(answer) = call.send().await else { continue };
                let execution = answer.pipeline_execution_summaries.unwrap_or_default().into_iter().next();
                if let Some(status) = execution.and_then(|execution| execution.status) {
                    found.insert(number, status);
                }
            }
            found
        })
    }

    fn is_over(&self) -> bool {
        let found = self.executions();
        found.len() == self.pipelines
            && found.values().all(|status| *status != PipelineExecutionStatus::InProgress)
    }
}

/// Retries a call until it meets no injected fault.
async fn retried<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(mut ask: impl FnMut() -> F) -> T {
    let mut last = None;
    for _ in 0..50 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
    }
    panic!("{last:?}")
}

#[test]
fn many_releases_survive_kills_and_faults() {
    let folder = tempfile::tempdir().unwrap();
    let pipelines = setting("BAKELINE_TEST_STORM", 4);
    let seed = u64::try_from(setting("BAKELINE_TEST_STORM_SEED", 7)).unwrap();
    // More work needs slower time: a hold without an observation is rolled back.
    let time_speed = setting("BAKELINE_TEST_STORM_SPEED", if pipelines > 10 { 7 } else { 90 });
    println!("{pipelines} pipelines, {WORKERS} workers, seed {seed}, {time_speed} virtual seconds a second");
    let releases: Vec<PathBuf> = (0..pipelines).map(|number| release(folder.path(), number)).collect();
    let scenario = folder.path().join("storm.yaml");
    std::fs::write(
        &scenario,
        format!(
            "version: 1\nseed: {seed}\nbuild: {{duration: 5m}}\nfaults:\n- {{chance: 0.007, fault: {{throttle: {{}}}}}}\n\
             - {{chance: 0.007, fault: {{lose_reply: {{}}}}}}\n- {{chance: 0.007, fault: {{error: {{}}}}}}\n"
        ),
    )
    .unwrap();
    let aws = Listening::with(folder.path(), |command| {
        command.arg(&releases[0]).arg("--scenario").arg(&scenario).arg("--speed").arg(time_speed.to_string());
        for spec in &releases[1..] {
            command.arg(spec);
        }
        command
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = runtime.block_on(async { Aws::new(&aws.sdk().await) });
    let world = World { aws: clients, runtime, pipelines };
    let mut random = fastrand::Rng::with_seed(seed);
    let (kills, mut processes) = storm(&aws, folder.path(), &mut random, || world.is_over());
    println!("{kills} kills");
    for process in &mut processes {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    // One more worker for each journal finishes the jobs of the last kills.
    for number in 0..WORKERS {
        let mut last = aws.client(BAKELINE);
        last.args(["work", "--drain", "--journal"]).arg(folder.path().join(format!("journal-{number}")));
        assert!(last.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    }
    let mut wrong = world.runtime.block_on(differences(&world, &aws, folder.path()));
    let calls = aws.stop(folder.path());
    println!(
        "{} API calls, {} met a fault",
        calls.len(),
        calls.iter().filter(|c| !c["fault"].is_null()).count()
    );
    // EC2 forgets a terminated instance after an hour: the transcript has the client tokens.
    let launched: BTreeSet<String> = calls
        .iter()
        .filter(|call| call["operation"] == "RunInstances" && call["applied"] == true)
        .map(|call| call["input"]["ClientToken"].to_string())
        .collect();
    if launched.len() != pipelines {
        let _ = writeln!(wrong, "{} test instances were launched", launched.len());
    }
    assert!(wrong.is_empty(), "seed {seed}:\n{wrong}");
    assert!(kills >= pipelines, "only {kills} kills");
}

/// Differences from the state without faults.
async fn differences(world: &World, aws: &Listening, folder: &Path) -> String {
    let mut wrong = String::new();
    for number in 0..world.pipelines {
        let name = format!("web{number}");
        let stages = stages(&world.aws, &name).await;
        let expected: &[&str] = if is_bad(number) {
            &["Succeeded", "Succeeded", "Succeeded", "Failed"]
        } else {
            &["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Succeeded"]
        };
        if stages != expected {
            let _ = writeln!(wrong, "{name}: {stages:?}, not {expected:?}");
        }
        check_created_once(&world.aws, &name, is_bad(number), &mut wrong).await;
        let place = folder.join("chains").join(&name);
        fetch(&world.aws, &name, &place).await;
        let verified = aws
            .client(BAKELINE)
            .arg("verify")
            .arg(&place)
            .args(["--trust", &aws.settings["BAKELINE_TRUST"], "--at", "2026-01-02T00:00:00Z"])
            .output()
            .unwrap();
        if !verified.status.success() {
            let _ = writeln!(wrong, "{name}: {}", String::from_utf8_lossy(&verified.stderr));
        }
    }
    let filter = aws_sdk_ec2::types::Filter::builder().name("tag-key").values("bakeline:attempt").build();
    let found = retried(|| world.aws.ec2.describe_instances().filters(filter.clone()).send()).await;
    let instances: Vec<_> = found
        .reservations
        .unwrap_or_default()
        .into_iter()
        .flat_map(|r| r.instances.unwrap_or_default())
        .collect();
    for instance in instances {
        let state = instance.state.and_then(|state| state.name).unwrap();
        if state.as_str() != "terminated" {
            let _ = writeln!(wrong, "{} is {state:?}", instance.instance_id.unwrap());
        }
    }
    wrong
}

async fn stages(aws: &Aws, pipeline: &str) -> Vec<String> {
    let answer = retried(|| aws.codepipeline.get_pipeline_state().name(pipeline).send()).await;
    let stages = answer.stage_states.unwrap_or_default().into_iter();
    let status = |stage: aws_sdk_codepipeline::types::StageState| Some(stage.latest_execution?.status);
    stages.filter_map(status).map(|status: StageExecutionStatus| status.as_str().to_owned()).collect()
}

/// Checks that there are one build, one new template version and one instance refresh.
async fn check_created_once(aws: &Aws, name: &str, bad: bool, wrong: &mut String) {
    let pipeline = format!("arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/{name}");
    let images =
        retried(|| aws.imagebuilder.list_image_pipeline_images().image_pipeline_arn(&pipeline).send()).await;
    let builds = images.image_summary_list.unwrap_or_default().len();
    let group = format!("{name}-production");
    let found =
        retried(|| aws.autoscaling.describe_instance_refreshes().auto_scaling_group_name(&group).send())
            .await;
    let refreshes: Vec<String> = found
        .instance_refreshes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|refresh| Some(refresh.status?.as_str().to_owned()))
        .collect();
    let expected = if bad { "RollbackSuccessful" } else { "Successful" };
    if builds != 1 || refreshes != [expected] {
        let _ = writeln!(wrong, "{name}: {builds} builds, refreshes {refreshes:?}");
    }
    let versions =
        retried(|| aws.ec2.describe_launch_template_versions().launch_template_name(&group).send()).await;
    let versions = versions.launch_template_versions.unwrap_or_default().len();
    if versions != 2 {
        let _ = writeln!(wrong, "{name}: {versions} template versions");
    }
}

/// Downloads the output artifacts of a pipeline.
async fn fetch(aws: &Aws, name: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let s3 = aws.artifacts(None);
    let bucket = format!("{name}-artifacts-123456789012");
    let listed = retried(|| s3.list_objects_v2().bucket(&bucket).send()).await;
    for key in listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
        let Some(part) = key.split('/').nth(1).filter(|part| *part != "SourceArti") else { continue };
        let body = retried(|| async {
            let got =
                s3.get_object().bucket(&bucket).key(&key).send().await.map_err(|error| error.to_string())?;
            got.body.collect().await.map_err(|error| error.to_string())
        })
        .await;
        std::fs::write(to.join(format!("{part}.zip")), body.into_bytes()).unwrap();
    }
}
