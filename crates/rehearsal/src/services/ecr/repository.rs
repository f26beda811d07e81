//! Repositories: create, list, delete, and look up by an image URI.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::super::support::{Place, Tag, Tags, put_tags, tag_list, wildcard};
use super::{Mutability, Repository, invalid};

impl Mutability {
    /// Whether this tag can be moved to another image.
    pub(super) fn lets_move(&self, tag: &str) -> bool {
        let excluded = self.excluded.iter().any(|pattern| wildcard(pattern, tag));
        self.setting.starts_with("MUTABLE") != excluded
    }
}

/// The repository that a request names, in the caller's own registry. Access to other registries needs repository
/// policies, which are not implemented.
pub(super) fn key(
    world: &World,
    call: &Call,
    registry: Option<&str>,
    name: &str,
) -> Result<(Place, String), ApiError> {
    let key = (Place::new(call.account.as_str(), call.region.as_str()), name.to_owned());
    let own = registry.is_none_or(|registry| registry == call.account);
    if own && world.ecr.repositories.contains_key(&key) {
        return Ok(key);
    }
    Err(unknown(name, registry.unwrap_or(&call.account)))
}

pub(super) fn unknown(name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "RepositoryNotFoundException",
        format!("The repository with name '{name}' does not exist in the registry with id '{registry}'"),
    )
}

/// The repository that a request names.
pub(super) fn get<'w>(
    world: &'w mut World,
    call: &Call,
    registry: Option<&str>,
    name: &str,
) -> Result<&'w mut Repository, ApiError> {
    let key = key(world, call, registry, name)?;
    world.ecr.repositories.get_mut(&key).ok_or_else(|| unknown(name, &call.account))
}

fn view(place: &Place, name: &str, repository: &Repository) -> Value {
    let Place { account, region } = place;
    let mut view = json!({
        "repositoryArn": format!("arn:{}:ecr:{region}:{account}:repository/{name}", crate::partition::id(region)),
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": format!("{account}.dkr.ecr.{region}.{}/{name}", crate::partition::dns_suffix(region)),
        "createdAt": repository.created.epoch_seconds(),
        "imageTagMutability": repository.mutability.setting,
        "imageScanningConfiguration": repository.scanning,
        "encryptionConfiguration": repository.encryption,
    });
    if !repository.mutability.excluded.is_empty() {
        let filters = repository.mutability.excluded.iter();
        view["imageTagMutabilityExclusionFilters"] =
            filters.map(|filter| json!({ "filterType": "WILDCARD", "filter": filter })).collect();
    }
    view
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    registry_id: Option<String>,
    repository_name: String,
    #[serde(default)]
    tags: Vec<Tag>,
    image_tag_mutability: Option<String>,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<Filter>,
    image_scanning_configuration: Option<Value>,
    encryption_configuration: Option<Value>,
}

#[derive(Deserialize)]
struct Filter {
    filter: String,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    if input.registry_id.is_some_and(|registry| registry != call.account) {
        return Err(invalid("a repository can only be created in the caller's registry"));
    }
    let setting = input.image_tag_mutability.unwrap_or_else(|| "MUTABLE".into());
    if setting.ends_with("_WITH_EXCLUSION") == input.image_tag_mutability_exclusion_filters.is_empty() {
        return Err(invalid("exclusion filters require a mutability WITH_EXCLUSION, and it requires them"));
    }
    let place = Place::new(call.account.as_str(), call.region.as_str());
    let key = (place, input.repository_name);
    if world.ecr.repositories.contains_key(&key) {
        let message = format!(
            "The repository with name '{}' already exists in the registry with id '{}'",
            key.1, call.account
        );
        return Err(ApiError::new("RepositoryAlreadyExistsException", message));
    }
    let mut resource_tags = Tags::new();
    put_tags(&mut resource_tags, &input.tags);
    let repository = Repository {
        created: call.now,
        mutability: Mutability {
            setting,
            excluded: input.image_tag_mutability_exclusion_filters.into_iter().map(|f| f.filter).collect(),
        },
        scanning: input.image_scanning_configuration.unwrap_or_else(|| json!({ "scanOnPush": false })),
        encryption: input.encryption_configuration.unwrap_or_else(|| json!({ "encryptionType": "AES256" })),
        resource_tags,
        images: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    let answer = json!({ "repository": view(&key.0, &key.1, &repository) });
    world.ecr.repositories.insert(key, repository);
    Ok(answer)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        registry_id: Option<String>,
        repository_name: String,
        #[serde(default)]
        force: bool,
    }
    let input: Input = call.parse()?;
    let key = key(world, call, input.registry_id.as_deref(), &input.repository_name)?;
    let Some(repository) = world.ecr.repositories.get(&key) else {
        return Err(unknown(&key.1, &call.account));
    };
    if !input.force && !repository.images.is_empty() {
        let message = format!(
            "The repository with name '{}' in registry with id '{}' cannot be deleted because it still contains images",
            key.1, call.account
        );
        return Err(ApiError::new("RepositoryNotEmptyException", message));
    }
    let answer = json!({ "repository": view(&key.0, &key.1, repository) });
    world.ecr.repositories.remove(&key);
    Ok(answer)
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        registry_id: Option<String>,
        #[serde(default)]
        repository_names: Vec<String>,
        next_token: Option<String>,
        max_results: Option<usize>,
    }
    let input: Input = call.parse()?;
    let registry = input.registry_id.as_deref();
    for name in &input.repository_names {
        key(world, call, registry, name)?;
    }
    let own = registry.is_none_or(|registry| registry == call.account);
    let found: Vec<Value> = world
        .ecr
        .repositories
        .iter()
        .filter(|((place, _), _)| own && place.holds(&call.account, &call.region))
        .filter(|((_, name), _)| input.repository_names.is_empty() || input.repository_names.contains(name))
        .map(|((place, name), repository)| view(place, name, repository))
        .collect();
    let (found, next) = page(found, input.next_token.as_deref(), input.max_results.unwrap_or(100))
        .ok_or_else(|| invalid("Invalid parameter at 'nextToken'"))?;
    Ok(json!({ "repositories": found, "nextToken": next }))
}

pub(super) fn tags(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        resource_arn: String,
    }
    let input: Input = call.parse()?;
    let prefix = format!(
        "arn:{}:ecr:{}:{}:repository/",
        crate::partition::id(&call.region),
        call.region,
        call.account
    );
    let name = input.resource_arn.strip_prefix(&prefix).ok_or_else(|| invalid("Invalid resource ARN"))?;
    let key = key(world, call, None, name)?;
    let repository = world.ecr.repositories.get(&key).ok_or_else(|| unknown(name, &call.account))?;
    Ok(json!({ "tags": tag_list(&repository.resource_tags) }))
}

/// Seeds a repository with mutable tags.
pub fn seed(world: &mut World, account: &str, region: &str, name: &str) {
    let now = world.now;
    world.ecr.repositories.entry((Place::new(account, region), name.to_owned())).or_insert_with(|| {
        Repository {
            created: now,
            mutability: Mutability { setting: "MUTABLE".into(), excluded: Vec::new() },
            scanning: json!({ "scanOnPush": false }),
            encryption: json!({ "encryptionType": "AES256" }),
            resource_tags: Tags::new(),
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    });
}

/// The parts of an image URI: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG` or `…/NAME@DIGEST`.
struct Address<'a> {
    host: &'a str,
    key: (Place, String),
    tag: &'a str,
    digest: Option<&'a str>,
}

fn address(uri: &str) -> Option<Address<'_>> {
    let (host, path) = uri.split_once('/')?;
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let (region, suffix) = rest.split_once('.')?;
    if suffix != crate::partition::dns_suffix(region) {
        return None;
    }
    let (path, digest) = match path.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (path, None),
    };
    let (name, tag) = path.split_once(':').map_or((path, "latest"), |(name, tag)| (name, tag));
    Some(Address { host, key: (Place::new(account, region), name.to_owned()), tag, digest })
}

/// Resolves an image URI to one with a digest; `None` if the image cannot be pulled.
#[must_use]
pub fn resolve(world: &World, uri: &str) -> Option<String> {
    let Address { host, key, tag, digest } = address(uri)?;
    let repository = world.ecr.repositories.get(&key)?;
    let name = &key.1;
    let digest = match digest {
        Some(digest) => digest,
        None => repository.tags.get(tag)?.as_str(),
    };
    repository.images.get(digest).filter(|image| image.is_active())?;
    Some(format!("{host}/{name}@{digest}"))
}
