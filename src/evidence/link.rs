//! A statement's position in the chain of one release: `bakeline_chain`, a member of every predicate.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::digest_set;
use crate::digest::Sha256;

/// The predicate's member that holds the [`Link`].
pub const FIELD: &str = "bakeline_chain";

/// The four stages, in the order in which a release passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Builds the image.
    Bake,
    /// Starts the image and checks it.
    Test,
    /// Replaces the image that production runs, or rolls back.
    Promote,
    /// Removes images that nothing needs.
    Cleanup,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 4] = [Self::Bake, Self::Test, Self::Promote, Self::Cleanup];

    /// The stage's number among [`Stage::ALL`], from 1.
    #[must_use]
    pub const fn ordinal(self) -> u32 {
        match self {
            Self::Bake => 1,
            Self::Test => 2,
            Self::Promote => 3,
            Self::Cleanup => 4,
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

/// A CI system whose runs make statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum System {
    /// AWS CodePipeline: a run is a pipeline execution, an attempt an action execution.
    #[serde(rename = "aws.codepipeline")]
    CodePipeline,
}

/// The run that made a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The CI system.
    pub system: System,
    /// The pipeline, by ARN.
    pub pipeline: String,
    /// The pipeline execution.
    pub run_id: String,
    /// The action execution; no other statement of a chain may name the same.
    pub attempt_id: String,
}

/// What ties a statement to its release, its stage and the statement before it.
///
/// A reader ignores members that it does not know, so a later version may add one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The run that made the statement.
    pub run: Run,
    /// The service of the release, as its spec names it.
    pub service: String,
    /// The stage.
    pub stage: Stage,
    /// The statement's position in the chain, from 1.
    pub position: u32,
    /// SHA-256 of the file of the statement before, every byte of it; none for the first.
    #[serde(default, with = "digest_set::option", skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256>,
    /// When the statement was signed.
    #[serde(with = "time::serde::rfc3339")]
    pub issued_on: OffsetDateTime,
    /// From this moment on no stage acts on the statement. What it says about its subjects stays true.
    #[serde(with = "time::serde::rfc3339")]
    pub hand_over_expires_on: OffsetDateTime,
    /// Every file of the artifact beside the statements, by path.
    #[serde(default, with = "digest_set::files")]
    pub files: BTreeMap<String, Sha256>,
    /// SHA-256 of the source artifact that the release was made from; later stages repeat it.
    #[serde(default, with = "digest_set::option", skip_serializing_if = "Option::is_none")]
    pub source: Option<Sha256>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_number_and_the_name_of_a_stage_agree_with_their_order() {
        for (stage, number) in Stage::ALL.into_iter().zip(1..) {
            assert_eq!(stage.ordinal(), number);
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }

    fn written() -> serde_json::Value {
        let digest = Sha256::of(b"").to_string();
        json!({
            "run": { "system": "aws.codepipeline", "pipeline": "arn", "runId": "r", "attemptId": "a" },
            "service": "web",
            "stage": "test",
            "position": 2,
            "previous": { "sha256": digest },
            "issuedOn": "2026-11-02T12:00:00Z",
            "handOverExpiresOn": "2026-11-09T12:00:00Z",
            "files": [{ "name": "source/bakeline.yaml", "digest": { "sha256": digest } }],
            "source": { "sha256": digest },
        })
    }

    #[test]
    fn a_link_is_written_as_it_was_read() {
        let link: Link = serde_json::from_value(written()).unwrap();
        assert_eq!(link.files["source/bakeline.yaml"], Sha256::of(b""));
        assert_eq!(serde_json::to_value(link).unwrap(), written());
    }

    #[test]
    fn members_and_algorithms_that_are_not_known_are_ignored() {
        let mut later = written();
        later["part"] = "eu".into();
        later["previous"]["sha512"] = "00".into();
        later["files"][0]["mediaType"] = "text/yaml".into();
        let link: Link = serde_json::from_value(later).unwrap();
        assert_eq!(serde_json::to_value(link).unwrap(), written());
    }

    #[test]
    fn absent_members_mean_the_same_as_empty_ones() {
        let mut short = written();
        for member in ["previous", "files", "source"] {
            short.as_object_mut().unwrap().shift_remove(member);
        }
        let link: Link = serde_json::from_value(short).unwrap();
        assert_eq!((link.previous, link.source, link.files.len()), (None, None, 0));
    }

    #[test]
    fn a_link_that_cannot_be_matched_is_refused() {
        for (pointer, value) in [
            ("/run/system", json!("another.system")),
            ("/previous", json!({ "sha512": "00" })),
            ("/previous/sha256", json!("00")),
            ("/files/1", json!({ "name": "source/bakeline.yaml", "digest": { "sha256": Sha256::of(b"x") } })),
            ("/stage", json!("deploy")),
            ("/service", json!(null)),
        ] {
            let mut wrong = written();
            if pointer == "/files/1" {
                wrong["files"].as_array_mut().unwrap().push(value);
            } else {
                *wrong.pointer_mut(pointer).unwrap() = value;
            }
            assert!(serde_json::from_value::<Link>(wrong).is_err(), "{pointer}");
        }
    }
}
