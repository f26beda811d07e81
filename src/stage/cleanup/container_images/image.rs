//! A container image as cleanup sees it.

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::Timestamp;

/// What tells images apart: the same digest may lie in several repositories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub repository: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl Key {
    pub fn new(repository: impl Into<String>, digest: impl Into<String>) -> Self {
        Self { repository: repository.into(), digest: digest.into() }
    }

    /// Another image of the same repository.
    #[must_use]
    pub fn sibling(&self, digest: &str) -> Self {
        Self::new(self.repository.as_str(), digest)
    }

    /// The beginning of the digest, enough for people to tell images apart.
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

/// Where an image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be pulled.
    Active,
    /// It is in the archive.
    Archived,
    /// It is on its way back from there.
    Activating,
    /// One that this program does not know.
    Unknown,
}

/// An image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub key: Key,
    pub tags: BTreeSet<String>,
    pub pushed: Option<Timestamp>,
    /// When it was last pulled, as far as ECR tells: at least once a day. Reading a manifest counts, ours too.
    pub pulled: Option<Timestamp>,
    pub status: Status,
    /// When it was last put into the archive.
    pub archived: Option<Timestamp>,
    /// When it last came back from there.
    pub activated: Option<Timestamp>,
    pub bytes: u64,
    pub manifest: Manifest,
    /// The image that this one is about: a signature, an attestation.
    pub subject: Option<String>,
}

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// One image, or an artifact.
    Single,
    /// An index, with the digests it names.
    Index(Vec<String>),
    /// An index that lies in the archive: what it names cannot be read.
    HiddenIndex,
}

impl Image {
    /// The digests an index names; none of anything else, or where that cannot be read.
    #[must_use]
    pub fn children(&self) -> &[String] {
        match &self.manifest {
            Manifest::Index(children) => children,
            Manifest::Single | Manifest::HiddenIndex => &[],
        }
    }

    /// The image this one is about: by its manifest, or by a tag as cosign writes it, `sha256-….sig`.
    #[must_use]
    pub fn about(&self) -> Option<String> {
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
        assert_eq!(signature.about(), Some(format!("sha256:{}", "ab".repeat(32))));
        signature.tags = ["sha256-short.sig".to_owned()].into();
        assert_eq!(signature.about(), None);
    }
}
