//! The promotion's judges as tables, and its pace.

mod log;
mod preflight;
mod tokens;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::judge::{Due, Finding, Look, Progressed, Watch, find, verdict};
use super::log::{AlarmLetter, Number, Phase};
use super::pace::{MOST, Pace};
use crate::engine::Timestamp;
use crate::evidence::predicate::Verdict;
use crate::spec::promote::cloudwatch::CloudWatch;
use crate::spec::{self, Limit, Query, Span};

const OLD: &str = "ami-00000000000000001";
const NEW: &str = "ami-00000000000000002";
const TEMPLATE: &str = "lt-00000000000000001";

fn metric(name: &str) -> Limit {
    Limit {
        name: name.into(),
        cloudwatch: CloudWatch {
            period: Span::from_secs(60),
            namespace: None,
            metric: None,
            dimensions: BTreeMap::new(),
            statistic: None,
            queries: vec![Query {
            id: "errors".into(),
            namespace: "AWS/ApplicationELB".into(),
            metric: "HTTPCode_Target_5XX_Count".into(),
            dimensions: BTreeMap::new(),
            statistic: "Sum".into(),
            }],
            expression: None,
        },
        max: Some(1.0),
        min: None,
        min_datapoints: 5,
    }
}

fn rules() -> spec::GroupPromotion {
    spec::GroupPromotion {
        group: "web".into(),
        steps: vec![25, 50, 100],
        hold: Span::from_secs(900),
        min_healthy_percent: 100,
        max_healthy_percent: 125,
        warmup: Some(Span::from_secs(120)),
        soak: Span::from_secs(1800),
        alarms: vec!["web-5xx".into()],
        limits: vec![metric("errors")],
        timeout: Span::from_secs(28_800),
        way: spec::GroupWay::Rolling,
        alternate: None,
        judge: None,
        waves: Vec::new(),
        size: 1,
    }
}

fn look(alarm: AlarmLetter, value: Option<f64>, samples: u32) -> Look {
    Look { alarms: vec![alarm], numbers: vec![Number { value, samples }] }
}

#[test]
fn a_verdict_is_a_table_of_what_is_seen_and_when() {
    use AlarmLetter::{Alarm, Gone, InsufficientData, Ok, Unread};
    use Verdict::{Continue, RollBack, Wait};
    // alarm, value, datapoints -> before the hold has passed, after it, at the last look
    let table = [
        (Ok, Some(0.5), 5, [Wait, Continue, Continue]),
        (Ok, Some(1.0), 5, [Wait, Continue, Continue]),
        (Ok, Some(1.01), 5, [RollBack, RollBack, RollBack]),
        (Ok, Some(1.01), 4, [Wait, Wait, RollBack]),
        (Ok, Some(0.5), 4, [Wait, Wait, RollBack]),
        (Ok, None, 0, [Wait, Wait, RollBack]),
        (Ok, None, 9, [Wait, Wait, RollBack]),
        (Alarm, Some(0.5), 5, [RollBack, RollBack, RollBack]),
        (Alarm, None, 0, [RollBack, RollBack, RollBack]),
        (InsufficientData, Some(0.5), 5, [Wait, Wait, RollBack]),
        (InsufficientData, Some(1.5), 5, [RollBack, RollBack, RollBack]),
        (Gone, Some(0.5), 5, [Wait, Wait, RollBack]),
        (Unread, Some(0.5), 5, [Wait, Wait, RollBack]),
    ];
    for (alarm, value, samples, expected) in table {
        let found = find(&rules(), &look(alarm, value, samples));
        let verdicts = [Due::NotYet, Due::Ripe, Due::Final].map(|due| verdict(&found, due));
        assert_eq!(verdicts, expected, "{alarm:?} {value:?} {samples}");
    }
}

#[test]
fn a_look_that_is_shorter_than_the_spec_is_not_good() {
    let nothing = Look { alarms: Vec::new(), numbers: Vec::new() };
    assert!(matches!(find(&rules(), &nothing), Finding::Unknown(what) if what.len() == 2));
}

#[test]
fn both_bounds_hold_and_a_value_that_is_no_number_keeps_none() {
    let mut rules = rules();
    rules.limits[0].min = Some(0.2);
    for (value, good) in [(0.1, false), (0.2, true), (1.0, true), (1.1, false), (f64::NAN, false)] {
        let found = find(&rules, &look(AlarmLetter::Ok, Some(value), 5));
        assert_eq!(found == Finding::Good, good, "{value}");
    }
}

/// Plays a refresh that holds at every checkpoint as long as AWS was told to, looked at as often as we look.
/// Returns what was decided, with the seconds left of AWS's delay.
fn play(rules: &spec::GroupPromotion, good: impl Fn(u64) -> Finding) -> Vec<(Phase, Verdict, u64)> {
    let pace = Pace::of(rules);
    let mut stops = vec![(0, Progressed::To(0))];
    let mut clock = 0;
    for percent in &rules.steps {
        clock += 607;
        stops.push((clock, Progressed::To(*percent)));
        clock += pace.checkpoint_delay();
    }
    stops.push((clock, Progressed::Baking));
    clock += pace.bake_time();
    stops.push((clock, Progressed::Over));
    let at =
        |now: u64| stops.iter().rev().find(|(from, _)| *from <= now).map_or(Progressed::To(0), |(_, p)| *p);
    let left = |now: u64| stops.iter().find(|(from, _)| *from > now).map_or(0, |(from, _)| from - now);
    let stamp = |now: u64| Timestamp(i64::try_from(now).unwrap());
    let (mut decided, mut now, mut watch) = (Vec::new(), 0, Watch::begin(Timestamp(0)));
    while now < clock + 600 {
        let progressed = at(now);
        watch = watch.advance(rules, progressed, stamp(now));
        let verdict = verdict(&good(now), watch.due(rules, progressed, stamp(now)));
        if verdict != Verdict::Wait {
            decided.push((watch.phase, verdict, left(now)));
        }
        match verdict {
            Verdict::Continue => watch = watch.let_on(rules, stamp(now)),
            Verdict::RollBack => return decided,
            Verdict::Wait => now += watch.next_look(rules, stamp(now)),
        }
    }
    decided
}

#[test]
fn every_hold_is_judged_once_in_order_with_two_looks_to_spare() {
    let rules = rules();
    let decided = play(&rules, |_| Finding::Good);
    let phases: Vec<Phase> = decided.iter().map(|(phase, ..)| *phase).collect();
    assert_eq!(phases, [Phase::At(0), Phase::At(1), Phase::At(2), Phase::Bake]);
    for (phase, verdict, left) in decided {
        assert_eq!(verdict, Verdict::Continue, "{phase:?}");
        assert!(left >= 2 * Pace::of(&rules).look, "{phase:?} with {left} s left");
    }
}

#[test]
fn what_is_not_known_rolls_back_before_aws_goes_on() {
    let rules = rules();
    let decided = play(&rules, |_| Finding::Unknown(vec!["no data".into()]));
    let [(Phase::At(0), Verdict::RollBack, left)] = decided[..] else { panic!("{decided:?}") };
    assert!(left >= 2 * Pace::of(&rules).look - Pace::of(&rules).look / 2, "{left} s left");
}

#[test]
fn a_refresh_that_went_on_while_no_one_looked_is_judged_at_once() {
    let rules = rules();
    let seen = Watch::begin(Timestamp(0)).advance(&rules, Progressed::To(25), Timestamp(30));
    assert_eq!(seen.phase, Phase::At(0));
    let late = seen.advance(&rules, Progressed::To(50), Timestamp(90));
    assert_eq!(late.phase, Phase::At(0), "not past a hold that nobody judged");
    assert_eq!(late.due(&rules, Progressed::To(50), Timestamp(90)), Due::Final);
    let on = late.let_on(&rules, Timestamp(90)).advance(&rules, Progressed::To(50), Timestamp(90));
    assert_eq!((on.phase, on.judged), (Phase::At(1), false));
}

#[test]
fn an_outage_before_a_hold_leaves_no_time_to_trust() {
    let rules = rules();
    let watch = Watch::begin(Timestamp(0)).advance(&rules, Progressed::To(25), Timestamp(9_000));
    assert_eq!(watch.seen, Timestamp(9_000), "datapoints from before the hold do not count");
    assert_eq!(watch.due(&rules, Progressed::To(25), Timestamp(9_000)), Due::Final);
}

proptest! {
    #[test]
    fn missing_data_never_promote(samples in 0u32..5, hole in prop::option::of(Just(0.1)), alarm in 0usize..5, due in 0usize..3) {
        let alarm = [AlarmLetter::Ok, AlarmLetter::Alarm, AlarmLetter::InsufficientData, AlarmLetter::Gone, AlarmLetter::Unread][alarm];
        let due = [Due::NotYet, Due::Ripe, Due::Final][due];
        let verdict = verdict(&find(&rules(), &look(alarm, hole, samples)), due);
        prop_assert_ne!(verdict, Verdict::Continue);
        if due == Due::Final {
            prop_assert_eq!(verdict, Verdict::RollBack);
        }
    }

    #[test]
    fn no_hold_ends_unjudged_however_long(hold in 60u32..169_200, bake in 1u32..172_800, period in 1u32..3600, unknown_until in 0u64..2_000_000) {
        let mut rules = rules();
        rules.hold = Span::from_secs(hold);
        rules.soak = Span::from_secs(bake);
        rules.limits[0].cloudwatch.period = Span::from_secs(period);
        let pace = Pace::of(&rules);
        prop_assert!(pace.checkpoint_delay() <= MOST && pace.bake_time() <= MOST);
        prop_assert!(pace.margin >= 2 * pace.look);
        let decided = play(&rules, |now| {
            if now < unknown_until { Finding::Unknown(vec![String::new()]) } else { Finding::Good }
        });
        let Some((last, verdict, _)) = decided.last() else { return Err(TestCaseError::fail("nothing decided")) };
        prop_assert!(*verdict == Verdict::RollBack || *last == Phase::Bake, "{decided:?}");
        for (phase, _, left) in &decided {
            prop_assert!(*left > pace.look, "{phase:?}: {left}");
        }
    }

}

#[test]
fn only_whole_periods_after_a_hold_began_count() {
    let window = |from, to| super::metrics::window(Timestamp(from), Timestamp(to), 60);
    assert_eq!(window(0, 300), Some((0, 300)));
    assert_eq!(window(1, 299), Some((60, 240)));
    assert_eq!(window(1, 119), None);
    assert_eq!(window(300, 0), None);
}
