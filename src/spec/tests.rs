mod keys;
mod mistakes;
mod releases;
mod tasks;
mod values;
mod versions;

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use self::mistakes::MISTAKES;
use super::{ReleaseSpec, Span, schema, yaml};

/// A spec with an image pipeline, in which mistakes are made.
const EXAMPLE: &str = include_str!("../../tests/golden/spec/bakeline.yaml");
/// The spec of the example release.
const RELEASE: &str = include_str!("../../examples/web/bakeline.yaml");
const FILE: &str = "bakeline.yaml";

fn parse(text: &str) -> Result<ReleaseSpec, super::SpecErrors> {
    ReleaseSpec::parse(text.as_bytes(), FILE)
}

/// The example with one passage replaced; the passage is in it once.
fn example_with(passage: &str, replacement: &str) -> String {
    assert_eq!(EXAMPLE.matches(passage).count(), 1, "{passage:?} is not in the example once");
    EXAMPLE.replacen(passage, replacement, 1)
}

fn json(text: &str) -> Value {
    let (document, problems) = yaml::read(text.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    document.expect("the text is YAML").value
}

/// Compares with a golden file of `tests/golden/spec`. With `BAKELINE_TEST_GOLDEN=write`, writes it instead.
fn assert_golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spec").join(name);
    if std::env::var("BAKELINE_TEST_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("there is a golden file");
    assert!(golden == text, "{name} has changed: set BAKELINE_TEST_GOLDEN=write, and review the difference");
}

#[test]
fn the_example_parses() {
    let spec = parse(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(spec.service, "web");
    let promote = spec.promote().expect("the example promotes");
    assert_eq!(promote.auto_scaling_group(), Some("web-production"));
    let steps = &promote.rolling.as_ref().expect("it is rolling").steps;
    assert_eq!(steps.iter().map(|step| step.percent).collect::<Vec<_>>(), [10, 25, 50]);
    let queries = promote.analysis.limits[0].cloudwatch.queries();
    assert_eq!(queries[0].dimensions["LoadBalancer"], "app/web/50dc6c495c0c9188");
    assert_eq!(spec.bake().expect("the example bakes").gates.copies[0].account, "123456789012");
    let checks = &spec.test().expect("the example tests").checks;
    assert_eq!(checks[1].delivery_timeout(), Span::from_secs(120));
    assert_eq!(spec.evidence.valid_for, Span::from_secs(7 * 86_400));
}

#[test]
fn the_files_that_the_example_release_names_exist() {
    let release = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web");
    let spec = parse(RELEASE).unwrap_or_else(|errors| panic!("{errors}"));
    for check in &spec.test().expect("the example tests").checks {
        let Some(script) = &check.script else { continue };
        let text = std::fs::read_to_string(release.join(&script.path)).expect("the script is a file");
        assert!(text.starts_with("#!/bin/sh\n"), "{} names its interpreter", script.path);
    }
    let recipe = spec.bake().expect("the example bakes").recipe().expect("by a recipe");
    let documents: Vec<_> =
        recipe.components.iter().filter_map(|component| component.path.as_ref()).collect();
    assert!(!documents.is_empty() && documents.into_iter().all(|path| release.join(path).is_file()));
    assert_eq!(parse(&serde_json::to_string(&spec).expect("a spec is JSON")), Ok(spec), "it survives");
}

#[test]
fn a_spec_survives_serialization() {
    let spec = parse(EXAMPLE).expect("the example is valid");
    let written = serde_json::to_string(&spec).expect("a spec is JSON");
    assert_eq!(parse(&written), Ok(spec), "JSON is YAML");
}

#[test]
fn a_missing_section_is_an_error_that_names_the_stage() {
    let text = "{version: 2, service: web, cleanup: {machine_images: {keep: {last: 1, younger_than: 1d}}}}";
    let spec = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    let missing = spec.promote().expect_err("there is none");
    assert_eq!(missing.to_string(), "the release spec has no section `promote`; the promote stage needs it");
    assert!(spec.cleanup().is_ok());
    assert_eq!(spec.evidence, super::Evidence::default());
}

#[test]
fn the_messages_of_mistakes_are_the_golden_ones() {
    let mut all = String::new();
    for (passage, replacement) in MISTAKES {
        let errors = parse(&example_with(passage, replacement)).expect_err(replacement);
        assert!(errors.problems().iter().all(|problem| problem.expected.is_some()), "{errors}");
        writeln!(all, "# {passage:?} -> {replacement:?}\n{errors}\n").expect("a text can be written to");
    }
    assert_golden("mistakes.txt", &all);
}

#[test]
fn any_validator_accepts_the_example_and_refuses_unknown_keys() {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is a schema");
    assert!(validator.is_valid(&json(EXAMPLE)));
    for (passage, replacement) in [
        ("version: 2\n", "version: 1\n"),
        ("  rolling:\n", "  roling:\n"),
        ("service: web\n", "service: Web\n"),
        ("    warmup: 2m\n", "    warm_up: 2m\n"),
        ("auto_scaling_group: { name: web-production }", ""),
        (
            "auto_scaling_group: { name",
            "stack: { name: web, image_parameter: ImageId }, auto_scaling_group: { name",
        ),
    ] {
        assert!(!validator.is_valid(&json(&example_with(passage, replacement))), "{replacement}");
    }
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let text = "\
version: 3
service: Web_Shop
bake:
  image_pipeline: { arn: \"arn:aws:imagebuilder:eu-west-1:123456789012:image/web\" }
  timeout: 120
test:
  instance:
    instance_type: t3.small
    subnets:
    security_groups: sg-0123456789abcdef0
    instance_profile: web-staging
  start_timeout: 15 m
  timeout: 1h
  timeout: 2h
  checks: [{ name: serves, script: { path: ../serves.sh }, timeout: 5m }]
promote:
  target: { auto_scaling_group: { name: web-production } }
  rolling:
    steps: [{ percent: 10 }, { percent: 25 }, { percent: 25 }]
    hold: 15m
    min_healthy_percent: 100
    max_healthy_percent: 125
    warmup: 2m
  soak: { duration: 30m }
  analysis: { alarms: [web-5xx] }
  timeout: 8h
cleanup:
  machine_images:
    keep: { lats: 3, younger_than: 14d }
";
    let errors = parse(text).expect_err("eleven mistakes");
    let pointers: Vec<_> = errors.problems().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/version",
            "/service",
            "/bake/image_pipeline/arn",
            "/bake/timeout",
            "/test/instance/subnets",
            "/test/instance/security_groups",
            "/test/start_timeout",
            "/test/timeout",
            "/test/checks/0/script/path",
            "/promote/rolling/steps/2/percent",
            "/cleanup/machine_images/keep/lats",
        ]
    );
}

#[test]
fn a_file_that_is_no_document_is_reported_with_a_position() {
    let deep = format!("a: {}", "[".repeat(100));
    let deeper = "[".repeat(200_000);
    let nested = (0..20).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>();
    let many = format!("a: [{}]", "1,".repeat(10_001));
    let long_key = format!("? {}\n: 1", "k".repeat(300));
    let cases: [(&[u8], &str); 15] = [
        (b"", "1:1: the file is empty"),
        (b"# nothing\n", "1:1: the file is empty"),
        (b"- 1", "1:1: the spec is a list"),
        (b"version: 1\n---\nversion: 1\n", "2:1: a second document begins here"),
        (b"a:\n\tb: 1\n", "2:2: not YAML: tabs"),
        (b"a: [1\nb: 2\n", "2:"),
        (b"a: 1\nb: \xff\n", "2:4: the file is not UTF-8 text here"),
        (b"a: &x [1]\nb: *x\n", "1:1: unknown key \"a\""),
        (b"? [1]\n: 2\n", "1:3: a collection is used as a key"),
        (b"a: *nowhere", "1:4: not YAML"),
        (deeper.as_bytes(), "1:256: not YAML: recursion limit exceeded"),
        (deep.as_bytes(), "1:19: values are nested more than 16 deep here"),
        (nested.as_bytes(), "17:17: values are nested more than 16 deep here"),
        (many.as_bytes(), "1:20001: more than 10000 values"),
        (long_key.as_bytes(), "1:3: a key of 300 bytes"),
    ];
    for (text, expected) in cases {
        let output = ReleaseSpec::parse(text, FILE).expect_err(expected).to_string();
        assert!(output.starts_with(&format!("{FILE}:{expected}")), "{output}");
    }
    let huge = vec![b'#'; super::MAX_BYTES + 1];
    let output = ReleaseSpec::parse(&huge, FILE).expect_err("too large").to_string();
    assert_eq!(output, "bakeline.yaml:1:1: the file has 262145 bytes\n  expected at most 256 KiB");
}

#[test]
fn an_alias_bomb_is_refused_without_expansion() {
    let level = |level: usize| format!("a{level}: &a{level} [*a{0}, *a{0}]", level - 1);
    let levels: Vec<_> = std::iter::once("a0: &a0 [x, x]".to_owned()).chain((1..30).map(level)).collect();
    let errors = parse(&levels.join("\n")).expect_err("a bomb");
    assert!(errors.to_string().contains("alias"), "{errors}");
}

#[test]
fn a_long_list_of_problems_is_cut_off() {
    let keys: Vec<_> = (0..80).map(|number| format!("key{number}: 1")).collect();
    let errors = parse(&keys.join("\n")).expect_err("eighty unknown keys");
    // Two more: the keys version and service are missing.
    assert_eq!(errors.problems().len(), 82);
    assert!(errors.to_string().ends_with("\nbakeline.yaml: 32 more"), "{errors}");
}

#[test]
fn the_schema_is_the_golden_one() {
    let printed = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
    assert_golden("schema.json", &format!("{printed}\n"));
    assert_eq!(schema(), schema());
    assert!(jsonschema::meta::is_valid(&schema()), "the schema is one by its own meta-schema");
}

#[test]
fn the_schema_describes_every_key() {
    fn check(at: &str, schema: &Value) {
        for (key, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(member.get("description").is_some(), "{at}.{key} has no description");
        }
    }
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    check("the spec", &schema);
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        check(name, definition);
    }
}

#[test]
fn scalars_are_those_of_the_core_schema() {
    let cases = [
        ("null", Value::Null),
        ("~", Value::Null),
        ("True", true.into()),
        ("yes", "yes".into()),
        ("0o17", 15.into()),
        ("0x1F", 31.into()),
        ("+5", 5.into()),
        ("-0.5", (-0.5).into()),
        ("1e2", 100.into()),
        ("25.0", 25.into()),
        (".5", 0.5.into()),
        ("1_000", "1_000".into()),
        ("12:30", "12:30".into()),
        ("2026-11-22", "2026-11-22".into()),
        ("0x", "0x".into()),
        ("0x+1", "0x+1".into()),
        ("\"1\"", "1".into()),
        ("'true'", "true".into()),
        ("1h", "1h".into()),
    ];
    for (text, expected) in cases {
        assert_eq!(json(&format!("[{text}]")), Value::Array(vec![expected]), "for {text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Err(errors) = ReleaseSpec::parse(&bytes, FILE) {
            prop_assert!(!errors.problems().is_empty());
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn yaml_like_text_never_panics(text in "[-a-c:,\\[\\]{}&*!|>'\"%@#? \\n\\t0-9.~]{0,200}") {
        let _ = ReleaseSpec::parse(text.as_bytes(), FILE).map_err(|errors| errors.to_string());
    }

    #[test]
    fn a_mutated_example_never_panics_and_is_explained(
        at in 0..EXAMPLE.len(),
        cut in 0..40_usize,
        put in "[-a-z:,\\[\\]{}&*!|>'\"% \\n0-9.~é]{0,12}",
    ) {
        let end = (at + cut).min(EXAMPLE.len());
        let mut text = EXAMPLE.as_bytes()[..at].to_vec();
        text.extend_from_slice(put.as_bytes());
        text.extend_from_slice(&EXAMPLE.as_bytes()[end..]);
        if let Err(errors) = ReleaseSpec::parse(&text, FILE) {
            let lines = text.split(|&byte| byte == b'\n').count();
            for problem in errors.problems() {
                prop_assert!((1..=lines + 1).contains(&problem.at.line), "{errors}");
                // Without it, serde has refused the value, and not the schema or a rule.
                prop_assert!(problem.expected.is_some(), "{errors}");
            }
        }
    }

    #[test]
    fn a_span_survives_being_written_and_read(seconds in 1..=Span::MAX.as_secs()) {
        let span = Span::from_secs(seconds);
        prop_assert_eq!(span.as_secs(), seconds);
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
    }

    #[test]
    fn arbitrary_text_is_a_span_only_of_its_form(text in "\\PC{0,8}|[0-9]{0,11}[smhd]?") {
        let form = text.len() <= 10
            && text.ends_with(['s', 'm', 'h', 'd'])
            && text.starts_with(|first: char| ('1'..='9').contains(&first))
            && text[..text.len() - 1].bytes().all(|byte| byte.is_ascii_digit());
        prop_assert!(text.parse::<Span>().is_err() || form, "{}", text);
    }
}

#[test]
fn spans_are_read_and_refused() {
    for (text, seconds) in
        [("90s", 90), ("15m", 900), ("2h", 7200), ("14d", 1_209_600), ("3650d", 315_360_000)]
    {
        assert_eq!(text.parse::<Span>().map(Span::as_secs), Ok(seconds));
    }
    for text in
        ["", "s", "15", "m15", "1.5h", "1h30m", "-5m", "+5m", " 5m", "5 m", "5M", "05m", "0s", "3651d", "é"]
    {
        assert!(text.parse::<Span>().is_err(), "{text:?} is no span");
    }
    assert_eq!(Span::from_secs(3600), "60m".parse().expect("a span"));
    assert_eq!(Span::from_secs(5400).to_string(), "90m");
}

/// The example with a canary phase and a judge.
fn with_canary(edit: (&str, &str)) -> Result<ReleaseSpec, super::SpecErrors> {
    let judge = "    alarms: [web-5xx]\n    judge:\n      timeout: 2h\n      requests: { cloudwatch: \
                 { namespace: Web, metric: Requests, dimensions: { Group: $group } } }\n      metrics:\n        \
                 - name: errors\n          count: {}\n          allowed_ratio: 1.25\n          cloudwatch: \
                 { namespace: Web, metric: Errors, dimensions: { Group: $group } }\n";
    let text = example_with("    alarms: [web-5xx]\n", judge);
    let text = text.replacen("  rolling:\n", "  canary: { size: 2 }\n  rolling:\n", 1);
    assert_eq!(text.matches(edit.0).count(), 1, "{}", edit.0);
    parse(&text.replacen(edit.0, edit.1, 1))
}

#[test]
fn a_judge_has_defaults() {
    let same = "canary: { size: 2 }";
    let spec = with_canary((same, same)).unwrap_or_else(|errors| panic!("{errors}"));
    let judge = spec.promote().expect("it promotes").analysis.judge.clone().expect("it has a judge");
    assert_eq!((judge.window, judge.min_requests), (Span::from_secs(60), 1000));
    assert_eq!(judge.on_inconclusive.approval_action(), None);
    assert!((judge.false_rollback - 0.01).abs() < 1e-12);
}

#[test]
fn mistakes_in_a_canary_phase_and_its_judge_are_reported() {
    for (passage, replacement, expected) in [
        ("  canary: { size: 2 }\n", "", "there is neither canary nor blue_green"),
        ("      timeout: 2h", "      timeout: 10m", "more than min_duration"),
        ("      timeout: 2h", "      timeout: 6h", "judge, holds and soak alone take"),
        ("      timeout: 2h", "      timeout: 2h\n      on_inconclusive: ask", "on_inconclusive is \"ask\""),
        (
            "      timeout: 2h",
            "      timeout: 2h\n      on_inconclusive: { roll_back: {}, wait: {} }",
            "on_inconclusive has roll_back and wait",
        ),
        ("count: {}", "count: {}\n          latency: { thresholds: [0.1] }", "has count and latency"),
        ("count: {}", "gauge: {}", "no dimension has $instance"),
        ("count: {}", "count: { harm: decrease, negligible_rate: 0.1 }", "harm is decrease"),
        ("count: {}", "count: {}\n          effect: veto", "no metric has the effect required"),
        ("count: {}", "count: {}\n          weight: 0", "at least 0.001"),
        (
            "allowed_ratio: 1.25",
            "allowed_ratio: 1.25\n          critical_ratio: 1.2",
            "not above allowed_ratio",
        ),
        (
            "metric: Errors, dimensions: { Group: $group }",
            "metric: Errors, dimensions: { Group: web }",
            "does not tell",
        ),
        (
            "metric: Errors, dimensions: { Group: $group }",
            "metric: Errors, dimensions: { Group: $target_group }",
            "no value here",
        ),
        (
            "metric: Errors, dimensions: { Group: $group }",
            "metric: Errors, dimensions: { Group: $gruop }",
            "did you mean $group?",
        ),
        (
            "metric: Requests, dimensions: { Group: $group }",
            "metric: Requests, dimensions: {}",
            "requests.cloudwatch.dimensions",
        ),
    ] {
        let errors = with_canary((passage, replacement)).expect_err(replacement).to_string();
        assert!(errors.contains(expected), "{replacement}: {errors}");
    }
}

/// The example followed by two waves.
fn with_waves(edit: (&str, &str)) -> Result<ReleaseSpec, super::SpecErrors> {
    let waves = "  waves:\n    - { name: near, targets: [{ auto_scaling_group: { name: web-b } }, \
                 { auto_scaling_group: { name: web-c } }] }\n    - name: far\n      region: eu-central-1\n      \
                 targets: [{ auto_scaling_group: { name: web-d } }]\n      analysis: { alarms: [web-d-5xx], limits: [] }\n  \
                 timeout: 8h\n";
    let text = example_with("  timeout: 8h\n", waves);
    assert_eq!(text.matches(edit.0).count(), 1, "{}", edit.0);
    parse(&text.replacen(edit.0, edit.1, 1))
}

#[test]
fn mistakes_in_waves_are_reported() {
    with_waves(("name: near", "name: near")).unwrap_or_else(|errors| panic!("{errors}"));
    for (passage, replacement, expected) in [
        ("name: web-c", "name: web-b", "the group web-b is given twice"),
        ("name: web-c", "name: web-production", "the group web-production is given twice"),
        ("name: web-c", "name: web-c, alternate: web-e", "has an alternate"),
        ("name: far", "name: near", "the wave \"near\" is given twice"),
        ("alarms: [web-d-5xx], ", "", "has no alarms"),
        (", limits: []", "", "has no limits"),
        ("region: eu-central-1", "region: Frankfurt", "promote.waves[1].region"),
        ("region: eu-central-1", "environment: Production", "promote.waves[1].environment"),
        ("[{ auto_scaling_group: { name: web-d } }]", "[]", "promote.waves[1].targets"),
        ("name: far", "name: far\n      max_concurrent: 0", "promote.waves[1].max_concurrent"),
        ("  timeout: 8h\n", "  timeout: 5h\n", "in 2 waves alone take"),
    ] {
        let errors = with_waves((passage, replacement)).expect_err(replacement).to_string();
        assert!(errors.contains(expected), "{replacement}: {errors}");
    }
}

#[test]
fn the_kind_of_image_fits_test_and_target() {
    let container = "container_recipe: { parent_image: base, dockerfile: Dockerfile, repository: web, \
                     infrastructure_configuration: \"arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web\" }";
    let pipeline =
        "image_pipeline: { arn: \"arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web\" }";
    let output =
        parse(&example_with(pipeline, container)).expect_err("a container image on instances").to_string();
    assert!(output.contains("and test has an instance"), "{output}");
    assert!(output.contains("and the target is an Auto Scaling group"), "{output}");
}
