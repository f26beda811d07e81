use super::*;
use proptest::prelude::*;

fn seen(canary: (u32, u32), control: (u32, u32)) -> Totals {
    Totals {
        canary_events: f64::from(canary.0),
        canary_requests: f64::from(canary.1),
        control_events: f64::from(control.0),
        control_requests: f64::from(control.1),
    }
}

fn after(rule: &CountRule, windows: &[Totals]) -> CountEvidence {
    let mut evidence = CountEvidence::new(rule, 1);
    for window in windows {
        evidence.observe(window);
    }
    evidence
}

#[test]
fn the_worked_example_comes_out() {
    // 5 events against 1, equal traffic, against a tripled rate: 3^5 / 2^6.
    let mut curve = Curve::over(vec![1.0, 3.0]);
    curve.observe(5.0, 1.0, 0.5);
    let [one, three] = curve.values() else { panic!() };
    assert!(((three - one).exp() - 243.0 / 64.0).abs() < 1e-12);
    assert_eq!(243.0 / 64.0, 3.796_875);
}

#[test]
fn no_window_and_no_event_are_no_evidence() {
    let rule = CountRule::default();
    for windows in [vec![], vec![seen((0, 0), (0, 0))], vec![seen((0, 1000), (0, 1000)); 50]] {
        let evidence = after(&rule, &windows);
        assert_eq!((evidence.ln_harm(), evidence.ln_safe()), (0.0, 0.0));
        assert_eq!((evidence.interval(0.99).lower, evidence.interval(0.99).upper), (0.0, None));
    }
}

#[test]
fn a_service_without_errors_passes_only_where_a_rate_is_negligible() {
    let clean = vec![seen((0, 10_000), (0, 10_000)); 30];
    assert!(after(&CountRule::default(), &clean).ln_safe() < 0.05_f64.ln().abs());
    let rule = CountRule { negligible_rate: Some(0.001), ..CountRule::default() };
    assert!(after(&rule, &clean).ln_safe() > 20.0_f64.ln());
    let failing = vec![seen((30, 10_000), (0, 10_000)); 30];
    assert!(after(&rule, &failing).ln_safe() < 0.0);
}

#[test]
fn the_interval_closes_around_the_ratio() {
    let evidence = after(&CountRule::default(), &vec![seen((200, 10_000), (100, 10_000)); 20]);
    let interval = evidence.interval(0.99);
    assert!(1.4 < interval.lower && interval.lower < 2.0, "{interval:?}");
    assert!(interval.upper.is_some_and(|upper| (2.0..2.9).contains(&upper)), "{interval:?}");
}

#[test]
fn harm_that_begins_late_is_found_from_its_own_stage() {
    let rule = CountRule { tempering: 1.0, ..CountRule::default() };
    let mut staged = CountEvidence::new(&rule, 2);
    let mut single = CountEvidence::new(&rule, 1);
    for _ in 0..60 {
        staged.observe(&seen((10, 10_000), (14, 10_000)));
        single.observe(&seen((10, 10_000), (14, 10_000)));
    }
    staged.begin_stage();
    for _ in 0..5 {
        staged.observe(&seen((40, 10_000), (10, 10_000)));
        single.observe(&seen((40, 10_000), (10, 10_000)));
    }
    assert!(staged.ln_harm() > 100.0_f64.ln(), "{}", staged.ln_harm());
    assert!(single.ln_harm() < 0.0);
}

#[test]
fn a_stage_that_turns_bad_does_not_pass_on_the_good_ones_before() {
    let mut evidence = CountEvidence::new(&CountRule::default(), 2);
    for _ in 0..100 {
        evidence.observe(&seen((10, 10_000), (10, 10_000)));
    }
    assert!(evidence.ln_safe() > 20.0_f64.ln());
    evidence.begin_stage();
    for _ in 0..10 {
        evidence.observe(&seen((16, 10_000), (10, 10_000)));
    }
    assert!(evidence.ln_safe() < 0.0);
}

#[test]
fn millions_of_events_overflow_nothing() {
    let evidence = after(&CountRule::default(), &vec![seen((4_000_000, 4_000_000), (1, 4_000_000)); 90]);
    assert!(evidence.ln_harm().is_finite() && evidence.ln_harm() > 1e6);
    assert!(evidence.ln_safe().is_finite() && evidence.ln_safe() < 0.0);
}

fn window() -> impl Strategy<Value = Totals> {
    ((0..60_u32, 0..60_u32), (60..5_000_u32, 60..5_000_u32)).prop_map(|((x, y), (m, n))| seen((x, m), (y, n)))
}

proptest! {
    #[test]
    fn splitting_a_window_of_equal_shares_changes_nothing(x in 0..50_u32, y in 0..50_u32, at in 0..50_u32) {
        let rule = CountRule::default();
        let whole = after(&rule, &[seen((x, 2_000), (y, 6_000))]);
        let (x1, y1) = (x.min(at), y.min(at));
        let split = after(&rule, &[seen((x1, 1_000), (y1, 3_000)), seen((x - x1, 1_000), (y - y1, 3_000))]);
        prop_assert!((whole.ln_harm() - split.ln_harm()).abs() < 1e-9);
        prop_assert!((whole.ln_safe() - split.ln_safe()).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_windows_changes_nothing(mut windows in prop::collection::vec(window(), 1..12)) {
        let rule = CountRule::default();
        let forwards = after(&rule, &windows);
        windows.reverse();
        let backwards = after(&rule, &windows);
        prop_assert!((forwards.ln_harm() - backwards.ln_harm()).abs() < 1e-9);
        prop_assert_eq!(forwards.interval(0.95), backwards.interval(0.95));
    }

    #[test]
    fn the_arms_are_mirror_images(x in 0..50_u32, y in 0..50_u32, share in 0.01..0.99_f64, ratio in 0.05..20.0_f64) {
        let mut ours = Curve::over(vec![1.0, ratio]);
        let mut mirror = Curve::over(vec![1.0, 1.0 / ratio]);
        ours.observe(f64::from(x), f64::from(y), share);
        mirror.observe(f64::from(y), f64::from(x), 1.0 - share);
        let ln_e = |curve: &Curve| curve.values()[1] - curve.values()[0];
        prop_assert!((ln_e(&ours) - ln_e(&mirror)).abs() < 1e-9);
    }

    #[test]
    fn the_interval_holds_what_the_arms_were_counted_to_be(windows in prop::collection::vec(window(), 1..12)) {
        let evidence = after(&CountRule::default(), &windows);
        let interval = evidence.interval(0.95);
        prop_assert!(interval.upper.is_none_or(|upper| interval.lower < upper));
        let wider = evidence.interval(0.999);
        prop_assert!(wider.lower <= interval.lower);
    }

    #[test]
    fn the_expected_e_value_of_poisson_counts_is_one_at_the_margin(rate in 0.5..6.0_f64, share in 0.1..0.9_f64) {
        // Exact expectation over both Poisson laws, one alternative: the theorem behind everything here.
        let (margin, alternative) = (1.25_f64, 2.5_f64);
        let (canary_mean, control_mean) = (rate * share * margin, rate * (1.0 - share));
        let mut expected = 0.0;
        let mut p_x = (-canary_mean).exp();
        for x in 0..120_u32 {
            let mut p = p_x * (-control_mean).exp();
            for y in 0..120_u32 {
                let mut curve = Curve::over(vec![margin, alternative]);
                curve.observe(f64::from(x), f64::from(y), share);
                expected += p * (curve.values()[1] - curve.values()[0]).exp();
                p *= control_mean / f64::from(y + 1);
            }
            p_x *= canary_mean / f64::from(x + 1);
        }
        prop_assert!((expected - 1.0).abs() < 1e-9, "{}", expected);
    }
}
