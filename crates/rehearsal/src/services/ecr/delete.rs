//! Deleting images: by tag, or by digest with all tags; failures are listed in a successful response.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::Repository;
use super::describe::ImageId;
use super::push::identifier;
use super::repository::get;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Vec<ImageId>,
}

pub(super) fn batch(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in &input.image_ids {
        match repository.remove(id) {
            Ok(gone) => deleted.extend(gone),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(json!({ "imageIds": deleted, "failures": failures }))
}

impl Repository {
    /// Removes a tag, and the image with its last tag; by digest, removes the image with all its tags.
    fn remove(&mut self, id: &ImageId) -> Result<Vec<Value>, Value> {
        let digest = id.find(self).map_err(|failure| id.failure(failure))?;
        let tags: Vec<String> = self.tags_of(&digest).into_iter().map(str::to_owned).collect();
        if let Some(tag) = id.image_tag.as_ref().filter(|_| tags.len() > 1) {
            self.tags.remove(tag);
            return Ok(vec![identifier(&digest, Some(tag))]);
        }
        if let Some(list) = self.list_of(&digest) {
            let reason = format!(
                "Requested image referenced by manifest list: [{list}]; delete the manifest list first"
            );
            return Err(id.failure(("ImageReferencedByManifestList", &reason)));
        }
        self.images.remove(&digest);
        self.tags.retain(|_, of| *of != digest);
        if tags.is_empty() {
            return Ok(vec![identifier(&digest, None)]);
        }
        Ok(tags.iter().map(|tag| identifier(&digest, Some(tag))).collect())
    }
}
