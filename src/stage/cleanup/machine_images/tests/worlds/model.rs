//! A model of an AWS account with images and their references, and of a worker that sees it only through lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use super::super::NOW;
use crate::engine::Timestamp;
use crate::spec::{self, SharedImages};
use crate::stage::aws_view::image_references::graph::{
    self, Lengths, ListName, Listings, References, Resource, ResourceKind, Template,
};
use crate::stage::cleanup::list_lengths::{ListLengths, MACHINE_IMAGES};
use crate::stage::cleanup::machine_images::image::{Image, KeepTag, Protection};
use crate::stage::cleanup::machine_images::quarantine::{
    Next, QuarantineRecord, RECORD_TAG, RemovalStep, UndoStep, next_undo,
};
use crate::stage::cleanup::machine_images::references::keep_reasons;
use crate::stage::cleanup::machine_images::retention::{Disposition, KeepReason, dispositions};
use crate::stage::cleanup::machine_images::snapshots::{references, retained};

/// Ways to reference an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    Instance,
    SpotRequest,
    OldVersion,
    LatestVersion,
    DefaultVersion,
    VersionByParameter,
    VersionByParameterVersion,
    Parameter,
    ParameterDocument,
    LaunchConfiguration,
    GroupOverride,
    GroupOverrideByParameter,
    GroupOfTemplateByName,
    RefreshOverride,
    WarmPool,
    FleetOverride,
    SpotFleet,
    Recipe,
    RecipeByParameter,
    RecipeOnBuild,
    KnownToEc2Alone,
    OtherAccount,
    OfThisRelease,
}

impl Reference {
    pub const ALL: [Self; 23] = [
        Self::Instance,
        Self::SpotRequest,
        Self::OldVersion,
        Self::LatestVersion,
        Self::DefaultVersion,
        Self::VersionByParameter,
        Self::VersionByParameterVersion,
        Self::Parameter,
        Self::ParameterDocument,
        Self::LaunchConfiguration,
        Self::GroupOverride,
        Self::GroupOverrideByParameter,
        Self::GroupOfTemplateByName,
        Self::RefreshOverride,
        Self::WarmPool,
        Self::FleetOverride,
        Self::SpotFleet,
        Self::Recipe,
        Self::RecipeByParameter,
        Self::RecipeOnBuild,
        Self::KnownToEc2Alone,
        Self::OtherAccount,
        Self::OfThisRelease,
    ];
}

/// Ways to reference a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotReference {
    OldVersion,
    LaunchConfiguration,
    SpotFleet,
}

impl SnapshotReference {
    pub const ALL: [Self; 3] = [Self::OldVersion, Self::LaunchConfiguration, Self::SpotFleet];
}

/// A fault during a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A list is denied, throttled or breaks off: there is no survey.
    Refused,
    /// The images are listed as they were at the survey before.
    StaleImages,
    /// The list of a template's versions is cut short.
    CutVersions,
    /// The list of instances is empty.
    CutInstances,
    /// The survey succeeds; the call after it succeeds, too, and the worker dies before its reply.
    LostReply,
}

pub struct World {
    images: BTreeMap<String, Image>,
    /// Each image as it was before any cleanup.
    originals: BTreeMap<String, Image>,
    disabled_at: BTreeMap<String, Timestamp>,
    uses: Vec<(Reference, String)>,
    /// Snapshots that a resource references.
    snapshot_uses: Vec<(SnapshotReference, String)>,
    snapshots: BTreeSet<String>,
    /// Snapshots that were referenced when their image was deregistered.
    left: BTreeSet<String>,
    /// The references to snapshots in the last survey.
    seen_references: References,
    rules: spec::MachineImages,
    lengths: ListLengths,
    now: Timestamp,
    before: Vec<Image>,
}

impl World {
    pub fn new(images: Vec<Image>, rules: spec::MachineImages) -> Self {
        let images: BTreeMap<String, Image> =
            images.into_iter().map(|image| (image.id().to_owned(), image)).collect();
        Self {
            originals: images.clone(),
            snapshots: images.values().flat_map(|image| image.snapshots.clone()).collect(),
            snapshot_uses: Vec::new(),
            left: BTreeSet::new(),
            seen_references: References::new(),
            before: images.values().cloned().collect(),
            images,
            disabled_at: BTreeMap::new(),
            uses: Vec::new(),
            rules,
            lengths: ListLengths::default(),
            now: NOW,
        }
    }

    pub fn use_image(&mut self, reference: Reference, of: Index) {
        if self.images.is_empty() {
            return;
        }
        let (id, image) = self.images.iter().nth(of.index(self.images.len())).unwrap();
        // A disabled image cannot be launched, and other accounts cannot see it.
        let launches = matches!(
            reference,
            Reference::Instance | Reference::WarmPool | Reference::OtherAccount | Reference::SpotRequest
        );
        let shared = image.shared_with.as_ref().is_some_and(|shared_with| !shared_with.is_empty());
        if (launches && image.state != "available") || (reference == Reference::OtherAccount && !shared) {
            return;
        }
        self.uses.push((reference, id.clone()));
    }

    pub fn use_snapshot(&mut self, reference: SnapshotReference, of: Index) {
        if let Some(snapshot) = self.snapshots.iter().nth(of.index(self.snapshots.len().max(1))) {
            self.snapshot_uses.push((reference, snapshot.clone()));
        }
    }

    pub fn stop_use(&mut self, which: Index) {
        if !self.uses.is_empty() {
            self.uses.swap_remove(which.index(self.uses.len()));
        }
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = Timestamp(self.now.0 + seconds);
        for image in self.images.values_mut() {
            // A cooldown lasts a day.
            if seconds >= 86_400 && image.protection == Protection::CoolingDown {
                image.protection = Protection::Off;
            }
        }
    }

    fn is_used(&self, id: &str) -> bool {
        let shared =
            |image: &Image| image.shared_with.as_ref().is_some_and(|shared_with| !shared_with.is_empty());
        self.uses.iter().any(|(_, used)| used == id)
            || (self.rules.shared_images == SharedImages::Keep && self.images.get(id).is_some_and(shared))
    }

    /// The contents of the lists.
    fn listings(&self) -> Listings {
        let mut listings = Listings::default();
        for (number, (reference, image)) in self.uses.iter().enumerate() {
            let id = format!("{number}");
            let user = |kind| Resource { kind, id: id.clone() };
            let text = |kind, text: String| (user(kind), graph::Reference::Text(text));
            let mut template = |name: &str, default: i64, latest: i64, at: i64, text: String| {
                let versions = (1..=latest).map(|n| (n, (n == at).then(|| text.clone()))).collect();
                let template =
                    Template { name: name.to_owned(), default, latest, versions, ..Template::default() };
                listings.templates.insert(format!("lt-{number}"), template);
            };
            let named = match reference {
                Reference::Instance => Some(text(ResourceKind::Instance, image.clone())),
                Reference::SpotRequest => Some(text(ResourceKind::SpotRequest, image.clone())),
                Reference::OldVersion => {
                    template("t", 3, 3, 1, image.clone());
                    None
                }
                Reference::LatestVersion => {
                    template("t", 1, 3, 3, image.clone());
                    None
                }
                Reference::DefaultVersion => {
                    template("t", 2, 3, 2, image.clone());
                    None
                }
                Reference::VersionByParameter => {
                    template("t", 1, 1, 1, format!("resolve:ssm:/p/{number}"));
                    listings.parameter_values.insert(format!("/p/{number}"), Some(image.clone()));
                    None
                }
                Reference::VersionByParameterVersion => {
                    template("t", 2, 2, 1, format!("resolve:ssm:p{number}:7"));
                    listings.parameter_values.insert(format!("p{number}:7"), Some(image.clone()));
                    None
                }
                Reference::Parameter => Some(text(ResourceKind::Parameter, image.clone())),
                Reference::ParameterDocument => Some(text(
                    ResourceKind::Parameter,
                    format!(r#"{{"eu": ["{image}"], "us": "ami-00000000000000000"}}"#),
                )),
                Reference::LaunchConfiguration => {
                    Some(text(ResourceKind::LaunchConfiguration, image.clone()))
                }
                Reference::GroupOverride => Some(text(ResourceKind::AutoScalingGroup, image.clone())),
                Reference::GroupOverrideByParameter => {
                    listings.parameter_values.insert(format!("o{number}:live"), Some(image.clone()));
                    Some(text(ResourceKind::AutoScalingGroup, format!("resolve:ssm:o{number}:live")))
                }
                Reference::GroupOfTemplateByName => {
                    template(&format!("named-{number}"), 1, 2, 2, image.clone());
                    let (template, version) = (format!("named-{number}"), "$Latest".to_owned());
                    Some((
                        user(ResourceKind::AutoScalingGroup),
                        graph::Reference::Template { template, version },
                    ))
                }
                Reference::RefreshOverride => Some(text(ResourceKind::InstanceRefresh, image.clone())),
                Reference::WarmPool => Some(text(ResourceKind::WarmPool, image.clone())),
                Reference::FleetOverride => Some(text(ResourceKind::Fleet, image.clone())),
                Reference::SpotFleet => Some(text(ResourceKind::SpotFleet, image.clone())),
                Reference::Recipe => Some(text(ResourceKind::Recipe, image.clone())),
                Reference::RecipeByParameter => {
                    listings.parameter_values.insert(format!("/r/{number}"), Some(image.clone()));
                    Some(text(ResourceKind::Recipe, format!("ssm:/r/{number}")))
                }
                Reference::RecipeOnBuild => {
                    let arn =
                        format!("arn:aws:imagebuilder:eu-west-1:123456789012:image/base/{number}.0.0/1");
                    listings.build_outputs.insert(arn.clone(), vec![image.clone()]);
                    Some(text(ResourceKind::Recipe, arn))
                }
                Reference::KnownToEc2Alone | Reference::OtherAccount | Reference::OfThisRelease => None,
            };
            listings.references.extend(named);
        }
        for (number, (reference, snapshot)) in self.snapshot_uses.iter().enumerate() {
            let mut by = |kind| {
                listings.snapshots.push((Resource { kind, id: format!("disk-{number}") }, snapshot.clone()));
            };
            match reference {
                SnapshotReference::LaunchConfiguration => by(ResourceKind::LaunchConfiguration),
                SnapshotReference::SpotFleet => by(ResourceKind::SpotFleet),
                SnapshotReference::OldVersion => {
                    let template = Template {
                        default: 2,
                        latest: 2,
                        versions: BTreeMap::from([(1, None), (2, None)]),
                        snapshots: BTreeSet::from([snapshot.clone()]),
                        ..Template::default()
                    };
                    listings.templates.insert(format!("lt-disk-{number}"), template);
                }
            }
        }
        let instances = self.uses.iter().filter(|(reference, _)| *reference == Reference::Instance).count();
        listings.lengths = Lengths::from([(ListName::Instances, instances as u64)]);
        listings
    }

    /// The images with their dispositions as a worker sees them; `None` if the survey fails.
    fn survey(&mut self, fault: Fault) -> Option<Vec<(Image, Disposition)>> {
        let mut listings = self.listings();
        match fault {
            Fault::Refused => return None,
            Fault::CutVersions => {
                let template = listings.templates.values_mut().next()?;
                template.versions.pop_last();
                assert!(listings.by_image().is_err(), "a missing version was not noticed");
                return None;
            }
            Fault::CutInstances => {
                // A short list may shrink, and one that was as short a day ago is accepted.
                let seen = self.lengths.lists.get(&ListName::Instances)?;
                let day_ago = Timestamp(self.now.0 - 86_400);
                if seen.entries < 8 || seen.shorter_since.is_some_and(|since| since <= day_ago) {
                    return None;
                }
                listings.references.retain(|(user, _)| user.kind != ResourceKind::Instance);
                listings.lengths.insert(ListName::Instances, 0);
            }
            Fault::None | Fault::StaleImages | Fault::LostReply => {}
        }
        let (lengths, short_list) = self.lengths.update(&listings.lengths, MACHINE_IMAGES, self.now);
        self.lengths = lengths;
        if short_list.is_some() {
            return None;
        }
        let mut ours = listings.by_image().unwrap();
        let mut ec2 = References::new();
        let mut known: BTreeMap<String, BTreeSet<KeepReason>> = BTreeMap::new();
        for (number, (reference, image)) in self.uses.iter().enumerate() {
            match reference {
                Reference::KnownToEc2Alone => {
                    let user = Resource { kind: ResourceKind::Other, id: number.to_string() };
                    ec2.entry(image.clone()).or_default().insert(user);
                }
                Reference::OtherAccount => {
                    let user = Resource { kind: ResourceKind::Account, id: number.to_string() };
                    ours.entry(image.clone()).or_default().insert(user);
                }
                Reference::OfThisRelease => {
                    known.entry(image.clone()).or_default().insert(KeepReason::ThisRelease);
                }
                _ => {}
            }
        }
        let mut uses = keep_reasons(&ours, &ec2);
        for (image, reasons) in known {
            uses.entry(image).or_default().extend(reasons);
        }
        let fresh: Vec<Image> = self.images.values().cloned().collect();
        let shown = if fault == Fault::StaleImages { self.before.clone() } else { fresh.clone() };
        self.before = fresh;
        self.seen_references = references(&listings, &shown);
        let decided = dispositions(&self.rules, &shown, &uses, self.now);
        let with_disposition = |image: Image| {
            let disposition = decided[image.id()].clone();
            (image, disposition)
        };
        Some(shown.into_iter().map(with_disposition).collect())
    }

    fn take_step(&mut self, seen: &Image, step: RemovalStep) {
        let id = seen.id().to_owned();
        let (now, used) = (self.now, self.is_used(&id));
        let wait = self.rules.quarantine.as_duration();
        if step == RemovalStep::Deregister && self.images.contains_key(&id) {
            assert!(!used, "{id} is used by {:?} and was deregistered", self.uses);
            let image = &self.images[&id];
            assert_ne!(image.state, "available", "{id} was deregistered without quarantine");
            let waited = self.disabled_at.get(&id).map(|at| now.since(*at).as_secs() + 3600);
            assert!(
                waited.is_none_or(|waited| waited >= wait.as_secs()),
                "the quarantine of {id} was cut short"
            );
            if image.protection == Protection::Off {
                self.images.remove(&id);
                self.delete_snapshots(seen);
            }
            return;
        }
        let Some(image) = self.images.get_mut(&id) else { return };
        match step {
            RemovalStep::Mark => image.tags.extend(QuarantineRecord::of(seen, now).unwrap().tags()),
            RemovalStep::Deprecate => image.deprecated_on = Some(Timestamp((now.0 + 60).div_euclid(60) * 60)),
            RemovalStep::Disable => {
                assert!(!used, "{id} is used by {:?} and was disabled", self.uses);
                assert!(image.tags.contains_key(RECORD_TAG), "{id} was disabled without a record");
                image.state = "disabled".into();
                image.shared_with = Some(Vec::new());
                self.disabled_at.insert(id, now);
            }
            RemovalStep::Deregister => {}
        }
    }

    /// Deletes the snapshots of an image, except for those that other resources reference.
    fn delete_snapshots(&mut self, seen: &Image) {
        let retained = retained(&self.seen_references, seen.id(), seen.snapshots.iter().map(String::as_str));
        for snapshot in &seen.snapshots {
            if retained.contains_key(snapshot) {
                self.left.insert(snapshot.clone());
                continue;
            }
            let user = self.images.values().find(|image| image.snapshots.contains(snapshot));
            assert!(user.is_none(), "{snapshot} was deleted and {user:?} uses it");
            let references: Vec<_> = self.snapshot_uses.iter().filter(|(_, used)| used == snapshot).collect();
            assert!(references.is_empty(), "{snapshot} was deleted and {references:?} reference it");
            self.snapshots.remove(snapshot);
        }
    }

    fn undo_step(&mut self, seen: &Image) {
        let Ok(Some(record)) = seen.quarantine_record() else { return };
        let step = next_undo(seen, &record, self.now);
        let Some(image) = self.images.get_mut(seen.id()) else { return };
        match step {
            UndoStep::Enable => image.state = "available".into(),
            UndoStep::SetDeprecation(at) => image.deprecated_on = at,
            // A disabled image cannot be shared.
            UndoStep::Share(with) if image.state != "disabled" => {
                image.shared_with.get_or_insert_default().extend(with);
            }
            UndoStep::Share(_) => {}
            UndoStep::Protect { with_cooldown } => image.protection = Protection::On { with_cooldown },
            UndoStep::RemoveRecord => image.tags.retain(|tag, _| !QuarantineRecord::is_record_tag(tag)),
        }
    }

    /// Whether an image in quarantine is as it was before.
    fn is_restored(&self, seen: &Image) -> bool {
        seen.quarantine_record().is_ok_and(|record| {
            record.is_some_and(|record| next_undo(seen, &record, self.now) == UndoStep::RemoveRecord)
        })
    }

    /// Checks the state after the last cleanup.
    pub fn check_final_state(&self) {
        for (id, image) in &self.images {
            assert!(self.is_needed(image), "nothing needs {id}, and it still exists: {image:?}");
            let original = &self.originals[id];
            assert!(!image.tags.contains_key(RECORD_TAG), "{id} is needed and still in quarantine");
            assert_eq!(image.state, original.state, "{id}");
            let (is, was) = (image.shared_with.as_ref().unwrap(), original.shared_with.as_ref().unwrap());
            let sorted = |shared_with: &Vec<String>| shared_with.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(is), sorted(was), "{id} is shared with others than before");
            // EC2 accepts no past deprecation date.
            if original.deprecated_on.is_none_or(|at| at > self.now) {
                assert_eq!(image.deprecated_on, original.deprecated_on, "{id}");
            }
        }
        for snapshot in &self.snapshots {
            let is_used = self.images.values().any(|image| image.snapshots.contains(snapshot));
            assert!(is_used || self.left.contains(snapshot), "no image uses {snapshot}, and it still exists");
        }
        for (_, id) in &self.uses {
            assert!(self.images.contains_key(id), "{id} is used and does not exist");
        }
    }

    /// An independent formulation of the rules.
    fn is_needed(&self, image: &Image) -> bool {
        let usable = |image: &&Image| matches!(image.state.as_str(), "available" | "disabled");
        let same = |other: &&Image| other.channel() == image.channel();
        let newer = |other: &&Image| {
            (other.created(), std::cmp::Reverse(other.id()))
                > (image.created(), std::cmp::Reverse(image.id()))
        };
        let before = self.images.values().filter(usable).filter(same).filter(newer).count();
        let later = self
            .images
            .values()
            .filter(same)
            .filter(|other| (other.promoted_on(), other.id()) > (image.promoted_on(), image.id()));
        self.is_used(image.id())
            || matches!(image.keep_tag(), Some(KeepTag::Forever))
            || matches!(image.protection, Protection::On { .. })
            || image.state == "pending"
            || (image.promoted_on().is_some() && later.count() < 2)
            || (usable(&image) && !image.is_discarded() && before < self.rules.keep.last as usize)
    }
}

/// One run of a cleanup.
pub struct Worker {
    faults: Vec<Fault>,
    surveys: usize,
    taken: usize,
}

impl Worker {
    pub fn new(faults: Vec<Fault>, surveys: usize) -> Self {
        Self { faults, surveys, taken: 0 }
    }

    /// Surveys before every call, as the stage does, until nothing is due, the worker is killed or a survey fails.
    pub fn clean_up(&mut self, world: &mut World) {
        while self.taken < self.surveys {
            let fault = self.faults[self.taken % self.faults.len()];
            self.taken += 1;
            let Some(decided) = world.survey(fault) else { return };
            let due = decided.into_iter().find(|(_, disposition)| match disposition {
                Disposition::Restore(_) | Disposition::Remove(Next::Step(_)) => true,
                Disposition::Keep(_) | Disposition::Remove(Next::Wait { .. }) => false,
            });
            let Some((image, disposition)) = due else { return };
            match disposition {
                // As in the stage, a record is removed only after two surveys.
                Disposition::Restore(_)
                    if world.is_restored(&image) && !self.is_still_restored(world, &image) => {}
                Disposition::Restore(_) => world.undo_step(&image),
                // As in the stage, one more survey precedes a removal.
                Disposition::Remove(Next::Step(RemovalStep::Deregister))
                    if !self.is_still_due(world, &image) => {}
                Disposition::Remove(Next::Step(step)) => world.take_step(&image, step),
                Disposition::Keep(_) | Disposition::Remove(Next::Wait { .. }) => {}
            }
            if fault == Fault::LostReply {
                return;
            }
        }
    }

    fn is_still_restored(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.taken % self.faults.len()];
        self.taken += 1;
        let decided = world.survey(fault).unwrap_or_default();
        decided.iter().any(|(seen, _)| seen.id() == image.id() && world.is_restored(seen))
    }

    fn is_still_due(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.taken % self.faults.len()];
        self.taken += 1;
        let decided = world.survey(fault).unwrap_or_default();
        let due = Disposition::Remove(Next::Step(RemovalStep::Deregister));
        decided.iter().any(|(seen, disposition)| seen.id() == image.id() && *disposition == due)
    }
}
