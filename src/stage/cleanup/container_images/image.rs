//! A container image in ECR, with everything that retention and quarantine depend on.

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::Timestamp;

/// The identity of an image: several repositories may contain the same digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageKey {
    pub repository: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl ImageKey {
    pub fn new(repository: impl Into<String>, digest: impl Into<String>) -> Self {
        Self { repository: repository.into(), digest: digest.into() }
    }

    /// Another image of the same repository.
    #[must_use]
    pub fn sibling(&self, digest: &str) -> Self {
        Self::new(self.repository.as_str(), digest)
    }

    /// The first digits of the digest, enough for people to tell images apart.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.digest)
    }
}

/// The first twelve digits of a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

/// ECR's image status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be pulled.
    Active,
    /// It is in the archive.
    Archived,
    /// ECR is restoring it from the archive.
    Activating,
    /// A status that bakeline does not know.
    Unknown,
}

/// An image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub key: ImageKey,
    pub tags: BTreeSet<String>,
    pub pushed_on: Option<Timestamp>,
    /// The last pull that ECR reports, at least once a day. Reading a manifest counts as a pull, by bakeline, too.
    pub pulled_on: Option<Timestamp>,
    pub status: Status,
    /// When it was last archived.
    pub archived_on: Option<Timestamp>,
    /// When it was last restored from the archive.
    pub activated_on: Option<Timestamp>,
    pub bytes: u64,
    pub manifest: Manifest,
    /// The digest of the image that this one refers to: a signature, an attestation.
    pub subject: Option<String>,
}

/// The kind of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// A single image or artifact.
    Single,
    /// An index, with the digests that it lists.
    Index(Vec<String>),
    /// An index that cannot be read, because it is in the archive.
    UnreadIndex,
}

impl Image {
    /// The digests that an index lists; none for other images and for unread indexes.
    #[must_use]
    pub fn children(&self) -> &[String] {
        match &self.manifest {
            Manifest::Index(children) => children,
            Manifest::Single | Manifest::UnreadIndex => &[],
        }
    }

    /// The digest of the image that this one refers to: from its manifest, or from a tag as cosign writes it,
    /// `sha256-….sig`.
    #[must_use]
    pub fn refers_to(&self) -> Option<String> {
        let tagged = || {
            self.tags.iter().find_map(|tag| {
                let digits = tag.strip_prefix("sha256-")?.split('.').next()?;
                (digits.len() == 64).then(|| format!("sha256:{digits}"))
            })
        };
        self.subject.clone().or_else(tagged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::image;

    #[test]
    fn a_signature_of_cosign_is_about_the_image_its_tag_names() {
        let mut signature = image(1, 10);
        signature.tags = [format!("sha256-{}.sig", "ab".repeat(32))].into();
        assert_eq!(signature.refers_to(), Some(format!("sha256:{}", "ab".repeat(32))));
        signature.tags = ["sha256-short.sig".to_owned()].into();
        assert_eq!(signature.refers_to(), None);
    }
}
