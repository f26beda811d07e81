//! The steps that remove a container image, derived from the image and its mark.

use std::time::Duration;

use super::image::{Image, Status};
use crate::engine::Timestamp;

/// An image is archived within this time after its mark, or is marked again. So a mark also proves who archived an
/// image: if it was archived later, someone else did.
pub const MAX_MARK_AGE: Duration = Duration::from_hours(1);

/// Maximum difference between two clocks.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A step towards removal, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovalStep {
    /// Record that the image is about to be archived.
    Mark,
    /// Move it to the archive: it cannot be pulled.
    Archive,
    /// Delete it.
    Delete,
}

/// What is due for an image that nothing keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Step(RemovalStep),
    /// Nothing before this time.
    Wait {
        until: Timestamp,
    },
}

/// Whether cleanup archived an image, given when it last marked it.
#[must_use]
pub fn is_ours(image: &Image, marked: Option<Timestamp>) -> bool {
    let (Status::Archived, Some(marked), Some(archived)) = (image.status, marked, image.archived_on) else {
        return false;
    };
    archived.plus(CLOCK_SKEW) >= marked && archived <= marked.plus(MAX_MARK_AGE + CLOCK_SKEW)
}

/// Whether an image was marked recently enough to be archived.
#[must_use]
pub fn is_fresh(marked: Option<Timestamp>, now: Timestamp) -> bool {
    marked.is_some_and(|marked| now.since(marked) <= MAX_MARK_AGE)
}

/// The next step for an image that nothing keeps and that no one else archived.
#[must_use]
pub fn next(image: &Image, marked: Option<Timestamp>, wait: Duration, now: Timestamp) -> Next {
    match (image.status, image.archived_on) {
        (Status::Archived, Some(archived)) if now < archived.plus(wait) => {
            Next::Wait { until: archived.plus(wait) }
        }
        (Status::Archived, Some(_)) => Next::Step(RemovalStep::Delete),
        _ if is_fresh(marked, now) => Next::Step(RemovalStep::Archive),
        _ => Next::Step(RemovalStep::Mark),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, image};
    use super::*;

    #[test]
    fn a_stay_in_the_archive_is_ours_when_it_follows_the_mark() {
        let mut image = image(1, 30);
        image.status = Status::Archived;
        let minutes = |minutes: i64| Timestamp(NOW.0 + minutes * 60);
        for (archived, ours) in [(-10, false), (-3, true), (0, true), (60, true), (70, false)] {
            image.archived_on = Some(minutes(archived));
            assert_eq!(is_ours(&image, Some(NOW)), ours, "{archived} minutes after the mark");
        }
        assert!(!is_ours(&image, None));
        image.archived_on = None;
        assert!(!is_ours(&image, Some(NOW)), "ECR does not say since when");
    }

    #[test]
    fn an_image_is_marked_archived_waits_and_is_deleted() {
        let day = Duration::from_hours(24);
        let mut image = image(1, 30);
        assert_eq!(next(&image, None, day, NOW), Next::Step(RemovalStep::Mark));
        assert_eq!(next(&image, Some(NOW), day, NOW), Next::Step(RemovalStep::Archive));
        let late = NOW.plus(MAX_MARK_AGE).plus(Duration::from_secs(1));
        assert_eq!(next(&image, Some(NOW), day, late), Next::Step(RemovalStep::Mark));
        (image.status, image.archived_on) = (Status::Archived, Some(NOW));
        let until = NOW.plus(day);
        assert_eq!(next(&image, Some(NOW), day, NOW), Next::Wait { until });
        assert_eq!(next(&image, Some(NOW), day, until), Next::Step(RemovalStep::Delete));
    }
}
