//! Waves of groups, purely: when a wave goes on, has passed or is turned back, and what takes a group back.
//!
//! The token names no group: which of them stands where follows from the spec's order, two counters, and what AWS says
//! of the few that are under way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CONFIRMATIONS;
use super::judge::{self, Due, Finding};
use super::observe::{Group, Launches};
use super::pace::Pace;
use super::preflight::number;
use super::refresh::{Refresh, Status};
use super::steps::PATIENCE;
use super::template::Made;
use crate::engine::Timestamp;
use crate::evidence::predicate::Verdict;
use crate::spec::GroupPromotion;

/// Where a promotion stands in its waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The wave's place in the spec.
    pub wave: u8,
    /// Groups before this wave, the promotion's first one included.
    pub before: u16,
    /// The wave's groups that were seen wholly on the image, in the order of the spec.
    pub done: u16,
    /// The wave's groups whose refresh was started. That of the next one may have been.
    pub begun: u16,
    /// The last look at which all was known and nothing was wrong; at first, when the wave began.
    pub good: Timestamp,
    /// Since when the whole wave is on the image, and holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Timestamp>,
    /// Looks in a row that found the whole wave on the image.
    pub seen: u8,
    /// Looks in a row that found a group not well, and nothing under way that would mend it.
    pub looks: u16,
}

impl Cursor {
    /// At the beginning of a wave that `before` groups precede.
    #[must_use]
    pub fn at(wave: u8, before: u16, now: Timestamp) -> Self {
        Self { wave, before, done: 0, begun: 0, good: now, whole: None, seen: 0, looks: 0 }
    }

    /// Groups that may have been given the image, the first one included.
    #[must_use]
    pub fn reached(&self) -> u16 {
        self.before.saturating_add(self.begun).saturating_add(1)
    }

    /// From when on the numbers of a look count: the hold of the whole wave, or as long a time until now.
    #[must_use]
    pub fn seen_since(&self, promote: &GroupPromotion, now: Timestamp) -> Timestamp {
        let hold = i64::try_from(Pace::of(promote).hold).unwrap_or(i64::MAX);
        self.whole.unwrap_or(Timestamp(now.0.saturating_sub(hold)))
    }

    /// Whether a verdict on the wave is due.
    #[must_use]
    pub fn due(&self, promote: &GroupPromotion, now: Timestamp) -> Due {
        let pace = Pace::of(promote);
        let since = |then: Timestamp| now.since(then).as_secs();
        match self.whole {
            Some(whole) if since(whole) >= pace.hold + pace.grace => Due::Final,
            Some(whole) if since(whole) >= pace.hold => Due::Ripe,
            // AWS lets a group on from a checkpoint after hold, grace and margin: it is stopped before that.
            None if since(self.good) >= pace.hold + pace.grace => Due::Final,
            _ => Due::NotYet,
        }
    }
}

/// How a group of a wave stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Wholly on the image and well.
    Whole,
    /// Its refresh is under way.
    Moving,
    /// Not wholly on the image, or not well, and nothing is under way that would mend it.
    Lacking(String),
    /// It will not get there.
    Lost(String),
}

/// How a group stands, from its newest refresh, and from what its fleet lacks when no refresh is under way.
#[must_use]
pub fn stands(newest: Option<&Refresh>, lacks: Option<String>, began: Timestamp) -> Stands {
    let Some(lacks) = lacks else { return Stands::Whole };
    // One that ended before this promotion began says nothing of it. One that is pending has no beginning yet.
    let ours =
        |refresh: &&Refresh| refresh.started >= began.0 || refresh.started == 0 && !refresh.status.is_over();
    match newest.filter(ours) {
        Some(refresh) => match refresh.status {
            Status::Pending | Status::InProgress | Status::Baking | Status::Unknown => Stands::Moving,
            Status::Successful => Stands::Lacking(lacks),
            Status::Cancelling
            | Status::RollbackInProgress
            | Status::Failed
            | Status::Cancelled
            | Status::RollbackSuccessful
            | Status::RollbackFailed => {
                let reason = &refresh.reason;
                Stands::Lost(format!("AWS ended its refresh ({}): {reason}", refresh.status.name()))
            }
        },
        None => Stands::Lacking(lacks),
    }
}

/// What follows from a look at a wave.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Look again, or begin with the next group.
    Look(Cursor, String),
    /// Every group of the wave has passed.
    Passed,
    TurnBack(String),
}

/// Decides on a wave. `stand`: the groups that are under way by name, in the spec's order; once the wave is whole, those
/// that are not well.
#[must_use]
pub fn decide(
    promote: &GroupPromotion,
    mut cursor: Cursor,
    size: u16,
    stand: &[(&str, Stands)],
    finding: &Finding,
    now: Timestamp,
) -> Then {
    let due = cursor.due(promote, now);
    if let Finding::Bad(_) = finding {
        return Then::TurnBack(judge::reason(finding));
    }
    if let Some((name, why)) = stand.iter().find_map(|(name, stands)| match stands {
        Stands::Lost(why) => Some((name, why)),
        Stands::Whole | Stands::Moving | Stands::Lacking(_) => None,
    }) {
        return Then::TurnBack(format!("{name}: {why}"));
    }
    let lacking = stand.iter().find_map(|(name, stands)| match stands {
        Stands::Lacking(what) => Some(format!("{name}: {what}")),
        Stands::Whole | Stands::Moving | Stands::Lost(_) => None,
    });
    cursor.looks = if lacking.is_some() { cursor.looks.saturating_add(1) } else { 0 };
    if let Some(what) = lacking.as_ref().filter(|_| cursor.looks >= PATIENCE) {
        return Then::TurnBack(format!("a group is not wholly on the image and healthy: {what}"));
    }
    if *finding == Finding::Good {
        cursor.good = now;
    } else if due == Due::Final {
        return Then::TurnBack(judge::reason(finding));
    }
    if cursor.whole.is_some() {
        cursor.seen = if lacking.is_some() { 0 } else { cursor.seen.saturating_add(1) };
        let passed = judge::verdict(finding, due) == Verdict::Continue && cursor.seen >= CONFIRMATIONS;
        return if passed {
            Then::Passed
        } else {
            Then::Look(cursor, lacking.unwrap_or_else(|| "the whole wave holds".to_owned()))
        };
    }
    let there = stand.iter().take_while(|(_, stands)| *stands == Stands::Whole).count();
    cursor.done = cursor.done.saturating_add(u16::try_from(there).unwrap_or(u16::MAX));
    if cursor.done >= size {
        cursor.whole = Some(now);
    }
    let moving = stand.iter().filter(|(_, stands)| *stands == Stands::Moving).count();
    Then::Look(cursor, lacking.unwrap_or_else(|| format!("{moving} groups under way")))
}

/// What takes a group back to what it launched before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// It is as it was, or was never touched.
    Whole,
    /// Something is under way that takes it back.
    Moving(String),
    /// AWS can roll its refresh back.
    RollBack,
    /// Its refresh is over: another one takes it back to this version of its template.
    Refresh(String, i64),
    /// It is not ours to take back, or was tried and failed.
    Leave(String),
}

/// How to take a group back. `made` are the versions of its template that this promotion made; `lacks` is what keeps it
/// from being wholly on the image of the version it launches.
#[must_use]
pub fn way_back(group: &Group, refreshes: &[Refresh], made: &[Made], lacks: Option<&str>) -> Back {
    let Launches::Template { id, version } = &group.launches else {
        return Back::Leave("it launches from something else now".to_owned());
    };
    let Some(launches) = number(version) else {
        return Back::Leave(format!("it launches version {version} of {id} now"));
    };
    let brings = |refresh: &Refresh| {
        let (of, at) = refresh.brings.as_ref()?;
        number(at).filter(|_| of == id)
    };
    let ours = |version: Option<i64>| made.iter().find(|made| Some(made.version) == version);
    let newest = refreshes.first();
    if let Some(refresh) = newest.filter(|refresh| !refresh.status.is_over()) {
        let to = brings(refresh);
        return match (ours(to).is_some(), refresh.status) {
            (true, Status::Pending | Status::InProgress | Status::Baking) => Back::RollBack,
            (true, _) => Back::Moving(format!("its refresh is {}", refresh.status.name())),
            (false, _) if made.iter().any(|made| Some(made.mark.from) == to) => {
                Back::Moving(format!("{} % back", refresh.percent))
            }
            (false, _) => Back::Leave(format!("someone else's refresh {} is under way", refresh.id)),
        };
    }
    let over = |refresh: &Refresh| format!("the refresh {} ended as {}", refresh.id, refresh.status.name());
    if let Some(taken) = ours(Some(launches)) {
        return match newest {
            Some(refresh) if brings(refresh) == Some(taken.mark.from) => Back::Leave(over(refresh)),
            _ => Back::Refresh(id.clone(), taken.mark.from),
        };
    }
    if !given(refreshes, made, id) {
        return Back::Whole;
    }
    let Some(lacks) = lacks else { return Back::Whole };
    if !made.iter().any(|made| made.mark.from == launches) {
        return Back::Leave(format!("it launches version {launches} now, which is not from here: {lacks}"));
    }
    match newest {
        Some(refresh) if brings(refresh) == Some(launches) && refresh.status != Status::Successful => {
            Back::Leave(over(refresh))
        }
        // Cancelled half way: the group is as it was, and its instances are mixed.
        Some(refresh) if ours(brings(refresh)).is_some() && refresh.status != Status::RollbackSuccessful => {
            Back::Refresh(id.clone(), launches)
        }
        _ => Back::Moving(lacks.to_owned()),
    }
}

/// Whether a group was ever given a version of this promotion's: whatever ails one that was not is none of its doing.
#[must_use]
pub fn given(refreshes: &[Refresh], made: &[Made], template: &str) -> bool {
    refreshes
        .iter()
        .filter_map(|refresh| refresh.brings.as_ref())
        .any(|(id, version)| id == template && made.iter().any(|made| Some(made.version) == number(version)))
}

/// How far a promotion has come in taking its groups back, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Groups that may have been given the image, the first one included.
    pub reached: u16,
    /// Of them, from the last: so many were asked to go back. The next may have been.
    pub begun: u16,
    /// Of them, from the last: so many are back, or are left.
    pub done: u16,
    /// Looks in a row at which none came back and nothing was under way.
    pub looks: u16,
    /// Counted through the groups that were found, since the spec and its order are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
}

impl Turn {
    #[must_use]
    pub fn of(reached: u16) -> Self {
        Self { reached, begun: 0, done: 0, looks: 0, blind: false }
    }

    /// The same count in a list of `groups`, or a new one when it was another list that was counted through: each has an
    /// order of its own, and a group that is back is passed over soon enough.
    #[must_use]
    pub fn through(self, groups: u16, blind: bool) -> Self {
        let is_same = if blind { self.blind && self.reached == groups } else { !self.blind };
        if is_same { self } else { Self { blind, ..Self::of(groups) } }
    }

    /// How long it may take: an hour, and one more for every five groups, as long as a custom action lives.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_hours(1 + u64::from(self.reached / 5).min(21))
    }
}

#[cfg(test)]
mod tests;
