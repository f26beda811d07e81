//! The steps of the cleanup machine up to the removal of machine images.

use std::collections::BTreeMap;
use std::time::Duration;

use super::machine_images::advance::{AdvanceError, advance};
use super::machine_images::image::Protection;
use super::machine_images::quarantine::{Next, RemovalStep};
use super::machine_images::queue::QueuedImage;
use super::machine_images::removal::{self, Deregistration, PendingRemoval};
use super::machine_images::retention::Disposition;
use super::machine_images::survey::{Inspect, Survey};
use super::machine_images::{calls, inventory};
use super::{Cleanup, Inputs, MAX_IMAGES, TOKEN_BYTES, list_lengths};
use crate::engine::key::tag;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::stage::context::Cx;

/// The longest wait of one action for a quarantine to end. Longer quarantines are left to the next cleanup.
const MAX_WAIT: Duration = Duration::from_hours(2);

/// Pause before the first change, so that the token already lists the images.
const TOKEN_FIRST: Duration = Duration::from_secs(1);

/// Tags the release's image with its promotion date and the expiry of its statements: later cleanups see neither this
/// artifact nor its statements.
pub async fn tag_release(inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let Some(promotion) = &inputs.promotion else { return Ok(Step::Next(Cleanup::Surveying)) };
    let ours = inputs.release.image_in(cx.aws.region())?;
    let text = |at: time::OffsetDateTime| Timestamp(at.unix_timestamp()).to_string();
    let tags = BTreeMap::from([
        (tag::PROMOTED_ON.to_owned(), text(promotion.finished_on)),
        (tag::EVIDENCE_UNTIL.to_owned(), text(inputs.release.chain.last().link.hand_over_expires_on)),
    ]);
    if let Some(image) = inventory::image(&cx.aws, &ours.image_id).await?
        && tags.iter().any(|(key, value)| image.tags.get(key) != Some(value))
    {
        calls::tag(&cx.aws, &ours.image_id, &tags).await?;
    }
    Ok(Step::Next(Cleanup::Surveying))
}

/// Surveys the images and queues those that are due. Changed list lengths are saved first.
pub async fn survey(inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let Some(scope) = inputs.scope() else {
        return Ok(Step::Next(Cleanup::ContainerImages { done: Vec::new(), calls: 0 }));
    };
    let inspect = Inspect::Oldest(inputs.max_per_run());
    let survey = Survey::take(&cx.aws, &scope, inspect, cx.now()).await?;
    if let Some(lengths) = &survey.changed_lengths {
        list_lengths::save(&cx.aws, list_lengths::MACHINE_IMAGES, lengths).await?;
    }
    survey.check_lengths()?;
    let queue = due_images(&survey, inputs.max_per_run());
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::ContainerImages { done: Vec::new(), calls: 0 }));
    }
    let summary = format!(
        "{} of {} images of {} are to be removed; {} take a step now",
        survey.removable().count(),
        survey.images.len(),
        inputs.release.spec.service,
        queue.len()
    );
    let progress = Progress { percent: 10, summary, external_id: None };
    Ok(Step::Wait { state: Cleanup::Quarantining { queue }, again_in: TOKEN_FIRST, progress })
}

/// The images to restore, then the oldest images with a step that is due.
fn due_images(survey: &Survey, max: usize) -> Vec<QueuedImage> {
    let restored = survey.images.iter().filter_map(|image| match survey.dispositions.get(image.id()) {
        Some(Disposition::Restore(_)) => {
            Some(QueuedImage { image: image.id().to_owned(), step: RemovalStep::Mark })
        }
        _ => None,
    });
    let removed = survey.removable().filter_map(|(image, _)| {
        Some(QueuedImage { image: image.id().to_owned(), step: survey.step(image.id())? })
    });
    restored.chain(removed).take(max).collect()
}

/// Takes one image one step towards quarantine or back, if a new survey still says so.
pub async fn quarantine(
    mut queue: Vec<QueuedImage>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let Some(at) = queue.iter().position(|queued| queued.step != RemovalStep::Deregister) else {
        let images = queue.into_iter().map(|queued| queued.image).collect();
        return Ok(Step::Next(Cleanup::Waiting { images }));
    };
    let queued = queue.remove(at);
    let only = [queued.image.clone()];
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Inspect::Only(&only), cx.now()).await?;
    survey.check_lengths()?;
    if let Some(queued) = advance(&cx.aws, &survey, queued, cx.now()).await? {
        queue.insert(at, queued);
    }
    Ok(Step::Next(Cleanup::Quarantining { queue }))
}

/// Waits for quarantines that end soon, and stores in the token what is about to be removed.
pub async fn wait(images: Vec<String>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let now = cx.now();
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Inspect::Only(&images), now).await?;
    survey.check_lengths()?;
    let (mut due, mut longest_wait) = (Vec::new(), None);
    for id in &images {
        let Some((image, Disposition::Remove(next))) = survey.image(id).zip(survey.dispositions.get(id))
        else {
            continue;
        };
        match next {
            Next::Step(RemovalStep::Deregister) => due.push(image),
            // A protection that cools down may take a day.
            Next::Wait { until } if image.protection != Protection::CoolingDown => {
                let wait = until.since(now);
                if wait <= MAX_WAIT {
                    longest_wait = longest_wait.max(Some(wait));
                }
            }
            Next::Wait { .. } => {}
            Next::Step(step) => {
                return Err(AdvanceError::StaleStep { image: id.clone(), done: *step }.into());
            }
        }
    }
    if let Some(again_in) = longest_wait {
        let summary = format!("{} images are disabled and in quarantine", images.len());
        let progress = Progress { percent: 50, summary, external_id: None };
        return Ok(Step::Wait { state: Cleanup::Waiting { images }, again_in, progress });
    }
    let queue = fit_token(due.into_iter().map(PendingRemoval::new));
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::ContainerImages { done: Vec::new(), calls: 0 }));
    }
    let summary = format!("{} images end their quarantine and are removed now", queue.len());
    let progress = Progress { percent: 60, summary, external_id: None };
    let state = Cleanup::Removing { queue, done: Vec::new() };
    Ok(Step::Wait { state, again_in: TOKEN_FIRST, progress })
}

/// The first removals that fit into a token, at least one.
#[must_use]
pub fn fit_token(removals: impl Iterator<Item = PendingRemoval>) -> Vec<PendingRemoval> {
    let (mut queue, mut free) = (Vec::new(), TOKEN_BYTES);
    for removal in removals.take(MAX_IMAGES) {
        let Some(rest) = free.checked_sub(removal.token_bytes() + 1) else { break };
        free = rest;
        queue.push(removal);
    }
    queue
}

/// Makes one call that removes an image or one of its snapshots, if a new survey still says so.
pub async fn remove(
    mut queue: Vec<PendingRemoval>,
    mut done: Vec<PendingRemoval>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::ContainerImages { done, calls: 0 }));
    }
    let next = queue.remove(0);
    let only = [next.id.clone()];
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Inspect::Only(&only), cx.now()).await?;
    survey.check_lengths()?;
    let retained = survey.retained_snapshots_of(&next);
    let removal = if next.deregistered {
        Some(removal::delete_next(&cx.aws, next, &retained).await?)
    } else if survey.image(&next.id).is_none() {
        Some(removal::adopt(&cx.aws, next, &retained).await?)
    } else if survey.step(&next.id) == Some(RemovalStep::Deregister) {
        Some(match removal::deregister(&cx.aws, next.clone(), &retained).await? {
            Deregistration::Done(removal) => removal,
            Deregistration::NotFound => removal::adopt(&cx.aws, next, &retained).await?,
            Deregistration::Refused => next,
        })
    } else {
        // A resource references it by now: it stays, and the last survey gives the reason.
        None
    };
    match removal {
        // Snapshots remain to be deleted.
        Some(removal) if removal.deregistered && !removal.is_finished() => queue.insert(0, removal),
        Some(removal) => done.push(removal),
        None => {}
    }
    Ok(Step::Next(Cleanup::Removing { queue, done }))
}
