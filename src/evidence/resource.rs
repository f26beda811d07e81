//! The in-toto `ResourceDescriptor` v1: a subject, a dependency or a byproduct.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Sha256;

/// An in-toto `ResourceDescriptor` (v1): a resource by name, URI or digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// A name that is unique in the same list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A URI of the resource, such as an ARN or a package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Algorithm to lower-case hexadecimal digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Where to download it, if not from `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_location: Option<String>,
    /// The media type of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Further members.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub annotations: serde_json::Map<String, Value>,
}

impl ResourceDescriptor {
    /// A resource with a name and the SHA-256 of its content.
    #[must_use]
    pub fn named(name: impl Into<String>, digest: &Sha256) -> Self {
        Self {
            name: Some(name.into()),
            digest: BTreeMap::from([("sha256".to_owned(), digest.to_string())]),
            ..Self::default()
        }
    }

    /// A resource by its URI alone, such as an ARN. A subject needs a digest, too.
    #[must_use]
    pub fn at(uri: impl Into<String>) -> Self {
        Self { uri: Some(uri.into()), ..Self::default() }
    }

    /// A resource by its URI and the SHA-256 of its content, without a name.
    #[must_use]
    pub fn at_with_digest(uri: impl Into<String>, digest: &Sha256) -> Self {
        Self { name: None, uri: Some(uri.into()), ..Self::named(String::new(), digest) }
    }

    /// The name or URI, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.uri.as_deref()).unwrap_or("unnamed subject")
    }
}
