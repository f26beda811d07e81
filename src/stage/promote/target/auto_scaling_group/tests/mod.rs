//! Checkpoints, preflight and waves of Auto Scaling groups.

mod preflight;
mod waves;

use proptest::prelude::*;

use super::checkpoint::{CheckpointWatch, RefreshProgress};
use super::timing::{MAX_DELAY, Timing};
use crate::engine::Timestamp;
use crate::evidence::predicate::DecisionAction;
use crate::spec::Span;
use crate::stage::promote::analysis::guards::{Due, Finding, action};
use crate::stage::promote::log::Phase;
use crate::stage::promote::settings::Settings;
use crate::stage::promote::tests::settings;

/// Simulates an instance refresh that holds at every checkpoint for the delay that AWS got, polled as often as a
/// promotion polls. Returns the decisions, with the seconds left of AWS's delay.
fn play(settings: &Settings, finding: impl Fn(u64) -> Finding) -> Vec<(Phase, DecisionAction, u64)> {
    let timing = Timing::of(settings);
    let mut stops = vec![(0, RefreshProgress::To(0))];
    let mut clock = 0;
    for percent in &settings.steps {
        clock += 607;
        stops.push((clock, RefreshProgress::To(*percent)));
        clock += timing.checkpoint_delay();
    }
    stops.push((clock, RefreshProgress::Soaking));
    clock += timing.bake_time();
    stops.push((clock, RefreshProgress::Ended));
    let at = |now: u64| {
        stops.iter().rev().find(|(from, _)| *from <= now).map_or(RefreshProgress::To(0), |(_, p)| *p)
    };
    let left = |now: u64| stops.iter().find(|(from, _)| *from > now).map_or(0, |(from, _)| from - now);
    let stamp = |now: u64| Timestamp(i64::try_from(now).unwrap());
    let (mut decided, mut now, mut watch) = (Vec::new(), 0, CheckpointWatch::begin(Timestamp(0)));
    while now < clock + 600 {
        let progressed = at(now);
        watch = watch.advance(settings, progressed, stamp(now));
        let action = action(&finding(now), watch.due(settings, progressed, stamp(now)));
        if action != DecisionAction::Wait {
            decided.push((watch.phase, action, left(now)));
        }
        match action {
            DecisionAction::Continue => watch = watch.passed(settings, stamp(now)),
            DecisionAction::RollBack => return decided,
            DecisionAction::Wait => now += watch.next_poll(settings, stamp(now)),
        }
    }
    decided
}

#[test]
fn every_hold_is_judged_once_in_order_with_two_polls_to_spare() {
    let settings = settings();
    let decided = play(&settings, |_| Finding::Healthy);
    let phases: Vec<Phase> = decided.iter().map(|(phase, ..)| *phase).collect();
    assert_eq!(phases, [Phase::Step(0), Phase::Step(1), Phase::Step(2), Phase::Soak]);
    for (phase, action, left) in decided {
        assert_eq!(action, DecisionAction::Continue, "{phase:?}");
        assert!(left >= 2 * Timing::of(&settings).poll, "{phase:?} with {left} s left");
    }
}

#[test]
fn an_unknown_state_rolls_back_before_aws_continues() {
    let settings = settings();
    let decided = play(&settings, |_| Finding::Unknown(vec!["no data".into()]));
    let [(Phase::Step(0), DecisionAction::RollBack, left)] = decided[..] else { panic!("{decided:?}") };
    assert!(left >= 2 * Timing::of(&settings).poll - Timing::of(&settings).poll / 2, "{left} s left");
}

#[test]
fn a_refresh_that_continued_while_no_worker_ran_is_judged_at_once() {
    let settings = settings();
    let seen =
        CheckpointWatch::begin(Timestamp(0)).advance(&settings, RefreshProgress::To(25), Timestamp(30));
    assert_eq!(seen.phase, Phase::Step(0));
    let late = seen.advance(&settings, RefreshProgress::To(50), Timestamp(90));
    assert_eq!(late.phase, Phase::Step(0), "it does not pass a hold that was not judged");
    assert_eq!(late.due(&settings, RefreshProgress::To(50), Timestamp(90)), Due::Last);
    let on = late.passed(&settings, Timestamp(90)).advance(&settings, RefreshProgress::To(50), Timestamp(90));
    assert_eq!((on.phase, on.judged), (Phase::Step(1), false));
}

#[test]
fn after_an_outage_only_new_datapoints_count() {
    let settings = settings();
    let watch =
        CheckpointWatch::begin(Timestamp(0)).advance(&settings, RefreshProgress::To(25), Timestamp(9_000));
    assert_eq!(watch.seen, Timestamp(9_000), "datapoints from before the hold do not count");
    assert_eq!(watch.due(&settings, RefreshProgress::To(25), Timestamp(9_000)), Due::Last);
}

proptest! {
    #[test]
    fn no_hold_ends_unjudged_however_long(hold in 60u32..169_200, soak in 1u32..172_800, period in 1u32..3600, unknown_until in 0u64..2_000_000) {
        let mut settings = settings();
        settings.hold = hold;
        settings.soak = soak;
        settings.limits[0].cloudwatch.period = Span::from_secs(period);
        let timing = Timing::of(&settings);
        prop_assert!(timing.checkpoint_delay() <= MAX_DELAY && timing.bake_time() <= MAX_DELAY);
        prop_assert!(timing.margin >= 2 * timing.poll);
        let decided = play(&settings, |now| {
            if now < unknown_until { Finding::Unknown(vec![String::new()]) } else { Finding::Healthy }
        });
        let Some((last, action, _)) = decided.last() else { return Err(TestCaseError::fail("nothing decided")) };
        prop_assert!(*action == DecisionAction::RollBack || *last == Phase::Soak, "{decided:?}");
        for (phase, _, left) in &decided {
            prop_assert!(*left > timing.poll, "{phase:?}: {left}");
        }
    }
}
