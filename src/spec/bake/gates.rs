//! `bake.gates`: conditions that an image must meet to count as baked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scan::Scan;
use crate::spec::names::{ACCOUNT, REGION};

/// Conditions that the image must meet to count as baked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// Copies of the image that the distribution must make. Default: those that it makes are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub copies: Vec<ImageCopy>,
    /// Properties that every copy of a machine image must have. No image may be public, with or without this gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ImageRequirements")]
    pub image: Option<ImageRequirements>,
    /// Limits on what the vulnerability scan of the build may find. Only a completed scan counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Scan")]
    pub scan: Option<Scan>,
}

impl Gates {
    /// Whether there is no gate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.scan.is_none() && self.image.is_none()
    }
}

/// A copy of an image: a region, and the account that owns the copy there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCopy {
    /// Region of the copy, such as eu-west-1.
    #[schemars(regex(pattern = REGION), example = &"eu-west-1")]
    pub region: String,
    /// Account that owns the copy: twelve digits, in quotes.
    #[schemars(regex(pattern = ACCOUNT), example = &"123456789012")]
    pub account: String,
}

/// Properties that every copy of a machine image must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRequirements {
    /// Encryption of the volumes: required of every volume, or optional.
    #[serde(default, skip_serializing_if = "VolumeEncryption::is_default")]
    pub volume_encryption: VolumeEncryption,
    /// Instance metadata service that instances of the image offer by default: v2 (session tokens, the image has `ImdsSupport` v2.0), or any.
    #[serde(default, skip_serializing_if = "Imds::is_default")]
    pub imds: Imds,
    /// Boot mode of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BootMode")]
    pub boot_mode: Option<BootMode>,
    /// Architecture of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Architecture")]
    pub architecture: Option<Architecture>,
    /// Most GiB of all volumes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000))]
    pub max_size_gib: Option<u32>,
}

impl ImageRequirements {
    /// Whether every volume must be encrypted.
    #[must_use]
    pub fn requires_encryption(&self) -> bool {
        self.volume_encryption == VolumeEncryption::Required
    }

    /// Whether the image must ask for `IMDSv2`.
    #[must_use]
    pub fn requires_imds_v2(&self) -> bool {
        self.imds == Imds::V2
    }
}

choice! {
    /// Encryption of an image's volumes.
    VolumeEncryption { Optional, Required }
}
choice! {
    /// Instance metadata service of an image.
    Imds { Any, V2 }
}

/// Boot mode of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BootMode {
    LegacyBios,
    Uefi,
    UefiPreferred,
}

impl BootMode {
    /// The value in EC2's API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LegacyBios => "legacy-bios",
            Self::Uefi => "uefi",
            Self::UefiPreferred => "uefi-preferred",
        }
    }
}

/// Architecture of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// The value in EC2's API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}
