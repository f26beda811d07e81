//! ECR's side of a bake: the container images looked at in every region, and those of an unwanted build removed.

use aws_sdk_ecr::types::{ImageDetail, ImageFailureCode, ImageIdentifier};

use super::container::{self, BuiltContainer, Described};
use super::judge::Look;
use crate::aws::ecr::Reference;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ContainerIdentity;
use crate::stage::Cx;

/// The image that a tag names in a repository; none if there is no such tag, or no such repository.
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

/// One look at all images of a build: the worst of what they show.
pub async fn look(cx: &Cx, containers: &[BuiltContainer], own_tag: &str) -> Result<Look, StageError> {
    let mut worst = Look::Available;
    for place in containers {
        match container::look(place, describe(cx, place, own_tag).await?.as_ref()) {
            Look::Available => {}
            Look::NotYet(why) => worst = Look::NotYet(why),
            Look::Broken(why) => return Ok(Look::Broken(why)),
        }
    }
    Ok(worst)
}

/// Who the images of a build are, in the order of `containers`.
pub async fn identities(
    cx: &Cx,
    containers: &[BuiltContainer],
    own_tag: &str,
) -> Result<Vec<ContainerIdentity>, StageError> {
    let mut identities = Vec::with_capacity(containers.len());
    for place in containers {
        identities.push(identity(cx, place, own_tag).await?);
    }
    Ok(identities)
}

/// Who the image of a build in one repository is.
pub async fn identity(
    cx: &Cx,
    place: &BuiltContainer,
    own_tag: &str,
) -> Result<ContainerIdentity, StageError> {
    let found = describe(cx, place, own_tag).await?;
    let found =
        found.ok_or_else(|| StageError::NotYet(format!("the image in {} is not found", place.place())))?;
    let digest = container::digest(place, &found).map_err(StageError::Rejected)?;
    Ok(place.identity(own_tag, digest))
}

/// The digest a URI in ECR stands for today; none for what is not in ECR.
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
    let found = describe(cx, &place, &tag)
        .await?
        .ok_or_else(|| StageError::Config(format!("the parent image {uri} is not in its repository")))?;
    let digest = container::digest(&place, &found).map_err(StageError::Rejected)?;
    Ok(Some(digest.to_string()))
}

/// A container image that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwanted {
    place: BuiltContainer,
    own_tag: String,
    /// Its digest, if no tag but this build's names it: then all of it goes. Otherwise only the build's own tag.
    whole: Option<String>,
}

/// The images in `places` that the tag of their build names.
pub async fn unwanted(
    cx: &Cx,
    places: Vec<BuiltContainer>,
    own_tag: &str,
) -> Result<Vec<Unwanted>, StageError> {
    let mut unwanted = Vec::new();
    for place in places {
        let Some(found) = describe(cx, &place, own_tag).await? else { continue };
        let of_others = found.tags.iter().any(|tag| tag != own_tag && !place.tags.contains(tag));
        let whole = (!of_others).then_some(found.digest);
        unwanted.push(Unwanted { place, own_tag: own_tag.to_owned(), whole });
    }
    Ok(unwanted)
}

/// Removes an image; why it stays, if it does. A second call finds none.
///
/// By its digest, so that a tag which names another image by now is not touched.
pub async fn remove(cx: &Cx, unwanted: &Unwanted) -> Result<Option<String>, StageError> {
    let Unwanted { place, own_tag, whole } = unwanted;
    let id = ImageIdentifier::builder();
    let id = match whole {
        Some(digest) => id.image_digest(digest),
        None => id.image_tag(own_tag),
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
            format!("the image {own_tag} in {} stays ({code})", place.place())
        },
    ))
}
