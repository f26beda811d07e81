//! `DescribeImages`, `ListImages` and `BatchGetImage`, which counts as a pull.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::manifest::is_digest;
use super::push::identifier;
use super::repository::get;
use super::{Image, PULL_RECORD, Repository, invalid};

/// An `ImageIdentifier` of a request.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    pub image_digest: Option<String>,
    pub image_tag: Option<String>,
}

impl ImageId {
    /// The digest of the identified image, or the failure's code and reason.
    pub(super) fn find(&self, repository: &Repository) -> Result<String, (&'static str, &'static str)> {
        let missing = ("ImageNotFound", "Requested image not found");
        let tagged = self.image_tag.as_ref().map(|tag| repository.tags.get(tag).ok_or(missing));
        let digest = match (&self.image_digest, tagged.transpose()?) {
            (None, None) => {
                return Err((
                    "MissingDigestAndTag",
                    "Invalid request parameters: both tag and digest cannot be null",
                ));
            }
            (Some(digest), _) if !is_digest(digest) => {
                return Err((
                    "InvalidImageDigest",
                    "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
                ));
            }
            (Some(digest), Some(of)) if digest != of => {
                return Err(("ImageTagDoesNotMatchDigest", "Requested image tag is not of that digest"));
            }
            (Some(digest), _) => digest,
            (None, Some(of)) => of,
        };
        if repository.images.contains_key(digest) { Ok(digest.clone()) } else { Err(missing) }
    }

    /// An `ImageFailure`.
    pub(super) fn failure(&self, (code, reason): (&str, &str)) -> Value {
        json!({
            "imageId": { "imageDigest": self.image_digest, "imageTag": self.image_tag },
            "failureCode": code,
            "failureReason": reason,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    tag_status: Option<String>,
    image_status: Option<String>,
}

impl Filter {
    fn fits(&self, image: &Image, tagged: bool) -> bool {
        let tags = match self.tag_status.as_deref() {
            Some("TAGGED") => tagged,
            Some("UNTAGGED") => !tagged,
            _ => true,
        };
        // Without a filter only active images are shown.
        let wanted = self.image_status.as_deref().unwrap_or("ACTIVE");
        tags && (wanted == "ANY" || wanted == image.status.name())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Option<Vec<ImageId>>,
    next_token: Option<String>,
    max_results: Option<usize>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    accepted_media_types: Vec<String>,
}

fn view(repository: &Repository, input: &Input, call: &Call, digest: &str, image: &Image) -> Value {
    // The size of an index is that of its largest image.
    let children = image.parsed.children.iter().filter_map(|child| repository.images.get(child));
    let size = children.map(|child| child.parsed.size).max().unwrap_or(image.parsed.size);
    let tags = repository.tags_of(digest);
    json!({
        "registryId": call.account,
        "repositoryName": input.repository_name,
        "imageDigest": digest,
        "imageTags": (!tags.is_empty()).then_some(tags),
        "imageSizeInBytes": size,
        "imagePushedAt": image.pushed.epoch_seconds(),
        "imageManifestMediaType": image.parsed.media_type,
        "artifactMediaType": image.parsed.artifact_type,
        "lastRecordedPullTime": image.pulled.map(Time::epoch_seconds),
        "subjectManifestDigest": image.parsed.subject,
        "imageStatus": image.status.name(),
        "lastArchivedAt": image.archived.map(Time::epoch_seconds),
        "lastActivatedAt": image.activated.map(Time::epoch_seconds),
    })
}

pub(super) fn images(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = &*get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let mut found: Vec<(&String, &Image)> = Vec::new();
    if let Some(ids) = &input.image_ids {
        if input.max_results.is_some() || input.next_token.is_some() {
            return Err(invalid("maxResults and nextToken are not for requests with imageIds"));
        }
        for id in ids {
            let digest = id.find(repository).map_err(|(code, reason)| match code {
                "ImageNotFound" | "ImageTagDoesNotMatchDigest" => {
                    let within = format!("within the repository with name '{}'", input.repository_name);
                    ApiError::new("ImageNotFoundException", format!("The image does not exist {within}"))
                }
                _ => invalid(reason),
            })?;
            found.extend(repository.images.get_key_value(&digest));
        }
    } else {
        let fits = |(digest, image): &(&String, &Image)| {
            input.filter.fits(image, !repository.tags_of(digest).is_empty())
        };
        found.extend(repository.images.iter().filter(fits));
    }
    let views = found.iter().map(|(digest, image)| view(repository, &input, call, digest, image)).collect();
    let (views, next) = paged(&input, views)?;
    Ok(json!({ "imageDetails": views, "nextToken": next }))
}

fn paged(input: &Input, items: Vec<Value>) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let size = if input.image_ids.is_some() { usize::MAX } else { input.max_results.unwrap_or(100) };
    page(items, input.next_token.as_deref(), size).ok_or_else(|| invalid("Invalid parameter at 'nextToken'"))
}

/// `ListImages`: one entry per tag, and one per untagged image.
pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = &*get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let mut ids = Vec::new();
    for (digest, image) in &repository.images {
        let tags = repository.tags_of(digest);
        if !input.filter.fits(image, !tags.is_empty()) {
            continue;
        }
        if tags.is_empty() {
            ids.push(identifier(digest, None));
        }
        ids.extend(tags.into_iter().map(|tag| identifier(digest, Some(tag))));
    }
    let (ids, next) = paged(&input, ids)?;
    Ok(json!({ "imageIds": ids, "nextToken": next }))
}

pub(super) fn manifests(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let repository = get(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids.iter().flatten() {
        let digest = match id.find(repository) {
            Ok(digest) => digest,
            Err(failure) => {
                failures.push(id.failure(failure));
                continue;
            }
        };
        // An archived image cannot be pulled.
        let Some(image) = repository.images.get_mut(&digest).filter(|image| image.is_active()) else {
            failures.push(id.failure(("ImageNotFound", "Requested image not found")));
            continue;
        };
        if !input.accepted_media_types.is_empty()
            && !input.accepted_media_types.contains(&image.parsed.media_type)
        {
            failures.push(id.failure(("ImageNotFound", "Requested image has another media type")));
            continue;
        }
        if image.pulled.is_none_or(|last| last + PULL_RECORD <= call.now) {
            image.pulled = Some(call.now);
        }
        images.push(json!({
            "registryId": call.account,
            "repositoryName": input.repository_name,
            "imageId": identifier(&digest, id.image_tag.as_deref()),
            "imageManifest": image.manifest,
            "imageManifestMediaType": image.parsed.media_type,
        }));
    }
    Ok(json!({ "images": images, "failures": failures }))
}
