//! Reads the machine images of a service and everything that references them, and decides what happens to each.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};

use super::calls;
use super::image::Image;
use super::inventory;
use super::quarantine::{Next, RemovalStep};
use super::references;
use super::removal::PendingRemoval;
use super::retention::{self, Disposition, KeepReason, KeepReasons};
use super::snapshots;
use super::usage_report;
use crate::aws::Aws;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{StageError, Timestamp};
use crate::spec::{MachineImages as Rules, SharedImages};
use crate::stage::aws_view::image_references::graph::{References, Resource, ResourceKind};
use crate::stage::aws_view::image_references::{AT_ONCE, Inventory};
use crate::stage::cleanup::list_lengths::{self, ListLengths, ShortList};

/// Up to so many images, EC2 is asked about all references, so that a disagreement about an image that stays is
/// reported, too. For more images EC2 is asked only about those that are due, right before each changes.
const ASK_EC2_ABOUT_ALL: usize = 100;

/// The images that a survey covers, and the reasons to keep them that are known beforehand.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub service: &'a str,
    pub rules: &'a Rules,
    /// The Auto Scaling groups in this account and region that the service is promoted to.
    pub groups: Vec<&'a str>,
    /// Reasons that follow from the release itself.
    pub known: KeepReasons,
}

/// Why a survey's scope cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error(
        "there is no Auto Scaling group {group} in this account and region; correct promote.target: without the group, \
         the current image is unknown"
    )]
    NoGroup { group: String },
}

impl ModuleError for ScopeError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// The images whose launch permissions and EC2 references a survey reads. Only these may change.
#[derive(Clone, Copy, Debug)]
pub enum Inspect<'a> {
    /// The oldest images that are due, at most so many.
    Oldest(usize),
    Only(&'a [String]),
}

/// The result of a survey.
#[derive(Clone, Debug)]
pub struct Survey {
    pub images: Vec<Image>,
    /// By image id.
    pub dispositions: BTreeMap<String, Disposition>,
    /// References to snapshots, by snapshot id.
    pub snapshots: References,
    /// Ids of the inspected images.
    pub inspected: BTreeSet<String>,
    /// The lengths of the lists to save, if they changed.
    pub changed_lengths: Option<ListLengths>,
    /// A list that is too short: nothing may be removed.
    pub short_list: Option<ShortList>,
    pub at: Timestamp,
}

impl Survey {
    /// Reads everything and decides.
    ///
    /// # Errors
    /// As the calls: a list that cannot be read to its end is an error, never a shorter list.
    pub async fn take(
        aws: &Aws,
        scope: &Scope<'_>,
        inspect: Inspect<'_>,
        now: Timestamp,
    ) -> Result<Self, StageError> {
        // Images first, references second: a reference that appears later is found by the next survey, which precedes
        // every change.
        let images = inventory::images(aws, scope.service).await?;
        // The number of images is not stored: cleanups reduce it, and a shortened list of images removes fewer.
        let inventory = Inventory::read(aws).await?;
        let stored = list_lengths::load(aws, list_lengths::MACHINE_IMAGES).await?;
        let (lengths, short_list) =
            stored.update(&inventory.listings.lengths, list_lengths::MACHINE_IMAGES, now);
        let mut builder = SurveyBuilder {
            aws,
            scope,
            now,
            current: current_images(scope, &inventory)?,
            references: inventory.references,
            ec2: References::new(),
            survey: Self {
                snapshots: snapshots::references(&inventory.listings, &images),
                images,
                dispositions: BTreeMap::new(),
                inspected: BTreeSet::new(),
                changed_lengths: (lengths != stored).then_some(lengths),
                short_list,
                at: now,
            },
        };
        if builder.survey.images.len() <= ASK_EC2_ABOUT_ALL {
            let ids: Vec<String> = builder.survey.images.iter().map(|image| image.id().to_owned()).collect();
            builder.ask_ec2(&ids).await?;
        }
        builder.decide();
        match inspect {
            Inspect::Only(ids) => builder.inspect(ids).await?,
            Inspect::Oldest(max) => builder.inspect_oldest(max).await?,
        }
        Ok(builder.survey)
    }

    /// A survey of no images, for a spec without rules for machine images.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self {
            images: Vec::new(),
            dispositions: BTreeMap::new(),
            snapshots: References::new(),
            inspected: BTreeSet::new(),
            changed_lengths: None,
            short_list: None,
            at,
        }
    }

    #[must_use]
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.id() == id)
    }

    /// Snapshots of an image that other resources reference.
    #[must_use]
    pub fn retained_snapshots(&self, image: &Image) -> References {
        snapshots::retained(&self.snapshots, image.id(), image.snapshots.iter().map(String::as_str))
    }

    /// Snapshots of an image that other resources reference, even if the image is deregistered.
    #[must_use]
    pub fn retained_snapshots_of(&self, removal: &PendingRemoval) -> References {
        if let Some(image) = self.image(&removal.id) {
            return self.retained_snapshots(image);
        }
        let listed = removal.snapshots.iter().map(|snapshot| snapshot.id.as_str());
        snapshots::retained(&self.snapshots, &removal.id, listed)
    }

    /// The step that is due for an inspected image.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<RemovalStep> {
        match self.dispositions.get(id) {
            Some(Disposition::Remove(Next::Step(step))) if self.inspected.contains(id) => Some(*step),
            _ => None,
        }
    }

    /// The images that nothing keeps, oldest first.
    pub fn removable(&self) -> impl Iterator<Item = (&Image, Next)> {
        self.by_age().into_iter().filter_map(|image| match self.dispositions.get(image.id()) {
            Some(Disposition::Remove(next)) => Some((image, *next)),
            _ => None,
        })
    }

    /// Every image, oldest first.
    #[must_use]
    pub fn by_age(&self) -> Vec<&Image> {
        let mut images: Vec<&Image> = self.images.iter().collect();
        images.sort_by_cached_key(|image| (image.created(), image.id()));
        images
    }

    /// Refuses to continue if a list is too short.
    ///
    /// # Errors
    /// The short list.
    pub fn check_lengths(&self) -> Result<(), ShortList> {
        self.short_list.clone().map_or(Ok(()), Err)
    }
}

/// A survey whose images are being inspected.
struct SurveyBuilder<'a> {
    aws: &'a Aws,
    scope: &'a Scope<'a>,
    now: Timestamp,
    current: KeepReasons,
    references: References,
    /// The references that EC2 reports.
    ec2: References,
    survey: Survey,
}

impl SurveyBuilder<'_> {
    async fn ask_ec2(&mut self, ids: &[String]) -> Result<(), StageError> {
        let new: Vec<String> = ids.iter().filter(|id| !self.ec2.contains_key(*id)).cloned().collect();
        self.ec2.append(&mut references::read(self.aws, &new).await?);
        Ok(())
    }

    fn decide(&mut self) {
        let mut uses = references::keep_reasons(&self.references, &self.ec2);
        for (image, reasons) in self.scope.known.iter().chain(&self.current) {
            uses.entry(image.clone()).or_default().extend(reasons.iter().cloned());
        }
        self.survey.dispositions =
            retention::dispositions(self.scope.rules, &self.survey.images, &uses, self.now);
    }

    /// Reads the launch permissions and EC2 references of these images, and decides again.
    async fn inspect(&mut self, ids: &[String]) -> Result<(), StageError> {
        self.ask_ec2(ids).await?;
        let (aws, now) = (self.aws, self.now);
        let by_usage = self.scope.rules.shared_images == SharedImages::KeepWhileUsed;
        // A disabled image is not shared; its record lists whom it was shared with.
        let wanted: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let (disabled, enabled): (Vec<&Image>, Vec<&Image>) = self
            .survey
            .images
            .iter()
            .filter(|image| wanted.contains(image.id()))
            .partition(|image| image.state == "disabled");
        let enabled: Vec<String> = enabled.into_iter().map(|image| image.id().to_owned()).collect();
        let read = |id: String| async move {
            let shared_with = calls::launch_permissions(aws, &id).await?.unwrap_or_default();
            let needs_report = by_usage && !shared_with.is_empty();
            let accounts =
                if needs_report { usage_report::accounts(aws, &id, now).await? } else { BTreeSet::new() };
            Ok((id, shared_with, accounts))
        };
        // All of them, even if one fails: EC2 then creates the usage reports of all in parallel.
        let read: Vec<Result<_, StageError>> =
            stream::iter(enabled).map(read).buffered(AT_ONCE).collect().await;
        let mut permissions: BTreeMap<String, Vec<String>> =
            disabled.into_iter().map(|image| (image.id().to_owned(), Vec::new())).collect();
        for (id, shared_with, accounts) in read.into_iter().collect::<Result<Vec<_>, _>>()? {
            if !accounts.is_empty() {
                self.references.entry(id.clone()).or_default().extend(accounts);
            }
            permissions.insert(id, shared_with);
        }
        for image in &mut self.survey.images {
            if let Some(shared_with) = permissions.remove(image.id()) {
                self.survey.inspected.insert(image.id().to_owned());
                image.shared_with = Some(shared_with);
            }
        }
        self.decide();
        Ok(())
    }

    /// Inspects the oldest removable images until `max` of them have a step that is due.
    async fn inspect_oldest(&mut self, max: usize) -> Result<(), StageError> {
        loop {
            let due = self.survey.inspected.iter().filter(|id| self.survey.step(id).is_some()).count();
            let candidates = self.survey.removable().filter(|(image, next)| {
                matches!(next, Next::Step(_)) && !self.survey.inspected.contains(image.id())
            });
            let missing = max.saturating_sub(due);
            let batch: Vec<String> =
                candidates.take(missing).map(|(image, _)| image.id().to_owned()).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.inspect(&batch).await?;
        }
    }
}

/// The images that the scope's groups run, launch or are being refreshed to.
fn current_images(scope: &Scope<'_>, inventory: &Inventory) -> Result<KeepReasons, ScopeError> {
    let mut reasons = KeepReasons::new();
    for name in &scope.groups {
        if !inventory.listings.groups.contains(*name) {
            return Err(ScopeError::NoGroup { group: (*name).to_owned() });
        }
        let group = Resource { kind: ResourceKind::AutoScalingGroup, id: (*name).to_owned() };
        let images = inventory.references.iter().filter(|(_, resources)| resources.contains(&group));
        for (image, _) in images {
            reasons
                .entry(image.clone())
                .or_default()
                .insert(KeepReason::Current { group: (*name).to_owned() });
        }
    }
    Ok(reasons)
}
