//! The test stage with checks of every kind: their order, retries, cancellation and reports.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::services::ssm;
use bakeline_rehearsal::transcript::Record;
use serde_json::{Value, json};

use crate::support::{Moment, changed, in_virtual_time, work};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/checks/bakeline.yaml";

/// The release of the fixture with passages of its spec replaced, its image baked under a scenario.
pub fn baked(changes: &[(&str, &str)], scenario: &str) -> Moment {
    Moment::before(&changed(SPEC, &["checks/login.sh"], changes, scenario), Stage::Test)
}

/// The result of a test.
struct Tested {
    status: ActionStatus,
    why: String,
    records: Vec<Record>,
    files: BTreeMap<String, Vec<u8>>,
    after: Moment,
}

impl Tested {
    /// The names of the fixture's checks in the order in which they were sent, found by the text of their commands.
    fn sent(&self) -> Vec<&'static str> {
        let commands = self.records.iter().filter(|r| r.operation == "SendCommand" && r.applied);
        // The recording has no parameters of commands: they may be secret.
        let script = |record: &Record| {
            let comment = record.input["Comment"].as_str().unwrap();
            let sent = ssm::commands(&self.after.world).find(|command| command.comment == comment);
            check_of(&sent.unwrap().script)
        };
        commands.map(script).collect()
    }

    fn statement(&self) -> Value {
        use base64::Engine as _;
        let envelope: Value = serde_json::from_slice(&self.files["statements/02-test.dsse.json"]).unwrap();
        let payload = envelope["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    /// Instances that run or may run again.
    fn instances(&self) -> usize {
        let mut world = self.after.world.clone();
        let live = json!({"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
            {"Name": "tag-key", "Values": ["bakeline:attempt"]}]});
        let found = ask(&self.after, &mut world, "ec2", "DescribeInstances", live);
        found["Reservations"].as_array().unwrap().len()
    }
}

const MARKS: [(&str, &str); 9] = [
    ("cloud-init", "booted"),
    ("python3", "package"),
    ("web.service", "unit"),
    ("/opt/web/VERSION", "version"),
    ("/dev/tcp", "port"),
    ("/healthz", "health"),
    ("/login", "login"),
    ("boot_id", "reboot"),
    ("/again", "health-again"),
];

fn check_of(script: &str) -> &'static str {
    MARKS.iter().find(|(mark, _)| script.contains(mark)).map(|(_, name)| *name).unwrap()
}

fn test(moment: &Moment) -> Tested {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Test], Telemetry::default()).await;
        let status = work(moment, &cloud, &deps, Stage::Test).await;
        let after = moment.now(&cloud);
        let execution = codepipeline::execution(&after.world, &after.provisioned.execution).unwrap();
        let failure = execution.runs.iter().rev().find_map(|run| run.failure.clone());
        let mut files = BTreeMap::new();
        let bucket =
            bakeline_rehearsal::services::s3::bucket(&after.world, &after.provisioned.bucket).unwrap();
        if let Some((_, object)) = bucket.objects().find(|(key, _)| key.contains("TestedIma")) {
            let mut zip = zip::ZipArchive::new(std::io::Cursor::new(object.body.to_vec())).unwrap();
            for index in 0..zip.len() {
                let mut entry = zip.by_index(index).unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                let name = entry.name().unwrap().into_owned();
                files.insert(name, bytes);
            }
        }
        Tested {
            status,
            why: failure.map(|failure| failure.message).unwrap_or_default(),
            records: cloud.with_transcript(|transcript| transcript.records().to_vec()),
            files,
            after,
        }
    })
}

/// A scenario with behaviors of the image's commands.
pub fn commands(rules: &str) -> String {
    format!("build: {{duration: 4m}}\nimages: {{baked: {{instance: {{commands: [{rules}]}}}}}}\n")
}

static GOOD: LazyLock<Tested> = LazyLock::new(|| test(&baked(&[], "build: {duration: 4m}")));

#[test]
fn checks_of_every_kind_pass_and_are_reported() {
    let tested = &*GOOD;
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    assert_eq!(tested.sent().len(), MARKS.len());
    let said = tested.statement();
    assert_eq!(said["predicate"]["result"], "PASSED");
    assert_eq!(said["predicate"]["passedTests"].as_array().unwrap().len(), MARKS.len());
    assert!(!tested.files.contains_key("reports/test/console.txt"));
    assert_eq!(tested.instances(), 0);
}

/// The fixture with two more checks: an AWS document with several steps, and a document of the account.
fn documents(scenario: &str) -> Moment {
    let last = "    - { name: health-again, http: { url: \"http://127.0.0.1:8080/again\" }, timeout: 2m }\n";
    let more = format!(
        "{last}    - {{ name: patched, document: {{ name: AWS-RunPatchBaseline, parameters: {{ Operation: [Scan] }} }}, \
         timeout: 10m }}
    - {{ name: smoke, document: {{ name: web-smoke, version: \"1\", parameters: {{ Url: [/login] }} }}, timeout: 5m }}\n"
    );
    baked(&[(last, more.as_str())], scenario)
}

#[test]
fn the_report_has_every_step_of_a_document() {
    let scenario = commands("{contains: Operation=Scan, stdout: nothing is missing, duration: 30s}");
    let tested = test(&documents(&scenario));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    let told = |path: &str| String::from_utf8(tested.files[path].clone()).unwrap();
    let steps = told("reports/test/checks/patched/stdout.txt");
    assert!(steps.contains("== PatchLinux: Success\nnothing is missing\n"), "{steps}");
    assert!(steps.contains("== PatchWindows: Success\n"), "{steps}");
    let junit = told("reports/test/junit.xml");
    assert!(junit.contains("name=\"patched\" file=\"AWS-RunPatchBaseline\" time=\"30.000\""), "{junit}");
    let sent: Vec<String> = ssm::commands(&tested.after.world).map(|sent| sent.script.clone()).collect();
    assert_eq!(sent.iter().filter(|sent| *sent == "web-smoke Url=/login").count(), 1, "{sent:?}");
}

#[test]
fn a_failed_document_names_its_step_and_a_hanging_one_is_cancelled() {
    let cases = [
        (
            "{contains: Operation=Scan, exit_code: 3, stdout: openssl is missing}",
            "check \"patched\" (AWS-RunPatchBaseline) failed: exit code 3; its last output: == PatchLinux: Failed",
        ),
        ("{contains: web-smoke, duration: 90000s}", "check \"smoke\" (web-smoke) failed"),
    ];
    for (rule, why) in cases {
        let tested = test(&documents(&commands(rule)));
        assert_eq!(tested.status, ActionStatus::Failed, "{rule}");
        assert!(tested.why.contains(why), "{}", tested.why);
        assert_eq!(tested.instances(), 0);
    }
}

/// A soak on the CPU of the instance, which idles at 3 percent.
fn soak(max: f64) -> String {
    format!(
        "  soak:
    duration: 10m
    limits:
      - name: cpu
        cloudwatch: {{ namespace: AWS/EC2, metric: CPUUtilization, dimensions: {{ InstanceId: $instance }}, statistic: Average, period: 1m }}
        max: {max}
        min_datapoints: 5
  checks:\n"
    )
}

pub fn soaked(max: f64, scenario: &str) -> Moment {
    baked(&[("  checks:\n", soak(max).as_str())], scenario)
}

#[test]
fn a_soak_watches_the_instance_after_its_checks() {
    let tested = test(&soaked(50.0, "build: {duration: 4m}"));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    let said = tested.statement();
    let passed = said["predicate"]["passedTests"].as_array().unwrap();
    assert_eq!((passed.len(), passed.last()), (MARKS.len() + 1, Some(&json!("soak"))));
    let told = String::from_utf8(tested.files["reports/test/checks/soak/stdout.txt"].clone()).unwrap();
    assert!(told.starts_with("cpu: 3 (") && told.contains(" datapoints)"), "{told}");
    let page = String::from_utf8(tested.files["reports/test/report.html"].clone()).unwrap();
    assert!(page.contains("10 of 10 checks passed") && page.contains(" s of 600 s"), "{page}");
    assert_eq!(tested.instances(), 0);
}

#[test]
fn a_metric_out_of_its_bounds_fails_the_test() {
    let tested = test(&soaked(0.1, "build: {duration: 4m}"));
    assert_eq!(tested.status, ActionStatus::Failed);
    assert!(tested.why.contains("check \"soak\" (soak) failed: cpu is"), "{}", tested.why);
    assert!(tested.why.contains("above the limit of 0.1"), "{}", tested.why);
    assert_eq!(tested.statement()["predicate"]["failedTests"], json!(["soak"]));
    assert_eq!(tested.instances(), 0);
}

#[test]
fn there_is_no_soak_after_a_failed_check() {
    let tested = test(&soaked(50.0, &commands("{contains: /again, exit_code: 1}")));
    assert_eq!(tested.status, ActionStatus::Failed);
    assert!(tested.why.contains("not run: soak"), "{}", tested.why);
    assert_eq!(tested.records.iter().filter(|record| record.operation == "GetMetricData").count(), 0);
}

#[test]
fn independent_checks_run_in_parallel_and_the_others_wait() {
    let tested = test(&baked(&[], &commands("{contains: cloud-init, duration: 60s}")));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    let sent = tested.sent();
    // The package check runs in parallel with cloud-init; all other checks run after it.
    assert_eq!(sent[..2], ["booted", "package"]);
    let looks =
        tested.records.iter().filter(|r| r.operation == "SendCommand" || r.operation == "ListCommands");
    let order: Vec<bool> = looks.map(|record| record.operation == "SendCommand").collect();
    let second = order.iter().enumerate().filter(|(_, send)| **send).nth(1).unwrap().0;
    assert!(second <= 3, "the second was sent without waiting for the first: {order:?}");
    assert_eq!(sent[6..], ["login", "reboot", "health-again"]);
}

#[test]
fn a_check_that_passes_after_a_retry_is_flaky() {
    let tested =
        test(&baked(&[], &commands("{contains: healthz, exit_code: 1, stderr: no answer, times: 2}")));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    assert_eq!(tested.sent().iter().filter(|name| **name == "health").count(), 3);
    let said = tested.statement();
    assert_eq!(
        (&said["predicate"]["result"], &said["predicate"]["warnedTests"]),
        (&json!("WARNED"), &json!(["health"]))
    );
    let junit = String::from_utf8(tested.files["reports/test/junit.xml"].clone()).unwrap();
    assert!(junit.contains("<flakyFailure message=\"passed in attempt 3\"/>"), "{junit}");
}

/// Tests that fail: the change, the scenario, and parts of the message. The instance is always terminated.
#[test]
fn a_failed_test_says_why_and_leaves_no_instance() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, String, &'c [&'c str]);
    let cases: Vec<Case<'_>> = vec![
        (
            "cloud-init ends in an error",
            vec![],
            commands("{contains: cloud-init, exit_code: 1, stderr: 'status: error'}"),
            &["\"booted\" (cloud_init)", "status: error"],
        ),
        (
            "a package is missing",
            vec![],
            commands("{contains: python3, exit_code: 1, stderr: package python3 is not installed}"),
            &["\"package\" (package)", "not installed"],
        ),
        (
            "a unit is not active",
            vec![],
            commands("{contains: web.service, exit_code: 1, stderr: is not running}"),
            &["\"unit\" (systemd_unit)", "is not running"],
        ),
        (
            "a file has another mode",
            vec![],
            commands("{contains: /opt/web/VERSION, exit_code: 1, stderr: 'is 0666, not 0644'}"),
            &["\"version\" (file)", "not 0644"],
        ),
        (
            "a port is closed",
            vec![],
            commands("{contains: /dev/tcp, exit_code: 1, stderr: takes no connections}"),
            &["\"port\" (tcp)", "takes no connections"],
        ),
        (
            "an answer is wrong in every attempt",
            vec![],
            commands("{contains: healthz, exit_code: 1, stderr: 'answers 503, not 200'}"),
            &["\"health\" (http)", "answers 503"],
        ),
        (
            "a secret cannot be read",
            vec![],
            commands("{contains: get-secret-value, exit_code: 1, stderr: secret TOKEN cannot be read}"),
            &["\"login\" (checks/login.sh)", "secret TOKEN cannot be read"],
        ),
        (
            "it does not come back from its reboot",
            vec![],
            commands("{contains: boot_id, duration: 3600s}"),
            &["\"reboot\" (reboot)", "ran longer than 600 s"],
        ),
        (
            "it does not serve after its reboot",
            vec![],
            commands("{contains: /again, exit_code: 7}"),
            &["\"health-again\" (http)", "exit code 7"],
        ),
        (
            "a script hangs",
            vec![],
            commands("{contains: /login, duration: 36000s}"),
            &["ran longer than 120 s"],
        ),
        (
            "it does not boot",
            vec![],
            "build: {duration: 4m}\nimages: {baked: {instance: {boot: never}}}".into(),
            &["was not up within 900 s"],
        ),
    ];
    for (name, changes, scenario, words) in &cases {
        let tested = test(&baked(changes, scenario));
        assert_eq!(tested.instances(), 0, "{name}");
        assert_eq!(tested.status, ActionStatus::Failed, "{name}");
        for word in *words {
            assert!(tested.why.contains(word), "{name}: {}", tested.why);
        }
    }
    println!("{} tests", cases.len());
}

pub const OUTPUT: (&str, &str) =
    ("  start_timeout: 15m\n", "  output: s3://web-output/web/checks\n  start_timeout: 15m\n");

/// A scenario whose health check prints many lines.
pub fn prints(lines: usize, more: &str) -> String {
    let text: String = (0..lines).map(|line| format!("line {line} of a long story\\n")).collect();
    let rule = format!("{{contains: healthz, stdout: \"{text}the end\"}}");
    format!("build: {{duration: 4m}}\nimages: {{baked: {{instance: {{commands: [{rule}]{more}}}}}}}\n")
}

#[test]
fn the_end_of_a_long_output_is_read_from_s3() {
    // Longer than Systems Manager keeps; then also longer than the artifact keeps.
    for (lines, cut) in [(2000, false), (9000, true)] {
        let tested = test(&baked(&[OUTPUT], &prints(lines, "")));
        assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
        let told = String::from_utf8(tested.files["reports/test/checks/health/stdout.txt"].clone()).unwrap();
        assert!(told.ends_with("the end"), "{}", &told[told.len() - 40..]);
        assert_eq!(told.contains("bytes before this are in s3://web-output/web/checks/"), cut, "{lines}");
        assert_eq!(told.starts_with("line 0 of"), !cut);
        let read =
            tested.records.iter().filter(|r| r.operation == "GetObject" && r.input["Bucket"] == "web-output");
        assert_eq!(read.count(), 1, "only the long output is read");
    }
}

#[test]
fn an_output_that_s3_does_not_have_keeps_its_beginning() {
    let cases = [
        (
            vec![OUTPUT],
            ", writes_output: false",
            "does not exist: the instance's role needs s3:PutObject for it",
        ),
        (vec![], "", ""),
    ];
    for (changes, more, note) in cases {
        let tested = test(&baked(&changes, &prints(2000, more)));
        assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
        let told = String::from_utf8(tested.files["reports/test/checks/health/stdout.txt"].clone()).unwrap();
        assert!(told.starts_with("line 0 of") && !told.contains("the end"));
        assert!(told.contains(note), "{}", &told[told.len() - 200..]);
    }
}

#[test]
fn the_artifact_has_the_console_output_after_a_failed_test() {
    let tested = test(&baked(&[], &commands("{contains: healthz, exit_code: 1}")));
    assert_eq!(tested.status, ActionStatus::Failed);
    assert!(tested.files.contains_key("reports/test/console.txt"), "{:?}", tested.files.keys());
    assert!(tested.statement()["predicate"]["result"] == "FAILED");
}

#[test]
fn prefer_spot_launches_an_on_demand_instance_without_spot_capacity() {
    let spot = ("    instance_type: t3.small\n", "    instance_type: t3.small\n    capacity: prefer_spot\n");
    for (scenario, launches) in
        [("build: {duration: 4m}", 1), ("build: {duration: 4m}\naws: {ec2: {spot_capacity: none}}", 2)]
    {
        let tested = test(&baked(&[spot], scenario));
        assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
        let asked: Vec<&Record> = tested.records.iter().filter(|r| r.operation == "RunInstances").collect();
        assert!(asked.len() >= launches, "{scenario}");
        assert_eq!(asked[0].input["InstanceMarketOptions"]["MarketType"], "spot");
        assert_eq!(asked.last().unwrap().input.get("InstanceMarketOptions").is_none(), launches == 2);
        assert_eq!(asked.iter().filter(|record| record.applied).count(), 1);
    }
}

#[test]
fn a_secret_is_in_no_command_and_no_artifact() {
    // The value that the instance would read.
    const PLANTED: &str = "pl4nted-s3cret-value";
    let mut moment = baked(&[], "build: {duration: 4m}");
    let mut world = moment.world.clone();
    ask(
        &moment,
        &mut world,
        "secretsmanager",
        "CreateSecret",
        json!({"Name": "web", "SecretString": PLANTED}),
    );
    moment.world = world;
    Scenario::parse("version: 1\nbuild: {duration: 4m}", "s").unwrap().apply(&mut moment.world);
    let tested = test(&moment);
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    let sent: String = ssm::commands(&tested.after.world).map(|command| command.script.clone()).collect();
    assert!(sent.contains("secret:web-AbCdEf"), "the reference is sent, to be read on the instance");
    assert!(!sent.contains(PLANTED));
    // The worker never reads the secret.
    assert!(tested.records.iter().all(|record| record.operation != "GetSecretValue"));
    for (path, bytes) in &tested.files {
        assert!(!bytes.windows(PLANTED.len()).any(|part| part == PLANTED.as_bytes()), "{path}");
    }
}
