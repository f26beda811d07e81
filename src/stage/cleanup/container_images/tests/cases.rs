//! The known failures of others, as far as judgement alone decides them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::graph::{Listings, Gap, ResourceKind, Resource};
use super::super::image::{Image, Manifest, Status};
use super::super::quarantine::{Next, RemovalStep};
use super::super::retain::{Disposition, MarkTimes, KeepReason, KeepReasons, retain};
use super::super::uri::Registry;
use super::{ACCOUNT, DAY, NOW, REGION, REPOSITORY, image, rules};
use crate::engine::Timestamp;

const OURS: Registry<'_> = Registry { account: ACCOUNT, region: REGION };

fn address(what: &str) -> String {
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}{what}")
}

fn judged(images: &[Image], listings: &Listings) -> BTreeMap<String, Disposition> {
    marked(images, listings, &MarkTimes::new())
}

fn marked(images: &[Image], listings: &Listings, marked: &MarkTimes) -> BTreeMap<String, Disposition> {
    let mut uses = KeepReasons::new();
    for (key, users) in listings.users(images, OURS).unwrap() {
        uses.entry(key).or_default().extend(users.iter().map(|user| KeepReason::Used { by: user.to_string() }));
    }
    let dispositions = retain(&rules(), images, &uses, marked, NOW);
    dispositions.into_iter().map(|(key, disposition)| (key.digest, disposition)).collect()
}

fn used_by(kind: ResourceKind, text: &str) -> Listings {
    Listings { texts: vec![(Resource::new(kind, "it"), text.to_owned())], ..Listings::default() }
}

fn kept(disposition: &Disposition) -> bool {
    matches!(disposition, Disposition::Keep(_))
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
    let running = used_by(ResourceKind::Task, &old.key.digest);
    let dispositions = judged(&[old.clone(), new.clone()], &running);
    assert!(kept(&dispositions[&old.key.digest]), "{dispositions:?}");
    let dispositions = judged(&[old.clone(), new], &Listings::default());
    assert_eq!(dispositions[&old.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

/// `untagged` is what lifecycle policies and Cloud Custodian look for, and what the images of an index are.
#[test]
fn cloud_custodian_and_lifecycle_policies_delete_the_untagged_images_of_an_index_that_is_in_use() {
    let (amd, arm) = (image(1, 90), image(2, 90));
    let mut list = index(3, 90, &[&amd, &arm]);
    list.tags.insert("1.0".to_owned());
    let newer = tagged(4, 1, "2.0");
    let images = [amd.clone(), arm.clone(), list.clone(), newer];
    let dispositions = judged(&images, &used_by(ResourceKind::TaskDefinition, &address(":1.0")));
    for one in &images {
        assert!(kept(&dispositions[&one.key.digest]), "{} {dispositions:?}", one.key);
    }
    // One platform of it is used by digest: the index is how it was found, and how it will be.
    let dispositions = judged(&images, &used_by(ResourceKind::Task, &amd.key.digest));
    for one in [&amd, &arm, &list] {
        assert!(kept(&dispositions[&one.key.digest]), "{} {dispositions:?}", one.key);
    }
    let dispositions = judged(&images, &Listings::default());
    assert_eq!(dispositions[&list.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

/// containers-roadmap#2613: signatures count as images, and push the images they sign out of "the newest n".
#[test]
fn lifecycle_policies_count_signatures_as_images_and_leave_images_without_them() {
    let signed = tagged(1, 20, "1.0");
    let signature = Image { subject: Some(signed.key.digest.clone()), ..image(2, 90) };
    let cosign = tagged(3, 1, &format!("sha256-{}.sig", &signed.key.digest["sha256:".len()..]));
    let images = [signed.clone(), signature.clone(), cosign];
    let dispositions = judged(&images, &Listings::default());
    assert!(images.iter().all(|image| kept(&dispositions[&image.key.digest])), "{dispositions:?}");
    // Without its subject it is an image as any other.
    let dispositions = judged(std::slice::from_ref(&signature), &Listings::default());
    assert_eq!(dispositions[&signature.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

#[test]
fn every_way_to_name_an_image_keeps_it() {
    let (used, other) = (tagged(1, 90, "1.0"), tagged(2, 1, "2.0"));
    let images = [used.clone(), other];
    let by_digest = format!("@{}", used.key.digest);
    for (kind, text) in [
        (ResourceKind::TaskDefinition, address(":1.0")),
        (ResourceKind::TaskDefinition, address(&by_digest)),
        (ResourceKind::Function, address(&by_digest)),
        (ResourceKind::Parameter, format!(r#"{{"image": "{}"}}"#, address(":1.0"))),
        (ResourceKind::Parameter, "1.0".to_owned()),
        (ResourceKind::Parameter, used.key.digest.clone()),
        (ResourceKind::Recipe, address(":1.0")),
    ] {
        assert!(kept(&judged(&images, &used_by(kind, &text))[&used.key.digest]), "{text}");
    }
    for text in [address(":3.0"), "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/web:1.0".to_owned()] {
        let dispositions = judged(&images, &used_by(ResourceKind::TaskDefinition, &text));
        assert!(!kept(&dispositions[&used.key.digest]), "{text}");
    }
}

#[test]
fn a_definition_that_is_named_and_was_not_read_is_a_gap() {
    let service = Resource::new(ResourceKind::Service, "production/web");
    let listings = Listings { in_use: vec![(service.clone(), "web:7".to_owned())], ..Listings::default() };
    let gap = Gap::Definition { user: service, definition: "web:7".to_owned() };
    assert_eq!(listings.users(&[image(1, 1)], OURS), Err(gap));
}

#[test]
fn what_someone_else_archived_stays_there_and_hides_what_an_index_names() {
    let mut theirs = image(1, 90);
    (theirs.status, theirs.archived) = (Status::Archived, Some(Timestamp(NOW.0 - 30 * DAY)));
    let lone = image(2, 90);
    let dispositions = judged(&[theirs.clone(), lone.clone()], &Listings::default());
    assert_eq!(dispositions[&theirs.key.digest], Disposition::Keep(vec![KeepReason::ArchivedByOthers]));
    assert!(!kept(&dispositions[&lone.key.digest]));
    theirs.manifest = Manifest::HiddenIndex;
    let dispositions = judged(&[theirs, lone.clone()], &Listings::default());
    assert!(kept(&dispositions[&lone.key.digest]), "it may be what the index names: {dispositions:?}");
}

#[test]
fn while_an_index_of_ours_comes_back_nothing_of_its_repository_takes_a_step() {
    let archived = Timestamp(NOW.0 - 30 * DAY);
    let mut list = Image { manifest: Manifest::HiddenIndex, ..tagged(1, 90, "1.0") };
    let mut child = image(2, 90);
    for one in [&mut list, &mut child] {
        (one.status, one.archived) = (Status::Archived, Some(archived));
    }
    let marks: MarkTimes = [(list.key.clone(), archived), (child.key.clone(), archived)].into();
    let images = [list.clone(), child.clone(), tagged(3, 1, "2.0")];
    let dispositions = marked(&images, &Listings::default(), &marks);
    assert_eq!(dispositions[&list.key.digest], Disposition::Remove(Next::Step(RemovalStep::Delete)));
    assert_eq!(dispositions[&child.key.digest], Disposition::Remove(Next::Step(RemovalStep::Delete)));
    let dispositions = marked(&images, &used_by(ResourceKind::TaskDefinition, &address(":1.0")), &marks);
    assert!(matches!(dispositions[&list.key.digest], Disposition::Restore(_)), "{dispositions:?}");
    assert!(matches!(dispositions[&child.key.digest], Disposition::Remove(Next::Wait { .. })), "{dispositions:?}");
}

#[test]
fn our_own_reading_of_an_index_is_no_pull_and_a_pull_of_what_it_names_is() {
    let mut child = image(1, 90);
    let mut list = index(2, 90, &[&child]);
    list.pulled = Some(NOW);
    let dispositions = judged(&[child.clone(), list.clone()], &Listings::default());
    assert!(!kept(&dispositions[&list.key.digest]));
    child.pulled = Some(NOW);
    let dispositions = judged(&[child, list.clone()], &Listings::default());
    assert!(kept(&dispositions[&list.key.digest]));
}
