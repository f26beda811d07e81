//! Function code: a zip archive, or an image whose tag is resolved once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::super::call::ApiError;
use super::super::super::world::World;
use super::super::ecr;
use super::invalid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The base64 of its SHA-256, and its size.
    Zip { sha256: String, size: usize },
    /// The URI as given, and resolved to the digest of that time.
    Image { uri: String, resolved: String },
}

/// The members of a request that specify the code.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Given {
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    image_uri: Option<String>,
}

impl Given {
    /// # Errors
    /// Not exactly one is given, or the image does not exist.
    pub(super) fn code(self, world: &World, region: &str) -> Result<Code, ApiError> {
        match (self.zip_file, self.image_uri, self.s3_bucket) {
            (Some(zip), None, None) => {
                let bytes = STANDARD.decode(zip).map_err(|e| invalid(format!("ZipFile: {e}")))?;
                Ok(Code::Zip { sha256: STANDARD.encode(Sha256::digest(&bytes)), size: bytes.len() })
            }
            (None, Some(uri), None) => {
                let here =
                    uri.contains(&format!(".dkr.ecr.{region}.{}/", crate::partition::dns_suffix(region)));
                let resolved = ecr::resolve(world, &uri).filter(|_| here);
                let missing =
                    || invalid(format!("Source image {uri} does not exist. Provide a valid source image."));
                Ok(Code::Image { resolved: resolved.ok_or_else(missing)?, uri })
            }
            (None, None, Some(_)) => Err(invalid("the embedded AWS does not read code from S3")),
            _ => Err(invalid("Please provide a source for function code.")),
        }
    }
}

impl Code {
    pub(super) fn package(&self) -> &'static str {
        match self {
            Self::Zip { .. } => "Zip",
            Self::Image { .. } => "Image",
        }
    }

    /// `CodeSha256`: for an image, the hexadecimal digest.
    pub(super) fn sha256(&self) -> &str {
        match self {
            Self::Zip { sha256, .. } => sha256,
            Self::Image { resolved, .. } => resolved.rsplit(':').next().unwrap_or_default(),
        }
    }

    /// The size in bytes; zero for an image.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Zip { size, .. } => *size,
            Self::Image { .. } => 0,
        }
    }
}
