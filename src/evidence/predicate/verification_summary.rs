//! SLSA verification summary v1: the result of verifying a release's statements.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::evidence::resource::ResourceDescriptor;

/// The predicate type. A statement of this type is outside the chain; `bakeline verify` writes it.
pub const VERIFICATION_SUMMARY: &str = "https://slsa.dev/verification_summary/v1";

/// The predicate [`VERIFICATION_SUMMARY`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSummary {
    /// The verifier.
    pub verifier: Verifier,
    /// When it verified the statements.
    #[serde(with = "time::serde::rfc3339")]
    pub time_verified: OffsetDateTime,
    /// The URI of the first subject.
    pub resource_uri: String,
    /// The policy: the trust root, by digest.
    pub policy: ResourceDescriptor,
    /// The statements that were verified, by digest.
    pub input_attestations: Vec<ResourceDescriptor>,
    /// The result.
    pub verification_result: VerificationResult,
    /// How far the release has come, one value; `docs/predicates.md` lists the values.
    pub verified_levels: Vec<String>,
    /// The version of the SLSA specification.
    pub slsa_version: String,
}

/// The verifier of a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verifier {
    /// Its URI.
    pub id: String,
}

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationResult {
    /// The subjects match the policy.
    Passed,
    /// They do not.
    Failed,
}
