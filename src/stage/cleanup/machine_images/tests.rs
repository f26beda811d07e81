//! Tests of retention, snapshots and tokens: tables of cases and invariants.

mod quarantine;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::image::{Image, Protection};
use super::quarantine::{Next, RemovalStep};
use super::queue::QueuedImage;
use super::references::keep_reasons;
use super::removal::{PendingRemoval, Snapshot};
use super::retention::{Agreement, Disposition, KeepReason, KeepReasons, dispositions, removal_reason};
use super::snapshots;
use crate::engine::{Failure, FailureKind, Machine, Timestamp};
use crate::evidence::ImageIdentity;
use crate::spec;
use crate::stage::aws_view::image_references::graph::{
    Listings, References, Resource, ResourceKind, Template, amis, parameter_name,
};
use crate::stage::cleanup::steps::fit_token;
use crate::stage::cleanup::{Cleanup, MAX_IMAGES};
use crate::stage::failure_reason::FailureReason;
use crate::stage::tokens::{golden, worst};

const DAY: i64 = 86_400;
const ON: Protection = Protection::On { with_cooldown: false };
/// The disposition of an image that nothing keeps.
const REMOVED: Disposition = Disposition::Remove(Next::Step(RemovalStep::Mark));
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
        deprecated_on: None,
        launched_on: None,
        public: false,
        shared_with: Some(Vec::new()),
        snapshots: vec![format!("snap-{id:08x}")],
        gib: 8,
        tags: BTreeMap::new(),
    }
}

fn decide(rules: &spec::MachineImages, images: &[Image], uses: &KeepReasons) -> Vec<Disposition> {
    let all = dispositions(rules, images, uses, NOW);
    images.iter().map(|image| all[image.id()].clone()).collect()
}

#[test]
fn each_reason_alone_keeps_an_image_and_without_any_it_is_removed() {
    let used =
        |reason: KeepReason| KeepReasons::from([("ami-00000001".to_owned(), BTreeSet::from([reason]))]);
    let by = || KeepReason::Referenced { by: "instance i-1".into(), agreement: Agreement::Agreed };
    // Two newer images are the newest two.
    let newer = [image(2, 20), image(3, 25)];
    let cases: Vec<(&str, Image, KeepReasons, Option<KeepReason>)> = vec![
        ("nothing", image(1, 30), KeepReasons::new(), None),
        ("used", image(1, 30), used(by()), Some(by())),
        ("this release", image(1, 30), used(KeepReason::ThisRelease), Some(KeepReason::ThisRelease)),
        ("young", image(1, 13), KeepReasons::new(), None),
        (
            "pending",
            Image { state: "pending".into(), ..image(1, 30) },
            KeepReasons::new(),
            Some(KeepReason::Pending),
        ),
        (
            "protected",
            Image { protection: ON, ..image(1, 30) },
            KeepReasons::new(),
            Some(KeepReason::Protected),
        ),
        ("failed", Image { state: "failed".into(), ..image(1, 30) }, KeepReasons::new(), None),
        ("disabled", Image { state: "disabled".into(), ..image(1, 30) }, KeepReasons::new(), None),
    ];
    for (name, image, uses, reason) in cases {
        let mut images = newer.to_vec();
        let young = image.created().is_some_and(|made| NOW.since(made).as_secs() < 14 * 86_400);
        images.push(image);
        let disposition = decide(&rules(2, 14), &images, &uses).pop().unwrap();
        match (reason, young) {
            (Some(reason), _) => assert_eq!(disposition, Disposition::Keep(vec![reason]), "{name}"),
            (None, true) => assert!(matches!(disposition, Disposition::Keep(_)), "{name}"),
            (None, false) => assert_eq!(disposition, REMOVED, "{name}"),
        }
    }
}

#[test]
fn a_day_in_the_keep_tag_keeps_an_image_to_its_end() {
    assert_eq!(NOW.to_string(), "2027-01-15T08:00:00Z");
    for (value, is_kept) in [
        ("2027-01-15", true),
        ("2027-01-14", false),
        ("2025-12-31", false),
        ("2027-01-15T09:00:00Z", true),
        ("2027-01-15T07:00:00Z", false),
        // No dates.
        ("true", true),
        ("2027-02-30", true),
        ("", true),
    ] {
        let mut old = image(1, 400);
        old.tags.insert("bakeline:keep".into(), value.into());
        let found = decide(&rules(1, 1), &[old, image(2, 0)], &KeepReasons::new());
        assert_eq!(found[0] != REMOVED, is_kept, "{value:?}: {:?}", found[0]);
    }
}

#[test]
fn an_unusable_image_does_not_count_among_the_newest() {
    let images = [Image { state: "failed".into(), ..image(1, 20) }, image(2, 30), image(3, 40)];
    let decided = decide(&rules(1, 14), &images, &KeepReasons::new());
    assert_eq!(decided, [REMOVED, Disposition::Keep(vec![KeepReason::Newest { of: 1 }]), REMOVED]);
}

#[test]
fn an_image_without_a_date_stays() {
    let mut odd = image(1, 30);
    odd.identity.creation_date = "yesterday".into();
    assert_eq!(
        decide(&rules(1, 1), &[odd, image(2, 20)], &KeepReasons::new())[0],
        Disposition::Keep(vec![KeepReason::UnknownAge])
    );
}

#[test]
fn the_minimum_age_is_exact_to_the_second() {
    let rules = rules(1, 14);
    let newest = image(9, 1);
    for (age, kept) in [(14 * DAY - 1, true), (14 * DAY, false)] {
        let mut one = image(1, 0);
        one.identity.creation_date = Timestamp(NOW.0 - age).to_string();
        let disposition = decide(&rules, &[one, newest.clone()], &KeepReasons::new()).remove(0);
        assert_eq!(matches!(disposition, Disposition::Keep(_)), kept, "{age}");
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
    fn needed_images_stay_and_others_are_removed(
        images in any_images(),
        keep_last in 1u32..10,
        days in 1u32..40,
        used in prop::collection::btree_set(0u32..30, 0..10),
    ) {
        let reasons = [KeepReason::ThisRelease, KeepReason::Previous { target: "web".into() }, KeepReason::Current { group: "web".into() },
            KeepReason::InRefresh { refresh: "r".into() }, KeepReason::Referenced { by: "x".into(), agreement: Agreement::Ec2Only }];
        let uses: KeepReasons = used.iter().zip(reasons.iter().cycle())
            .map(|(id, reason)| (format!("ami-{id:08x}"), BTreeSet::from([reason.clone()]))).collect();
        let rules = rules(keep_last, days);
        let decided = dispositions(&rules, &images, &uses, NOW);
        prop_assert_eq!(decided.len(), images.len());
        for image in &images {
            let age = NOW.since(image.created().unwrap());
            let usable = |image: &Image| matches!(image.state.as_str(), "available" | "disabled");
            // An independent formulation of the rule: how many usable images are newer.
            let newer = images.iter().filter(|other| usable(other) && (other.created() > image.created()
                || (other.created() == image.created() && other.id() < image.id()))).count();
            let needed = uses.contains_key(image.id()) || (usable(image) && newer < keep_last as usize)
                || age < rules.keep.younger_than.as_duration() || image.state == "pending" || image.protection == ON;
            match &decided[image.id()] {
                Disposition::Remove(_) => prop_assert!(!needed, "{} was needed", image.id()),
                Disposition::Restore(_) => prop_assert!(false, "no image was in quarantine"),
                Disposition::Keep(reasons) => prop_assert!(needed && !reasons.is_empty(), "{} was not needed", image.id()),
            }
        }
    }

    #[test]
    fn the_order_of_a_list_does_not_matter(images in any_images(), keep_last in 1u32..5) {
        let decide = |images: &[Image]| dispositions(&rules(keep_last, 5), images, &KeepReasons::new(), NOW);
        let mut backwards = images.clone();
        backwards.reverse();
        prop_assert_eq!(decide(&images), decide(&backwards));
    }

    #[test]
    fn pending_removals_always_fit_the_token(
        names in prop::collection::vec(("[a-zA-Z0-9 ()./_'@-]{1,128}", 0usize..40), 1..30),
    ) {
        let removal = names.iter().enumerate().map(|(index, (name, count))| {
            let mut image = image(u32::try_from(index).unwrap(), 100);
            image.identity.name.clone_from(name);
            image.identity.image_id = format!("ami-{index:017x}");
            image.identity.creation_date = "2026-11-02T10:00:00.000Z".into();
            image.snapshots = (0..*count).map(|snapshot| format!("snap-{snapshot:017x}")).collect();
            PendingRemoval::new(&image)
        });
        let queue = fit_token(removal);
        prop_assert!(!queue.is_empty() && queue.len() <= MAX_IMAGES);
        let done: Vec<PendingRemoval> = queue.into_iter().map(|mut removal| {
            removal.deregistered = true;
            for snapshot in &mut removal.snapshots {
                snapshot.outcome = Some("missing-permissions".into());
            }
            removal
        }).collect();
        let why = Some(FailureReason::new(FailureKind::SystemUnavailable, &"\"".repeat(900)));
        let encoded = worst(Cleanup::Sealing { done, why }).encode();
        prop_assert!(encoded.is_ok(), "{:?}", encoded);
    }
}

#[test]
fn image_ids_are_found_anywhere_in_a_text() {
    let found = |text: &str| amis(text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("ami-0123456789abcdef0"), ["ami-0123456789abcdef0"]);
    assert_eq!(found(r#"{"a":"ami-01234567","b":["ami-89abcdef"]}"#), ["ami-01234567", "ami-89abcdef"]);
    assert_eq!(found("ami-0123456, ami-, my-ami-xyz, ami-0123456789abcdef01"), Vec::<String>::new());
}

#[test]
fn both_sources_count_and_disagreements_are_reported() {
    let user = |kind, id: &str| Resource { kind, id: id.into() };
    let users = |list: Vec<Resource>| References::from([("ami-1".to_owned(), list.into_iter().collect())]);
    let ours = users(vec![
        user(ResourceKind::Instance, "i-1"),
        user(ResourceKind::Instance, "i-2"),
        user(ResourceKind::LaunchConfiguration, "lc"),
    ]);
    let ec2 = users(vec![
        user(ResourceKind::Instance, "i-1"),
        user(ResourceKind::Parameter, "web"),
        user(ResourceKind::Recipe, "arn"),
    ]);
    let texts: Vec<String> = keep_reasons(&ours, &ec2)["ami-1"].iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "used by Image Builder recipe arn (reported by DescribeImageReferences only)",
            "used by instance i-1",
            "used by instance i-2 (not reported by DescribeImageReferences)",
            "used by launch configuration lc",
            "used by parameter web (reported by DescribeImageReferences only)",
        ]
    );
    assert_eq!(parameter_name("/web/image"), parameter_name("web/image"));
}

#[test]
fn the_reason_of_a_removal_says_the_rules() {
    assert_eq!(removal_reason(&rules(3, 14)), "not among the newest 3, older than 14d, and nothing uses it");
}

#[test]
fn a_referenced_snapshot_is_retained_and_the_record_names_the_references() {
    let mut listings = Listings::default();
    let template =
        Template { snapshots: BTreeSet::from(["snap-00000001".to_owned()]), ..Template::default() };
    listings.templates.insert("lt-1".into(), template);
    listings
        .snapshots
        .push((Resource { kind: ResourceKind::SpotFleet, id: "sfr-1".into() }, "snap-00000001".into()));
    let mut other = image(2, 30);
    other.snapshots.push("snap-00000003".into());
    let images =
        [Image { snapshots: vec!["snap-00000001".into(), "snap-00000003".into()], ..image(1, 30) }, other];
    let references = snapshots::references(&listings, &images);
    let retained = |image: &Image| {
        snapshots::retained(&references, image.id(), image.snapshots.iter().map(String::as_str))
    };
    let reasons: Vec<String> = retained(&images[0])
        .iter()
        .map(|(snapshot, resources)| format!("{snapshot} {}", snapshots::reason(resources)))
        .collect();
    assert_eq!(
        reasons,
        [
            "snap-00000001 referenced by launch template lt-1, Spot fleet sfr-1",
            "snap-00000003 referenced by image ami-00000002",
        ]
    );
    assert_eq!(retained(&images[1]).keys().collect::<Vec<_>>(), ["snap-00000003"]);
    assert!(retained(&image(7, 30)).is_empty());

    let mut removal = PendingRemoval::new(&images[0]);
    removal.deregistered = true;
    assert!(!removal.is_finished(), "its snapshots remain to be deleted");
    removal.snapshots[0].outcome = Some("retained".into());
    removal.snapshots[1].outcome = Some("success".into());
    assert!(removal.is_finished() && removal.not_deleted().next().is_none());
    let outcome = |retained: &References| removal.outcomes(retained).remove(0).outcome;
    assert_eq!(
        outcome(&retained(&images[0])),
        "retained, referenced by launch template lt-1, Spot fleet sfr-1"
    );
    assert_eq!(
        outcome(&References::new()),
        "retained: another resource referenced it when the image was deregistered"
    );
}

#[test]
fn a_snapshot_is_parsed_back() {
    for text in ["snap-0123456789abcdef0", "snap-0123456789abcdef0=missing-permissions"] {
        assert_eq!(String::from(Snapshot::from(text.to_owned())), text);
    }
}

fn states() -> Vec<(&'static str, Cleanup)> {
    let mut removed = PendingRemoval::new(&image(1, 30));
    removed.deregistered = true;
    removed.snapshots[0].outcome = Some("success".into());
    let many = Image { snapshots: (0..20).map(|n| format!("snap-{n:017x}")).collect(), ..image(2, 40) };
    let queue = vec![PendingRemoval::new(&image(3, 30)), PendingRemoval::new(&many)];
    let why = Some(FailureReason::new(FailureKind::PermissionError, "ssm:DescribeParameters was denied"));
    let queued = RemovalStep::ALL
        .map(|step| QueuedImage { image: format!("ami-0000000{}", step as u8), step })
        .to_vec();
    vec![
        ("tagging_release", Cleanup::TaggingRelease),
        ("surveying", Cleanup::Surveying),
        ("quarantining", Cleanup::Quarantining { queue: queued }),
        ("waiting", Cleanup::Waiting { images: vec!["ami-00000001".into(), "ami-00000002".into()] }),
        ("removing", Cleanup::Removing { queue, done: vec![removed.clone()] }),
        ("container_images", Cleanup::ContainerImages { done: vec![removed.clone()], calls: 1 }),
        ("reaping", Cleanup::Reaping { done: vec![removed.clone()], searches: 2, recent: Vec::new() }),
        ("reaping_again", Cleanup::Reaping { done: Vec::new(), searches: 3, recent: vec![3_421_780_262, 7] }),
        ("sealing", Cleanup::Sealing { done: vec![removed.clone()], why: None }),
        ("sealing_failed", Cleanup::Sealing { done: vec![removed], why }),
    ]
}

#[test]
fn every_golden_token_is_parsed() {
    golden("cleanup", &states());
}

#[test]
fn unwinding_keeps_what_is_to_be_recorded() {
    let why = || Failure::new(FailureKind::PermissionError, "denied");
    for (name, state) in states() {
        let unwound = state.clone().unwind(why());
        assert!(unwound.is_unwinding(), "{name}");
        assert_eq!(unwound.clone().unwind(why()), unwound, "{name}");
        if let (Cleanup::Removing { queue, done }, Cleanup::Sealing { done: recorded, .. }) = (state, unwound)
        {
            assert_eq!(recorded.len(), queue.len() + done.len());
        }
    }
}
