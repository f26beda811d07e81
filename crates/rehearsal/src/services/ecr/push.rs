//! `PutImage`: pushes a manifest, with a tag or without.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::Place;
use super::manifest::{Manifest, digest};
use super::repository::{get, unknown};
use super::{Image, Repository, Status};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: String,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

pub(super) fn put(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let manifest = Manifest::parse(&input.image_manifest, input.image_manifest_media_type.as_deref())?;
    let digest = digest(input.image_manifest.as_bytes());
    if input.image_digest.is_some_and(|given| given != digest) {
        let message =
            "The specified image digest does not match the digest that Amazon ECR calculated for the image";
        return Err(ApiError::new("ImageDigestDoesNotMatchException", message));
    }
    let media_type = manifest.media_type.clone();
    repository.enter(&digest, &input.image_manifest, manifest, input.image_tag.as_deref(), call.now)?;
    let id = identifier(&digest, input.image_tag.as_deref());
    Ok(json!({ "image": {
        "registryId": call.account,
        "repositoryName": input.repository_name,
        "imageId": id,
        "imageManifest": input.image_manifest,
        "imageManifestMediaType": media_type,
    } }))
}

/// An `ImageIdentifier`.
pub(super) fn identifier(digest: &str, tag: Option<&str>) -> Value {
    match tag {
        Some(tag) => json!({ "imageDigest": digest, "imageTag": tag }),
        None => json!({ "imageDigest": digest }),
    }
}

impl Repository {
    fn enter(
        &mut self,
        digest: &str,
        text: &str,
        manifest: Manifest,
        tag: Option<&str>,
        now: Time,
    ) -> Result<(), ApiError> {
        if let Some(missing) = manifest.children.iter().find(|child| !self.images.contains_key(*child)) {
            let message = format!("The manifest list contains the image {missing}, which does not exist");
            return Err(ApiError::new("ReferencedImagesNotFoundException", message));
        }
        let there = self.images.get(digest);
        let tagged = tag.and_then(|tag| self.tags.get(tag));
        let nothing_new = tag.is_none() || tagged.is_some_and(|of| of == digest);
        if nothing_new && there.is_some_and(Image::is_active) {
            let named = tag.map_or(String::new(), |tag| format!(" and tag '{tag}'"));
            let message = format!("Image with digest '{digest}'{named} already exists");
            return Err(ApiError::new("ImageAlreadyExistsException", message));
        }
        if let (Some(tag), Some(of)) = (tag, tagged)
            && of != digest
            && !self.mutability.lets_move(tag)
        {
            let message = format!(
                "The image tag '{tag}' already exists in the repository and cannot be overwritten because the tag is immutable."
            );
            return Err(ApiError::new("ImageTagAlreadyExistsException", message));
        }
        match self.images.get_mut(digest) {
            // A push restores an archived image at once.
            Some(image) if !image.is_active() => {
                image.status = Status::Active;
                image.activated = Some(now);
            }
            Some(_) => {}
            None => {
                let image = Image {
                    manifest: text.to_owned(),
                    parsed: manifest,
                    pushed: now,
                    pulled: None,
                    status: Status::Active,
                    archived: None,
                    activated: None,
                };
                self.images.insert(digest.to_owned(), image);
            }
        }
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), digest.to_owned());
        }
        Ok(())
    }
}

/// Pushes a manifest with these tags, as a build does. Returns its digest. An existing image is kept.
///
/// # Errors
/// The repository does not exist, the manifest is invalid, or a tag is immutable and already in use.
pub fn push(
    world: &mut World,
    (account, region): (&str, &str),
    repository: &str,
    tags: &[&str],
    manifest: &str,
) -> Result<String, ApiError> {
    let now = world.now;
    let parsed = Manifest::parse(manifest, None)?;
    let digest = digest(manifest.as_bytes());
    let key = (Place::new(account, region), repository.to_owned());
    let into = world.ecr.repositories.get_mut(&key).ok_or_else(|| unknown(repository, account))?;
    into.live(now);
    let each: Vec<Option<&str>> =
        if tags.is_empty() { vec![None] } else { tags.iter().copied().map(Some).collect() };
    for tag in each {
        match into.enter(&digest, manifest, parsed.clone(), tag, now) {
            Err(refusal) if refusal.code == "ImageAlreadyExistsException" => {}
            other => other?,
        }
    }
    Ok(digest)
}
