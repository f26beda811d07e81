//! The container images that came out of a build, and what the registry says of them. Pure.
//!
//! Image Builder pushes every image under a tag of its build, `VERSION-BUILD`, which no other build has; other tags of
//! the distribution may move. What a build came to is therefore what its own tag names.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Look;
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
    /// Every tag it was pushed under.
    pub tags: BTreeSet<String>,
}

impl BuiltContainer {
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} in {} of account {}", self.repository, self.region, self.account)
    }

    /// Who the image is, with the digest that the registry gives it.
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

/// The container images that `outputResources.containers` names. What is no URI of ECR is left out.
pub fn built<'u>(uris: impl Iterator<Item = &'u str>) -> Vec<BuiltContainer> {
    let mut places: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for found in uris.filter_map(Reference::parse) {
        let tags = places.entry((found.region, found.account, found.repository)).or_default();
        tags.extend(found.tag);
    }
    let built = |((region, account, repository), tags)| BuiltContainer { region, account, repository, tags };
    places.into_iter().map(built).collect()
}

/// The tag that a build alone has: its version and number, from its ARN `…:image/NAME/VERSION/BUILD`.
#[must_use]
pub fn own_tag(build: &str) -> Option<String> {
    let mut parts = build.rsplit('/');
    let (number, version) = (parts.next()?, parts.next()?);
    Some(format!("{version}-{number}"))
}

/// Holds it that every image has the tag of its build: any other may name another build's image by now.
///
/// # Errors
/// One has not; in words.
pub fn are_told_apart(containers: &[BuiltContainer], own_tag: &str) -> Result<(), String> {
    match containers.iter().find(|container| !container.tags.contains(own_tag)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "the image in repository {} was not pushed under the tag {own_tag}, which only this build has; its tags {} \
             may name another build's image",
            other.place(),
            other.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        )),
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

/// Judges a look at an image.
#[must_use]
pub fn look(container: &BuiltContainer, found: Option<&Described>) -> Look {
    let place = container.place();
    let Some(found) = found else { return Look::NotYet(format!("the image in {place} is not found yet")) };
    match found.status.as_deref() {
        None | Some("ACTIVE") => Look::Available,
        Some("ACTIVATING") => Look::NotYet(format!("the image in {place} comes out of the archive")),
        Some(other) => Look::Broken(format!("the image in {place} is {other}")),
    }
}

/// `imageDigest` as a digest.
///
/// # Errors
/// It is none, or not of SHA-256; in words.
pub fn digest(container: &BuiltContainer, found: &Described) -> Result<Sha256, String> {
    let hex = found.digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    hex.ok_or_else(|| {
        format!("the image in {} has the digest `{}`, not one of sha256", container.place(), found.digest)
    })
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
    fn the_tags_of_one_repository_are_one_image() {
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
    fn a_tag_that_may_move_does_not_tell_an_image() {
        let own = own_tag("arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.3/2").unwrap();
        assert_eq!(own, "1.0.3-2");
        assert_eq!(are_told_apart(&[at("eu-west-1", &["1.0.3-2", "latest"])], &own), Ok(()));
        let refused = are_told_apart(&[at("eu-west-1", &["1.0.3-2"]), at("eu-west-3", &["latest"])], &own);
        assert!(
            refused
                .unwrap_err()
                .contains("web in eu-west-3 of account 123456789012 was not pushed under the tag 1.0.3-2")
        );
    }

    #[test]
    fn an_image_counts_when_it_can_be_pulled() {
        let found =
            |status: Option<&str>| Described { status: status.map(str::to_owned), ..Described::default() };
        let container = at("eu-west-1", &[]);
        for status in [None, Some("ACTIVE")] {
            assert_eq!(look(&container, Some(&found(status))), Look::Available);
        }
        assert!(matches!(look(&container, None), Look::NotYet(_)));
        assert!(matches!(look(&container, Some(&found(Some("ACTIVATING")))), Look::NotYet(_)));
        for status in ["ARCHIVED", "SOMETHING_NEW"] {
            assert!(matches!(look(&container, Some(&found(Some(status)))), Look::Broken(_)), "{status}");
        }
        let described = Described { digest: "md5:00".into(), ..Described::default() };
        assert!(digest(&container, &described).is_err());
    }
}
