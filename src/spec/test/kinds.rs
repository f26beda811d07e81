//! Kinds of checks: scripts, documents, requests, and facts about the instance.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::spec::names::SOURCE_PATH;
use crate::spec::span::Span;

/// A script of the source artifact. A path that ends in `.ps1` is a PowerShell script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Path of the script in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no part beginning with a dot.
    #[schemars(length(max = 255), regex(pattern = SOURCE_PATH), example = &"checks/serves.sh")]
    pub path: String,
    /// Environment variables that the instance sets from secrets: the name of the variable, and where the secret is stored. Only for shell scripts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Z][A-Z0-9_]{0,63}$"}, "maxProperties" = 10))]
    pub secrets: BTreeMap<String, Secret>,
    /// How long Systems Manager may take to deliver the command (`TimeoutSeconds` of `SendCommand`). At least 30s, at most 30d. Default: 2m.
    #[serde(default = "default_delivery_timeout")]
    #[schemars(extend("x-min" = "30s", "x-max" = "30d"))]
    pub delivery_timeout: Span,
}

impl Script {
    /// Whether it is a PowerShell script.
    #[must_use]
    pub fn is_powershell(&self) -> bool {
        let extension = std::path::Path::new(&self.path).extension();
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("ps1"))
    }
}

/// How long Systems Manager may take to deliver a command, unless the spec says otherwise.
pub(super) const fn default_delivery_timeout() -> Span {
    Span::from_secs(120)
}

/// A Command document of Systems Manager: one of AWS's or your own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Name of the document, or its ARN if another account shares it.
    #[schemars(
        regex(pattern = r"^[a-zA-Z0-9_.:/-]{3,128}$"),
        example = &"AWS-RunPatchBaseline"
    )]
    pub name: String,
    /// Version of the document. Default: its default version at the time of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^([1-9][0-9]{0,9}|\$LATEST|\$DEFAULT)$"), example = &"1")]
    pub version: Option<String>,
    /// Parameters of the document, each a list of texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z0-9_.-]{1,128}$"}, "maxProperties" = 50))]
    pub parameters: BTreeMap<String, Vec<String>>,
    /// How long Systems Manager may take to deliver the command (`TimeoutSeconds` of `SendCommand`). At least 30s, at most 30d. Default: 2m.
    #[serde(default = "default_delivery_timeout")]
    #[schemars(extend("x-min" = "30s", "x-max" = "30d"))]
    pub delivery_timeout: Span,
}

/// An HTTP request and the response it must get. It is repeated until the response is right or `timeout` is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// URL, as seen from the instance.
    #[schemars(
        length(max = 2000),
        regex(pattern = r"^https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+$"),
        example = &"http://127.0.0.1:8080/healthz"
    )]
    pub url: String,
    /// Status code of the response. Default: 200.
    #[serde(default = "Http::default_status")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Text that the body of the response contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1000))]
    pub contains: Option<String>,
}

impl Http {
    const fn default_status() -> u16 {
        200
    }
}

/// A TCP port that accepts connections. The connection is tried until it succeeds or `timeout` is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Host, as seen from the instance. Default: 127.0.0.1.
    #[serde(default = "Tcp::default_host")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9.-]{1,253}$"), example = &"127.0.0.1")]
    pub host: String,
    /// Port number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

impl Tcp {
    fn default_host() -> String {
        "127.0.0.1".to_owned()
    }
}

/// A systemd unit and the state it must be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SystemdUnit {
    /// Name of the unit.
    #[schemars(regex(pattern = r"^[A-Za-z0-9:_.@\\-]{1,255}$"), example = &"web.service")]
    pub name: String,
    /// Whether the unit is enabled: it starts at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub enabled: Option<bool>,
    /// Whether the unit is active: it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// A file on the instance and what it must be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path of the file.
    #[schemars(regex(pattern = r"^/[^\x00-\x1f]{0,4000}$"), example = &"/opt/web/VERSION")]
    pub path: String,
    /// Whether the file exists. Default: true.
    #[serde(default = "File::default_exists")]
    pub exists: bool,
    /// File mode: four octal digits, in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[0-7]{4}$"), example = &"0644")]
    pub mode: Option<String>,
    /// Name of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z_][a-z0-9_-]{0,31}$"), example = &"root")]
    pub owner: Option<String>,
    /// Text that the file contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1000))]
    pub contains: Option<String>,
    /// SHA-256 of the content, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

impl File {
    const fn default_exists() -> bool {
        true
    }
}

/// A package that is installed, by rpm or dpkg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$"), example = &"python3")]
    pub name: String,
    /// Version, as the package manager prints it, without the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[A-Za-z0-9:.+~_-]{1,100}$"))]
    pub version: Option<String>,
}

/// cloud-init has finished without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInit {}

/// The instance reboots and comes back. Later checks see the rebooted instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reboot {}
