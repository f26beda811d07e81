//! The bake's resting places as tokens.

use super::super::*;
use super::ARN;
use crate::engine::{FailureKind, Token};
use crate::evidence::Sha256;
use crate::stage::tokens::{golden, longest_failure, worst};

/// One of every resting place, as the golden tokens hold them.
fn states() -> Vec<(&'static str, Bake)> {
    let image = || ARN.to_owned();
    let why = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    vec![
        ("start", Bake::Start),
        ("resolving", Bake::Resolving),
        ("declaring", Bake::Declaring { parent: "ami-0123456789abcdef0".into(), done: 1 }),
        ("composing", Bake::Composing { parent: "ami-0123456789abcdef0".into() }),
        ("starting", Bake::Starting { parent: "ami-0123456789abcdef0".into() }),
        ("building", Bake::Building { image: image(), watch: None, retries: 0 }),
        ("building_on", Bake::Building { image: image(), watch: Some(Watch { mark: 7, since }), retries: 1 }),
        ("retrying", Bake::Retrying { image: image(), retries: 1 }),
        ("confirming", Bake::Confirming { image: image(), seen: 2 }),
        ("inspecting", Bake::Inspecting { image: image(), since }),
        ("telling", Bake::ReportingFindings { image: image(), since, done: 2 }),
        ("tagging", Bake::Tagging { image: image(), done: 1, content: None }),
        ("publishing", Bake::Publishing { image: image(), content: None }),
        ("validating", Bake::Validating { image: image(), since, content: None }),
        ("reading", Bake::Reading { image: image(), copy: 0, position: None, content: None }),
        (
            "reading_on",
            Bake::Reading {
                image: image(),
                copy: 1,
                position: Some(Position { volume: 1, next: 4096, ..Position::default() }),
                content: Some(Sha256::of(b"content")),
            },
        ),
        ("sealing", Bake::Sealing { image: image(), content: None }),
        ("sealing_content", Bake::Sealing { image: image(), content: Some(Sha256::of(b"content")) }),
        ("recalling", Bake::Recalling { looks: 1, parent: None, why: why() }),
        ("removing", Bake::Removing { image: image(), looks: 1, gone: 2, why: why() }),
        ("cancelling", Bake::Cancelling { image: image(), why: why() }),
        ("stopping", Bake::Stopping { image: image(), why: why() }),
        ("leaving", Bake::Leaving { image: image(), why: why() }),
    ]
}

#[test]
fn every_released_token_is_read_for_ever_and_every_state_has_one() {
    golden("bake", &states());
}

#[test]
fn no_name_is_long_enough_to_burst_a_token() {
    // Image Builder names have at most 128 characters, version parts are below 2^30.
    let image = format!(
        "arn:aws-us-gov:imagebuilder:ap-southeast-10:123456789012:image/{}/1073741823.1073741823.1073741823/1073741823",
        "n".repeat(128)
    );
    // The spec gives a container's parent image 300 characters, and its digest comes after.
    let parent = format!("{}@sha256:{}", "p".repeat(300), Sha256::of(b"parent"));
    let content = || Some(Sha256::of(b"content"));
    let grow = |state: Bake| match state {
        Bake::Start => Bake::Start,
        Bake::Resolving => Bake::Resolving,
        Bake::Declaring { .. } => Bake::Declaring { parent: parent.clone(), done: u16::MAX },
        Bake::Composing { .. } => Bake::Composing { parent: parent.clone() },
        Bake::Starting { .. } => Bake::Starting { parent: parent.clone() },
        Bake::Building { .. } => Bake::Building {
            image: image.clone(),
            watch: Some(Watch { mark: u32::MAX, since: Timestamp(i64::MIN) }),
            retries: u8::MAX,
        },
        Bake::Retrying { .. } => Bake::Retrying { image: image.clone(), retries: u8::MAX },
        Bake::Inspecting { .. } => Bake::Inspecting { image: image.clone(), since: Timestamp(i64::MIN) },
        Bake::ReportingFindings { .. } => {
            Bake::ReportingFindings { image: image.clone(), since: Timestamp(i64::MIN), done: u16::MAX }
        }
        Bake::Confirming { .. } => Bake::Confirming { image: image.clone(), seen: u8::MAX },
        Bake::Reading { .. } => Bake::Reading {
            image: image.clone(),
            copy: u16::MAX,
            position: Some(Position { volume: u16::MAX, next: u32::MAX, ..Position::default() }),
            content: content(),
        },
        Bake::Tagging { .. } => Bake::Tagging { image: image.clone(), done: u16::MAX, content: content() },
        Bake::Publishing { .. } => Bake::Publishing { image: image.clone(), content: content() },
        Bake::Validating { .. } => {
            Bake::Validating { image: image.clone(), since: Timestamp(i64::MIN), content: content() }
        }
        Bake::Sealing { .. } => Bake::Sealing { image: image.clone(), content: content() },
        Bake::Recalling { .. } => {
            Bake::Recalling { looks: u8::MAX, parent: Some(parent.clone()), why: longest_failure() }
        }
        Bake::Removing { .. } => {
            Bake::Removing { image: image.clone(), looks: u8::MAX, gone: u16::MAX, why: longest_failure() }
        }
        Bake::Cancelling { .. } => Bake::Cancelling { image: image.clone(), why: longest_failure() },
        Bake::Stopping { .. } => Bake::Stopping { image: image.clone(), why: longest_failure() },
        Bake::Leaving { .. } => Bake::Leaving { image: image.clone(), why: longest_failure() },
    };
    for (name, state) in states() {
        let length = worst(grow(state)).encode().unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn unwinding_cancels_a_build_under_way_and_leaves_one_that_is_spoken_for() {
    let why = Failure::new(FailureKind::JobFailed, "why");
    for (name, state) in states() {
        let unwound = state.clone().unwind(why.clone());
        let expected = match name {
            "start" | "resolving" | "declaring" | "composing" => {
                Bake::Recalling { looks: 0, parent: None, why: why.clone() }
            }
            "starting" => {
                let parent = Some("ami-0123456789abcdef0".into());
                Bake::Recalling { looks: 0, parent, why: why.clone() }
            }
            "building" | "building_on" | "retrying" => {
                Bake::Cancelling { image: ARN.into(), why: why.clone() }
            }
            "confirming" | "inspecting" | "telling" | "reading" | "reading_on" | "tagging" => {
                Bake::Removing { image: ARN.into(), looks: 0, gone: 0, why: why.clone() }
            }
            "publishing" | "validating" | "sealing" | "sealing_content" => {
                Bake::Leaving { image: ARN.into(), why: why.clone() }
            }
            _ => state.clone(),
        };
        assert_eq!(unwound, expected, "{name}");
        assert!(unwound.is_unwinding(), "{name}");
        assert_eq!(state.is_unwinding(), unwound == state, "{name}");
    }
}
