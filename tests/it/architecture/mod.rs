//! The structure that ARCHITECTURE.md promises, read from the `use` lines.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use self::modules::{circles, code, modules, rust_files, uses};
use crate::support::repository;

/// Which rooms each room may use. What is not listed may use nothing of the crate.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "artifact",
            "aws",
            "doctor",
            "engine",
            "evidence",
            "judge",
            "junit",
            "spec",
            "stage",
            "telemetry",
            "worker",
            "digest",
            "json_schema",
            "partitions",
            "text",
        ],
    ),
    ("doctor", &["aws", "engine", "evidence", "spec", "stage", "worker", "digest"]),
    ("worker", &["aws", "artifact", "engine", "evidence", "stage", "telemetry", "digest"]),
    ("telemetry", &["engine", "evidence"]),
    ("stage", &["artifact", "aws", "engine", "evidence", "judge", "junit", "spec", "digest"]),
    ("engine", &["artifact", "aws", "evidence", "digest", "text"]),
    ("artifact", &["digest"]),
    ("evidence", &["digest", "json_schema", "partitions", "text"]),
    ("spec", &["json_schema", "partitions", "text"]),
    ("judge", &["text"]),
    ("junit", &[]),
    // Which stages may act in an environment: the stages are evidence's.
    ("aws", &["digest", "evidence", "json_schema", "partitions", "text"]),
    ("digest", &[]),
    ("json_schema", &[]),
    ("partitions", &[]),
    ("text", &[]),
];

/// Files whose business is judgement: they see neither AWS nor a runtime.
const PURE: &[&str] = &[
    "src/aws/ecr.rs",
    "src/doctor/checks",
    "src/engine/error.rs",
    "src/engine/failure.rs",
    "src/engine/key.rs",
    "src/engine/token.rs",
    "src/engine/transition.rs",
    "src/evidence/chain",
    "src/evidence/container.rs",
    "src/evidence/digest_set.rs",
    "src/evidence/image.rs",
    "src/evidence/layout.rs",
    "src/evidence/link.rs",
    "src/evidence/predicate",
    "src/evidence/statement.rs",
    "src/evidence/trust.rs",
    "src/judge",
    "src/spec",
    "src/stage/aws_view/image_references/graph.rs",
    "src/stage/bake/build/log_link.rs",
    "src/stage/bake/build/reuse.rs",
    "src/stage/bake/build/status.rs",
    "src/stage/bake/gates/image.rs",
    "src/stage/bake/gates/sarif.rs",
    "src/stage/bake/gates/scan.rs",
    "src/stage/bake/gates/vulnerabilities.rs",
    "src/stage/bake/images/availability.rs",
    "src/stage/bake/recipe/dockerfile.rs",
    "src/stage/bake/recipe/document.rs",
    "src/stage/bake/recipe/plan.rs",
    "src/stage/bake/recipe/version.rs",
    "src/stage/bake/variables.rs",
    "src/stage/cleanup/container_images/marks.rs",
    "src/stage/cleanup/container_images/plan.rs",
    "src/stage/cleanup/container_images/quarantine.rs",
    "src/stage/cleanup/container_images/references/graph.rs",
    "src/stage/cleanup/container_images/retention.rs",
    "src/stage/cleanup/machine_images/image.rs",
    "src/stage/cleanup/machine_images/plan.rs",
    "src/stage/cleanup/machine_images/quarantine.rs",
    "src/stage/cleanup/machine_images/retention.rs",
    "src/stage/cleanup/plan_page.rs",
    "src/stage/content/chain.rs",
    "src/stage/content/cost.rs",
    "src/stage/promote/analysis/decide.rs",
    "src/stage/promote/analysis/rules.rs",
    "src/stage/promote/check.rs",
    "src/stage/promote/history.rs",
    "src/stage/promote/report.rs",
    "src/stage/promote/subject.rs",
    "src/stage/promote/target/contract.rs",
    "src/stage/promote/target/auto_scaling_group/checkpoint.rs",
    "src/stage/promote/target/auto_scaling_group/timing.rs",
    "src/stage/promote/target/auto_scaling_group/wave_progress.rs",
];

fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("tests" | "tests.rs" | "testing.rs" | "testing" | "golden.rs" | "tokens.rs")
        )
    })
}

/// The rooms a file names as `crate::ROOM`.
fn rooms(text: &str) -> BTreeSet<String> {
    text.match_indices("crate::")
        .filter_map(|(at, _)| {
            let name: String =
                text[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            MAY_USE.iter().any(|(room, _)| *room == name).then_some(name)
        })
        .collect()
}

#[test]
fn dependencies_point_down_only() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in rust_files(&repository("src")) {
        let inside = path.strip_prefix(repository("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "main" || room == "lib" || is_test(&path) {
            continue;
        }
        let may = allowed.get(room).unwrap_or_else(|| panic!("{room} is a new room: say what it may use"));
        for used in rooms(&code(&path)) {
            if used != room && !may.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rooms_form_no_circle() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    fn depth(room: &str, allowed: &BTreeMap<&str, &[&str]>, path: &mut Vec<String>) -> usize {
        assert!(!path.iter().any(|seen| seen == room), "{} -> {room} is a circle", path.join(" -> "));
        path.push(room.to_owned());
        let deepest = allowed[room].iter().map(|used| depth(used, allowed, path) + 1).max().unwrap_or(0);
        path.pop();
        deepest
    }
    for (room, _) in MAY_USE {
        depth(room, &allowed, &mut Vec::new());
    }
}

#[test]
fn no_folder_of_the_product_has_a_circle_inside() {
    let found = circles(&uses(&modules(&repository("src"))));
    assert!(found.is_empty(), "{} circles: {found:#?}", found.len());
}

#[test]
fn the_pure_files_see_neither_aws_nor_a_runtime() {
    let mut wrong = Vec::new();
    for under in PURE {
        for path in rust_files(&repository(under)).into_iter().filter(|path| !is_test(path)) {
            let code = code(&path);
            for named in [
                "aws_sdk_",
                "aws_smithy",
                "aws_config",
                "tokio::",
                "std::time::SystemTime",
                "std::time::Instant",
                "async fn",
            ] {
                if code.contains(named) {
                    wrong.push(format!("{} names {named}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_pure_file_that_is_named_is_there() {
    for under in PURE {
        assert!(!rust_files(&repository(under)).is_empty() || *under == "src/judge", "{under} is gone");
    }
}

#[test]
fn only_the_command_line_names_the_embedded_aws() {
    for path in rust_files(&repository("src")) {
        let inside = path.strip_prefix(repository("src")).unwrap();
        let named = code(&path).contains("bakeline_rehearsal");
        assert!(!named || inside.starts_with("cli"), "{}", inside.display());
    }
}

#[test]
fn the_embedded_aws_uses_nothing_of_the_product_and_links_no_service_sdk() {
    let manifest = fs::read_to_string(repository("crates/rehearsal/Cargo.toml")).unwrap();
    let linked = manifest.split("[dev-dependencies]").next().unwrap();
    assert!(!linked.contains("aws-sdk-") && !linked.contains("path ="), "{linked}");
}
