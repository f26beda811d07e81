//! The known failures of others, as far as judgement alone decides them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::graph::{Facts, Gap, Kind, User};
use super::super::image::{Image, Manifest, Status};
use super::super::quarantine::{Next, Step};
use super::super::retain::{Disposition, Marked, Reason, Uses, retain};
use super::super::uri::Registry;
use super::{ACCOUNT, DAY, NOW, REGION, REPOSITORY, image, rules};
use crate::engine::Timestamp;

const OURS: Registry<'_> = Registry { account: ACCOUNT, region: REGION };

fn address(what: &str) -> String {
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}{what}")
}

fn judged(images: &[Image], facts: &Facts) -> BTreeMap<String, Disposition> {
    marked(images, facts, &Marked::new())
}

fn marked(images: &[Image], facts: &Facts, marked: &Marked) -> BTreeMap<String, Disposition> {
    let mut uses = Uses::new();
    for (key, users) in facts.users(images, OURS).unwrap() {
        uses.entry(key).or_default().extend(users.iter().map(|user| Reason::Used { by: user.to_string() }));
    }
    let fates = retain(&rules(), images, &uses, marked, NOW);
    fates.into_iter().map(|(key, fate)| (key.digest, fate)).collect()
}

fn used_by(kind: Kind, text: &str) -> Facts {
    Facts { texts: vec![(User::new(kind, "it"), text.to_owned())], ..Facts::default() }
}

fn kept(fate: &Disposition) -> bool {
    matches!(fate, Disposition::Keep(_))
}

fn tagged(number: u32, days: i64, tag: &str) -> Image {
    Image { tags: BTreeSet::from([tag.to_owned()]), ..image(number, days) }
}

fn index(number: u32, days: i64, of: &[&Image]) -> Image {
    let children = of.iter().map(|image| image.key.digest.clone()).collect();
    Image { manifest: Manifest::Index(children), ..image(number, days) }
}

/// Lifecycle policies of ECR count and age images, whatever runs.
#[test]
fn ecr_lifecycle_policies_expire_what_a_task_runs_by_digest_after_its_tag_moved() {
    let (old, new) = (image(1, 90), tagged(2, 1, "latest"));
    let running = used_by(Kind::Task, &old.key.digest);
    let fates = judged(&[old.clone(), new.clone()], &running);
    assert!(kept(&fates[&old.key.digest]), "{fates:?}");
    let fates = judged(&[old.clone(), new], &Facts::default());
    assert_eq!(fates[&old.key.digest], Disposition::Go(Next::Step(Step::Mark)));
}

/// `untagged` is what lifecycle policies and Cloud Custodian look for, and what the images of an index are.
#[test]
fn cloud_custodian_and_lifecycle_policies_delete_the_untagged_images_of_an_index_that_is_in_use() {
    let (amd, arm) = (image(1, 90), image(2, 90));
    let mut list = index(3, 90, &[&amd, &arm]);
    list.tags.insert("1.0".to_owned());
    let newer = tagged(4, 1, "2.0");
    let images = [amd.clone(), arm.clone(), list.clone(), newer];
    let fates = judged(&images, &used_by(Kind::TaskDefinition, &address(":1.0")));
    for one in &images {
        assert!(kept(&fates[&one.key.digest]), "{} {fates:?}", one.key);
    }
    // One platform of it is used by digest: the index is how it was found, and how it will be.
    let fates = judged(&images, &used_by(Kind::Task, &amd.key.digest));
    for one in [&amd, &arm, &list] {
        assert!(kept(&fates[&one.key.digest]), "{} {fates:?}", one.key);
    }
    let fates = judged(&images, &Facts::default());
    assert_eq!(fates[&list.key.digest], Disposition::Go(Next::Step(Step::Mark)));
}

/// containers-roadmap#2613: signatures count as images, and push the images they sign out of "the newest n".
#[test]
fn lifecycle_policies_count_signatures_as_images_and_leave_images_without_them() {
    let signed = tagged(1, 20, "1.0");
    let signature = Image { subject: Some(signed.key.digest.clone()), ..image(2, 90) };
    let cosign = tagged(3, 1, &format!("sha256-{}.sig", &signed.key.digest["sha256:".len()..]));
    let images = [signed.clone(), signature.clone(), cosign];
    let fates = judged(&images, &Facts::default());
    assert!(images.iter().all(|image| kept(&fates[&image.key.digest])), "{fates:?}");
    // Without its subject it is an image as any other.
    let fates = judged(std::slice::from_ref(&signature), &Facts::default());
    assert_eq!(fates[&signature.key.digest], Disposition::Go(Next::Step(Step::Mark)));
}

#[test]
fn every_way_to_name_an_image_keeps_it() {
    let (used, other) = (tagged(1, 90, "1.0"), tagged(2, 1, "2.0"));
    let images = [used.clone(), other];
    let by_digest = format!("@{}", used.key.digest);
    for (kind, text) in [
        (Kind::TaskDefinition, address(":1.0")),
        (Kind::TaskDefinition, address(&by_digest)),
        (Kind::Function, address(&by_digest)),
        (Kind::Parameter, format!(r#"{{"image": "{}"}}"#, address(":1.0"))),
        (Kind::Parameter, "1.0".to_owned()),
        (Kind::Parameter, used.key.digest.clone()),
        (Kind::Recipe, address(":1.0")),
    ] {
        assert!(kept(&judged(&images, &used_by(kind, &text))[&used.key.digest]), "{text}");
    }
    for text in [address(":3.0"), "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/web:1.0".to_owned()] {
        let fates = judged(&images, &used_by(Kind::TaskDefinition, &text));
        assert!(!kept(&fates[&used.key.digest]), "{text}");
    }
}

#[test]
fn a_definition_that_is_named_and_was_not_read_is_a_gap() {
    let service = User::new(Kind::Service, "production/web");
    let facts = Facts { in_use: vec![(service.clone(), "web:7".to_owned())], ..Facts::default() };
    let gap = Gap::Definition { user: service, definition: "web:7".to_owned() };
    assert_eq!(facts.users(&[image(1, 1)], OURS), Err(gap));
}

#[test]
fn what_someone_else_archived_stays_there_and_hides_what_an_index_names() {
    let mut theirs = image(1, 90);
    (theirs.status, theirs.archived) = (Status::Archived, Some(Timestamp(NOW.0 - 30 * DAY)));
    let lone = image(2, 90);
    let fates = judged(&[theirs.clone(), lone.clone()], &Facts::default());
    assert_eq!(fates[&theirs.key.digest], Disposition::Keep(vec![Reason::ArchivedByOthers]));
    assert!(!kept(&fates[&lone.key.digest]));
    theirs.manifest = Manifest::HiddenIndex;
    let fates = judged(&[theirs, lone.clone()], &Facts::default());
    assert!(kept(&fates[&lone.key.digest]), "it may be what the index names: {fates:?}");
}

#[test]
fn while_an_index_of_ours_comes_back_nothing_of_its_repository_takes_a_step() {
    let archived = Timestamp(NOW.0 - 30 * DAY);
    let mut list = Image { manifest: Manifest::HiddenIndex, ..tagged(1, 90, "1.0") };
    let mut child = image(2, 90);
    for one in [&mut list, &mut child] {
        (one.status, one.archived) = (Status::Archived, Some(archived));
    }
    let marks: Marked = [(list.key.clone(), archived), (child.key.clone(), archived)].into();
    let images = [list.clone(), child.clone(), tagged(3, 1, "2.0")];
    let fates = marked(&images, &Facts::default(), &marks);
    assert_eq!(fates[&list.key.digest], Disposition::Go(Next::Step(Step::Delete)));
    assert_eq!(fates[&child.key.digest], Disposition::Go(Next::Step(Step::Delete)));
    let fates = marked(&images, &used_by(Kind::TaskDefinition, &address(":1.0")), &marks);
    assert!(matches!(fates[&list.key.digest], Disposition::Reinstate(_)), "{fates:?}");
    assert!(matches!(fates[&child.key.digest], Disposition::Go(Next::Rest { .. })), "{fates:?}");
}

#[test]
fn our_own_reading_of_an_index_is_no_pull_and_a_pull_of_what_it_names_is() {
    let mut child = image(1, 90);
    let mut list = index(2, 90, &[&child]);
    list.pulled = Some(NOW);
    let fates = judged(&[child.clone(), list.clone()], &Facts::default());
    assert!(!kept(&fates[&list.key.digest]));
    child.pulled = Some(NOW);
    let fates = judged(&[child, list.clone()], &Facts::default());
    assert!(kept(&fates[&list.key.digest]));
}
