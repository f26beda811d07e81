//! Prints the progress and the outcome of a job.

use std::io::Write;

use super::exit::CliError;
use super::say;
use crate::engine::{FailureKind, Outcome, Timestamp};
use crate::telemetry::Event;

/// Prints an event as a line of progress on standard error.
pub fn print_progress(now: Timestamp, stage: &str, event: &Event<'_>) {
    let line = match event {
        Event::SliceYielded { progress, .. } => {
            let first = progress.summary.lines().next().unwrap_or_default();
            format!("{now} {stage}: {:>3} % {first}", progress.percent)
        }
        Event::Claimed { first: true } => format!("{now} {stage}: started"),
        Event::Claimed { first: false } => format!("{now} {stage}: resumed"),
        Event::Ended { .. }
        | Event::ClaimRefused { .. }
        | Event::ResultRefused { .. }
        | Event::UndoStarted { .. }
        | Event::UndoEnded { .. } => return,
    };
    // A closed standard error does not stop the job.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a successful outcome; a failed one becomes the error of the command.
///
/// # Errors
/// The job failed, or standard output cannot be written.
pub fn print_outcome(outcome: Outcome) -> Result<(), CliError> {
    match outcome {
        Outcome::Succeeded { summary, variables, .. } => {
            say(&summary)?;
            for (name, value) in variables {
                say(&format!("  {name} = {value}"))?;
            }
            Ok(())
        }
        Outcome::Failed(failure) => Err(match failure.kind {
            FailureKind::JobFailed | FailureKind::TimedOut => CliError::failed(failure.message, ""),
            FailureKind::ConfigurationError | FailureKind::RevisionOutOfSync => {
                CliError::data(failure.message, "")
            }
            FailureKind::PermissionError => {
                CliError::denied(failure.message, "compare the role with pipeline/roles.yaml")
            }
            FailureKind::RevisionUnavailable | FailureKind::SystemUnavailable => {
                CliError::unavailable(failure.message, "run it again with --resume")
            }
        }),
    }
}
