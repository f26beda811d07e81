//! Every resting place as full as it gets: it fits into a token, reads back, and turns round once.

use super::{OLD, TEMPLATE};
use crate::engine::{Failure, FailureKind, Machine, Timestamp};
use crate::evidence::predicate::{PromotionOutcome, Verdict};
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::judge::Watch;
use crate::stage::promote::log::{AlarmLetter, Entry, Log, Number, Phase};
use crate::stage::promote::trial::{Stretch, Trial};
use crate::stage::promote::waves::{Cursor, Turn};
use crate::stage::promote::{End, Plan, Promote, Run};
use crate::stage::tokens::{golden, worst};

/// Every resting place, as full as it gets.
fn states() -> Vec<(&'static str, Promote)> {
    states_after(None)
}

fn trial() -> Trial {
    let (since, until) = (Timestamp(1_893_456_000), Timestamp(1_893_456_000));
    Trial { since, until, verdict: crate::judge::Verdict::Inconclusive, seal: u32::MAX }
}

/// Every resting place, as full as it gets, after a trial that ended so.
fn states_after(ended: Option<Trial>) -> Vec<(&'static str, Promote)> {
    let plan = Plan {
        template: "lt-0123456789abcdef0".into(),
        from: 9_998,
        old: OLD.into(),
        size: [1000, 2000],
        began: Timestamp(1_893_456_000),
        trial: ended,
        swapped: false,
    };
    let mut log = Log::default();
    let letters = vec![AlarmLetter::Ok; 10];
    for index in 0..20 {
        let numbers = vec![Number::rounded(Some(-1.234_567e-9), 10_000); 20];
        log.push(Entry {
            phase: Phase::At(index),
            percent: 100,
            verdict: Verdict::Continue,
            after: 1_209_600,
            alarms: letters.clone(),
            numbers: Some(numbers),
        });
    }
    assert_eq!(log.entries().len(), 20, "every decision of the longest promotion stays");
    let run = Run {
        plan: plan.clone(),
        to: 9_999,
        refresh: Some("08b91cf7-8fa6-48af-b6a6-d227f40f1b9b".into()),
        log,
        shares: Vec::new(),
    };
    // A promotion by weights knows no refresh, and of at most eight shares.
    let by_weights = || Run {
        plan: Plan { swapped: true, ..plan.clone() },
        refresh: None,
        shares: vec![Stretch(Timestamp(1_893_456_000), 2000); 8],
        ..run.clone()
    };
    let why = FailureReason::new(FailureKind::SystemUnavailable, &"\"".repeat(4000));
    let watch = Watch {
        phase: Phase::At(19),
        since: Timestamp(1_893_456_000),
        seen: Timestamp(1_893_456_000),
        judged: false,
        looked: Timestamp(1_893_456_000),
    };
    let cursor = Cursor {
        whole: Some(Timestamp(1_893_456_000)),
        seen: 1,
        looks: 79,
        done: 499,
        begun: 500,
        ..Cursor::at(19, 9_501, Timestamp(1_893_456_000))
    };
    let turn = Turn { begun: 9_999, done: 9_989, looks: 239, ..Turn::of(10_001) };
    let end = End {
        outcome: PromotionOutcome::RolledBack,
        why: Some(why.clone()),
        fleet: [1000, 1000, 1000],
        at: Timestamp(1_893_456_000),
    };
    vec![
        ("preflight", Promote::Preflight),
        ("versioning", Promote::Versioning { plan: plan.clone() }),
        ("opening", Promote::Opening { plan: plan.clone(), to: 9_999, looks: 80 }),
        ("judging", Promote::Judging { plan: plan.clone(), to: 9_999, since: Timestamp(1_893_456_000) }),
        (
            "closing",
            Promote::Closing {
                plan: Plan { trial: Some(trial()), ..plan.clone() },
                to: 9_999,
                done: 3,
                why: Some(why.clone()),
            },
        ),
        ("filling", Promote::Filling { run: by_weights(), looks: 80 }),
        ("shifting", Promote::Shifting { run: by_weights(), share: 7, done: 200 }),
        (
            "serving",
            Promote::Serving { run: by_weights(), share: 7, since: Timestamp(1_893_456_000), doubts: 1 },
        ),
        ("emptying", Promote::Emptying { run: by_weights(), done: 1 }),
        ("restoring", Promote::Restoring { run: by_weights(), why: why.clone(), done: 200 }),
        ("draining", Promote::Draining { run: by_weights(), why: why.clone(), looks: 1 }),
        ("starting", Promote::Starting { plan, to: 9_999 }),
        ("refreshing", Promote::Refreshing { run: run.clone(), watch }),
        ("confirming", Promote::Confirming { run: run.clone(), seen: 1, looks: 79, doubt: false }),
        ("following", Promote::Following { run: run.clone(), cursor }),
        ("taking_back", Promote::TakingBack { run: run.clone(), why: why.clone(), turn }),
        ("rolling_back", Promote::RollingBack { run: run.clone(), why: why.clone() }),
        ("cancelling", Promote::Cancelling { run: run.clone(), why: why.clone() }),
        (
            "reverted",
            Promote::Reverted { run: run.clone(), why: why.clone(), seen: 1, looks: 79, restored: true },
        ),
        ("sealing", Promote::Sealing { run, end }),
        ("giving_up", Promote::GivingUp { why }),
    ]
}

#[test]
fn the_fullest_token_fits_and_every_golden_one_is_read() {
    let states = states();
    for (name, state) in states.iter().chain(&states_after(Some(trial()))) {
        worst(state.clone()).encode().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    golden("promote", &states);
}

#[test]
fn turning_round_is_turning_round_once() {
    let why = || Failure::new(FailureKind::JobFailed, "the deadline");
    for (name, state) in states() {
        let turned = state.clone().unwind(why());
        assert!(turned.is_unwinding(), "{name}");
        assert_eq!(turned.clone().unwind(why()), turned, "{name} turns twice");
        if state.is_unwinding() {
            assert_eq!(turned, state, "{name} was on its way back already");
        }
    }
    let plan = Plan {
        template: TEMPLATE.into(),
        from: 1,
        old: OLD.into(),
        size: [1, 2],
        began: Timestamp(0),
        trial: None,
        swapped: false,
    };
    let started = Promote::Starting { plan, to: 2 }.unwind(why());
    assert!(
        matches!(started, Promote::RollingBack { run: Run { refresh: None, .. }, .. }),
        "it may run unheard of"
    );
}
