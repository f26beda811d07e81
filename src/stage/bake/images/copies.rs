//! The machine images of a build in EC2: described and tagged in every region.

use std::collections::BTreeMap;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::Tag;

use super::availability::{self, Availability, BuiltImage, Copies, Described};
use super::error::ImageError;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::evidence::{ImageIdentity, Stage};
use crate::spec::ReleaseSpec;
use crate::stage::Cx;

/// Describes an image in its region; none if EC2 does not find it.
pub async fn describe(cx: &Cx, image: &BuiltImage) -> Result<Option<Described>, StageError> {
    let answer = cx.aws.ec2_in(&image.region).describe_images().image_ids(&image.id).send().await;
    let found = match answer {
        Ok(answer) => answer.images.unwrap_or_default().into_iter().next(),
        Err(error) => {
            let error = AwsError::new("ec2:DescribeImages", place(image), error);
            if error.class == Class::Missing {
                return Ok(None);
            }
            return Err(error.into());
        }
    };
    Ok(found.map(|found| Described {
        state: found.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        reason: found.state_reason.and_then(|reason| reason.message),
        name: found.name,
        creation_date: found.creation_date,
        tags: found
            .tags
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value?)))
            .collect(),
    }))
}

/// The availability of all images: the worst of them.
pub async fn availability(cx: &Cx, copies: &Copies) -> Result<Availability, StageError> {
    let mut worst = Availability::Available;
    for image in &copies.own {
        match availability::of_image(image, describe(cx, image).await?.as_ref()) {
            Availability::Available => {}
            Availability::Pending(why) => worst = Availability::Pending(why),
            Availability::Unusable(why) => return Ok(Availability::Unusable(why)),
        }
    }
    Ok(worst)
}

/// Adds the missing tags to an image. The SDK does not retry the call: the next slice reads the tags first.
///
/// On an image that several releases share, existing tags keep their values.
pub async fn tag(cx: &Cx, image: &BuiltImage, release: &ReleaseSpec, shared: bool) -> Result<(), StageError> {
    let found = describe(cx, image).await?;
    let found = found.ok_or_else(|| ImageError::NotFound { image: place(image) })?;
    let mut wanted = cx.key().tags(Stage::Bake);
    wanted.insert(tag::SERVICE.to_owned(), release.service.clone());
    wanted.extend(release.channel.clone().map(|channel| (tag::CHANNEL.to_owned(), channel)));
    if shared {
        wanted.retain(|key, _| !found.tags.contains_key(key));
    }
    let missing: BTreeMap<String, String> = availability::missing_tags(&wanted, &found);
    if missing.is_empty() {
        return Ok(());
    }
    let tags = missing.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let call = cx.aws.ec2_in(&image.region).create_tags().resources(&image.id).set_tags(Some(tags));
    let once = aws_sdk_ec2::Config::builder().retry_config(RetryConfig::disabled());
    let answer = call.customize().config_override(once).send().await;
    answer.map_err(|error| AwsError::new("ec2:CreateTags", place(image), error))?;
    Ok(())
}

/// The identities of the images, in the order of `copies.own`.
pub async fn identities(cx: &Cx, copies: &Copies) -> Result<Vec<ImageIdentity>, StageError> {
    let mut identities = Vec::with_capacity(copies.own.len());
    for image in &copies.own {
        let found = describe(cx, image).await?;
        let found = found.ok_or_else(|| ImageError::NotFound { image: place(image) })?;
        identities.push(availability::identity(image, &found)?);
    }
    Ok(identities)
}

fn place(image: &BuiltImage) -> String {
    format!("{} in {}", image.id, image.region)
}
