//! `bakeline verify --summary`: a SLSA verification summary of the release.

use std::path::Path;

use time::OffsetDateTime;

use super::report;
use crate::cli::exit::CliError;
use crate::digest::Sha256;
use crate::evidence::predicate::{VERIFICATION_SUMMARY, VerificationResult, VerificationSummary, Verifier};
use crate::evidence::{Chain, ResourceDescriptor, Signer, Stage, Statement, seal};

/// The URI of bakeline as a verifier.
const VERIFIER: &str = "https://bakeline.dev/verifier/v1";
/// The URI of the policy that a trust root and the rules of the chain make.
const POLICY: &str = "https://bakeline.dev/policy/trust-root/v1";

/// The summary of a verified chain. `trust` is the text of the trust root.
///
/// # Errors
/// The chain has no subject with a URI.
pub fn statement(chain: &Chain, trust: &str, now: OffsetDateTime) -> Result<Statement, CliError> {
    let subjects = chain.first().statement.subject();
    let uri = subjects.iter().find_map(|subject| subject.uri.clone());
    let predicate = VerificationSummary {
        verifier: Verifier { id: VERIFIER.to_owned() },
        time_verified: now,
        resource_uri: uri.ok_or_else(|| CliError::failed("no subject of the release has a URI", ""))?,
        policy: ResourceDescriptor::at_with_digest(POLICY, &Sha256::of(trust.as_bytes())),
        input_attestations: chain
            .links()
            .map(|verified| ResourceDescriptor::at_with_digest(verified.path(), &verified.digest))
            .collect(),
        verification_result: VerificationResult::Passed,
        verified_levels: vec![level(chain).to_owned()],
        slsa_version: "1.0".to_owned(),
    };
    Statement::standalone(subjects.to_vec(), VERIFICATION_SUMMARY, &predicate)
        .map_err(|error| CliError::bug("the verification summary cannot be made").caused_by(&error))
}

/// How far a release has come.
fn level(chain: &Chain) -> &'static str {
    let result = |stage| Some(report::result(stage, chain.stage(stage)?.statement.predicate()));
    let tested = matches!(result(Stage::Test).as_deref(), Some("passed" | "warned"));
    match result(Stage::Promote).as_deref() {
        Some("promoted") if tested => "BAKELINE_PROMOTED",
        _ if tested => "BAKELINE_TESTED",
        _ => "BAKELINE_BAKED",
    }
}

/// Writes the summary: as a signed envelope, or without a signer as a plain statement.
///
/// # Errors
/// Signing fails, or the file cannot be written.
pub async fn write(path: &Path, statement: &Statement, signer: Option<&Signer>) -> Result<(), CliError> {
    let bytes = match signer {
        Some(signer) => {
            let sealed = seal(statement, signer).await;
            let sealed = sealed.map_err(|error| {
                CliError::unavailable("the verification summary cannot be signed", "").caused_by(&error)
            })?;
            sealed.encode()
        }
        None => serde_json::to_vec_pretty(statement).map_err(|error| {
            CliError::bug("the verification summary cannot be written as JSON").caused_by(&error)
        })?,
    };
    std::fs::write(path, bytes).map_err(|error| {
        let message = format!("cannot write the verification summary `{}`", path.display());
        CliError::unavailable(message, "check --summary").caused_by(&error)
    })
}
