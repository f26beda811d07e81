//! Reads the container images of repositories and everything that uses them, and decides what happens to each.

use std::collections::BTreeMap;

use super::image::{Image, ImageKey};
use super::image_names::Registry;
use super::inventory;
use super::marks::{self, MarkBatch};
use super::quarantine::Next;
use super::references::graph::{Gap, Listings};
use super::references::{self, Definitions};
use super::retention::{self, Disposition, KeepReason, KeepReasons, MarkTimes};
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::list_lengths::{self, ListLengths, ShortList};

/// The images that a survey covers, and the reasons to keep them that are known beforehand.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub rules: &'a Rules,
    pub account: &'a str,
    /// Reasons that follow from the release itself.
    pub known: KeepReasons,
}

/// The result of a survey.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Oldest first.
    pub images: Vec<Image>,
    pub dispositions: BTreeMap<ImageKey, Disposition>,
    pub marks: Vec<MarkBatch>,
    /// When each image was last marked.
    pub marked: MarkTimes,
    /// The lengths of the lists to save, if they changed.
    pub changed_lengths: Option<ListLengths>,
    /// A list that is too short: nothing may be removed.
    pub short_list: Option<ShortList>,
    pub at: Timestamp,
}

/// Everything that a survey reads.
#[derive(Clone, Debug)]
pub struct SurveyInput {
    pub images: Vec<Image>,
    pub marks: Vec<MarkBatch>,
    pub listings: Listings,
    pub stored: ListLengths,
}

impl Survey {
    /// Reads everything and decides.
    ///
    /// # Errors
    /// As the calls: a list that cannot be read to its end is an error, never a shorter list.
    pub async fn take(
        aws: &Aws,
        scope: &Scope<'_>,
        definitions: &Definitions,
        now: Timestamp,
    ) -> Result<Self, StageError> {
        // Marks, images, references, in this order: an image that is archived in between counts as archived by someone
        // else, and a reference that appears later is found by the next survey, which precedes every change.
        let marks = inventory::marks(aws).await?;
        let mut images = Vec::new();
        for repository in &scope.rules.repositories {
            images.append(&mut inventory::images(aws, repository).await?);
        }
        let listings = references::read(aws, definitions).await?;
        let stored = list_lengths::load(aws, list_lengths::CONTAINER_IMAGES).await?;
        Ok(Self::decide(scope, aws.region(), SurveyInput { images, marks, listings, stored }, now)?)
    }

    /// Decides what happens to each image. Pure.
    ///
    /// # Errors
    /// A reference cannot be resolved.
    pub fn decide(scope: &Scope<'_>, region: &str, input: SurveyInput, now: Timestamp) -> Result<Self, Gap> {
        let SurveyInput { mut images, marks, listings, stored } = input;
        images.sort_by(|a, b| (a.pushed_on, &a.key).cmp(&(b.pushed_on, &b.key)));
        let (lengths, short_list) = stored.update(&listings.lengths, list_lengths::CONTAINER_IMAGES, now);
        let references = listings.by_image(&images, Registry { account: scope.account, region })?;
        let mut uses = scope.known.clone();
        for (key, resources) in references {
            let reasons = resources.into_iter().map(|resource| KeepReason::Used { by: resource.to_string() });
            uses.entry(key).or_default().extend(reasons);
        }
        let marked = marks::mark_times(&marks);
        Ok(Self {
            dispositions: retention::dispositions(scope.rules, &images, &uses, &marked, now),
            images,
            marks,
            marked,
            changed_lengths: (lengths != stored).then_some(lengths),
            short_list,
            at: now,
        })
    }

    /// Saves the lengths of the lists if they changed, and refuses to continue if a list is too short.
    ///
    /// # Errors
    /// As the call; or the short list.
    pub async fn save_lengths(&self, aws: &Aws) -> Result<(), StageError> {
        if let Some(lengths) = &self.changed_lengths {
            list_lengths::save(aws, list_lengths::CONTAINER_IMAGES, lengths).await?;
        }
        Ok(self.check_lengths()?)
    }

    /// Refuses to continue if a list is too short.
    ///
    /// # Errors
    /// The short list.
    pub fn check_lengths(&self) -> Result<(), ShortList> {
        self.short_list.clone().map_or(Ok(()), Err)
    }

    #[must_use]
    pub fn image(&self, key: &ImageKey) -> Option<&Image> {
        self.images.iter().find(|image| image.key == *key)
    }

    /// The images that nothing keeps, oldest first.
    pub fn removable(&self) -> impl Iterator<Item = (&Image, Next)> {
        self.images.iter().filter_map(|image| match self.dispositions.get(&image.key) {
            Some(Disposition::Remove(next)) => Some((image, *next)),
            _ => None,
        })
    }
}
