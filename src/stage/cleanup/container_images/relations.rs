//! Relations between the images of a repository: indexes with the images they list, and referrers with their subject.

use std::collections::BTreeMap;

use super::image::{Image, ImageKey};
use crate::engine::Timestamp;

/// Which images belong to others of their repository.
#[derive(Debug, Default)]
pub struct Relations {
    /// The indexes that list an image.
    indexes: BTreeMap<ImageKey, Vec<ImageKey>>,
    /// The signatures and attestations that refer to an existing image.
    referrers: BTreeMap<ImageKey, Vec<ImageKey>>,
    /// The last pull of an image that an index lists, by index.
    child_pulls: BTreeMap<ImageKey, Timestamp>,
}

impl Relations {
    #[must_use]
    pub fn of(images: &[Image]) -> Self {
        let by_key: BTreeMap<&ImageKey, &Image> = images.iter().map(|image| (&image.key, image)).collect();
        let mut relations = Self::default();
        for image in images {
            for child in image.children() {
                let child = image.key.sibling(child);
                if let Some(pulled_on) = by_key.get(&child).and_then(|child| child.pulled_on) {
                    let last = relations.child_pulls.entry(image.key.clone()).or_insert(pulled_on);
                    *last = pulled_on.max(*last);
                }
                relations.indexes.entry(child).or_default().push(image.key.clone());
            }
            if let Some(subject) = image.refers_to().map(|subject| image.key.sibling(&subject))
                && by_key.contains_key(&subject)
                && subject != image.key
            {
                relations.referrers.entry(subject).or_default().push(image.key.clone());
            }
        }
        relations
    }

    /// The indexes that list this image.
    #[must_use]
    pub fn indexes_of(&self, key: &ImageKey) -> &[ImageKey] {
        self.indexes.get(key).map_or(&[], Vec::as_slice)
    }

    /// The signatures and attestations that refer to this image.
    #[must_use]
    pub fn referrers_of(&self, key: &ImageKey) -> &[ImageKey] {
        self.referrers.get(key).map_or(&[], Vec::as_slice)
    }

    /// The last pull of an image that this index lists.
    #[must_use]
    pub fn child_pulled_on(&self, index: &ImageKey) -> Option<Timestamp> {
        self.child_pulls.get(index).copied()
    }

    /// Whether an image stays or is removed with others, whatever its age.
    #[must_use]
    pub fn is_dependent(&self, image: &Image) -> bool {
        let subject = image.refers_to().map(|subject| image.key.sibling(&subject));
        self.indexes.contains_key(&image.key)
            || subject.is_some_and(|subject| self.referrers_of(&subject).contains(&image.key))
    }
}
