//! The moves of a promotion: each looks, decides by the pure judges, and makes at most one mutating call.

mod back;
mod blind;
mod forward;
mod seal;
pub(super) mod shares;
mod showing;
pub(super) mod trial;
pub(super) mod turn;
pub(super) mod waves;

use std::time::Duration;

pub(super) use back::{cancel, revert, roll_back};
pub(super) use blind::back as back_without_inputs;
pub(super) use forward::{confirm, preflight, read_preflight_state, standing, start, version, watch};
pub(super) use seal::{refuse, seal};

use super::run::Run;
use super::{CONFIRMATIONS, Promote};
use crate::engine::{Progress, Step};

/// Between two looks of a read-back, or at AWS rolling back.
const AGAIN: Duration = Duration::from_secs(15);

/// Looks without success after which a read-back gives up: 20 minutes.
pub(super) const PATIENCE: u16 = 80;

/// How a read-back goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    /// Good looks in a row.
    pub seen: u8,
    /// Looks that were not good.
    pub looks: u16,
}

impl Tries {
    fn good(self) -> Self {
        Self { seen: self.seen.saturating_add(1), ..self }
    }

    fn bad(self) -> Self {
        Self { seen: 0, looks: self.looks.saturating_add(1) }
    }

    fn is_sure(self) -> bool {
        self.seen >= CONFIRMATIONS
    }

    fn is_out_of_patience(self) -> bool {
        self.looks >= PATIENCE
    }
}

/// Lays a decision down in the token before anything is done about it. Made again by whoever takes over from a worker that
/// died on the way, it would be made on a world that has changed since: a canary that was let go, weights that were set.
fn decided(state: Promote, summary: String) -> Step<Promote> {
    let progress = Progress { percent: 1, summary, external_id: None };
    Step::Wait { state, again_in: Duration::ZERO, progress }
}

fn progress(run: &Run, percent: u8, summary: String) -> Progress {
    Progress { percent, summary, external_id: run.refresh.clone() }
}

/// `4 instances in service, 1 of them on ami-…`
fn count(image: &str, fleet: [u32; 3]) -> String {
    let [in_service, on_new, healthy] = fleet;
    format!("{in_service} in service, {on_new} of them on {image}, {healthy} healthy")
}
