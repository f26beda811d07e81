mod mistakes;
mod tasks;

use proptest::prelude::*;
use serde_json::Value;

use self::mistakes::{By, MISTAKES, Mistake};
use super::{Position, ReleaseSpec, Span, schema, yaml};

/// A spec with an image pipeline, in which mistakes are made.
const EXAMPLE: &str = include_str!("../../tests/golden/spec/bakeline.yaml");
/// The spec of the example release.
const RELEASE: &str = include_str!("../../examples/web/bakeline.yaml");
const FILE: &str = "bakeline.yaml";

fn parse(text: &str) -> Result<ReleaseSpec, super::SpecErrors> {
    ReleaseSpec::parse(text.as_bytes(), FILE)
}

/// The example with one passage replaced; the passage stands there once.
fn example_with(passage: &str, replacement: &str) -> String {
    assert_eq!(EXAMPLE.matches(passage).count(), 1, "{passage:?} does not stand in the example once");
    EXAMPLE.replacen(passage, replacement, 1)
}

fn json(text: &str) -> Value {
    let (document, problems) = yaml::read(text.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    document.expect("the text is YAML").value
}

#[test]
fn the_example_is_read() {
    let spec = parse(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(spec.service, "web");
    let promote = spec.promote().expect("the example promotes");
    let steps = &promote.rolling.as_ref().expect("it is rolling").steps;
    assert_eq!(steps.iter().map(|step| step.percent).collect::<Vec<_>>(), [10, 25, 50]);
    assert_eq!(promote.analysis.limits[0].cloudwatch.queries()[0].dimensions["LoadBalancer"], "app/web/50dc6c495c0c9188");
    assert_eq!(spec.bake().expect("the example bakes").gates.copies[0].account, "123456789012");
    assert_eq!(spec.test().expect("the example tests").checks[0].delivery_timeout(), Span::from_secs(120));
    assert_eq!(spec.evidence.valid_for, Span::from_secs(7 * 86_400));
}

#[test]
fn the_scripts_of_the_example_are_there() {
    let release = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web");
    let spec = parse(RELEASE).unwrap_or_else(|errors| panic!("{errors}"));
    for check in &spec.test().expect("the example tests").checks {
        let Some(path) = check.script.as_ref().map(|script| &script.path) else { continue };
        let script = std::fs::read_to_string(release.join(path)).expect("the script is a file");
        assert!(script.starts_with("#!/bin/sh\n"), "{path} names its interpreter");
    }
    let recipe = spec.bake().expect("the example bakes").recipe().expect("by a recipe");
    let documents: Vec<_> =
        recipe.components.iter().filter_map(|component| component.path.as_ref()).collect();
    assert!(!documents.is_empty() && documents.into_iter().all(|path| release.join(path).is_file()));
    assert_eq!(parse(&serde_json::to_string(&spec).expect("a spec is JSON")), Ok(spec), "it survives");
}

#[test]
fn a_spec_survives_being_written_and_read() {
    let spec = parse(EXAMPLE).expect("the example is right");
    let written = serde_json::to_string(&spec).expect("a spec is JSON");
    assert_eq!(parse(&written), Ok(spec), "JSON is YAML");
}

#[test]
fn a_stage_without_its_section_is_told_so() {
    let spec =
        parse("{version: 2, service: web, cleanup: {machine_images: {keep: {last: 1, younger_than: 1d}}}}").expect("right");
    let missing = spec.promote().expect_err("there is none");
    assert_eq!(
        missing.to_string(),
        "the release spec has no section `promote`; the promote stage does not run without it"
    );
    assert!(spec.cleanup().is_ok());
    assert_eq!(spec.evidence, super::Evidence::default());
}

#[test]
fn every_mistake_is_told_with_its_place() {
    for Mistake { passage, replacement, at, message, .. } in MISTAKES {
        let errors = parse(&example_with(passage, replacement)).expect_err(replacement);
        let told = errors.to_string();
        let expected = format!("{FILE}:{}:{}: {message}", at.0, at.1);
        assert_eq!(told, expected, "for {replacement:?}");
        assert_eq!(errors.problems()[0].at, Position { line: at.0, column: at.1 });
    }
}

#[test]
fn the_schema_alone_refuses_what_a_schema_can_express() {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is a schema");
    assert!(validator.is_valid(&json(EXAMPLE)));
    for Mistake { passage, replacement, by, .. } in MISTAKES.iter().filter(|mistake| mistake.by != By::Rule) {
        let refused = !validator.is_valid(&json(&example_with(passage, replacement)));
        assert_eq!(refused, *by == By::Schema, "for {replacement:?}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let text = "\
version: 2
service: Web_Shop
bake:
  image_pipeline: arn:aws:imagebuilder:eu-west-1:123456789012:image/web
  timeout: 120
test:
  subnet:
  security_groups: sg-0123456789abcdef0
  instance_profile: web-staging
  instance_type: t3.small
  boot_timeout: 15 m
  timeout: 1h
  timeout: 2h
  checks: [{ name: serves, script: ../serves.sh, timeout: 5m }]
promote:
  group: web-production
  checkpoints: [10, 25, 25, 100]
  hold: 15m
  min_healthy_percent: 100
  max_healthy_percent: 125
  instance_warmup: 2m
  bake_time: 30m
  alarms: [web-5xx]
  timeout: 8h
cleanup:
  keep_lats: 3
  keep_younger_than: 14d
";
    let errors = parse(text).expect_err("eleven mistakes");
    let pointers: Vec<_> = errors.problems().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/version",
            "/service",
            "/bake/image_pipeline",
            "/bake/timeout",
            "/test/subnet",
            "/test/security_groups",
            "/test/boot_timeout",
            "/test/timeout",
            "/test/checks/0/script",
            "/promote/checkpoints/2",
            "/cleanup/keep_lats",
        ]
    );
}

#[test]
fn what_is_no_document_is_told_with_its_place() {
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
        (b"? [1]\n: 2\n", "1:3: a collection stands as a key"),
        (b"a: *nowhere", "1:4: not YAML"),
        (deeper.as_bytes(), "1:256: not YAML: recursion limit exceeded"),
        (deep.as_bytes(), "1:19: values are nested more than 16 deep here"),
        (nested.as_bytes(), "17:17: values are nested more than 16 deep here"),
        (many.as_bytes(), "1:20001: more than 10000 values"),
        (long_key.as_bytes(), "1:3: a key of 300 bytes"),
    ];
    for (text, expected) in cases {
        let told = ReleaseSpec::parse(text, FILE).expect_err(expected).to_string();
        assert!(told.starts_with(&format!("{FILE}:{expected}")), "{told}");
    }
    let huge = vec![b'#'; super::MAX_BYTES + 1];
    let told = ReleaseSpec::parse(&huge, FILE).expect_err("too large").to_string();
    assert_eq!(told, "bakeline.yaml:1:1: the file has 262145 bytes\n  expected at most 256 KiB");
}

#[test]
fn an_alias_bomb_is_refused_and_not_expanded() {
    let level = |level: usize| format!("a{level}: &a{level} [*a{0}, *a{0}]", level - 1);
    let levels: Vec<_> = std::iter::once("a0: &a0 [x, x]".to_owned()).chain((1..30).map(level)).collect();
    let errors = parse(&levels.join("\n")).expect_err("a bomb");
    assert!(errors.to_string().contains("aliases are not read"), "{errors}");
}

#[test]
fn a_long_list_of_problems_is_cut_when_printed() {
    let keys: Vec<_> = (0..80).map(|number| format!("key{number}: 1")).collect();
    let errors = parse(&keys.join("\n")).expect_err("eighty unknown keys");
    // Two more: the keys version and service are missing.
    assert_eq!(errors.problems().len(), 82);
    assert!(errors.to_string().ends_with("\nbakeline.yaml: 32 more"), "{errors}");
}

#[test]
fn the_schema_is_the_golden_one() {
    let golden = include_str!("../../tests/golden/spec/schema.json");
    let printed = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
    assert!(
        golden.trim_end() == printed,
        "the schema has changed: `bakeline schema` prints the new golden file"
    );
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
    fn a_mutated_example_never_panics_and_is_told_in_our_words(
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
                // Without it, serde and not a rule of ours has refused the value.
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

/// The example with a trial.
fn with_trial(edit: (&str, &str)) -> Result<ReleaseSpec, super::SpecErrors> {
    let judge = "  timeout: 8h\n  strategy: canary\n  judge:\n    instances: 2\n    longest: 2h\n    \
                 requests: {namespace: Web, metric: Requests, dimensions: {Group: $group}}\n    metrics:\n      \
                 - name: errors\n        kind: counts\n        margin: 1.25\n        \
                 source: {namespace: Web, metric: Errors, dimensions: {Group: $group}}\n";
    let text = example_with("  timeout: 8h\n", judge);
    assert_eq!(text.matches(edit.0).count(), 1, "{}", edit.0);
    parse(&text.replacen(edit.0, edit.1, 1))
}

#[test]
fn a_trial_is_read_with_its_defaults() {
    let spec =
        with_trial(("strategy: canary", "strategy: canary")).unwrap_or_else(|errors| panic!("{errors}"));
    let judge = spec.promote().expect("it promotes").analysis.judge.clone().expect("it has a judge");
    assert_eq!((judge.window, judge.min_requests), (Span::from_secs(60), 1000));
    assert!((judge.false_rollback - 0.01).abs() < 1e-12);
}

#[test]
fn what_is_wrong_with_a_trial_is_told() {
    for (passage, replacement, told) in [
        ("strategy: canary", "strategy: rolling", "which has no trial to judge"),
        ("strategy: canary", "strategy: blue_green", "there is no promote.turns_with"),
        (
            "strategy: canary",
            "strategy: blue_green\n  turns_with: web-production",
            "a group cannot take turns with itself",
        ),
        (
            "strategy: canary",
            "strategy: canary\n  turns_with: web-green",
            "no meaning without strategy: blue_green",
        ),
        (
            "metric: Errors, dimensions: {Group: $group}",
            "metric: Errors, dimensions: {Group: $target_group}",
            "both stand behind the same",
        ),
        ("strategy: canary", "strategy: canari", "expected one of canary, blue_green, rolling"),
        ("longest: 2h", "longest: 10m", "longer than min_time"),
        ("longest: 2h", "longest: 6h", "trial, holds and baking alone take"),
        ("longest: 2h", "longest: 2h\n    inconclusive: ask", "belong together"),
        ("kind: counts", "kind: latency", "thresholds"),
        ("kind: counts", "kind: gauge", "does not tell instances apart"),
        ("kind: counts", "kind: counts\n        role: informational", "every metric is informational"),
        ("kind: counts", "kind: counts\n        weight: 0", "every metric has weight 0"),
        ("margin: 1.25", "margin: 1.25\n        harm_margin: 1.2", "not above margin"),
        (
            "metric: Errors, dimensions: {Group: $group}",
            "metric: Errors, dimensions: {Group: web}",
            "does not tell the sides apart",
        ),
        (
            "metric: Requests, dimensions: {Group: $group}",
            "metric: Requests, dimensions: {}",
            "promote.judge.requests.dimensions",
        ),
    ] {
        let errors = with_trial((passage, replacement)).expect_err(replacement).to_string();
        assert!(errors.contains(told), "{replacement}: {errors}");
    }
}

/// The example followed by a wave, with one passage replaced.
fn with_waves(edit: (&str, &str)) -> Result<ReleaseSpec, super::SpecErrors> {
    let waves = "  timeout: 8h\n  waves:\n    - groups: [web-b, web-c]\n    - region: eu-central-1\n      \
                 groups: [web-d]\n      alarms: [web-d-5xx]\n      metrics: []\n";
    let text = example_with("  timeout: 8h\n", waves);
    assert_eq!(text.matches(edit.0).count(), 1, "{}", edit.0);
    parse(&text.replacen(edit.0, edit.1, 1))
}

#[test]
fn what_is_wrong_with_waves_is_told() {
    for (passage, replacement, told) in [
        ("[web-b, web-c]", "[web-b, web-b]", "the group web-b stands here again"),
        ("[web-b, web-c]", "[web-b, web-production]", "the group web-production stands here again"),
        ("      alarms: [web-d-5xx]\n", "", "names no alarms"),
        ("      metrics: []\n", "", "names no metrics"),
        ("region: eu-central-1", "region: Frankfurt", "promote.waves[1].region"),
        ("[web-b, web-c]", "[]", "promote.waves[0].groups"),
        ("  timeout: 8h\n", "  timeout: 8h\n  at_once: 0\n", "promote.at_once"),
        ("  timeout: 8h\n", "  timeout: 5h\n", "in 2 waves alone take"),
    ] {
        let errors = with_waves((passage, replacement)).expect_err(replacement).to_string();
        assert!(errors.contains(told), "{replacement}: {errors}");
    }
}
