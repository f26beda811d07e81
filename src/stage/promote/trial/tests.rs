//! The trial's decision as a table, and its windows from what `CloudWatch` may answer.

use super::*;
use crate::spec::Span;
use crate::spec::promote::cloudwatch::SideMetric;
use crate::spec::promote::judge::{Ask, Count, Gauge, Latency, Requests, Wait};
use crate::stage::promote::measure::{Named, asked};

const SINCE: Timestamp = Timestamp(6_000);

fn whole(until: Timestamp) -> [Stretch; 1] {
    [Stretch::between(&judge(), SINCE, until)]
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

fn slot(side: Side, metric: Option<usize>) -> Slot {
    Slot { side, metric, threshold: 0, instance: None }
}

fn points(values: &[(i64, f64)]) -> Series {
    Series::Points(values.iter().copied().collect())
}

/// Two sides of 500 requests in each of two windows, and these errors.
fn series(baseline: Series, canary: Series) -> BTreeMap<Slot, Series> {
    let requests = || points(&[(6_000, 500.0), (6_060, 500.0)]);
    BTreeMap::from([
        (slot(Side::Baseline, None), requests()),
        (slot(Side::Canary, None), requests()),
        (slot(Side::Baseline, Some(0)), baseline),
        (slot(Side::Canary, Some(0)), canary),
    ])
}

#[test]
fn every_rule_set_of_a_spec_is_one_the_judge_takes() {
    let mut spec = judge();
    let memory = JudgeMetric { gauge: Some(Gauge::default()), ..compared("memory") };
    spec.metrics.extend([slow(), memory]);
    spec.metrics[0].allowed_ratio = Some(1.6);
    spec.metrics[2].allowed_ratio = Some(1.5);
    assert_eq!(rules(&spec, 2, &[0.5]).check(), Ok(()));
}

#[test]
fn a_decision_is_a_table_of_verdict_guards_and_time() {
    use Verdict::{Broken, Fail, Inconclusive as Unsure, Pass};
    let (good, bad) = (Finding::Good, Finding::Bad(vec!["red".into()]));
    let unknown = Finding::Unknown(vec!["no data".into()]);
    // verdict, guards, whole -> before the longest time, after it under rollback, and under wait
    let table = [
        (Pass, &good, true, ["go", "go", "go"]),
        (Pass, &bad, true, ["back", "back", "back"]),
        (Pass, &unknown, true, ["hold", "back", "hold"]),
        (Pass, &good, false, ["hold", "back", "hold"]),
        (Unsure, &good, true, ["hold", "back", "hold"]),
        (Broken, &good, true, ["hold", "back", "hold"]),
        (Fail, &good, true, ["back", "back", "back"]),
        (Fail, &unknown, false, ["back", "back", "back"]),
    ];
    for (verdict, guards, whole, expected) in table {
        let mut waits = judge();
        waits.on_inconclusive = OnInconclusive::Wait(Wait {});
        let found = [(judge(), 60), (judge(), 3600), (waits, 3600)].map(|(spec, elapsed)| {
            let lacks = (!whole).then_some("one of two");
            match decide(&spec, &look(verdict), guards, lacks, elapsed, None) {
                Move::GoOn => "go",
                Move::Hold(_) => "hold",
                Move::RollBack(_) => "back",
            }
        });
        assert_eq!(found, expected, "{verdict:?} {guards:?} {whole}");
    }
}

#[test]
fn an_approval_decides_only_what_the_judge_could_not() {
    let mut spec = judge();
    spec.on_inconclusive = OnInconclusive::Ask(Ask { approval_action: "Approve".into() });
    let decided = |verdict, elapsed, said: Approval| {
        decide(&spec, &look(verdict), &Finding::Good, None, elapsed, Some(&said))
    };
    assert!(matches!(decided(Verdict::Inconclusive, 60, Approval::Approved), Move::Hold(_)), "too early");
    assert_eq!(decided(Verdict::Inconclusive, 3600, Approval::Approved), Move::GoOn);
    assert!(
        matches!(decided(Verdict::Inconclusive, 3600, Approval::Open), Move::Hold(why) if why.contains("Approve"))
    );
    assert!(matches!(decided(Verdict::Pass, 60, Approval::Rejected), Move::RollBack(_)));
    assert!(
        matches!(decided(Verdict::Fail, 3600, Approval::Approved), Move::RollBack(_)),
        "harm is not approved"
    );
}

#[test]
fn what_is_missing_is_not_zero_unless_the_spec_says_so() {
    let all = series(points(&[(6_000, 3.0), (6_060, 2.0)]), points(&[(6_000, 4.0)]));
    let until = Timestamp(6_120);
    let shown = windows(&judge(), 2, &whole(until), &all);
    assert_eq!(shown.len(), 2);
    let counts = |control, canary| Reading::Counts {
        control: Counted { events: Some(control), total: None },
        canary: Counted { events: Some(canary), total: None },
    };
    assert_eq!(shown[0].metrics.get("errors"), Some(&counts(3.0, 4.0)));
    assert_eq!(shown[1].metrics.get("errors"), None, "missing");
    let mut spec = judge();
    spec.metrics[0].count = Some(Count { missing_data: MissingData::Zero, ..Count::default() });
    let shown = windows(&spec, 2, &whole(until), &all);
    assert_eq!(shown[1].metrics.get("errors"), Some(&counts(2.0, 0.0)));
    // Nor is it zero where nothing is known of the requests.
    let mut silent = all;
    silent.insert(slot(Side::Canary, None), points(&[]));
    let shown = windows(&spec, 2, &whole(until), &silent);
    assert_eq!(shown[1].metrics.get("errors"), None);
    assert_eq!(shown[1].canary.requests, None);
}

#[test]
fn a_broken_series_never_passes() {
    let windows = |all: &BTreeMap<Slot, Series>| windows(&judge(), 2, &whole(Timestamp(SINCE.0 + 3000)), all);
    let many = |value: f64| points(&(0..50).map(|at| (6_000 + at * 60, value)).collect::<Vec<_>>());
    let mut all = series(many(25.0), many(25.0));
    all.insert(slot(Side::Baseline, None), many(500.0));
    all.insert(slot(Side::Canary, None), many(500.0));
    let verdict = |all: &BTreeMap<Slot, Series>| {
        crate::judge::judge(&rules(&judge(), 2, &[0.5]), &windows(all)).unwrap().verdict
    };
    assert_eq!(verdict(&all), Verdict::Pass);
    for broken in all.keys().cloned().collect::<Vec<_>>() {
        let mut hurt = all.clone();
        hurt.insert(broken.clone(), Series::Broken);
        assert_eq!(verdict(&hurt), Verdict::Broken, "{broken:?}");
        hurt.insert(broken.clone(), points(&[]));
        assert_ne!(verdict(&hurt), Verdict::Pass, "{broken:?} missing");
    }
}

#[test]
fn instances_are_asked_for_one_by_one_and_summed() {
    let mut spec = judge();
    spec.requests.cloudwatch = source("InstanceId", "$instance");
    spec.metrics.push(slow());
    let side = |group: &str, ids: [&str; 2]| Named {
        group: group.into(),
        instances: ids.map(str::to_owned).into(),
        target_group: String::new(),
    };
    let sides = BTreeMap::from([
        (Side::Baseline, side("b", ["i-1", "i-2"])),
        (Side::Canary, side("c", ["i-3", "i-4"])),
    ]);
    let all = asked(&spec, &sides);
    // For each side: two instances' requests, errors by group, two thresholds.
    assert_eq!(all.len(), 2 * (2 + 1 + 2));
    assert_eq!(all[0].dimensions["InstanceId"], "i-1");
    assert_eq!(all[3].statistic, "TC(0.1:)");
    assert_eq!(all[9].dimensions["Group"], "c");
    let series = all.iter().map(|asked| (asked.slot.clone(), points(&[(6_000, 7.0)]))).collect();
    let shown = windows(&spec, 2, &whole(Timestamp(6_060)), &series);
    assert_eq!(shown[0].control.requests, Some(14.0));
}

#[test]
fn each_share_of_the_traffic_is_a_stage_of_its_own() {
    let all = series(points(&[(6_000, 3.0), (6_300, 2.0)]), points(&[(6_000, 4.0), (6_300, 1.0)]));
    let shown = windows(&judge(), 2, &[Stretch(SINCE, 2), Stretch(Timestamp(6_300), 1)], &all);
    let places: Vec<_> = shown.iter().map(|window| (window.stage, window.id.as_str())).collect();
    assert_eq!(places, [(0, "6000"), (0, "6060"), (1, "6300")]);
    assert!((shown[2].start - 5.0).abs() < 1e-9, "minutes since the first window of all");
    let stages = rules(&judge(), 2, &[0.05, 0.5]).stages;
    assert_eq!(stages.iter().map(|stage| stage.canary_share).collect::<Vec<_>>(), [Some(0.05), Some(0.5)]);
}
