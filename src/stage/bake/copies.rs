//! EC2's side of a bake: the images looked at in every region, and tagged.

use std::collections::BTreeMap;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::Tag;

use super::judge::{self, BuiltImage, Copies, Described, Look};
use crate::evidence::Stage;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::evidence::ImageIdentity;
use crate::stage::Cx;

/// The image as EC2 describes it in its region; none while it is not found there.
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

/// One look at all images: the worst of what they show.
pub async fn look(cx: &Cx, copies: &Copies) -> Result<Look, StageError> {
    let mut worst = Look::Available;
    for image in &copies.own {
        match judge::look(image, describe(cx, image).await?.as_ref()) {
            Look::Available => {}
            Look::NotYet(why) => worst = Look::NotYet(why),
            Look::Broken(why) => return Ok(Look::Broken(why)),
        }
    }
    Ok(worst)
}

/// Gives one image the tags it lacks. Asked once: when no answer comes, the next look shows whether it was done.
///
/// Tags that tell whose it is are left as they are on an image that several releases may share.
pub async fn tag(cx: &Cx, image: &BuiltImage, service: &str, shared: bool) -> Result<(), StageError> {
    let found = describe(cx, image).await?;
    let found = found.ok_or_else(|| StageError::NotYet(format!("{} is not found", place(image))))?;
    let mut wanted = cx.key().tags(Stage::Bake);
    wanted.insert(tag::SERVICE.to_owned(), service.to_owned());
    if shared {
        wanted.retain(|key, _| !found.tags.contains_key(key));
    }
    let missing: BTreeMap<String, String> = judge::missing_tags(&wanted, &found);
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

/// The identities of the images, in the order of `copies`.
pub async fn identities(cx: &Cx, copies: &Copies) -> Result<Vec<ImageIdentity>, StageError> {
    let mut identities = Vec::with_capacity(copies.own.len());
    for image in &copies.own {
        let found = describe(cx, image).await?;
        let found = found.ok_or_else(|| StageError::NotYet(format!("{} is not found", place(image))))?;
        identities.push(judge::identity(image, &found).map_err(StageError::NotYet)?);
    }
    Ok(identities)
}

fn place(image: &BuiltImage) -> String {
    format!("{} in {}", image.id, image.region)
}
