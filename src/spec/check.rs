//! One check of the `test` section: what is looked at on the instance, and how often.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// One check on the test instance. It has exactly one of the keys `script`, `document`, `http`, `tcp`, `service`, `file`, `package`, `cloud_init` and `reboot`. A script whose path ends in `.ps1` is one for PowerShell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The check's name in reports, unique in the spec: 1 to 64 letters, digits, spaces and `._-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"), example = &"serves")]
    pub name: String,
    /// Path of the script in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no
    /// part beginning with a dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 255),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        example = &"checks/serves.sh"
    )]
    pub script: Option<String>,
    /// A document of Systems Manager that is run on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Document")]
    pub document: Option<Document>,
    /// A URL that answers, asked from the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Http")]
    pub http: Option<Http>,
    /// A TCP port that takes connections, asked from the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tcp")]
    pub tcp: Option<Tcp>,
    /// A systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Service")]
    pub service: Option<Service>,
    /// A file on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "File")]
    pub file: Option<File>,
    /// An installed package, by rpm or dpkg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Package")]
    pub package: Option<Package>,
    /// `finished`: cloud-init has come to its end without an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CloudInit")]
    pub cloud_init: Option<CloudInit>,
    /// `comes_back`: the instance is rebooted and comes back. Checks after it look at the instance as it is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reboot")]
    pub reboot: Option<Reboot>,
    /// Names of checks before this one that must have ended. Not given: all of them. An empty list: none, so that it runs beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(max = 20), extend("uniqueItems" = true))]
    pub needs: Option<Vec<String>>,
    /// How often it is tried again when it fails. A check that passes in the end is reported as flaky.
    #[serde(default, skip_serializing_if = "Check::is_zero")]
    #[schemars(range(max = 5))]
    pub retries: u8,
    /// Secrets that a script finds in its environment, by the name of the variable. The instance fetches them by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Z][A-Z0-9_]{0,63}$"}, "maxProperties" = 10))]
    pub secrets: BTreeMap<String, Secret>,
    /// How long the command may wait until the instance takes it (`TimeoutSeconds` of `SendCommand`). At least 30s, at most 30d.
    #[serde(default = "Check::default_delivery_timeout")]
    #[schemars(extend("x-at-least" = "30s", "x-at-most" = "30d"))]
    pub delivery_timeout: Span,
    /// How long the script may run (`executionTimeout` of the document); a document of your own is cancelled after it. At most 2d.
    #[schemars(extend("x-at-most" = "2d"))]
    pub timeout: Span,
}

impl Check {
    /// Most times that a failed check is tried again.
    pub const MOST_RETRIES: u8 = 5;

    fn default_delivery_timeout() -> Span {
        Span::from_secs(120)
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_zero(retries: &u8) -> bool {
        *retries == 0
    }

    /// Whether its script is one for PowerShell.
    #[must_use]
    pub fn is_powershell(&self) -> bool {
        let extension = self.script.as_deref().and_then(|path| std::path::Path::new(path).extension());
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("ps1"))
    }

    /// The keys that say what is looked at, and whether they are given.
    #[must_use]
    pub const fn kinds(&self) -> [(&'static str, bool); 9] {
        [
            ("script", self.script.is_some()),
            ("document", self.document.is_some()),
            ("http", self.http.is_some()),
            ("tcp", self.tcp.is_some()),
            ("service", self.service.is_some()),
            ("file", self.file.is_some()),
            ("package", self.package.is_some()),
            ("cloud_init", self.cloud_init.is_some()),
            ("reboot", self.reboot.is_some()),
        ]
    }
}

/// A document of Systems Manager of the type Command, AWS's or one of your own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name; of a document that another account shares, its ARN.
    #[schemars(
        regex(pattern = r"^[a-zA-Z0-9_.:/-]{3,128}$"),
        example = &"AWS-RunPatchBaseline"
    )]
    pub name: String,
    /// Its version. Not given: the default one when the check runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^([1-9][0-9]{0,9}|\$LATEST|\$DEFAULT)$"), example = &"1")]
    pub version: Option<String>,
    /// Its parameters, each a list of texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z0-9_.-]{1,128}$"}, "maxProperties" = 50))]
    pub parameters: BTreeMap<String, Vec<String>>,
}

/// A URL that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The URL, as the instance reaches it.
    #[schemars(
        length(max = 2000),
        regex(pattern = r"^https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+$"),
        example = &"http://127.0.0.1:8080/healthz"
    )]
    pub url: String,
    /// The status of the answer.
    #[serde(default = "Http::default_status")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// A text that the answer's body holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1000))]
    pub contains: Option<String>,
    /// How long it may take until the answer is as it must be.
    #[serde(default = "Http::default_within")]
    pub within: Span,
}

impl Http {
    const fn default_status() -> u16 {
        200
    }

    const fn default_within() -> Span {
        Span::from_secs(60)
    }
}

/// A TCP port that takes connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// The host, as the instance reaches it.
    #[serde(default = "Tcp::default_host")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9.-]{1,253}$"), example = &"127.0.0.1")]
    pub host: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// How long it may take until it takes connections.
    #[serde(default = "Http::default_within")]
    pub within: Span,
}

impl Tcp {
    fn default_host() -> String {
        "127.0.0.1".to_owned()
    }
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit's name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9:_.@\\-]{1,255}$"), example = &"web.service")]
    pub name: String,
    /// Whether it starts at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub enabled: Option<bool>,
    /// Whether it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub running: Option<bool>,
}

/// A file on the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its absolute path.
    #[schemars(regex(pattern = r"^/[^\x00-\x1f]{0,4000}$"), example = &"/opt/web/VERSION")]
    pub path: String,
    /// Whether it is there.
    #[serde(default = "File::default_exists")]
    pub exists: bool,
    /// Its mode in four octal digits, in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[0-7]{4}$"), example = &"0644")]
    pub mode: Option<String>,
    /// The name of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z_][a-z0-9_-]{0,31}$"), example = &"root")]
    pub owner: Option<String>,
    /// A text that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1000))]
    pub contains: Option<String>,
    /// The SHA-256 of its content in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

impl File {
    const fn default_exists() -> bool {
        true
    }
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The package's name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$"), example = &"python3")]
    pub name: String,
    /// Its version, as the package manager prints it, without the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[A-Za-z0-9:.+~_-]{1,100}$"))]
    pub version: Option<String>,
}

/// What is asked of cloud-init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudInit {
    Finished,
}

/// What is asked of a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    ComesBack,
}

/// Where a secret lies. The instance's own role must be allowed to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// ARN of a secret of Secrets Manager. Either this or `parameter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:secretsmanager:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}$"
        )
    )]
    pub secret: Option<String>,
    /// Name of a `SecureString` parameter of Systems Manager. Either this or `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 1011),
        regex(pattern = r"^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
    )]
    pub parameter: Option<String>,
}
