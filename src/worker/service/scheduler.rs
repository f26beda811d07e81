//! The scheduler: the claimed jobs of a worker, and which task starts next.

mod events;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::claimed_job::ClaimedJob;
use super::health::Health;
use super::poll_interval::PollInterval;
use super::queues::{Parked, Ready};
use super::slice_runner::SliceRunner;
use super::tasks::{Task, TaskEvent, poll, spawn};
use super::{CONCURRENT_CALLS, Summary};
use crate::evidence::Stage;
use crate::telemetry::Measurement;
use crate::worker::journal::{LEASE, TakenOver};

/// Consecutive empty polls of every stage before a draining worker ends.
const EMPTY_ROUNDS: u32 = 2;
/// How long after a result CodePipeline may take to offer the next job, in milliseconds: a draining worker waits for it.
const OFFER_DELAY: u64 = 10_000;
/// The longest interval between the polls of a draining worker.
const MAX_DRAIN_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum number of jobs in one poll.
const MAX_BATCH: usize = 100;

struct Polling {
    interval: PollInterval,
    is_running: bool,
    /// Consecutive empty polls since jobs were last claimed or reported.
    empty: u32,
}

/// Times are milliseconds since the epoch.
#[allow(clippy::vec_box, reason = "a claimed job moves between queues: its box moves, not the job")]
pub(super) struct Scheduler {
    runner: Arc<SliceRunner>,
    health: Arc<Health>,
    polls: BTreeMap<Stage, Polling>,
    /// The ids of all claimed jobs.
    jobs: BTreeSet<String>,
    /// Jobs that were offered and claimed again while this worker had them.
    claimed_again: BTreeSet<String>,
    ready: Ready<Box<ClaimedJob>>,
    parked: Parked<Box<ClaimedJob>>,
    /// Jobs of the journal to recover, and the earliest time for it.
    to_recover: VecDeque<(u64, String)>,
    to_return: Vec<Box<ClaimedJob>>,
    running: usize,
    /// Jobs that running polls may return.
    reserved: usize,
    recovering: usize,
    returning: usize,
    /// Actions that wait for their next job, by action execution id, with the time of the check.
    waiting: BTreeMap<String, (u64, Box<ClaimedJob>)>,
    checks: Parked<String>,
    checking: usize,
    /// When the lease is renewed; `None` during a renewal.
    renew_lease_at: Option<u64>,
    stopping: bool,
    /// When a job was last claimed or reported.
    last_change: u64,
    slices: u64,
}

impl Scheduler {
    pub fn new(runner: Arc<SliceRunner>, health: Arc<Health>, now: u64) -> Self {
        let max_idle = runner.settings.drain.then_some(MAX_DRAIN_INTERVAL);
        let polls = runner.deps.stages.iter().zip(0u64..).map(|(stage, number)| {
            let interval = PollInterval::new(now, max_idle, runner.settings.seed.wrapping_add(number));
            (*stage, Polling { interval, is_running: false, empty: 0 })
        });
        Self {
            polls: polls.collect(),
            jobs: BTreeSet::new(),
            claimed_again: BTreeSet::new(),
            ready: Ready::default(),
            parked: Parked::default(),
            to_recover: VecDeque::new(),
            to_return: Vec::new(),
            running: 0,
            reserved: 0,
            recovering: 0,
            returning: 0,
            waiting: BTreeMap::new(),
            checks: Parked::default(),
            checking: 0,
            renew_lease_at: Some(now.saturating_add(lease_renewal_interval())),
            stopping: false,
            // A worker that starts has nothing to wait for: two rounds of polls are enough to drain.
            last_change: now.saturating_sub(OFFER_DELAY),
            slices: 0,
            runner,
            health,
        }
    }

    /// Recovers the jobs of dead workers.
    pub fn take_over(&mut self, taken_over: TakenOver) {
        if taken_over.leases > 0 || !taken_over.jobs.is_empty() {
            let measurement =
                Measurement::TakeOver { leases: taken_over.leases, jobs: taken_over.jobs.len() };
            self.runner.deps.telemetry.measure(self.runner.deps.clock.now(), &measurement);
        }
        for id in taken_over.jobs {
            if !self.jobs.contains(&id) {
                self.to_recover.push_back((0, id));
            }
        }
    }

    pub fn load(&self) -> Measurement<'static> {
        Measurement::Load { running: self.running, ready: self.ready.len(), parked: self.parked.len() }
    }

    pub fn summary(&self) -> Summary {
        let mut unfinished: BTreeSet<String> = self.jobs.clone();
        unfinished.extend(self.to_recover.iter().map(|(_, id)| id.clone()));
        Summary { slices: self.slices, unfinished: unfinished.into_iter().collect() }
    }

    /// Ends polling, and returns jobs with a token to CodePipeline. New jobs still run.
    pub fn stop(&mut self) {
        self.stopping = true;
        for claimed in self.parked.drain() {
            self.return_job(claimed);
        }
        let mut new_jobs = Vec::new();
        while let Some(claimed) = self.ready.pop() {
            if claimed.is_new() { new_jobs.push(claimed) } else { self.return_job(claimed) }
        }
        for claimed in new_jobs {
            self.make_ready(claimed);
        }
    }

    /// Returns a job to CodePipeline if its token can carry it; otherwise the journal keeps it.
    fn return_job(&mut self, claimed: Box<ClaimedJob>) {
        if claimed.returnable_token().is_some() {
            self.to_return.push(claimed);
        }
    }

    fn make_ready(&mut self, claimed: Box<ClaimedJob>) {
        let pipeline = claimed.job.pipeline_arn.clone();
        self.ready.push(&pipeline, claimed);
    }

    /// Whether nothing is left to do or to wait for.
    pub fn is_done(&self) -> bool {
        let busy = self.checking
            + self.running
            + self.returning
            + self.reserved
            + self.recovering
            + self.ready.len()
            + self.to_return.len();
        if busy > 0 {
            return false;
        }
        let no_offers = self.polls.values().all(|poll| poll.empty >= EMPTY_ROUNDS && !poll.is_running);
        self.stopping
            || self.runner.settings.drain
                && no_offers
                && self.parked.is_empty()
                && self.to_recover.is_empty()
                && self.waiting.is_empty()
    }

    /// When the next task is due, if no running task ends before.
    pub fn wake(&self, now: u64) -> u64 {
        let mut wake = self.renew_lease_at.unwrap_or(u64::MAX);
        if !self.stopping {
            wake = wake.min(self.parked.next_due().unwrap_or(u64::MAX));
            if self.checking < CONCURRENT_CALLS {
                wake = wake.min(self.checks.next_due().unwrap_or(u64::MAX));
            }
            if self.poll_capacity() > 0 {
                let has_free_slots = self.has_free_slots();
                let polls = self.polls.values().filter(|poll| !poll.is_running);
                let next = polls.map(|poll| poll.interval.due(has_free_slots)).min();
                wake = wake.min(next.unwrap_or(u64::MAX));
            }
            if self.recovering < CONCURRENT_CALLS {
                wake = wake.min(self.to_recover.iter().map(|(due, _)| *due).min().unwrap_or(u64::MAX));
            }
        }
        wake.max(now)
    }

    /// Starts all tasks that are due and have a slot.
    pub fn start_tasks(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while let Some(claimed) = self.parked.pop_due(now) {
            self.make_ready(claimed);
        }
        while self.running < self.runner.settings.slots {
            let Some(claimed) = self.ready.pop() else { break };
            self.running += 1;
            let (runner, job_id) = (Arc::clone(&self.runner), Some(claimed.job.id.clone()));
            spawn(
                tasks,
                Task::Slice,
                job_id,
                async move { TaskEvent::SliceEnded(runner.run(claimed).await) },
            );
        }
        while self.returning < CONCURRENT_CALLS {
            let Some(claimed) = self.to_return.pop() else { break };
            self.returning += 1;
            let runner = Arc::clone(&self.runner);
            spawn(
                tasks,
                Task::Return,
                None,
                async move { TaskEvent::Returned(runner.return_job(claimed).await) },
            );
        }
        if self.renew_lease_at.is_some_and(|due| due <= now) {
            self.renew_lease_at = None;
            let runner = Arc::clone(&self.runner);
            spawn(tasks, Task::RenewLease, None, async move {
                TaskEvent::LeaseRenewed(runner.deps.journal.renew_lease(runner.deps.clock.now()).await)
            });
        }
        if !self.stopping {
            self.start_recoveries(now, tasks);
            self.start_checks(now, tasks);
            self.start_polls(now, tasks);
        }
    }

    fn start_recoveries(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while self.recovering < CONCURRENT_CALLS {
            let due = self.to_recover.iter().position(|(due, _)| *due <= now);
            let Some((_, job_id)) = due.and_then(|at| self.to_recover.remove(at)) else { break };
            self.recovering += 1;
            let runner = Arc::clone(&self.runner);
            spawn(tasks, Task::Recover, Some(job_id.clone()), async move {
                let job = runner.recover(&job_id).await;
                TaskEvent::Recovered { job_id, job }
            });
        }
    }

    fn start_checks(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while self.checking < CONCURRENT_CALLS {
            let Some(action) = self.checks.pop_due(now) else { break };
            // The check is obsolete if the action has had another slice since.
            if self.waiting.get(&action).is_none_or(|(due, _)| *due > now) {
                continue;
            }
            let Some((_, claimed)) = self.waiting.remove(&action) else { continue };
            self.checking += 1;
            let runner = Arc::clone(&self.runner);
            spawn(tasks, Task::CheckAction, None, async move {
                TaskEvent::ActionChecked(runner.check_action(claimed).await)
            });
        }
    }

    /// Slots that are not used by a running job and not needed by a ready job or a running poll.
    fn free_slots(&self) -> usize {
        self.runner.settings.slots.saturating_sub(self.running + self.ready.len() + self.reserved)
    }

    /// Whether half of the slots are free: enough to poll at once.
    fn has_free_slots(&self) -> bool {
        self.free_slots() * 2 >= self.runner.settings.slots
    }

    /// How many jobs the next polls may return: the number of free slots.
    ///
    /// Without free slots the worker claims a limited backlog, so that a pipeline with few jobs is seen behind one with
    /// many.
    fn poll_capacity(&self) -> usize {
        let settings = &self.runner.settings;
        let taken = self.running + self.ready.len() + self.reserved;
        let space = settings.max_jobs.saturating_sub(taken + self.parked.len());
        let backlog = (settings.slots + settings.backlog).saturating_sub(taken).min(settings.slots);
        match self.free_slots() {
            0 if self.reserved == 0 => backlog.min(space),
            free => free.min(space),
        }
    }

    fn start_polls(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        let has_free_slots = self.has_free_slots();
        let mut due: Vec<(u64, Stage)> = self
            .polls
            .iter()
            .filter(|(_, poll)| !poll.is_running && poll.interval.due(has_free_slots) <= now)
            .map(|(stage, poll)| (poll.interval.due(has_free_slots), *stage))
            .collect();
        // The longest overdue stage comes first: with one slot, every stage gets its turn.
        due.sort();
        let mut left = due.len();
        for (since, stage) in due {
            let batch = self.poll_capacity().div_ceil(left.max(1)).min(MAX_BATCH);
            left -= 1;
            if batch == 0 {
                break;
            }
            self.reserved += batch;
            if let Some(poll) = self.polls.get_mut(&stage) {
                poll.is_running = true;
            }
            let (runner, lag) = (Arc::clone(&self.runner), Duration::from_millis(now.saturating_sub(since)));
            spawn(tasks, Task::Poll { stage, reserved: batch }, None, async move {
                let result = poll(&runner, stage, batch, lag).await;
                TaskEvent::Polled { stage, reserved: batch, sent: now, result }
            });
        }
    }
}

fn lease_renewal_interval() -> u64 {
    u64::try_from(LEASE.as_millis() / 3).unwrap_or(u64::MAX)
}
