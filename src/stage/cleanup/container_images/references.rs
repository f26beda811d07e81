//! From what AWS's lists say to the container images that are used, and by what. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::image::{Image, Key};
use super::uri::{self, Registry};
use crate::stage::cleanup::graph::Counts;

/// Kinds of users of container images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    TaskDefinition,
    Service,
    Task,
    Function,
    Parameter,
    Recipe,
}

impl Kind {
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

/// Something that uses images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub kind: Kind,
    /// Its name, or the end of its ARN.
    pub id: String,
}

impl User {
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.id)
    }
}

/// What the lists say, before it is put together.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Texts that name images: an address, a digest, or a document that holds some.
    pub texts: Vec<(User, String)>,
    /// What the containers of each task definition run, by its ARN.
    pub definitions: BTreeMap<String, Vec<String>>,
    /// Task definitions that are registered: tasks can be started from them at any time.
    pub active: BTreeSet<String>,
    /// Task definitions that something runs or keeps, registered or not.
    pub in_use: Vec<(User, String)>,
    pub counts: Counts,
}

/// What the lists do not say, though one of them names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("{user} names the task definition {definition}, which was not read")]
    Definition { user: User, definition: String },
}

/// Users by image.
pub type Users = BTreeMap<Key, BTreeSet<User>>;

impl Facts {
    /// The task definitions whose images must be known.
    #[must_use]
    pub fn wanted_definitions(&self) -> BTreeSet<String> {
        let in_use = self.in_use.iter().map(|(_, definition)| definition);
        self.active.iter().chain(in_use).cloned().collect()
    }

    /// Every image that is used, with everything that uses it. A tag means the image that has it now; what was started
    /// when it meant another is known by its digest.
    ///
    /// # Errors
    /// The lists do not fit together.
    pub fn users(&self, images: &[Image], registry: Registry<'_>) -> Result<Users, Gap> {
        let names = Names::of(images);
        let mut users = Users::new();
        let mut note = |user: &User, text: &str| {
            for key in names.meant(user, text, registry) {
                users.entry(key.clone()).or_default().insert(user.clone());
            }
        };
        for (user, text) in &self.texts {
            note(user, text);
        }
        let active = self.active.iter().map(|definition| {
            (User::new(Kind::TaskDefinition, definition.rsplit('/').next().unwrap_or(definition)), definition)
        });
        let in_use = self.in_use.iter().map(|(user, definition)| (user.clone(), definition));
        for (user, definition) in active.chain(in_use) {
            let Some(images) = self.definitions.get(definition) else {
                return Err(Gap::Definition { user, definition: definition.clone() });
            };
            for image in images {
                note(&user, image);
            }
        }
        Ok(users)
    }
}

/// Images by what they can be named by.
struct Names<'a> {
    digests: BTreeMap<&'a str, Vec<&'a Key>>,
    /// By repository and tag.
    tags: BTreeMap<(&'a str, &'a str), &'a Key>,
}

impl<'a> Names<'a> {
    fn of(images: &'a [Image]) -> Self {
        let mut names = Self { digests: BTreeMap::new(), tags: BTreeMap::new() };
        for Image { key, tags, .. } in images {
            names.digests.entry(&key.digest).or_default().push(key);
            names.tags.extend(tags.iter().map(|tag| ((key.repository.as_str(), tag.as_str()), key)));
        }
        names
    }

    fn meant(&self, user: &User, text: &str, registry: Registry<'_>) -> BTreeSet<&'a Key> {
        let mut meant = BTreeSet::new();
        // Whatever stands before a digest: nothing else has it, and a copy elsewhere is the same image.
        for digest in uri::digests(text) {
            meant.extend(self.digests.get(digest.as_str()).into_iter().flatten());
        }
        for named in uri::named(text, registry) {
            // With a digest the tag says nothing.
            if let (None, Some(tag)) = (&named.digest, &named.tag) {
                meant.extend(self.tags.get(&(named.repository.as_str(), tag.as_str())));
            }
        }
        // Who deploys by a parameter often keeps nothing but the tag in it.
        if user.kind == Kind::Parameter {
            let tagged = self.tags.iter().filter(|((_, tag), _)| *tag == text.trim());
            meant.extend(tagged.map(|(_, key)| *key));
        }
        meant
    }
}
