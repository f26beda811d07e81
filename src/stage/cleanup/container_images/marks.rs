//! Which images are about to go into the archive, written down before they do: ECR keeps no record of who put an image
//! there, and a tag on the image would be in the way (with its last tag an image goes).
//!
//! One parameter of Systems Manager holds one moment and the digests marked then. It is trimmed once they are gone.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{Image, Key};
use super::quarantine;
use super::retain::Marked;
use crate::engine::Timestamp;
use crate::stage::cleanup::image::moment;

/// The folder of the parameters; below it lies a folder for each repository.
pub const FOLDER: &str = "/bakeline/cleanup/containers/";

/// Digests in one parameter: its value has at most 4096 characters.
pub const MOST: usize = 60;

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The parameter's name.
    pub name: String,
    pub repository: String,
    pub at: Timestamp,
    pub digests: BTreeSet<String>,
}

/// What is to become of a parameter that names images that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trim {
    Write(Batch),
    /// Nothing is left of it.
    Delete {
        name: String,
    },
}

impl Batch {
    /// Marks these images now.
    #[must_use]
    pub fn new(repository: &str, digests: BTreeSet<String>, at: Timestamp) -> Self {
        // Two that are written in one second differ in what they name.
        let first: String =
            digests.first().map(|digest| digits(digest).chars().take(8).collect()).unwrap_or_default();
        let name = format!("{FOLDER}{repository}/{}-{first}", at.0);
        Self { name, repository: repository.to_owned(), at, digests }
    }

    /// The parameter's value.
    #[must_use]
    pub fn value(&self) -> String {
        let mut parts = vec![self.at.to_string()];
        parts.extend(self.digests.iter().map(|digest| digits(digest).to_owned()));
        parts.join(" ")
    }

    /// Reads a parameter; none if it is no record of ours.
    #[must_use]
    pub fn read(name: &str, value: &str) -> Option<Self> {
        let (repository, _) = name.strip_prefix(FOLDER)?.rsplit_once('/')?;
        let mut parts = value.split(' ');
        let at = moment(parts.next()?)?;
        let digests: BTreeSet<String> = parts.map(|digits| format!("sha256:{digits}")).collect();
        let name = name.to_owned();
        (!digests.is_empty()).then(|| Self { name, repository: repository.to_owned(), at, digests })
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        self.digests.iter().map(|digest| Key::new(self.repository.as_str(), digest.as_str()))
    }
}

fn digits(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// When each image was marked last.
#[must_use]
pub fn marked(batches: &[Batch]) -> Marked {
    let mut marked = Marked::new();
    for batch in batches {
        for key in batch.keys() {
            let last = marked.entry(key).or_insert(batch.at);
            *last = batch.at.max(*last);
        }
    }
    marked
}

/// Images that are marked and no longer there, of these repositories.
#[must_use]
pub fn gone(batches: &[Batch], images: &[Image], repositories: &[String]) -> BTreeSet<Key> {
    let there: BTreeSet<&Key> = images.iter().map(|image| &image.key).collect();
    let ours = batches.iter().filter(|batch| repositories.contains(&batch.repository));
    ours.flat_map(Batch::keys).filter(|key| !there.contains(key)).collect()
}

/// A parameter that names more than it has to: images that are gone, that came back, or that were marked again.
#[must_use]
pub fn trim(batches: &[Batch], images: &[Image], repositories: &[String], now: Timestamp) -> Option<Trim> {
    let there: BTreeMap<&Key, &Image> = images.iter().map(|image| (&image.key, image)).collect();
    let last = marked(batches);
    let needed = |batch: &Batch, digest: &String| {
        let key = Key::new(batch.repository.as_str(), digest.as_str());
        let is_last = last.get(&key) == Some(&batch.at);
        let counts = |image: &&Image| {
            quarantine::is_ours(image, Some(batch.at)) || quarantine::is_fresh(Some(batch.at), now)
        };
        is_last && there.get(&key).is_some_and(counts)
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
            Some(Trim::Write(Batch { digests: left, ..batch.clone() }))
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
        let batch = Batch::new("team/web", digests, NOW);
        assert!(batch.value().len() <= 4096, "{}", batch.value().len());
        assert_eq!(Batch::read(&batch.name, &batch.value()), Some(batch.clone()));
        assert_eq!(Batch::read("/other/web/1", &batch.value()), None);
        assert_eq!(Batch::read(&batch.name, "yesterday abc"), None);
    }

    #[test]
    fn a_parameter_is_trimmed_to_what_rests_and_then_goes() {
        let mut images = vec![image(1, 30), image(2, 30)];
        for image in &mut images {
            (image.status, image.archived) = (Status::Archived, Some(NOW));
        }
        let repositories = [images[0].key.repository.clone()];
        let digests = images.iter().map(|image| image.key.digest.clone()).collect();
        let batch = Batch::new(&repositories[0], digests, NOW);
        let later = NOW.plus(std::time::Duration::from_hours(48));
        let trim = |images: &[Image]| trim(std::slice::from_ref(&batch), images, &repositories, later);
        assert_eq!(trim(&images), None);
        let left = BTreeSet::from([images[0].key.digest.clone()]);
        assert_eq!(trim(&images[..1]), Some(Trim::Write(Batch { digests: left, ..batch.clone() })));
        images[0].status = Status::Active;
        assert_eq!(trim(&images[..1]), Some(Trim::Delete { name: batch.name.clone() }));
    }
}
