//! The worker as it runs in production: many jobs at once, none of them in another's way.
//!
//! One task owns what is in hand and decides; polls, slices and reports are tasks of their own that tell it how they
//! ended. A job that is not due waits in a heap, without a slot and without a timer.

mod execution_status;
mod health;
mod intake;
mod pace;
mod queues;
mod scheduler;
mod slicing;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::deps::{WorkerDeps, WorkerError};
use crate::telemetry::Measured;
use intake::TaskEvent;
use scheduler::Scheduler;
use slicing::{SliceRunner, millis};

pub use health::Health;
pub use slicing::{Runner, stages};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Slices that run at the same time.
    pub slots: usize,
    /// Jobs that are claimed beyond the free slots, so that every pipeline gets its turn.
    pub backlog: usize,
    /// Jobs in hand at most, those that are not due included: bounds memory.
    pub most: usize,
    /// Whether the worker ends once there is nothing to do.
    pub drain: bool,
    /// How long running slices may take to come to rest once the worker is told to stop.
    pub grace: Duration,
    /// How long one slice may take.
    pub slice_limit: Duration,
    /// How old artifact credentials may be when a slice begins. CodePipeline's live about fifteen minutes.
    pub fresh_for: Duration,
    /// How often an execution is asked whether it still goes on.
    pub look_every: Duration,
    /// Seed of the jitter between polls.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 16,
            backlog: 1024,
            most: 20_000,
            drain: false,
            grace: Duration::from_mins(1),
            slice_limit: Duration::from_mins(10),
            fresh_for: Duration::from_mins(5),
            look_every: Duration::from_mins(2),
            seed: 0,
        }
    }
}

/// What a worker was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    #[default]
    No,
    /// Take nothing new, bring what runs to its next resting place, give back the rest.
    Gently,
    /// End now. The journal keeps what is in hand.
    AtOnce,
}

/// What a worker did until it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Slices that were worked on.
    pub slices: u64,
    /// Jobs that were not answered; the journal keeps them.
    pub left: Vec<String>,
}

/// A worker that is ready to begin.
pub struct Service {
    bench: Arc<SliceRunner>,
    health: Arc<Health>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.bench.settings).finish_non_exhaustive()
    }
}

/// Acknowledgements, reports and look-ups under way at once, beside the slices.
const AT_ONCE: usize = 8;
/// The loop comes round at least this often.
const HEARTBEAT: u64 = 15_000;
/// Between two measurements of what is in hand.
const MEASURE: u64 = 60_000;

impl Service {
    #[must_use]
    pub fn new(deps: WorkerDeps, settings: Settings) -> Self {
        Self::running(deps, settings, stages())
    }

    /// A worker whose slices are run by `runner`.
    #[must_use]
    pub fn running(deps: WorkerDeps, settings: Settings, runner: Runner) -> Self {
        let fates = execution_status::ExecutionStatusCache::new(settings.look_every);
        Self { bench: Arc::new(SliceRunner { deps, settings, runner, fates }), health: Arc::default() }
    }

    /// How the worker is, for as long as it runs.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Works until told to stop or, when draining, until there is nothing to do.
    ///
    /// # Errors
    /// The journal cannot be used, or, when draining, CodePipeline refuses polls for good.
    pub async fn run(self, mut stop: watch::Receiver<Stop>) -> Result<Summary, WorkerError> {
        let bench = self.bench;
        let clock = bench.deps.clock.clone();
        let inherited = bench.deps.journal.open(clock.now()).await?;
        let mut hands = Scheduler::new(Arc::clone(&bench), Arc::clone(&self.health), millis(&clock));
        hands.inherit(inherited);
        let mut tasks = JoinSet::new();
        let mut deadline = None;
        let mut told = *stop.borrow_and_update();
        let mut measured = millis(&clock);
        let mut heard = true;
        loop {
            let now = millis(&clock);
            self.health.beat(now);
            if told >= Stop::Gently && deadline.is_none() {
                deadline = Some(
                    now.saturating_add(u64::try_from(bench.settings.grace.as_millis()).unwrap_or(u64::MAX)),
                );
                self.health.stopping();
                hands.stop();
            }
            let over = told == Stop::AtOnce || deadline.is_some_and(|deadline| now >= deadline);
            if over || hands.is_done() {
                break;
            }
            hands.begin_what_can(now, &mut tasks);
            if now.saturating_sub(measured) >= MEASURE {
                measured = now;
                let (running, ready, parked) = hands.count();
                bench.deps.telemetry.measure(clock.now(), &Measured::InHand { running, ready, parked });
                tell_calls(&bench);
            }
            let wake = hands.wake(now).min(deadline.unwrap_or(u64::MAX)).min(now.saturating_add(HEARTBEAT));
            tokio::select! {
                biased;
                changed = stop.changed(), if heard => {
                    // Whoever could have told us to stop may be gone: then no one will.
                    heard = changed.is_ok();
                    told = *stop.borrow_and_update();
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    // A task's panic is caught inside it; what is left is the abortion of the runtime.
                    if let Ok(ended) = ended {
                        hands.hear(ended, millis(&clock))?;
                    }
                }
                () = clock.sleep(Duration::from_millis(wake.saturating_sub(now).max(1))) => {}
            }
        }
        tasks.abort_all();
        tell_calls(&bench);
        let summary = hands.summary();
        if told != Stop::AtOnce
            && let Err(error) = bench.deps.journal.close().await
        {
            tracing::warn!(%error, "the lease was not given back; it runs out by itself");
        }
        Ok(summary)
    }
}

/// Measures what was called since the last time.
fn tell_calls(bench: &SliceRunner) {
    let now = bench.deps.clock.now();
    for (operation, tally) in bench.deps.aws.calls.take() {
        let (calls, throttles, failures) = (tally.calls, tally.throttles, tally.failures);
        let measured = Measured::Calls { operation: &operation, calls, throttles, failures };
        bench.deps.telemetry.measure(now, &measured);
    }
}

/// Lets a task tell what came of it even if it panics.
fn spawn(
    tasks: &mut JoinSet<TaskEvent>,
    broken: TaskEvent,
    work: impl Future<Output = TaskEvent> + Send + 'static,
) {
    tasks.spawn(std::panic::AssertUnwindSafe(work).catch_unwind().map(|ended| ended.unwrap_or(broken)));
}
