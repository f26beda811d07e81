//! What users type and read: help texts, error messages and exit codes as golden files, job documents and schemas.
//!
//! With `BAKELINE_TEST_GOLDEN=write` the tests write the golden files instead of comparing them.

use std::fmt::Write as _;
use std::process::{Command, Output};

use bakeline::engine::Job;
use bakeline::evidence::Stage;
use bakeline::worker::action::stage_of;

use crate::support::repository;

/// Runs the binary in the repository, without the AWS settings and flags of the environment.
fn bakeline(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bakeline"));
    command.args(arguments).current_dir(repository("")).env_clear();
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "eu-west-1").output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Compares text with a golden file, or writes the file.
fn golden(path: &str, actual: &str) {
    let file = repository("tests/golden/cli").join(path);
    if std::env::var_os("BAKELINE_TEST_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs", file.display());
}

#[test]
fn every_job_document_of_the_example_is_a_job_of_its_stage() {
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

/// Notepad and PowerShell write a byte order mark before UTF-8.
#[test]
fn every_file_that_people_write_may_begin_with_a_byte_order_mark() {
    use bakeline::aws::Environments;
    use bakeline::evidence::{Envelope, TrustRoot};
    use bakeline::judge::recording::Recording;
    use bakeline::spec::ReleaseSpec;
    use bakeline_rehearsal::scenario::Scenario;

    let read = |path: &str| {
        let text = std::fs::read_to_string(repository(path)).unwrap();
        assert!(!text.starts_with('\u{feff}'));
        (format!("\u{feff}{text}"), text)
    };
    let (marked, plain) = read("examples/web/jobs/bake.json");
    let [marked, plain] =
        [marked, plain].map(|text| Job::from_document(text.as_bytes(), "job.json").unwrap());
    assert_eq!((marked.id, marked.key), (plain.id, plain.key));
    let (marked, plain) = read("tests/golden/evidence/trust.yaml");
    assert_eq!(TrustRoot::parse(&marked).unwrap(), TrustRoot::parse(&plain).unwrap());
    let (marked, _) = read("tests/golden/evidence/environments.yaml");
    assert!(Environments::parse(&marked).is_ok());
    let (marked, plain) = read("examples/web/bakeline.yaml");
    let [marked, plain] = [marked, plain].map(|text| ReleaseSpec::parse(text.as_bytes(), "s").unwrap());
    assert_eq!(marked, plain);
    let (marked, _) = read("examples/web/scenarios/bake-fails.yaml");
    assert!(Scenario::parse(&marked, "s").is_ok());
    let (marked, _) = read("tests/golden/judge/rollout.jsonl");
    assert!(Recording::parse(&marked).is_ok());
    let (marked, plain) = read("tests/golden/evidence/statements/01-bake.dsse.json");
    let [marked, plain] = [marked, plain].map(|text| Envelope::decode(text.as_bytes()).unwrap());
    assert_eq!(marked.encode(), plain.encode(), "the payload is the same byte for byte");
}

#[test]
fn the_schema_that_is_printed_is_the_golden_schema() {
    let printed = bakeline(&["schema"]);
    assert!(printed.status.success());
    let golden = std::fs::read_to_string(repository("tests/golden/spec/schema.json")).unwrap();
    assert_eq!(text(printed.stdout).trim_end(), golden.trim_end());
}

/// The subcommands in the help text of a command.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn the_help_text_of_every_command_is_the_golden_one() {
    let mut open = vec![Vec::<String>::new()];
    let mut names = Vec::new();
    while let Some(command) = open.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let asked = bakeline(&arguments);
        assert!(asked.status.success() && asked.stderr.is_empty(), "{command:?}");
        let help = text(asked.stdout);
        let found = subcommands(&help);
        open.extend(found.into_iter().map(|name| [command.clone(), vec![name]].concat()));
        let name = [&["bakeline".to_owned()][..], &command].concat().join("-");
        golden(&format!("help/{name}.txt"), &help);
        names.push(format!("{name}.txt"));
    }
    for top in [
        "rehearse",
        "serve-aws",
        "work",
        "run",
        "doctor",
        "verify",
        "cleanup-plan",
        "reap",
        "judge-plan",
        "schema",
    ] {
        assert!(names.iter().any(|name| name.starts_with(&format!("bakeline-{top}"))), "{top}");
    }
    for file in std::fs::read_dir(repository("tests/golden/cli/help")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} is the help text of no command");
    }
    assert_eq!(text(bakeline(&["--version"]).stdout), format!("bakeline {}\n", env!("CARGO_PKG_VERSION")));
}

/// Command lines that fail without AWS, with their exit codes.
const FAILURES: &[(i32, &[&str])] = &[
    (64, &[]),
    (64, &["relase"]),
    (64, &["--output", "xml", "schema"]),
    (64, &["audit"]),
    (64, &["drill", "--now"]),
    (64, &["promote", "web"]),
    (64, &["schema", "nothing"]),
    (64, &["work", "--grace", "1 minute"]),
    (64, &["work", "--slots", "0"]),
    (64, &["work", "--stages", "deploy"]),
    (64, &["work"]),
    (64, &["work", "--trust", "file:tests/golden/evidence/trust.yaml", "--signing-key", "none"]),
    (64, &["run"]),
    (64, &["run", "examples/web/jobs/bake.json"]),
    (64, &["run", "x.json", "--input", "x.zip"]),
    (66, &["run", "nowhere.json"]),
    (65, &["run", "README.md"]),
    (64, &["doctor"]),
    (66, &["doctor", "--pipeline", "web", "nowhere.yaml"]),
    (65, &["doctor", "--pipeline", "web", "README.md"]),
    (64, &["verify", "x.zip"]),
    (64, &["verify", "x.zip", "--trust", "file:t", "--at", "noon"]),
    (66, &["verify", "nowhere.zip", "--trust", "file:tests/golden/evidence/trust.yaml"]),
    (66, &["verify", "README.md", "--trust", "file:nowhere.yaml"]),
    (65, &["verify", "README.md", "--trust", "file:README.md"]),
    // The message has the file's length: a file that does not change.
    (65, &["verify", "tests/golden/evidence/trust.yaml", "--trust", "file:tests/golden/evidence/trust.yaml"]),
    (66, &["rehearse", "nowhere.yaml"]),
    (66, &["rehearse", "examples/web/bakeline.yaml", "--scenario", "nowhere.yaml"]),
    (65, &["rehearse", "examples/web/bakeline.yaml", "--scenario", "README.md"]),
    (66, &["cleanup", "plan", "nowhere.yaml"]),
    (66, &["judge", "replay", "nowhere.jsonl"]),
    (65, &["judge", "replay", "README.md"]),
    (64, &["judge", "plan", "--requests-per-minute", "0", "--error-rate", "0.01"]),
    (64, &["judge", "plan", "--requests-per-minute", "9", "--error-rate", "0.01", "--allowed-ratio", "0.5"]),
];

#[test]
fn every_error_message_is_the_golden_one() {
    let (mut all, mut wrong) = (String::new(), Vec::new());
    for (code, arguments) in FAILURES {
        let failed = bakeline(arguments);
        let stderr = text(failed.stderr);
        let line = ["bakeline"].iter().chain(*arguments).copied().collect::<Vec<_>>().join(" ");
        if failed.status.code() != Some(*code) {
            wrong.push(format!("{line}: {} instead of {code}: {stderr}", failed.status));
        }
        if !arguments.is_empty() && !stderr.starts_with("error: ") {
            wrong.push(format!("{line}: does not begin with `error: `: {stderr}"));
        }
        if stderr.contains("panicked") || !failed.stdout.is_empty() {
            wrong.push(format!("{line}: {stderr}"));
        }
        write!(all, "$ {line}\n{}exit code {code}\n\n", stderr.trim_start_matches('\n')).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    golden("messages.txt", &all);
}

#[test]
fn json_output_names_its_schema() {
    let plan = ["judge", "plan", "--requests-per-minute", "600", "--error-rate", "0.002", "--output", "json"];
    let printed = bakeline(&plan);
    let report: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(report["schema"], "https://bakeline.dev/schema/judge-plan/v1");
    assert_eq!(report["steps"][0]["canaryRequestsPerMinute"], 30.0);
    let replayed = bakeline(&["--output", "json", "judge", "replay", "tests/golden/judge/rollout.jsonl"]);
    for line in text(replayed.stdout).lines() {
        let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(verdict["schema"], "https://bakeline.dev/schema/judge-verdict/v1");
    }
}
