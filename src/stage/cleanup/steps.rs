//! The moves of the machine, up to its last word.

use std::collections::BTreeMap;
use std::time::Duration;

use super::image::{Image, Protection};
use super::quarantine::{self, Back, MARK, Mark, Next, Step as Way};
use super::retain::Disposition;
use super::survey::{Focus, Survey};
use super::{Cleanup, Inputs, MOST, PendingRemoval, ROOM, Removed, Todo, act, inventory, removal, survey};
use crate::aws::Aws;
use crate::engine::key::tag;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::stage::context::Cx;
use crate::stage::reap::{self, Builds, Leftover, Standing, What};

/// The longest that an action waits for a quarantine to end. What rests longer is left to the next cleanup.
const PATIENCE: Duration = Duration::from_hours(2);

/// Times that one action looks for leftovers, each with one call that removes something.
const REAPED: u8 = 60;

/// Of so many leftovers that were asked to go last the token keeps the marks.
const ASKED: usize = 8;

/// How long until another look when all that is left is on its way out.
const DRAINING: Duration = Duration::from_mins(2);

/// Writes onto the release's image when it was promoted and how long its statements speak of it: later cleanups see
/// neither this artifact nor its statements.
pub async fn name(inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let Some(promotion) = &inputs.promotion else { return Ok(Step::Next(Cleanup::Surveying)) };
    let ours = inputs.release.image_in(cx.aws.region())?;
    let stamp = |at: time::OffsetDateTime| Timestamp(at.unix_timestamp()).to_string();
    let tags = BTreeMap::from([
        (tag::PROMOTED_ON.to_owned(), stamp(promotion.finished_on)),
        (tag::EVIDENCE_UNTIL.to_owned(), stamp(inputs.release.chain.last().link.hand_over_expires_on)),
    ]);
    if let Some(image) = inventory::image(&cx.aws, &ours.image_id).await?
        && tags.iter().any(|(key, value)| image.tags.get(key) != Some(value))
    {
        act::tag(&cx.aws, &ours.image_id, &tags).await?;
    }
    Ok(Step::Next(Cleanup::Surveying))
}

/// Decides which images take steps. Before that, how long the lists are is written down, if it has changed.
pub async fn survey(inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let Some(scope) = inputs.scope() else {
        return Ok(Step::Next(Cleanup::Containers { done: Vec::new(), tries: 0 }));
    };
    let survey = Survey::take(&cx.aws, &scope, Focus::Oldest(inputs.most()), cx.now()).await?;
    if let Some(memory) = &survey.remember {
        survey::remember(&cx.aws, memory).await?;
    }
    survey.believed()?;
    let queue = todo(&survey, inputs.most());
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::Containers { done: Vec::new(), tries: 0 }));
    }
    let summary = format!(
        "{} of {} images of {} are to go, and {} take a step now",
        survey.leaving().count(),
        survey.images.len(),
        inputs.release.spec.service,
        queue.len()
    );
    let progress = Progress { percent: 10, summary, external_id: None };
    // A wait, not a next: the list must have been written to the token before the first image changes.
    Ok(Step::Wait { state: Cleanup::Quarantining { queue }, again_in: Duration::from_secs(1), progress })
}

/// The images that are brought back, and the oldest of those that take a step out of use.
fn todo(survey: &Survey, most: usize) -> Vec<Todo> {
    let brought = survey.images.iter().filter_map(|image| match survey.fates.get(image.id()) {
        Some(Disposition::Reinstate(_)) => Some(Todo { image: image.id().to_owned(), step: Way::Mark }),
        _ => None,
    });
    let out = survey
        .leaving()
        .filter_map(|(image, _)| Some(Todo { image: image.id().to_owned(), step: survey.step(image.id())? }));
    brought.chain(out).take(most).collect()
}

/// Takes one image one step out of use or back, if everything still says so.
pub async fn quarantine(mut queue: Vec<Todo>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let Some(at) = queue.iter().position(|todo| todo.step != Way::Deregister) else {
        let images = queue.into_iter().map(|todo| todo.image).collect();
        return Ok(Step::Next(Cleanup::Resting { images }));
    };
    let todo = queue.remove(at);
    let close = [todo.image.clone()];
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Focus::These(&close), cx.now()).await?;
    survey.believed()?;
    if let Some(todo) = advance(&cx.aws, &survey, todo, cx.now()).await? {
        queue.insert(at, todo);
    }
    Ok(Step::Next(Cleanup::Quarantining { queue }))
}

/// Makes the one call that brings an image further, and says how far it has come then; none when there is nothing
/// more to do with it.
///
/// # Errors
/// As the call; or the survey does not show yet what was done before.
pub async fn advance(
    aws: &Aws,
    survey: &Survey,
    todo: Todo,
    now: Timestamp,
) -> Result<Option<Todo>, StageError> {
    let id = todo.image.as_str();
    let (Some(image), Some(fate)) = (survey.image(id), survey.fates.get(id)) else { return Ok(None) };
    let step = match fate {
        // Something uses it by now.
        Disposition::Keep(_) => return Ok(None),
        Disposition::Reinstate(_) => {
            take_back(aws, image, now).await?;
            return Ok(Some(todo));
        }
        Disposition::Go(Next::Rest { .. } | Next::Step(Way::Deregister)) => {
            return Ok(Some(Todo { step: Way::Deregister, ..todo }));
        }
        Disposition::Go(Next::Step(step)) => *step,
    };
    let renews = step == Way::Mark && image.tags.contains_key(MARK);
    if step < todo.step && !renews {
        return Err(StageError::NotYet(format!(
            "{id} was about to {}, and looks as if it had still to {step}",
            todo.step
        )));
    }
    let acted = match step {
        Way::Mark => {
            let mark = Mark::of(image, now).map_err(|why| StageError::Rejected(format!("{id}: {why}")))?;
            act::tag(aws, id, &mark.tags()).await?
        }
        Way::Deprecate => act::deprecate(aws, id, now).await?,
        Way::Disable | Way::Deregister => act::disable(aws, id).await?,
    };
    Ok(match acted {
        act::Acted::Done => Some(todo.after(step)),
        act::Acted::Gone => None,
    })
}

/// Takes an image in quarantine one step back, and says which; none when it is in no quarantine. Its shares must be
/// known unless it is disabled.
///
/// # Errors
/// As the calls; its record cannot be read; or two looks at it in a row do not agree that it is as it was.
pub async fn take_back(aws: &Aws, image: &Image, now: Timestamp) -> Result<Option<Back>, StageError> {
    let id = image.id();
    let unreadable =
        |why| StageError::Rejected(format!("{id}: {why}; it is not known how the image was before"));
    let Some(mark) = image.mark().map_err(unreadable)? else { return Ok(None) };
    let step = quarantine::back(image, &mark, now);
    // Without its record an image cannot be brought back any more: one look, which may be a stale one, is not enough.
    if step == Back::Unmark {
        let mut again = inventory::image(aws, id).await?;
        if let Some(again) = again.as_mut().filter(|again| again.state != "disabled") {
            again.shares = act::shares(aws, id).await?;
        }
        if again.is_none_or(|again| quarantine::back(&again, &mark, now) != Back::Unmark) {
            return Err(StageError::NotYet(format!("{id} was as before, and then was not")));
        }
    }
    act::back(aws, image, &step).await?;
    Ok(Some(step))
}

/// Waits for quarantines that end soon, and writes down what is to go before any of it goes.
pub async fn rest(images: Vec<String>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let now = cx.now();
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Focus::These(&images), now).await?;
    survey.believed()?;
    let (mut due, mut wait) = (Vec::new(), None);
    for id in &images {
        let Some((image, Disposition::Go(next))) = survey.image(id).zip(survey.fates.get(id)) else {
            continue;
        };
        match next {
            Next::Step(Way::Deregister) => due.push(image),
            // A protection that cools down may take a day.
            Next::Rest { until } if image.protection != Protection::CoolingDown => {
                let rest = until.since(now);
                if rest <= PATIENCE {
                    wait = wait.max(Some(rest));
                }
            }
            Next::Rest { .. } => {}
            Next::Step(step) => {
                return Err(StageError::NotYet(format!("{id} looks as if it had still to {step}")));
            }
        }
    }
    if let Some(again_in) = wait {
        let summary = format!("{} images are disabled and rest", images.len());
        let progress = Progress { percent: 50, summary, external_id: None };
        return Ok(Step::Wait { state: Cleanup::Resting { images }, again_in, progress });
    }
    let queue = fit(due.into_iter().map(PendingRemoval::new));
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::Containers { done: Vec::new(), tries: 0 }));
    }
    let summary = format!("{} images rested and go now", queue.len());
    let progress = Progress { percent: 60, summary, external_id: None };
    // A wait, not a next: the list must have been written to the token before the first image goes.
    let state = Cleanup::Removing { queue, done: Vec::new() };
    Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress })
}

/// As many as travel in a token, and at least one.
#[must_use]
pub fn fit(doomed: impl Iterator<Item = PendingRemoval>) -> Vec<PendingRemoval> {
    let (mut queue, mut room) = (Vec::new(), ROOM);
    for doomed in doomed.take(MOST) {
        let Some(rest) = room.checked_sub(doomed.room() + 1) else { break };
        room = rest;
        queue.push(doomed);
    }
    queue
}

/// Removes one image, if everything still says that it goes.
pub async fn remove(
    mut queue: Vec<PendingRemoval>,
    mut done: Vec<PendingRemoval>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    if queue.is_empty() {
        return Ok(Step::Next(Cleanup::Containers { done, tries: 0 }));
    }
    let next = queue.remove(0);
    let close = [next.id.clone()];
    let survey = Survey::take(&cx.aws, &inputs.machine_scope()?, Focus::These(&close), cx.now()).await?;
    survey.believed()?;
    let held = survey.held_of(&next);
    let removed = if next.gone {
        Some(removal::delete_next(&cx.aws, next, &held).await?)
    } else if survey.image(&next.id).is_none() {
        Some(removal::adopt(&cx.aws, next, &held).await?)
    } else if survey.step(&next.id) == Some(Way::Deregister) {
        Some(match removal::remove(&cx.aws, next.clone(), &held).await? {
            Removed::Gone(gone) => gone,
            Removed::WasGone => removal::adopt(&cx.aws, next, &held).await?,
            Removed::Held => next,
        })
    } else {
        // Something uses it by now: it stays, and the last survey will say why.
        None
    };
    match removed {
        // Snapshots of it are still to go.
        Some(doomed) if doomed.gone && !doomed.is_over() => queue.insert(0, doomed),
        Some(doomed) => done.push(doomed),
        None => {}
    }
    Ok(Step::Next(Cleanup::Removing { queue, done }))
}

/// Removes one leftover of a run that has ended, or brings it a step towards that. `asked` is what was asked to go
/// before: a look that still shows it is a stale one, or it takes its time.
pub async fn reap(
    done: Vec<PendingRemoval>,
    tries: u8,
    mut asked: Vec<u32>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let release = &inputs.release;
    let bake = release.spec.bake.as_ref();
    let builds = Builds::Of {
        image_pipeline: bake.and_then(|bake| bake.image_pipeline()),
        recipe: bake.and_then(|bake| bake.image_recipe.as_ref()).map(|_| release.spec.service.as_str()),
    };
    let found = reap::find(&cx.aws, builds).await?;
    let standings = reap::standings(&cx.home, &found).await?;
    let over: Vec<Leftover> =
        found.into_iter().filter(|leftover| standings.get(&leftover.run) == Some(&Standing::Ended)).collect();
    let drains = |leftover: &Leftover| {
        matches!(leftover.what, What::EmptiedTrialGroup { instances } if instances > 0)
            || asked.contains(&leftover.mark())
    };
    if over.is_empty() || tries >= REAPED {
        return Ok(Step::Next(Cleanup::Sealing { done, why: None }));
    }
    let again_in = match over.iter().find(|leftover| !drains(leftover)) {
        Some(leftover) => {
            reap::remove(&cx.aws, leftover).await?;
            asked.truncate(ASKED - 1);
            asked.insert(0, leftover.mark());
            Duration::from_secs(2)
        }
        None => DRAINING,
    };
    let summary = format!("{} leftovers of ended runs are on their way out", over.len());
    let progress = Progress { percent: 90, summary, external_id: None };
    Ok(Step::Wait { state: Cleanup::Reaping { done, tries: tries + 1, asked }, again_in, progress })
}
