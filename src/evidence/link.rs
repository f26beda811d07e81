//! A statement's place in the chain of one release: `bakeline_chain`, a field of every predicate.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::digest::Sha256;

/// The predicate's field that holds the [`Link`].
pub const FIELD: &str = "bakeline_chain";

/// The folder of an artifact in which the statements lie.
pub const STATEMENTS: &str = "statements/";

/// The four stages, in the order in which a release passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The image was built.
    Bake,
    /// The image ran in staging and was checked.
    Test,
    /// The image went to production, or was rolled back.
    Promote,
    /// Images no longer needed were removed.
    Cleanup,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 4] = [Self::Bake, Self::Test, Self::Promote, Self::Cleanup];

    /// The stage's place in the chain, from 1.
    #[must_use]
    pub const fn sequence(self) -> u32 {
        match self {
            Self::Bake => 1,
            Self::Test => 2,
            Self::Promote => 3,
            Self::Cleanup => 4,
        }
    }

    /// Where the stage's statement lies in an artifact.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Bake => "statements/1-bake.dsse.json",
            Self::Test => "statements/2-test.dsse.json",
            Self::Promote => "statements/3-promote.dsse.json",
            Self::Cleanup => "statements/4-cleanup.dsse.json",
        }
    }

    /// The stage's name, as written in statements, trust roots and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bake => "bake",
            Self::Test => "test",
            Self::Promote => "promote",
            Self::Cleanup => "cleanup",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What ties a statement to its release, its stage and the statement before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The pipeline, by ARN.
    pub pipeline_arn: String,
    /// The pipeline execution in which the stage ran.
    pub execution_id: String,
    /// The action execution that made the statement; no other statement of a chain may name the same.
    pub action_execution_id: String,
    /// The stage.
    pub stage: Stage,
    /// [`Stage::sequence`] of the stage, 1 to 4.
    pub sequence: u32,
    /// SHA-256 of the file of the statement before, every byte of it; none for the first.
    pub previous: Option<Sha256>,
    /// When the statement was signed.
    #[serde(with = "time::serde::rfc3339")]
    pub issued: OffsetDateTime,
    /// From when on the statement is no longer acted on.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
    /// Every file of the artifact beside the statements, by path.
    pub files: BTreeMap<String, Sha256>,
    /// SHA-256 of the source artifact the release was made from; later stages repeat it.
    pub source: Option<Sha256>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_the_path_and_the_name_of_a_stage_agree() {
        for (stage, sequence) in Stage::ALL.into_iter().zip(1..) {
            assert_eq!(stage.sequence(), sequence);
            assert_eq!(stage.path(), format!("{STATEMENTS}{sequence}-{stage}.dsse.json"));
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
