//! What a booting instance and a running check mean for the release. Pure.

use std::time::Duration;

use crate::evidence::ImageIdentity;

/// What Systems Manager and we may lag behind a deadline before we end a command ourselves.
pub const GRACE: Duration = Duration::from_mins(1);

/// How long a cancelled command may take to end before the instance is terminated under it.
pub const CANCELLING: Duration = Duration::from_mins(2);

/// Lines of a failed check's output that its failure message quotes.
const QUOTED_LINES: usize = 5;
/// Characters of those lines.
const QUOTED_CHARS: usize = 400;

/// An image as EC2 describes it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub state: String,
    pub owner: Option<String>,
    pub name: Option<String>,
    pub creation_date: Option<String>,
}

/// Holds an image against the identity that the chain speaks for.
///
/// # Errors
/// It is another image, or none that can be launched; in words.
pub fn same_image(identity: &ImageIdentity, found: &Described) -> Result<(), String> {
    let members = [
        ("owner", found.owner.as_deref(), identity.account.as_str()),
        ("name", found.name.as_deref(), identity.name.as_str()),
        ("creation date", found.creation_date.as_deref(), identity.creation_date.as_str()),
        ("state", Some(found.state.as_str()), "available"),
    ];
    for (member, found, expected) in members {
        if found != Some(expected) {
            return Err(format!(
                "image {} in {} has the {member} {}; the release's has {expected}",
                identity.image_id,
                identity.region,
                found.unwrap_or("none")
            ));
        }
    }
    Ok(())
}

/// Whether an instance in this state runs no more, now or soon.
#[must_use]
pub fn has_ended(state: &str) -> bool {
    matches!(state, "shutting-down" | "terminated")
}

/// What is known of a booting instance; members are empty while nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// `InstanceState.Name`.
    pub state: String,
    /// `SystemStatus.Status`.
    pub system: String,
    /// `InstanceStatus.Status`.
    pub instance: String,
    /// `PingStatus` of the instance in Systems Manager.
    pub ping: String,
}

/// How far a boot has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Both status checks pass and Systems Manager hears from it.
    Ready,
    /// What is still awaited.
    Waiting(String),
    /// It ended by itself.
    Ended,
}

/// Judges a look at a booting instance. A status check that is `impaired` may still recover before the deadline.
#[must_use]
pub fn boot(vitals: &Vitals) -> Boot {
    if has_ended(&vitals.state) || matches!(vitals.state.as_str(), "stopping" | "stopped") {
        return Boot::Ended;
    }
    let word = |text: &str| if text.is_empty() { "not known yet".to_owned() } else { text.to_owned() };
    let mut awaited = Vec::new();
    if vitals.state != "running" {
        awaited.push(format!("instance {}", word(&vitals.state)));
    }
    if vitals.system != "ok" {
        awaited.push(format!("system status {}", word(&vitals.system)));
    }
    if vitals.instance != "ok" {
        awaited.push(format!("instance status {}", word(&vitals.instance)));
    }
    if vitals.ping != "Online" {
        awaited.push(format!("Systems Manager ping {}", word(&vitals.ping)));
    }
    if awaited.is_empty() { Boot::Ready } else { Boot::Waiting(awaited.join(", ")) }
}

/// A command on the instance, as `GetCommandInvocation` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    pub status: String,
    /// `StatusDetails`: which of its deadlines a command missed.
    pub details: String,
    /// `ResponseCode`: the exit code; -1 while there is none.
    pub exit_code: i32,
    /// At most the first 24,000 characters, or the end of the whole.
    pub stdout: String,
    /// At most the first 8,000 characters, or the end of the whole.
    pub stderr: String,
    /// Where in S3 all of the standard output is to lie; empty if nowhere.
    pub stdout_url: String,
    /// Where in S3 all of the standard error is to lie; empty if nowhere.
    pub stderr_url: String,
    /// `ExecutionElapsedTime`, an ISO 8601 duration.
    pub elapsed: String,
}

/// The deadlines of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until the instance takes the command.
    pub delivery: Duration,
    /// From then until the script has ended.
    pub execution: Duration,
}

/// What a look at a command shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is on its way or running.
    Going(String),
    /// It has ended; [`verdict`] tells how.
    Ended,
    /// It should have ended by itself, by Systems Manager's deadlines, and did not.
    Overdue,
}

/// Judges a look at a command sent `elapsed` ago. None: Systems Manager does not know it yet.
#[must_use]
pub fn look(invocation: Option<&Invocation>, elapsed: Duration, deadlines: Deadlines) -> Look {
    let status = invocation.map_or("sent", |invocation| invocation.status.as_str());
    if is_terminal(status) {
        return Look::Ended;
    }
    let undelivered = matches!(status, "sent" | "Pending" | "Delayed");
    let execution = if undelivered { Duration::ZERO } else { deadlines.execution };
    if elapsed > deadlines.delivery.saturating_add(execution).saturating_add(GRACE) {
        return Look::Overdue;
    }
    Look::Going(status.to_lowercase())
}

/// Whether a command's status changes no more.
#[must_use]
pub fn is_terminal(status: &str) -> bool {
    matches!(status, "Success" | "Failed" | "TimedOut" | "Cancelled")
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Why it did not pass.
    Failed(String),
    /// It was not run: an earlier command never came to its end on the instance.
    NotRun,
}

/// Judges an ended command, or one that was given up.
#[must_use]
pub fn verdict(invocation: &Invocation, deadlines: Deadlines) -> Verdict {
    let details = compact(&invocation.details);
    Verdict::Failed(match (invocation.status.as_str(), details.as_str()) {
        ("Success", _) if invocation.exit_code == 0 => return Verdict::Passed,
        (_, "deliverytimedout") => {
            format!("the instance did not take the command within {} s", deadlines.delivery.as_secs())
        }
        (_, "executiontimedout") | ("TimedOut", _) => {
            format!("the script ran for longer than {} s", deadlines.execution.as_secs())
        }
        ("Success" | "Failed", "" | "success" | "failed") => format!("exit code {}", invocation.exit_code),
        (status, _) if !is_terminal(status) => {
            format!("the command did not end and was given up while {status}")
        }
        (status, _) => format!("the command ended {status} ({})", invocation.details),
    })
}

/// Whether the instance answers commands: one that never reached it, or did not end, says that the next will not either.
#[must_use]
pub fn reached(invocation: &Invocation) -> bool {
    let details = compact(&invocation.details);
    is_terminal(&invocation.status)
        && !matches!(
            details.as_str(),
            "deliverytimedout" | "undeliverable" | "terminated" | "invalidplatform" | "accessdenied"
        )
}

/// `StatusDetails` is written with spaces in the reference and without in answers.
fn compact(details: &str) -> String {
    details.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}

/// The last lines of a check's output, for a message: standard error if there is any, else standard output.
#[must_use]
pub fn tail(stdout: &str, stderr: &str) -> String {
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let joined = lines.get(lines.len().saturating_sub(QUOTED_LINES)..).unwrap_or_default().join(" | ");
    let surplus = joined.chars().count().saturating_sub(QUOTED_CHARS);
    if surplus == 0 { joined } else { format!("…{}", joined.chars().skip(surplus).collect::<String>()) }
}

/// Seconds in `ExecutionElapsedTime`, such as `PT1M5.25S`; none for anything else.
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
