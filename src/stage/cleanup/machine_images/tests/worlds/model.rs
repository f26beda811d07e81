//! The model of a world, told by what uses each image; and a worker that sees it only through lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use super::super::NOW;
use crate::engine::Timestamp;
use crate::spec::{self, Shared};
use crate::stage::cleanup::graph::{Lengths, Listings, ResourceKind, Reference, ListName, Template, Resource, References};
use crate::stage::cleanup::image::{Image, KeepTag, Protection};
use crate::stage::cleanup::memory::ListLengths;
use crate::stage::cleanup::quarantine::{UndoStep, RECORD_TAG, QuarantineRecord, Next, RemovalStep, back};
use crate::stage::cleanup::references::unite;
use crate::stage::cleanup::retain::{Disposition, KeepReason, retain};
use crate::stage::cleanup::snapshots::{RetainedSnapshots, held, named};

/// Every way for something to use an image.
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

/// Every way for something to name a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    OldVersion,
    LaunchConfiguration,
    SpotFleet,
}

impl Disk {
    pub const ALL: [Self; 3] = [Self::OldVersion, Self::LaunchConfiguration, Self::SpotFleet];
}

/// What a look at the world meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A list is denied, throttled or breaks off: there is no survey.
    Refused,
    /// The images are listed as they were at the look before.
    StaleImages,
    /// The list of a template's versions ends too soon.
    CutVersions,
    /// The list of instances comes back empty.
    CutInstances,
    /// The look is good; the call that follows acts, and the worker dies before it hears of it.
    LostReply,
}

pub struct World {
    images: BTreeMap<String, Image>,
    /// Each image as it was before any cleanup.
    originals: BTreeMap<String, Image>,
    disabled_at: BTreeMap<String, Timestamp>,
    uses: Vec<(Reference, String)>,
    /// Snapshots that something names.
    disks: Vec<(Disk, String)>,
    snapshots: BTreeSet<String>,
    /// Snapshots that were named when their image went.
    left: BTreeSet<String>,
    /// What the last look said names snapshots.
    named: RetainedSnapshots,
    rules: spec::Cleanup,
    memory: ListLengths,
    now: Timestamp,
    before: Vec<Image>,
}

impl World {
    pub fn new(images: Vec<Image>, rules: spec::Cleanup) -> Self {
        let images: BTreeMap<String, Image> =
            images.into_iter().map(|image| (image.id().to_owned(), image)).collect();
        Self {
            originals: images.clone(),
            snapshots: images.values().flat_map(|image| image.snapshots.clone()).collect(),
            disks: Vec::new(),
            left: BTreeSet::new(),
            named: RetainedSnapshots::new(),
            before: images.values().cloned().collect(),
            images,
            disabled_at: BTreeMap::new(),
            uses: Vec::new(),
            rules,
            memory: ListLengths::default(),
            now: NOW,
        }
    }

    pub fn put_to_use(&mut self, reference: Reference, of: Index) {
        if self.images.is_empty() {
            return;
        }
        let (id, image) = self.images.iter().nth(of.index(self.images.len())).unwrap();
        // Nothing is launched from an image that is disabled, and no other account sees it.
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

    pub fn name(&mut self, disk: Disk, of: Index) {
        if let Some(snapshot) = self.snapshots.iter().nth(of.index(self.snapshots.len().max(1))) {
            self.snapshots.push((disk, snapshot.clone()));
        }
    }

    pub fn leave(&mut self, which: Index) {
        if !self.uses.is_empty() {
            self.uses.swap_remove(which.index(self.uses.len()));
        }
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = Timestamp(self.now.0 + seconds);
        for image in self.images.values_mut() {
            // A cooldown lasts a day, and an image that is being made is made within hours.
            if seconds >= 86_400 && image.protection == Protection::CoolingDown {
                image.protection = Protection::Off;
            }
        }
    }

    fn is_used(&self, id: &str) -> bool {
        let shared = |image: &Image| image.shared_with.as_ref().is_some_and(|shared_with| !shared_with.is_empty());
        self.uses.iter().any(|(_, used)| used == id)
            || (self.rules.shared == Shared::Keep && self.images.get(id).is_some_and(shared))
    }

    /// What the lists say.
    fn listings(&self) -> Listings {
        let mut listings = Listings::default();
        for (number, (reference, image)) in self.uses.iter().enumerate() {
            let id = format!("{number}");
            let user = |kind| Resource { kind, id: id.clone() };
            let text = |kind, text: String| (user(kind), Reference::Text(text));
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
                Reference::LaunchConfiguration => Some(text(ResourceKind::LaunchConfiguration, image.clone())),
                Reference::GroupOverride => Some(text(ResourceKind::AutoScalingGroup, image.clone())),
                Reference::GroupOverrideByParameter => {
                    listings.parameter_values.insert(format!("o{number}:live"), Some(image.clone()));
                    Some(text(ResourceKind::AutoScalingGroup, format!("resolve:ssm:o{number}:live")))
                }
                Reference::GroupOfTemplateByName => {
                    template(&format!("named-{number}"), 1, 2, 2, image.clone());
                    let (template, version) = (format!("named-{number}"), "$Latest".to_owned());
                    Some((user(ResourceKind::AutoScalingGroup), Reference::Template { template, version }))
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
        for (number, (disk, snapshot)) in self.snapshots.iter().enumerate() {
            let mut by = |kind| {
                listings.snapshots.push((Resource { kind, id: format!("disk-{number}") }, snapshot.clone()));
            };
            match disk {
                Disk::LaunchConfiguration => by(ResourceKind::LaunchConfiguration),
                Disk::SpotFleet => by(ResourceKind::SpotFleet),
                Disk::OldVersion => {
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

    /// The images and what becomes of each, as a worker sees them; none when it cannot see.
    fn look(&mut self, fault: Fault) -> Option<Vec<(Image, Disposition)>> {
        let mut listings = self.listings();
        match fault {
            Fault::Refused => return None,
            Fault::CutVersions => {
                let template = listings.templates.values_mut().next()?;
                template.versions.pop_last();
                assert!(listings.by_image().is_err(), "a version is missing and nobody noticed");
                return None;
            }
            Fault::CutInstances => {
                // A short list is not noticed, and one that was as short a day ago is believed.
                let seen = self.memory.lists.get(&ListName::Instances)?;
                let day_ago = Timestamp(self.now.0 - 86_400);
                if seen.entries < 8 || seen.shorter_since.is_some_and(|since| since <= day_ago) {
                    return None;
                }
                listings.references.retain(|(user, _)| user.kind != ResourceKind::Instance);
                listings.lengths.insert(ListName::Instances, 0);
            }
            Fault::None | Fault::StaleImages | Fault::LostReply => {}
        }
        let (memory, short_list) = self.memory.see(&listings.lengths, self.now);
        self.memory = memory;
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
        let mut uses = unite(&ours, &ec2);
        for (image, reasons) in known {
            uses.entry(image).or_default().extend(reasons);
        }
        let fresh: Vec<Image> = self.images.values().cloned().collect();
        let shown = if fault == Fault::StaleImages { self.before.clone() } else { fresh.clone() };
        self.before = fresh;
        self.named = named(&listings, &shown);
        let verdicts = retain(&self.rules, &shown, &uses, self.now);
        Some(verdicts.into_iter().map(|verdict| (verdict.image.clone(), verdict.disposition)).collect())
    }

    fn carry_out(&mut self, seen: &Image, step: RemovalStep) {
        let id = seen.id().to_owned();
        let (now, used) = (self.now, self.is_used(&id));
        let wait = self.rules.quarantine.as_duration();
        if step == RemovalStep::Deregister && self.images.contains_key(&id) {
            assert!(!used, "{id} is used by {:?} and was deregistered", self.uses);
            let image = &self.images[&id];
            assert_ne!(image.state, "available", "{id} was deregistered straight from use");
            let rested = self.disabled_at.get(&id).map(|at| now.since(*at).as_secs() + 3600);
            assert!(rested.is_none_or(|rested| rested >= wait.as_secs()), "{id} did not rest");
            if image.protection == Protection::Off {
                self.images.remove(&id);
                self.take_snapshots(seen);
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

    /// The snapshots go with their image, those that something else names excepted.
    fn take_snapshots(&mut self, seen: &Image) {
        let held = held(&self.named, seen.id(), seen.snapshots.iter().map(String::as_str));
        for snapshot in &seen.snapshots {
            if held.contains_key(snapshot) {
                self.left.insert(snapshot.clone());
                continue;
            }
            let standing = self.images.values().find(|image| image.snapshots.contains(snapshot));
            assert!(standing.is_none(), "{snapshot} was deleted and {standing:?} stands on it");
            let named: Vec<_> = self.snapshots.iter().filter(|(_, named)| named == snapshot).collect();
            assert!(named.is_empty(), "{snapshot} was deleted and {named:?} name it");
            self.snapshots.remove(snapshot);
        }
    }

    fn take_back(&mut self, seen: &Image) {
        let Ok(Some(record)) = seen.quarantine_record() else { return };
        let step = back(seen, &record, self.now);
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
            UndoStep::RemoveRecord => image.tags.retain(|tag, _| !QuarantineRecord::holds(tag)),
        }
    }

    /// Whether an image in quarantine looks as it was before.
    fn ends(&self, seen: &Image) -> bool {
        seen.quarantine_record().is_ok_and(|record| record.is_some_and(|record| back(seen, &record, self.now) == UndoStep::RemoveRecord))
    }

    /// The end, once everything has had its time.
    pub fn is_as_it_should_be(&self) {
        for (id, image) in &self.images {
            assert!(self.is_needed(image), "{id} is needed by nothing and is still there: {image:?}");
            let original = &self.originals[id];
            assert!(!image.tags.contains_key(RECORD_TAG), "{id} is needed and still in quarantine");
            assert_eq!(image.state, original.state, "{id}");
            let (is, was) = (image.shared_with.as_ref().unwrap(), original.shared_with.as_ref().unwrap());
            let sorted = |shared_with: &Vec<String>| shared_with.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(is), sorted(was), "{id} is shared with others than before");
            // A date of a deprecation that has passed meanwhile cannot be set again.
            if original.deprecated_on.is_none_or(|at| at > self.now) {
                assert_eq!(image.deprecated_on, original.deprecated_on, "{id}");
            }
        }
        for snapshot in &self.snapshots {
            let stands = self.images.values().any(|image| image.snapshots.contains(snapshot));
            assert!(stands || self.left.contains(snapshot), "{snapshot} is behind nothing and still there");
        }
        for (_, id) in &self.uses {
            assert!(self.images.contains_key(id), "{id} is used and gone");
        }
    }

    /// Written anew, not as the rules are.
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
            || (usable(&image) && !image.is_discarded() && before < self.rules.keep_last as usize)
    }
}

/// One run of a cleanup.
pub struct Worker {
    faults: Vec<Fault>,
    looks: usize,
    seen: usize,
}

impl Worker {
    pub fn new(faults: Vec<Fault>, looks: usize) -> Self {
        Self { faults, looks, seen: 0 }
    }

    /// Looks anew before every single call, as the stage does, until nothing more is due, the worker is killed, or
    /// there is nothing to see.
    pub fn clean_up(&mut self, world: &mut World) {
        while self.seen < self.looks {
            let fault = self.faults[self.seen % self.faults.len()];
            self.seen += 1;
            let Some(dispositions) = world.look(fault) else { return };
            let due = dispositions.into_iter().find(|(_, disposition)| match disposition {
                Disposition::Restore(_) | Disposition::Remove(Next::Step(_)) => true,
                Disposition::Keep(_) | Disposition::Remove(Next::Wait { .. }) => false,
            });
            let Some((image, disposition)) = due else { return };
            match disposition {
                // A record is removed only after two looks, as the stage does.
                Disposition::Restore(_) if world.ends(&image) && !self.agrees(world, &image) => {}
                Disposition::Restore(_) => world.take_back(&image),
                // What is written down to go is looked at once more before it goes.
                Disposition::Remove(Next::Step(RemovalStep::Deregister)) if !self.still_goes(world, &image) => {}
                Disposition::Remove(Next::Step(step)) => world.carry_out(&image, step),
                Disposition::Keep(_) | Disposition::Remove(Next::Wait { .. }) => {}
            }
            if fault == Fault::LostReply {
                return;
            }
        }
    }

    fn agrees(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.seen % self.faults.len()];
        self.seen += 1;
        let dispositions = world.look(fault).unwrap_or_default();
        dispositions.iter().any(|(seen, _)| seen.id() == image.id() && world.ends(seen))
    }

    fn still_goes(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.seen % self.faults.len()];
        self.seen += 1;
        let dispositions = world.look(fault).unwrap_or_default();
        let goes = Disposition::Remove(Next::Step(RemovalStep::Deregister));
        dispositions.iter().any(|(seen, disposition)| seen.id() == image.id() && *disposition == goes)
    }
}
