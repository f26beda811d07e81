use super::super::rules::{
    CountRule, Exposure, GaugeRule, GuardRule, Harm, Measure, MetricRule, Role, ShareRule, StageRule,
};
use super::super::verdict::Evidence;
use super::super::window::{Arm, Counted, Reading, Slow};
use super::*;
use proptest::prelude::*;

fn errors(role: Role) -> MetricRule {
    MetricRule {
        name: "errors".into(),
        weight: 1.0,
        role,
        harm: Harm::Increase,
        measure: Measure::Counts(CountRule::default()),
    }
}

fn rules(metrics: Vec<MetricRule>) -> Rules {
    Rules {
        false_rollback: 0.01,
        false_promotion: 0.05,
        stages: vec![StageRule { canary_share: Some(0.5) }, StageRule { canary_share: Some(0.5) }],
        metrics,
        exposure: Exposure::default(),
        guards: Vec::new(),
        share: ShareRule::default(),
        max_bake_minutes: 180.0,
        recovery_windows: 3,
    }
}

fn counts(control: f64, canary: f64) -> Reading {
    let counted = |events| Counted { events: Some(events), total: None };
    Reading::Counts { control: counted(control), canary: counted(canary) }
}

/// A minute in which both arms served 10,000 requests.
fn minute(at: u32, reading: Option<Reading>) -> Window {
    let arm = Arm { requests: Some(10_000.0), instances: 10 };
    Window {
        id: format!("w{at}"),
        stage: 0,
        start: f64::from(at),
        minutes: 1.0,
        control: arm,
        canary: arm,
        metrics: reading.into_iter().map(|reading| ("errors".to_owned(), reading)).collect(),
    }
}

fn healthy(minutes: u32) -> Vec<Window> {
    (0..minutes).map(|at| minute(at, Some(counts(20.0, 20.0)))).collect()
}

fn verdict(windows: &[Window]) -> Verdict {
    judge(&rules(vec![errors(Role::Critical)]), windows).unwrap().verdict
}

#[test]
fn before_the_first_window_nothing_is_known() {
    assert_eq!(verdict(&[]), Verdict::Inconclusive);
}

#[test]
fn equal_arms_pass_and_a_tripled_rate_fails() {
    assert_eq!(verdict(&healthy(60)), Verdict::Pass);
    let harmed: Vec<Window> = (0..60).map(|at| minute(at, Some(counts(20.0, 60.0)))).collect();
    let look = judge(&rules(vec![errors(Role::Critical)]), &harmed).unwrap();
    assert_eq!(look.verdict, Verdict::Fail);
    let Evidence::Counts { ln_e_harm, ln_threshold_harm, streams, .. } = &look.metrics[0].evidence else {
        panic!()
    };
    assert!(ln_e_harm >= ln_threshold_harm && streams[0].interval.lower > 1.25);
    assert_eq!((look.metrics[0].alpha, look.metrics[0].alpha_spent), (0.01, 0.01));
}

#[test]
fn a_fail_stays_whatever_comes_after() {
    let mut windows: Vec<Window> = (0..10).map(|at| minute(at, Some(counts(20.0, 200.0)))).collect();
    windows.extend((10..170).map(|at| minute(at, Some(counts(200.0, 0.0)))));
    assert_eq!(verdict(&windows), Verdict::Fail);
}

#[test]
fn evidence_without_exposure_does_not_pass() {
    let mut windows = healthy(60);
    for window in &mut windows {
        window.minutes = 0.1;
    }
    assert_eq!(verdict(&windows), Verdict::Inconclusive);
}

#[test]
fn a_second_stage_needs_evidence_of_its_own() {
    let mut windows = healthy(60);
    windows.extend((60..62).map(|at| Window { stage: 1, ..minute(at, Some(counts(20.0, 20.0))) }));
    assert_eq!(verdict(&windows), Verdict::Inconclusive);
    windows.extend((62..120).map(|at| Window { stage: 1, ..minute(at, Some(counts(20.0, 20.0))) }));
    assert_eq!(verdict(&windows), Verdict::Pass);
}

/// What is done to a healthy hour, and what must come of it.
type Spoil = Box<dyn Fn(&mut Vec<Window>)>;
type Spoiled = (&'static str, Spoil, Verdict);

#[test]
fn a_spoiled_measurement_never_passes() {
    let last = |change: fn(&mut Window)| -> Spoil {
        Box::new(move |windows| windows.iter_mut().rev().take(3).for_each(change))
    };
    let cases: Vec<Spoiled> = vec![
        ("the metric vanishes", last(|w| w.metrics.clear()), Verdict::Inconclusive),
        ("not a number", last(|w| set(w, Some(f64::NAN), Some(20.0))), Verdict::Error),
        ("no number", last(|w| set(w, None, Some(20.0))), Verdict::Error),
        ("infinite", last(|w| set(w, Some(20.0), Some(f64::INFINITY))), Verdict::Error),
        ("a counter was reset", last(|w| set(w, Some(20.0), Some(-4_000.0))), Verdict::Error),
        ("half an error", last(|w| set(w, Some(20.0), Some(0.5))), Verdict::Error),
        ("more errors than requests", last(|w| set(w, Some(20.0), Some(10_001.0))), Verdict::Error),
        (
            "another kind",
            last(|w| {
                let slow = Slow { over: vec![Some(1.0)], total: None };
                w.metrics.insert("errors".into(), Reading::Latency { control: slow.clone(), canary: slow });
            }),
            Verdict::Error,
        ),
        (
            "the baseline died",
            last(|w| {
                w.control.requests = Some(0.0);
                set(w, Some(0.0), Some(20.0));
            }),
            Verdict::Error,
        ),
        ("requests are unknown", last(|w| w.canary.requests = None), Verdict::Error),
        ("clocks disagree", last(|w| w.start -= 30.0), Verdict::Error),
        ("a window without length", last(|w| w.minutes = 0.0), Verdict::Error),
        ("a stage not planned", last(|w| w.stage = 7), Verdict::Error),
        (
            "a window changed",
            Box::new(|windows| {
                let mut again = windows[5].clone();
                again.minutes = 2.0;
                windows.push(again);
            }),
            Verdict::Error,
        ),
        (
            "no traffic ever",
            Box::new(|windows| {
                for window in windows {
                    window.control.requests = Some(0.0);
                    window.canary.requests = Some(0.0);
                    set(window, Some(0.0), Some(0.0));
                }
            }),
            Verdict::Inconclusive,
        ),
        (
            "no errors ever",
            Box::new(|windows| {
                for window in windows {
                    set(window, Some(0.0), Some(0.0));
                }
            }),
            Verdict::Inconclusive,
        ),
        (
            "the canary gets less than planned",
            Box::new(|windows| {
                for window in windows {
                    window.canary.requests = Some(7_000.0);
                    set(window, Some(20.0), Some(14.0));
                }
            }),
            Verdict::Inconclusive,
        ),
        ("no instance is left", last(|w| w.canary.instances = 0), Verdict::Inconclusive),
    ];
    for (what, spoil, expected) in cases {
        let mut windows = healthy(60);
        spoil(&mut windows);
        assert_eq!(verdict(&windows), expected, "{what}");
    }
}

fn set(window: &mut Window, control: Option<f64>, canary: Option<f64>) {
    let counted = |events| Counted { events, total: None };
    let reading = Reading::Counts { control: counted(control), canary: counted(canary) };
    window.metrics.insert("errors".into(), reading);
}

#[test]
fn a_measurement_is_believed_again_after_three_clean_windows() {
    let mut windows = healthy(60);
    set(&mut windows[57], Some(f64::NAN), Some(1.0));
    assert_eq!(verdict(&windows), Verdict::Error);
    windows.push(minute(60, Some(counts(20.0, 20.0))));
    assert_eq!(verdict(&windows), Verdict::Pass);
}

#[test]
fn harm_that_was_seen_outweighs_a_broken_measurement() {
    let mut windows: Vec<Window> = (0..10).map(|at| minute(at, Some(counts(20.0, 200.0)))).collect();
    windows.push(minute(10, Some(counts(-1.0, 0.0))));
    assert_eq!(verdict(&windows), Verdict::Fail);
}

#[test]
fn a_window_sent_twice_counts_once() {
    let once = healthy(40);
    let twice: Vec<Window> = once.iter().flat_map(|window| [window.clone(), window.clone()]).collect();
    let rules = rules(vec![errors(Role::Critical)]);
    assert_eq!(judge(&rules, &once), judge(&rules, &twice));
}

#[test]
fn a_required_metric_without_data_fails_after_the_longest_hold() {
    let windows: Vec<Window> = (0..180).map(|at| minute(at, None)).collect();
    assert_eq!(verdict(&windows[..179]), Verdict::Inconclusive);
    assert_eq!(verdict(&windows), Verdict::Fail);
}

#[test]
fn a_limit_fails_what_the_comparison_calls_equal() {
    let mut limited = rules(vec![errors(Role::Critical)]);
    limited.guards.push(GuardRule {
        metric: "errors".into(),
        objective: 0.999,
        burn_rate: 14.4,
        long_minutes: 60.0,
        short_minutes: 5.0,
        minimum_events: 10.0,
    });
    let outage: Vec<Window> = (0..20).map(|at| minute(at, Some(counts(500.0, 500.0)))).collect();
    assert_eq!(verdict(&outage), Verdict::Pass);
    let look = judge(&limited, &outage).unwrap();
    assert_eq!(look.verdict, Verdict::Fail);
    assert!(look.reasons[0].contains("absolute limit"));
}

#[test]
fn slower_requests_fail_by_any_of_the_thresholds() {
    let latency = MetricRule {
        name: "latency".into(),
        measure: Measure::Latency { thresholds: vec![0.1, 0.5, 2.0], rule: CountRule::default() },
        ..errors(Role::Critical)
    };
    let slow = |tail: f64| Slow { over: vec![Some(5_000.0), Some(1_000.0), Some(tail)], total: None };
    let windows = |tail: f64| -> Vec<Window> {
        (0..20)
            .map(|at| {
                let reading = Reading::Latency { control: slow(100.0), canary: slow(tail) };
                let mut window = minute(at, None);
                window.metrics.insert("latency".into(), reading);
                window
            })
            .collect()
    };
    let rules = rules(vec![latency]);
    assert_eq!(judge(&rules, &windows(100.0)).unwrap().verdict, Verdict::Pass);
    assert_eq!(judge(&rules, &windows(300.0)).unwrap().verdict, Verdict::Fail);
}

#[test]
fn less_can_be_the_harm() {
    let rules = rules(vec![MetricRule { harm: Harm::Decrease, ..errors(Role::Critical) }]);
    let windows =
        |canary: f64| -> Vec<Window> { (0..40).map(|at| minute(at, Some(counts(60.0, canary)))).collect() };
    assert_eq!(judge(&rules, &windows(20.0)).unwrap().verdict, Verdict::Fail);
    let more = judge(&rules, &windows(90.0)).unwrap();
    assert_eq!(more.verdict, Verdict::Pass);
    let Evidence::Counts { streams, .. } = &more.metrics[0].evidence else { panic!() };
    assert!(
        streams[0].interval.lower > 1.2 && streams[0].ratio.is_some_and(|ratio| ratio > 1.4),
        "{:?}",
        streams[0]
    );
}

#[test]
fn a_gauge_of_few_instances_holds_a_stage_only_if_it_is_critical() {
    let gauge = |role| MetricRule {
        name: "memory".into(),
        role,
        measure: Measure::Gauge(GaugeRule { planned_instances: 4, margin: 1.1, harm_margin: 1.5 }),
        ..errors(role)
    };
    let values = |level: f64| (0..4).map(|i| (format!("i-{i}"), Some(level + f64::from(i)))).collect();
    let mut windows = healthy(60);
    for window in &mut windows {
        let reading = Reading::Gauge { control: values(100.0), canary: values(900.0) };
        window.metrics.insert("memory".into(), reading);
    }
    let judged = |role| judge(&rules(vec![errors(Role::Critical), gauge(role)]), &windows).unwrap().verdict;
    assert_eq!(judged(Role::Critical), Verdict::Inconclusive);
    assert_eq!(judged(Role::Informational), Verdict::Pass);
}

#[test]
fn rules_that_cannot_hold_are_refused() {
    let refused = |change: &dyn Fn(&mut Rules)| {
        let mut rules = rules(vec![errors(Role::Critical)]);
        change(&mut rules);
        Judge::new(&rules).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(refused(&|_| ()), Ok(()));
    for change in [
        (&|rules: &mut Rules| rules.false_rollback = 0.0) as &dyn Fn(&mut Rules),
        &|rules| rules.false_promotion = f64::NAN,
        &|rules| rules.stages.clear(),
        &|rules| rules.metrics.clear(),
        &|rules| rules.metrics[0].role = Role::Informational,
        &|rules| rules.metrics[0].weight = 0.0,
        &|rules| {
            rules.metrics[0].harm = Harm::Decrease;
            rules.metrics[0].measure =
                Measure::Counts(CountRule { negligible_rate: Some(0.1), ..CountRule::default() });
        },
        &|rules| rules.metrics.push(rules.metrics[0].clone()),
        &|rules| {
            rules.metrics[0].measure = Measure::Latency { thresholds: vec![], rule: CountRule::default() }
        },
        &|rules| {
            rules.metrics[0].measure = Measure::Counts(CountRule { margin: 0.5, ..CountRule::default() });
        },
        &|rules| {
            rules.metrics[0].measure = Measure::Counts(CountRule { tempering: 0.0, ..CountRule::default() });
        },
    ] {
        assert!(refused(change).is_err());
    }
}

fn anything() -> impl Strategy<Value = Window> {
    let number = prop_oneof![
        4 => (0..30_u32).prop_map(|n| Some(f64::from(n))),
        1 => any::<f64>().prop_map(Some),
        1 => Just(None),
    ];
    let arm =
        (prop_oneof![3 => Just(Some(1_000.0)), 1 => any::<f64>().prop_map(Some), 1 => Just(None)], 0..20_u32)
            .prop_map(|(requests, instances)| Arm { requests, instances });
    let time = prop_oneof![9 => (0..90_u32).prop_map(f64::from), 1 => any::<f64>()];
    (0..40_u32, 0..3_u32, time, (arm.clone(), arm), (number.clone(), number)).prop_map(
        |(id, stage, start, (control, canary), (bad, worse))| {
            let mut window = Window { stage, start, control, canary, ..minute(id, None) };
            set(&mut window, bad, worse);
            window
        },
    )
}

proptest! {
    #[test]
    fn looking_more_often_changes_no_look(windows in prop::collection::vec(anything(), 0..40)) {
        let rules = rules(vec![errors(Role::Critical)]);
        let mut watched = Judge::new(&rules).unwrap();
        for window in &windows {
            watched.observe(window);
            let _ = watched.look();
        }
        let look = watched.look();
        prop_assert_eq!(&look, &judge(&rules, &windows).unwrap());
        // A record of nothing but numbers: what JSON cannot hold is nowhere in it.
        let text = serde_json::to_string(&look).unwrap();
        prop_assert_eq!(serde_json::from_str::<Look>(&text).unwrap(), look);
    }

    #[test]
    fn no_pass_without_thousand_requests_and_ten_minutes(windows in prop::collection::vec(anything(), 0..40)) {
        let look = judge(&rules(vec![errors(Role::Critical)]), &windows).unwrap();
        if look.verdict == Verdict::Pass {
            prop_assert!(look.exposure.enough && look.reasons.is_empty());
        }
    }

    #[test]
    fn the_order_of_metrics_is_irrelevant(rates in prop::collection::vec((0..40_u32, 0..40_u32), 2..6)) {
        let named = |at: usize| MetricRule { name: format!("m{at}"), ..errors(Role::Critical) };
        let metrics: Vec<MetricRule> = (0..rates.len()).map(named).collect();
        let windows: Vec<Window> = (0..30)
            .map(|at| {
                let mut window = minute(at, None);
                for (metric, (x, y)) in rates.iter().enumerate() {
                    window.metrics.insert(format!("m{metric}"), counts(f64::from(*x), f64::from(*y)));
                }
                window
            })
            .collect();
        let forwards = judge(&rules(metrics.clone()), &windows).unwrap();
        let backwards = judge(&rules(metrics.into_iter().rev().collect()), &windows).unwrap();
        prop_assert_eq!(forwards.verdict, backwards.verdict);
        let mut records = backwards.metrics;
        records.reverse();
        prop_assert_eq!(forwards.metrics, records);
    }
}
