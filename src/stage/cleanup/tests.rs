//! What stays and what goes, as a table and as invariants; and the token.

mod quarantine;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::graph::{Facts, Kind, Template, User, Users, amis, parameter};
use super::image::{Image, Protection};
use super::quarantine::{Next, Step};
use super::references::unite;
use super::retain::{Disposition, Reason, Seen, Uses, removal, retain};
use super::snapshots::{self, Held};
use super::{Cleanup, MOST, PendingRemoval, Snapshot, Todo, fit};
use crate::engine::{Failure, FailureKind, Machine, Timestamp};
use crate::evidence::ImageIdentity;
use crate::spec;
use crate::stage::failure_reason::FailureReason;
use crate::stage::tokens::{golden, worst};

const DAY: i64 = 86_400;
const ON: Protection = Protection::On { with_cooldown: false };
/// What becomes of an image that nothing speaks for.
const GOES: Disposition = Disposition::Go(Next::Step(Step::Mark));
const NOW: Timestamp = Timestamp(1_800_000_000);

fn rules(keep_last: u32, days: u32) -> spec::MachineImages {
    let text = format!(r#"{{"keep": {{"last": {keep_last}, "younger_than": "{days}d"}}}}"#);
    serde_json::from_str(&text).unwrap()
}

fn image(id: u32, days: i64) -> Image {
    let made = Timestamp(NOW.0 - days * DAY);
    Image {
        identity: ImageIdentity {
            account: "123456789012".into(),
            creation_date: made.to_string(),
            image_id: format!("ami-{id:08x}"),
            name: format!("web {id}"),
            region: "eu-west-1".into(),
        },
        state: "available".into(),
        protection: Protection::Off,
        deprecated: None,
        launched: None,
        public: false,
        shares: Some(Vec::new()),
        snapshots: vec![format!("snap-{id:08x}")],
        gib: 8,
        tags: BTreeMap::new(),
    }
}

fn fates(rules: &spec::MachineImages, images: &[Image], uses: &Uses) -> Vec<Disposition> {
    retain(rules, images, uses, NOW).into_iter().map(|verdict| verdict.fate).collect()
}

#[test]
fn each_reason_alone_keeps_an_image_and_none_lets_it_go() {
    let used = |reason: Reason| Uses::from([("ami-00000001".to_owned(), BTreeSet::from([reason]))]);
    let by = || Reason::Referenced { by: "instance i-1".into(), seen: Seen::Agreed };
    // Two newer images take the two places among the newest.
    let newer = [image(2, 20), image(3, 25)];
    let cases: Vec<(&str, Image, Uses, Option<Reason>)> = vec![
        ("nothing", image(1, 30), Uses::new(), None),
        ("used", image(1, 30), used(by()), Some(by())),
        ("this release", image(1, 30), used(Reason::ThisRelease), Some(Reason::ThisRelease)),
        ("young", image(1, 13), Uses::new(), None),
        ("pending", Image { state: "pending".into(), ..image(1, 30) }, Uses::new(), Some(Reason::Pending)),
        ("protected", Image { protection: ON, ..image(1, 30) }, Uses::new(), Some(Reason::Protected)),
        ("failed", Image { state: "failed".into(), ..image(1, 30) }, Uses::new(), None),
        ("disabled", Image { state: "disabled".into(), ..image(1, 30) }, Uses::new(), None),
    ];
    for (name, image, uses, reason) in cases {
        let mut images = newer.to_vec();
        let young = image.created().is_some_and(|made| NOW.since(made).as_secs() < 14 * 86_400);
        images.push(image);
        let fate = fates(&rules(2, 14), &images, &uses).pop().unwrap();
        match (reason, young) {
            (Some(reason), _) => assert_eq!(fate, Disposition::Keep(vec![reason]), "{name}"),
            (None, true) => assert!(matches!(fate, Disposition::Keep(_)), "{name}"),
            (None, false) => assert_eq!(fate, GOES, "{name}"),
        }
    }
}

#[test]
fn what_was_never_usable_takes_no_place_among_the_newest() {
    let images = [Image { state: "failed".into(), ..image(1, 20) }, image(2, 30), image(3, 40)];
    let fates = fates(&rules(1, 14), &images, &Uses::new());
    assert_eq!(fates, [GOES, Disposition::Keep(vec![Reason::Newest { of: 1 }]), GOES]);
}

#[test]
fn an_image_without_a_date_stays() {
    let mut odd = image(1, 30);
    odd.identity.creation_date = "yesterday".into();
    assert_eq!(
        fates(&rules(1, 1), &[odd, image(2, 20)], &Uses::new())[0],
        Disposition::Keep(vec![Reason::NoDate])
    );
}

#[test]
fn an_image_is_young_until_the_very_second() {
    let rules = rules(1, 14);
    let newest = image(9, 1);
    for (age, kept) in [(14 * DAY - 1, true), (14 * DAY, false)] {
        let mut one = image(1, 0);
        one.identity.creation_date = Timestamp(NOW.0 - age).to_string();
        let fate = fates(&rules, &[one, newest.clone()], &Uses::new()).remove(0);
        assert_eq!(matches!(fate, Disposition::Keep(_)), kept, "{age}");
    }
}

fn any_images() -> impl Strategy<Value = Vec<Image>> {
    let states =
        prop::sample::select(vec!["available", "available", "available", "disabled", "pending", "failed"]);
    prop::collection::vec((0i64..60, states, prop::bool::weighted(0.1)), 0..30).prop_map(|rows| {
        let image = |(id, (days, state, protected)): (u32, (i64, &str, bool))| Image {
            state: state.into(),
            protection: if protected { ON } else { Protection::Off },
            ..image(id, days)
        };
        (0..).zip(rows).map(image).collect()
    })
}

proptest! {
    #[test]
    fn nothing_needed_goes_and_nothing_unneeded_stays(
        images in any_images(),
        keep_last in 1u32..10,
        days in 1u32..40,
        used in prop::collection::btree_set(0u32..30, 0..10),
    ) {
        let reasons = [Reason::ThisRelease, Reason::Previous { group: "web".into() }, Reason::Current { group: "web".into() },
            Reason::InRefresh { refresh: "r".into() }, Reason::Referenced { by: "x".into(), seen: Seen::Ec2Alone }];
        let uses: Uses = used.iter().zip(reasons.iter().cycle())
            .map(|(id, reason)| (format!("ami-{id:08x}"), BTreeSet::from([reason.clone()]))).collect();
        let rules = rules(keep_last, days);
        let verdicts = retain(&rules, &images, &uses, NOW);
        prop_assert_eq!(verdicts.len(), images.len());
        for verdict in &verdicts {
            let image = verdict.image;
            let age = NOW.since(image.created().unwrap());
            let usable = |image: &Image| matches!(image.state.as_str(), "available" | "disabled");
            // Written anew, not as the rule is: how many usable images are newer.
            let newer = images.iter().filter(|other| usable(other) && (other.created() > image.created()
                || (other.created() == image.created() && other.id() < image.id()))).count();
            let needed = uses.contains_key(image.id()) || (usable(image) && newer < keep_last as usize)
                || age < rules.keep.younger_than.as_duration() || image.state == "pending" || image.protection == ON;
            match &verdict.fate {
                Disposition::Go(_) => prop_assert!(!needed, "{} was needed", image.id()),
                Disposition::Reinstate(_) => prop_assert!(false, "nothing was in quarantine"),
                Disposition::Keep(reasons) => prop_assert!(needed && !reasons.is_empty(), "{} was not needed", image.id()),
            }
        }
    }

    #[test]
    fn the_order_of_a_list_decides_nothing(images in any_images(), keep_last in 1u32..5) {
        let fates = |images: &[Image]| {
            let mut fates: Vec<(String, Disposition)> = retain(&rules(keep_last, 5), images, &Uses::new(), NOW).into_iter()
                .map(|verdict| (verdict.image.id().to_owned(), verdict.fate)).collect();
            fates.sort_by(|a, b| a.0.cmp(&b.0));
            fates
        };
        let mut backwards = images.clone();
        backwards.reverse();
        prop_assert_eq!(fates(&images), fates(&backwards));
    }

    #[test]
    fn what_is_to_go_always_fits_the_token(
        names in prop::collection::vec(("[a-zA-Z0-9 ()./_'@-]{1,128}", 0usize..40), 1..30),
    ) {
        let doomed = names.iter().enumerate().map(|(index, (name, count))| {
            let mut image = image(u32::try_from(index).unwrap(), 100);
            image.identity.name.clone_from(name);
            image.identity.image_id = format!("ami-{index:017x}");
            image.identity.creation_date = "2026-11-02T10:00:00.000Z".into();
            image.snapshots = (0..*count).map(|snapshot| format!("snap-{snapshot:017x}")).collect();
            PendingRemoval::new(&image)
        });
        let queue = fit(doomed);
        prop_assert!(!queue.is_empty() && queue.len() <= MOST);
        let done: Vec<PendingRemoval> = queue.into_iter().map(|mut doomed| {
            doomed.gone = true;
            for snapshot in &mut doomed.snapshots {
                snapshot.outcome = Some("missing-permissions".into());
            }
            doomed
        }).collect();
        let why = Some(FailureReason::new(FailureKind::SystemUnavailable, &"\"".repeat(900)));
        let encoded = worst(Cleanup::Sealing { done, why }).encode();
        prop_assert!(encoded.is_ok(), "{:?}", encoded);
    }
}

#[test]
fn amis_are_found_wherever_they_stand() {
    let found = |text: &str| amis(text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("ami-0123456789abcdef0"), ["ami-0123456789abcdef0"]);
    assert_eq!(found(r#"{"a":"ami-01234567","b":["ami-89abcdef"]}"#), ["ami-01234567", "ami-89abcdef"]);
    assert_eq!(found("ami-0123456, ami-, my-ami-xyz, ami-0123456789abcdef01"), Vec::<String>::new());
}

#[test]
fn both_sources_count_and_their_disagreement_is_told() {
    let user = |kind, id: &str| User { kind, id: id.into() };
    let users = |list: Vec<User>| Users::from([("ami-1".to_owned(), list.into_iter().collect())]);
    let ours = users(vec![
        user(Kind::Instance, "i-1"),
        user(Kind::Instance, "i-2"),
        user(Kind::LaunchConfiguration, "lc"),
    ]);
    let ec2 =
        users(vec![user(Kind::Instance, "i-1"), user(Kind::Parameter, "web"), user(Kind::Recipe, "arn")]);
    let texts: Vec<String> = unite(&ours, &ec2)["ami-1"].iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "used by Image Builder recipe arn (named by DescribeImageReferences alone)",
            "used by instance i-1",
            "used by instance i-2 (not named by DescribeImageReferences)",
            "used by launch configuration lc",
            "used by parameter web (named by DescribeImageReferences alone)",
        ]
    );
    assert_eq!(parameter("/web/image"), parameter("web/image"));
}

#[test]
fn the_reason_of_a_removal_says_the_rules() {
    assert_eq!(removal(&rules(3, 14)), "not among the newest 3, older than 14d, and nothing uses it");
}

#[test]
fn a_snapshot_is_held_by_whatever_else_names_it_and_the_record_says_by_what() {
    let mut facts = Facts::default();
    let template =
        Template { snapshots: BTreeSet::from(["snap-00000001".to_owned()]), ..Template::default() };
    facts.templates.insert("lt-1".into(), template);
    facts.disks.push((User { kind: Kind::SpotFleet, id: "sfr-1".into() }, "snap-00000001".into()));
    let mut other = image(2, 30);
    other.snapshots.push("snap-00000003".into());
    let images =
        [Image { snapshots: vec!["snap-00000001".into(), "snap-00000003".into()], ..image(1, 30) }, other];
    let named = snapshots::named(&facts, &images);
    let held =
        |image: &Image| snapshots::held(&named, image.id(), image.snapshots.iter().map(String::as_str));
    let told: Vec<String> = held(&images[0])
        .iter()
        .map(|(snapshot, users)| format!("{snapshot} {}", snapshots::why(users)))
        .collect();
    assert_eq!(
        told,
        [
            "snap-00000001 named by launch template lt-1, Spot fleet sfr-1",
            "snap-00000003 named by image ami-00000002",
        ]
    );
    assert_eq!(held(&images[1]).keys().collect::<Vec<_>>(), ["snap-00000003"]);
    assert!(held(&image(7, 30)).is_empty());

    let mut doomed = PendingRemoval::new(&images[0]);
    doomed.gone = true;
    assert!(!doomed.is_over(), "its snapshots are still to go");
    doomed.snapshots[0].outcome = Some("held".into());
    doomed.snapshots[1].outcome = Some("success".into());
    assert!(doomed.is_over() && doomed.left_over().next().is_none());
    let outcome = |held: &Held| doomed.outcomes(held).remove(0).outcome;
    assert_eq!(outcome(&held(&images[0])), "left, named by launch template lt-1, Spot fleet sfr-1");
    assert_eq!(outcome(&Held::new()), "left, named by something when the image went");
}

#[test]
fn a_snapshot_reads_back() {
    for text in ["snap-0123456789abcdef0", "snap-0123456789abcdef0=missing-permissions"] {
        assert_eq!(String::from(Snapshot::from(text.to_owned())), text);
    }
}

fn states() -> Vec<(&'static str, Cleanup)> {
    let mut gone = PendingRemoval::new(&image(1, 30));
    gone.gone = true;
    gone.snapshots[0].outcome = Some("success".into());
    let many = Image { snapshots: (0..20).map(|n| format!("snap-{n:017x}")).collect(), ..image(2, 40) };
    let queue = vec![PendingRemoval::new(&image(3, 30)), PendingRemoval::new(&many)];
    let why = Some(FailureReason::new(FailureKind::PermissionError, "ssm:DescribeParameters was denied"));
    let todo = Step::ALL.map(|step| Todo { image: format!("ami-0000000{}", step as u8), step }).to_vec();
    vec![
        ("naming", Cleanup::TaggingRelease),
        ("surveying", Cleanup::Surveying),
        ("quarantining", Cleanup::Quarantining { queue: todo }),
        ("resting", Cleanup::Resting { images: vec!["ami-00000001".into(), "ami-00000002".into()] }),
        ("removing", Cleanup::Removing { queue, done: vec![gone.clone()] }),
        ("containers", Cleanup::Containers { done: vec![gone.clone()], tries: 1 }),
        ("reaping", Cleanup::Reaping { done: vec![gone.clone()], tries: 2, asked: Vec::new() }),
        ("reaping_on", Cleanup::Reaping { done: Vec::new(), tries: 3, asked: vec![3_421_780_262, 7] }),
        ("sealing", Cleanup::Sealing { done: vec![gone.clone()], why: None }),
        ("sealing_failed", Cleanup::Sealing { done: vec![gone], why }),
    ]
}

#[test]
fn every_golden_token_is_read() {
    golden("cleanup", &states());
}

#[test]
fn turning_round_keeps_what_is_to_be_told() {
    let why = || Failure::new(FailureKind::PermissionError, "denied");
    for (name, state) in states() {
        let turned = state.clone().unwind(why());
        assert!(turned.is_unwinding(), "{name}");
        assert_eq!(turned.clone().unwind(why()), turned, "{name}");
        if let (Cleanup::Removing { queue, done }, Cleanup::Sealing { done: told, .. }) = (state, turned) {
            assert_eq!(told.len(), queue.len() + done.len());
        }
    }
}
