//! Image manifests: the parts that ECR reads.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::super::call::ApiError;
use super::invalid;

/// A parsed manifest.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub media_type: String,
    /// The manifest's artifact type, otherwise the media type of its configuration.
    pub artifact_type: Option<String>,
    /// The digests of an index's images.
    pub children: Vec<String>,
    /// The subject: the digest of the image that a signature, attestation or SBOM refers to.
    pub subject: Option<String>,
    /// The size of the configuration and all layers in bytes.
    pub size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: i64,
}

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

impl Manifest {
    /// Parses a manifest. `given` is the media type in the request.
    ///
    /// # Errors
    /// `InvalidParameterException` if the text is not a manifest, or its media type is unknown or contradicts
    /// `given`.
    pub(super) fn parse(text: &str, given: Option<&str>) -> Result<Self, ApiError> {
        let document: Document = serde_json::from_str(text)
            .map_err(|e| invalid(format!("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax': {e}")))?;
        if document.schema_version != 2 {
            return Err(invalid("manifests of schema version 1 are not supported"));
        }
        let media_type = match (document.media_type.as_deref(), given) {
            (Some(own), Some(given)) if own != given => {
                return Err(invalid("imageManifestMediaType is not the media type of the manifest"));
            }
            (Some(one), _) | (None, Some(one)) => one.to_owned(),
            (None, None) => {
                return Err(invalid(
                    "imageManifestMediaType is required where the manifest has no mediaType",
                ));
            }
        };
        let lists = match media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            other => return Err(invalid(format!("the manifest media type {other} is not supported"))),
        };
        if lists != document.manifests.is_some() || lists == document.config.is_some() {
            return Err(invalid(format!("the manifest is not one of {media_type}")));
        }
        let blobs = document.config.iter().chain(&document.layers);
        Ok(Self {
            media_type,
            size: blobs.map(|blob| blob.size).sum(),
            artifact_type: document.artifact_type.or(document.config.map(|config| config.media_type)),
            children: document.manifests.into_iter().flatten().map(|child| child.digest).collect(),
            subject: document.subject.map(|subject| subject.digest),
        })
    }
}

/// The digest of these bytes: `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digits: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

/// Whether a text is a digest.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// A sample index of the images with these digests.
#[must_use]
pub fn index(children: &[&str]) -> String {
    let platforms = ["amd64", "arm64", "arm", "s390x"].iter().cycle();
    let manifests: Vec<Value> = children
        .iter()
        .zip(platforms)
        .map(|(child, architecture)| {
            json!({ "mediaType": OCI_MANIFEST, "digest": child, "size": 675,
                "platform": { "os": "linux", "architecture": architecture } })
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }).to_string()
}

/// A sample manifest of an image with two layers, one of which depends on `content`.
#[must_use]
pub fn sample(content: &str) -> String {
    let blob = |what: &str, media_type: &str, size: usize| json!({ "mediaType": media_type, "size": size, "digest": digest(format!("{what} of {content}").as_bytes()) });
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blob("configuration", "application/vnd.oci.image.config.v1+json", 7023),
        "layers": [
            // The base layer is the same in every image.
            { "mediaType": layer, "size": 32_654_321, "digest": digest(b"base layer") },
            blob("layer", layer, 8_000_000 + content.len() * 1000),
        ],
    })
    .to_string()
}
