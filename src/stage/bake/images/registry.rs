//! The container images of a build in ECR: described in every region, and removed after a failed build.

use aws_sdk_ecr::types::{ImageDetail, ImageFailureCode, ImageIdentifier};

use super::availability::Availability;
use super::container::{self, BuiltContainer, Described};
use super::error::ImageError;
use crate::aws::ecr::Reference;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ContainerIdentity;
use crate::stage::Cx;

/// Describes the image that a tag names in a repository; none if the tag or the repository does not exist.
pub async fn describe(cx: &Cx, place: &BuiltContainer, tag: &str) -> Result<Option<Described>, StageError> {
    let id = ImageIdentifier::builder().image_tag(tag).build();
    find(cx, place, id).await
}

async fn find(cx: &Cx, place: &BuiltContainer, id: ImageIdentifier) -> Result<Option<Described>, StageError> {
    let call = cx.aws.ecr_in(&place.region).describe_images().registry_id(&place.account);
    match call.repository_name(&place.repository).image_ids(id).send().await {
        Ok(answer) => Ok(answer.image_details.unwrap_or_default().into_iter().next().map(described)),
        Err(error) => {
            let error = AwsError::new("ecr:DescribeImages", place.place(), error);
            if error.class == Class::Missing { Ok(None) } else { Err(error.into()) }
        }
    }
}

fn described(found: ImageDetail) -> Described {
    Described {
        digest: found.image_digest.unwrap_or_default(),
        tags: found.image_tags.unwrap_or_default().into_iter().collect(),
        status: found.image_status.map(|status| status.as_str().to_owned()),
    }
}

/// The availability of all images of a build: the worst of them.
pub async fn availability(
    cx: &Cx,
    containers: &[BuiltContainer],
    build_tag: &str,
) -> Result<Availability, StageError> {
    let mut worst = Availability::Available;
    for place in containers {
        match container::availability(place, describe(cx, place, build_tag).await?.as_ref()) {
            Availability::Available => {}
            Availability::Pending(why) => worst = Availability::Pending(why),
            Availability::Unusable(why) => return Ok(Availability::Unusable(why)),
        }
    }
    Ok(worst)
}

/// The identities of the images of a build, in the order of `containers`.
pub async fn identities(
    cx: &Cx,
    containers: &[BuiltContainer],
    build_tag: &str,
) -> Result<Vec<ContainerIdentity>, StageError> {
    let mut identities = Vec::with_capacity(containers.len());
    for place in containers {
        identities.push(identity(cx, place, build_tag).await?);
    }
    Ok(identities)
}

/// The identity of the image of a build in one repository.
pub async fn identity(
    cx: &Cx,
    place: &BuiltContainer,
    build_tag: &str,
) -> Result<ContainerIdentity, StageError> {
    let found = describe(cx, place, build_tag).await?;
    let found =
        found.ok_or_else(|| ImageError::NotFound { image: format!("the image in {}", place.place()) })?;
    let digest = container::digest(place, &found)?;
    Ok(place.identity(build_tag, digest))
}

/// The digest of the image that a URI in ECR names now; none for a URI outside ECR.
pub async fn digest_of(cx: &Cx, uri: &str) -> Result<Option<String>, StageError> {
    let Some(found) = Reference::parse(uri) else { return Ok(None) };
    if let Some(digest) = found.digest {
        return Ok(Some(digest.to_string()));
    }
    let tag = found.tag.clone().unwrap_or_else(|| "latest".to_owned());
    let place = BuiltContainer {
        region: found.region,
        account: found.account,
        repository: found.repository,
        tags: [tag.clone()].into(),
    };
    let found =
        describe(cx, &place, &tag).await?.ok_or_else(|| ImageError::NoParent { uri: uri.to_owned() })?;
    let digest = container::digest(&place, &found)?;
    Ok(Some(digest.to_string()))
}

/// A container image to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwantedContainer {
    place: BuiltContainer,
    build_tag: String,
    /// The digest, if only tags of this build name the image: the image is deleted. None: only the build tag is deleted.
    digest: Option<String>,
}

/// The images in `places` that the build tag names.
pub async fn unwanted(
    cx: &Cx,
    places: Vec<BuiltContainer>,
    build_tag: &str,
) -> Result<Vec<UnwantedContainer>, StageError> {
    let mut unwanted = Vec::new();
    for place in places {
        let Some(found) = describe(cx, &place, build_tag).await? else { continue };
        let has_other_tags = found.tags.iter().any(|tag| tag != build_tag && !place.tags.contains(tag));
        let digest = (!has_other_tags).then_some(found.digest);
        unwanted.push(UnwantedContainer { place, build_tag: build_tag.to_owned(), digest });
    }
    Ok(unwanted)
}

/// Removes an image. Returns why it stays, if ECR keeps it. Removing an image twice succeeds.
///
/// The call names the digest, so a tag that has moved to another image is not touched.
pub async fn remove(cx: &Cx, unwanted: &UnwantedContainer) -> Result<Option<String>, StageError> {
    let UnwantedContainer { place, build_tag, digest } = unwanted;
    let id = ImageIdentifier::builder();
    let id = match digest {
        Some(digest) => id.image_digest(digest),
        None => id.image_tag(build_tag),
    };
    let call = cx.aws.ecr_in(&place.region).batch_delete_image().registry_id(&place.account);
    let answer = match call.repository_name(&place.repository).image_ids(id.build()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let error = AwsError::new("ecr:BatchDeleteImage", place.place(), error);
            return if error.class == Class::Missing { Ok(None) } else { Err(error.into()) };
        }
    };
    let failure = answer.failures.unwrap_or_default().into_iter().next();
    Ok(failure.filter(|failure| failure.failure_code != Some(ImageFailureCode::ImageNotFound)).map(
        |failure| {
            let code = failure.failure_code.as_ref().map_or("unknown", ImageFailureCode::as_str);
            format!("the image {build_tag} in {} stays ({code})", place.place())
        },
    ))
}
