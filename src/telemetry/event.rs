//! Events of a job: log lines, and calls to an observer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::metric::{ActionResult, Measurement, embedded_metrics, millis};
use crate::engine::{Job, Outcome, Progress, Timestamp};
use crate::evidence::Stage;

/// Identifies a job in log lines. It has nothing of the job's configuration or credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLabel {
    pub pipeline: String,
    /// The pipeline execution id.
    pub run_id: String,
    pub action: String,
    /// The action execution id.
    pub attempt_id: String,
    pub job_id: String,
    pub stage: Stage,
}

impl JobLabel {
    #[must_use]
    pub fn of(job: &Job, stage: Stage) -> Self {
        Self {
            pipeline: job.key.pipeline.clone(),
            run_id: job.key.run_id.clone(),
            action: job.key.action.clone(),
            attempt_id: job.key.attempt_id.clone(),
            job_id: job.id.clone(),
            stage,
        }
    }

    /// The tracing span of the job: every log line inside it carries these fields.
    ///
    /// The slice adds `service` and `environment` once it knows them.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        let Self { pipeline, run_id, action, attempt_id, job_id, stage } = self;
        // At level error, so that no log filter disables it.
        tracing::error_span!(
            "job",
            %pipeline,
            %run_id,
            %action,
            %attempt_id,
            %job_id,
            %stage,
            service = tracing::field::Empty,
            environment = tracing::field::Empty,
        )
    }
}

/// What happened to a job. Emit it inside the job's span ([`JobLabel::span`]).
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// CodePipeline acknowledged the job to this worker. `first` tells whether the action starts with it.
    Claimed { first: bool },
    /// CodePipeline offered a job that another worker has claimed or that has ended.
    ClaimRefused { reason: &'a str },
    /// A slice ended, and the action continues in a later job.
    SliceYielded { until: Timestamp, progress: &'a Progress },
    /// The action has ended.
    Ended { outcome: &'a Outcome, action: ActionFacts<'a> },
    /// CodePipeline refused a result: the job had ended, or belongs to another worker.
    ResultRefused { reason: &'a str },
    /// The execution was stopped, abandoned or superseded: the stage starts to undo what it created.
    UndoStarted { reason: &'a str },
    /// The stage has undone what an abandoned action created.
    UndoEnded { outcome: &'a Outcome, action: ActionFacts<'a> },
}

/// What the metrics of an ended action need.
#[derive(Clone, Copy, Debug)]
pub struct ActionFacts<'a> {
    /// Since the action's first slice.
    pub duration: Duration,
    /// The service of the release; `None` if the action ended before it read the spec.
    pub service: Option<&'a str>,
}

type Observer = Arc<dyn Fn(Timestamp, &JobLabel, &Event<'_>) + Send + Sync>;

/// Writes events to the log, and passes them to an observer if there is one.
#[derive(Clone, Default)]
pub struct Telemetry {
    observer: Option<Observer>,
    metrics: bool,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("observer", &self.observer.is_some())
            .field("metrics", &self.metrics)
            .finish()
    }
}

impl Telemetry {
    /// Telemetry that also calls an observer for each event.
    #[must_use]
    pub fn with_observer(
        observer: impl Fn(Timestamp, &JobLabel, &Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { observer: Some(Arc::new(observer)), metrics: false }
    }

    /// Adds metrics in CloudWatch's embedded metric format to the log lines.
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Logs a measurement and its metrics.
    pub fn measure(&self, now: Timestamp, measurement: &Measurement<'_>) {
        let metrics = self.metrics.then(|| measurement.metrics(now));
        measurement.log(metrics.as_deref());
    }

    /// Logs an event of a job and calls the observer.
    pub fn emit(&self, now: Timestamp, label: &JobLabel, event: &Event<'_>) {
        match event {
            Event::Claimed { first } => {
                tracing::info!(event = "bakeline.job.claimed", first, "claimed a job");
            }
            Event::ClaimRefused { reason } => {
                tracing::info!(
                    event = "bakeline.claim.refused",
                    reason,
                    "the job belongs to another worker or has ended"
                );
            }
            Event::SliceYielded { until, progress } => tracing::info!(
                event = "bakeline.slice.yielded",
                %until,
                percent = progress.percent,
                summary = progress.summary,
                "the action continues in a later job"
            ),
            Event::Ended { outcome, action } => self.log_ended(now, label.stage, outcome, *action),
            Event::ResultRefused { reason } => tracing::warn!(
                event = "bakeline.result.refused",
                reason,
                "CodePipeline refused the result: the job has ended or belongs to another worker"
            ),
            Event::UndoStarted { reason } => tracing::warn!(
                event = "bakeline.undo.started",
                reason,
                "the action was ended from outside: undoing what it created"
            ),
            Event::UndoEnded { outcome, action } => self.log_undone(now, label.stage, outcome, *action),
        }
        if let Some(observer) = &self.observer {
            observer(now, label, event);
        }
    }

    fn action_metrics(&self, now: Timestamp, action: ActionFacts<'_>) -> Option<String> {
        const NAMES: &[(&str, &str)] = &[("Actions", "Count"), ("ActionDuration", "Milliseconds")];
        const STAGE: &[&[&str]] = &[&["Stage", "Result"]];
        const SERVICE: &[&[&str]] = &[&["Stage", "Result"], &["Service", "Stage", "Result"]];
        let dimensions = if action.service.is_some() { SERVICE } else { STAGE };
        self.metrics.then(|| embedded_metrics(now, dimensions, NAMES))
    }

    #[allow(non_snake_case, reason = "metrics and dimensions are fields of the same name")]
    fn log_ended(&self, now: Timestamp, stage: Stage, outcome: &Outcome, action: ActionFacts<'_>) {
        let (Result, metrics) = (ActionResult::of(outcome).name(), self.action_metrics(now, action));
        let (Service, Actions, ActionDuration) = (action.service, 1, millis(action.duration));
        let _aws = metrics.as_deref();
        match outcome {
            Outcome::Succeeded { summary, .. } => tracing::info!(
                event = "bakeline.action.ended", Stage = %stage, Result, Service, Actions, ActionDuration, _aws, summary,
                "the action succeeded"
            ),
            Outcome::Failed(failure) => tracing::error!(
                event = "bakeline.action.ended", Stage = %stage, Result, Service, Actions, ActionDuration, _aws,
                reason = failure.message, "the action failed"
            ),
        }
    }

    #[allow(non_snake_case, reason = "metrics and dimensions are fields of the same name")]
    fn log_undone(&self, now: Timestamp, stage: Stage, outcome: &Outcome, action: ActionFacts<'_>) {
        let (Result, metrics) = (ActionResult::Cancellation.name(), self.action_metrics(now, action));
        let (Service, Actions, ActionDuration) = (action.service, 1, millis(action.duration));
        let _aws = metrics.as_deref();
        match outcome {
            Outcome::Succeeded { summary, .. } => tracing::info!(
                event = "bakeline.undo.ended", Stage = %stage, Result, Service, Actions, ActionDuration, _aws, summary,
                "the abandoned action had already succeeded"
            ),
            Outcome::Failed(failure) => tracing::info!(
                event = "bakeline.undo.ended", Stage = %stage, Result, Service, Actions, ActionDuration, _aws,
                reason = failure.message, "undid what the abandoned action created"
            ),
        }
    }
}
