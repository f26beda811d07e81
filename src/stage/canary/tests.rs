//! The promotion's judges as tables, its log and its token as invariants.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::judge::{Due, Finding, Look, Progressed, Watch, find, verdict};
use super::log::{AlarmLetter, Entry, Log, Number, Phase};
use super::observe::{Ailment, Group, ImageView, Launches, Life, Member};
use super::pace::{MOST, Pace};
use super::preflight::{World, check};
use super::refresh::{Refresh, Status};
use super::template::Mark;
use super::trial::{Stretch, Trial};
use super::{Census, End, Plan, Promote, Run};
use crate::engine::{Failure, FailureKind, Machine, Timestamp};
use crate::evidence::ImageIdentity;
use crate::evidence::predicate::{PromotionOutcome, Verdict};
use crate::spec::{self, Metric, Query, Span};
use crate::stage::tokens::{golden, worst};
use crate::stage::why::Why;

const OLD: &str = "ami-00000000000000001";
const NEW: &str = "ami-00000000000000002";
const TEMPLATE: &str = "lt-00000000000000001";

fn metric(name: &str) -> Metric {
    Metric {
        name: name.into(),
        queries: vec![Query {
            id: "errors".into(),
            namespace: "AWS/ApplicationELB".into(),
            metric: "HTTPCode_Target_5XX_Count".into(),
            dimensions: BTreeMap::new(),
            statistic: "Sum".into(),
        }],
        expression: None,
        period: Span::from_secs(60),
        at_most: Some(1.0),
        at_least: None,
        min_datapoints: 5,
    }
}

fn rules() -> spec::Promote {
    spec::Promote {
        group: "web".into(),
        checkpoints: vec![25, 50, 100],
        hold: Span::from_secs(900),
        min_healthy_percent: 100,
        max_healthy_percent: 125,
        instance_warmup: Span::from_secs(120),
        bake_time: Span::from_secs(1800),
        alarms: vec!["web-5xx".into()],
        metrics: vec![metric("errors")],
        timeout: Span::from_secs(28_800),
        strategy: spec::Strategy::Rolling,
        turns_with: None,
        judge: None,
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
    rules.metrics[0].at_least = Some(0.2);
    for (value, good) in [(0.1, false), (0.2, true), (1.0, true), (1.1, false), (f64::NAN, false)] {
        let found = find(&rules, &look(AlarmLetter::Ok, Some(value), 5));
        assert_eq!(found == Finding::Good, good, "{value}");
    }
}

/// Plays a refresh that holds at every checkpoint as long as AWS was told to, looked at as often as we look.
/// Returns what was decided, with the seconds left of AWS's delay.
fn play(rules: &spec::Promote, good: impl Fn(u64) -> Finding) -> Vec<(Phase, Verdict, u64)> {
    let pace = Pace::of(rules);
    let mut stops = vec![(0, Progressed::To(0))];
    let mut clock = 0;
    for percent in &rules.checkpoints {
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
        rules.bake_time = Span::from_secs(bake);
        rules.metrics[0].period = Span::from_secs(period);
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

    #[test]
    fn a_decision_reads_back_as_it_was_written(entry in entry()) {
        let text = entry.to_string();
        prop_assert_eq!(text.parse::<Entry>(), Ok(entry));
        prop_assert!(!text.contains(['"', '\\']) && text.is_ascii());
    }

    #[test]
    fn a_log_keeps_to_its_room_and_never_forgets_the_newest(entries in prop::collection::vec(entry(), 1..40)) {
        let mut log = Log::default();
        for entry in &entries {
            log.push(entry.clone());
            prop_assert!(serde_json::to_string(&log).unwrap().len() <= Log::ROOM + 1);
        }
        let (kept, last) = (log.entries().last().unwrap(), entries.last().unwrap());
        prop_assert_eq!((kept.phase, kept.verdict, kept.after), (last.phase, last.verdict, last.after));
    }

    #[test]
    fn a_failure_keeps_to_its_room(text in "\\PC{0,900}|[\"\\\\\u{1}-\u{1f}é…]{0,900}") {
        let why = Why::new(FailureKind::JobFailed, &text);
        prop_assert!(serde_json::to_string(&why.text).unwrap().len() <= Why::ROOM + 2);
        prop_assert!(text.starts_with(why.text.trim_end_matches('…')) || why.text == text);
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let number = (prop::option::of(-1e12f64..1e12), 0u32..10_000)
        .prop_map(|(value, samples)| Number::rounded(value.map(|v| v / 1e6), samples));
    let phase = prop_oneof![Just(Phase::Before), (0u8..20).prop_map(Phase::At), Just(Phase::Bake)];
    let alarm =
        prop::sample::select(vec![AlarmLetter::Ok, AlarmLetter::Alarm, AlarmLetter::InsufficientData]);
    let verdict = prop::sample::select(vec![Verdict::Continue, Verdict::RollBack]);
    let numbers = prop::option::of(prop::collection::vec(number, 0..20));
    (phase, 0u8..=100, verdict, 0u32..1_300_000, prop::collection::vec(alarm, 0..=10), numbers).prop_map(
        |(phase, percent, verdict, after, alarms, numbers)| Entry {
            phase,
            percent,
            verdict,
            after,
            alarms,
            numbers,
        },
    )
}

#[test]
fn only_whole_periods_after_a_hold_began_count() {
    let window = |from, to| super::metrics::window(Timestamp(from), Timestamp(to), 60);
    assert_eq!(window(0, 300), Some((0, 300)));
    assert_eq!(window(1, 299), Some((60, 240)));
    assert_eq!(window(1, 119), None);
    assert_eq!(window(300, 0), None);
}

#[test]
fn a_mark_reads_back() {
    let mark = Mark { token: "6f0b8a5c-52f4-5f0e-9d2b-5a3e0c864b1d".into(), from: 7, old: OLD.into() };
    assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
    assert!(mark.to_string().len() <= 255, "VersionDescription takes at most 255 characters");
    for other in ["", "bakeline", "bakeline t after version x (ami-1)", "made by hand"] {
        assert!(other.parse::<Mark>().is_err(), "{other}");
    }
}

fn identity(id: &str) -> ImageIdentity {
    ImageIdentity {
        account: "123456789012".into(),
        creation_date: "2026-11-02T10:00:00.000Z".into(),
        image_id: id.into(),
        name: format!("web {id}"),
        region: "eu-west-1".into(),
    }
}

fn instance(id: &str) -> Member {
    Member {
        id: id.into(),
        life: Life::InService,
        healthy: true,
        template: Some((TEMPLATE.into(), "7".into())),
        protected: false,
    }
}

fn group() -> Group {
    Group {
        account: "123456789012".into(),
        launches: Launches::Template { id: TEMPLATE.into(), version: "7".into() },
        min: 2,
        max: 8,
        desired: 4,
        status: None,
        suspended: vec!["AZRebalance".into()],
        instances: ["i-1", "i-2", "i-3", "i-4"].map(instance).into(),
        target_groups: ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1".to_owned()]
            .into(),
    }
}

fn targets() -> BTreeMap<String, BTreeMap<String, Option<Ailment>>> {
    let each = group().instances.into_iter().map(|instance| (instance.id, None)).collect();
    group().target_groups.into_iter().map(|arn| (arn, BTreeMap::clone(&each))).collect()
}

fn world() -> World {
    let view = |id| Some(ImageView { identity: identity(id), state: "available".into() });
    World {
        group: Some(group()),
        template_image: Some(OLD.into()),
        previous: view(OLD),
        image: view(NEW),
        refreshes: vec![refresh(Status::Successful)],
        alarms: vec![AlarmLetter::Ok],
        targets: targets(),
        turns: None,
    }
}

fn refresh(status: Status) -> Refresh {
    Refresh { id: "r-1".into(), status, reason: String::new(), percent: 0, brings: None }
}

#[test]
fn preflight_lets_a_fit_world_pass() {
    let checks = check(&rules(), &identity(NEW), &world());
    let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
    assert_eq!((checks.len(), broken), (11, vec![]));
}

#[test]
fn preflight_refuses_each_thing_that_would_stop_a_rollback() {
    type Spoil = fn(&mut World);
    type Spoiler = Box<dyn Fn(&mut World)>;
    fn spoil(change: impl Fn(&mut Group)) -> impl Fn(&mut World) {
        move |world| change(world.group.as_mut().unwrap())
    }
    let cases: Vec<(&str, Spoiler)> = vec![
        ("group_exists", Box::new((|world| world.group = None) as Spoil)),
        ("group_exists", Box::new(spoil(|group| group.status = Some("Delete in progress".into())))),
        ("template_version_is_a_number", Box::new(spoil(|group| group.launches = Launches::Mixed))),
        (
            "template_version_is_a_number",
            Box::new(spoil(|g| g.launches = Launches::Configuration("lc".into()))),
        ),
        ("template_version_is_a_number", Box::new(spoil(|group| group.launches = Launches::Nothing))),
        (
            "template_version_is_a_number",
            Box::new(spoil(|g| {
                g.launches = Launches::Template { id: TEMPLATE.into(), version: "$Latest".into() }
            })),
        ),
        (
            "template_image_is_an_ami",
            Box::new((|w| w.template_image = Some("resolve:ssm:/web".into())) as Spoil),
        ),
        ("template_image_is_an_ami", Box::new((|world| world.template_image = None) as Spoil)),
        ("previous_image_is_available", Box::new((|world| world.previous = None) as Spoil)),
        (
            "previous_image_is_available",
            Box::new((|world| world.previous.as_mut().unwrap().state = "disabled".into()) as Spoil),
        ),
        ("new_image_is_available", Box::new((|world| world.image = None) as Spoil)),
        (
            "new_image_is_available",
            Box::new((|w| w.image.as_mut().unwrap().state = "pending".into()) as Spoil),
        ),
        (
            "new_image_is_available",
            Box::new(
                (|w| w.image.as_mut().unwrap().identity.creation_date = "2026-11-03T10:00:00Z".into())
                    as Spoil,
            ),
        ),
        ("no_refresh_in_progress", Box::new((|w| w.refreshes.push(refresh(Status::Baking))) as Spoil)),
        ("no_needed_process_suspended", Box::new(spoil(|group| group.suspended.push("Launch".into())))),
        ("every_instance_can_be_replaced", Box::new(spoil(|group| group.instances[1].protected = true))),
        ("capacity_has_head_room", Box::new(spoil(|group| group.max = 4))),
        ("capacity_has_head_room", Box::new(spoil(|group| group.instances.truncate(3)))),
        (
            "capacity_has_head_room",
            Box::new(spoil(|group| {
                group.desired = 0;
                group.instances.clear();
            })),
        ),
        (
            "target_groups_are_in_use",
            Box::new(
                (|world| {
                    let targets = world.targets.values_mut().next().unwrap();
                    targets.insert("i-1".into(), Some(Ailment { state: "unused".into(), not_in_use: true }));
                }) as Spoil,
            ),
        ),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmLetter::Alarm]) as Spoil)),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmLetter::InsufficientData]) as Spoil)),
        ("alarms_are_ok", Box::new((|world| world.alarms = vec![AlarmLetter::Gone]) as Spoil)),
        ("alarms_are_ok", Box::new((|world| world.alarms.clear()) as Spoil)),
    ];
    for (index, (name, change)) in cases.iter().enumerate() {
        let mut world = world();
        change(&mut world);
        let checks = check(&rules(), &identity(NEW), &world);
        let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
        assert_eq!(broken.iter().map(|check| check.check).collect::<Vec<_>>(), [*name], "case {index}");
        assert!(broken.iter().all(|check| !check.hint.is_empty()), "case {index}");
    }
    let mut standby = world();
    standby.group.as_mut().unwrap().instances.push(Member { life: Life::Standby, ..instance("i-5") });
    let checks = check(&rules(), &identity(NEW), &standby);
    assert!(
        checks
            .iter()
            .any(|c| c.check == "every_instance_can_be_replaced" && !c.holds && c.observed.contains("i-5"))
    );
}

fn census(image: &str) -> Census {
    let images = group().instances.into_iter().map(|instance| (instance.id, image.to_owned())).collect();
    Census { group: group(), images, targets: targets() }
}

#[test]
fn a_fleet_is_confirmed_only_whole() {
    type Spoil = fn(&mut Census);
    assert_eq!(census(NEW).lacks(NEW), None);
    assert_eq!(census(OLD).lacks(NEW).as_deref(), Some("4 on ami-00000000000000001"));
    let spoilt: [(&str, Spoil); 7] = [
        ("1 on ami-00000000000000001", |c| drop(c.images.insert("i-2".into(), OLD.into()))),
        ("1 on an image that is not known yet", |c| drop(c.images.remove("i-2"))),
        ("3 of 4 in service", |c| c.group.instances[3].life = Life::Leaving),
        ("3 of 4 in service", |c| c.group.instances[3].life = Life::Coming),
        ("i-1 unhealthy", |c| c.group.instances[0].healthy = false),
        ("i-1 not registered with targetgroup/web/1", |c| {
            c.targets.values_mut().for_each(|targets| drop(targets.remove("i-1")));
        }),
        ("i-1 draining in targetgroup/web/1", |c| {
            let ailment = Ailment { state: "draining".into(), not_in_use: false };
            c.targets
                .values_mut()
                .for_each(|targets| drop(targets.insert("i-1".into(), Some(ailment.clone()))));
        }),
    ];
    for (expected, spoil) in spoilt {
        let mut census = census(NEW);
        spoil(&mut census);
        assert_eq!(census.lacks(NEW).as_deref(), Some(expected));
    }
}

#[test]
fn the_share_is_of_what_is_desired() {
    let mut group = group();
    assert_eq!((group.share_of(TEMPLATE, 7), group.share_of(TEMPLATE, 8)), (100, 0));
    group.instances[0].template = Some((TEMPLATE.into(), "8".into()));
    assert_eq!(group.share_of(TEMPLATE, 8), 25);
    group.instances[0].life = Life::Coming;
    assert_eq!(group.share_of(TEMPLATE, 8), 0);
}

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
    let why = Why::new(FailureKind::SystemUnavailable, &"\"".repeat(4000));
    let watch = Watch {
        phase: Phase::At(19),
        since: Timestamp(1_893_456_000),
        seen: Timestamp(1_893_456_000),
        judged: false,
        looked: Timestamp(1_893_456_000),
    };
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
