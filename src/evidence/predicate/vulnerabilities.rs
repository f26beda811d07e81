//! in-toto vulnerabilities v0.2: the findings of a vulnerability scan.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// The predicate type. A statement of this type is outside the chain; the bake's statement lists its file.
pub const VULNERABILITIES: &str = "https://in-toto.io/attestation/vulns/v0.2";

/// The predicate [`VULNERABILITIES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vulnerabilities {
    /// The scanner and its findings.
    pub scanner: Scanner,
    /// The times of the scan.
    pub metadata: ScanMetadata,
}

/// A vulnerability scanner and its findings.
///
/// The member `db` is left out: Amazon Inspector publishes no version of its vulnerability database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanner {
    /// The URI of the scanner.
    pub uri: String,
    /// The findings; empty if there are none.
    pub result: Vec<Vulnerability>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vulnerability {
    /// The vulnerability's id, such as CVE-2026-12345.
    pub id: String,
    /// The severities, by method.
    pub severity: Vec<Severity>,
    /// Further members: JSON objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Value>,
}

/// The severity of a finding by one method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Severity {
    /// The method, for example `inspector`.
    pub method: String,
    /// The score of the method, for example `CRITICAL`.
    pub score: String,
}

/// The times of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanMetadata {
    /// The scan did not start before this moment.
    #[serde(with = "time::serde::rfc3339")]
    pub scan_started_on: OffsetDateTime,
    /// The scan had finished by this moment.
    #[serde(with = "time::serde::rfc3339")]
    pub scan_finished_on: OffsetDateTime,
}
