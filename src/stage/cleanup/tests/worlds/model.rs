//! The model of a world, told by what uses each image; and a worker that sees it only through lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use super::super::NOW;
use crate::engine::Timestamp;
use crate::spec::{self, SharedImages};
use crate::stage::cleanup::graph::{Counts, Facts, Kind, Names, Source, Template, User, Users};
use crate::stage::cleanup::image::{Image, Pin, Protection};
use crate::stage::cleanup::memory::Memory;
use crate::stage::cleanup::quarantine::{Back, MARK, Mark, Next, Step, back};
use crate::stage::cleanup::references::unite;
use crate::stage::cleanup::retain::{Disposition, Reason, retain};
use crate::stage::cleanup::snapshots::{Held, held, named};

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
    named: Held,
    rules: spec::MachineImages,
    memory: Memory,
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
            disks: Vec::new(),
            left: BTreeSet::new(),
            named: Held::new(),
            before: images.values().cloned().collect(),
            images,
            disabled_at: BTreeMap::new(),
            uses: Vec::new(),
            rules,
            memory: Memory::default(),
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
        let shared = image.shares.as_ref().is_some_and(|shares| !shares.is_empty());
        if (launches && image.state != "available") || (reference == Reference::OtherAccount && !shared) {
            return;
        }
        self.uses.push((reference, id.clone()));
    }

    pub fn name(&mut self, disk: Disk, of: Index) {
        if let Some(snapshot) = self.snapshots.iter().nth(of.index(self.snapshots.len().max(1))) {
            self.disks.push((disk, snapshot.clone()));
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
        let shared = |image: &Image| image.shares.as_ref().is_some_and(|shares| !shares.is_empty());
        self.uses.iter().any(|(_, used)| used == id)
            || (self.rules.shared_images == SharedImages::Keep && self.images.get(id).is_some_and(shared))
    }

    /// What the lists say.
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for (number, (reference, image)) in self.uses.iter().enumerate() {
            let id = format!("{number}");
            let user = |kind| User { kind, id: id.clone() };
            let text = |kind, text: String| (user(kind), Names::Text(text));
            let mut template = |name: &str, default: i64, latest: i64, at: i64, text: String| {
                let versions = (1..=latest).map(|n| (n, (n == at).then(|| text.clone()))).collect();
                let template =
                    Template { name: name.to_owned(), default, latest, versions, ..Template::default() };
                facts.templates.insert(format!("lt-{number}"), template);
            };
            let named = match reference {
                Reference::Instance => Some(text(Kind::Instance, image.clone())),
                Reference::SpotRequest => Some(text(Kind::SpotRequest, image.clone())),
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
                    facts.aliases.insert(format!("/p/{number}"), Some(image.clone()));
                    None
                }
                Reference::VersionByParameterVersion => {
                    template("t", 2, 2, 1, format!("resolve:ssm:p{number}:7"));
                    facts.aliases.insert(format!("p{number}:7"), Some(image.clone()));
                    None
                }
                Reference::Parameter => Some(text(Kind::Parameter, image.clone())),
                Reference::ParameterDocument => Some(text(
                    Kind::Parameter,
                    format!(r#"{{"eu": ["{image}"], "us": "ami-00000000000000000"}}"#),
                )),
                Reference::LaunchConfiguration => Some(text(Kind::LaunchConfiguration, image.clone())),
                Reference::GroupOverride => Some(text(Kind::AutoScalingGroup, image.clone())),
                Reference::GroupOverrideByParameter => {
                    facts.aliases.insert(format!("o{number}:live"), Some(image.clone()));
                    Some(text(Kind::AutoScalingGroup, format!("resolve:ssm:o{number}:live")))
                }
                Reference::GroupOfTemplateByName => {
                    template(&format!("named-{number}"), 1, 2, 2, image.clone());
                    let (template, version) = (format!("named-{number}"), "$Latest".to_owned());
                    Some((user(Kind::AutoScalingGroup), Names::Template { template, version }))
                }
                Reference::RefreshOverride => Some(text(Kind::InstanceRefresh, image.clone())),
                Reference::WarmPool => Some(text(Kind::WarmPool, image.clone())),
                Reference::FleetOverride => Some(text(Kind::Fleet, image.clone())),
                Reference::SpotFleet => Some(text(Kind::SpotFleet, image.clone())),
                Reference::Recipe => Some(text(Kind::Recipe, image.clone())),
                Reference::RecipeByParameter => {
                    facts.aliases.insert(format!("/r/{number}"), Some(image.clone()));
                    Some(text(Kind::Recipe, format!("ssm:/r/{number}")))
                }
                Reference::RecipeOnBuild => {
                    let arn =
                        format!("arn:aws:imagebuilder:eu-west-1:123456789012:image/base/{number}.0.0/1");
                    facts.built.insert(arn.clone(), vec![image.clone()]);
                    Some(text(Kind::Recipe, arn))
                }
                Reference::KnownToEc2Alone | Reference::OtherAccount | Reference::OfThisRelease => None,
            };
            facts.names.extend(named);
        }
        for (number, (disk, snapshot)) in self.disks.iter().enumerate() {
            let mut by = |kind| {
                facts.disks.push((User { kind, id: format!("disk-{number}") }, snapshot.clone()));
            };
            match disk {
                Disk::LaunchConfiguration => by(Kind::LaunchConfiguration),
                Disk::SpotFleet => by(Kind::SpotFleet),
                Disk::OldVersion => {
                    let template = Template {
                        default: 2,
                        latest: 2,
                        versions: BTreeMap::from([(1, None), (2, None)]),
                        snapshots: BTreeSet::from([snapshot.clone()]),
                        ..Template::default()
                    };
                    facts.templates.insert(format!("lt-disk-{number}"), template);
                }
            }
        }
        let instances = self.uses.iter().filter(|(reference, _)| *reference == Reference::Instance).count();
        facts.counts = Counts::from([(Source::Instances, instances as u64)]);
        facts
    }

    /// The images and what becomes of each, as a worker sees them; none when it cannot see.
    fn look(&mut self, fault: Fault) -> Option<Vec<(Image, Disposition)>> {
        let mut facts = self.facts();
        match fault {
            Fault::Refused => return None,
            Fault::CutVersions => {
                let template = facts.templates.values_mut().next()?;
                template.versions.pop_last();
                assert!(facts.users().is_err(), "a version is missing and nobody noticed");
                return None;
            }
            Fault::CutInstances => {
                // A short list is not noticed, and one that was as short a day ago is believed.
                let seen = self.memory.lists.get(&Source::Instances)?;
                let day_ago = Timestamp(self.now.0 - 86_400);
                if seen.entries < 8 || seen.shorter_since.is_some_and(|since| since <= day_ago) {
                    return None;
                }
                facts.names.retain(|(user, _)| user.kind != Kind::Instance);
                facts.counts.insert(Source::Instances, 0);
            }
            Fault::None | Fault::StaleImages | Fault::LostReply => {}
        }
        let (memory, suspicion) = self.memory.see(&facts.counts, self.now);
        self.memory = memory;
        if suspicion.is_some() {
            return None;
        }
        let mut ours = facts.users().unwrap();
        let mut ec2 = Users::new();
        let mut known: BTreeMap<String, BTreeSet<Reason>> = BTreeMap::new();
        for (number, (reference, image)) in self.uses.iter().enumerate() {
            match reference {
                Reference::KnownToEc2Alone => {
                    let user = User { kind: Kind::Other, id: number.to_string() };
                    ec2.entry(image.clone()).or_default().insert(user);
                }
                Reference::OtherAccount => {
                    let user = User { kind: Kind::Account, id: number.to_string() };
                    ours.entry(image.clone()).or_default().insert(user);
                }
                Reference::OfThisRelease => {
                    known.entry(image.clone()).or_default().insert(Reason::ThisRelease);
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
        self.named = named(&facts, &shown);
        let verdicts = retain(&self.rules, &shown, &uses, self.now);
        Some(verdicts.into_iter().map(|verdict| (verdict.image.clone(), verdict.fate)).collect())
    }

    fn carry_out(&mut self, seen: &Image, step: Step) {
        let id = seen.id().to_owned();
        let (now, used) = (self.now, self.is_used(&id));
        let wait = self.rules.quarantine.as_duration();
        if step == Step::Deregister && self.images.contains_key(&id) {
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
            Step::Mark => image.tags.extend(Mark::of(seen, now).unwrap().tags()),
            Step::Deprecate => image.deprecated = Some(Timestamp((now.0 + 60).div_euclid(60) * 60)),
            Step::Disable => {
                assert!(!used, "{id} is used by {:?} and was disabled", self.uses);
                assert!(image.tags.contains_key(MARK), "{id} was disabled without a record");
                image.state = "disabled".into();
                image.shares = Some(Vec::new());
                self.disabled_at.insert(id, now);
            }
            Step::Deregister => {}
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
            let named: Vec<_> = self.disks.iter().filter(|(_, named)| named == snapshot).collect();
            assert!(named.is_empty(), "{snapshot} was deleted and {named:?} name it");
            self.snapshots.remove(snapshot);
        }
    }

    fn take_back(&mut self, seen: &Image) {
        let Ok(Some(mark)) = seen.mark() else { return };
        let step = back(seen, &mark, self.now);
        let Some(image) = self.images.get_mut(seen.id()) else { return };
        match step {
            Back::Enable => image.state = "available".into(),
            Back::Deprecation(at) => image.deprecated = at,
            // A disabled image cannot be shared.
            Back::Share(with) if image.state != "disabled" => {
                image.shares.get_or_insert_default().extend(with);
            }
            Back::Share(_) => {}
            Back::Protect { with_cooldown } => image.protection = Protection::On { with_cooldown },
            Back::Unmark => image.tags.retain(|tag, _| !Mark::holds(tag)),
        }
    }

    /// Whether an image in quarantine looks as it was before.
    fn ends(&self, seen: &Image) -> bool {
        seen.mark().is_ok_and(|mark| mark.is_some_and(|mark| back(seen, &mark, self.now) == Back::Unmark))
    }

    /// The end, once everything has had its time.
    pub fn is_as_it_should_be(&self) {
        for (id, image) in &self.images {
            assert!(self.is_needed(image), "{id} is needed by nothing and is still there: {image:?}");
            let original = &self.originals[id];
            assert!(!image.tags.contains_key(MARK), "{id} is needed and still in quarantine");
            assert_eq!(image.state, original.state, "{id}");
            let (is, was) = (image.shares.as_ref().unwrap(), original.shares.as_ref().unwrap());
            let sorted = |shares: &Vec<String>| shares.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(sorted(is), sorted(was), "{id} is shared with others than before");
            // A date of a deprecation that has passed meanwhile cannot be set again.
            if original.deprecated.is_none_or(|at| at > self.now) {
                assert_eq!(image.deprecated, original.deprecated, "{id}");
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
            .filter(|other| (other.promoted(), other.id()) > (image.promoted(), image.id()));
        self.is_used(image.id())
            || matches!(image.pin(), Some(Pin::ForEver))
            || matches!(image.protection, Protection::On { .. })
            || image.state == "pending"
            || (image.promoted().is_some() && later.count() < 2)
            || (usable(&image) && !image.is_released() && before < self.rules.keep.last as usize)
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
            let Some(fates) = world.look(fault) else { return };
            let due = fates.into_iter().find(|(_, fate)| match fate {
                Disposition::Reinstate(_) | Disposition::Go(Next::Step(_)) => true,
                Disposition::Keep(_) | Disposition::Go(Next::Rest { .. }) => false,
            });
            let Some((image, fate)) = due else { return };
            match fate {
                // A record is removed only after two looks, as the stage does.
                Disposition::Reinstate(_) if world.ends(&image) && !self.agrees(world, &image) => {}
                Disposition::Reinstate(_) => world.take_back(&image),
                // What is written down to go is looked at once more before it goes.
                Disposition::Go(Next::Step(Step::Deregister)) if !self.still_goes(world, &image) => {}
                Disposition::Go(Next::Step(step)) => world.carry_out(&image, step),
                Disposition::Keep(_) | Disposition::Go(Next::Rest { .. }) => {}
            }
            if fault == Fault::LostReply {
                return;
            }
        }
    }

    fn agrees(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.seen % self.faults.len()];
        self.seen += 1;
        let fates = world.look(fault).unwrap_or_default();
        fates.iter().any(|(seen, _)| seen.id() == image.id() && world.ends(seen))
    }

    fn still_goes(&mut self, world: &mut World, image: &Image) -> bool {
        let fault = self.faults[self.seen % self.faults.len()];
        self.seen += 1;
        let fates = world.look(fault).unwrap_or_default();
        let goes = Disposition::Go(Next::Step(Step::Deregister));
        fates.iter().any(|(seen, fate)| seen.id() == image.id() && *fate == goes)
    }
}
