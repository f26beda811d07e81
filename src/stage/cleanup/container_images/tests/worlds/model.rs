//! A model of an AWS account with images and their references, and of a worker that sees it only through lists.

use std::collections::BTreeSet;

use proptest::sample::Index;

use super::super::{ACCOUNT, NOW, REGION, REPOSITORY};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;
use crate::stage::aws_view::image_references::graph::ListName;
use crate::stage::cleanup::container_images::calls::Call;
use crate::stage::cleanup::container_images::image::{Image, ImageKey, Manifest, Status};
use crate::stage::cleanup::container_images::marks::{MarkBatch, Trim};
use crate::stage::cleanup::container_images::references::graph::{Gap, Listings, Resource, ResourceKind};
use crate::stage::cleanup::container_images::retention::{Disposition, KeepReason, KeepReasons};
use crate::stage::cleanup::container_images::steps::{NextAction, decide};
use crate::stage::cleanup::container_images::survey::{Scope, Survey, SurveyInput};
use crate::stage::cleanup::list_lengths::{CONTAINER_IMAGES, ListLengths};

/// Ways to reference an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    TaskDefinition,
    DefinitionByDigest,
    /// A service uses a deregistered task definition.
    OldDefinitionOfService,
    /// A task runs the image that its tag named when it started.
    Task,
    /// A version of a function keeps the image that its tag named when it was published.
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

/// A fault during a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A list is denied, throttled or breaks off: there is no survey.
    Refused,
    /// The images are listed as they were at the survey before.
    StaleImages,
    /// The list of tasks is empty.
    CutTasks,
    CutFunctions,
    /// The task definition of a service is not described.
    LostDefinition,
    /// The survey succeeds; the call after it succeeds, too, and the worker dies before its reply.
    LostReply,
}

/// A reference to an image.
#[derive(Clone, Debug)]
struct Using {
    by: Reference,
    /// The tag and digest when it started.
    tag: Option<String>,
    digest: String,
}

/// Tasks and functions of other images.
const OTHERS: u64 = 20;

pub struct World {
    now: Timestamp,
    rules: Rules,
    /// The images as they are. A survey sees less of an archived index.
    images: Vec<Image>,
    using: Vec<Using>,
    marks: Vec<MarkBatch>,
    lengths: ListLengths,
    /// Images that someone else archived.
    theirs: BTreeSet<ImageKey>,
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
            lengths: ListLengths::default(),
        };
        world.lengths = world.lengths.update(&world.listings(Fault::None).lengths, CONTAINER_IMAGES, NOW).0;
        world
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = Timestamp(self.now.0 + seconds);
        for image in &mut self.images {
            // ECR restores it within twelve minutes.
            if image.status == Status::Activating && image.activated_on.is_some_and(|at| at <= self.now) {
                image.status = Status::Active;
            }
        }
    }

    pub fn use_image(&mut self, by: Reference, of: Index) {
        if self.images.is_empty() {
            return;
        }
        let image = of.get(&self.images);
        let tag = image.tags.first().cloned();
        self.using.push(Using { by, tag, digest: image.key.digest.clone() });
    }

    pub fn stop_use(&mut self, which: Index) {
        if !self.using.is_empty() {
            self.using.swap_remove(which.index(self.using.len()));
        }
    }

    /// Moves a tag. Pushing a tag restores its image from the archive at once.
    pub fn move_tag(&mut self, from: Index, to: Index) {
        if self.images.is_empty() {
            return;
        }
        let (from, to) = (from.index(self.images.len()), to.index(self.images.len()));
        let Some(tag) = self.images[from].tags.pop_first() else { return };
        let (now, image) = (self.now, &mut self.images[to]);
        image.tags.insert(tag);
        if image.status != Status::Active {
            (image.status, image.activated_on) = (Status::Active, Some(now));
            self.theirs.remove(&image.key);
        }
    }

    /// The images that the references need: the one that has the tag now, or the one of the start.
    fn needed(&self) -> BTreeSet<ImageKey> {
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
        // An index needs the images it lists, and an image needs its signatures.
        loop {
            let more: Vec<ImageKey> = self
                .images
                .iter()
                .filter(|image| !needed.contains(&image.key))
                .filter(|image| {
                    let of = |one: &Image| needed.contains(&one.key);
                    let named = |one: &&Image| one.children().contains(&image.key.digest);
                    let subject = image.subject.as_ref().map(|subject| image.key.sibling(subject));
                    self.images.iter().filter(named).any(of)
                        || subject.is_some_and(|key| needed.contains(&key))
                })
                .map(|image| image.key.clone())
                .collect();
            if more.is_empty() {
                return needed;
            }
            needed.extend(more);
        }
    }

    /// The contents of the lists.
    fn listings(&self, fault: Fault) -> Listings {
        let mut listings = Listings::default();
        let (mut tasks, mut functions) = (OTHERS, OTHERS);
        for (number, using) in self.using.iter().enumerate() {
            let digest = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}@{}", using.digest);
            let tagged = using.tag.as_ref().map_or_else(
                || digest.clone(),
                |tag| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:{tag}"),
            );
            let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:{number}");
            let mut text = |kind: ResourceKind, text: String| {
                listings.texts.push((Resource::new(kind, number.to_string()), text));
            };
            match using.by {
                Reference::TaskDefinition | Reference::DefinitionByDigest => {
                    let by_tag = using.by == Reference::TaskDefinition;
                    listings.definitions.insert(arn.clone(), vec![if by_tag { tagged } else { digest }]);
                    listings.active.insert(arn);
                }
                Reference::OldDefinitionOfService => {
                    if fault != Fault::LostDefinition {
                        listings.definitions.insert(arn.clone(), vec![tagged]);
                    }
                    listings.in_use.push((Resource::new(ResourceKind::Service, number.to_string()), arn));
                }
                Reference::Task if fault != Fault::CutTasks => {
                    tasks += 1;
                    text(ResourceKind::Task, tagged);
                    text(ResourceKind::Task, using.digest.clone());
                }
                Reference::Function if fault != Fault::CutFunctions => {
                    functions += 1;
                    text(ResourceKind::Function, tagged);
                    text(ResourceKind::Function, digest);
                }
                Reference::Parameter => text(ResourceKind::Parameter, tagged),
                Reference::ParameterDocument => {
                    text(ResourceKind::Parameter, format!(r#"{{"image":"{tagged}"}}"#));
                }
                Reference::ParameterOfTag => {
                    text(ResourceKind::Parameter, using.tag.clone().unwrap_or_else(|| using.digest.clone()));
                }
                Reference::ParameterOfDigest => text(ResourceKind::Parameter, using.digest.clone()),
                Reference::Recipe => text(ResourceKind::Recipe, tagged),
                Reference::OfThisRelease | Reference::Task | Reference::Function => {}
            }
        }
        listings.lengths.insert(ListName::Tasks, if fault == Fault::CutTasks { 0 } else { tasks });
        listings
            .lengths
            .insert(ListName::Functions, if fault == Fault::CutFunctions { 0 } else { functions });
        listings
    }

    fn known(&self) -> KeepReasons {
        let ours = self.using.iter().filter(|using| using.by == Reference::OfThisRelease);
        ours.map(|using| (ImageKey::new(REPOSITORY, using.digest.as_str()), [KeepReason::ThisRelease].into()))
            .collect()
    }

    /// The images as ECR lists them.
    fn listed(&self) -> Vec<Image> {
        let mut images = self.images.clone();
        for image in &mut images {
            if image.status != Status::Active && image.manifest != Manifest::Single {
                image.manifest = Manifest::UnreadIndex;
            }
        }
        images
    }

    fn survey(&self, images: Vec<Image>, fault: Fault) -> Result<Survey, Gap> {
        let scope = Scope { rules: &self.rules, account: ACCOUNT, known: self.known() };
        let input = SurveyInput {
            images,
            marks: self.marks.clone(),
            listings: self.listings(fault),
            stored: self.lengths.clone(),
        };
        Survey::decide(&scope, REGION, input, self.now)
    }

    fn check_unused(&self, key: &ImageKey, what: &str) {
        let (needed, now) = (self.needed(), self.now);
        assert!(!needed.contains(key), "{key} is in use and is {what} at {now}: {:#?}", self.using);
        assert!(!self.theirs.contains(key), "{key} belongs to someone else and is {what}");
    }

    /// Carries out a call as AWS does; whether it changed anything.
    fn send(&mut self, call: &Call) -> bool {
        let before = self.images.len();
        match call {
            Call::Restore(key) => {
                let restored_on = Timestamp(self.now.0 + 12 * 60);
                for image in self.images.iter_mut().filter(|image| image.key == *key) {
                    if image.status == Status::Archived {
                        (image.status, image.activated_on) = (Status::Activating, Some(restored_on));
                    }
                }
            }
            Call::Archive(key) => {
                self.check_unused(key, "archived");
                let listed = self
                    .images
                    .iter()
                    .any(|list| list.status == Status::Active && list.children().contains(&key.digest));
                assert!(!listed, "{key} is archived before its index");
                let now = self.now;
                for image in self.images.iter_mut().filter(|image| image.key == *key) {
                    if image.status == Status::Active {
                        (image.status, image.archived_on) = (Status::Archived, Some(now));
                    }
                }
            }
            Call::Delete { repository, digests } => {
                for digest in digests {
                    let key = ImageKey::new(repository.as_str(), digest.as_str());
                    if self.images.iter().any(|list| list.children().contains(digest)) {
                        continue;
                    }
                    self.check_unused(&key, "deleted");
                    self.images.retain(|image| image.key != key);
                }
            }
            Call::Mark(batch) => self.write(batch),
        }
        !matches!(call, Call::Delete { .. }) || self.images.len() < before
    }

    fn write(&mut self, batch: &MarkBatch) {
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

    /// Checks that every unneeded image is deleted and every other can be pulled, unless someone else archived it.
    pub fn check_final_state(&self) {
        let survey = self.survey(self.listed(), Fault::None).unwrap();
        for image in &self.images {
            let disposition = &survey.dispositions[&image.key];
            assert!(
                matches!(disposition, Disposition::Keep(_)),
                "{} still exists: {disposition:?}",
                image.key
            );
            if !self.theirs.contains(&image.key) {
                assert_eq!(image.status, Status::Active, "{} {disposition:?}", image.key);
            }
        }
    }
}

/// A worker with a fault at each survey, killed after some surveys.
pub struct Worker {
    faults: std::iter::Cycle<std::vec::IntoIter<Fault>>,
    surveys: usize,
}

impl Worker {
    pub fn new(faults: Vec<Fault>, surveys: usize) -> Self {
        Self { faults: faults.into_iter().cycle(), surveys }
    }

    pub fn clean_up(mut self, world: &mut World) {
        // A list that is cut short recovers before its length would be accepted.
        let listed = world.listings(Fault::None).lengths;
        world.lengths = world.lengths.update(&listed, CONTAINER_IMAGES, world.now).0;
        let mut before = world.listed();
        let mut calls = 0;
        for _ in 0..self.surveys {
            world.pass(60);
            let fault = self.faults.next().unwrap_or(Fault::None);
            if fault == Fault::Refused {
                return;
            }
            let now = world.listed();
            let images = if fault == Fault::StaleImages { before } else { now.clone() };
            before = now;
            // After a gap, the worker surveys again.
            let Ok(survey) = world.survey(images, fault) else { continue };
            if let Some(lengths) = &survey.changed_lengths {
                world.lengths = lengths.clone();
            }
            if survey.short_list.is_some() {
                return;
            }
            match decide(&survey, &world.rules, calls) {
                None => return,
                Some(NextAction::Trim(trim)) => world.trim(&trim),
                Some(NextAction::Call(call)) => {
                    if !world.send(&call) {
                        return;
                    }
                    calls += 1;
                }
            }
            if fault == Fault::LostReply {
                return;
            }
        }
    }
}
