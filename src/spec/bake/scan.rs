//! `bake.gates.scan`: limits on the findings of the vulnerability scan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::span::Span;

/// Limits on the findings of the vulnerability scan, by severity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Most findings of each severity. A severity that is not given has no limit.
    pub max_findings: MaxFindings,
    /// Findings that count: all, or those that have a fix (fixable).
    #[serde(default, skip_serializing_if = "Count::is_default")]
    pub count: Count,
    /// Services that the findings are sent to before they are counted. Security Hub must be enabled in the account and region of the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true), length(max = 10))]
    pub report_to: Vec<Sink>,
    /// How long the scan may take once the image is available. At most 1d. Default: 30m.
    #[serde(default = "Scan::default_timeout")]
    #[schemars(extend("x-max" = "1d"))]
    pub timeout: Span,
    /// Findings that an owner accepts until a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub accepted: Vec<AcceptedFinding>,
}

impl Scan {
    const fn default_timeout() -> Span {
        Span::from_secs(30 * 60)
    }

    /// Whether findings without a fix are left out of the count.
    #[must_use]
    pub fn counts_only_fixable(&self) -> bool {
        self.count == Count::Fixable
    }

    /// Whether the findings are sent to Security Hub.
    #[must_use]
    pub fn reports_to_security_hub(&self) -> bool {
        self.report_to.contains(&Sink::SecurityHub)
    }
}

/// Most findings of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct MaxFindings {
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
}

choice! {
    /// Findings that count.
    Count { All, Fixable }
}

/// A service that findings are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline, extend("type" = "string"))]
pub enum Sink {
    SecurityHub,
}

/// A finding that an owner accepts until a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedFinding {
    /// Id of the vulnerability, such as CVE-2026-12345.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9:._-]{2,99}$"), example = &"CVE-2026-12345")]
    pub id: String,
    /// Who accepts the finding.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// Why the finding is accepted.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// Last day, included, on which the finding is accepted: YYYY-MM-DD in UTC, in quotes.
    #[schemars(regex(pattern = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"), example = &"2026-12-31")]
    pub until: String,
}
