//! Tokens of every state of a test.

use super::*;
use crate::engine::{FailureKind, Token};
use crate::stage::tokens::{golden, longest_failure, worst};

const INSTANCE: &str = "i-0123456789abcdef0";
const COMMANDS: [&str; 2] = ["5d0c2b1a-0000-4000-8000-000000000001", "5d0c2b1a-0000-4000-8000-000000000002"];

fn soak_result(failure: &str) -> SoakResult {
    let since = Timestamp(1_767_229_200);
    SoakResult::new(since, since, Some(failure))
}

/// One of every state, as in the golden tokens.
fn states() -> Vec<(&'static str, Test)> {
    let instance = || INSTANCE.to_owned();
    let commands = || COMMANDS.map(str::to_owned).to_vec();
    let reason = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    vec![
        ("launching", Test::Launching { subnet: 0 }),
        ("launching_in_the_second_subnet", Test::Launching { subnet: 1 }),
        ("launching_on_demand", Test::LaunchingOnDemand { subnet: 0 }),
        ("booting", Test::Booting { instance: instance(), since }),
        ("sending_checks", Test::SendingChecks { instance: instance(), commands: commands()[..1].to_vec() }),
        ("running_checks", Test::RunningChecks { instance: instance(), commands: commands(), since }),
        ("overdue", Test::Overdue { instance: instance(), commands: commands() }),
        ("cancelling_checks", Test::CancellingChecks { instance: instance(), commands: commands(), since }),
        ("soaking", Test::Soaking { instance: instance(), commands: commands(), since }),
        (
            "terminating",
            Test::Terminating { instance: instance(), commands: commands(), abandoned: true, soak: None },
        ),
        (
            "confirming_termination",
            Test::ConfirmingTermination {
                instance: instance(),
                commands: commands(),
                abandoned: true,
                soak: None,
            },
        ),
        (
            "sealing",
            Test::Sealing { instance: instance(), commands: commands(), abandoned: false, soak: None },
        ),
        (
            "sealing_after_soak",
            Test::Sealing {
                instance: instance(),
                commands: commands(),
                abandoned: false,
                soak: Some(soak_result("hot")),
            },
        ),
        ("undo_finding_instances", Test::UndoFindingInstances { empty_reads: 1, reason: reason() }),
        (
            "undo_terminating",
            Test::UndoTerminating { instance: instance(), empty_reads: 1, reason: reason() },
        ),
        (
            "undo_confirming_termination",
            Test::UndoConfirmingTermination { instance: instance(), reason: reason() },
        ),
    ]
}

#[test]
fn every_state_has_a_golden_token_that_decodes() {
    let states: Vec<(&str, Test)> = states().into_iter().chain(task::tests::states()).collect();
    golden("test", &states);
}

#[test]
fn the_commands_of_20_checks_fit_in_a_token() {
    let commands = vec![COMMANDS[0].to_owned(); 20];
    let soak = || Some(soak_result(&"w".repeat(1000)));
    let since = Timestamp(i64::MIN);
    for (name, state) in states() {
        let instance = INSTANCE.to_owned();
        let commands = commands.clone();
        let grown = match state {
            Test::Launching { .. } => Test::Launching { subnet: u8::MAX },
            Test::LaunchingOnDemand { .. } => Test::LaunchingOnDemand { subnet: u8::MAX },
            Test::Booting { .. } => Test::Booting { instance, since },
            Test::SendingChecks { .. } => Test::SendingChecks { instance, commands },
            Test::RunningChecks { .. } => Test::RunningChecks { instance, commands, since },
            Test::Overdue { .. } => Test::Overdue { instance, commands },
            Test::CancellingChecks { .. } => Test::CancellingChecks { instance, commands, since },
            Test::Soaking { .. } => Test::Soaking { instance, commands, since },
            Test::Terminating { .. } => {
                Test::Terminating { instance, commands, abandoned: false, soak: soak() }
            }
            Test::ConfirmingTermination { .. } => {
                Test::ConfirmingTermination { instance, commands, abandoned: false, soak: soak() }
            }
            Test::Sealing { .. } => Test::Sealing { instance, commands, abandoned: false, soak: soak() },
            Test::UndoFindingInstances { .. } => {
                Test::UndoFindingInstances { empty_reads: u8::MAX, reason: longest_failure() }
            }
            Test::UndoTerminating { .. } => {
                Test::UndoTerminating { instance, empty_reads: u8::MAX, reason: longest_failure() }
            }
            Test::UndoConfirmingTermination { .. } => {
                Test::UndoConfirmingTermination { instance, reason: longest_failure() }
            }
            Test::Task { task } => task::tests::grown(task).into(),
        };
        let length = worst(grown).encode().unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn undo_terminates_the_instance_from_every_state() {
    let reason = Failure::new(FailureKind::JobFailed, "reason");
    for (name, state) in states() {
        let undo = state.clone().undo(reason.clone());
        let expected = match name {
            "launching" | "launching_in_the_second_subnet" | "launching_on_demand" => {
                Test::UndoFindingInstances { empty_reads: 0, reason: reason.clone() }
            }
            "sealing"
            | "sealing_after_soak"
            | "undo_finding_instances"
            | "undo_terminating"
            | "undo_confirming_termination" => state.clone(),
            _ => Test::UndoTerminating { instance: INSTANCE.into(), empty_reads: 0, reason: reason.clone() },
        };
        assert_eq!(undo, expected, "{name}");
        assert_eq!(undo.is_undo(), !name.starts_with("sealing"), "{name}");
        assert_eq!(
            state.is_undo(),
            matches!(name, "undo_finding_instances" | "undo_terminating" | "undo_confirming_termination"),
            "{name}"
        );
    }
}
