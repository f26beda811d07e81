//! A container image as the subject of a statement.
//!
//! Unlike a machine image it has a digest of its bytes: the digest of its manifest, which names the digests of its
//! configuration and layers (OCI Image Format Specification, descriptors). The subject's `sha256` is the manifest's. An
//! annotation lists the repositories that have a copy: copies of the same bytes are one subject.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::resource::ResourceDescriptor;
use crate::digest::Sha256;

/// The annotation of a subject that lists the repositories with a copy of a container image.
pub const ANNOTATION: &str = "bakeline_container";

/// One copy of a container image, in a repository of ECR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerIdentity {
    /// The Region of the repository.
    pub region: String,
    /// The account that owns the registry, 12 digits.
    pub account: String,
    /// The repository's name.
    pub repository: String,
    /// The digest of the manifest.
    pub digest: Sha256,
    /// The tag that it was pushed under. The tag may have moved to another image since.
    pub tag: Option<String>,
}

/// The repository of a copy, as the annotation writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    account: String,
    region: String,
    repository: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// Why a subject annotated as a container image is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the annotation `{ANNOTATION}` does not list the repositories of a container image: {why}")]
pub struct ContainerError {
    /// What is wrong with it.
    pub why: String,
}

impl ContainerIdentity {
    /// The registry's host, `ACCOUNT.dkr.ecr.REGION.amazonaws.com`; other partitions have other suffixes.
    #[must_use]
    pub fn registry(&self) -> String {
        let suffix = crate::partitions::dns_suffix(&self.region);
        format!("{}.dkr.ecr.{}.{suffix}", self.account, self.region)
    }

    /// The reference to pull it by: `REGISTRY/REPOSITORY@sha256:DIGEST`, which never means another image.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}@sha256:{}", self.registry(), self.repository, self.digest)
    }

    /// The package URL of type `oci`: `pkg:oci/NAME@sha256%3ADIGEST?repository_url=REGISTRY/REPOSITORY`.
    #[must_use]
    pub fn purl(&self) -> String {
        let name = self.repository.rsplit('/').next().unwrap_or_default();
        format!(
            "pkg:oci/{name}@sha256%3A{}?repository_url={}/{}",
            self.digest,
            self.registry(),
            self.repository
        )
    }

    /// The copies as subjects, one for each digest, in the order of the copies.
    #[must_use]
    pub fn subjects(copies: &[Self]) -> Vec<ResourceDescriptor> {
        let mut locations: BTreeMap<Sha256, Vec<Location>> = BTreeMap::new();
        let mut subjects: Vec<(Sha256, ResourceDescriptor)> = Vec::new();
        for copy in copies {
            let same = locations.entry(copy.digest).or_default();
            if same.is_empty() {
                let name = format!("{}/{}", copy.registry(), copy.repository);
                let subject = ResourceDescriptor::named(name, &copy.digest);
                subjects.push((copy.digest, ResourceDescriptor { uri: Some(copy.purl()), ..subject }));
            }
            same.push(Location {
                account: copy.account.clone(),
                region: copy.region.clone(),
                repository: copy.repository.clone(),
                tag: copy.tag.clone(),
            });
        }
        for (digest, subject) in &mut subjects {
            let locations = locations.remove(digest).unwrap_or_default();
            // Strings always serialize.
            let locations = serde_json::to_value(locations).unwrap_or_default();
            subject.annotations.insert(ANNOTATION.to_owned(), locations);
        }
        subjects.into_iter().map(|(_, subject)| subject).collect()
    }

    /// The copies of a subject; none if the subject is not annotated as a container image.
    ///
    /// # Errors
    /// The annotation is malformed or empty, or the subject has no SHA-256 digest.
    pub fn of(subject: &ResourceDescriptor) -> Result<Vec<Self>, ContainerError> {
        let Some(annotation) = subject.annotations.get(ANNOTATION) else { return Ok(Vec::new()) };
        let wrong = |why: String| ContainerError { why };
        let locations = Vec::<Location>::deserialize(annotation).map_err(|error| wrong(error.to_string()))?;
        if locations.is_empty() {
            return Err(wrong("the list is empty".to_owned()));
        }
        let digest = subject
            .digest
            .get("sha256")
            .ok_or_else(|| wrong("the subject has no sha256 digest".to_owned()))?;
        let digest: Sha256 =
            digest.parse().map_err(|_| wrong(format!("`{digest}` is not a SHA-256 digest")))?;
        let copy = |location: Location| Self {
            region: location.region,
            account: location.account,
            repository: location.repository,
            digest,
            tag: location.tag,
        };
        Ok(locations.into_iter().map(copy).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(region: &str, content: &[u8]) -> ContainerIdentity {
        ContainerIdentity {
            region: region.into(),
            account: "111122223333".into(),
            repository: "team/web".into(),
            digest: Sha256::of(content),
            tag: Some("1.2.3-1".into()),
        }
    }

    #[test]
    fn copies_of_the_same_bytes_are_one_subject_and_come_back_as_they_were() {
        let copies = [copy("eu-west-1", b"a"), copy("eu-central-1", b"b"), copy("us-east-1", b"a")];
        let subjects = ContainerIdentity::subjects(&copies);
        assert_eq!(subjects.len(), 2);
        assert_eq!(subjects[0].digest["sha256"], Sha256::of(b"a").to_string());
        let purl = format!(
            "pkg:oci/web@sha256%3A{}?repository_url=111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/web",
            Sha256::of(b"a")
        );
        assert_eq!(subjects[0].uri.as_deref(), Some(purl.as_str()));
        let back: Vec<_> = subjects.iter().flat_map(|s| ContainerIdentity::of(s).unwrap()).collect();
        assert_eq!(back, [copies[0].clone(), copies[2].clone(), copies[1].clone()]);
        assert_eq!(ContainerIdentity::of(&ResourceDescriptor::at("x")), Ok(Vec::new()));
    }

    #[test]
    fn a_reference_is_by_digest_and_knows_the_partition() {
        let digest = Sha256::of(b"a");
        for (region, host) in [
            ("eu-west-1", "111122223333.dkr.ecr.eu-west-1.amazonaws.com"),
            ("cn-north-1", "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "111122223333.dkr.ecr.us-gov-west-1.amazonaws.com"),
            ("eusc-de-east-1", "111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", "111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ] {
            assert_eq!(copy(region, b"a").reference(), format!("{host}/team/web@sha256:{digest}"));
        }
    }

    #[test]
    fn an_annotation_without_a_repository_is_refused() {
        let good = ContainerIdentity::subjects(&[copy("eu-west-1", b"a")]).remove(0);
        let location = good.annotations[ANNOTATION][0].clone();
        for annotation in [serde_json::json!([]), location, serde_json::json!([{"region": "r"}]), 1.into()] {
            let mut odd = good.clone();
            odd.annotations.insert(ANNOTATION.into(), annotation.clone());
            assert!(ContainerIdentity::of(&odd).is_err(), "{annotation}");
        }
        for digest in [None, Some("00")] {
            let mut odd = good.clone();
            odd.digest = digest.into_iter().map(|hex| ("sha256".to_owned(), hex.to_owned())).collect();
            assert!(ContainerIdentity::of(&odd).is_err(), "{digest:?}");
        }
    }
}
