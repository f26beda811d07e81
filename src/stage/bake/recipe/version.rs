//! Names and versions of components and recipes, derived from their content. Pure.
//!
//! A semantic version has three numbers below 2^30. Those of a component come from the digest of its document. The first
//! two of a recipe come from the digest of its components and volume, the third from the digest of its parent image:
//! recipes that differ only in the parent differ only in the last number. The same content has the same version, so
//! nothing is created twice.

use super::document;
use super::error::RecipeError;
use crate::digest::Sha256;
use crate::evidence::layout;
use crate::stage::store::Files;

/// Partition, region and account of an ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArnScope {
    pub partition: String,
    pub region: String,
    pub account: String,
}

/// A component document in the source artifact, and the component to create from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDocument {
    /// Path of the document in the source artifact.
    pub path: String,
    pub name: String,
    pub version: String,
    pub data: String,
    pub digest: Sha256,
}

/// A version of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeVersion {
    pub name: String,
    pub version: String,
    /// `arn:…:image-recipe/NAME/VERSION`, or of a `container-recipe`.
    pub recipe_arn: String,
    /// `arn:…:image/NAME/VERSION`: the image version that builds of the recipe belong to.
    pub image_arn: String,
}

impl ArnScope {
    /// The ARN of a resource of Image Builder.
    pub fn arn(&self, kind: &str, name: &str, version: &str) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:imagebuilder:{region}:{account}:{kind}/{name}/{version}")
    }
}

/// The scope of a recipe's resources: that of its infrastructure configuration.
pub fn scope_of(infrastructure: &str, section: &'static str) -> Result<ArnScope, RecipeError> {
    scope(infrastructure).ok_or_else(|| RecipeError::NotAnArn { section, arn: infrastructure.to_owned() })
}

/// Reads the document of a component at `path`.
pub fn component_document(
    service: &str,
    path: &str,
    files: &Files,
) -> Result<ComponentDocument, RecipeError> {
    let bytes = files
        .get(&layout::source(path))
        .ok_or_else(|| RecipeError::NoFile { path: path.to_owned(), what: "a component's document" })?;
    let data = document::text(path, "a component's document", bytes)?;
    let digest = Sha256::of(bytes);
    let [first, second, third] = version_numbers(&digest);
    Ok(ComponentDocument {
        name: format!("{service}-{}", stem(path)),
        version: format!("{first}.{second}.{third}"),
        data: data.to_owned(),
        path: path.to_owned(),
        digest,
    })
}

/// The name of a file without its extension, in characters that a resource name may have.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    stem.chars().take(60).map(plain).collect::<String>().trim_matches('-').to_owned()
}

/// The three numbers of a version, each of 30 bits, from a digest.
pub fn version_numbers(digest: &Sha256) -> [u32; 3] {
    let bytes = digest.as_bytes();
    [0, 4, 8].map(|at| {
        let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
        u32::from_be_bytes(four) >> 2
    })
}

/// The scope of an ARN.
fn scope(arn: &str) -> Option<ArnScope> {
    let mut parts = arn.split(':').skip(1);
    let partition = parts.next()?.to_owned();
    let (region, account) = (parts.nth(1)?.to_owned(), parts.next()?.to_owned());
    (!region.is_empty() && !account.is_empty()).then_some(ArnScope { partition, region, account })
}
