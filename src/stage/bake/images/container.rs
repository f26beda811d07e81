//! The container images of a build, and their state in ECR. Pure.
//!
//! Image Builder pushes every image with a tag of its build, `VERSION-BUILD`, which no other build has. Other tags of the
//! distribution may move to another image. The image of a build is therefore the one that its build tag names.

use std::collections::{BTreeMap, BTreeSet};

use super::availability::Availability;
use super::error::ImageError;
use crate::aws::ecr::Reference;
use crate::digest::Sha256;
use crate::evidence::ContainerIdentity;

/// The container image of a build in one repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltContainer {
    pub region: String,
    /// The account that owns the registry.
    pub account: String,
    pub repository: String,
    /// Every tag that it was pushed with.
    pub tags: BTreeSet<String>,
}

impl BuiltContainer {
    /// Its repository, region and account, as text.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} in {} of account {}", self.repository, self.region, self.account)
    }

    /// The identity of the image, with the digest that ECR reports.
    #[must_use]
    pub fn identity(&self, tag: &str, digest: Sha256) -> ContainerIdentity {
        ContainerIdentity {
            region: self.region.clone(),
            account: self.account.clone(),
            repository: self.repository.clone(),
            digest,
            tag: Some(tag.to_owned()),
        }
    }
}

/// The container images in `outputResources.containers`. URIs outside ECR are left out.
pub fn built<'u>(uris: impl Iterator<Item = &'u str>) -> Vec<BuiltContainer> {
    let mut places: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for found in uris.filter_map(Reference::parse) {
        let tags = places.entry((found.region, found.account, found.repository)).or_default();
        tags.extend(found.tag);
    }
    let built = |((region, account, repository), tags)| BuiltContainer { region, account, repository, tags };
    places.into_iter().map(built).collect()
}

/// The tag that only this build has, `VERSION-BUILD`, from its ARN `…:image/NAME/VERSION/BUILD`.
#[must_use]
pub fn build_tag(build: &str) -> Option<String> {
    let mut parts = build.rsplit('/');
    let (number, version) = (parts.next()?, parts.next()?);
    Some(format!("{version}-{number}"))
}

/// Checks that every image has the tag of its build: any other tag may name the image of another build by now.
///
/// # Errors
/// An image lacks the tag; says which.
pub fn check_build_tag(containers: &[BuiltContainer], build_tag: &str) -> Result<(), ImageError> {
    match containers.iter().find(|container| !container.tags.contains(build_tag)) {
        None => Ok(()),
        Some(other) => Err(ImageError::NoBuildTag {
            place: other.place(),
            build_tag: build_tag.to_owned(),
            tags: other.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// An image as ECR describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// `imageDigest`.
    pub digest: String,
    /// Every tag that names it now.
    pub tags: BTreeSet<String>,
    /// `imageStatus`; none is active.
    pub status: Option<String>,
}

/// Whether a container image can be pulled.
#[must_use]
pub fn availability(container: &BuiltContainer, found: Option<&Described>) -> Availability {
    let place = container.place();
    let Some(found) = found else {
        return Availability::Pending(format!("the image in {place} is not found yet"));
    };
    match found.status.as_deref() {
        None | Some("ACTIVE") => Availability::Available,
        Some("ACTIVATING") => {
            Availability::Pending(format!("the image in {place} is being restored from the archive"))
        }
        Some(other) => Availability::Unusable(format!("the image in {place} is {other}")),
    }
}

/// The digest of a container image.
///
/// # Errors
/// `imageDigest` is not a SHA-256 digest.
pub fn digest(container: &BuiltContainer, found: &Described) -> Result<Sha256, ImageError> {
    let hex = found.digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    hex.ok_or_else(|| ImageError::NotSha256 { place: container.place(), digest: found.digest.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn at(region: &str, tags: &[&str]) -> BuiltContainer {
        BuiltContainer {
            region: region.into(),
            account: "123456789012".into(),
            repository: "web".into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    #[test]
    fn all_tags_in_one_repository_name_one_image() {
        let uris = [
            format!("{HOST}/web:latest"),
            format!("{HOST}/web:1.0.0-1"),
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/web:1.0.0-1".to_owned(),
            "something else".to_owned(),
        ];
        let found = built(uris.iter().map(String::as_str));
        assert_eq!(found, [at("eu-central-1", &["1.0.0-1"]), at("eu-west-1", &["1.0.0-1", "latest"])]);
    }

    #[test]
    fn an_image_without_its_build_tag_is_refused() {
        let tag = build_tag("arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.3/2").unwrap();
        assert_eq!(tag, "1.0.3-2");
        assert_eq!(check_build_tag(&[at("eu-west-1", &["1.0.3-2", "latest"])], &tag), Ok(()));
        let refused = check_build_tag(&[at("eu-west-1", &["1.0.3-2"]), at("eu-west-3", &["latest"])], &tag);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("web in eu-west-3 of account 123456789012 was not pushed with the tag 1.0.3-2")
        );
    }

    #[test]
    fn an_image_is_available_when_it_can_be_pulled() {
        let found =
            |status: Option<&str>| Described { status: status.map(str::to_owned), ..Described::default() };
        let container = at("eu-west-1", &[]);
        for status in [None, Some("ACTIVE")] {
            assert_eq!(availability(&container, Some(&found(status))), Availability::Available);
        }
        assert!(matches!(availability(&container, None), Availability::Pending(_)));
        assert!(matches!(
            availability(&container, Some(&found(Some("ACTIVATING")))),
            Availability::Pending(_)
        ));
        for status in ["ARCHIVED", "SOMETHING_NEW"] {
            assert!(
                matches!(availability(&container, Some(&found(Some(status)))), Availability::Unusable(_)),
                "{status}"
            );
        }
        let described = Described { digest: "md5:00".into(), ..Described::default() };
        assert!(digest(&container, &described).is_err());
    }
}
