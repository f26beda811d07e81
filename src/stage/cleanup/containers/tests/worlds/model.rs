//! The model of a world, told by what uses each image; and a worker that sees it only through lists.

use std::collections::BTreeSet;

use proptest::sample::Index;

use super::super::{ACCOUNT, NOW, REGION, REPOSITORY};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::containers::act::Act;
use crate::stage::cleanup::containers::graph::{Facts, Gap, Kind, User};
use crate::stage::cleanup::containers::image::{Image, Key, Manifest, Status};
use crate::stage::cleanup::containers::marks::{Batch, Trim};
use crate::stage::cleanup::containers::retain::{Disposition, Reason, Uses};
use crate::stage::cleanup::containers::steps::{Move, decide};
use crate::stage::cleanup::containers::survey::{Scope, Seen, Survey};
use crate::stage::cleanup::graph::Source;
use crate::stage::cleanup::memory::Memory;

/// Every way for something to use an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    TaskDefinition,
    DefinitionByDigest,
    /// A service keeps a revision that is no longer registered.
    OldDefinitionOfService,
    /// A task runs what its tag meant when it was started.
    Task,
    /// A version of a function keeps what its tag meant when it was published.
    Function,
    Parameter,
    ParameterDocument,
    ParameterOfTag,
    ParameterOfDigest,
    Recipe,
    OfThisRelease,
}

impl Reference {
    pub const ALL: [Self; 11] = [
        Self::TaskDefinition,
        Self::DefinitionByDigest,
        Self::OldDefinitionOfService,
        Self::Task,
        Self::Function,
        Self::Parameter,
        Self::ParameterDocument,
        Self::ParameterOfTag,
        Self::ParameterOfDigest,
        Self::Recipe,
        Self::OfThisRelease,
    ];
}

/// What a look at the world meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A list is denied, throttled or breaks off: there is no survey.
    Refused,
    /// The images are listed as they were at the look before.
    StaleImages,
    /// The list of tasks comes back empty.
    CutTasks,
    CutFunctions,
    /// A task definition that a service names is not described.
    LostDefinition,
    /// The look is good; the call that follows acts, and the worker dies before it hears of it.
    LostReply,
}

/// Something that uses an image.
#[derive(Clone, Debug)]
struct Using {
    by: Reference,
    /// What it named when it began.
    tag: Option<String>,
    digest: String,
}

/// Tasks and functions that have nothing to do with these images.
const OTHERS: u64 = 20;

pub struct World {
    now: Timestamp,
    rules: Rules,
    /// As they are. Of an index in the archive a look shows less.
    images: Vec<Image>,
    using: Vec<Using>,
    marks: Vec<Batch>,
    memory: Memory,
    /// Put into the archive by someone else.
    theirs: BTreeSet<Key>,
}

impl World {
    pub fn new(images: Vec<Image>, rules: Rules) -> Self {
        let theirs = images.iter().filter(|image| image.status == Status::Archived);
        let mut world = Self {
            now: NOW,
            rules,
            theirs: theirs.map(|image| image.key.clone()).collect(),
            images,
            using: Vec::new(),
            marks: Vec::new(),
            memory: Memory::default(),
        };
        world.memory = world.memory.see(&world.facts(Fault::None).counts, NOW).0;
        world
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = Timestamp(self.now.0 + seconds);
        for image in &mut self.images {
            // It came back twelve minutes after it was asked to.
            if image.status == Status::Activating && image.activated.is_some_and(|at| at <= self.now) {
                image.status = Status::Active;
            }
        }
    }

    pub fn put_to_use(&mut self, by: Reference, of: Index) {
        if self.images.is_empty() {
            return;
        }
        let image = of.get(&self.images);
        let tag = image.tags.first().cloned();
        self.using.push(Using { by, tag, digest: image.key.digest.clone() });
    }

    pub fn leave(&mut self, which: Index) {
        if !self.using.is_empty() {
            self.using.swap_remove(which.index(self.using.len()));
        }
    }

    /// Pushing a tag brings its image back from the archive at once.
    pub fn move_tag(&mut self, from: Index, to: Index) {
        if self.images.is_empty() {
            return;
        }
        let (from, to) = (from.index(self.images.len()), to.index(self.images.len()));
        let Some(tag) = self.images[from].tags.pop_first() else { return };
        let (now, image) = (self.now, &mut self.images[to]);
        image.tags.insert(tag);
        if image.status != Status::Active {
            (image.status, image.activated) = (Status::Active, Some(now));
            self.theirs.remove(&image.key);
        }
    }

    /// What each use needs: the image that has the tag now, or the one it began with.
    fn needed(&self) -> BTreeSet<Key> {
        let mut needed = BTreeSet::new();
        for using in &self.using {
            let by_tag = match using.by {
                Reference::TaskDefinition
                | Reference::OldDefinitionOfService
                | Reference::Parameter
                | Reference::ParameterDocument
                | Reference::ParameterOfTag
                | Reference::Recipe => using.tag.as_ref(),
                Reference::DefinitionByDigest
                | Reference::Task
                | Reference::Function
                | Reference::ParameterOfDigest
                | Reference::OfThisRelease => None,
            };
            let image = match by_tag {
                Some(tag) => self.images.iter().find(|image| image.tags.contains(tag)),
                None => self.images.iter().find(|image| image.key.digest == using.digest),
            };
            needed.extend(image.map(|image| image.key.clone()));
        }
        // An image cannot be run without what its index names, nor verified without what is about it.
        loop {
            let more: Vec<Key> = self
                .images
                .iter()
                .filter(|image| !needed.contains(&image.key))
                .filter(|image| {
                    let of = |one: &Image| needed.contains(&one.key);
                    let named = |one: &&Image| one.children().contains(&image.key.digest);
                    let about = image.subject.as_ref().map(|subject| image.key.sibling(subject));
                    self.images.iter().filter(named).any(of) || about.is_some_and(|key| needed.contains(&key))
                })
                .map(|image| image.key.clone())
                .collect();
            if more.is_empty() {
                return needed;
            }
            needed.extend(more);
        }
    }

    /// What the lists say.
    fn facts(&self, fault: Fault) -> Facts {
        let mut facts = Facts::default();
        let (mut tasks, mut functions) = (OTHERS, OTHERS);
        for (number, using) in self.using.iter().enumerate() {
            let digest = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}@{}", using.digest);
            let tagged = using.tag.as_ref().map_or_else(
                || digest.clone(),
                |tag| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:{tag}"),
            );
            let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:{number}");
            let mut text =
                |kind: Kind, text: String| facts.texts.push((User::new(kind, number.to_string()), text));
            match using.by {
                Reference::TaskDefinition | Reference::DefinitionByDigest => {
                    let by_tag = using.by == Reference::TaskDefinition;
                    facts.definitions.insert(arn.clone(), vec![if by_tag { tagged } else { digest }]);
                    facts.active.insert(arn);
                }
                Reference::OldDefinitionOfService => {
                    if fault != Fault::LostDefinition {
                        facts.definitions.insert(arn.clone(), vec![tagged]);
                    }
                    facts.in_use.push((User::new(Kind::Service, number.to_string()), arn));
                }
                Reference::Task if fault != Fault::CutTasks => {
                    tasks += 1;
                    text(Kind::Task, tagged);
                    text(Kind::Task, using.digest.clone());
                }
                Reference::Function if fault != Fault::CutFunctions => {
                    functions += 1;
                    text(Kind::Function, tagged);
                    text(Kind::Function, digest);
                }
                Reference::Parameter => text(Kind::Parameter, tagged),
                Reference::ParameterDocument => text(Kind::Parameter, format!(r#"{{"image":"{tagged}"}}"#)),
                Reference::ParameterOfTag => {
                    text(Kind::Parameter, using.tag.clone().unwrap_or_else(|| using.digest.clone()));
                }
                Reference::ParameterOfDigest => text(Kind::Parameter, using.digest.clone()),
                Reference::Recipe => text(Kind::Recipe, tagged),
                Reference::OfThisRelease | Reference::Task | Reference::Function => {}
            }
        }
        facts.counts.insert(Source::Tasks, if fault == Fault::CutTasks { 0 } else { tasks });
        facts.counts.insert(Source::Functions, if fault == Fault::CutFunctions { 0 } else { functions });
        facts
    }

    fn known(&self) -> Uses {
        let ours = self.using.iter().filter(|using| using.by == Reference::OfThisRelease);
        ours.map(|using| (Key::new(REPOSITORY, using.digest.as_str()), [Reason::ThisRelease].into()))
            .collect()
    }

    /// The images as they are listed.
    fn listed(&self) -> Vec<Image> {
        let mut images = self.images.clone();
        for image in &mut images {
            if image.status != Status::Active && image.manifest != Manifest::Single {
                image.manifest = Manifest::HiddenIndex;
            }
        }
        images
    }

    fn judge(&self, images: Vec<Image>, fault: Fault) -> Result<Survey, Gap> {
        let scope = Scope { rules: &self.rules, account: ACCOUNT, known: self.known() };
        let seen =
            Seen { images, marks: self.marks.clone(), facts: self.facts(fault), memory: self.memory.clone() };
        Survey::judge(&scope, REGION, seen, self.now)
    }

    fn harms(&self, key: &Key, what: &str) {
        let (needed, now) = (self.needed(), self.now);
        assert!(!needed.contains(key), "{key} is in use and is {what} at {now}: {:#?}", self.using);
        assert!(!self.theirs.contains(key), "{key} is someone else's and is {what}");
    }

    /// Does what AWS does when it is called; whether it came to something.
    fn act(&mut self, act: &Act) -> bool {
        let before = self.images.len();
        match act {
            Act::Restore(key) => {
                let comes_back = Timestamp(self.now.0 + 12 * 60);
                for image in self.images.iter_mut().filter(|image| image.key == *key) {
                    if image.status == Status::Archived {
                        (image.status, image.activated) = (Status::Activating, Some(comes_back));
                    }
                }
            }
            Act::Archive(key) => {
                self.harms(key, "put into the archive");
                let listed = self
                    .images
                    .iter()
                    .any(|list| list.status == Status::Active && list.children().contains(&key.digest));
                assert!(!listed, "{key} is put into the archive before its index");
                let now = self.now;
                for image in self.images.iter_mut().filter(|image| image.key == *key) {
                    if image.status == Status::Active {
                        (image.status, image.archived) = (Status::Archived, Some(now));
                    }
                }
            }
            Act::Delete { repository, digests } => {
                for digest in digests {
                    let key = Key::new(repository.as_str(), digest.as_str());
                    if self.images.iter().any(|list| list.children().contains(digest)) {
                        continue;
                    }
                    self.harms(&key, "deleted");
                    self.images.retain(|image| image.key != key);
                }
            }
            Act::Mark(batch) => self.write(batch),
        }
        !matches!(act, Act::Delete { .. }) || self.images.len() < before
    }

    fn write(&mut self, batch: &Batch) {
        assert!(batch.digests.len() <= 60);
        self.marks.retain(|mark| mark.name != batch.name);
        self.marks.push(batch.clone());
    }

    fn trim(&mut self, trim: &Trim) {
        match trim {
            Trim::Write(batch) => self.write(batch),
            Trim::Delete { name } => self.marks.retain(|mark| mark.name != *name),
        }
    }

    /// Everything that nothing speaks for is gone, and everything else can be pulled, unless someone else archived it.
    pub fn is_as_it_should_be(&self) {
        let survey = self.judge(self.listed(), Fault::None).unwrap();
        for image in &self.images {
            let fate = &survey.fates[&image.key];
            assert!(matches!(fate, Disposition::Keep(_)), "{} is still there: {fate:?}", image.key);
            if !self.theirs.contains(&image.key) {
                assert_eq!(image.status, Status::Active, "{} {fate:?}", image.key);
            }
        }
    }
}

/// A worker that is met by faults and killed after some looks.
pub struct Worker {
    faults: std::iter::Cycle<std::vec::IntoIter<Fault>>,
    looks: usize,
}

impl Worker {
    pub fn new(faults: Vec<Fault>, looks: usize) -> Self {
        Self { faults: faults.into_iter().cycle(), looks }
    }

    pub fn clean_up(mut self, world: &mut World) {
        // A list that is cut off is whole again before it would be believed.
        world.memory = world.memory.see(&world.facts(Fault::None).counts, world.now).0;
        let mut before = world.listed();
        let mut tries = 0;
        for _ in 0..self.looks {
            world.pass(60);
            let fault = self.faults.next().unwrap_or(Fault::None);
            if fault == Fault::Refused {
                return;
            }
            let now = world.listed();
            let images = if fault == Fault::StaleImages { before } else { now.clone() };
            before = now;
            // A gap is waited for: another look.
            let Ok(survey) = world.judge(images, fault) else { continue };
            if let Some(memory) = &survey.remember {
                world.memory = memory.clone();
            }
            if survey.suspicion.is_some() {
                return;
            }
            match decide(&survey, &world.rules, tries) {
                None => return,
                Some(Move::Trim(trim)) => world.trim(&trim),
                Some(Move::Act(act)) => {
                    if !world.act(&act) {
                        return;
                    }
                    tries += 1;
                }
            }
            if fault == Fault::LostReply {
                return;
            }
        }
    }
}
