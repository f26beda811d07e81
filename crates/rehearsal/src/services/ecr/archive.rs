//! The archive storage class: an archived image cannot be pulled; restoring it takes up to twenty minutes.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::describe::ImageId;
use super::push::identifier;
use super::repository::get;
use super::{ACTIVATION, Status, invalid};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: String,
    image_id: ImageId,
    target_storage_class: String,
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let digest = input.image_id.find(repository).map_err(|(code, reason)| match code {
        "ImageNotFound" | "ImageTagDoesNotMatchDigest" => ApiError::new("ImageNotFoundException", reason),
        _ => invalid(reason),
    })?;
    let archive = input.target_storage_class == "ARCHIVE";
    // An image of an active manifest list is not archived. The user guide documents this for lifecycle policies.
    let list = repository.list_of(&digest).map(str::to_owned);
    let listed = list.filter(|list| repository.images.get(list).is_some_and(super::Image::is_active));
    if let Some(list) = listed.filter(|_| archive) {
        let message = format!("The image is referenced by the manifest list {list}, which is active");
        return Err(ApiError::new("ImageStorageClassUpdateNotSupportedException", message));
    }
    let Some(image) = repository.images.get_mut(&digest) else {
        return Err(ApiError::new("ImageNotFoundException", "Requested image not found"));
    };
    match (archive, image.status) {
        (true, Status::Activating(_)) => {
            let message = "The image is being restored from the archive";
            return Err(ApiError::new("ImageStorageClassUpdateNotSupportedException", message));
        }
        (true, Status::Active) => {
            image.status = Status::Archived;
            image.archived = Some(call.now);
        }
        (false, Status::Archived) => image.status = Status::Activating(call.now + ACTIVATION),
        (true, Status::Archived) | (false, Status::Active | Status::Activating(_)) => {}
    }
    Ok(json!({
        "registryId": call.account,
        "repositoryName": input.repository_name,
        "imageId": identifier(&digest, input.image_id.image_tag.as_deref()),
        "imageStatus": image.status.name(),
    }))
}
