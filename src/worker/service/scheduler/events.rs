//! What the scheduler does when a task ends.

use std::time::Duration;

use super::{OFFER_DELAY, Scheduler, lease_renewal_interval};
use crate::aws::Class;
use crate::engine::error::with_causes;
use crate::evidence::Stage;
use crate::telemetry::Measurement;
use crate::worker::WorkerError;
use crate::worker::service::claimed_job::{ClaimedJob, NextStep};
use crate::worker::service::poll_interval::PollResult;
use crate::worker::service::tasks::{Offers, Task, TaskEvent};

/// The pause before a job is recovered again, in milliseconds.
const RECOVERY_INTERVAL: u64 = 5_000;
/// When a draining worker checks an action whose next job was not offered.
const DRAIN_CHECK_DELAY: Duration = Duration::from_secs(15);

impl Scheduler {
    /// Handles the end of a task.
    ///
    /// # Errors
    /// The worker is draining, and CodePipeline refuses its polls permanently.
    pub fn handle(&mut self, event: TaskEvent, now: u64) -> Result<(), WorkerError> {
        match event {
            TaskEvent::Polled { stage, reserved, sent, result } => {
                return self.polled(stage, reserved, sent, result, now);
            }
            TaskEvent::Recovered { job_id, job } => {
                self.recovering -= 1;
                match job {
                    Ok(Some(claimed)) => self.add(claimed, now),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(job_id, error = %with_causes(&error), "cannot recover a job of the journal; retrying");
                        self.recover_later(job_id, now);
                    }
                }
            }
            TaskEvent::SliceEnded(next) => {
                self.running -= 1;
                self.slices += 1;
                self.follow(next, now);
            }
            TaskEvent::Returned(next) => {
                self.returning -= 1;
                self.follow(next, now);
            }
            TaskEvent::ActionChecked(claimed) => {
                self.checking -= 1;
                if let Some(claimed) = claimed {
                    self.add(claimed, now);
                }
            }
            TaskEvent::LeaseRenewed(result) => {
                self.renew_lease_at = Some(now.saturating_add(lease_renewal_interval()));
                match result {
                    Ok(taken_over) => self.take_over(taken_over),
                    Err(error) => {
                        tracing::warn!(error = %with_causes(&error), "cannot renew the lease of the journal; retrying");
                    }
                }
            }
            TaskEvent::Panicked { job_id, task } => self.panicked(job_id, task, now),
        }
        Ok(())
    }

    fn panicked(&mut self, job_id: Option<String>, task: Task, now: u64) {
        tracing::error!(job_id, ?task, "this is a defect in bakeline: a task panicked");
        match task {
            Task::Poll { stage, reserved } => {
                self.reserved -= reserved;
                self.set_interval(stage, PollResult::Failed, now);
            }
            Task::Slice => self.running -= 1,
            Task::Return => self.returning -= 1,
            Task::Recover => self.recovering -= 1,
            Task::CheckAction => self.checking -= 1,
            Task::RenewLease => self.renew_lease_at = Some(now.saturating_add(lease_renewal_interval())),
        }
        if let Some(job_id) = job_id {
            self.jobs.remove(&job_id);
            self.recover_later(job_id, now);
        }
    }

    fn recover_later(&mut self, job_id: String, now: u64) {
        self.to_recover.push_back((now.saturating_add(RECOVERY_INTERVAL), job_id));
    }

    fn set_interval(&mut self, stage: Stage, result: PollResult, now: u64) {
        if let Some(poll) = self.polls.get_mut(&stage) {
            poll.is_running = false;
            poll.interval.polled(result, now);
        }
    }

    fn polled(
        &mut self,
        stage: Stage,
        reserved: usize,
        sent: u64,
        result: Result<Offers, WorkerError>,
        now: u64,
    ) -> Result<(), WorkerError> {
        self.reserved -= reserved;
        self.health.polled(result.is_ok());
        match result {
            Ok(offers) => {
                let result = match offers.offered {
                    0 => PollResult::Empty,
                    offered if offered < reserved => PollResult::Jobs,
                    _ => PollResult::FullBatch,
                };
                self.set_interval(stage, result, now);
                if offers.offered > 0 {
                    self.changed(now);
                } else if sent >= self.last_change.saturating_add(OFFER_DELAY)
                    && let Some(poll) = self.polls.get_mut(&stage)
                {
                    poll.empty += 1;
                }
                for claimed in offers.claimed {
                    self.add(claimed, now);
                }
                for job_id in offers.uncertain {
                    self.recover_later(job_id, now);
                }
                Ok(())
            }
            Err(error) => {
                let class = if let WorkerError::Aws(error) = &error { error.class } else { Class::Transient };
                let reason = with_causes(&error);
                let throttled = class == Class::Throttled;
                let measurement = Measurement::PollFailed { stage, throttled, reason: &reason };
                self.runner.deps.telemetry.measure(self.runner.deps.clock.now(), &measurement);
                self.set_interval(stage, PollResult::Failed, now);
                if self.runner.settings.drain && !class.is_transient() { Err(error) } else { Ok(()) }
            }
        }
    }

    fn changed(&mut self, now: u64) {
        self.last_change = now;
        for poll in self.polls.values_mut() {
            poll.empty = 0;
        }
    }

    /// Adds a claimed job.
    fn add(&mut self, claimed: Box<ClaimedJob>, now: u64) {
        self.waiting.remove(&claimed.job.key.attempt_id);
        if !self.jobs.insert(claimed.job.id.clone()) {
            // The running slice reports for both claims, unless its report came before the second acknowledgement.
            self.claimed_again.insert(claimed.job.id.clone());
            return;
        }
        self.enqueue(claimed, now);
    }

    fn enqueue(&mut self, claimed: Box<ClaimedJob>, now: u64) {
        if self.stopping && !claimed.is_new() {
            self.return_job(claimed);
        } else if claimed.due > now {
            self.parked.push(claimed.due, claimed);
        } else {
            self.make_ready(claimed);
        }
    }

    fn reported(&mut self, job_id: &str, expect_job: bool, now: u64) {
        self.jobs.remove(job_id);
        self.claimed_again.remove(job_id);
        if expect_job {
            self.changed(now);
            for poll in self.polls.values_mut() {
                poll.interval.expect_work(now);
            }
        }
    }

    fn follow(&mut self, next: NextStep, now: u64) {
        match next {
            NextStep::Continued(claimed) => {
                self.reported(&claimed.job.id, true, now);
                let settings = &self.runner.settings;
                if !self.stopping && self.waiting.len() < settings.max_jobs {
                    let delay = if settings.drain { DRAIN_CHECK_DELAY } else { settings.status_interval };
                    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    let due = now.max(claimed.due).saturating_add(delay);
                    let action = claimed.job.key.attempt_id.clone();
                    self.checks.push(due, action.clone());
                    self.waiting.insert(action, (due, claimed));
                }
            }
            NextStep::Ended { job_id, expect_job } => self.reported(&job_id, expect_job, now),
            NextStep::Dropped { job_id } => {
                self.jobs.remove(&job_id);
                if self.claimed_again.remove(&job_id) {
                    self.recover_later(job_id, now);
                }
            }
            // A stopping worker does not retry: the journal keeps the job.
            NextStep::Requeue(_) if self.stopping => {}
            NextStep::Requeue(claimed) => self.enqueue(claimed, now),
        }
    }
}
