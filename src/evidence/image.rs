//! The identity of a machine image, as the subject of a statement.
//!
//! EC2 gives no digest of an AMI's content. The subject's digest is therefore the SHA-256 of the image's
//! *identity*, written in one canonical form. It binds the name of the thing and the moment it was made, so
//! a statement cannot be moved to another image; it does not bind the bytes on the disk, and a verifier
//! cannot recompute it from the disk.

use serde::{Deserialize, Serialize};

use super::statement::ResourceDescriptor;
use crate::digest::{DigestFormatError, Sha256};

/// The annotation of a subject that carries the identity its digest was made from.
pub const ANNOTATION: &str = "bakeline_image";

/// The annotation of a subject that says what of the image its digests bind.
pub const BINDS: &str = "bakeline_binds";

/// The digest of an image's content, beside that of its identity: `docs/predicates.md` has the rule.
pub const CONTENT: &str = "bakeline_ebs_v1";

/// What a subject binds of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Who the image is. What is on its disks was not read.
    Identity,
    /// What is on its disks too: they were read.
    Content(Sha256),
    /// What is on its disks too, as it was read on another copy of the image.
    ContentOfACopy(Sha256),
}

impl Bound {
    /// What the subject's annotation says.
    const fn told(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Content(_) => "identity and content",
            Self::ContentOfACopy(_) => "identity, and content as read on another copy",
        }
    }
}

/// The content digest among a subject's digests.
///
/// # Errors
/// There is one, and it is not written as a digest.
pub fn content_of(subject: &ResourceDescriptor) -> Result<Option<Sha256>, DigestFormatError> {
    subject.digest.get(CONTENT).map(|digest| digest.parse()).transpose()
}

/// What tells one machine image from every other.
///
/// The members stand in the order of their names: that order is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageIdentity {
    /// The account that owns the image, 12 digits.
    pub account: String,
    /// `CreationDate` as `DescribeImages` writes it.
    pub creation_date: String,
    /// The image's id, `ami-...`.
    pub image_id: String,
    /// The image's name.
    pub name: String,
    /// The Region the image is in.
    pub region: String,
}

/// A subject says it is an image and its digest is not that image's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The annotation does not have the members of an identity.
    #[error("`{ANNOTATION}` is not an image identity: {why}")]
    Shape {
        /// What is wrong with it.
        why: String,
    },
    /// The digest is that of something else.
    #[error("the digest of {image_id} in {region} is not that of its identity")]
    Digest {
        /// The image's id.
        image_id: String,
        /// The image's Region.
        region: String,
    },
}

impl ImageIdentity {
    /// The canonical JSON: the five members in the order of their names, no white space, strings escaped as
    /// RFC 8785 escapes them.
    #[must_use]
    pub fn canonical(&self) -> String {
        // Five strings always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The SHA-256 of [`Self::canonical`].
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.canonical().as_bytes())
    }

    /// The image as the subject of a statement, with its identity as an annotation.
    #[must_use]
    pub fn subject(&self) -> ResourceDescriptor {
        let mut subject =
            ResourceDescriptor::named(format!("{}/{}", self.region, self.image_id), &self.digest());
        let identity = serde_json::json!({
            "account": self.account,
            "creation_date": self.creation_date,
            "image_id": self.image_id,
            "name": self.name,
            "region": self.region,
        });
        subject.annotations.insert(ANNOTATION.to_owned(), identity);
        subject
    }

    /// The image as a subject that says what of it is bound.
    #[must_use]
    pub fn subject_binding(&self, bound: Bound) -> ResourceDescriptor {
        let mut subject = self.subject();
        if let Bound::Content(content) | Bound::ContentOfACopy(content) = bound {
            subject.digest.insert(CONTENT.to_owned(), content.to_string());
        }
        subject.annotations.insert(BINDS.to_owned(), bound.told().into());
        subject
    }

    /// The image a subject stands for, or `None` if it is not annotated as one.
    ///
    /// # Errors
    /// If the annotation is malformed or the subject's digest is not that of the identity.
    pub fn of(subject: &ResourceDescriptor) -> Result<Option<Self>, ImageError> {
        let Some(annotation) = subject.annotations.get(ANNOTATION) else { return Ok(None) };
        let image: Self =
            Self::deserialize(annotation).map_err(|e| ImageError::Shape { why: e.to_string() })?;
        if subject.digest.get("sha256") != Some(&image.digest().to_string()) {
            return Err(ImageError::Digest { image_id: image.image_id, region: image.region });
        }
        Ok(Some(image))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageIdentity {
        ImageIdentity {
            account: "111122223333".into(),
            creation_date: "2026-11-02T10:00:00.000Z".into(),
            image_id: "ami-0123456789abcdef0".into(),
            name: "web \"1\"".into(),
            region: "eu-west-1".into(),
        }
    }

    #[test]
    fn the_canonical_form_is_the_documented_one() {
        assert_eq!(
            image().canonical(),
            r#"{"account":"111122223333","creation_date":"2026-11-02T10:00:00.000Z","image_id":"ami-0123456789abcdef0","name":"web \"1\"","region":"eu-west-1"}"#
        );
    }

    #[test]
    fn a_subject_says_what_it_binds() {
        let content = Sha256::of(b"blocks");
        for (bound, told, digest) in [
            (Bound::Identity, "identity", None),
            (Bound::Content(content), "identity and content", Some(content)),
            (Bound::ContentOfACopy(content), "identity, and content as read on another copy", Some(content)),
        ] {
            let subject = image().subject_binding(bound);
            assert_eq!(subject.annotations[BINDS], told);
            assert_eq!(content_of(&subject), Ok(digest));
            assert_eq!(subject.digest["sha256"], image().digest().to_string());
            assert_eq!(ImageIdentity::of(&subject), Ok(Some(image())));
        }
        let mut odd = image().subject_binding(Bound::Content(content));
        odd.digest.insert(CONTENT.into(), "00".into());
        assert_eq!(content_of(&odd), Err(DigestFormatError));
    }

    #[test]
    fn a_subject_gives_its_image_back_and_every_member_counts() {
        let subject = image().subject();
        assert_eq!(ImageIdentity::of(&subject), Ok(Some(image())));
        for member in ["account", "creation_date", "image_id", "name", "region"] {
            let mut other = subject.clone();
            other.annotations[ANNOTATION][member] = "x".into();
            assert!(matches!(ImageIdentity::of(&other), Err(ImageError::Digest { .. })), "{member}");
        }
        let mut shapeless = subject;
        shapeless.annotations.insert(ANNOTATION.into(), 1.into());
        assert!(matches!(ImageIdentity::of(&shapeless), Err(ImageError::Shape { .. })));
    }
}
