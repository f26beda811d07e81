//! The whole picture: the images of the service, everything that uses them, and what becomes of each.

use std::collections::BTreeMap;

use super::Inputs;
use super::inventory::{self, Inventory};
use super::references;
use super::retain::{self, Fate, Image, Reason, Uses};
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::Promotion;
use crate::stage::canary::{self, Launches};
use crate::stage::handover::Release;

/// What a survey came to.
#[derive(Clone, Debug)]
pub struct Survey {
    pub images: Vec<Image>,
    /// By image id.
    pub fates: BTreeMap<String, Fate>,
    pub at: Timestamp,
}

impl Survey {
    /// Looks at everything and judges.
    ///
    /// # Errors
    /// As the calls: a list that cannot be read to its end is an error, never a shorter list.
    pub async fn take(aws: &Aws, inputs: &Inputs, now: Timestamp) -> Result<Self, StageError> {
        // The users are read after the images: what begins to use an image later is caught by the next survey,
        // which is taken right before each removal.
        let images = inventory::images(aws, &inputs.release.spec.service).await?;
        let ids: Vec<String> = images.iter().map(|image| image.id().to_owned()).collect();
        let inventory = Inventory::read(aws).await?;
        let mut uses = references::unite(&inventory.users, &references::ask(aws, &ids).await?);
        release(&mut uses, inputs, aws.region())?;
        if let Some(promote) = &inputs.release.spec.promote {
            fleet(&mut uses, aws, &promote.group, &inventory).await?;
        }
        let verdicts = retain::retain(&inputs.rules, &images, &uses, now);
        let fates =
            verdicts.into_iter().map(|verdict| (verdict.image.id().to_owned(), verdict.fate)).collect();
        Ok(Self { images, fates, at: now })
    }

    /// The images that go, oldest first.
    #[must_use]
    pub fn doomed(&self) -> Vec<&Image> {
        let goes = |image: &&Image| self.fates.get(image.id()) == Some(&Fate::Remove);
        let mut doomed: Vec<&Image> = self.images.iter().filter(goes).collect();
        doomed.sort_by(|a, b| a.created().cmp(&b.created()).then_with(|| a.id().cmp(b.id())));
        doomed
    }

    #[must_use]
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.id() == id)
    }
}

/// What the chain says of the release's promotion, if there was one.
///
/// # Errors
/// The statement does not have a promotion's members.
pub fn promotion(release: &Release) -> Result<Option<Promotion>, StageError> {
    let Some(verified) = release.chain.stage(Stage::Promote) else { return Ok(None) };
    let read = verified.statement.predicate_as();
    read.map(Some)
        .map_err(|fault| StageError::Rejected(format!("the promotion statement cannot be read: {fault}")))
}

/// The images of this release, and the one its promotion replaced.
fn release(uses: &mut Uses, inputs: &Inputs, region: &str) -> Result<(), StageError> {
    for image in inputs.release.chain.images().iter().filter(|image| image.region == region) {
        uses.entry(image.image_id.clone()).or_default().insert(Reason::ThisRelease);
    }
    if let Some(Promotion { previous: Some(previous), target, .. }) = promotion(&inputs.release)? {
        uses.entry(previous.image_id).or_default().insert(Reason::Previous { group: target.name });
    }
    Ok(())
}

/// What the group runs, launches, and is being refreshed to.
async fn fleet(uses: &mut Uses, aws: &Aws, name: &str, inventory: &Inventory) -> Result<(), StageError> {
    let mut add = |image: &String, reason: Reason| {
        uses.entry(image.clone()).or_default().insert(reason);
    };
    let Some(group) = canary::group(aws, name).await? else {
        return Err(StageError::Config(format!(
            "there is no Auto Scaling group {name} in this account and region; correct promote.group: without the \
             group it is not known which image is current"
        )));
    };
    let current = || Reason::Current { group: name.to_owned() };
    for instance in &group.instances {
        if let Some(image) = inventory.instances.get(&instance.id) {
            add(image, current());
        }
    }
    let image_of =
        |template: &str, version: &str| inventory.versions.get(&(template.to_owned(), version.parse().ok()?));
    let saved = match &group.launches {
        Launches::Template { id, version } => image_of(id, version),
        Launches::Mixed | Launches::Configuration(_) | Launches::Nothing => None,
    };
    if let Some(image) = saved {
        add(image, current());
    }
    for refresh in canary::refreshes(aws, name).await?.into_iter().filter(|refresh| !refresh.status.is_over())
    {
        let brought = refresh.brings.as_ref().and_then(|(id, version)| image_of(id, version));
        for image in brought.into_iter().chain(saved) {
            add(image, Reason::InRefresh { refresh: refresh.id.clone() });
        }
    }
    Ok(())
}
