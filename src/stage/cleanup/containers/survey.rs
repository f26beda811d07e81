//! The whole picture: the images of the repositories, everything that uses them, and what becomes of each.

use std::collections::BTreeMap;

use super::graph::{Facts, Gap};
use super::image::{Image, Key};
use super::inventory::{self, Definitions};
use super::marks::{self, Batch};
use super::quarantine::Next;
use super::retain::{self, Disposition, Marked, Reason, Uses};
use super::uri::Registry;
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::memory::{Memory, Suspicion};
use crate::stage::cleanup::survey::{remember_in, remembered_in};

/// The parameter that holds how long the lists of users of container images were.
pub const MEMORY: &str = "/bakeline/cleanup/container-inventory";

/// Whose images are cleaned up, and what is known of them from elsewhere.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub rules: &'a Rules,
    pub account: &'a str,
    /// What the release itself says of images.
    pub known: Uses,
}

/// What a survey came to.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The oldest first.
    pub images: Vec<Image>,
    pub fates: BTreeMap<Key, Disposition>,
    pub marks: Vec<Batch>,
    pub marked: Marked,
    /// What is to be remembered of the lists' lengths, if that differs from what is.
    pub remember: Option<Memory>,
    /// A list that is much shorter than it was. Nothing may go.
    pub suspicion: Option<Suspicion>,
    pub at: Timestamp,
}

/// What was read for a survey.
#[derive(Clone, Debug)]
pub struct Seen {
    pub images: Vec<Image>,
    pub marks: Vec<Batch>,
    pub facts: Facts,
    pub memory: Memory,
}

impl Survey {
    /// Looks at everything and judges.
    ///
    /// # Errors
    /// As the calls: a list that cannot be read to its end is an error, never a shorter list.
    pub async fn take(
        aws: &Aws,
        scope: &Scope<'_>,
        definitions: &Definitions,
        now: Timestamp,
    ) -> Result<Self, StageError> {
        // The marks before the images, and the users after them: what was put into the archive in between is taken for
        // someone else's, and what begins to use an image later is caught by the next survey, right before each change.
        let marks = inventory::marks(aws).await?;
        let mut images = Vec::new();
        for repository in &scope.rules.repositories {
            images.append(&mut inventory::images(aws, repository).await?);
        }
        let facts = inventory::facts(aws, definitions).await?;
        let memory = remembered_in(aws, MEMORY).await?;
        Ok(Self::judge(scope, aws.region(), Seen { images, marks, facts, memory }, now)?)
    }

    /// Judges what was read. Pure.
    ///
    /// # Errors
    /// The lists do not fit together.
    pub fn judge(scope: &Scope<'_>, region: &str, seen: Seen, now: Timestamp) -> Result<Self, Gap> {
        let Seen { mut images, marks, facts, memory: before } = seen;
        images.sort_by(|a, b| (a.pushed, &a.key).cmp(&(b.pushed, &b.key)));
        let (after, suspicion) = before.see(&facts.counts, now);
        let found = facts.users(&images, Registry { account: scope.account, region })?;
        let mut uses = scope.known.clone();
        for (key, by) in found {
            let reasons = by.into_iter().map(|user| Reason::Used { by: user.to_string() });
            uses.entry(key).or_default().extend(reasons);
        }
        let marked = marks::marked(&marks);
        Ok(Self {
            fates: retain::retain(scope.rules, &images, &uses, &marked, now),
            images,
            marks,
            marked,
            remember: (after != before).then_some(after),
            suspicion,
            at: now,
        })
    }

    /// Writes down how long the lists are, if that changed, and refuses to go on when one is not believed.
    ///
    /// # Errors
    /// As the call; or the suspicion.
    pub async fn settle(&self, aws: &Aws) -> Result<(), StageError> {
        if let Some(memory) = &self.remember {
            remember_in(aws, MEMORY, memory).await?;
        }
        self.believed()
    }

    /// Refuses to go on when a list is not believed.
    ///
    /// # Errors
    /// The suspicion.
    pub fn believed(&self) -> Result<(), StageError> {
        match &self.suspicion {
            Some(suspicion) => Err(StageError::Rejected(suspicion.told(MEMORY))),
            None => Ok(()),
        }
    }

    #[must_use]
    pub fn image(&self, key: &Key) -> Option<&Image> {
        self.images.iter().find(|image| image.key == *key)
    }

    /// The images that go or are on their way out, oldest first.
    pub fn leaving(&self) -> impl Iterator<Item = (&Image, Next)> {
        self.images.iter().filter_map(|image| match self.fates.get(&image.key) {
            Some(Disposition::Go(next)) => Some((image, *next)),
            _ => None,
        })
    }
}
