//! What each stage says: SLSA provenance, an in-toto test result, and our own promotion and cleanup.
//!
//! The fields of ours, and of the link every predicate carries, are described in `docs/predicates.md`.

mod cleanup;
mod cleanup_plan;
mod promotion;
mod provenance;
mod test_result;

use serde::Serialize;

pub use cleanup::{
    Cleanup, ContainerCleanup, ContainerImage, KeptContainer, KeptImage, RemovedImage, SnapshotOutcome,
};
pub use cleanup_plan::{Aim, CLEANUP_PLAN, CleanupPlan, PlannedContainer, PlannedImage};
pub use promotion::{
    AlarmReading, AutoScalingGroupChange, Canary, CanaryVerdict, Change, Decision, DecisionAction, KayentaScore,
    Measurement, Preflight, Promotion, PromotionOutcome, Target, Units, Wave, WaveGroup,
};
pub use provenance::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
pub use test_result::{TestOutcome, TestResult};

use super::link::Stage;

/// A kind of predicate: the type its statements name, and the one stage that makes them.
pub trait Predicate: Serialize {
    /// The predicate type, a URI.
    const TYPE: &'static str;
    /// The stage.
    const STAGE: Stage;
}

/// The predicate type of the statements a stage makes.
#[must_use]
pub const fn type_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => Provenance::TYPE,
        Stage::Test => TestResult::TYPE,
        Stage::Promote => Promotion::TYPE,
        Stage::Cleanup => Cleanup::TYPE,
    }
}
