//! Invalid files given to the binary: the exit code, the position of the mistake, and no panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::draft::{pack, unpack};
use super::forge::{Part, zip};
use crate::support::repository;

/// Runs the binary without the AWS settings of the environment.
fn bakeline(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bakeline"))
        .args(arguments)
        .args(paths)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", "eu-west-1")
        .output()
        .unwrap()
}

/// The differences from the expected error, one line each.
fn differences(name: &str, output: &Output, code: i32, says: &[&str]) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut wrong = Vec::new();
    if output.status.code() != Some(code) {
        wrong.push(format!("{name}: ended with {} instead of {code}: {stderr}", output.status));
    }
    if !stderr.starts_with("error: ") {
        wrong.push(format!("{name}: does not begin with `error: `: {stderr}"));
    }
    for part in says.iter().filter(|part| !stderr.contains(**part)) {
        wrong.push(format!("{name}: does not say {part:?}: {stderr}"));
    }
    if stderr.contains("panicked") || stderr.contains("RUST_BACKTRACE") {
        wrong.push(format!("{name}: panicked: {stderr}"));
    }
    wrong
}

fn job() -> Value {
    serde_json::from_slice(&fs::read(repository("examples/web/jobs/bake.json")).unwrap()).unwrap()
}

/// The example's job document with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut job = job();
    change(&mut job);
    serde_json::to_vec_pretty(&job).unwrap()
}

fn without(pointer: &str, member: &str) -> Vec<u8> {
    changed(|job| {
        assert!(job.pointer_mut(pointer).unwrap().as_object_mut().unwrap().shift_remove(member).is_some());
    })
}

fn with(pointer: &str, value: Value) -> Vec<u8> {
    changed(|job| *job.pointer_mut(pointer).unwrap() = value)
}

const DATA: &str = "/jobDetails/data";
const CONTEXT: &str = "/jobDetails/data/pipelineContext";

#[test]
fn an_invalid_job_document_is_refused_with_the_position_of_the_mistake() {
    let details = job()["jobDetails"].clone();
    let one_line = |value: Value| serde_json::to_vec(&value).unwrap();
    let mut text = fs::read(repository("examples/web/jobs/bake.json")).unwrap();
    let line_of = |member: &str| {
        let text = fs::read_to_string(repository("examples/web/jobs/bake.json")).unwrap();
        text.lines().position(|line| line.contains(member)).unwrap() + 1
    };
    let context_line = format!(":{}:", line_of("\"pipelineContext\""));
    text.truncate(700);
    let huge = [b"{\"jobDetails\": \"".to_vec(), vec![b'x'; 2 << 20], b"\"}".to_vec()].concat();
    let table: &[(&str, Vec<u8>, &[&str])] = &[
        ("empty", Vec::new(), &[":1:0: ", "EOF"]),
        ("not JSON", b"version: 1\n".to_vec(), &[":1:1: ", "expected value"]),
        ("a spec", fs::read(repository("examples/web/bakeline.yaml")).unwrap(), &[":1:1: "]),
        ("binary", vec![0, 159, 146, 150, 0xff], &[":1:1: "]),
        ("an archive", pack(&std::collections::BTreeMap::from([("x".into(), vec![1])])), &[":1:1: "]),
        ("cut short", text, &["EOF"]),
        ("two documents", [changed(|_| {}), changed(|_| {})].concat(), &["trailing characters"]),
        ("a list", b"[]".to_vec(), &[":1:"]),
        ("a number", b"42".to_vec(), &[":1:2: ", "found integer", "a JSON object"]),
        ("null", b"null".to_vec(), &[":1:4: "]),
        ("an empty object", b"{}".to_vec(), &[":1:2: ", "missing field `id`"]),
        ("deeply nested", b"[".repeat(5000), &[":1:5000: "]),
        ("nested in an unknown member", [b"{\"x\":".repeat(5000), b"1".to_vec()].concat(), &[":1:"]),
        ("huge", huge, &["longer than 1048576 bytes"]),
        ("no job", one_line(json!({"jobs": []})), &["jobs is a list of 0: expected exactly one job"]),
        (
            "two jobs",
            one_line(json!({"jobs": [details, details]})),
            &["jobs is a list of 2: expected exactly one job"],
        ),
        ("no context", without(DATA, "pipelineContext"), &["missing field `pipelineContext`"]),
        ("no action type", without(DATA, "actionTypeId"), &["missing field `actionTypeId`"]),
        ("no action", without(CONTEXT, "action"), &["missing field `action`"]),
        (
            "no action execution",
            without(&format!("{CONTEXT}/action"), "actionExecutionId"),
            &["missing field `actionExecutionId`"],
        ),
        (
            "no location",
            without(&format!("{DATA}/inputArtifacts/0"), "location"),
            &["missing field `location`"],
        ),
        ("a text for an object", with(CONTEXT, json!("web")), &[&context_line, "found string"]),
        (
            "a number for a text",
            with("/jobDetails/id", json!(7)),
            &[":3:", "found integer, expected a string"],
        ),
        (
            "an object for a list",
            with(&format!("{DATA}/inputArtifacts"), json!({})),
            &["found map, expected a sequence"],
        ),
        (
            "a list for a configuration",
            with(&format!("{DATA}/actionConfiguration/configuration"), json!([1])),
            &["found sequence, expected a map"],
        ),
        (
            "an id with a path",
            with("/jobDetails/id", json!("../../etc/passwd")),
            &["id is \"../../etc/passwd\"", "expected an id"],
        ),
        ("an empty id", with("/jobDetails/id", json!("")), &["id is \"\""]),
        (
            "an id too long",
            with(&format!("{CONTEXT}/action/actionExecutionId"), json!("a".repeat(5000))),
            &["actionExecutionId is"],
        ),
        (
            "a member twice",
            b"{\"jobDetails\": {\"id\": \"a\",\n \"id\": \"b\"}}".to_vec(),
            &[":2:", "duplicate field `id`"],
        ),
        (
            "another category",
            with(&format!("{DATA}/actionTypeId/category"), json!("Approval")),
            &["no stage runs an action of type Approval BakelineBake 1"],
        ),
        (
            "another provider",
            with(&format!("{DATA}/actionTypeId/provider"), json!("CodeBuild")),
            &["no stage runs an action of type Build CodeBuild 1"],
        ),
        (
            "another version",
            with(&format!("{DATA}/actionTypeId/version"), json!("2")),
            &["no stage runs an action of type Build BakelineBake 2"],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.json");
    let mut wrong = Vec::new();
    for (name, document, says) in table {
        fs::write(&file, document).unwrap();
        let output = bakeline(&["run"], &[&file]);
        wrong.extend(differences(name, &output, 65, says));
        wrong.extend(differences(name, &output, 65, &[file.to_str().unwrap()]));
    }
    wrong.extend(differences(
        "a folder",
        &bakeline(&["run"], &[folder.path()]),
        65,
        &[folder.path().to_str().unwrap()],
    ));
    wrong.extend(differences("nothing", &bakeline(&["run", "nowhere.json"], &[]), 66, &["nowhere.json"]));
    wrong.extend(differences(
        "a device",
        &bakeline(&["run", "/dev/zero"], &[]),
        65,
        &["/dev/zero", "longer than"],
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} job documents were refused", table.len() + 3);
}

#[test]
fn credentials_in_an_invalid_job_document_are_not_printed() {
    const SECRET: &str = "wJalrXUtnFEMI-planted";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.json");
    for pointer in [
        "/jobDetails/data/artifactCredentials",
        "/jobDetails/data/actionConfiguration",
        "/jobDetails/data/actionConfiguration/configuration",
        "/jobDetails/data/inputArtifacts",
        "/jobDetails/data",
    ] {
        fs::write(&file, with(pointer, json!(SECRET))).unwrap();
        let output = bakeline(&["--log", "trace", "run"], &[&file]);
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(65), "{stderr}");
        assert!(stderr.contains("found string") && !stderr.contains(SECRET), "{pointer}: {stderr}");
    }
}

/// A signing key and its trust root: the job is run as far as its token.
fn keys(folder: &Path) -> [String; 2] {
    let key = repository("tests/golden/evidence/keys/p256-pkcs8.pem");
    let trust = folder.join("trust.yaml");
    fs::copy(repository("tests/golden/evidence/trust.yaml"), &trust).unwrap();
    [format!("file:{}", key.display()), format!("file:{}", trust.display())]
}

#[test]
fn an_invalid_state_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [key, trust] = keys(folder.path());
    let file = repository("examples/web/jobs/bake.json");
    let rest = folder.path().join("5a7c2e90-3f64-4b1d-8c2e-91d0b7a6e3f1.token.json");
    let other = fs::read(repository("tests/golden/tokens/2/bake/building.json")).unwrap();
    let mut wrong = Vec::new();
    for (name, token, says) in [
        ("another job's", other, "belongs to action execution 1f0c2d3e-0000-4000-8000-000000000001"),
        ("empty", Vec::new(), "is not a token of bakeline"),
        ("not text", vec![0xff; 300], "is not a token of bakeline"),
        ("huge", vec![b' '; 8 << 20], "accepts at most 2048"),
        ("of another version", b"{\"v\":9,\"execution\":\"x\"}".to_vec(), "has version 9"),
    ] {
        fs::write(&rest, token).unwrap();
        let folder = folder.path().to_str().unwrap();
        let arguments = ["run", "--resume", "--signing-key", &key, "--trust", &trust, "--out", folder];
        let output = Command::new(env!("CARGO_BIN_EXE_bakeline"))
            .args(arguments)
            .arg(&file)
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", "eu-west-1")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(65) || !stderr.contains(says) || stderr.contains("panicked") {
            wrong.push(format!("{name}: {}: {stderr}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The folder of a rehearsed release.
fn rehearsed() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
            let out = folder.path().to_str().unwrap();
            let output = bakeline(&["rehearse", "--out", out], &[&spec]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            folder
        })
        .path()
}

#[test]
fn verify_refuses_an_artifact_that_was_not_signed() {
    let trust = format!("file:{}", rehearsed().join("trust.yaml").display());
    let good = fs::read(rehearsed().join("2-test.zip")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("artifact.zip");
    let also = |part: Part| {
        let mut parts: Vec<Part> =
            unpack(&good).iter().map(|(path, bytes)| Part::stored(path, bytes)).collect();
        parts.push(part);
        zip(&parts)
    };
    let repacked = {
        let mut files = unpack(&good);
        files.get_mut("source/checks/serves.sh").unwrap().push(b'\n');
        pack(&files)
    };
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("empty", Vec::new(), "within the end record"),
        ("text", b"hello\n".repeat(99), "within the end record"),
        ("cut", good[..good.len() / 3].to_vec(), "within the end record"),
        ("a path out of its folder", also(Part::stored("../x", b"x")), "`..`"),
        ("an entry twice", also(Part::stored("source/bakeline.yaml", b"x")), "twice"),
        ("a link", also(Part::stored("x", b"/etc/passwd").attributes(0o120_777 << 16)), "symbolic link"),
        ("a zip bomb", also(Part::deflated("x", &vec![0; 5 << 20])), "more than"),
        (
            "packed by another tool",
            zip(&unpack(&good).iter().map(|(p, b)| Part::stored(p, b)).collect::<Vec<_>>()),
            "byte for byte",
        ),
        ("a changed file", repacked, "the file source/checks/serves.sh has the digest"),
        ("without statements", pack(&[("x".to_owned(), vec![1])].into()), "has no statement"),
    ];
    let mut wrong = Vec::new();
    let flags = ["verify", "--at", "2026-01-01T04:00:00Z", "--trust", trust.as_str()];
    for (name, bytes, says) in table {
        fs::write(&file, bytes).unwrap();
        let shown = file.to_str().unwrap();
        // 1: the archive can be read, and is not what a stage wrote.
        let readable = ["packed by another tool", "a changed file", "without statements"].contains(name);
        let code = if readable { 1 } else { 65 };
        wrong.extend(differences(name, &bakeline(&flags, &[&file]), code, &[shown, says]));
    }
    let empty = tempfile::tempdir().unwrap();
    wrong.extend(differences(
        "an empty folder",
        &bakeline(&flags, &[empty.path()]),
        1,
        &["has no statement"],
    ));
    wrong.extend(differences(
        "nothing",
        &bakeline(&flags, &[Path::new("nowhere.zip")]),
        66,
        &["nowhere.zip"],
    ));
    fs::create_dir(empty.path().join("folder.zip")).unwrap();
    wrong.extend(differences(
        "a folder named as one",
        &bakeline(&flags, &[empty.path()]),
        65,
        &["folder.zip"],
    ));
    let good = rehearsed().join("2-test.zip");
    for (name, more, says) in [
        ("too early", ["--at", "2025-01-01T00:00:00Z"], "and it is only 2025-01-01T00:00:00Z now"),
        ("too late", ["--at", "2027-01-01T00:00:00Z"], "and it is 2027-01-01T00:00:00Z now"),
        ("another pipeline", ["--pipeline", "arn:aws:codepipeline:eu-west-1:1:x"], "from the pipeline"),
        ("another run", ["--run", "x"], "from the run"),
    ] {
        let base = if more[0] == "--at" { &["verify", "--trust", trust.as_str()][..] } else { &flags[..] };
        wrong.extend(differences(name, &bakeline(&[base, &more].concat(), &[&good]), 1, &[says]));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn verify_refuses_an_invalid_trust_root() {
    let good = fs::read_to_string(rehearsed().join("trust.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trust.yaml");
    let artifact = rehearsed().join("2-test.zip");
    let many =
        format!("version: 1\nkeys:\n{}", "  - {name: a, public_key: a, may_sign: [bake]}\n".repeat(65));
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("empty", Vec::new(), "trust root"),
        ("not text", vec![0xff; 99], "trust.yaml"),
        ("no keys", b"version: 1\nkeys: []\n".to_vec(), "0 keys"),
        ("too many keys", many.into_bytes(), "65 keys"),
        ("not YAML", b"version: 1\nkeys: [\n".to_vec(), "trust root"),
        ("an unknown stage", good.replace("cleanup_plan]", "deploy]").into_bytes(), "line "),
        ("an unknown field", good.replace("    may_sign", "    stages").into_bytes(), "line "),
        ("no public key", good.replace("BEGIN PUBLIC KEY", "BEGIN CERTIFICATE").into_bytes(), "public key of \"rehearsal\" cannot be used"),
        ("an invalid date", good.replace("    may_sign", "    not_after: tomorrow\n    may_sign").into_bytes(), "`not_after`"),
        ("huge", vec![b'#'; 1 << 20], "262144"),
        ("a YAML alias bomb", b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nkeys: [*d,*d,*d,*d,*d,*d,*d,*d]\n".to_vec(), "trust root"),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, says) in table {
        fs::write(&file, bytes).unwrap();
        let output = bakeline(&["verify", "--trust", &format!("file:{}", file.display())], &[&artifact]);
        wrong.extend(differences(name, &output, 65, &[says]));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rehearse_reports_all_mistakes_of_a_spec_at_once() {
    let mut spec = fs::read_to_string(repository("examples/web/bakeline.yaml")).unwrap();
    for (passage, replacement) in [
        ("service: web\n", "service: Web_Shop\n"),
        ("timeout: 2h", "timeout: 2 hours"),
        ("region: eu-west-1,", "region: Ireland,"),
        ("[sg-0123456789abcdef0]", "[web]"),
        ("instance_type: t3.small", "instance_type: small"),
        ("checks/package.sh", "../package.sh"),
        ("delivery_timeout: 2m", "delivery_timeuot: 2m"),
        ("percent: 10 ", "percent: 0 "),
        ("statistic: Sum\n          # ", "statistic: sum\n          # "),
        ("last: 3", "last: many"),
    ] {
        assert!(spec.contains(passage), "{passage}");
        spec = spec.replacen(passage, replacement, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bakeline.yaml");
    fs::write(&file, &spec).unwrap();
    let out = folder.path().join("out");
    let output = bakeline(&["rehearse", "--out", out.to_str().unwrap()], &[&file]);
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let wrong = differences("ten mistakes", &output, 65, &["delivery_timeout", "did you mean"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let start = format!("{}:", file.display());
    let told: Vec<PathBuf> = stderr
        .lines()
        .filter_map(|line| line.trim_start_matches("error: ").strip_prefix(&start))
        .map(|rest| PathBuf::from(rest.split(' ').next().unwrap()))
        .collect();
    assert_eq!(told.len(), 10, "{stderr}");
    assert!(!out.exists(), "something was written");
}

#[test]
fn rehearse_refuses_an_invalid_spec_and_an_invalid_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bakeline.yaml");
    let mut wrong = Vec::new();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("not text", vec![0xfe; 99]),
        ("huge", vec![b'#'; 1 << 20]),
        ("deeply nested", b"[".repeat(100_000)),
        ("a list", b"- version: 1\n".to_vec()),
        ("two documents", b"version: 1\n---\nversion: 1\n".to_vec()),
        ("aliases", b"a: &a [1]\nb: *a\n".to_vec()),
    ] {
        fs::write(&file, bytes).unwrap();
        let shown = format!("{}:1:", file.display());
        let says = if matches!(name, "two documents" | "aliases") { file.to_str().unwrap() } else { &shown };
        wrong.extend(differences(name, &bakeline(&["rehearse"], &[&file]), 65, &[says]));
    }
    wrong.extend(differences("a device", &bakeline(&["rehearse", "/dev/zero"], &[]), 65, &["/dev/zero"]));
    let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
    let scenario = folder.path().join("scenario.yaml");
    for (name, bytes) in [
        ("a scenario with an unknown key", b"version: 1\ndescripton: x\n".to_vec()),
        ("a scenario that is no YAML", b"build: [\n".to_vec()),
        ("a scenario that is not text", vec![0xff; 9]),
        ("a deeply nested scenario", b"[".repeat(100_000)),
    ] {
        fs::write(&scenario, bytes).unwrap();
        let output = bakeline(&["rehearse", "--scenario", scenario.to_str().unwrap()], &[&spec]);
        wrong.extend(differences(name, &output, 65, &[scenario.to_str().unwrap()]));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn extreme_numbers_in_a_scenario_cause_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
    let scenario = folder.path().join("scenario.yaml");
    let out = folder.path().join("out");
    for text in [
        "build: {duration: 18446744073709551615m}",
        "aws: {codepipeline: {credentials_lifetime: 3650d}}",
        "aws: {codepipeline: {continuation_delay: 4000000s}}",
        "traffic: {requests_per_minute: 4294967295}",
        "images: {baked: {instance: {error_rate: .nan}}}",
        "images: {baked: {instance: {error_rate: -1e300, slow_share: .inf}}}",
        "seed: 18446744073709551615",
    ] {
        fs::write(&scenario, format!("version: 1\n{text}")).unwrap();
        let flags = ["rehearse", "--out", out.to_str().unwrap(), "--scenario", scenario.to_str().unwrap()];
        let output = bakeline(&flags, &[&spec]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("defect"), "{text}: {stderr}");
        assert!(matches!(output.status.code(), Some(0 | 1 | 65)), "{text}: {}: {stderr}", output.status);
    }
}
