//! Hints for unknown scenario keys: the new name of a renamed key, or the most similar key.

use serde_json::Value;

/// Renamed keys with their new names. Keys marked `true` were top-level keys.
const OLD_KEYS: [(&str, bool, &str); 43] = [
    ("baked_image", true, "images.baked.instance"),
    ("baked_container", true, "images.baked.container"),
    ("current_image", true, "images.current.instance"),
    ("autoscaling", true, "aws.autoscaling"),
    ("codepipeline", true, "aws.codepipeline"),
    ("ec2", true, "aws.ec2"),
    ("ecs", true, "aws.ecs"),
    ("security_hub", true, "aws.securityhub"),
    ("no_spot", true, "aws.ec2.spot_capacity: none"),
    ("recycle_bin_days", true, "aws.ec2.recycle_bin, such as 7d"),
    ("estate", true, "other_resources"),
    ("outages", true, "faults[] with `during`"),
    ("chaos", true, "faults[] with `chance`"),
    ("limits", true, "rate_limits"),
    ("happenings", true, "events"),
    ("at_minutes", false, "at, such as 70m"),
    ("what", false, "the event's own key beside `at`, such as `at: 10m` and `cancel_build: {}`"),
    ("group", false, "target: { auto_scaling_group: { name } }"),
    ("boots", false, "boot: never"),
    ("boot_seconds", false, "boot, such as 40s"),
    ("latency_ms", false, "latency, such as 42ms"),
    ("slow_ms", false, "slow_latency, such as 3s"),
    ("out_of_memory_after_minutes", false, "out_of_memory_after, such as 20m"),
    ("memory_mb", false, "memory_mib"),
    ("pull_seconds", false, "pull, such as 12s"),
    ("start_seconds", false, "start, such as 5s"),
    ("stop_seconds", false, "stop, such as 1s"),
    ("command", false, "contains"),
    ("after_seconds", false, "after, such as 90s"),
    ("seconds", false, "duration, such as 30s"),
    ("minutes", false, "duration, such as 25m"),
    ("builds", false, "build.times"),
    ("lags_minutes", false, "build.scan.delay, such as 20m"),
    ("reoffer_seconds", false, "aws.codepipeline.continuation_delay, such as 1s"),
    ("visibility_seconds", false, "aws.codepipeline.visibility_timeout, such as 1m, or never"),
    ("redeliver_acknowledged_seconds", false, "aws.codepipeline.redelivery_delay, such as 2m, or never"),
    ("credentials_minutes", false, "aws.codepipeline.credentials_lifetime, such as 15m"),
    ("visible_after_seconds", false, "visible_after, such as 10s"),
    ("no_capacity", false, "aws.ecs.capacity: none"),
    ("when", false, "match, and one of `nth`, `during` and `chance`"),
    ("kind", false, "the fault's own key, such as `fault: { throttle: {} }`"),
    ("from_minutes", false, "during.from, such as 60m"),
    ("refill", false, "rate_limits[].refill_per_second"),
];
/// Removed keys of `expect`.
const OLD_EXPECT: [(&str, &str); 3] = [
    ("fails_in", "expect: { result: failure, stage }"),
    ("is_stopped", "expect: { result: cancellation }"),
    ("says", "expect.report_contains"),
];
/// Values that were plain words and are mappings now.
const OLD_WORDS: [(&str, &str); 3] = [
    ("outcome", "outcome: { hangs: {} }"),
    ("fault", "fault: { throttle: {} }"),
    ("events", "- { at: 10m, cancel_build: {} }"),
];
/// The hint for any other mistake.
const GENERAL: &str =
    "docs/scenarios.md has every key, and `bakeline schema scenario` prints the JSON Schema for editors";

/// The hint for an invalid scenario file.
pub(super) fn hint(text: &str) -> String {
    let Ok(file) = serde_saphyr::from_str::<Value>(text) else { return GENERAL.to_owned() };
    if let Some((old, new)) = old_key(&file, true) {
        return format!("`{old}` is now: {new}");
    }
    let schema = super::schema();
    let schema = schema.as_value();
    unknown_key(schema, schema, &file).map_or_else(
        || GENERAL.to_owned(),
        |(key, nearest)| format!("did you mean `{nearest}` instead of `{key}`?"),
    )
}

/// The first renamed key in a file, with its new name.
fn old_key(value: &Value, top: bool) -> Option<(&str, &'static str)> {
    match value {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let renamed = OLD_KEYS
                .iter()
                .find(|(old, only_top, _)| old == key && (top || !only_top))
                .map(|(_, _, new)| *new)
                .or_else(|| OLD_EXPECT.iter().find(|(old, _)| old == key).map(|(_, new)| *new))
                .or_else(|| {
                    OLD_WORDS.iter().find(|(old, _)| old == key && value.is_string()).map(|(_, new)| *new)
                });
            // The keys of `rejects` are vulnerability ids, not scenario keys.
            let inside = || if key == "rejects" { None } else { old_key(value, false) };
            renamed.map(|new| (key.as_str(), new)).or_else(inside)
        }),
        Value::Array(items) => items.iter().find_map(|item| old_key(item, false)),
        _ => None,
    }
}

/// The first key that is not in the schema, with the most similar key at the same level.
fn unknown_key<'v>(root: &Value, schema: &Value, value: &'v Value) -> Option<(&'v str, String)> {
    let schemas = alternatives(root, schema);
    match value {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let known: Vec<(&String, &Value)> = schemas
                .iter()
                .filter_map(|schema| schema.get("properties")?.as_object())
                .flat_map(|properties| properties.iter())
                .collect();
            if known.is_empty() {
                return None;
            }
            let inside: Vec<&Value> =
                known.iter().filter(|(name, _)| *name == key).map(|(_, schema)| *schema).collect();
            if inside.is_empty() {
                let nearest =
                    known.iter().map(|(name, _)| name.as_str()).min_by_key(|name| distance(name, key))?;
                return (distance(nearest, key) <= key.len().div_ceil(2))
                    .then(|| (key.as_str(), nearest.to_owned()));
            }
            inside.into_iter().find_map(|schema| unknown_key(root, schema, value))
        }),
        Value::Array(items) => schemas
            .iter()
            .filter_map(|schema| schema.get("items"))
            .find_map(|schema| items.iter().find_map(|item| unknown_key(root, schema, item))),
        _ => None,
    }
}

/// A schema with the schemas in its `$ref`, `anyOf` and `oneOf`.
fn alternatives<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut all = vec![schema];
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#')) {
        all.extend(root.pointer(pointer).into_iter().flat_map(|schema| alternatives(root, schema)));
    }
    for choice in ["anyOf", "oneOf"] {
        let choices = schema.get(choice).and_then(Value::as_array).into_iter().flatten();
        all.extend(choices.flat_map(|schema| alternatives(root, schema)));
    }
    all
}

/// The Levenshtein distance of two texts.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (done, left) in one.chars().enumerate() {
        let mut diagonal = done;
        let mut before = done + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(other.chars()) {
            let best = (diagonal + usize::from(left != right)).min(*cell + 1).min(before + 1);
            diagonal = *cell;
            *cell = best;
            before = best;
        }
        if let Some(first) = row.first_mut() {
            *first = done + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
