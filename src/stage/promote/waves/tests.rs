//! Waves as tables and as worlds: nothing unjudged goes on, and everything that was given the image comes back.

use proptest::prelude::*;

use super::super::template::Mark;
use super::*;
use crate::spec::{self, GroupPromotion, Span};

fn rules() -> GroupPromotion {
    spec::GroupPromotion {
        group: "web".into(),
        steps: vec![100],
        hold: Span::from_secs(600),
        min_healthy_percent: 100,
        max_healthy_percent: 200,
        warmup: Some(Span::from_secs(60)),
        soak: Span::from_secs(0),
        alarms: vec!["web-5xx".into()],
        limits: Vec::new(),
        timeout: Span::from_secs(28_800),
        way: spec::GroupWay::Rolling,
        alternate: None,
        judge: None,
        waves: Vec::new(),
        size: 1,
    }
}

fn unknown() -> Finding {
    Finding::Unknown(vec!["no data".into()])
}

fn bad() -> Finding {
    Finding::Bad(vec!["the alarm web-5xx is in ALARM".into()])
}

fn lacking() -> Stands {
    Stands::Lacking("1 on ami-old".into())
}

fn decided(cursor: Cursor, stand: &[Stands], finding: &Finding, now: i64) -> Then {
    let named: Vec<(&str, Stands)> = stand.iter().map(|stands| ("web-b", stands.clone())).collect();
    decide(&rules(), cursor, 4, &named, finding, Timestamp(now))
}

fn looked(then: Then) -> Cursor {
    let Then::Look(cursor, _) = then else { panic!("{then:?}") };
    cursor
}

#[test]
fn groups_count_as_done_in_their_order_only() {
    use Stands::{Moving, Whole};
    let begun = Cursor { begun: 4, ..Cursor::at(0, 1, Timestamp(0)) };
    let table: [(&[Stands], u16); 5] = [
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
    let pace = Pace::of(&rules());
    let hold = i64::try_from(pace.hold).unwrap();
    let last = i64::try_from(pace.hold + pace.grace).unwrap();
    let whole =
        Cursor { done: 4, begun: 4, whole: Some(Timestamp(0)), seen: 9, ..Cursor::at(0, 1, Timestamp(0)) };
    assert!(matches!(decided(whole, &[], &Finding::Good, hold - 1), Then::Look(..)));
    assert_eq!(decided(whole, &[], &Finding::Good, hold), Then::Passed);
    assert!(matches!(decided(Cursor { seen: 0, ..whole }, &[], &Finding::Good, hold), Then::Look(..)));
    assert_eq!(
        looked(decided(whole, &[lacking()], &Finding::Good, hold)).seen,
        0,
        "a group changed meanwhile"
    );
    assert!(matches!(decided(whole, &[], &unknown(), last - 1), Then::Look(..)));
    assert!(matches!(decided(whole, &[], &unknown(), last), Then::TurnBack(why) if why.contains("no data")));
    assert!(matches!(decided(whole, &[], &bad(), 1), Then::TurnBack(why) if why.contains("ALARM")));
}

#[test]
fn a_wave_turns_back_on_one_lost_group_and_on_one_that_never_gets_well() {
    let begun = Cursor { begun: 4, ..Cursor::at(0, 1, Timestamp(0)) };
    let lost = Stands::Lost("AWS ended its refresh (Failed): no capacity".into());
    let turned = decided(begun, &[Stands::Whole, lost], &Finding::Good, 60);
    assert_eq!(turned, Then::TurnBack("web-b: AWS ended its refresh (Failed): no capacity".into()));
    let mut cursor = begun;
    for look in 1..PATIENCE {
        cursor = looked(decided(cursor, &[lacking()], &Finding::Good, i64::from(look)));
    }
    assert!(matches!(decided(cursor, &[lacking()], &Finding::Good, 99), Then::TurnBack(_)));
    let well = looked(decided(cursor, &[Stands::Moving], &Finding::Good, 99));
    assert_eq!(well.looks, 0, "patience is for looks in a row");
}

#[test]
fn what_was_before_this_promotion_says_nothing_of_a_group() {
    let refresh = |status, started| Refresh { started, ..refresh(status, 8) };
    let lacks = || Some("2 on ami-old".to_owned());
    let stood = |refresh: &Refresh, lacks| stands(Some(refresh), lacks, Timestamp(100));
    assert_eq!(stood(&refresh(Status::Failed, 99), lacks()), Stands::Lacking("2 on ami-old".into()));
    assert!(matches!(stood(&refresh(Status::Failed, 100), lacks()), Stands::Lost(_)));
    assert!(matches!(stood(&refresh(Status::RollbackInProgress, 100), lacks()), Stands::Lost(_)));
    assert_eq!(stood(&refresh(Status::Baking, 100), lacks()), Stands::Moving);
    assert_eq!(stood(&refresh(Status::Pending, 0), lacks()), Stands::Moving, "it has not begun yet");
    assert_eq!(stood(&refresh(Status::Cancelled, 0), lacks()), Stands::Lacking("2 on ami-old".into()));
    assert_eq!(stood(&refresh(Status::Failed, 100), None), Stands::Whole, "it runs the image all the same");
    assert_eq!(stands(None, lacks(), Timestamp(0)), Stands::Lacking("2 on ami-old".into()));
}

#[test]
fn a_count_through_one_list_says_nothing_of_another() {
    let half = Turn { begun: 4, done: 3, ..Turn::of(7) };
    let blind = Turn { blind: true, ..half };
    assert_eq!(half.through(9, false), half, "the spec's list, of which only so many were reached");
    assert_eq!(half.through(7, true), Turn { blind: true, ..Turn::of(7) }, "as many, in another order");
    assert_eq!(blind.through(7, true), blind);
    assert_eq!(blind.through(8, true), Turn { blind: true, ..Turn::of(8) }, "one more was found");
    assert_eq!(blind.through(7, false), Turn::of(7), "the spec is there again");
}

proptest! {
    /// A checkpoint lets a group on after hold, grace and margin. Whatever is known when, no such time passes in which
    /// nobody saw all well and the wave was not turned back.
    #[test]
    fn no_checkpoint_ends_unjudged(known in prop::collection::vec(any::<bool>(), 1..400)) {
        let rules = rules();
        let pace = Pace::of(&rules);
        let (mut cursor, mut good, mut now) = (Cursor { begun: 4, ..Cursor::at(0, 1, Timestamp(0)) }, 0, 0u64);
        for known in known {
            now += pace.look;
            let finding = if known { Finding::Good } else { unknown() };
            match decided(cursor, &[Stands::Moving], &finding, i64::try_from(now).unwrap()) {
                Then::Look(next, _) => cursor = next,
                Then::TurnBack(_) => break,
                Then::Passed => return Err(TestCaseError::fail("a wave under way has passed")),
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
        launches: Launches::Template { id: "lt-1".into(), version: version.to_string() },
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
type Case<'c> = (&'c str, i64, &'c [Refresh], Option<&'c str>, Back);

#[test]
fn a_group_goes_back_by_what_its_refreshes_and_its_template_say() {
    use Status::{Baking, Cancelled, Failed, InProgress, RollbackInProgress, RollbackSuccessful, Successful};
    // It launched version 7 before, and 8 is ours.
    let mark = Mark { token: "t".into(), from: 7, old: OLD.into() };
    let made = [Made { version: 8, mark, image: Some("ami-new".into()) }];
    let mixed = Some("1 on ami-new");
    let back = Back::Refresh("lt-1".into(), 7);
    let moving = |what: &str| Back::Moving(what.to_owned());
    let table: [Case<'_>; 14] = [
        ("never touched", 7, &[], None, Back::Whole),
        ("never touched, and not well before", 7, &[refresh(Failed, 6)], mixed, Back::Whole),
        ("under way", 7, &[refresh(InProgress, 8)], mixed, Back::RollBack),
        ("baking", 7, &[refresh(Baking, 8)], mixed, Back::RollBack),
        (
            "AWS is at it",
            7,
            &[refresh(RollbackInProgress, 8)],
            mixed,
            moving("its refresh is RollbackInProgress"),
        ),
        ("rolled back", 7, &[refresh(RollbackSuccessful, 8)], None, Back::Whole),
        ("rolled back, targets not yet", 7, &[refresh(RollbackSuccessful, 8)], mixed, moving("1 on ami-new")),
        ("cancelled half way", 7, &[refresh(Cancelled, 8)], mixed, back.clone()),
        ("released", 8, &[refresh(Successful, 8)], None, back),
        ("on its way", 8, &[refresh(InProgress, 7), refresh(Successful, 8)], None, moving("40 % back")),
        ("back", 7, &[refresh(Successful, 7), refresh(Successful, 8)], None, Back::Whole),
        (
            "the way back failed",
            8,
            &[refresh(Failed, 7), refresh(Successful, 8)],
            None,
            Back::Leave("the refresh r-1 ended as Failed".into()),
        ),
        (
            "someone else's",
            7,
            &[refresh(InProgress, 12), refresh(Cancelled, 8)],
            mixed,
            Back::Leave("someone else's refresh r-1 is under way".into()),
        ),
        (
            "changed by hand",
            12,
            &[refresh(Successful, 8)],
            mixed,
            Back::Leave("it launches version 12 now, which is not from here: 1 on ami-new".into()),
        ),
    ];
    for (story, version, refreshes, lacks, expected) in table {
        assert_eq!(way_back(&group(version), refreshes, &made, lacks), expected, "{story}");
    }
    let untouched = way_back(&group(7), &[refresh(Successful, 7)], &[], None);
    assert_eq!(untouched, Back::Whole, "nothing was made for its template");
}

#[test]
fn the_time_to_turn_back_grows_with_the_groups_and_has_an_end() {
    for (reached, hours) in [(1, 1), (5, 2), (50, 11), (200, 22), (u16::MAX, 22)] {
        assert_eq!(Turn::of(reached).time(), Duration::from_hours(hours), "{reached}");
    }
}
