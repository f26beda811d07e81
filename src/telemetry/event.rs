//! What a worker does that someone may want to see.

use std::fmt;
use std::sync::Arc;

use super::metric::Measured;
use crate::engine::{Job, Outcome, Progress, Timestamp};
use crate::evidence::Stage;

/// Whose job an event is about. Carries nothing of the job's configuration or credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLabel {
    pub job: String,
    pub pipeline: String,
    pub execution: String,
    pub action: String,
    pub stage: Stage,
}

impl JobLabel {
    #[must_use]
    pub fn of(job: &Job, stage: Stage) -> Self {
        Self {
            job: job.id.clone(),
            pipeline: job.key.pipeline.clone(),
            execution: job.key.run_id.clone(),
            action: job.key.action.clone(),
            stage,
        }
    }
}

/// Something happened to a job.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A job was acknowledged and is ours.
    Claimed { first: bool },
    /// A job was offered, and is another worker's or has ended.
    NotOurs { why: &'a str },
    /// A slice ended at a resting place.
    SliceYielded { until: Timestamp, progress: &'a Progress },
    /// The action is over.
    Ended { outcome: &'a Outcome },
    /// A result was sent for a job that had ended or was another worker's.
    Dropped { why: &'a str },
    /// The execution was stopped, abandoned or superseded: what the action made is being undone.
    Abandoned { why: &'a str },
    /// The unwinding of an abandoned action came to its end.
    Undone { outcome: &'a Outcome },
}

type Watcher = Arc<dyn Fn(Timestamp, &JobLabel, &Event<'_>) + Send + Sync>;

/// Where events go: the log always, and one watcher if there is one.
#[derive(Clone, Default)]
pub struct Telemetry {
    watcher: Option<Watcher>,
    metrics: bool,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("watched", &self.watcher.is_some())
            .field("metrics", &self.metrics)
            .finish()
    }
}

impl Telemetry {
    #[must_use]
    pub fn watched(watcher: impl Fn(Timestamp, &JobLabel, &Event<'_>) + Send + Sync + 'static) -> Self {
        Self { watcher: Some(Arc::new(watcher)), metrics: false }
    }

    /// Log lines carry metrics in CloudWatch's embedded metric format.
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Logs what the worker measured, and the metrics of it.
    pub fn measure(&self, now: Timestamp, measured: &Measured<'_>) {
        let metrics = self.metrics.then(|| measured.metrics().embedded(now));
        measured.log(metrics.as_deref());
    }

    /// Logs an event and shows it to the watcher.
    pub fn emit(&self, now: Timestamp, label: &JobLabel, event: &Event<'_>) {
        let JobLabel { job, pipeline, execution, action, stage } = label;
        macro_rules! log {
            ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {
                { tracing::$level!(%pipeline, %execution, %action, %stage, %job $(, $field = %$value)*, $message); }
            };
        }
        match event {
            Event::Claimed { first } => log!(info, "job claimed", first = first),
            Event::NotOurs { why } => log!(info, "job is not ours", why = why),
            Event::SliceYielded { until, progress } => {
                log!(
                    info,
                    "slice done",
                    until = until,
                    percent = progress.percent,
                    summary = progress.summary
                );
            }
            Event::Ended { outcome: Outcome::Succeeded { summary, .. } } => {
                log!(info, "action succeeded", summary = summary);
            }
            Event::Ended { outcome: Outcome::Failed(failure) } => {
                log!(error, "action failed", why = failure.message);
            }
            Event::Dropped { why } => log!(warn, "the job had ended; its result is dropped", why = why),
            Event::Abandoned { why } => {
                log!(warn, "the action is over; what it made is being undone", why = why);
            }
            Event::Undone { outcome } => match outcome {
                Outcome::Succeeded { summary, .. } => {
                    log!(info, "the action was done already", summary = summary);
                }
                Outcome::Failed(failure) => {
                    log!(info, "what the action made is undone", why = failure.message);
                }
            },
        }
        if let Some(watcher) = &self.watcher {
            watcher(now, label, event);
        }
    }
}
