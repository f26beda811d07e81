//! Marks: which images cleanup is about to archive. They are stored first, because ECR does not record who archives
//! an image, and a tag on the image would interfere: an image is deleted with its last tag.
//!
//! One parameter of Systems Manager stores one time and the digests marked at that time. It is trimmed once the
//! images are deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{Image, ImageKey};
use super::quarantine;
use super::retention::MarkTimes;
use crate::engine::Timestamp;
use crate::stage::aws_view::dates;

/// The folder of the parameters, with a subfolder for each repository.
pub const FOLDER: &str = "/bakeline/state/cleanup/container-images/marks/";

/// The first word of a parameter.
const VERSION: &str = "v1";

/// Maximum number of digests in one parameter, whose value has at most 4096 characters.
pub const MAX_DIGESTS: usize = 60;

/// The marks in one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkBatch {
    /// The parameter's name.
    pub name: String,
    pub repository: String,
    pub at: Timestamp,
    pub digests: BTreeSet<String>,
}

/// How to trim a parameter that names images that no longer need a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trim {
    Write(MarkBatch),
    /// No mark is needed.
    Delete {
        name: String,
    },
}

impl MarkBatch {
    /// Marks these images now.
    #[must_use]
    pub fn new(repository: &str, digests: BTreeSet<String>, at: Timestamp) -> Self {
        // Two batches of the same second have different digests.
        let first: String =
            digests.first().map(|digest| digits(digest).chars().take(8).collect()).unwrap_or_default();
        let name = format!("{FOLDER}{repository}/{}-{first}", at.0);
        Self { name, repository: repository.to_owned(), at, digests }
    }

    /// The parameter's value.
    #[must_use]
    pub fn value(&self) -> String {
        let mut parts = vec![VERSION.to_owned(), self.at.to_string()];
        parts.extend(self.digests.iter().map(|digest| digits(digest).to_owned()));
        parts.join(" ")
    }

    /// Parses a parameter; `None` if it contains no marks.
    #[must_use]
    pub fn parse(name: &str, value: &str) -> Option<Self> {
        let (repository, _) = name.strip_prefix(FOLDER)?.rsplit_once('/')?;
        let mut parts = value.strip_prefix(VERSION)?.strip_prefix(' ')?.split(' ');
        let at = dates::parse(parts.next()?)?;
        let digests: BTreeSet<String> = parts.map(|digits| format!("sha256:{digits}")).collect();
        let name = name.to_owned();
        (!digests.is_empty()).then(|| Self { name, repository: repository.to_owned(), at, digests })
    }

    fn keys(&self) -> impl Iterator<Item = ImageKey> {
        self.digests.iter().map(|digest| ImageKey::new(self.repository.as_str(), digest.as_str()))
    }
}

fn digits(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// When each image was last marked.
#[must_use]
pub fn mark_times(batches: &[MarkBatch]) -> MarkTimes {
    let mut marked = MarkTimes::new();
    for batch in batches {
        for key in batch.keys() {
            let last = marked.entry(key).or_insert(batch.at);
            *last = batch.at.max(*last);
        }
    }
    marked
}

/// Marked images of these repositories that no longer exist.
#[must_use]
pub fn removed(batches: &[MarkBatch], images: &[Image], repositories: &[String]) -> BTreeSet<ImageKey> {
    let present: BTreeSet<&ImageKey> = images.iter().map(|image| &image.key).collect();
    let ours = batches.iter().filter(|batch| repositories.contains(&batch.repository));
    ours.flat_map(MarkBatch::keys).filter(|key| !present.contains(key)).collect()
}

/// The first parameter with unneeded marks: of images that were deleted, restored or marked again.
#[must_use]
pub fn trim(
    batches: &[MarkBatch],
    images: &[Image],
    repositories: &[String],
    now: Timestamp,
) -> Option<Trim> {
    let present: BTreeMap<&ImageKey, &Image> = images.iter().map(|image| (&image.key, image)).collect();
    let last = mark_times(batches);
    let needed = |batch: &MarkBatch, digest: &String| {
        let key = ImageKey::new(batch.repository.as_str(), digest.as_str());
        let is_last = last.get(&key) == Some(&batch.at);
        let lengths = |image: &&Image| {
            quarantine::is_ours(image, Some(batch.at)) || quarantine::is_fresh(Some(batch.at), now)
        };
        is_last && present.get(&key).is_some_and(lengths)
    };
    let mut ours = batches.iter().filter(|batch| repositories.contains(&batch.repository));
    ours.find_map(|batch| {
        let left: BTreeSet<String> =
            batch.digests.iter().filter(|digest| needed(batch, digest)).cloned().collect();
        if left.is_empty() {
            Some(Trim::Delete { name: batch.name.clone() })
        } else if left == batch.digests {
            None
        } else {
            Some(Trim::Write(MarkBatch { digests: left, ..batch.clone() }))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::image::Status;
    use super::super::tests::{NOW, image};
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_fits() {
        let digests: BTreeSet<String> = (0..60).map(|n| format!("sha256:{n:064x}")).collect();
        let batch = MarkBatch::new("team/web", digests, NOW);
        assert!(batch.value().len() <= 4096, "{}", batch.value().len());
        assert_eq!(MarkBatch::parse(&batch.name, &batch.value()), Some(batch.clone()));
        assert_eq!(MarkBatch::parse("/other/web/1", &batch.value()), None);
        assert_eq!(MarkBatch::parse(&batch.name, "yesterday abc"), None);
    }

    #[test]
    fn a_parameter_is_trimmed_to_archived_images_and_then_deleted() {
        let mut images = vec![image(1, 30), image(2, 30)];
        for image in &mut images {
            (image.status, image.archived_on) = (Status::Archived, Some(NOW));
        }
        let repositories = [images[0].key.repository.clone()];
        let digests = images.iter().map(|image| image.key.digest.clone()).collect();
        let batch = MarkBatch::new(&repositories[0], digests, NOW);
        let later = NOW.plus(std::time::Duration::from_hours(48));
        let trim = |images: &[Image]| trim(std::slice::from_ref(&batch), images, &repositories, later);
        assert_eq!(trim(&images), None);
        let left = BTreeSet::from([images[0].key.digest.clone()]);
        assert_eq!(trim(&images[..1]), Some(Trim::Write(MarkBatch { digests: left, ..batch.clone() })));
        images[0].status = Status::Active;
        assert_eq!(trim(&images[..1]), Some(Trim::Delete { name: batch.name.clone() }));
    }
}
