//! What a worker measures. Each measurement is one log line and, when asked for, metrics in CloudWatch's embedded
//! metric format (user guide, "Specification: Embedded metric format").
//!
//! The names are stable and described in docs/operations.md.

use std::fmt::Write as _;
use std::time::Duration;

use super::event::JobLabel;
use crate::engine::Timestamp;
use crate::evidence::Stage;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "Bakeline";

/// How a slice ended, as the dimension `Outcome` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The action goes on in a later job.
    SliceYielded,
    Succeeded,
    Failed,
    /// CodePipeline did not take the result: the job had ended, or was another worker's.
    Dropped,
    /// The action was abandoned and this slice undid something of it.
    Unwound,
    /// No answer was given yet; the slice is tried again.
    Postponed,
}

impl Ending {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SliceYielded => "rested",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Unwound => "unwound",
            Self::Postponed => "postponed",
        }
    }
}

/// Something the worker measured.
#[derive(Clone, Debug)]
pub enum Measured<'a> {
    /// A slice was run and reported: how long it took, and how long after it was due it began.
    Slice { label: &'a JobLabel, ending: Ending, took: Duration, late: Duration },
    /// A stage was polled: what was offered, and how long after the poll was due it was sent.
    Poll { stage: Stage, offered: usize, late: Duration },
    /// CodePipeline refused a poll, or did not answer.
    PollFailed { stage: Stage, throttled: bool, why: &'a str },
    /// What is in hand, once a minute.
    InHand { running: usize, ready: usize, parked: usize },
    /// Calls of one AWS operation since the last such line, attempts counted singly.
    Calls { operation: &'a str, calls: u64, throttles: u64, failures: u64 },
    /// Leases of workers that are gone were taken over, with the jobs under them.
    TakeOver { leases: u32, jobs: usize },
}

/// Metrics of one line: values by name and unit, under one set of dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    dimensions: &'static [&'static str],
    names: &'static [(&'static str, &'static str)],
}

const COUNT: &str = "Count";
const MILLISECONDS: &str = "Milliseconds";

impl Measured<'_> {
    /// The metrics that the fields of the log line are.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (dimensions, names): (&[&str], &[(&str, &str)]) = match self {
            Self::Slice { .. } => (
                &["Stage", "Outcome"],
                &[("Slices", COUNT), ("SliceLatency", MILLISECONDS), ("StartLag", MILLISECONDS)],
            ),
            Self::Poll { .. } => {
                (&["Stage"], &[("Polls", COUNT), ("JobsOffered", COUNT), ("PollLag", MILLISECONDS)])
            }
            Self::PollFailed { .. } => (&["Stage"], &[("PollsFailed", COUNT), ("PollsThrottled", COUNT)]),
            Self::InHand { .. } => {
                (&[], &[("InFlight", COUNT), ("Running", COUNT), ("Ready", COUNT), ("Parked", COUNT)])
            }
            Self::Calls { .. } => {
                (&["Operation"], &[("ApiCalls", COUNT), ("ApiThrottles", COUNT), ("ApiFailures", COUNT)])
            }
            Self::TakeOver { .. } => (&[], &[("LeaseTakeOvers", COUNT), ("JobsTakenOver", COUNT)]),
        };
        Metrics { dimensions, names }
    }

    /// Writes the line; `metrics` is the text of its `_aws` member.
    #[allow(non_snake_case, reason = "fields that are metrics bear the metric's name")]
    pub(super) fn log(&self, metrics: Option<&str>) {
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Slice { label, ending, took, late } => {
                let JobLabel { job, pipeline, execution, action, stage } = label;
                tracing::info!(
                    %pipeline, %execution, %action, %job, Stage = %stage, Outcome = ending.name(), Slices = 1,
                    SliceLatency = millis(took), StartLag = millis(late), _aws = metrics, "slice"
                );
            }
            // A poll that found nothing is no news; as a metric it still counts.
            Self::Poll { stage, offered: 0, late } if metrics.is_none() => {
                tracing::debug!(Stage = %stage, Polls = 1, JobsOffered = 0, PollLag = millis(late), "poll");
            }
            Self::Poll { stage, offered, late } => {
                tracing::info!(
                    Stage = %stage, Polls = 1, JobsOffered = offered, PollLag = millis(late), _aws = metrics, "poll"
                );
            }
            Self::PollFailed { stage, throttled, why } => {
                tracing::warn!(
                    Stage = %stage, PollsFailed = 1, PollsThrottled = u8::from(*throttled), why, _aws = metrics,
                    "poll failed"
                );
            }
            Self::InHand { running, ready, parked } => {
                let all = running + ready + parked;
                tracing::info!(
                    InFlight = all,
                    Running = running,
                    Ready = ready,
                    Parked = parked,
                    _aws = metrics,
                    "in hand"
                );
            }
            Self::Calls { operation, calls, throttles, failures } => {
                tracing::info!(
                    Operation = operation,
                    ApiCalls = calls,
                    ApiThrottles = throttles,
                    ApiFailures = failures,
                    _aws = metrics,
                    "calls"
                );
            }
            Self::TakeOver { leases, jobs } => {
                tracing::warn!(
                    LeaseTakeOvers = leases,
                    JobsTakenOver = jobs,
                    _aws = metrics,
                    "jobs taken over"
                );
            }
        }
    }
}

impl Metrics {
    /// The `_aws` member of a log line whose other members are the metrics and dimensions named here.
    #[must_use]
    pub fn embedded(&self, now: Timestamp) -> String {
        let mut text =
            format!("{{\"Timestamp\":{}000,\"CloudWatchMetrics\":[{{\"Namespace\":\"{NAMESPACE}\",", now.0);
        let quoted: Vec<String> = self.dimensions.iter().map(|name| format!("\"{name}\"")).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "\"Dimensions\":[[{}]],\"Metrics\":[", quoted.join(","));
        for (number, (name, unit)) in self.names.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{{\"Name\":\"{name}\",\"Unit\":\"{unit}\"}}");
        }
        text.push_str("]}]}");
        text
    }
}
