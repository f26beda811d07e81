//! A handle to the embedded AWS: its world, timeline, faults and transcript.

mod answering;
mod connector;
mod credentials;
mod visit;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::Response;
use tokio::sync::watch;

use super::faults::FaultPlan;
use super::time::Time;
use super::timeline::Timeline;
use super::transcript::{Keep, Transcript};
use super::world::World;

/// A handle to one embedded AWS. Clones share it.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    timeline: Timeline,
    kills: watch::Sender<u64>,
    /// Whether HTTP exchanges are written to the process's wire recording, if there is one.
    records_wire: AtomicBool,
}

/// All mutable state, behind one lock. The lock is never held across an await.
struct State {
    world: World,
    /// The world before the last mutating call to each service, for stale reads. Kept only if the fault plan has
    /// stale reads.
    past: BTreeMap<String, World>,
    faults: FaultPlan,
    transcript: Transcript,
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Reply {
    /// The service's response, successful or not.
    Answer(Response<Bytes>),
    /// The service carried out the call, but the connection broke before the response arrived.
    Lost,
    /// A fault killed the caller, and [`Cloud::kills`] was incremented. The caller must stop.
    Killed,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("timeline", &self.inner.timeline).finish_non_exhaustive()
    }
}

impl Cloud {
    #[must_use]
    pub fn new(world: World, timeline: Timeline) -> Self {
        let state = State {
            world,
            past: BTreeMap::new(),
            faults: FaultPlan::default(),
            transcript: Transcript::default(),
        };
        let inner = Inner {
            state: Mutex::new(state),
            timeline,
            kills: watch::Sender::new(0),
            records_wire: AtomicBool::new(true),
        };
        Self { inner: Arc::new(inner) }
    }

    /// An independent copy of this AWS, without faults and with an empty transcript of the same detail. `timeline`
    /// should continue from [`World::now`].
    #[must_use]
    pub fn fork(&self, timeline: Timeline) -> Self {
        let (world, keep) = {
            let state = self.lock();
            (state.world.clone(), state.transcript.keep)
        };
        let fork = Self::new(world, timeline);
        fork.keep(keep);
        fork
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic in a handler the world can still be read; failing here would only hide the panic.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner.timeline.now()
    }

    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.inner.timeline
    }

    /// Reads or changes the world directly, without an API call.
    pub fn with_world<T>(&self, visit: impl FnOnce(&mut World) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        state.world.advance(now);
        visit(&mut state.world)
    }

    /// Replaces the fault plan and resets its call counts.
    pub fn set_faults(&self, plan: FaultPlan) {
        let mut state = self.lock();
        state.faults = plan;
        state.past.clear();
    }

    /// Sets how much of each call the transcript keeps from now on.
    pub fn keep(&self, keep: Keep) {
        self.lock().transcript.keep = keep;
    }

    /// Turns the wire recording of this AWS's HTTP exchanges on or off. It is on by default; crash tests turn it off
    /// because thousands of runs repeat the same exchanges.
    pub fn record_wire(&self, record: bool) {
        self.inner.records_wire.store(record, Ordering::Relaxed);
    }

    /// A copy of the transcript so far.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.lock().transcript.clone()
    }

    /// Reads the transcript without copying it.
    pub fn with_transcript<T>(&self, visit: impl FnOnce(&Transcript) -> T) -> T {
        visit(&self.lock().transcript)
    }

    /// The number of killed callers, incremented with each [`Reply::Killed`]. The test that runs a worker drops the
    /// worker when it changes.
    #[must_use]
    pub fn kills(&self) -> watch::Receiver<u64> {
        self.inner.kills.subscribe()
    }

    /// An HTTP client for AWS SDK configurations that sends every request to this AWS, without a socket and whatever
    /// the host.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        connector::client(self.clone())
    }
}

#[cfg(test)]
mod tests;

/// A valid access key, for tests.
#[cfg(test)]
pub(super) fn test_key(world: &mut World) -> String {
    let user = "arn:aws:iam::123456789012:user/test";
    super::services::sts::issue_long_term(world, "123456789012", user).access_key_id
}
