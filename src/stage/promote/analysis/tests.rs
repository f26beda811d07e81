//! The decision after a comparison, and windows from what `CloudWatch` may return.

use std::collections::BTreeMap;

use super::cloudwatch::{SideNames, requests};
use super::decide::{Approval, Decision, decide};
use super::guards::Finding;
use super::rules::rules;
use super::windows::{Period, Series, SeriesId, Side, windows};
use crate::engine::Timestamp;
use crate::judge::window::{Counted, Reading};
use crate::judge::{Look, Verdict};
use crate::spec::promote::cloudwatch::SideMetric;
use crate::spec::promote::judge::{
    Ask, Count, Effect, Gauge, JudgeMetric, Latency, MissingData, OnInconclusive, Requests, Wait,
};
use crate::spec::{Judge, Span};

const SINCE: Timestamp = Timestamp(6_000);

fn one_period(until: Timestamp) -> [Period; 1] {
    [Period::between(&judge(), SINCE, until)]
}

fn source(key: &str, value: &str) -> SideMetric {
    SideMetric {
        namespace: "Web".into(),
        metric: "Requests".into(),
        dimensions: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    }
}

fn compared(name: &str) -> JudgeMetric {
    JudgeMetric {
        name: name.into(),
        count: None,
        latency: None,
        gauge: None,
        cloudwatch: source("Group", "$group"),
        effect: Effect::Required,
        weight: 1.0,
        allowed_ratio: None,
        critical_ratio: None,
    }
}

fn errors() -> JudgeMetric {
    JudgeMetric { count: Some(Count::default()), ..compared("errors") }
}

fn slow() -> JudgeMetric {
    let latency =
        Latency { thresholds: vec![0.1, 0.5], missing_data: MissingData::Missing, events_per_cause: None };
    JudgeMetric { latency: Some(latency), ..compared("slow") }
}

fn judge() -> Judge {
    Judge {
        timeout: Span::from_secs(3600),
        on_inconclusive: OnInconclusive::default(),
        window: Span::from_secs(60),
        evaluation_delay: Span::from_secs(120),
        false_rollback: 0.01,
        false_promotion: 0.05,
        min_requests: 1000,
        min_duration: Span::from_secs(600),
        requests: Requests { cloudwatch: source("Group", "$group") },
        metrics: vec![errors()],
    }
}

fn look(verdict: Verdict) -> Look {
    let mut look = crate::judge::judge(&rules(&judge(), 2, &[0.5]), &[]).unwrap();
    look.verdict = verdict;
    look.reasons = vec!["as it is".to_owned()];
    look
}

fn series_id(side: Side, metric: Option<usize>) -> SeriesId {
    SeriesId { side, metric, threshold: 0, instance: None }
}

fn points(values: &[(i64, f64)]) -> Series {
    Series::Points(values.iter().copied().collect())
}

/// Two sides of 500 requests in each of two windows, and these errors.
fn series(baseline: Series, canary: Series) -> BTreeMap<SeriesId, Series> {
    let requests = || points(&[(6_000, 500.0), (6_060, 500.0)]);
    BTreeMap::from([
        (series_id(Side::Baseline, None), requests()),
        (series_id(Side::Canary, None), requests()),
        (series_id(Side::Baseline, Some(0)), baseline),
        (series_id(Side::Canary, Some(0)), canary),
    ])
}

#[test]
fn the_judge_accepts_the_rules_of_a_spec() {
    let mut spec = judge();
    let memory = JudgeMetric { gauge: Some(Gauge::default()), ..compared("memory") };
    spec.metrics.extend([slow(), memory]);
    spec.metrics[0].allowed_ratio = Some(1.6);
    spec.metrics[2].allowed_ratio = Some(1.5);
    assert_eq!(rules(&spec, 2, &[0.5]).check(), Ok(()));
}

#[test]
fn the_decision_follows_from_verdict_guards_and_time() {
    use Verdict::{Error, Fail, Inconclusive as Open, Pass};
    let (good, bad) = (Finding::Healthy, Finding::Breached(vec!["alarm".into()]));
    let unknown = Finding::Unknown(vec!["no data".into()]);
    // verdict, guards, ready -> before the timeout, after it with roll_back, and with wait
    let table = [
        (Pass, &good, true, ["continue", "continue", "continue"]),
        (Pass, &bad, true, ["roll back", "roll back", "roll back"]),
        (Pass, &unknown, true, ["wait", "roll back", "wait"]),
        (Pass, &good, false, ["wait", "roll back", "wait"]),
        (Open, &good, true, ["wait", "roll back", "wait"]),
        (Error, &good, true, ["wait", "roll back", "wait"]),
        (Fail, &good, true, ["roll back", "roll back", "roll back"]),
        (Fail, &unknown, false, ["roll back", "roll back", "roll back"]),
    ];
    for (verdict, guards, ready, expected) in table {
        let mut waits = judge();
        waits.on_inconclusive = OnInconclusive::Wait(Wait {});
        let found = [(judge(), 60), (judge(), 3600), (waits, 3600)].map(|(spec, elapsed)| {
            let not_ready = (!ready).then_some("one of two");
            match decide(&spec, &look(verdict), guards, not_ready, elapsed, None) {
                Decision::Continue => "continue",
                Decision::Wait(_) => "wait",
                Decision::RollBack(_) => "roll back",
            }
        });
        assert_eq!(found, expected, "{verdict:?} {guards:?} {ready}");
    }
}

#[test]
fn an_approval_decides_only_when_the_judge_is_inconclusive() {
    let mut spec = judge();
    spec.on_inconclusive = OnInconclusive::Ask(Ask { approval_action: "Approve".into() });
    let decided = |verdict, elapsed, approval: Approval| {
        decide(&spec, &look(verdict), &Finding::Healthy, None, elapsed, Some(&approval))
    };
    assert!(matches!(decided(Verdict::Inconclusive, 60, Approval::Approved), Decision::Wait(_)), "too early");
    assert_eq!(decided(Verdict::Inconclusive, 3600, Approval::Approved), Decision::Continue);
    assert!(
        matches!(decided(Verdict::Inconclusive, 3600, Approval::Open), Decision::Wait(why) if why.contains("Approve"))
    );
    assert!(matches!(decided(Verdict::Pass, 60, Approval::Rejected), Decision::RollBack(_)));
    assert!(
        matches!(decided(Verdict::Fail, 3600, Approval::Approved), Decision::RollBack(_)),
        "harm is not approved"
    );
}

#[test]
fn a_missing_datapoint_is_not_zero_unless_the_spec_says_so() {
    let all = series(points(&[(6_000, 3.0), (6_060, 2.0)]), points(&[(6_000, 4.0)]));
    let until = Timestamp(6_120);
    let found = windows(&judge(), 2, &one_period(until), &all);
    assert_eq!(found.len(), 2);
    let counts = |control, canary| Reading::Counts {
        control: Counted { events: Some(control), total: None },
        canary: Counted { events: Some(canary), total: None },
    };
    assert_eq!(found[0].metrics.get("errors"), Some(&counts(3.0, 4.0)));
    assert_eq!(found[1].metrics.get("errors"), None, "missing");
    let mut spec = judge();
    spec.metrics[0].count = Some(Count { missing_data: MissingData::Zero, ..Count::default() });
    let found = windows(&spec, 2, &one_period(until), &all);
    assert_eq!(found[1].metrics.get("errors"), Some(&counts(2.0, 0.0)));
    // It is not zero when the requests are unknown either.
    let mut silent = all;
    silent.insert(series_id(Side::Canary, None), points(&[]));
    let found = windows(&spec, 2, &one_period(until), &silent);
    assert_eq!(found[1].metrics.get("errors"), None);
    assert_eq!(found[1].canary.requests, None);
}

#[test]
fn an_incomplete_series_never_passes() {
    let windows =
        |all: &BTreeMap<SeriesId, Series>| windows(&judge(), 2, &one_period(Timestamp(SINCE.0 + 3000)), all);
    let many = |value: f64| points(&(0..50).map(|at| (6_000 + at * 60, value)).collect::<Vec<_>>());
    let mut all = series(many(25.0), many(25.0));
    all.insert(series_id(Side::Baseline, None), many(500.0));
    all.insert(series_id(Side::Canary, None), many(500.0));
    let verdict = |all: &BTreeMap<SeriesId, Series>| {
        crate::judge::judge(&rules(&judge(), 2, &[0.5]), &windows(all)).unwrap().verdict
    };
    assert_eq!(verdict(&all), Verdict::Pass);
    for incomplete in all.keys().cloned().collect::<Vec<_>>() {
        let mut changed = all.clone();
        changed.insert(incomplete.clone(), Series::Incomplete);
        assert_eq!(verdict(&changed), Verdict::Error, "{incomplete:?}");
        changed.insert(incomplete.clone(), points(&[]));
        assert_ne!(verdict(&changed), Verdict::Pass, "{incomplete:?} missing");
    }
}

#[test]
fn a_source_by_instance_is_read_for_each_instance_and_summed() {
    let mut spec = judge();
    spec.requests.cloudwatch = source("InstanceId", "$instance");
    spec.metrics.push(slow());
    let side = |group: &str, ids: [&str; 2]| SideNames {
        group: group.into(),
        instances: ids.map(str::to_owned).into(),
        target_group: String::new(),
    };
    let sides = BTreeMap::from([
        (Side::Baseline, side("b", ["i-1", "i-2"])),
        (Side::Canary, side("c", ["i-3", "i-4"])),
    ]);
    let all = requests(&spec, &sides);
    // For each side: two instances' requests, errors by group, two thresholds.
    assert_eq!(all.len(), 2 * (2 + 1 + 2));
    assert_eq!(all[0].dimensions["InstanceId"], "i-1");
    assert_eq!(all[3].statistic, "TC(0.1:)");
    assert_eq!(all[9].dimensions["Group"], "c");
    let series = all.iter().map(|asked| (asked.id.clone(), points(&[(6_000, 7.0)]))).collect();
    let found = windows(&spec, 2, &one_period(Timestamp(6_060)), &series);
    assert_eq!(found[0].control.requests, Some(14.0));
}

#[test]
fn each_period_is_a_step_of_its_own() {
    let all = series(points(&[(6_000, 3.0), (6_300, 2.0)]), points(&[(6_000, 4.0), (6_300, 1.0)]));
    let found = windows(&judge(), 2, &[Period(SINCE, 2), Period(Timestamp(6_300), 1)], &all);
    let places: Vec<_> = found.iter().map(|window| (window.stage, window.id.as_str())).collect();
    assert_eq!(places, [(0, "6000"), (0, "6060"), (1, "6300")]);
    assert!((found[2].start - 5.0).abs() < 1e-9, "minutes since the first window of all");
    let stages = rules(&judge(), 2, &[0.05, 0.5]).stages;
    assert_eq!(stages.iter().map(|stage| stage.canary_share).collect::<Vec<_>>(), [Some(0.05), Some(0.5)]);
}
