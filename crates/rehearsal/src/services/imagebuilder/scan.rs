//! Vulnerability scans and their findings.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::{invalid, not_found};

/// The maximum page size.
const PAGE: usize = 25;

/// One finding of every scan.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The vulnerability's id, such as `CVE-2026-1001`.
    pub id: String,
    pub severity: Severity,
    /// Whether a version of the package fixes the vulnerability.
    #[serde(default)]
    pub fix: Fix,
    /// The package that has the vulnerability.
    #[serde(default)]
    pub package: Package,
}

/// Amazon Inspector's severities.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Critical,
    High,
    Medium,
    Low,
    Informational,
    Untriaged,
}

/// Whether a fix is available.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    #[default]
    Available,
    Partial,
    None,
}

/// A package of the image.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
}

impl Default for Package {
    fn default() -> Self {
        Self { name: "openssl-libs".to_owned(), version: "3.0.8".to_owned() }
    }
}

impl Severity {
    fn value(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
            Self::Informational => "INFORMATIONAL",
            Self::Untriaged => "UNTRIAGED",
        }
    }
}

impl Fix {
    fn value(self) -> &'static str {
        match self {
            Self::Available => "YES",
            Self::Partial => "PARTIAL",
            Self::None => "NO",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    name: String,
    values: Vec<String>,
}

/// `ListImageScanFindings`: supports one filter with one value. A scan in progress has no findings yet.
pub(super) fn list(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let [Filter { name, values }] = input.filters.as_slice() else {
        return Err(invalid("Exactly one filter is supported here"));
    };
    let ("imageBuildVersionArn", [arn]) = (name.as_str(), values.as_slice()) else {
        return Err(invalid("The filter imageBuildVersionArn with one value is supported here"));
    };
    let image = world.imagebuilder.images.get(arn).ok_or_else(|| not_found(arn))?;
    let complete = image.scanning && image.scan_state(call.now) == "COMPLETED";
    let findings = if complete { world.imagebuilder.options.findings.as_slice() } else { &[] };
    let all: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let Package { name: package, version } = &finding.package;
            json!({
                "awsAccountId": image.account,
                "imageBuildVersionArn": arn,
                "type": "PACKAGE_VULNERABILITY",
                "title": format!("{} - {package}", finding.id),
                "severity": finding.severity.value(),
                "fixAvailable": finding.fix.value(),
                "packageVulnerabilityDetails": {
                    "vulnerabilityId": finding.id,
                    "source": "NVD",
                    "sourceUrl": format!("https://nvd.nist.gov/vuln/detail/{}", finding.id),
                    "vulnerablePackages": [{ "name": package, "version": version, "packageManager": "OS" }],
                },
            })
        })
        .collect();
    let Some((items, next)) = page(all, input.next_token.as_deref(), input.max_results.unwrap_or(PAGE))
    else {
        return Err(ApiError::new("InvalidPaginationTokenException", "The pagination token is not valid"));
    };
    let mut answer = json!({ "findings": items });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}
