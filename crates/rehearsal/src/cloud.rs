//! A handle on the embedded AWS: its world, timeline, faults and transcript.

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

/// A handle on one embedded AWS. Clones are handles on the same one.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    timeline: Timeline,
    kills: watch::Sender<u64>,
    /// Whether exchanges go onto the process's recording of the wire, if there is one.
    records_wire: AtomicBool,
}

/// Everything that changes. One lock guards it, and no await happens under the lock.
struct State {
    world: World,
    /// The world before the last mutating call to each service, kept while the plan can ask for a stale read: each
    /// service is as late as its own replicas.
    past: BTreeMap<String, World>,
    faults: FaultPlan,
    transcript: Transcript,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Reply {
    /// The service's answer or refusal.
    Answer(Response<Bytes>),
    /// Carried out, but the connection broke before the answer came through.
    Lost,
    /// The caller is dead and must not go on: [`Cloud::kills`] was raised.
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

    /// A second, independent AWS that begins as this one is: no faults, an empty transcript kept as fully as this
    /// one's. `timeline` should go on from [`World::now`].
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
        // A panic inside a handler leaves a world that is still a value; refusing it would only hide the panic.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present virtual moment.
    #[must_use]
    pub fn now(&self) -> Time {
        self.inner.timeline.now()
    }

    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.inner.timeline
    }

    /// Looks at or changes the world from outside, as it is now.
    pub fn with_world<T>(&self, visit: impl FnOnce(&mut World) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        state.world.advance(now);
        visit(&mut state.world)
    }

    /// Replaces the plan; its counting begins anew.
    pub fn set_faults(&self, plan: FaultPlan) {
        let mut state = self.lock();
        state.faults = plan;
        state.past.clear();
    }

    /// How much of each call the transcript keeps from now on.
    pub fn keep(&self, keep: Keep) {
        self.lock().transcript.keep = keep;
    }

    /// Whether exchanges go onto the process's recording of the wire. They do unless this says otherwise: thousands of
    /// disturbed runs repeat what an undisturbed one says.
    pub fn record_wire(&self, record: bool) {
        self.inner.records_wire.store(record, Ordering::Relaxed);
    }

    /// A copy of the transcript so far.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.lock().transcript.clone()
    }

    /// Looks at the transcript without copying it.
    pub fn with_transcript<T>(&self, visit: impl FnOnce(&Transcript) -> T) -> T {
        visit(&self.lock().transcript)
    }

    /// Counts the kills; changes at each [`Reply::Killed`]. Whoever runs a worker drops it then.
    #[must_use]
    pub fn kills(&self) -> watch::Receiver<u64> {
        self.inner.kills.subscribe()
    }

    /// An HTTP client for SDK configurations that reaches this AWS without a socket, whatever host it is asked for.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        connector::client(self.clone())
    }
}

#[cfg(test)]
mod tests;

/// An access key that is let in, for tests.
#[cfg(test)]
pub(super) fn test_key(world: &mut World) -> String {
    let user = "arn:aws:iam::123456789012:user/test";
    super::services::sts::issue_long_term(world, "123456789012", user).access_key_id
}
