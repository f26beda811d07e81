//! Measurements of a worker: log lines and, if enabled, metrics in CloudWatch's embedded metric format (CloudWatch user
//! guide, "Specification: Embedded metric format"). docs/operations.md lists the names; they are stable.

use std::fmt::Write as _;
use std::time::Duration;

use crate::engine::{FailureKind, Outcome, Timestamp};
use crate::evidence::Stage;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "Bakeline";

/// The result of a slice: the dimension `Outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceResult {
    /// The action continues in a later job.
    Continued,
    Succeeded,
    Failed,
    /// CodePipeline refused the result: the job had ended, or belongs to another worker.
    Dropped,
    /// The slice undid part of an abandoned action.
    Undone,
    /// The slice has no result yet and is retried.
    Postponed,
}

impl SliceResult {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continued => "continued",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Undone => "undone",
            Self::Postponed => "postponed",
        }
    }
}

/// The result of an action: the dimension `Result`, with the values of OpenTelemetry's `cicd.pipeline.result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionResult {
    Success,
    /// The release failed a check, or AWS failed to do what the stage asked for.
    Failure,
    /// The action failed for another reason: configuration, permissions, artifacts, or AWS did not answer.
    Error,
    /// The action did not end before its deadline.
    Timeout,
    /// The execution was stopped, abandoned or superseded.
    Cancellation,
}

impl ActionResult {
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { .. } => Self::Success,
            Outcome::Failed(failure) => match failure.kind {
                FailureKind::JobFailed => Self::Failure,
                FailureKind::TimedOut => Self::Timeout,
                FailureKind::ConfigurationError
                | FailureKind::PermissionError
                | FailureKind::RevisionOutOfSync
                | FailureKind::RevisionUnavailable
                | FailureKind::SystemUnavailable => Self::Error,
            },
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancellation => "cancellation",
        }
    }
}

/// A measurement of the worker.
#[derive(Clone, Debug)]
pub enum Measurement<'a> {
    /// A slice ran and its result was reported. `start_lag` is how long after its due time it started.
    Slice { stage: Stage, result: SliceResult, duration: Duration, start_lag: Duration },
    /// A stage was polled. `lag` is how long after its due time the poll was sent.
    Poll { stage: Stage, offered: usize, lag: Duration },
    /// CodePipeline refused a poll or did not answer it.
    PollFailed { stage: Stage, throttled: bool, reason: &'a str },
    /// The jobs of this worker, once a minute.
    Load { running: usize, ready: usize, parked: usize },
    /// Calls of one AWS operation since the last such line; each attempt counts.
    Calls { operation: &'a str, calls: u64, throttles: u64, failures: u64 },
    /// The worker took over the leases of dead workers, and their jobs.
    TakeOver { leases: u32, jobs: usize },
}

const COUNT: &str = "Count";
const MILLISECONDS: &str = "Milliseconds";

impl Measurement<'_> {
    /// The `_aws` member of the log line.
    #[must_use]
    pub fn metrics(&self, now: Timestamp) -> String {
        let (dimensions, names): (&[&[&str]], &[(&str, &str)]) = match self {
            Self::Slice { .. } => (
                &[&["Stage", "Outcome"]],
                &[("Slices", COUNT), ("SliceDuration", MILLISECONDS), ("StartLag", MILLISECONDS)],
            ),
            Self::Poll { .. } => {
                (&[&["Stage"]], &[("Polls", COUNT), ("JobsOffered", COUNT), ("PollLag", MILLISECONDS)])
            }
            Self::PollFailed { .. } => (&[&["Stage"]], &[("PollsFailed", COUNT), ("PollsThrottled", COUNT)]),
            Self::Load { .. } => {
                (&[&[]], &[("InFlight", COUNT), ("Running", COUNT), ("Ready", COUNT), ("Parked", COUNT)])
            }
            Self::Calls { .. } => {
                (&[&["Operation"]], &[("ApiCalls", COUNT), ("ApiThrottles", COUNT), ("ApiFailures", COUNT)])
            }
            Self::TakeOver { .. } => (&[&[]], &[("LeaseTakeOvers", COUNT), ("JobsTakenOver", COUNT)]),
        };
        embedded_metrics(now, dimensions, names)
    }

    /// Writes the log line; `metrics` is its `_aws` member.
    #[allow(non_snake_case, reason = "metrics and dimensions are fields of the same name")]
    pub(super) fn log(&self, metrics: Option<&str>) {
        match *self {
            Self::Slice { stage, result, duration, start_lag } => tracing::info!(
                event = "bakeline.slice.ended", Stage = %stage, Outcome = result.name(), Slices = 1,
                SliceDuration = millis(duration), StartLag = millis(start_lag), _aws = metrics, "a slice ended"
            ),
            // An empty poll is worth a log line only for its metrics.
            Self::Poll { stage, offered: 0, lag } if metrics.is_none() => tracing::debug!(
                event = "bakeline.poll.ended", %stage, Stage = %stage, Polls = 1, JobsOffered = 0, PollLag = millis(lag),
                "polled for jobs"
            ),
            Self::Poll { stage, offered, lag } => tracing::info!(
                event = "bakeline.poll.ended", %stage, Stage = %stage, Polls = 1, JobsOffered = offered,
                PollLag = millis(lag), _aws = metrics, "polled for jobs"
            ),
            Self::PollFailed { stage, throttled, reason } => tracing::warn!(
                event = "bakeline.poll.failed", %stage, Stage = %stage, PollsFailed = 1,
                PollsThrottled = u8::from(throttled), reason, _aws = metrics, "a poll failed"
            ),
            Self::Load { running, ready, parked } => tracing::info!(
                event = "bakeline.worker.load",
                InFlight = running + ready + parked,
                Running = running,
                Ready = ready,
                Parked = parked,
                _aws = metrics,
                "jobs of this worker"
            ),
            Self::Calls { operation, calls, throttles, failures } => tracing::info!(
                event = "bakeline.aws.calls",
                Operation = operation,
                ApiCalls = calls,
                ApiThrottles = throttles,
                ApiFailures = failures,
                _aws = metrics,
                "calls of an AWS operation"
            ),
            Self::TakeOver { leases, jobs } => tracing::warn!(
                event = "bakeline.lease.taken_over",
                LeaseTakeOvers = leases,
                JobsTakenOver = jobs,
                _aws = metrics,
                "took over the jobs of dead workers"
            ),
        }
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The `_aws` member of a log line. Its other members are the metrics and dimensions that are named here.
pub(super) fn embedded_metrics(now: Timestamp, dimensions: &[&[&str]], names: &[(&str, &str)]) -> String {
    let mut text =
        format!("{{\"Timestamp\":{}000,\"CloudWatchMetrics\":[{{\"Namespace\":\"{NAMESPACE}\",", now.0);
    let quoted = |set: &&[&str]| {
        let names: Vec<String> = set.iter().map(|name| format!("\"{name}\"")).collect();
        format!("[{}]", names.join(","))
    };
    let sets: Vec<String> = dimensions.iter().map(quoted).collect();
    // Writing to a string cannot fail.
    let _ = write!(text, "\"Dimensions\":[{}],\"Metrics\":[", sets.join(","));
    for (number, (name, unit)) in names.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{{\"Name\":\"{name}\",\"Unit\":\"{unit}\"}}");
    }
    text.push_str("]}]}");
    text
}
