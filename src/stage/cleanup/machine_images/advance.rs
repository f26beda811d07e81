//! Takes one machine image one step towards removal, or one step back.

use super::calls::{self, CallResult};
use super::image::Image;
use super::inventory;
use super::quarantine::{Next, QuarantineRecord, RECORD_TAG, RecordError, RemovalStep, UndoStep, next_undo};
use super::queue::QueuedImage;
use super::retention::Disposition;
use super::survey::Survey;
use crate::aws::Aws;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{StageError, Timestamp};

/// Why an image takes no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    #[error("a stale read shows {image}: the step to {done} was done, and EC2 still shows it as due")]
    StaleStep { image: String, done: RemovalStep },
    #[error("two reads of {image} disagree about whether it is restored")]
    StaleRestore { image: String },
    #[error("cleanup cannot record how {image} was")]
    Record { image: String, source: RecordError },
    #[error("cleanup cannot restore {image}: its record is damaged")]
    DamagedRecord { image: String, source: RecordError },
}

impl ModuleError for AdvanceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::StaleStep { .. } | Self::StaleRestore { .. } => ErrorClass::NotYet,
            Self::Record { .. } | Self::DamagedRecord { .. } => ErrorClass::Rejected,
        }
    }
}

/// Makes the one call that is due for a queued image and returns how far the image is then; `None` if nothing remains to
/// be done.
///
/// # Errors
/// As the call; or the survey does not show an earlier step yet.
pub async fn advance(
    aws: &Aws,
    survey: &Survey,
    queued: QueuedImage,
    now: Timestamp,
) -> Result<Option<QueuedImage>, StageError> {
    let id = queued.image.as_str();
    let (Some(image), Some(disposition)) = (survey.image(id), survey.dispositions.get(id)) else {
        return Ok(None);
    };
    let step = match disposition {
        // A resource references it by now.
        Disposition::Keep(_) => return Ok(None),
        Disposition::Restore(_) => {
            restore_step(aws, image, now).await?;
            return Ok(Some(queued));
        }
        Disposition::Remove(Next::Wait { .. } | Next::Step(RemovalStep::Deregister)) => {
            return Ok(Some(QueuedImage { step: RemovalStep::Deregister, ..queued }));
        }
        Disposition::Remove(Next::Step(step)) => *step,
    };
    let renews_record = step == RemovalStep::Mark && image.tags.contains_key(RECORD_TAG);
    if step < queued.step && !renews_record {
        return Err(AdvanceError::StaleStep { image: id.to_owned(), done: step }.into());
    }
    let result = match step {
        RemovalStep::Mark => {
            let record = QuarantineRecord::of(image, now)
                .map_err(|source| AdvanceError::Record { image: id.to_owned(), source })?;
            calls::tag(aws, id, &record.tags()).await?
        }
        RemovalStep::Deprecate => calls::deprecate(aws, id, now).await?,
        RemovalStep::Disable | RemovalStep::Deregister => calls::disable(aws, id).await?,
    };
    Ok(match result {
        CallResult::Done => Some(queued.after(step)),
        CallResult::NotFound => None,
    })
}

/// Takes an image in quarantine one step back and returns the step; `None` if it is not in quarantine. Its launch
/// permissions must have been read unless it is disabled.
///
/// # Errors
/// As the calls; its record is damaged; or two reads disagree about whether it is restored.
pub async fn restore_step(aws: &Aws, image: &Image, now: Timestamp) -> Result<Option<UndoStep>, StageError> {
    let id = image.id();
    let damaged = |source| AdvanceError::DamagedRecord { image: id.to_owned(), source };
    let Some(record) = image.quarantine_record().map_err(damaged)? else { return Ok(None) };
    let step = next_undo(image, &record, now);
    // An image without its record cannot be restored any more, so one read, which may be stale, is not enough.
    if step == UndoStep::RemoveRecord {
        let mut again = inventory::image(aws, id).await?;
        if let Some(again) = again.as_mut().filter(|again| again.state != "disabled") {
            again.shared_with = calls::launch_permissions(aws, id).await?;
        }
        if again.is_none_or(|again| next_undo(&again, &record, now) != UndoStep::RemoveRecord) {
            return Err(AdvanceError::StaleRestore { image: id.to_owned() }.into());
        }
    }
    calls::undo(aws, image, &step).await?;
    Ok(Some(step))
}
