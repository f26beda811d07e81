//! Errors of the hand-over between stages.

use crate::artifact::{Origin, PathFault};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::evidence::layout::SPEC;
use crate::evidence::{Stage, StatementError};

/// Why a stage cannot use its input artifact or store its output artifact.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The source artifact lacks a file.
    #[error("{origin} has no file `{path}`, {what}")]
    NoFile {
        /// The source artifact.
        origin: Origin,
        /// The path of the file.
        path: String,
        /// What needs the file.
        what: String,
    },
    /// The action's configuration names a spec that cannot be one.
    #[error(
        "the property `Spec` of the action's configuration is {value:?}, which cannot be a path in the source artifact"
    )]
    SpecProperty {
        /// The property's value.
        value: String,
        /// Why not.
        #[source]
        source: PathFault,
    },
    /// The whole source is in one folder of the artifact.
    #[error(
        "the source artifact has everything in the folder `{folder}`, also `{folder}/{spec}`; zip the content of that \
         folder, not the folder"
    )]
    BelowOneFolder {
        /// The path of the spec, as expected.
        spec: String,
        /// The folder.
        folder: String,
        /// The spec was not found.
        #[source]
        source: Box<crate::engine::StageError>,
    },
    /// A path of the spec is not valid in an artifact.
    #[error("`{path}` cannot be a path in an artifact")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: PathFault,
    },
    /// The spec has another name, and names a file with the name that the spec gets in the artifact.
    #[error(
        "{spec} names the file `{file}`, which has the path of the spec in the artifact; rename that file"
    )]
    SpecPathTaken {
        /// The path of the spec in the source.
        spec: String,
        /// The file.
        file: &'static str,
    },
    /// The input artifact has no spec.
    #[error("the input artifact has no {SPEC}")]
    NoSpec,
    /// The release has no image in a Region, or several.
    #[error("the release has {found} {kind}s in {region}; expected 1")]
    Images {
        /// Their number.
        found: usize,
        /// `machine image` or `container image`.
        kind: &'static str,
        /// The Region.
        region: String,
    },
    /// The test result has unknown members.
    #[error("the input artifact's test result cannot be read")]
    TestResult(#[source] StatementError),
    /// The release did not pass its test.
    #[error("the release did not pass its test; failed checks: {}", failed.join(", "))]
    TestFailed {
        /// The names of the failed checks.
        failed: Vec<String>,
    },
    /// Another action stored an artifact at the output's location.
    #[error("another action already stored an artifact at the location of output {output}")]
    OutputTaken {
        /// The output's name.
        output: String,
    },
    /// The statement of a stage is not valid.
    #[error("the {stage} statement cannot be made")]
    Statement {
        /// The stage.
        stage: Stage,
        /// Why not.
        #[source]
        source: StatementError,
    },
}

impl ModuleError for HandoverError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoFile { .. }
            | Self::BelowOneFolder { .. }
            | Self::SpecProperty { .. }
            | Self::Path { .. }
            | Self::SpecPathTaken { .. }
            | Self::NoSpec => ErrorClass::Config,
            Self::Images { .. }
            | Self::TestResult(_)
            | Self::TestFailed { .. }
            | Self::OutputTaken { .. } => ErrorClass::Rejected,
            Self::Statement { .. } => ErrorClass::Bug,
        }
    }
}
