//! The way out of use, and back: which step is next for a container image, told from the image and its mark.

use std::time::Duration;

use super::image::{Image, Status};
use crate::engine::Timestamp;

/// An image goes into the archive within this time after it was marked, or is marked anew. So a mark also says which
/// stay in the archive is ours: one that begins later is someone else's.
pub const FRESH: Duration = Duration::from_hours(1);

/// Clocks may differ by so much.
const SKEW: Duration = Duration::from_mins(5);

/// A step on the way out of use, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is written down that it is about to go into the archive.
    Mark,
    /// It goes into the archive: it cannot be pulled.
    Archive,
    /// It is deleted.
    Delete,
}

/// What is next for an image that nothing speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Step(Step),
    /// Nothing before this moment.
    Rest {
        until: Timestamp,
    },
}

/// Whether it was us who put an image into the archive, given when it was last marked.
#[must_use]
pub fn is_ours(image: &Image, marked: Option<Timestamp>) -> bool {
    let (Status::Archived, Some(marked), Some(archived)) = (image.status, marked, image.archived) else {
        return false;
    };
    archived.plus(SKEW) >= marked && archived <= marked.plus(FRESH + SKEW)
}

/// Whether an image that is still active was marked not long ago.
#[must_use]
pub fn is_fresh(marked: Option<Timestamp>, now: Timestamp) -> bool {
    marked.is_some_and(|marked| now.since(marked) <= FRESH)
}

/// The next step for an image that nothing speaks for and that no one else keeps in the archive.
#[must_use]
pub fn next(image: &Image, marked: Option<Timestamp>, wait: Duration, now: Timestamp) -> Next {
    match (image.status, image.archived) {
        (Status::Archived, Some(archived)) if now < archived.plus(wait) => {
            Next::Rest { until: archived.plus(wait) }
        }
        (Status::Archived, Some(_)) => Next::Step(Step::Delete),
        _ if is_fresh(marked, now) => Next::Step(Step::Archive),
        _ => Next::Step(Step::Mark),
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
            image.archived = Some(minutes(archived));
            assert_eq!(is_ours(&image, Some(NOW)), ours, "{archived} minutes after the mark");
        }
        assert!(!is_ours(&image, None));
        image.archived = None;
        assert!(!is_ours(&image, Some(NOW)), "ECR does not say since when");
    }

    #[test]
    fn an_image_is_marked_archived_rests_and_goes() {
        let day = Duration::from_hours(24);
        let mut image = image(1, 30);
        assert_eq!(next(&image, None, day, NOW), Next::Step(Step::Mark));
        assert_eq!(next(&image, Some(NOW), day, NOW), Next::Step(Step::Archive));
        let late = NOW.plus(FRESH).plus(Duration::from_secs(1));
        assert_eq!(next(&image, Some(NOW), day, late), Next::Step(Step::Mark));
        (image.status, image.archived) = (Status::Archived, Some(NOW));
        let until = NOW.plus(day);
        assert_eq!(next(&image, Some(NOW), day, NOW), Next::Rest { until });
        assert_eq!(next(&image, Some(NOW), day, until), Next::Step(Step::Delete));
    }
}
