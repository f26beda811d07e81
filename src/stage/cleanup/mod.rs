//! Removes images of the service that nothing uses any more, and says why each of the others stays.
//!
//! Nothing is removed unless every list was read to its end. The plan is made anew right before each removal.

mod inventory;
mod record;
pub mod references;
mod removal;
pub mod retain;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::inventory::images;
pub use self::removal::{Doomed, Snapshot};

use self::removal::Removed;
use self::retain::Fate;
use self::survey::Survey;
use super::context::Cx;
use super::handover::Release;
use super::why::Why;
use super::{StageMachine, goes_forward};
use crate::engine::{Failure, Machine, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::{Promotion, PromotionOutcome};
use crate::spec;

/// Removals in one cleanup: what is known of an image must travel in the token once the image is gone.
pub const MOST: usize = 12;

/// Bytes of a token for what is to go and what went.
pub const ROOM: usize = 1250;

/// How long a cleanup may take.
const TIMEOUT: Duration = Duration::from_hours(4);

/// The cleanup stage, at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Cleanup {
    /// Nothing is removed.
    Surveying,
    /// What is to go is written down. The first of `queue` may be gone already, and those after it too.
    Removing { queue: Vec<Doomed>, done: Vec<Doomed> },
    /// Nothing more is removed; the statement may have been handed over already. `why`: not everything could be
    /// read or removed.
    Sealing {
        done: Vec<Doomed>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Why>,
    },
}

/// What a cleanup works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub rules: spec::Cleanup,
    /// The account whose images are cleaned up: that of the release's image here.
    pub account: String,
    /// When the action began.
    pub at: Timestamp,
}

impl StageMachine for Cleanup {
    const STAGE: Stage = Stage::Cleanup;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Cleanup, at).await?;
        cx.act_in(release.spec.targets.cleanup.as_deref()).await?;
        let promotion = survey::promotion(&release)?;
        if let Some(Promotion {
            outcome: PromotionOutcome::RolledBack | PromotionOutcome::Failed,
            reason,
            ..
        }) = promotion
        {
            return Err(StageError::Rejected(format!(
                "nothing is cleaned up after a failed promotion: {reason}"
            )));
        }
        let rules =
            release.spec.cleanup().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        let account = release.image_in(cx.aws.region())?.account.clone();
        Ok(Inputs { release, rules, account, at })
    }

    async fn step_back(self, _: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            // What is known to be gone is told; what was in the queue may be gone too.
            Self::Sealing { done, why: Some(why) } => {
                let gone = done.iter().filter(|doomed| doomed.gone).count();
                let mut failure = Failure::from(why);
                failure.message =
                    format!("{gone} images or more were removed before this: {}", failure.message);
                Ok(Step::Done(Outcome::Failed(failure)))
            }
            forward @ (Self::Surveying | Self::Removing { .. } | Self::Sealing { why: None, .. }) => {
                Err(goes_forward(&forward))
            }
        }
    }
}

impl Machine for Cleanup {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::Surveying
    }

    fn timeout(_: &Inputs) -> Duration {
        TIMEOUT
    }

    fn unwind(self, why: Failure) -> Self {
        // A removal cannot be undone; what was removed can be told.
        let why = Some(Why::from(why));
        match self {
            Self::Surveying => Self::Sealing { done: Vec::new(), why },
            // The first of the queue may be gone by a call whose answer was lost: sealing looks.
            Self::Removing { queue, mut done } => {
                done.extend(queue);
                Self::Sealing { done, why }
            }
            Self::Sealing { done, why: None } => Self::Sealing { done, why },
            sealing @ Self::Sealing { why: Some(_), .. } => sealing,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Surveying | Self::Removing { .. } | Self::Sealing { why: None, .. } => false,
            Self::Sealing { why: Some(_), .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Surveying => survey(inputs, cx).await,
            Self::Removing { queue, done } => remove(queue, done, inputs, cx).await,
            Self::Sealing { done, why: None } => seal(done, inputs, cx).await,
            Self::Sealing { done, why: Some(why) } => seal_failed(done, why, inputs, cx).await,
        }
    }
}

/// Decides what is to go, and writes it down before any of it goes.
async fn survey(inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let survey = Survey::take(&cx.aws, inputs, cx.now()).await?;
    let doomed = survey.doomed();
    let queue = fit(doomed.iter().map(|image| Doomed::new(image)));
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::Sealing { done: Vec::new(), why: None }));
    }
    let summary = format!(
        "{} of {} images of {} are to go, {} of them now",
        doomed.len(),
        survey.images.len(),
        inputs.release.spec.service,
        queue.len()
    );
    let progress = Progress { percent: 10, summary, external_id: None };
    // A wait, not a next: the list must have been written to the token before the first image goes.
    let state = Cleanup::Removing { queue, done: Vec::new() };
    Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress })
}

/// As many as travel in a token, and at least one.
#[must_use]
pub fn fit(doomed: impl Iterator<Item = Doomed>) -> Vec<Doomed> {
    let (mut queue, mut room) = (Vec::new(), ROOM);
    for doomed in doomed.take(MOST) {
        let Some(rest) = room.checked_sub(doomed.room() + 1) else { break };
        room = rest;
        queue.push(doomed);
    }
    queue
}

/// Removes one image, if everything still says that it goes.
async fn remove(
    mut queue: Vec<Doomed>,
    mut done: Vec<Doomed>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::Sealing { done, why: None }));
    }
    let next = queue.remove(0);
    let survey = Survey::take(&cx.aws, inputs, cx.now()).await?;
    if survey.image(&next.id).is_none() {
        done.push(removal::adopt(&cx.aws, next).await?);
    } else if survey.fates.get(&next.id) == Some(&Fate::Remove) {
        match removal::remove(&cx.aws, next.clone()).await? {
            Removed::Gone(gone) => done.push(gone),
            Removed::WasGone => done.push(removal::adopt(&cx.aws, next).await?),
            Removed::Held => done.push(next),
        }
    }
    // Otherwise something uses it by now: it stays, and the last survey will say why.
    Ok(Step::Next(Cleanup::Removing { queue, done }))
}

/// Hands over what stays and what went.
async fn seal(done: Vec<Doomed>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let survey = Survey::take(&cx.aws, inputs, cx.now()).await?;
    if let Some(there) = done.iter().find(|doomed| doomed.gone && survey.image(&doomed.id).is_some()) {
        return Err(StageError::NotYet(format!("{} is deregistered and still listed", there.id)));
    }
    let record = record::cleanup(inputs, cx.aws.region(), Some(&survey), &done, (survey.at, cx.now()));
    record::hand_over(inputs, cx, &record).await?;
    let gone = done.iter().filter(|doomed| doomed.gone).count();
    let left = survey.doomed().len();
    let more = if left > 0 { format!(", {left} left for the next cleanup") } else { String::new() };
    let snapshots: Vec<String> = done.iter().flat_map(Doomed::left_over).cloned().map(String::from).collect();
    let leaks = if snapshots.is_empty() {
        String::new()
    } else {
        format!("; snapshots not deleted: {}", snapshots.join(", "))
    };
    let service = &inputs.release.spec.service;
    let summary = format!("{gone} images of {service} removed, {} kept{more}{leaks}", survey.images.len());
    let variables =
        BTreeMap::from([("Removed".to_owned(), gone.to_string()), ("Left".to_owned(), left.to_string())]);
    Ok(Step::Done(Outcome::Succeeded { summary, external_id: None, variables }))
}

/// Hands over what went before something failed.
async fn seal_failed(
    done: Vec<Doomed>,
    why: Why,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let mut told = Vec::new();
    // What was still in the queue is told only if it is gone; if even that cannot be read, what is known is told.
    let listed = inventory::images(&cx.aws, &inputs.release.spec.service).await;
    for doomed in done {
        let missing = listed.as_ref().is_ok_and(|images| images.iter().all(|image| image.id() != doomed.id));
        if doomed.gone || missing {
            told.push(Doomed { gone: true, ..doomed });
        }
    }
    let record = record::cleanup(inputs, cx.aws.region(), None, &told, (inputs.at, cx.now()));
    record::hand_over(inputs, cx, &record).await?;
    let mut failure = Failure::from(why);
    failure.message = match told.len() {
        0 => format!("nothing was removed: {}", failure.message),
        count => format!("{count} images were removed before this: {}", failure.message),
    };
    Ok(Step::Done(Outcome::Failed(failure)))
}
