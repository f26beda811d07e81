//! Predicates: SLSA provenance, in-toto test result and vulnerabilities, our promotion and cleanup, and the SLSA
//! verification summary.
//!
//! `docs/predicates.md` describes our own members and the link that every predicate of the chain has.

mod cleanup;
mod cleanup_plan;
mod promotion;
mod provenance;
mod test_result;
mod verification_summary;
mod vulnerabilities;

use serde::Serialize;

pub use cleanup::{
    Cleanup, ContainerCleanup, ContainerImage, KeptContainer, KeptImage, RemovedImage, SnapshotOutcome,
};
pub use cleanup_plan::{
    CLEANUP_PLAN, CleanupPlan, PlanTarget, PlannedAction, PlannedContainer, PlannedImage,
};
pub use promotion::{
    AlarmReading, AutoScalingGroupChange, Canary, CanaryVerdict, Change, Decision, DecisionAction,
    KayentaScore, Measurement, Preflight, Promotion, PromotionOutcome, Target, Units, Wave, WaveGroup,
};
pub use provenance::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
pub use test_result::{TestOutcome, TestResult};
pub use verification_summary::{VERIFICATION_SUMMARY, VerificationResult, VerificationSummary, Verifier};
pub use vulnerabilities::{ScanMetadata, Scanner, Severity, VULNERABILITIES, Vulnerabilities, Vulnerability};

use super::link::Stage;

/// A predicate of the chain: its type, and the stage that makes it.
pub trait Predicate: Serialize {
    /// The predicate type, a URI.
    const TYPE: &'static str;
    /// The stage.
    const STAGE: Stage;
}

/// The predicate type of a stage.
#[must_use]
pub const fn type_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => Provenance::TYPE,
        Stage::Test => TestResult::TYPE,
        Stage::Promote => Promotion::TYPE,
        Stage::Cleanup => Cleanup::TYPE,
    }
}
