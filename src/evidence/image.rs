//! The identity of a machine image, as the subject of a statement.
//!
//! EC2 gives no digest of an AMI's content. The subject's digest is therefore the SHA-256 of the image's
//! *identity*, written in one canonical form. It binds the name of the thing and the moment it was made, so
//! a statement cannot be moved to another image; it does not bind the bytes on the disk, and a verifier
//! cannot recompute it from the disk.

use serde::{Deserialize, Serialize};

use super::statement::ResourceDescriptor;
use crate::digest::Sha256;

/// The annotation of a subject that carries the identity its digest was made from.
pub const ANNOTATION: &str = "bakeline_image";

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
