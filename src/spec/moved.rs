//! Keys of version 1 of the release spec, each with its new place, and keys that are reserved for later versions.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::problem::SpecProblem;
use super::words::dotted;
use super::yaml::{Document, member};

/// Which values of a key a row is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Any value: the key is gone.
    Always,
    /// The key remains, and takes a mapping now.
    Text,
    /// The key remains, and takes a text now.
    Mapping,
    /// The key remains, and this value is gone.
    Is(&'static str),
    /// The key remains, and takes no zero any more.
    Zero,
}

use When::{Always, Is, Mapping, Text, Zero};

/// Keys of version 1: the path (`[]` an item, `*` any key, `|` between alternatives), which values, and the new place.
#[rustfmt::skip] // a table: one key a row
const MOVED: &[(&str, When, &str)] = &[
    ("targets", Always, "environment in each stage's section"),
    ("targets.bake", Always, "bake.environment"),
    ("targets.test", Always, "test.environment"),
    ("targets.promote", Always, "promote.environment"),
    ("targets.cleanup", Always, "cleanup.environment"),
    ("bake.recipe", Always, "bake.image_recipe"),
    ("bake.container", Always, "bake.container_recipe"),
    ("bake.image_pipeline", Text, "bake.image_pipeline: { arn: … }"),
    ("bake.recipe|image_recipe|container|container_recipe.components[].document", Always, "path in the same component"),
    ("bake.recipe|image_recipe.volume", Always, "bake.image_recipe.root_volume"),
    ("bake.recipe|image_recipe.infrastructure", Always, "bake.image_recipe.infrastructure_configuration"),
    ("bake.recipe|image_recipe.distribution", Always, "bake.image_recipe.distribution_configuration"),
    ("bake.recipe|image_recipe.sources", Always, "bake.image_recipe.source_paths"),
    ("bake.container|container_recipe.infrastructure", Always, "bake.container_recipe.infrastructure_configuration"),
    ("bake.container|container_recipe.distribution", Always, "bake.container_recipe.distribution_configuration"),
    ("bake.container|container_recipe.sources", Always, "bake.container_recipe.source_paths"),
    ("bake.recipe|image_recipe|container|container_recipe.reuse", Is("same_parent"), "reuse: unchanged"),
    ("bake.recipe|image_recipe|container|container_recipe.reuse", Is("always"), "reuse: unchanged_except_parent"),
    ("bake.expect", Always, "bake.gates.copies"),
    ("bake.parameter", Always, "bake.publish.parameter"),
    ("bake.content", Always, "bake.content_digest: one_copy (for home) or every_copy (for all)"),
    ("bake.stalled_after", Always, "bake.progress_timeout"),
    ("bake.gates.scan.critical", Always, "bake.gates.scan.max_findings.critical"),
    ("bake.gates.scan.high", Always, "bake.gates.scan.max_findings.high"),
    ("bake.gates.scan.medium", Always, "bake.gates.scan.max_findings.medium"),
    ("bake.gates.scan.low", Always, "bake.gates.scan.max_findings.low"),
    ("bake.gates.scan.only_fixable", Always, "bake.gates.scan.count: fixable"),
    ("bake.gates.scan.security_hub", Always, "bake.gates.scan.report_to: [security_hub]"),
    ("bake.gates.scan.wait", Always, "bake.gates.scan.timeout"),
    ("bake.gates.scan.exceptions", Always, "bake.gates.scan.accepted"),
    ("bake.gates.image.encrypted", Always, "bake.gates.image.volume_encryption: required"),
    ("bake.gates.image.imds_v2", Always, "bake.gates.image.imds: v2"),
    ("bake.gates.image.boot_mode", Is("legacy-bios"), "boot_mode: legacy_bios"),
    ("bake.gates.image.boot_mode", Is("uefi-preferred"), "boot_mode: uefi_preferred"),
    ("test.subnet", Always, "test.instance.subnets, a list"),
    ("test.security_groups", Always, "test.instance.security_groups"),
    ("test.instance_profile", Always, "test.instance.instance_profile"),
    ("test.instance_type", Always, "test.instance.instance_type"),
    ("test.spot", Always, "test.instance.capacity: prefer_spot"),
    ("test.boot_timeout", Always, "test.start_timeout"),
    ("test.output", Mapping, "test.output: s3://BUCKET/PREFIX"),
    ("test.soak.for", Always, "test.soak.duration"),
    ("test.soak.metrics", Always, "test.soak.limits"),
    ("test.task.cpu", Always, "test.task.cpu_units"),
    ("test.task.memory", Always, "test.task.memory_mib"),
    ("test.task.environment", Always, "test.task.env"),
    ("test.task.exits", Always, "test.task.expect_exit_code"),
    ("test.task.public_ip", Always, "test.task.assign_public_ip"),
    ("test.task.secrets.*", Mapping, "ssm:NAME or secretsmanager:ARN, a text"),
    ("test.checks[].script", Text, "script: { path: … }"),
    ("test.checks[].secrets", Always, "script.secrets of the same check, each ssm:NAME or secretsmanager:ARN"),
    ("test.checks[].delivery_timeout", Always, "script.delivery_timeout or document.delivery_timeout of the same check"),
    ("test.checks[].http|tcp.within", Always, "timeout of the same check"),
    ("test.checks[].service", Always, "systemd_unit of the same check"),
    ("test.checks[].service|systemd_unit.running", Always, "systemd_unit.active of the same check"),
    ("test.checks[].cloud_init", Text, "cloud_init: {}"),
    ("test.checks[].reboot", Text, "reboot: {}"),
    ("promote.group", Always, "promote.target.auto_scaling_group.name"),
    ("promote.turns_with", Always, "promote.target.auto_scaling_group.alternate"),
    ("promote.strategy", Always, "promote.rolling or promote.blue_green; for canary, promote.canary beside promote.rolling"),
    ("promote.checkpoints", Always, "steps: [{ percent: … }] in promote.rolling or promote.blue_green, without 100"),
    ("promote.hold", Always, "promote.rolling.hold or promote.blue_green.hold"),
    ("promote.min_healthy_percent", Always, "promote.rolling.min_healthy_percent"),
    ("promote.max_healthy_percent", Always, "promote.rolling.max_healthy_percent"),
    ("promote.instance_warmup", Always, "promote.rolling.warmup"),
    ("promote.bake_time", Always, "promote.soak.duration"),
    ("promote.alarms", Always, "promote.analysis.alarms"),
    ("promote.metrics", Always, "promote.analysis.limits"),
    ("promote.at_once", Always, "max_concurrent in each wave"),
    ("promote.waves[].groups", Always, "targets: [{ auto_scaling_group: { name: … } }] of the same wave"),
    ("promote.waves[].alarms", Always, "analysis.alarms of the same wave"),
    ("promote.waves[].metrics", Always, "analysis.limits of the same wave"),
    ("promote.metrics[].queries", Always, "cloudwatch.queries of the same limit"),
    ("promote.metrics[].expression", Always, "cloudwatch.expression of the same limit"),
    ("promote.metrics[].period", Always, "cloudwatch.period of the same limit"),
    ("promote.metrics[].at_most", Always, "max of the same limit"),
    ("promote.metrics[].at_least", Always, "min of the same limit"),
    ("promote.waves[].metrics[].queries", Always, "cloudwatch.queries of the same limit"),
    ("promote.waves[].metrics[].expression", Always, "cloudwatch.expression of the same limit"),
    ("promote.waves[].metrics[].period", Always, "cloudwatch.period of the same limit"),
    ("promote.waves[].metrics[].at_most", Always, "max of the same limit"),
    ("promote.waves[].metrics[].at_least", Always, "min of the same limit"),
    ("test.soak.metrics|limits[].queries", Always, "cloudwatch.queries of the same limit"),
    ("test.soak.metrics|limits[].expression", Always, "cloudwatch.expression of the same limit"),
    ("test.soak.metrics|limits[].period", Always, "cloudwatch.period of the same limit"),
    ("test.soak.metrics|limits[].at_most", Always, "max of the same limit"),
    ("test.soak.metrics|limits[].at_least", Always, "min of the same limit"),
    ("promote.judge", Always, "promote.analysis.judge"),
    ("promote.judge.instances", Always, "promote.canary.size or promote.blue_green.min_size"),
    ("promote.judge.longest", Always, "promote.analysis.judge.timeout"),
    ("promote.judge.inconclusive", Always, "promote.analysis.judge.on_inconclusive: { roll_back: {} }, { wait: {} } or { ask: { approval_action: … } }"),
    ("promote.judge.approval", Always, "promote.analysis.judge.on_inconclusive.ask.approval_action"),
    ("promote.judge.settle", Always, "promote.analysis.judge.evaluation_delay"),
    ("promote.judge.min_time", Always, "promote.analysis.judge.min_duration"),
    ("promote.judge.requests.namespace", Always, "requests.cloudwatch.namespace"),
    ("promote.judge.requests.metric", Always, "requests.cloudwatch.metric"),
    ("promote.judge.requests.dimensions", Always, "requests.cloudwatch.dimensions"),
    ("promote.judge.metrics[].kind", Always, "count: {}, latency: { thresholds: […] } or gauge: {} of the same metric"),
    ("promote.judge.metrics[].source", Always, "cloudwatch of the same metric"),
    ("promote.judge.metrics[].thresholds", Always, "latency.thresholds of the same metric"),
    ("promote.judge.metrics[].absent", Always, "count.missing_data or latency.missing_data of the same metric"),
    ("promote.judge.metrics[].objective", Always, "count.objective of the same metric"),
    ("promote.judge.metrics[].negligible_rate", Always, "count.negligible_rate of the same metric"),
    ("promote.judge.metrics[].harm", Always, "count.harm or gauge.harm of the same metric"),
    ("promote.judge.metrics[].role", Always, "effect: required (for critical) or veto (for informational)"),
    ("promote.judge.metrics[].weight", Zero, "effect: none"),
    ("promote.judge.metrics[].margin", Always, "allowed_ratio of the same metric"),
    ("promote.judge.metrics[].harm_margin", Always, "critical_ratio of the same metric"),
    ("promote.judge.metrics[].tempering", Always, "count.events_per_cause or latency.events_per_cause of the same metric"),
    ("cleanup.keep_last", Always, "cleanup.machine_images.keep.last"),
    ("cleanup.keep_younger_than", Always, "cleanup.machine_images.keep.younger_than"),
    ("cleanup.keep_promoted_within", Always, "cleanup.machine_images.keep.promoted_within"),
    ("cleanup.keep_launched_within", Always, "cleanup.machine_images.keep.launched_within"),
    ("cleanup.shared", Always, "cleanup.machine_images.shared_images: keep, or keep_while_used (for by_usage)"),
    ("cleanup.quarantine", Always, "cleanup.machine_images.quarantine"),
    ("cleanup.at_most", Always, "cleanup.machine_images.max_per_run"),
    ("cleanup.exceptions", Always, "cleanup.machine_images.overrides"),
    ("cleanup.exceptions[].region", Always, "match.region of the same override"),
    ("cleanup.exceptions[].account", Always, "match.account of the same override"),
    ("cleanup.exceptions[].channel", Always, "match.channel of the same override"),
    ("cleanup.exceptions[].keep_last", Always, "keep.last of the same override"),
    ("cleanup.exceptions[].keep_younger_than", Always, "keep.younger_than of the same override"),
    ("cleanup.exceptions[].keep_promoted_within", Always, "keep.promoted_within of the same override"),
    ("cleanup.containers", Always, "cleanup.container_images"),
    ("cleanup.containers|container_images.keep_last", Always, "cleanup.container_images.keep.last"),
    ("cleanup.containers|container_images.keep_younger_than", Always, "cleanup.container_images.keep.younger_than"),
    ("cleanup.containers|container_images.keep_pulled_within", Always, "cleanup.container_images.keep.pulled_within"),
    ("cleanup.containers|container_images.keep_tags", Always, "cleanup.container_images.keep.tags"),
    ("cleanup.containers|container_images.at_most", Always, "cleanup.container_images.max_per_run"),
];

/// Keys that are reserved for later versions, and what they will be for.
const RESERVED: [(&str, &str); 5] = [
    ("audit", "a stage that audits what runs"),
    ("drill", "a stage that rehearses a rollback"),
    ("bake.external", "images that another system makes"),
    ("test.function", "tests of a Lambda function"),
    ("test.stack", "tests in a CloudFormation stack"),
];

type Row = (&'static str, When, &'static str);

/// The rows of [`MOVED`] by the last key of their path. A worker reads a spec in every slice, and hardly any of its keys
/// is in the table.
static BY_LAST_KEY: LazyLock<HashMap<&'static str, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut rows: HashMap<_, Vec<_>> = HashMap::new();
    for row in MOVED {
        let last = row.0.rsplit('.').next().unwrap_or(row.0);
        for key in last.trim_end_matches("[]").split('|') {
            rows.entry(key).or_default().push(row);
        }
    }
    rows
});

/// Every key of version 1 in the document, and every reserved one.
pub(super) fn problems(document: &Document) -> Vec<SpecProblem> {
    let mut found = Vec::new();
    walk(document, &document.value, "", &mut found);
    found
}

fn walk(document: &Document, value: &Value, pointer: &str, found: &mut Vec<SpecProblem>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let pointer = member(pointer, key);
                found.extend(problem(document, value, key, &pointer));
                walk(document, value, &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(document, item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn problem(document: &Document, value: &Value, key: &str, pointer: &str) -> Option<SpecProblem> {
    let of = |what: String, expected: String, hint: Option<String>| SpecProblem {
        at: document.key_position(pointer),
        pointer: pointer.to_owned(),
        what,
        expected: Some(expected),
        hint,
    };
    if let Some((path, purpose)) = RESERVED.iter().find(|(path, _)| matches(path, pointer)) {
        let hint = format!("remove it: the key is reserved for {purpose}");
        return Some(of(
            format!("{path} is not supported yet"),
            "a key of this version".to_owned(),
            Some(hint),
        ));
    }
    let rows = |key: &str| BY_LAST_KEY.get(key).into_iter().flatten();
    let (_, when, new) = rows(key)
        .chain(rows("*"))
        .find(|(path, when, _)| is_about(*when, value) && matches(path, pointer))?;
    let name = dotted(pointer);
    let what = match when {
        Always => format!("{name} is a key of version 1"),
        Text | Mapping => format!("{name} is written as in version 1"),
        Is(word) => format!("{name} has the value {word} of version 1"),
        Zero => format!("{name} has the value 0 of version 1"),
    };
    Some(of(what, (*new).to_owned(), None))
}

fn is_about(when: When, value: &Value) -> bool {
    match when {
        Always => true,
        Text => value.is_string(),
        Mapping => value.is_object(),
        Is(word) => value == word,
        Zero => value.as_f64() == Some(0.0),
    }
}

/// Whether a path of the table is that of a pointer.
fn matches(path: &str, pointer: &str) -> bool {
    let mut steps = pointer.split('/').skip(1);
    for part in path.split('.') {
        let (keys, item) = part.strip_suffix("[]").map_or((part, false), |keys| (keys, true));
        let Some(step) = steps.next() else { return false };
        if keys != "*" && !keys.split('|').any(|key| key == step) {
            return false;
        }
        if item && !steps.next().is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit())) {
            return false;
        }
    }
    steps.next().is_none()
}

/// Every row of the table for tests, each alternative written out: the path, a value, and the new place.
#[cfg(test)]
pub(super) fn samples() -> Vec<(String, Value, &'static str)> {
    let mut all = Vec::new();
    for (path, when, new) in MOVED {
        let mut written = vec![String::new()];
        for part in path.split('.') {
            let (keys, item) = part.strip_suffix("[]").map_or((part, ""), |keys| (keys, "[]"));
            written = written
                .iter()
                .flat_map(|before| keys.split('|').map(move |key| format!("{before}.{key}{item}")))
                .collect();
        }
        let value = match when {
            Always | Text => Value::from("x"),
            Mapping => Value::Object(serde_json::Map::new()),
            Is(word) => Value::from(*word),
            Zero => Value::from(0),
        };
        all.extend(
            written.into_iter().map(|path| (path.trim_start_matches('.').to_owned(), value.clone(), *new)),
        );
    }
    all
}
