//! Errors of the analysis.

use crate::engine::{ErrorClass, ModuleError};
use crate::judge::RulesError;

/// Why an analysis cannot run as the spec says.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    #[error("promote.analysis.judge: {source}")]
    Rules { source: RulesError },
    #[error(
        "promote.analysis.judge names the approval {action}, and the stage {stage} of {pipeline} has no such action"
    )]
    NoApproval { action: String, stage: String, pipeline: String },
}

impl ModuleError for AnalysisError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}
