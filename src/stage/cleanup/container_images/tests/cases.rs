//! Known failures of other tools that retention alone prevents.

use std::collections::{BTreeMap, BTreeSet};

use super::super::image::{Image, Manifest, Status};
use super::super::image_names::Registry;
use super::super::quarantine::{Next, RemovalStep};
use super::super::references::graph::{Gap, Listings, Resource, ResourceKind};
use super::super::retention::{Disposition, KeepReason, KeepReasons, MarkTimes, dispositions};
use super::{ACCOUNT, DAY, NOW, REGION, REPOSITORY, image, rules};
use crate::engine::Timestamp;

const OURS: Registry<'_> = Registry { account: ACCOUNT, region: REGION };

fn address(what: &str) -> String {
    format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}{what}")
}

fn decide(images: &[Image], listings: &Listings) -> BTreeMap<String, Disposition> {
    decide_marked(images, listings, &MarkTimes::new())
}

fn decide_marked(images: &[Image], listings: &Listings, marked: &MarkTimes) -> BTreeMap<String, Disposition> {
    let mut uses = KeepReasons::new();
    for (key, resources) in listings.by_image(images, OURS).unwrap() {
        uses.entry(key)
            .or_default()
            .extend(resources.iter().map(|one| KeepReason::Used { by: one.to_string() }));
    }
    let decided = dispositions(&rules(), images, &uses, marked, NOW);
    decided.into_iter().map(|(key, disposition)| (key.digest, disposition)).collect()
}

fn used_by(kind: ResourceKind, text: &str) -> Listings {
    Listings { texts: vec![(Resource::new(kind, "it"), text.to_owned())], ..Listings::default() }
}

fn is_kept(disposition: &Disposition) -> bool {
    matches!(disposition, Disposition::Keep(_))
}

fn tagged(number: u32, days: i64, tag: &str) -> Image {
    Image { tags: BTreeSet::from([tag.to_owned()]), ..image(number, days) }
}

fn index(number: u32, days: i64, of: &[&Image]) -> Image {
    let children = of.iter().map(|image| image.key.digest.clone()).collect();
    Image { manifest: Manifest::Index(children), ..image(number, days) }
}

/// ECR lifecycle policies expire images by count and age, even if a task runs them.
#[test]
fn ecr_lifecycle_policies_expire_what_a_task_runs_by_digest_after_its_tag_moved() {
    let (old, new) = (image(1, 90), tagged(2, 1, "latest"));
    let running = used_by(ResourceKind::Task, &old.key.digest);
    let decided = decide(&[old.clone(), new.clone()], &running);
    assert!(is_kept(&decided[&old.key.digest]), "{decided:?}");
    let decided = decide(&[old.clone(), new], &Listings::default());
    assert_eq!(decided[&old.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

/// The images of an index are untagged, and lifecycle policies and Cloud Custodian delete untagged images.
#[test]
fn cloud_custodian_and_lifecycle_policies_delete_the_untagged_images_of_an_index_that_is_in_use() {
    let (amd, arm) = (image(1, 90), image(2, 90));
    let mut list = index(3, 90, &[&amd, &arm]);
    list.tags.insert("1.0".to_owned());
    let newer = tagged(4, 1, "2.0");
    let images = [amd.clone(), arm.clone(), list.clone(), newer];
    let decided = decide(&images, &used_by(ResourceKind::TaskDefinition, &address(":1.0")));
    for one in &images {
        assert!(is_kept(&decided[&one.key.digest]), "{} {decided:?}", one.key);
    }
    // A task uses one platform by digest: its index stays, too.
    let decided = decide(&images, &used_by(ResourceKind::Task, &amd.key.digest));
    for one in [&amd, &arm, &list] {
        assert!(is_kept(&decided[&one.key.digest]), "{} {decided:?}", one.key);
    }
    let decided = decide(&images, &Listings::default());
    assert_eq!(decided[&list.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

/// containers-roadmap#2613: signatures count as images, and push the images they sign out of "the newest n".
#[test]
fn lifecycle_policies_count_signatures_as_images_and_leave_images_without_them() {
    let signed = tagged(1, 20, "1.0");
    let signature = Image { subject: Some(signed.key.digest.clone()), ..image(2, 90) };
    let cosign = tagged(3, 1, &format!("sha256-{}.sig", &signed.key.digest["sha256:".len()..]));
    let images = [signed.clone(), signature.clone(), cosign];
    let decided = decide(&images, &Listings::default());
    assert!(images.iter().all(|image| is_kept(&decided[&image.key.digest])), "{decided:?}");
    // Without its subject, a signature is an image like any other.
    let decided = decide(std::slice::from_ref(&signature), &Listings::default());
    assert_eq!(decided[&signature.key.digest], Disposition::Remove(Next::Step(RemovalStep::Mark)));
}

#[test]
fn every_kind_of_image_name_keeps_the_image() {
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
        assert!(is_kept(&decide(&images, &used_by(kind, &text))[&used.key.digest]), "{text}");
    }
    for text in [address(":3.0"), "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/web:1.0".to_owned()] {
        let decided = decide(&images, &used_by(ResourceKind::TaskDefinition, &text));
        assert!(!is_kept(&decided[&used.key.digest]), "{text}");
    }
}

#[test]
fn an_unread_task_definition_is_a_gap() {
    let service = Resource::new(ResourceKind::Service, "production/web");
    let listings = Listings { in_use: vec![(service.clone(), "web:7".to_owned())], ..Listings::default() };
    let gap = Gap::Definition { resource: service, definition: "web:7".to_owned() };
    assert_eq!(listings.by_image(&[image(1, 1)], OURS), Err(gap));
}

#[test]
fn images_that_others_archived_stay_archived_and_an_index_keeps_its_repository() {
    let mut theirs = image(1, 90);
    (theirs.status, theirs.archived_on) = (Status::Archived, Some(Timestamp(NOW.0 - 30 * DAY)));
    let lone = image(2, 90);
    let decided = decide(&[theirs.clone(), lone.clone()], &Listings::default());
    assert_eq!(decided[&theirs.key.digest], Disposition::Keep(vec![KeepReason::ArchivedByOthers]));
    assert!(!is_kept(&decided[&lone.key.digest]));
    theirs.manifest = Manifest::UnreadIndex;
    let decided = decide(&[theirs, lone.clone()], &Listings::default());
    assert!(is_kept(&decided[&lone.key.digest]), "the index may list it: {decided:?}");
}

#[test]
fn while_an_index_is_restored_its_repository_waits() {
    let archived = Timestamp(NOW.0 - 30 * DAY);
    let mut list = Image { manifest: Manifest::UnreadIndex, ..tagged(1, 90, "1.0") };
    let mut child = image(2, 90);
    for one in [&mut list, &mut child] {
        (one.status, one.archived_on) = (Status::Archived, Some(archived));
    }
    let marks: MarkTimes = [(list.key.clone(), archived), (child.key.clone(), archived)].into();
    let images = [list.clone(), child.clone(), tagged(3, 1, "2.0")];
    let decided = decide_marked(&images, &Listings::default(), &marks);
    assert_eq!(decided[&list.key.digest], Disposition::Remove(Next::Step(RemovalStep::Delete)));
    assert_eq!(decided[&child.key.digest], Disposition::Remove(Next::Step(RemovalStep::Delete)));
    let decided = decide_marked(&images, &used_by(ResourceKind::TaskDefinition, &address(":1.0")), &marks);
    assert!(matches!(decided[&list.key.digest], Disposition::Restore(_)), "{decided:?}");
    assert!(matches!(decided[&child.key.digest], Disposition::Remove(Next::Wait { .. })), "{decided:?}");
}

#[test]
fn reading_an_index_is_no_pull_and_pulling_its_images_is() {
    let mut child = image(1, 90);
    let mut list = index(2, 90, &[&child]);
    list.pulled_on = Some(NOW);
    let decided = decide(&[child.clone(), list.clone()], &Listings::default());
    assert!(!is_kept(&decided[&list.key.digest]));
    child.pulled_on = Some(NOW);
    let decided = decide(&[child, list.clone()], &Listings::default());
    assert!(is_kept(&decided[&list.key.digest]));
}
