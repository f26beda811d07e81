//! The worker as a service: it runs many jobs at once and keeps them independent.
//!
//! One loop owns all claimed jobs and decides ([`scheduler`]). Polls, slices and reports are tasks; each ends with an
//! event. A job that is not due waits in a queue and uses no slot and no timer.

mod claimed_job;
mod execution_status;
mod health;
mod poll_interval;
mod queues;
mod scheduler;
mod slice_runner;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{WorkerDeps, WorkerError};
use crate::engine::error::with_causes;
use crate::telemetry::Measurement;
use claimed_job::millis;
use execution_status::ExecutionStatusCache;
use scheduler::Scheduler;
use slice_runner::SliceRunner;

pub use health::Health;
pub use slice_runner::{Runner, stages};

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Slices that run at the same time.
    pub slots: usize,
    /// Jobs to claim beyond the free slots, so that every pipeline gets its turn.
    pub backlog: usize,
    /// The maximum number of claimed jobs, jobs that are not due included: limits memory.
    pub max_jobs: usize,
    /// Whether the worker ends once there are no jobs.
    pub drain: bool,
    /// How long running slices may take after a graceful stop.
    pub grace: Duration,
    /// How long one slice may take.
    pub slice_timeout: Duration,
    /// The age above which artifact credentials are renewed before a slice. CodePipeline's are valid for about fifteen
    /// minutes.
    pub credentials_max_age: Duration,
    /// How often the status of an execution is read.
    pub status_interval: Duration,
    /// The seed of the jitter between polls.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 16,
            backlog: 1024,
            max_jobs: 20_000,
            drain: false,
            grace: Duration::from_mins(1),
            slice_timeout: Duration::from_mins(10),
            credentials_max_age: Duration::from_mins(5),
            status_interval: Duration::from_mins(2),
            seed: 0,
        }
    }
}

/// A request to stop the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    #[default]
    No,
    /// Claim no more jobs, finish the running slices, return the other jobs to CodePipeline.
    Graceful,
    /// End now. The journal keeps the claimed jobs.
    Immediate,
}

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Slices that ran.
    pub slices: u64,
    /// Ids of jobs without a reported result; the journal keeps them.
    pub unfinished: Vec<String>,
}

/// A worker that is ready to run.
pub struct Service {
    runner: Arc<SliceRunner>,
    health: Arc<Health>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.runner.settings).finish_non_exhaustive()
    }
}

/// Concurrent acknowledgements, reports and reads of jobs, besides the slices.
const CONCURRENT_CALLS: usize = 8;
/// The longest pause of the loop, in milliseconds.
const MAX_PAUSE: u64 = 15_000;
/// The interval of the load and call metrics, in milliseconds.
const METRICS_INTERVAL: u64 = 60_000;

impl Service {
    #[must_use]
    pub fn new(deps: WorkerDeps, settings: Settings) -> Self {
        Self::with_runner(deps, settings, stages())
    }

    /// A worker whose slices run in `runner`.
    #[must_use]
    pub fn with_runner(deps: WorkerDeps, settings: Settings, runner: Runner) -> Self {
        let execution_status = ExecutionStatusCache::new(settings.status_interval);
        Self {
            runner: Arc::new(SliceRunner { deps, settings, runner, execution_status }),
            health: Arc::default(),
        }
    }

    /// The health of the worker while it runs.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Runs until a stop is requested or, when draining, until there are no jobs.
    ///
    /// # Errors
    /// The journal cannot be used or, when draining, CodePipeline refuses polls permanently.
    pub async fn run(self, mut stop: watch::Receiver<Stop>) -> Result<Summary, WorkerError> {
        let runner = self.runner;
        let clock = runner.deps.clock.clone();
        let taken_over = runner.deps.journal.open(clock.now()).await?;
        let mut scheduler = Scheduler::new(Arc::clone(&runner), Arc::clone(&self.health), millis(&clock));
        scheduler.take_over(taken_over);
        let mut tasks = JoinSet::new();
        let mut deadline = None;
        let mut requested = *stop.borrow_and_update();
        let mut last_metrics = millis(&clock);
        let mut stop_is_open = true;
        loop {
            let now = millis(&clock);
            self.health.loop_ran(now);
            if requested >= Stop::Graceful && deadline.is_none() {
                let grace = u64::try_from(runner.settings.grace.as_millis()).unwrap_or(u64::MAX);
                deadline = Some(now.saturating_add(grace));
                self.health.stopping();
                scheduler.stop();
            }
            let expired = requested == Stop::Immediate || deadline.is_some_and(|deadline| now >= deadline);
            if expired || scheduler.is_done() {
                break;
            }
            scheduler.start_tasks(now, &mut tasks);
            if now.saturating_sub(last_metrics) >= METRICS_INTERVAL {
                last_metrics = now;
                runner.deps.telemetry.measure(clock.now(), &scheduler.load());
                measure_calls(&runner);
            }
            let wake =
                scheduler.wake(now).min(deadline.unwrap_or(u64::MAX)).min(now.saturating_add(MAX_PAUSE));
            tokio::select! {
                biased;
                changed = stop.changed(), if stop_is_open => {
                    // The sender may be dropped: then no stop can come.
                    stop_is_open = changed.is_ok();
                    requested = *stop.borrow_and_update();
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    // A task catches its own panic; an error here is an abort of the runtime.
                    if let Ok(ended) = ended {
                        scheduler.handle(ended, millis(&clock))?;
                    }
                }
                () = clock.sleep(Duration::from_millis(wake.saturating_sub(now).max(1))) => {}
            }
        }
        tasks.abort_all();
        measure_calls(&runner);
        let summary = scheduler.summary();
        if requested != Stop::Immediate
            && let Err(error) = runner.deps.journal.close().await
        {
            tracing::warn!(error = %with_causes(&error), "cannot release the lease of the journal; it expires by itself");
        }
        Ok(summary)
    }
}

/// Measures the AWS calls since the last time.
fn measure_calls(runner: &SliceRunner) {
    let now = runner.deps.clock.now();
    for (operation, tally) in runner.deps.aws.calls.take() {
        let (calls, throttles, failures) = (tally.calls, tally.throttles, tally.failures);
        let measurement = Measurement::Calls { operation: &operation, calls, throttles, failures };
        runner.deps.telemetry.measure(now, &measurement);
    }
}
