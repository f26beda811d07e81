//! Waves as tables and as worlds: nothing unjudged goes on, and everything that was given the image comes back.

use proptest::prelude::*;

use super::super::template::Mark;
use super::*;
use crate::spec::{self, Span};

fn rules() -> Promote {
    spec::Promote {
        group: "web".into(),
        checkpoints: vec![100],
        hold: Span::from_secs(600),
        min_healthy_percent: 100,
        max_healthy_percent: 200,
        instance_warmup: Span::from_secs(60),
        bake_time: Span::from_secs(0),
        alarms: vec!["web-5xx".into()],
        metrics: Vec::new(),
        timeout: Span::from_secs(28_800),
        strategy: spec::Strategy::Rolling,
        turns_with: None,
        judge: None,
        waves: Vec::new(),
        at_once: 10,
    }
}

fn unknown() -> Finding {
    Finding::Unknown(vec!["no data".into()])
}

fn bad() -> Finding {
    Finding::Bad(vec!["the alarm web-5xx is in ALARM".into()])
}

fn lacking() -> GroupProgress {
    GroupProgress::Lacking("1 on ami-old".into())
}

fn decided(cursor: WaveProgress, stand: &[GroupProgress], finding: &Finding, now: i64) -> WaveDecision {
    let named: Vec<(&str, GroupProgress)> = stand.iter().map(|stands| ("web-b", stands.clone())).collect();
    decide(&rules(), cursor, 4, &named, finding, Timestamp(now))
}

fn looked(then: WaveDecision) -> WaveProgress {
    let WaveDecision::Look(cursor, _) = then else { panic!("{then:?}") };
    cursor
}

#[test]
fn groups_count_as_done_in_their_order_only() {
    use GroupProgress::{Moving, Whole};
    let begun = WaveProgress { begun: 4, ..WaveProgress::at(0, 1, Timestamp(0)) };
    let table: [(&[GroupProgress], u16); 5] = [
        (&[Moving, Moving], 0),
        (&[Whole, Moving, Whole], 1),
        (&[Whole, Whole, lacking()], 2),
        (&[Moving, Whole, Whole, Whole], 0),
        (&[Whole, Whole, Whole, Whole], 4),
    ];
    for (stand, done) in table {
        let cursor = looked(decided(begun, stand, &Finding::Good, 60));
        assert_eq!((cursor.done, cursor.whole.is_some()), (done, done == 4), "{stand:?}");
    }
}

#[test]
fn a_wave_passes_only_once_it_held_whole_and_all_was_known() {
    let pace = Timing::of(&rules());
    let hold = i64::try_from(pace.hold).unwrap();
    let last = i64::try_from(pace.hold + pace.grace).unwrap();
    let whole =
        WaveProgress { done: 4, begun: 4, whole: Some(Timestamp(0)), seen: 9, ..WaveProgress::at(0, 1, Timestamp(0)) };
    assert!(matches!(decided(whole, &[], &Finding::Good, hold - 1), WaveDecision::Look(..)));
    assert_eq!(decided(whole, &[], &Finding::Good, hold), WaveDecision::Passed);
    assert!(matches!(decided(WaveProgress { seen: 0, ..whole }, &[], &Finding::Good, hold), WaveDecision::Look(..)));
    assert_eq!(
        looked(decided(whole, &[lacking()], &Finding::Good, hold)).seen,
        0,
        "a group changed meanwhile"
    );
    assert!(matches!(decided(whole, &[], &unknown(), last - 1), WaveDecision::Look(..)));
    assert!(matches!(decided(whole, &[], &unknown(), last), WaveDecision::TurnBack(why) if why.contains("no data")));
    assert!(matches!(decided(whole, &[], &bad(), 1), WaveDecision::TurnBack(why) if why.contains("ALARM")));
}

#[test]
fn a_wave_turns_back_on_one_lost_group_and_on_one_that_never_gets_well() {
    let begun = WaveProgress { begun: 4, ..WaveProgress::at(0, 1, Timestamp(0)) };
    let lost = GroupProgress::Lost("AWS ended its refresh (Failed): no capacity".into());
    let turned = decided(begun, &[GroupProgress::Whole, lost], &Finding::Good, 60);
    assert_eq!(turned, WaveDecision::TurnBack("web-b: AWS ended its refresh (Failed): no capacity".into()));
    let mut cursor = begun;
    for look in 1..PATIENCE {
        cursor = looked(decided(cursor, &[lacking()], &Finding::Good, i64::from(look)));
    }
    assert!(matches!(decided(cursor, &[lacking()], &Finding::Good, 99), WaveDecision::TurnBack(_)));
    let well = looked(decided(cursor, &[GroupProgress::Moving], &Finding::Good, 99));
    assert_eq!(well.looks, 0, "patience is for looks in a row");
}

#[test]
fn what_was_before_this_promotion_says_nothing_of_a_group() {
    let refresh = |status, started| Refresh { started, ..refresh(status, 8) };
    let lacks = || Some("2 on ami-old".to_owned());
    let stood = |refresh: &Refresh, lacks| stands(Some(refresh), lacks, Timestamp(100));
    assert_eq!(stood(&refresh(Status::Failed, 99), lacks()), GroupProgress::Lacking("2 on ami-old".into()));
    assert!(matches!(stood(&refresh(Status::Failed, 100), lacks()), GroupProgress::Lost(_)));
    assert!(matches!(stood(&refresh(Status::RollbackInProgress, 100), lacks()), GroupProgress::Lost(_)));
    assert_eq!(stood(&refresh(Status::Baking, 100), lacks()), GroupProgress::Moving);
    assert_eq!(stood(&refresh(Status::Pending, 0), lacks()), GroupProgress::Moving, "it has not begun yet");
    assert_eq!(stood(&refresh(Status::Cancelled, 0), lacks()), GroupProgress::Lacking("2 on ami-old".into()));
    assert_eq!(stood(&refresh(Status::Failed, 100), None), GroupProgress::Whole, "it runs the image all the same");
    assert_eq!(stands(None, lacks(), Timestamp(0)), GroupProgress::Lacking("2 on ami-old".into()));
}

#[test]
fn a_count_through_one_list_says_nothing_of_another() {
    let half = TakeBack { begun: 4, done: 3, ..TakeBack::of(7) };
    let blind = TakeBack { blind: true, ..half };
    assert_eq!(half.through(9, false), half, "the spec's list, of which only so many were reached");
    assert_eq!(half.through(7, true), TakeBack { blind: true, ..TakeBack::of(7) }, "as many, in another order");
    assert_eq!(blind.through(7, true), blind);
    assert_eq!(blind.through(8, true), TakeBack { blind: true, ..TakeBack::of(8) }, "one more was found");
    assert_eq!(blind.through(7, false), TakeBack::of(7), "the spec is there again");
}

proptest! {
    /// A checkpoint lets a group on after hold, grace and margin. Whatever is known when, no such time passes in which
    /// nobody saw all well and the wave was not turned back.
    #[test]
    fn no_checkpoint_ends_unjudged(known in prop::collection::vec(any::<bool>(), 1..400)) {
        let rules = rules();
        let pace = Timing::of(&rules);
        let (mut cursor, mut good, mut now) = (WaveProgress { begun: 4, ..WaveProgress::at(0, 1, Timestamp(0)) }, 0, 0u64);
        for known in known {
            now += pace.look;
            let finding = if known { Finding::Good } else { unknown() };
            match decided(cursor, &[GroupProgress::Moving], &finding, i64::try_from(now).unwrap()) {
                WaveDecision::Look(next, _) => cursor = next,
                WaveDecision::TurnBack(_) => break,
                WaveDecision::Passed => return Err(TestCaseError::fail("a wave under way has passed")),
            }
            if known { good = now; }
            prop_assert!(now - good < pace.checkpoint_delay());
        }
    }
}

const OLD: &str = "ami-00000000000000001";

fn refresh(status: Status, brings: i64) -> Refresh {
    let brings = Some(("lt-1".to_owned(), brings.to_string()));
    Refresh { id: "r-1".into(), status, reason: String::new(), percent: 40, started: 0, brings }
}

fn group(version: i64) -> Group {
    Group {
        account: String::new(),
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

/// What happened, the version it launches, its refreshes, what its fleet lacks, and what follows.
type Case<'c> = (&'c str, i64, &'c [Refresh], Option<&'c str>, RollbackAction);

#[test]
fn a_group_goes_back_by_what_its_refreshes_and_its_template_say() {
    use Status::{Baking, Cancelled, Failed, InProgress, RollbackInProgress, RollbackSuccessful, Successful};
    // It launched version 7 before, and 8 is ours.
    let mark = Mark { token: "t".into(), from: 7, old: OLD.into() };
    let made = [Made { version: 8, mark, image: Some("ami-new".into()) }];
    let mixed = Some("1 on ami-new");
    let back = RollbackAction::Refresh("lt-1".into(), 7);
    let moving = |what: &str| RollbackAction::Moving(what.to_owned());
    let table: [Case<'_>; 14] = [
        ("never touched", 7, &[], None, RollbackAction::Whole),
        ("never touched, and not well before", 7, &[refresh(Failed, 6)], mixed, RollbackAction::Whole),
        ("under way", 7, &[refresh(InProgress, 8)], mixed, RollbackAction::RollBack),
        ("baking", 7, &[refresh(Baking, 8)], mixed, RollbackAction::RollBack),
        (
            "AWS is at it",
            7,
            &[refresh(RollbackInProgress, 8)],
            mixed,
            moving("its refresh is RollbackInProgress"),
        ),
        ("rolled back", 7, &[refresh(RollbackSuccessful, 8)], None, RollbackAction::Whole),
        ("rolled back, targets not yet", 7, &[refresh(RollbackSuccessful, 8)], mixed, moving("1 on ami-new")),
        ("cancelled half way", 7, &[refresh(Cancelled, 8)], mixed, back.clone()),
        ("released", 8, &[refresh(Successful, 8)], None, back),
        ("on its way", 8, &[refresh(InProgress, 7), refresh(Successful, 8)], None, moving("40 % back")),
        ("back", 7, &[refresh(Successful, 7), refresh(Successful, 8)], None, RollbackAction::Whole),
        (
            "the way back failed",
            8,
            &[refresh(Failed, 7), refresh(Successful, 8)],
            None,
            RollbackAction::Leave("the refresh r-1 ended as Failed".into()),
        ),
        (
            "someone else's",
            7,
            &[refresh(InProgress, 12), refresh(Cancelled, 8)],
            mixed,
            RollbackAction::Leave("someone else's refresh r-1 is under way".into()),
        ),
        (
            "changed by hand",
            12,
            &[refresh(Successful, 8)],
            mixed,
            RollbackAction::Leave("it launches version 12 now, which is not from here: 1 on ami-new".into()),
        ),
    ];
    for (story, version, refreshes, lacks, expected) in table {
        assert_eq!(way_back(&group(version), refreshes, &made, lacks), expected, "{story}");
    }
    let untouched = way_back(&group(7), &[refresh(Successful, 7)], &[], None);
    assert_eq!(untouched, RollbackAction::Whole, "nothing was made for its template");
}

#[test]
fn the_time_to_turn_back_grows_with_the_groups_and_has_an_end() {
    for (reached, hours) in [(1, 1), (5, 2), (50, 11), (200, 22), (u16::MAX, 22)] {
        assert_eq!(TakeBack::of(reached).time(), Duration::from_hours(hours), "{reached}");
    }
}
