//! Tokens of every state of a bake.

use super::super::state::LastProgress;
use super::super::*;
use super::ARN;
use crate::engine::Timestamp;
use crate::engine::{FailureKind, Token};
use crate::evidence::Sha256;
use crate::stage::content::Position;
use crate::stage::tokens::{golden, longest_failure, worst};

/// One of every state, as in the golden tokens.
fn states() -> Vec<(&'static str, Bake)> {
    let image = || ARN.to_owned();
    let reason = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    vec![
        ("starting_pipeline", Bake::StartingPipeline),
        ("resolving_parent", Bake::ResolvingParent),
        ("creating_components", Bake::CreatingComponents { parent: "ami-0123456789abcdef0".into(), done: 1 }),
        ("creating_recipe", Bake::CreatingRecipe { parent: "ami-0123456789abcdef0".into() }),
        ("starting_build", Bake::StartingBuild { parent: "ami-0123456789abcdef0".into() }),
        ("building", Bake::Building { image: image(), last_progress: None, retries: 0 }),
        (
            "building_with_progress",
            Bake::Building {
                image: image(),
                last_progress: Some(LastProgress { fingerprint: 7, since }),
                retries: 1,
            },
        ),
        ("retrying", Bake::Retrying { image: image(), retries: 1 }),
        ("confirming", Bake::Confirming { image: image(), seen: 2 }),
        ("checking_gates", Bake::CheckingGates { image: image(), since }),
        ("reporting_findings", Bake::ReportingFindings { image: image(), since, done: 2 }),
        ("tagging", Bake::Tagging { image: image(), done: 1, content: None }),
        ("publishing", Bake::Publishing { image: image(), content: None }),
        ("confirming_parameter", Bake::ConfirmingParameter { image: image(), since, content: None }),
        ("reading_content", Bake::ReadingContent { image: image(), copy: 0, position: None, content: None }),
        (
            "reading_content_from_a_position",
            Bake::ReadingContent {
                image: image(),
                copy: 1,
                position: Some(Position { volume: 1, next: 4096, ..Position::default() }),
                content: Some(Sha256::of(b"content")),
            },
        ),
        ("sealing", Bake::Sealing { image: image(), content: None }),
        ("sealing_with_content", Bake::Sealing { image: image(), content: Some(Sha256::of(b"content")) }),
        ("undo_finding_build", Bake::UndoFindingBuild { empty_reads: 1, parent: None, reason: reason() }),
        (
            "undo_removing_images",
            Bake::UndoRemovingImages { image: image(), empty_reads: 1, removed: 2, reason: reason() },
        ),
        ("undo_cancelling", Bake::UndoCancelling { image: image(), reason: reason() }),
        (
            "undo_confirming_cancellation",
            Bake::UndoConfirmingCancellation { image: image(), reason: reason() },
        ),
        ("undo_keeping_images", Bake::UndoKeepingImages { image: image(), reason: reason() }),
    ]
}

#[test]
fn every_state_has_a_golden_token_that_decodes() {
    golden("bake", &states());
}

#[test]
fn the_longest_names_fit_in_a_token() {
    // Image Builder names have at most 128 characters, version parts are below 2^30.
    let image = format!(
        "arn:aws-us-gov:imagebuilder:ap-southeast-10:123456789012:image/{}/1073741823.1073741823.1073741823/1073741823",
        "n".repeat(128)
    );
    // The spec allows 300 characters for a container's parent image; the digest follows them.
    let parent = format!("{}@sha256:{}", "p".repeat(300), Sha256::of(b"parent"));
    let content = || Some(Sha256::of(b"content"));
    let grow = |state: Bake| match state {
        Bake::StartingPipeline => Bake::StartingPipeline,
        Bake::ResolvingParent => Bake::ResolvingParent,
        Bake::CreatingComponents { .. } => {
            Bake::CreatingComponents { parent: parent.clone(), done: u16::MAX }
        }
        Bake::CreatingRecipe { .. } => Bake::CreatingRecipe { parent: parent.clone() },
        Bake::StartingBuild { .. } => Bake::StartingBuild { parent: parent.clone() },
        Bake::Building { .. } => Bake::Building {
            image: image.clone(),
            last_progress: Some(LastProgress { fingerprint: u32::MAX, since: Timestamp(i64::MIN) }),
            retries: u8::MAX,
        },
        Bake::Retrying { .. } => Bake::Retrying { image: image.clone(), retries: u8::MAX },
        Bake::CheckingGates { .. } => {
            Bake::CheckingGates { image: image.clone(), since: Timestamp(i64::MIN) }
        }
        Bake::ReportingFindings { .. } => {
            Bake::ReportingFindings { image: image.clone(), since: Timestamp(i64::MIN), done: u16::MAX }
        }
        Bake::Confirming { .. } => Bake::Confirming { image: image.clone(), seen: u8::MAX },
        Bake::ReadingContent { .. } => Bake::ReadingContent {
            image: image.clone(),
            copy: u16::MAX,
            position: Some(Position { volume: u16::MAX, next: u32::MAX, ..Position::default() }),
            content: content(),
        },
        Bake::Tagging { .. } => Bake::Tagging { image: image.clone(), done: u16::MAX, content: content() },
        Bake::Publishing { .. } => Bake::Publishing { image: image.clone(), content: content() },
        Bake::ConfirmingParameter { .. } => {
            Bake::ConfirmingParameter { image: image.clone(), since: Timestamp(i64::MIN), content: content() }
        }
        Bake::Sealing { .. } => Bake::Sealing { image: image.clone(), content: content() },
        Bake::UndoFindingBuild { .. } => Bake::UndoFindingBuild {
            empty_reads: u8::MAX,
            parent: Some(parent.clone()),
            reason: longest_failure(),
        },
        Bake::UndoRemovingImages { .. } => Bake::UndoRemovingImages {
            image: image.clone(),
            empty_reads: u8::MAX,
            removed: u16::MAX,
            reason: longest_failure(),
        },
        Bake::UndoCancelling { .. } => {
            Bake::UndoCancelling { image: image.clone(), reason: longest_failure() }
        }
        Bake::UndoConfirmingCancellation { .. } => {
            Bake::UndoConfirmingCancellation { image: image.clone(), reason: longest_failure() }
        }
        Bake::UndoKeepingImages { .. } => {
            Bake::UndoKeepingImages { image: image.clone(), reason: longest_failure() }
        }
    };
    for (name, state) in states() {
        let length = worst(grow(state)).encode().unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn undo_cancels_a_running_build_and_keeps_a_published_image() {
    let reason = Failure::new(FailureKind::JobFailed, "reason");
    for (name, state) in states() {
        let undo = state.clone().undo(reason.clone());
        let expected = match name {
            "starting_pipeline" | "resolving_parent" | "creating_components" | "creating_recipe" => {
                Bake::UndoFindingBuild { empty_reads: 0, parent: None, reason: reason.clone() }
            }
            "starting_build" => {
                let parent = Some("ami-0123456789abcdef0".into());
                Bake::UndoFindingBuild { empty_reads: 0, parent, reason: reason.clone() }
            }
            "building" | "building_with_progress" | "retrying" => {
                Bake::UndoCancelling { image: ARN.into(), reason: reason.clone() }
            }
            "confirming"
            | "checking_gates"
            | "reporting_findings"
            | "reading_content"
            | "reading_content_from_a_position"
            | "tagging" => Bake::UndoRemovingImages {
                image: ARN.into(),
                empty_reads: 0,
                removed: 0,
                reason: reason.clone(),
            },
            "publishing" | "confirming_parameter" | "sealing" | "sealing_with_content" => {
                Bake::UndoKeepingImages { image: ARN.into(), reason: reason.clone() }
            }
            _ => state.clone(),
        };
        assert_eq!(undo, expected, "{name}");
        assert!(undo.is_undo(), "{name}");
        assert_eq!(state.is_undo(), undo == state, "{name}");
    }
}
