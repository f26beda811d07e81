//! `bake.gates`: what must hold of an image before it counts as baked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// What must hold of the image before it counts as baked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// What the vulnerability scan of the build may have found. Only a completed scan counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Scan")]
    pub scan: Option<Scan>,
    /// What every copy of the image must be like. That none is public is asked of all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Facts")]
    pub image: Option<Facts>,
}

impl Gates {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scan.is_none() && self.image.is_none()
    }
}

/// How many findings of each severity are let through. A severity that is not given is not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Most findings of severity CRITICAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub critical: Option<u32>,
    /// Most findings of severity HIGH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub high: Option<u32>,
    /// Most findings of severity MEDIUM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub medium: Option<u32>,
    /// Most findings of severity LOW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub low: Option<u32>,
    /// Whether findings for which there is no fix are left out of the count.
    #[serde(default)]
    pub only_fixable: bool,
    /// Whether the findings go to Security Hub too, before they are counted. It must be enabled in the account and region that builds.
    #[serde(default)]
    pub security_hub: bool,
    /// How long the scan may take after the image is available. At most 1d.
    #[serde(default = "Scan::default_wait")]
    #[schemars(extend("x-at-most" = "1d"))]
    pub wait: Span,
    /// Findings that someone answers for until a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub exceptions: Vec<ScanException>,
}

impl Scan {
    const fn default_wait() -> Span {
        Span::from_secs(30 * 60)
    }
}

/// A finding that is let through because someone answers for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScanException {
    /// The vulnerability's id, such as CVE-2026-12345.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9:._-]{2,99}$"), example = &"CVE-2026-12345")]
    pub id: String,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// Why it is let through.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// The last day on which it is, in quotes: YYYY-MM-DD, in UTC.
    #[schemars(regex(pattern = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"), example = &"2026-12-31")]
    pub until: String,
}

/// What every copy of the image must be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Every volume is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Instances of it ask for session tokens at the metadata service unless told otherwise (`ImdsSupport` v2.0).
    #[serde(default)]
    pub imds_v2: bool,
    /// Its boot mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BootMode")]
    pub boot_mode: Option<BootMode>,
    /// Its architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Architecture")]
    pub architecture: Option<Architecture>,
    /// Most GiB that its volumes have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 1_000_000))]
    pub max_size_gib: Option<u32>,
}

/// How an image boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    LegacyBios,
    Uefi,
    UefiPreferred,
}

impl BootMode {
    /// EC2's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LegacyBios => "legacy-bios",
            Self::Uefi => "uefi",
            Self::UefiPreferred => "uefi-preferred",
        }
    }
}

/// What an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// EC2's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}
