//! A check of the `test` section: its kind, its order and its timeouts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::{
    CloudInit, Document, File, Http, Package, Reboot, Script, SystemdUnit, Tcp, default_delivery_timeout,
};
use crate::spec::names::NAME;
use crate::spec::one_of::one_of;
use crate::spec::span::Span;

/// A check of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&Check::KINDS)))]
pub struct Check {
    /// Name of the check in reports, unique in the spec: 1 to 64 of a-z, 0-9 and `-`, with no `-` at either end.
    #[schemars(length(max = 64), regex(pattern = NAME), example = &"serves")]
    pub name: String,
    /// Script that runs on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Script")]
    pub script: Option<Script>,
    /// Systems Manager document that runs on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Document")]
    pub document: Option<Document>,
    /// HTTP request that the instance sends, or that the worker sends to a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Http")]
    pub http: Option<Http>,
    /// TCP port that the instance connects to, or that the worker connects to on a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tcp")]
    pub tcp: Option<Tcp>,
    /// systemd unit on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SystemdUnit")]
    pub systemd_unit: Option<SystemdUnit>,
    /// File on the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "File")]
    pub file: Option<File>,
    /// Package that is installed on the instance, by rpm or dpkg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Package")]
    pub package: Option<Package>,
    /// cloud-init has finished without an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CloudInit")]
    pub cloud_init: Option<CloudInit>,
    /// The instance reboots and comes back. Later checks see the rebooted instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reboot")]
    pub reboot: Option<Reboot>,
    /// Names of earlier checks that must end before this one starts. Default: all of them. An empty list: none, the check runs beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(max = 20), extend("uniqueItems" = true))]
    pub needs: Option<Vec<String>>,
    /// Number of retries after a failure. A check that passes on a retry is reported as flaky. Default: 0.
    #[serde(default, skip_serializing_if = "Check::is_zero")]
    #[schemars(range(max = 5))]
    pub retries: u8,
    /// How long the check may take, without its delivery to the instance. At most 2d. Default: 1m for http, tcp, `systemd_unit`, file and package, 5m for script and `cloud_init`, 10m for reboot, 15m for document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-max" = "2d"))]
    pub timeout: Option<Span>,
}

impl Check {
    /// Most retries after a failure.
    pub const MAX_RETRIES: u8 = 5;

    /// The keys of which a check has exactly one.
    pub const KINDS: [&str; 9] =
        ["script", "document", "http", "tcp", "systemd_unit", "file", "package", "cloud_init", "reboot"];

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_zero(retries: &u8) -> bool {
        *retries == 0
    }

    /// How long the check may take: its `timeout`, or the default of its kind.
    #[must_use]
    pub fn timeout(&self) -> Span {
        const MINUTE: u32 = 60;
        let default = if self.document.is_some() {
            15
        } else if self.reboot.is_some() {
            10
        } else if self.script.is_some() || self.cloud_init.is_some() {
            5
        } else {
            1
        };
        self.timeout.unwrap_or(Span::from_secs(default * MINUTE))
    }

    /// How long Systems Manager may take to deliver the check's command.
    #[must_use]
    pub fn delivery_timeout(&self) -> Span {
        let script = self.script.as_ref().map(|script| script.delivery_timeout);
        let document = self.document.as_ref().map(|document| document.delivery_timeout);
        script.or(document).unwrap_or(default_delivery_timeout())
    }

    /// Whether the check is a PowerShell script.
    #[must_use]
    pub fn is_powershell(&self) -> bool {
        self.script.as_ref().is_some_and(Script::is_powershell)
    }

    /// The kinds that are given: exactly one, unless the spec is wrong.
    #[must_use]
    pub fn kinds(&self) -> Vec<&'static str> {
        let given = [
            self.script.is_some(),
            self.document.is_some(),
            self.http.is_some(),
            self.tcp.is_some(),
            self.systemd_unit.is_some(),
            self.file.is_some(),
            self.package.is_some(),
            self.cloud_init.is_some(),
            self.reboot.is_some(),
        ];
        Self::KINDS.into_iter().zip(given).filter_map(|(kind, given)| given.then_some(kind)).collect()
    }
}
