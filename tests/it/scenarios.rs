//! The library of scenarios: each ends as it says, the same way every time, and the schema knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bakeline_rehearsal::scenario::{RunResult, Scenario};

use crate::support::repository;

/// Rehearsals that run beside each other.
const AT_ONCE: usize = 2;

fn library() -> BTreeMap<String, PathBuf> {
    scenarios("examples/scenarios")
}

fn scenarios(folder: &str) -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(repository(folder)).unwrap();
    files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect()
}

fn read(path: &Path) -> Scenario {
    Scenario::parse(&fs::read_to_string(path).unwrap(), &path.display().to_string()).unwrap()
}

fn rehearse(scenario: &Path, out: &Path) -> Output {
    rehearse_release("examples/web/bakeline.yaml", scenario, out)
}

fn rehearse_release(spec: &str, scenario: &Path, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bakeline"))
        .arg("rehearse")
        .arg(repository(spec))
        .arg("--scenario")
        .arg(scenario)
        .arg("--out")
        .arg(out.join("out"))
        .arg("--transcript")
        .arg(out.join("transcript.jsonl"))
        .output()
        .unwrap()
}

/// What is wrong with how a rehearsal ended; nothing when it ended as expected.
fn judged(scenario: &Scenario, output: &Output) -> Option<String> {
    let expect = scenario.expect.as_ref().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed = told.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let stage = words.next()?;
        (words.next()? == "FAILED").then(|| stage.to_owned())
    });
    let code = i32::from(expect.result != RunResult::Success);
    let stage = expect.stage.map(|stage| stage.name().to_owned());
    if output.status.code() != Some(code) {
        return Some(format!("exit code {:?} instead of {code}:\n{told}", output.status.code()));
    }
    if failed != stage {
        return Some(format!("failed in {failed:?} instead of {stage:?}:\n{told}"));
    }
    let missing: Vec<&String> =
        expect.report_contains.iter().filter(|text| !told.contains(text.as_str())).collect();
    (!missing.is_empty()).then(|| format!("does not contain {missing:?}:\n{told}"))
}

#[test]
fn every_scenario_ends_as_it_says() {
    let library: Vec<_> = library().into_iter().collect();
    assert!(library.len() >= 20, "{} scenarios", library.len());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let share = library.len().div_ceil(AT_ONCE);
        let workers: Vec<_> = library
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .filter_map(|(name, path)| {
                            let folder = tempfile::tempdir().unwrap();
                            let scenario = read(path);
                            judged(&scenario, &rehearse(path, folder.path()))
                                .map(|why| format!("{name}: {why}"))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The releases of container images have a library of their own.
#[test]
fn every_scenario_of_containers_ends_as_it_says() {
    let library = scenarios("tests/it/fixtures/task/scenarios");
    assert!(library.len() >= 8, "{} scenarios", library.len());
    for (name, path) in library {
        let folder = tempfile::tempdir().unwrap();
        let output = rehearse_release("tests/it/fixtures/task/bakeline.yaml", &path, folder.path());
        let wrong = judged(&read(&path), &output);
        assert!(wrong.is_none(), "{name}: {}", wrong.unwrap_or_default());
    }
}

#[test]
fn a_scenario_with_chance_and_people_is_the_same_to_the_byte() {
    for name in ["chaos", "instances-terminated", "zone-outage"] {
        let transcripts = [(); 2].map(|()| {
            let folder = tempfile::tempdir().unwrap();
            rehearse(&library()[name], folder.path());
            fs::read(folder.path().join("transcript.jsonl")).unwrap()
        });
        assert!(transcripts[0].len() > 10_000, "{name}");
        assert_eq!(transcripts[0], transcripts[1], "{name}");
    }
}

#[test]
fn the_schema_admits_the_library_and_not_what_no_scenario_has() {
    let schema = serde_json::to_value(bakeline_rehearsal::scenario::schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let plain = |text: &str| -> serde_json::Value { serde_saphyr::from_str(text).unwrap() };
    for (name, path) in library() {
        let value = plain(&fs::read_to_string(path).unwrap());
        assert!(schema.is_valid(&value), "{name}: {:?}", schema.iter_errors(&value).next());
    }
    for wrong in [
        "sede: 1",
        "build: {duration: 25}",
        "build: {outcome: hangs}",
        "events: [{at: 1m, sleep: {}}]",
        "events: [{at: soon, cancel_build: {}}]",
        "events: [{cancel_build: {}}]",
        "faults: [{fault: {perhaps: {}}}]",
        "faults: [{fault: {deny: {}}, nth: 1, chance: 0.5}]",
        "faults: [{fault: {deny: {}}, during: {from: 1m}}]",
    ] {
        let wrong = format!("version: 1\n{wrong}\n");
        assert!(!schema.is_valid(&plain(&wrong)), "{wrong}");
        assert!(Scenario::parse(&wrong, "s.yaml").is_err(), "{wrong}");
    }
}

/// The paths of every key that a schema allows below a path; `[]` marks lists.
fn key_paths(root: &serde_json::Value, schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    let mut schemas = vec![schema];
    let mut next = 0;
    while let Some(schema) = schemas.get(next).copied() {
        next += 1;
        if let Some(pointer) = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
            schemas.push(root.pointer(pointer).unwrap());
        }
        for choice in ["anyOf", "oneOf"] {
            schemas.extend(schema[choice].as_array().into_iter().flatten());
        }
    }
    let before = found.len();
    for schema in &schemas {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            key_paths(root, inner, format!("{path}.{key}").trim_start_matches('.'), found);
        }
        if schema["items"].is_object() {
            let mut inside = BTreeSet::new();
            key_paths(root, &schema["items"], &format!("{path}[]"), &mut inside);
            // A list of plain values is one key.
            found.extend(inside.into_iter().filter(|key| !key.ends_with("[]")));
        }
    }
    if found.len() == before {
        found.insert(path.to_owned());
    }
}

#[test]
fn the_documentation_has_every_key_of_the_schema_and_no_other() {
    let schema = serde_json::to_value(bakeline_rehearsal::scenario::schema()).unwrap();
    let mut keys = BTreeSet::new();
    key_paths(&schema, &schema, "", &mut keys);
    // The documentation has these keys once, for the baked image.
    keys.retain(|key| !key.starts_with("images.current.instance."));
    let text = fs::read_to_string(repository("docs/scenarios.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> =
        rows.map(|(key, _)| key.to_owned()).filter(|key| key != "images.current.instance.*").collect();
    let difference: Vec<_> = keys.symmetric_difference(&documented).collect();
    assert!(difference.is_empty(), "{difference:?}");
}
