//! Carries out the container images' part of an approved plan, and takes single images back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::act::{self, Act, Acted, Back};
use super::image::{Image, Key};
use super::inventory::{self, Definitions};
use super::plan::{Refusal, asks, hold};
use super::retain::Disposition;
use super::survey::{Scope, Survey};
use crate::aws::Aws;
use crate::engine::{Clock, StageError};
use crate::evidence::predicate::{Aim, PlannedContainer};

/// Calls between two looks at everything.
const FEW: usize = 10;

/// Looks that may come to nothing, one after the other.
const LOOKS: usize = 24;

/// How long until another look after one that showed too little, or a call that had no answer.
const PAUSE: Duration = Duration::from_secs(5);

/// How long until another look at an image on its way back, and how often: ECR takes up to twenty minutes.
const COMING: Duration = Duration::from_secs(30);
const LOOKS_BACK: usize = 120;

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// What became of an image of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Archived,
    /// It is on its way back from the archive.
    Reinstated,
    Deleted,
    /// ECR holds it, and says why by a code.
    Held(String),
    /// It was gone.
    Gone,
    /// It has become needed while the plan was carried out, and was left.
    Needed,
}

/// Whether the plan may be carried out as everything looks now. Nothing is changed.
///
/// # Errors
/// It may not; or not everything could be read.
pub async fn check(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    plan: &[PlannedContainer],
) -> Result<(), ApplyError> {
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.believed()?;
    hold(plan, &survey)?;
    Ok(())
}

/// Does exactly what the plan says, and tells of each image once it is done. Everything is looked at first, and again
/// after a few calls.
///
/// # Errors
/// The plan does not hold any more, or a call did not succeed. What was done before stays done, and the same plan may
/// be carried out again: it goes on.
pub async fn apply(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    plan: &[PlannedContainer],
    mut tell: impl FnMut(&Key, &Done),
) -> Result<(), ApplyError> {
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.believed()?;
    let mut left = hold(plan, &survey)?;
    let mut idle = 0;
    loop {
        match few(aws, clock, scope, definitions, &mut left, &mut tell).await {
            Ok(true) => idle = 0,
            Ok(false) => return Ok(()),
            // A look that shows less than was done, or an answer that was lost: another look.
            Err(error) if error.is_transient() && idle < LOOKS => {
                idle += 1;
                clock.sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks at everything and makes a few calls; whether there is more to do.
async fn few(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    left: &mut BTreeMap<Key, Aim>,
    tell: &mut impl FnMut(&Key, &Done),
) -> Result<bool, StageError> {
    if left.is_empty() {
        return Ok(false);
    }
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.believed()?;
    settle(&survey, left, tell);
    let mine = |image: &Image| {
        let aim = left.get(&image.key);
        aim.zip(survey.fates.get(&image.key)).is_some_and(|(aim, fate)| asks(*aim, fate))
    };
    let acts = act::next(&survey, usize::MAX, FEW, mine);
    if acts.is_empty() {
        return Ok(false);
    }
    for next in acts {
        let acted = act::act(aws, &next).await?;
        match (next, acted) {
            (_, Acted::Deleted { gone, held }) => {
                for key in repository_keys(left, &gone) {
                    left.remove(&key);
                    tell(&key, &Done::Deleted);
                }
                for (digest, code) in held {
                    for key in repository_keys(left, std::slice::from_ref(&digest)) {
                        left.remove(&key);
                        tell(&key, &Done::Held(code.clone()));
                    }
                }
            }
            (Act::Archive(key), Acted::Done) => {
                left.remove(&key);
                tell(&key, &Done::Archived);
            }
            (Act::Restore(key), Acted::Done) => {
                left.remove(&key);
                tell(&key, &Done::Reinstated);
            }
            (Act::Archive(key) | Act::Restore(key), Acted::Gone) => {
                left.remove(&key);
                tell(&key, &Done::Gone);
            }
            (Act::Mark(_) | Act::Delete { .. }, Acted::Done | Acted::Gone) => {}
        }
    }
    Ok(true)
}

fn repository_keys(left: &BTreeMap<Key, Aim>, digests: &[String]) -> Vec<Key> {
    let digests: BTreeSet<&String> = digests.iter().collect();
    let of = |(key, aim): (&Key, &Aim)| {
        (*aim == Aim::Delete && digests.contains(&key.digest)).then(|| key.clone())
    };
    left.iter().filter_map(of).collect()
}

/// Takes out what is gone or has become needed.
fn settle(survey: &Survey, left: &mut BTreeMap<Key, Aim>, tell: &mut impl FnMut(&Key, &Done)) {
    left.retain(|key, aim| {
        let done = match (survey.fates.get(key), *aim) {
            (None, Aim::Delete) => Done::Deleted,
            (None, _) => Done::Gone,
            (Some(Disposition::Keep(_)), Aim::Reinstate) => Done::Reinstated,
            (Some(Disposition::Keep(_) | Disposition::Reinstate(_)), Aim::Quarantine | Aim::Delete) => Done::Needed,
            (Some(Disposition::Go(super::quarantine::Next::Rest { .. })), Aim::Quarantine) => Done::Archived,
            _ => return true,
        };
        tell(key, &done);
        false
    });
}

/// Brings an image back from the archive, and with an index what it names. Tells of each once it is asked to come back
/// and once it is there.
///
/// # Errors
/// As the calls; there is no such image; or it does not come back.
pub async fn bring_back(
    aws: &Aws,
    clock: &Clock,
    key: &Key,
    mut tell: impl FnMut(&Key, Back),
) -> Result<(), StageError> {
    let mut todo = vec![key.clone()];
    let mut seen = BTreeSet::new();
    while let Some(key) = todo.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        let image = come_back(aws, clock, &key, &mut tell).await?;
        // What an index names can be read once it is back.
        todo.extend(image.children().iter().map(|child| key.sibling(child)));
    }
    Ok(())
}

async fn come_back(
    aws: &Aws,
    clock: &Clock,
    key: &Key,
    tell: &mut impl FnMut(&Key, Back),
) -> Result<Image, StageError> {
    let mut last = None;
    let mut asked = false;
    for _ in 0..LOOKS_BACK {
        let step = async {
            let image = inventory::image(aws, key).await?;
            Ok::<_, StageError>((act::back(aws, image.as_ref(), key).await?, image))
        };
        match step.await {
            Ok((Back::There, Some(image))) => {
                if asked {
                    tell(key, Back::There);
                }
                return Ok(image);
            }
            Ok((back, _)) => {
                if !asked {
                    tell(key, back);
                }
                asked = true;
            }
            Err(error) if error.is_transient() => last = Some(error),
            Err(error) => return Err(error),
        }
        clock.sleep(COMING).await;
    }
    Err(last.unwrap_or_else(|| StageError::Rejected(format!("{key} does not come back from the archive"))))
}
