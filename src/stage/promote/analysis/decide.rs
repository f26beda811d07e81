//! The decision after a comparison of canary and baseline. Pure.

use super::guards::Finding;
use crate::judge::{Look, Verdict};
use crate::spec::Judge;
use crate::spec::promote::judge::OnInconclusive;

/// The state of the manual approval that decides when the judge is inconclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody has decided yet.
    Open,
    Approved,
    Rejected,
}

/// The decision after a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The deployment continues.
    Continue,
    /// No decision yet, for this reason.
    Wait(String),
    /// The deployment is rolled back, for this reason.
    RollBack(String),
}

/// Decides after a comparison. `guards` are alarms and limits; `not_ready`: why a side is not wholly in service.
#[must_use]
pub fn decide(
    judge: &Judge,
    look: &Look,
    guards: &Finding,
    not_ready: Option<&str>,
    elapsed: u64,
    approval: Option<&Approval>,
) -> Decision {
    if let Finding::Breached(what) = guards {
        return Decision::RollBack(what.join("; "));
    }
    if look.verdict == Verdict::Fail {
        return Decision::RollBack(look.reasons.join("; "));
    }
    if approval == Some(&Approval::Rejected) {
        return Decision::RollBack("the approval was rejected".to_owned());
    }
    let mut open: Vec<String> = match look.verdict {
        Verdict::Pass | Verdict::Fail => Vec::new(),
        Verdict::Inconclusive | Verdict::Error => {
            vec![format!("{}: {}", look.verdict.name(), look.reasons.join("; "))]
        }
    };
    if let Finding::Unknown(what) = guards {
        open.extend(what.iter().cloned());
    }
    open.extend(not_ready.map(|what| format!("the two sides are not ready: {what}")));
    if open.is_empty() {
        return Decision::Continue;
    }
    let why = open.join("; ");
    if elapsed < u64::from(judge.timeout.as_secs()) {
        return Decision::Wait(why);
    }
    match (&judge.on_inconclusive, approval) {
        (OnInconclusive::RollBack(_), _) => Decision::RollBack(format!(
            "the judge is inconclusive after {}, and the spec says roll_back: {why}",
            judge.timeout
        )),
        (OnInconclusive::Ask(_), Some(Approval::Approved)) => Decision::Continue,
        (OnInconclusive::Ask(ask), _) => {
            Decision::Wait(format!("waiting for the manual approval {}: {why}", ask.approval_action))
        }
        (OnInconclusive::Wait(_), _) => Decision::Wait(why),
    }
}
