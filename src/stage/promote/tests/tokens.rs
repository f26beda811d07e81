//! The longest token of every state fits, reads back, and unwinds once.

use super::{OLD, TEMPLATE};
use crate::engine::{Failure, FailureKind, Machine, Timestamp};
use crate::evidence::predicate::{DecisionAction, PromotionOutcome};
use crate::judge::Verdict;
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::metric_data::MetricValue;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::Promote;
use crate::stage::promote::analysis::input::AnalysisResult;
use crate::stage::promote::analysis::windows::Period;
use crate::stage::promote::history::{End, History};
use crate::stage::promote::log::{Entry, Log, Phase};
use crate::stage::promote::target::Deployment;
use crate::stage::promote::target::auto_scaling_group::checkpoint::CheckpointWatch;
use crate::stage::promote::target::auto_scaling_group::wave_progress::WaveProgress;
use crate::stage::promote::target::auto_scaling_group::wave_rollback::TakeBack;
use crate::stage::promote::target::auto_scaling_group::{BlueGreen, Canary, Plan, Rolling, Rollout, Waves};
use crate::stage::tokens::{golden, worst};

const LATE: Timestamp = Timestamp(1_893_456_000);

fn rollout(refresh: bool) -> Rollout {
    let plan = Plan {
        template: "lt-0123456789abcdef0".into(),
        from: 9_998,
        old: OLD.into(),
        size: [1000, 2000],
        swapped: !refresh,
    };
    let refresh = refresh.then(|| "08b91cf7-8fa6-48af-b6a6-d227f40f1b9b".to_owned());
    Rollout { plan, to: 9_999, refresh }
}

/// The longest history: twenty decisions, and as many periods as there are steps to compare.
fn history(periods: usize) -> History {
    let mut log = Log::default();
    for index in 0..20 {
        log.push(Entry {
            phase: Phase::Step(index),
            percent: 100,
            action: DecisionAction::Continue,
            after: 1_209_600,
            alarms: vec![AlarmState::Ok; 10],
            values: Some(vec![MetricValue::rounded(Some(-1.234_567e-9), 10_000); 20]),
        });
    }
    assert_eq!(log.entries().len(), 20, "every decision of the longest promotion stays");
    let analysis = (periods > 0).then_some(AnalysisResult { verdict: Verdict::Inconclusive, crc: u32::MAX });
    History { began: LATE, log, periods: vec![Period(LATE, 2000); periods], analysis }
}

/// Every state of every deployment, as long as it gets, with its name.
fn deployments() -> Vec<(&'static str, Deployment)> {
    let refreshed = || rollout(true);
    let by_weights = || rollout(false);
    let before = || Rollout { refresh: None, ..rollout(true) };
    let plan = || rollout(true).plan;
    let watch =
        CheckpointWatch { phase: Phase::Step(19), since: LATE, seen: LATE, judged: false, polled: LATE };
    let progress = WaveProgress {
        whole: Some(LATE),
        seen: 1,
        polls: 79,
        done: 499,
        begun: 500,
        ..WaveProgress::at(19, 9_501, LATE)
    };
    let take_back = TakeBack { begun: 9_999, done: 9_989, polls: 239, ..TakeBack::of(10_001) };
    let rolling = |state| Deployment::AsgRolling(state);
    let canary = |state| Deployment::AsgCanary(state);
    let blue_green = |state| Deployment::AsgBlueGreen(state);
    let waves = |state| Deployment::AsgWaves(state);
    vec![
        ("rolling_versioning", rolling(Rolling::Versioning { plan: plan() })),
        ("rolling_starting", rolling(Rolling::Starting { rollout: before() })),
        ("rolling_refreshing", rolling(Rolling::Refreshing { rollout: refreshed(), watch })),
        ("rolling_refreshed", rolling(Rolling::Refreshed { rollout: refreshed() })),
        ("rolling_rolling_back", rolling(Rolling::RollingBack { rollout: refreshed() })),
        ("rolling_cancelling", rolling(Rolling::Cancelling { rollout: refreshed() })),
        ("rolling_rolled_back", rolling(Rolling::RolledBack { rollout: refreshed(), restored: true })),
        ("canary_versioning", canary(Canary::Versioning { plan: plan() })),
        ("canary_launching", canary(Canary::Launching { rollout: before(), polls: 80 })),
        ("canary_judging", canary(Canary::Judging { rollout: before(), since: LATE })),
        ("canary_removing", canary(Canary::Removing { rollout: before(), done: 3 })),
        ("canary_removed", canary(Canary::Removed { rollout: before() })),
        ("blue_green_versioning", blue_green(BlueGreen::Versioning { plan: by_weights().plan })),
        ("blue_green_filling", blue_green(BlueGreen::Filling { rollout: by_weights(), polls: 80 })),
        (
            "blue_green_shifting",
            blue_green(BlueGreen::Shifting { rollout: by_weights(), share: 7, done: 200 }),
        ),
        (
            "blue_green_serving",
            blue_green(BlueGreen::Serving { rollout: by_weights(), share: 7, since: LATE, doubts: 1 }),
        ),
        ("blue_green_emptying", blue_green(BlueGreen::Emptying { rollout: by_weights(), done: 1 })),
        ("blue_green_emptied", blue_green(BlueGreen::Emptied { rollout: by_weights() })),
        ("blue_green_restoring", blue_green(BlueGreen::Restoring { rollout: by_weights(), done: 200 })),
        ("blue_green_draining", blue_green(BlueGreen::Draining { rollout: by_weights(), polls: 1 })),
        ("blue_green_restored", blue_green(BlueGreen::Restored { rollout: by_weights() })),
        ("waves_following", waves(Waves::Following { rollout: refreshed(), progress })),
        ("waves_finished", waves(Waves::Finished { rollout: refreshed(), progress })),
        ("waves_taking_back", waves(Waves::TakingBack { rollout: refreshed(), take_back })),
        ("waves_taken_back", waves(Waves::TakenBack { rollout: refreshed(), take_back })),
    ]
}

/// Whether a state of a deployment rolls back, by its name.
fn rolls_back(name: &str) -> bool {
    [
        "rolling_back",
        "cancelling",
        "rolled_back",
        "restoring",
        "draining",
        "restored",
        "taking_back",
        "taken_back",
    ]
    .iter()
    .any(|state| name.ends_with(state))
}

/// Every state of the machine, as long as it gets. A deployment that rolls back is in no other state.
fn states() -> Vec<(&'static str, Promote)> {
    let why = || FailureReason::new(FailureKind::SystemUnavailable, &"\"".repeat(4000));
    let end = || End {
        outcome: PromotionOutcome::Indeterminate,
        why: Some(why()),
        units: [1000, 1000, 1000],
        at: LATE,
    };
    let mut all = vec![("preflight", Promote::Preflight), ("giving_up", Promote::GivingUp { why: why() })];
    for (name, deployment) in deployments() {
        // Blue/green compares at every step, which the spec limits to eight; a canary compares once.
        let periods = match deployment {
            Deployment::AsgBlueGreen(_) => 8,
            Deployment::AsgCanary(_) | Deployment::AsgRolling(_) | Deployment::AsgWaves(_) => 1,
        };
        all.push((
            name,
            if rolls_back(name) {
                Promote::RollingBack { deployment, history: history(periods), why: why() }
            } else {
                Promote::Deploying { deployment, history: history(periods) }
            },
        ));
    }
    let (last, history) =
        (|| Deployment::AsgRolling(Rolling::Refreshed { rollout: rollout(true) }), history(8));
    all.extend([
        (
            "confirming",
            Promote::Confirming {
                deployment: last(),
                history: history.clone(),
                seen: 1,
                polls: 79,
                unjudged: true,
            },
        ),
        (
            "confirming_rollback",
            Promote::ConfirmingRollback {
                deployment: last(),
                history: history.clone(),
                why: why(),
                seen: 1,
                polls: 79,
            },
        ),
        ("sealing", Promote::Sealing { deployment: last(), history, end: end() }),
    ]);
    all
}

#[test]
fn the_longest_token_of_every_state_fits_and_golden_tokens_read_back() {
    let states = states();
    for (name, state) in &states {
        worst(state.clone()).encode().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    golden("promote", &states);
}

#[test]
fn every_state_of_the_machine_takes_every_deployment_in_a_token() {
    let why = || FailureReason::new(FailureKind::SystemUnavailable, &"\"".repeat(4000));
    for (name, deployment) in deployments() {
        let history = history(if matches!(deployment, Deployment::AsgBlueGreen(_)) { 8 } else { 1 });
        let end = End {
            outcome: PromotionOutcome::RolledBack,
            why: Some(why()),
            units: [1000, 1000, 1000],
            at: LATE,
        };
        let sealing = Promote::Sealing { deployment: deployment.clone(), history: history.clone(), end };
        let confirming = Promote::ConfirmingRollback { deployment, history, why: why(), seen: 1, polls: 79 };
        for state in [sealing, confirming] {
            worst(state).encode().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn a_state_unwinds_once() {
    let why = || Failure::new(FailureKind::JobFailed, "the deadline");
    for (name, state) in states() {
        let unwound = state.clone().unwind(why());
        assert!(unwound.is_unwinding(), "{name}");
        assert_eq!(unwound.clone().unwind(why()), unwound, "{name} unwinds twice");
        if state.is_unwinding() {
            assert_eq!(unwound, state, "{name} was unwinding already");
        }
    }
}

#[test]
fn a_refresh_that_may_have_been_started_is_rolled_back() {
    let plan = Plan { template: TEMPLATE.into(), from: 1, old: OLD.into(), size: [1, 2], swapped: false };
    let deployment = Deployment::AsgRolling(Rolling::Starting { rollout: Rollout::new(plan, 2) });
    let state = Promote::Deploying { deployment, history: History::begin(Timestamp(0)) };
    let unwound = state.unwind(Failure::new(FailureKind::JobFailed, "the deadline"));
    assert!(matches!(
        unwound,
        Promote::RollingBack {
            deployment: Deployment::AsgRolling(Rolling::RollingBack {
                rollout: Rollout { refresh: None, .. }
            }),
            ..
        }
    ));
}
