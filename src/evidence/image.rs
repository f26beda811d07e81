//! The identity of a machine image (AMI) and the subject of a statement about it.
//!
//! EC2 gives no digest of an AMI's content. The subject's digest is therefore the SHA-256 of the image's
//! *identity*, written in one canonical form. It binds the image's id, its name and the moment it was made, so
//! nobody can move a statement to another image. It does not bind the bytes on the volumes, and a verifier
//! cannot compute it from them: so it is named `bakeline_imageIdentityV1` and not `sha256`.

use serde::{Deserialize, Serialize};

use super::resource::ResourceDescriptor;
use crate::digest::{DigestFormatError, Sha256};

/// The annotation of a subject that carries the identity that its digest was computed from.
pub const ANNOTATION: &str = "bakeline_image";

/// The annotation of a subject that says what the subject's digests bind.
pub const BINDS: &str = "bakeline_binds";

/// The digest algorithm of an image's identity: SHA-256 of [`ImageIdentity::canonical`].
pub const IDENTITY_DIGEST: &str = "bakeline_imageIdentityV1";

/// The digest algorithm of an image's content; `docs/predicates.md` defines it.
pub const CONTENT_DIGEST: &str = "bakeline_ebsContentV1";

/// What a subject binds of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The identity. Nobody read the image's volumes.
    Identity,
    /// The identity and the content of the volumes, read on this copy.
    Content(Sha256),
    /// The identity and the content of the volumes, read on another copy of the image.
    ContentOfAnotherCopy(Sha256),
}

impl Binding {
    /// The value of the annotation [`BINDS`].
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Content(_) => "content",
            Self::ContentOfAnotherCopy(_) => "content_of_another_copy",
        }
    }
}

/// The content digest of a subject, if it has one.
///
/// # Errors
/// The digest is not 64 lower-case hexadecimal digits.
pub fn content_digest(subject: &ResourceDescriptor) -> Result<Option<Sha256>, DigestFormatError> {
    subject.digest.get(CONTENT_DIGEST).map(|digest| digest.parse()).transpose()
}

/// What tells one machine image from every other.
///
/// The members are in the order of their names: that order is the canonical one. Unknown members are refused,
/// since they would not be part of the digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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

/// Why a subject annotated as a machine image is not that image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The annotation does not have the members of an identity.
    #[error("the annotation `{ANNOTATION}` is not an image identity: {why}")]
    Shape {
        /// What is wrong with it.
        why: String,
    },
    /// The digest was computed from something else.
    #[error("the digest `{IDENTITY_DIGEST}` of {image_id} in {region} does not match its identity")]
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
        // Five strings always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The SHA-256 of [`Self::canonical`].
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.canonical().as_bytes())
    }

    /// The image's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:ec2:{}::image/{}", crate::partitions::id(&self.region), self.region, self.image_id)
    }

    /// The image as the subject of a statement, with its identity as an annotation.
    #[must_use]
    pub fn subject(&self) -> ResourceDescriptor {
        let identity = serde_json::json!({
            "account": self.account,
            "creationDate": self.creation_date,
            "imageId": self.image_id,
            "name": self.name,
            "region": self.region,
        });
        ResourceDescriptor {
            name: Some(format!("{}/{}", self.region, self.image_id)),
            uri: Some(self.arn()),
            digest: [(IDENTITY_DIGEST.to_owned(), self.digest().to_string())].into(),
            annotations: [(ANNOTATION.to_owned(), identity)].into_iter().collect(),
            ..ResourceDescriptor::default()
        }
    }

    /// The image as a subject that says what its digests bind.
    #[must_use]
    pub fn subject_binding(&self, binding: Binding) -> ResourceDescriptor {
        let mut subject = self.subject();
        if let Binding::Content(content) | Binding::ContentOfAnotherCopy(content) = binding {
            subject.digest.insert(CONTENT_DIGEST.to_owned(), content.to_string());
        }
        subject.annotations.insert(BINDS.to_owned(), binding.name().into());
        subject
    }

    /// The image of a subject, or `None` if the subject is not annotated as a machine image.
    ///
    /// # Errors
    /// The annotation is malformed, or the subject's digest does not match the identity.
    pub fn of(subject: &ResourceDescriptor) -> Result<Option<Self>, ImageError> {
        let Some(annotation) = subject.annotations.get(ANNOTATION) else { return Ok(None) };
        let image: Self =
            Self::deserialize(annotation).map_err(|e| ImageError::Shape { why: e.to_string() })?;
        if subject.digest.get(IDENTITY_DIGEST) != Some(&image.digest().to_string()) {
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
            r#"{"account":"111122223333","creationDate":"2026-11-02T10:00:00.000Z","imageId":"ami-0123456789abcdef0","name":"web \"1\"","region":"eu-west-1"}"#
        );
    }

    #[test]
    fn a_subject_says_what_it_binds() {
        let content = Sha256::of(b"blocks");
        for (binding, annotation, digest) in [
            (Binding::Identity, "identity", None),
            (Binding::Content(content), "content", Some(content)),
            (Binding::ContentOfAnotherCopy(content), "content_of_another_copy", Some(content)),
        ] {
            let subject = image().subject_binding(binding);
            assert_eq!(subject.annotations[BINDS], annotation);
            assert_eq!(content_digest(&subject), Ok(digest));
            assert_eq!(subject.digest[IDENTITY_DIGEST], image().digest().to_string());
            assert!(!subject.digest.contains_key("sha256"), "sha256 is for bytes only");
            assert_eq!(ImageIdentity::of(&subject), Ok(Some(image())));
        }
        let mut odd = image().subject_binding(Binding::Content(content));
        odd.digest.insert(CONTENT_DIGEST.into(), "00".into());
        assert_eq!(content_digest(&odd), Err(DigestFormatError));
    }

    #[test]
    fn the_arn_knows_the_partition() {
        for (region, arn) in [
            ("eu-west-1", "arn:aws:ec2:eu-west-1::image/ami-0123456789abcdef0"),
            ("cn-north-1", "arn:aws-cn:ec2:cn-north-1::image/ami-0123456789abcdef0"),
            ("us-gov-west-1", "arn:aws-us-gov:ec2:us-gov-west-1::image/ami-0123456789abcdef0"),
            ("eusc-de-east-1", "arn:aws-eusc:ec2:eusc-de-east-1::image/ami-0123456789abcdef0"),
            ("eu-isoe-west-1", "arn:aws-iso-e:ec2:eu-isoe-west-1::image/ami-0123456789abcdef0"),
        ] {
            let image = ImageIdentity { region: region.into(), ..image() };
            assert_eq!(image.subject().uri.as_deref(), Some(arn));
        }
    }

    #[test]
    fn a_subject_gives_its_image_back_and_every_member_counts() {
        let subject = image().subject();
        assert_eq!(ImageIdentity::of(&subject), Ok(Some(image())));
        for member in ["account", "creationDate", "imageId", "name", "region"] {
            let mut other = subject.clone();
            other.annotations[ANNOTATION][member] = "x".into();
            assert!(matches!(ImageIdentity::of(&other), Err(ImageError::Digest { .. })), "{member}");
        }
        let mut shapeless = subject;
        shapeless.annotations.insert(ANNOTATION.into(), 1.into());
        assert!(matches!(ImageIdentity::of(&shapeless), Err(ImageError::Shape { .. })));
    }
}
