//! Waves: no group continues unjudged, and every group that was given the image is restored.

use std::time::Duration;

use proptest::prelude::*;

use super::super::progress::MAX_POLLS;
use super::super::timing::Timing;
use super::super::wave_progress::{GroupProgress, WavePoll, WaveProgress, group_progress};
use super::super::wave_rollback::{RollbackAction, TakeBack, rollback_action};
use crate::engine::Timestamp;
use crate::evidence::predicate::DecisionAction;
use crate::stage::aws_view::groups::{Group, LaunchSource};
use crate::stage::aws_view::instance_refreshes::{Refresh, Status};
use crate::stage::aws_view::launch_templates::{CreatedVersion, Mark};
use crate::stage::promote::analysis::guards::{Due, Finding, action};
use crate::stage::promote::settings::Settings;
use crate::stage::promote::tests::OLD;

fn settings() -> Settings {
    Settings { steps: vec![100], hold: 600, limits: Vec::new(), ..crate::stage::promote::tests::settings() }
}

fn not_ready() -> GroupProgress {
    GroupProgress::NotReady("1 on ami-old".into())
}

fn poll(progress: WaveProgress, found: &[GroupProgress], now: i64) -> WavePoll {
    let named: Vec<(&str, GroupProgress)> = found.iter().map(|one| ("web-b", one.clone())).collect();
    progress.after(4, &named, Timestamp(now))
}

fn polled(progress: WaveProgress, found: &[GroupProgress], now: i64) -> WaveProgress {
    match poll(progress, found, now) {
        WavePoll::Continue(progress, _) => progress,
        WavePoll::Failed(why) => panic!("{why}"),
    }
}

fn begun() -> WaveProgress {
    WaveProgress { begun: 4, ..WaveProgress::at(0, 1, Timestamp(0)) }
}

#[test]
fn groups_count_as_updated_in_their_order_only() {
    use GroupProgress::{Updated, Updating};
    let table: [(&[GroupProgress], u16); 5] = [
        (&[Updating, Updating], 0),
        (&[Updated, Updating, Updated], 1),
        (&[Updated, Updated, not_ready()], 2),
        (&[Updating, Updated, Updated, Updated], 0),
        (&[Updated, Updated, Updated, Updated], 4),
    ];
    for (found, done) in table {
        let progress = polled(begun(), found, 60);
        assert_eq!((progress.done, progress.whole.is_some()), (done, done == 4), "{found:?}");
    }
}

#[test]
fn a_wave_passes_only_after_its_hold_and_two_polls_that_found_it_whole() {
    let timing = Timing::of(&settings());
    let hold = i64::try_from(timing.hold).unwrap();
    let last = i64::try_from(timing.hold + timing.grace).unwrap();
    let whole = WaveProgress { done: 4, whole: Some(Timestamp(0)), seen: 9, ..begun() };
    let due = |progress: WaveProgress, now| progress.due(&settings(), Timestamp(now));
    assert_eq!(due(whole, hold - 1), Due::NotYet);
    assert_eq!(due(whole, hold), Due::Ready);
    assert_eq!(due(whole, last), Due::Last);
    let unseen = WaveProgress { seen: 1, ..whole };
    assert_eq!(due(unseen, hold), Due::NotYet);
    assert_eq!(due(unseen, last), Due::Blind, "it does not pass, and unknown data roll it back");
    assert_eq!(polled(whole, &[not_ready()], hold).seen, 0, "a group changed meanwhile");
    assert_eq!(polled(whole, &[], hold).seen, 10);
}

#[test]
fn a_wave_fails_on_one_failed_group_and_on_one_that_is_never_ready() {
    let failed = GroupProgress::Failed("AWS ended its refresh (Failed): no capacity".into());
    let poll_failed = poll(begun(), &[GroupProgress::Updated, failed], 60);
    assert_eq!(poll_failed, WavePoll::Failed("web-b: AWS ended its refresh (Failed): no capacity".into()));
    let mut progress = begun();
    for number in 1..MAX_POLLS {
        progress = polled(progress, &[not_ready()], i64::from(number));
    }
    assert!(matches!(poll(progress, &[not_ready()], 99), WavePoll::Failed(_)));
    assert_eq!(polled(progress, &[GroupProgress::Updating], 99).polls, 0, "only polls in a row count");
}

proptest! {
    /// A checkpoint ends after hold, grace and margin. Whatever is known when, no such time passes in which nobody saw
    /// everything healthy and the wave was not rolled back.
    #[test]
    fn no_checkpoint_of_a_wave_ends_unjudged(known in prop::collection::vec(any::<bool>(), 1..400)) {
        let timing = Timing::of(&settings());
        let (mut progress, mut good, mut now) = (begun(), 0, 0u64);
        for known in known {
            now += timing.poll;
            let at = Timestamp(i64::try_from(now).unwrap());
            progress = polled(progress, &[GroupProgress::Updating], at.0);
            let due = progress.due(&settings(), at);
            let finding =
                if known { Finding::Healthy } else { Finding::Unknown(vec!["no data".into()]) };
            match action(&finding, due) {
                DecisionAction::Wait => {}
                DecisionAction::RollBack => break,
                DecisionAction::Continue => return Err(TestCaseError::fail("a wave under way has passed")),
            }
            if known {
                good = now;
                progress.good = at;
            }
            prop_assert!(now - good < timing.checkpoint_delay());
        }
    }
}

#[test]
fn a_refresh_before_this_promotion_says_nothing_of_a_group() {
    let refresh = |status, started| Refresh { started, ..refresh(status, 8) };
    let not_ready = || Some("2 on ami-old".to_owned());
    let found = |refresh: &Refresh, not_ready| group_progress(Some(refresh), not_ready, Timestamp(100));
    assert_eq!(
        found(&refresh(Status::Failed, 99), not_ready()),
        GroupProgress::NotReady("2 on ami-old".into())
    );
    assert!(matches!(found(&refresh(Status::Failed, 100), not_ready()), GroupProgress::Failed(_)));
    assert!(matches!(
        found(&refresh(Status::RollbackInProgress, 100), not_ready()),
        GroupProgress::Failed(_)
    ));
    assert_eq!(found(&refresh(Status::Baking, 100), not_ready()), GroupProgress::Updating);
    assert_eq!(
        found(&refresh(Status::Pending, 0), not_ready()),
        GroupProgress::Updating,
        "it has not begun yet"
    );
    assert_eq!(
        found(&refresh(Status::Cancelled, 0), not_ready()),
        GroupProgress::NotReady("2 on ami-old".into())
    );
    assert_eq!(
        found(&refresh(Status::Failed, 100), None),
        GroupProgress::Updated,
        "it runs the image all the same"
    );
    assert_eq!(
        group_progress(None, not_ready(), Timestamp(0)),
        GroupProgress::NotReady("2 on ami-old".into())
    );
}

#[test]
fn counts_through_one_list_are_not_used_for_another() {
    let half = TakeBack { begun: 4, done: 3, ..TakeBack::of(7) };
    let discovered = TakeBack { discovered: true, ..half };
    assert_eq!(half.through(9, false), half, "the list of the spec, of which only these were reached");
    assert_eq!(
        half.through(7, true),
        TakeBack { discovered: true, ..TakeBack::of(7) },
        "as many, in another order"
    );
    assert_eq!(discovered.through(7, true), discovered);
    assert_eq!(
        discovered.through(8, true),
        TakeBack { discovered: true, ..TakeBack::of(8) },
        "one more was found"
    );
    assert_eq!(discovered.through(7, false), TakeBack::of(7), "the spec is there again");
}

fn refresh(status: Status, brings: i64) -> Refresh {
    let brings = Some(("lt-1".to_owned(), brings.to_string()));
    Refresh { id: "r-1".into(), status, reason: String::new(), percent: 40, started: 0, brings }
}

fn group(version: i64) -> Group {
    Group {
        arn: String::new(),
        launch_source: LaunchSource::Template { id: "lt-1".into(), version: version.to_string() },
        min: 0,
        max: 4,
        desired: 2,
        status: None,
        suspended: Vec::new(),
        instances: Vec::new(),
        target_groups: std::collections::BTreeSet::new(),
    }
}

/// What happened, the version it launches, its refreshes, why its fleet is not ready, and what follows.
type Case<'c> = (&'c str, i64, &'c [Refresh], Option<&'c str>, RollbackAction);

#[test]
fn the_rollback_action_follows_from_refreshes_and_template() {
    use Status::{Baking, Cancelled, Failed, InProgress, RollbackInProgress, RollbackSuccessful, Successful};
    // It launched version 7 before, and 8 is ours.
    let mark = Mark { token: "t".into(), from: 7, old: OLD.into() };
    let created = [CreatedVersion { version: 8, mark, image: Some("ami-new".into()) }];
    let mixed = Some("1 on ami-new");
    let restore = RollbackAction::Refresh("lt-1".into(), 7);
    let wait = |what: &str| RollbackAction::Wait(what.to_owned());
    let table: [Case<'_>; 14] = [
        ("never changed", 7, &[], None, RollbackAction::Restored),
        ("never changed, and unhealthy before", 7, &[refresh(Failed, 6)], mixed, RollbackAction::Restored),
        ("under way", 7, &[refresh(InProgress, 8)], mixed, RollbackAction::RollBack),
        ("baking", 7, &[refresh(Baking, 8)], mixed, RollbackAction::RollBack),
        (
            "AWS rolls back",
            7,
            &[refresh(RollbackInProgress, 8)],
            mixed,
            wait("its refresh is RollbackInProgress"),
        ),
        ("rolled back", 7, &[refresh(RollbackSuccessful, 8)], None, RollbackAction::Restored),
        ("rolled back, targets not yet", 7, &[refresh(RollbackSuccessful, 8)], mixed, wait("1 on ami-new")),
        ("cancelled half way", 7, &[refresh(Cancelled, 8)], mixed, restore.clone()),
        ("promoted", 8, &[refresh(Successful, 8)], None, restore),
        ("being restored", 8, &[refresh(InProgress, 7), refresh(Successful, 8)], None, wait("40 % restored")),
        ("restored", 7, &[refresh(Successful, 7), refresh(Successful, 8)], None, RollbackAction::Restored),
        (
            "the restore failed",
            8,
            &[refresh(Failed, 7), refresh(Successful, 8)],
            None,
            RollbackAction::Skip("the refresh r-1 ended as Failed".into()),
        ),
        (
            "someone else's",
            7,
            &[refresh(InProgress, 12), refresh(Cancelled, 8)],
            mixed,
            RollbackAction::Skip("someone else's refresh r-1 is under way".into()),
        ),
        (
            "changed by hand",
            12,
            &[refresh(Successful, 8)],
            mixed,
            RollbackAction::Skip(
                "it launches version 12 now, which is not of this promotion: 1 on ami-new".into(),
            ),
        ),
    ];
    for (story, version, refreshes, not_ready, expected) in table {
        assert_eq!(rollback_action(&group(version), refreshes, &created, not_ready), expected, "{story}");
    }
    let unchanged = rollback_action(&group(7), &[refresh(Successful, 7)], &[], None);
    assert_eq!(unchanged, RollbackAction::Restored, "no version was created for its template");
}

#[test]
fn the_rollback_grace_grows_with_the_groups_up_to_a_limit() {
    for (reached, hours) in [(1, 1), (5, 2), (50, 11), (200, 22), (u16::MAX, 22)] {
        assert_eq!(TakeBack::of(reached).grace(), Duration::from_hours(hours), "{reached}");
    }
}
