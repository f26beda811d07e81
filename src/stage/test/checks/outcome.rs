//! The state and the outcome of a check's command. Pure.

use std::time::Duration;

use crate::spec::Check;

/// How long after a deadline of Systems Manager the stage cancels a command itself.
pub const GRACE: Duration = Duration::from_mins(1);

/// Last lines of a failed check's output in the failure message.
const QUOTED_LINES: usize = 5;

/// Max characters of those lines.
const QUOTED_CHARS: usize = 400;

/// A command on the instance, as `GetCommandInvocation` reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    pub status: String,
    /// `StatusDetails`: also says which deadline a command missed.
    pub details: String,
    /// `ResponseCode`: the exit code; -1 if there is none yet.
    pub exit_code: i32,
    /// Standard output: the first 24,000 characters, or the end of all of it.
    pub stdout: String,
    /// Standard error: the first 8,000 characters, or the end of all of it.
    pub stderr: String,
    /// URL in S3 of all of the standard output; empty if there is none.
    pub stdout_url: String,
    /// URL in S3 of all of the standard error; empty if there is none.
    pub stderr_url: String,
    /// `ExecutionElapsedTime`, an ISO 8601 duration.
    pub elapsed: String,
}

/// The deadlines of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From sending the command until the instance receives it.
    pub delivery: Duration,
    /// From then until the script ends.
    pub execution: Duration,
}

impl Deadlines {
    /// The deadlines of a check.
    #[must_use]
    pub fn of(check: &Check) -> Self {
        Self { delivery: check.delivery_timeout().as_duration(), execution: check.timeout().as_duration() }
    }
}

/// The state of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// It is sent or running; its status.
    Running(String),
    /// It has ended; [`outcome`] says how.
    Ended,
    /// It missed the deadlines of Systems Manager and has not ended.
    Overdue,
}

/// The state of a command sent `elapsed` ago; none: Systems Manager does not list it yet.
#[must_use]
pub fn command_state(
    invocation: Option<&Invocation>,
    elapsed: Duration,
    deadlines: Deadlines,
) -> CommandState {
    let status = invocation.map_or("sent", |invocation| invocation.status.as_str());
    if is_terminal(status) {
        return CommandState::Ended;
    }
    let undelivered = matches!(status, "sent" | "Pending" | "Delayed");
    let execution = if undelivered { Duration::ZERO } else { deadlines.execution };
    if elapsed > deadlines.delivery.saturating_add(execution).saturating_add(GRACE) {
        return CommandState::Overdue;
    }
    CommandState::Running(status.to_lowercase())
}

/// Whether a command's status is final.
#[must_use]
pub fn is_terminal(status: &str) -> bool {
    matches!(status, "Success" | "Failed" | "TimedOut" | "Cancelled")
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    Passed,
    /// Why it failed.
    Failed(String),
    /// It was not run: the instance stopped answering before.
    NotRun,
}

/// The outcome of a command that has ended or was abandoned.
#[must_use]
pub fn outcome(invocation: &Invocation, deadlines: Deadlines) -> CheckOutcome {
    let details = compact(&invocation.details);
    CheckOutcome::Failed(match (invocation.status.as_str(), details.as_str()) {
        ("Success", _) if invocation.exit_code == 0 => return CheckOutcome::Passed,
        (_, "deliverytimedout") => {
            format!("the instance did not receive the command within {} s", deadlines.delivery.as_secs())
        }
        (_, "executiontimedout") | ("TimedOut", _) => {
            format!("the script ran longer than {} s", deadlines.execution.as_secs())
        }
        ("Success" | "Failed", "" | "success" | "failed") => format!("exit code {}", invocation.exit_code),
        (status, _) if !is_terminal(status) => {
            format!("the command did not end and was abandoned while {status}")
        }
        (status, _) => format!("the command ended {status} ({})", invocation.details),
    })
}

/// Whether the instance answered this command. If not, it will not answer the next one either.
#[must_use]
pub fn instance_answered(invocation: &Invocation) -> bool {
    let details = compact(&invocation.details);
    is_terminal(&invocation.status)
        && !matches!(
            details.as_str(),
            "deliverytimedout" | "undeliverable" | "terminated" | "invalidplatform" | "accessdenied"
        )
}

/// `StatusDetails` in lower case without spaces: the reference writes it with spaces, the service without.
fn compact(details: &str) -> String {
    details.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

/// The last lines of standard error, or of standard output if it is empty, for a message.
#[must_use]
pub fn last_lines(stdout: &str, stderr: &str) -> String {
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let joined = lines.get(lines.len().saturating_sub(QUOTED_LINES)..).unwrap_or_default().join(" | ");
    let surplus = joined.chars().count().saturating_sub(QUOTED_CHARS);
    if surplus == 0 { joined } else { format!("…{}", joined.chars().skip(surplus).collect::<String>()) }
}

/// The seconds in `ExecutionElapsedTime`, such as `PT1M5.25S`; none if it is not such a duration.
#[must_use]
pub fn seconds(elapsed: &str) -> Option<f64> {
    let mut rest = elapsed.strip_prefix("PT")?;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let mut tail = tail.chars();
        seconds += number
            * match tail.next()? {
                'H' => 3600.0,
                'M' => 60.0,
                'S' => 1.0,
                _ => return None,
            };
        rest = tail.as_str();
    }
    Some(seconds)
}
