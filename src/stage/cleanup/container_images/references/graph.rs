//! The references between resources and container images: a pure function of what AWS's lists contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::image::{Image, ImageKey};
use super::super::image_names::{self, Registry};
use crate::stage::aws_view::image_references::graph::Lengths;

/// Kinds of resources that reference container images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    TaskDefinition,
    Service,
    Task,
    Function,
    Parameter,
    Recipe,
}

impl ResourceKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskDefinition => "task definition",
            Self::Service => "service",
            Self::Task => "task",
            Self::Function => "function",
            Self::Parameter => "parameter",
            Self::Recipe => "Image Builder recipe",
        }
    }
}

/// A resource that references images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    pub kind: ResourceKind,
    /// Its name, or the end of its ARN.
    pub id: String,
}

impl Resource {
    pub fn new(kind: ResourceKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.id)
    }
}

/// The contents of the lists, before references are resolved.
#[derive(Clone, Debug, Default)]
pub struct Listings {
    /// Texts that may name images: an address, a digest, or a document that contains some.
    pub texts: Vec<(Resource, String)>,
    /// The images of each task definition, by its ARN.
    pub definitions: BTreeMap<String, Vec<String>>,
    /// Active task definitions: tasks can be started from them at any time.
    pub active: BTreeSet<String>,
    /// Task definitions of services and tasks, active or not.
    pub in_use: Vec<(Resource, String)>,
    pub lengths: Lengths,
}

/// A reference that the lists cannot resolve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("{resource} references the task definition {definition}, which was not read")]
    Definition { resource: Resource, definition: String },
}

/// Resources by the image that they reference.
pub type References = BTreeMap<ImageKey, BTreeSet<Resource>>;

impl Listings {
    /// The task definitions whose images must be read.
    #[must_use]
    pub fn wanted_definitions(&self) -> BTreeSet<String> {
        let in_use = self.in_use.iter().map(|(_, definition)| definition);
        self.active.iter().chain(in_use).cloned().collect()
    }

    /// The resources that reference each image. A tag references the image that has it now; tasks and functions started
    /// before the tag moved report a digest.
    ///
    /// # Errors
    /// A reference cannot be resolved.
    pub fn by_image(&self, images: &[Image], registry: Registry<'_>) -> Result<References, Gap> {
        let lookup = Lookup::of(images);
        let mut references = References::new();
        let mut add = |resource: &Resource, text: &str| {
            for key in lookup.find(resource, text, registry) {
                references.entry(key.clone()).or_default().insert(resource.clone());
            }
        };
        for (resource, text) in &self.texts {
            add(resource, text);
        }
        let active = self.active.iter().map(|definition| {
            (
                Resource::new(
                    ResourceKind::TaskDefinition,
                    definition.rsplit('/').next().unwrap_or(definition),
                ),
                definition,
            )
        });
        let in_use = self.in_use.iter().map(|(resource, definition)| (resource.clone(), definition));
        for (resource, definition) in active.chain(in_use) {
            let Some(images) = self.definitions.get(definition) else {
                return Err(Gap::Definition { resource, definition: definition.clone() });
            };
            for image in images {
                add(&resource, image);
            }
        }
        Ok(references)
    }
}

/// Images by digest and by tag.
struct Lookup<'a> {
    digests: BTreeMap<&'a str, Vec<&'a ImageKey>>,
    /// By repository and tag.
    tags: BTreeMap<(&'a str, &'a str), &'a ImageKey>,
}

impl<'a> Lookup<'a> {
    fn of(images: &'a [Image]) -> Self {
        let mut lookup = Self { digests: BTreeMap::new(), tags: BTreeMap::new() };
        for Image { key, tags, .. } in images {
            lookup.digests.entry(&key.digest).or_default().push(key);
            lookup.tags.extend(tags.iter().map(|tag| ((key.repository.as_str(), tag.as_str()), key)));
        }
        lookup
    }

    fn find(&self, resource: &Resource, text: &str, registry: Registry<'_>) -> BTreeSet<&'a ImageKey> {
        let mut found = BTreeSet::new();
        // A digest identifies the image in any registry: a copy elsewhere is the same image.
        for digest in image_names::digests(text) {
            found.extend(self.digests.get(digest.as_str()).into_iter().flatten());
        }
        for name in image_names::names_in(text, registry) {
            // Beside a digest, a tag has no meaning.
            if let (None, Some(tag)) = (&name.digest, &name.tag) {
                found.extend(self.tags.get(&(name.repository.as_str(), tag.as_str())));
            }
        }
        // A deployment parameter often contains nothing but the tag.
        if resource.kind == ResourceKind::Parameter {
            let tagged = self.tags.iter().filter(|((_, tag), _)| *tag == text.trim());
            found.extend(tagged.map(|(_, key)| *key));
        }
        found
    }
}
