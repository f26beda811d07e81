//! What a worker has in hand, and what it begins next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::health::Health;
use super::intake::{Broken, Offers, TaskEvent, ask};
use super::pace::{Found, Pace};
use super::queues::{Parked, Ready};
use super::slicing::{ClaimedJob, Next, SliceRunner};
use super::{AT_ONCE, Summary, spawn};
use crate::aws::Class;
use crate::engine::error::with_causes;
use crate::evidence::Stage;
use crate::telemetry::Measured;
use crate::worker::WorkerError;
use crate::worker::journal::{Inherited, LEASE};

/// Polls in a row that must find nothing before a draining worker ends.
const IDLE_ROUNDS: u32 = 2;
/// After a job has been answered its successor may take this long to be offered: what a drain waits for at least.
const SETTLE: u64 = 10_000;
/// Longest pause between the polls of a draining worker.
const DRAIN_PAUSE: Duration = Duration::from_secs(5);
/// When a draining worker looks after an action whose next job it has not seen.
const DRAIN_LOOK: Duration = Duration::from_secs(15);
/// Jobs asked for in one poll at most.
const BATCH: usize = 100;
/// Before a job whose look-up failed is looked up again.
const AGAIN: u64 = 5_000;

struct Polling {
    pace: Pace,
    under_way: bool,
    /// Polls in a row that found nothing since things settled.
    idle: u32,
}

#[allow(clippy::vec_box, reason = "a job in hand moves from place to place; its box moves, not the job")]
pub(super) struct Scheduler {
    bench: Arc<SliceRunner>,
    health: Arc<Health>,
    polls: BTreeMap<Stage, Polling>,
    /// Every job that is ours, wherever it is.
    jobs: BTreeSet<String>,
    /// Jobs that were offered and acknowledged anew while they were in hand.
    again: BTreeSet<String>,
    ready: Ready<Box<ClaimedJob>>,
    parked: Parked<Box<ClaimedJob>>,
    /// Jobs of the journal to be looked up, and from when.
    remembered: VecDeque<(u64, String)>,
    to_give_back: Vec<Box<ClaimedJob>>,
    running: usize,
    reserved: usize,
    looking_up: usize,
    giving_back: usize,
    /// Actions that CodePipeline has the next job of, by action execution, and from when they are looked after.
    handed: BTreeMap<String, (u64, Box<ClaimedJob>)>,
    look_after: Parked<String>,
    looking_after: usize,
    tend: Option<u64>,
    stopping: bool,
    /// When a job was last claimed or answered.
    moved: u64,
    slices: u64,
}

impl Scheduler {
    pub fn new(bench: Arc<SliceRunner>, health: Arc<Health>, now: u64) -> Self {
        let most = bench.settings.drain.then_some(DRAIN_PAUSE);
        let polls = bench.deps.stages.iter().zip(0u64..).map(|(stage, number)| {
            let pace = Pace::new(now, most, bench.settings.seed.wrapping_add(number));
            (*stage, Polling { pace, under_way: false, idle: 0 })
        });
        Self {
            polls: polls.collect(),
            jobs: BTreeSet::new(),
            again: BTreeSet::new(),
            ready: Ready::default(),
            parked: Parked::default(),
            remembered: VecDeque::new(),
            to_give_back: Vec::new(),
            running: 0,
            reserved: 0,
            looking_up: 0,
            giving_back: 0,
            handed: BTreeMap::new(),
            look_after: Parked::default(),
            looking_after: 0,
            tend: Some(now.saturating_add(third_of_lease())),
            stopping: false,
            // A worker that begins has waited for nothing yet: two rounds of polls are enough.
            moved: now.saturating_sub(SETTLE),
            slices: 0,
            bench,
            health,
        }
    }

    pub fn inherit(&mut self, inherited: Inherited) {
        if inherited.leases > 0 || !inherited.jobs.is_empty() {
            let measured = Measured::TakeOver { leases: inherited.leases, jobs: inherited.jobs.len() };
            self.bench.deps.telemetry.measure(self.bench.deps.clock.now(), &measured);
        }
        for id in inherited.jobs {
            if !self.jobs.contains(&id) {
                self.remembered.push_back((0, id));
            }
        }
    }

    /// Running, ready and parked jobs.
    pub fn count(&self) -> (usize, usize, usize) {
        (self.running, self.ready.len(), self.parked.len())
    }

    pub fn summary(&self) -> Summary {
        let mut left: BTreeSet<String> = self.jobs.clone();
        left.extend(self.remembered.iter().map(|(_, id)| id.clone()));
        Summary { slices: self.slices, left: left.into_iter().collect() }
    }

    /// No more polls; jobs with a token go back to CodePipeline.
    pub fn stop(&mut self) {
        self.stopping = true;
        for held in self.parked.drain() {
            self.put_down(held);
        }
        let mut unbegun = Vec::new();
        while let Some(held) = self.ready.pop() {
            if held.is_unbegun() { unbegun.push(held) } else { self.put_down(held) }
        }
        for held in unbegun {
            self.make_ready(held);
        }
    }

    /// Gives a job back if its token can carry it; otherwise the journal keeps it.
    fn put_down(&mut self, held: Box<ClaimedJob>) {
        if held.to_give_back().is_some() {
            self.to_give_back.push(held);
        }
    }

    fn make_ready(&mut self, held: Box<ClaimedJob>) {
        let pipeline = held.job.pipeline_arn.clone();
        self.ready.push(&pipeline, held);
    }

    /// Whether there is nothing left to do or to wait for.
    pub fn is_done(&self) -> bool {
        let busy = self.looking_after
            + self.running
            + self.giving_back
            + self.reserved
            + self.looking_up
            + self.ready.len()
            + self.to_give_back.len();
        if busy > 0 {
            return false;
        }
        let idle = self.polls.values().all(|poll| poll.idle >= IDLE_ROUNDS && !poll.under_way);
        self.stopping
            || self.bench.settings.drain
                && idle
                && self.parked.is_empty()
                && self.remembered.is_empty()
                && self.handed.is_empty()
    }

    /// When something is to be done that no task will tell of.
    pub fn wake(&self, now: u64) -> u64 {
        let mut wake = self.tend.unwrap_or(u64::MAX);
        if !self.stopping {
            wake = wake.min(self.parked.next_due().unwrap_or(u64::MAX));
            if self.looking_after < AT_ONCE {
                wake = wake.min(self.look_after.next_due().unwrap_or(u64::MAX));
            }
            if self.room() > 0 {
                let hungry = self.is_hungry();
                let dues =
                    self.polls.values().filter(|poll| !poll.under_way).map(|poll| poll.pace.due(hungry));
                wake = wake.min(dues.min().unwrap_or(u64::MAX));
            }
            if self.looking_up < AT_ONCE {
                wake = wake.min(self.remembered.iter().map(|(due, _)| *due).min().unwrap_or(u64::MAX));
            }
        }
        wake.max(now)
    }

    /// Starts whatever has a place and is due.
    pub fn begin_what_can(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while let Some(held) = self.parked.pop_due(now) {
            self.make_ready(held);
        }
        while self.running < self.bench.settings.slots {
            let Some(held) = self.ready.pop() else { break };
            self.running += 1;
            let (bench, job) = (Arc::clone(&self.bench), Some(held.job.id.clone()));
            let broken = TaskEvent::Broke { job, what: Broken::Slice };
            spawn(tasks, broken, async move { TaskEvent::Worked(bench.work(held).await) });
        }
        while self.giving_back < AT_ONCE {
            let Some(held) = self.to_give_back.pop() else { break };
            self.giving_back += 1;
            let bench = Arc::clone(&self.bench);
            let broken = TaskEvent::Broke { job: None, what: Broken::GiveBack };
            spawn(tasks, broken, async move { TaskEvent::GivenBack(bench.give_back(held).await) });
        }
        if self.tend.is_some_and(|due| due <= now) {
            self.tend = None;
            let bench = Arc::clone(&self.bench);
            let broken = TaskEvent::Broke { job: None, what: Broken::Tend };
            spawn(tasks, broken, async move {
                TaskEvent::Tended(bench.deps.journal.tend(bench.deps.clock.now()).await)
            });
        }
        if !self.stopping {
            self.look_up(now, tasks);
            self.look_after(now, tasks);
            self.poll(now, tasks);
        }
    }

    fn look_up(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while self.looking_up < AT_ONCE {
            let due = self.remembered.iter().position(|(due, _)| *due <= now);
            let Some((_, id)) = due.and_then(|at| self.remembered.remove(at)) else { break };
            self.looking_up += 1;
            let bench = Arc::clone(&self.bench);
            let broken = TaskEvent::Broke { job: Some(id.clone()), what: Broken::TakeUp };
            spawn(tasks, broken, async move {
                let job = bench.take_up(&id).await;
                TaskEvent::TakenUp { id, job }
            });
        }
    }

    fn look_after(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        while self.looking_after < AT_ONCE {
            let Some(action) = self.look_after.pop_due(now) else { break };
            // The entry is of an earlier slice if the action came by in the meantime.
            if self.handed.get(&action).is_none_or(|(due, _)| *due > now) {
                continue;
            }
            let Some((_, held)) = self.handed.remove(&action) else { continue };
            self.looking_after += 1;
            let bench = Arc::clone(&self.bench);
            let broken = TaskEvent::Broke { job: None, what: Broken::LookAfter };
            spawn(tasks, broken, async move { TaskEvent::LookedAfter(bench.look_after(held).await) });
        }
    }

    /// Slots that no job runs in, waits for, or may come to from a poll under way.
    fn free(&self) -> usize {
        self.bench.settings.slots.saturating_sub(self.running + self.ready.len() + self.reserved)
    }

    /// Whether half of the slots are free: enough for a poll that is worth its call.
    fn is_hungry(&self) -> bool {
        self.free() * 2 >= self.bench.settings.slots
    }

    /// How many jobs may be asked for: as many as there are free slots. When there is none, the queue behind the busy
    /// slots is looked at a little deeper, so that a pipeline with few jobs is seen behind one with many.
    fn room(&self) -> usize {
        let settings = &self.bench.settings;
        let taken = self.running + self.ready.len() + self.reserved;
        let space = settings.most.saturating_sub(taken + self.parked.len());
        let beyond = (settings.slots + settings.backlog).saturating_sub(taken).min(settings.slots);
        match self.free() {
            0 if self.reserved == 0 => beyond.min(space),
            free => free.min(space),
        }
    }

    fn poll(&mut self, now: u64, tasks: &mut JoinSet<TaskEvent>) {
        let hungry = self.is_hungry();
        let mut due: Vec<(u64, Stage)> = self
            .polls
            .iter()
            .filter(|(_, poll)| !poll.under_way && poll.pace.due(hungry) <= now)
            .map(|(stage, poll)| (poll.pace.due(hungry), *stage))
            .collect();
        // The one that has waited longest comes first: with one slot, each stage gets its turn.
        due.sort();
        let mut waiting = due.len();
        for (since, stage) in due {
            let room = self.room();
            let batch = room.div_ceil(waiting.max(1)).min(BATCH);
            waiting -= 1;
            if batch == 0 {
                break;
            }
            self.reserved += batch;
            if let Some(poll) = self.polls.get_mut(&stage) {
                poll.under_way = true;
            }
            let (bench, late) = (Arc::clone(&self.bench), Duration::from_millis(now.saturating_sub(since)));
            let broken = TaskEvent::Broke { job: None, what: Broken::Poll { stage, reserved: batch } };
            spawn(tasks, broken, async move {
                let found = ask(&bench, stage, batch, late).await;
                TaskEvent::Polled { stage, reserved: batch, sent: now, found }
            });
        }
    }

    /// Takes note of how a task ended.
    ///
    /// # Errors
    /// A draining worker is refused for good by CodePipeline.
    pub fn hear(&mut self, told: TaskEvent, now: u64) -> Result<(), WorkerError> {
        match told {
            TaskEvent::Polled { stage, reserved, sent, found } => {
                return self.polled(stage, reserved, sent, found, now);
            }
            TaskEvent::TakenUp { id, job } => {
                self.looking_up -= 1;
                match job {
                    Ok(Some(held)) => self.take(held, now),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(job = id, error = %with_causes(&error), "a job of the journal cannot be looked up");
                        self.remembered.push_back((now.saturating_add(AGAIN), id));
                    }
                }
            }
            TaskEvent::Worked(next) => {
                self.running -= 1;
                self.slices += 1;
                self.follow(next, now);
            }
            TaskEvent::GivenBack(next) => {
                self.giving_back -= 1;
                self.follow(next, now);
            }
            TaskEvent::LookedAfter(held) => {
                self.looking_after -= 1;
                if let Some(held) = held {
                    self.take(held, now);
                }
            }
            TaskEvent::Tended(inherited) => {
                self.tend = Some(now.saturating_add(third_of_lease()));
                match inherited {
                    Ok(inherited) => self.inherit(inherited),
                    Err(error) => tracing::warn!(%error, "the lease could not be held on to"),
                }
            }
            TaskEvent::Broke { job, what } => {
                tracing::error!(job, ?what, "this is a defect in bakeline: a task panicked");
                match what {
                    Broken::Poll { stage, reserved } => {
                        self.reserved -= reserved;
                        self.paced(stage, Found::Refused, now);
                    }
                    Broken::Slice => self.running -= 1,
                    Broken::GiveBack => self.giving_back -= 1,
                    Broken::TakeUp => self.looking_up -= 1,
                    Broken::LookAfter => self.looking_after -= 1,
                    Broken::Tend => self.tend = Some(now.saturating_add(third_of_lease())),
                }
                if let Some(id) = job {
                    self.jobs.remove(&id);
                    self.remembered.push_back((now.saturating_add(AGAIN), id));
                }
            }
        }
        Ok(())
    }

    fn paced(&mut self, stage: Stage, found: Found, now: u64) {
        if let Some(poll) = self.polls.get_mut(&stage) {
            poll.under_way = false;
            poll.pace.heard(found, now);
        }
    }

    fn polled(
        &mut self,
        stage: Stage,
        reserved: usize,
        sent: u64,
        found: Result<Offers, WorkerError>,
        now: u64,
    ) -> Result<(), WorkerError> {
        self.reserved -= reserved;
        self.health.polled(found.is_ok());
        match found {
            Ok(offers) => {
                let found = match offers.offered {
                    0 => Found::Nothing,
                    offered if offered < reserved => Found::Work,
                    _ => Found::Full,
                };
                self.paced(stage, found, now);
                if offers.offered > 0 {
                    self.has_moved(now);
                } else if sent >= self.moved.saturating_add(SETTLE)
                    && let Some(poll) = self.polls.get_mut(&stage)
                {
                    poll.idle += 1;
                }
                for held in offers.claimed {
                    self.take(held, now);
                }
                self.remembered.extend(offers.doubtful.into_iter().map(|id| (now.saturating_add(AGAIN), id)));
                Ok(())
            }
            Err(error) => {
                let class = if let WorkerError::Aws(error) = &error { error.class } else { Class::Transient };
                let why = with_causes(&error);
                let failed = Measured::PollFailed { stage, throttled: class == Class::Throttled, why: &why };
                self.bench.deps.telemetry.measure(self.bench.deps.clock.now(), &failed);
                self.paced(stage, Found::Refused, now);
                if self.bench.settings.drain && !class.is_transient() { Err(error) } else { Ok(()) }
            }
        }
    }

    fn has_moved(&mut self, now: u64) {
        self.moved = now;
        for poll in self.polls.values_mut() {
            poll.idle = 0;
        }
    }

    /// Takes a claimed job in hand.
    fn take(&mut self, held: Box<ClaimedJob>, now: u64) {
        self.handed.remove(&held.job.key.attempt_id);
        if !self.jobs.insert(held.job.id.clone()) {
            // The slice under way answers for both, unless its answer came between this offer and its acknowledgement.
            self.again.insert(held.job.id.clone());
            return;
        }
        self.put(held, now);
    }

    fn put(&mut self, held: Box<ClaimedJob>, now: u64) {
        if self.stopping && !held.is_unbegun() {
            self.put_down(held);
        } else if held.due > now {
            self.parked.push(held.due, held);
        } else {
            self.make_ready(held);
        }
    }

    fn answered(&mut self, job: &str, moved: bool, now: u64) {
        self.jobs.remove(job);
        self.again.remove(job);
        if moved {
            self.has_moved(now);
            for poll in self.polls.values_mut() {
                poll.pace.expect_work(now);
            }
        }
    }

    fn follow(&mut self, next: Next, now: u64) {
        match next {
            Next::Handed(held) => {
                self.answered(&held.job.id, true, now);
                if !self.stopping && self.handed.len() < self.bench.settings.most {
                    let wait =
                        if self.bench.settings.drain { DRAIN_LOOK } else { self.bench.settings.look_every };
                    let due =
                        now.max(held.due).saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                    let action = held.job.key.attempt_id.clone();
                    self.look_after.push(due, action.clone());
                    self.handed.insert(action, (due, held));
                }
            }
            Next::Gone { job, moved } => self.answered(&job, moved, now),
            Next::Dropped { job } => {
                self.jobs.remove(&job);
                if self.again.remove(&job) {
                    self.remembered.push_back((now.saturating_add(AGAIN), job));
                }
            }
            // While stopping there is one try: what did not get through is left to the journal.
            Next::Later(_) if self.stopping => {}
            Next::Later(held) => self.put(held, now),
        }
    }
}

fn third_of_lease() -> u64 {
    u64::try_from(LEASE.as_millis() / 3).unwrap_or(u64::MAX)
}
