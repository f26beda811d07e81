//! Errors of the gates.

use crate::aws::AwsError;
use crate::engine::{ErrorClass, ModuleError};

/// Why an image does not pass the gates.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// `differences` names every property that differs.
    #[error("image {image} in {region} does not pass the gate: {differences}")]
    Properties { image: String, region: String, differences: String },
    #[error("the copies {first} and {second} differ in their {property}")]
    CopiesDiffer { first: String, second: String, property: &'static str },
    #[error(
        "image build {build} made a container image; bake.gates.image and bake.content_digest need a machine image"
    )]
    NeedsMachineImage { build: String },
    /// `findings` has the severities that exceed their limits.
    #[error("the scan of image build {build} found {findings}")]
    Findings { build: String, findings: String },
    #[error(
        "image build {build} has no completed vulnerability scan: {reason}; without a scan, no findings does not mean no \
         vulnerabilities"
    )]
    NoScan { build: String, reason: String },
    #[error(
        "the vulnerability scan of image build {build} is {status} {timeout} after the image was available"
    )]
    ScanTimeout { build: String, status: String, timeout: String },
    #[error(
        "{0}: enable Security Hub in this account and region, or remove security_hub from bake.gates.scan.report_to"
    )]
    SecurityHubDisabled(#[source] AwsError),
    /// A stale read: an earlier one found the image.
    #[error("{image} is not found")]
    NotFound { image: String },
}

impl ModuleError for GateError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Properties { .. }
            | Self::CopiesDiffer { .. }
            | Self::NeedsMachineImage { .. }
            | Self::Findings { .. }
            | Self::NoScan { .. }
            | Self::ScanTimeout { .. } => ErrorClass::Rejected,
            Self::SecurityHubDisabled(_) => ErrorClass::Config,
            Self::NotFound { .. } => ErrorClass::NotYet,
        }
    }
}
