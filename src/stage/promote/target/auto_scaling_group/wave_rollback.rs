//! The rollback of one group of a promotion in waves: what restores it. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::created_versions::was_refreshed;
use crate::stage::aws_view::groups::{Group, LaunchSource};
use crate::stage::aws_view::instance_refreshes::{Refresh, Status};
use crate::stage::aws_view::launch_templates::{CreatedVersion, number};

/// What restores a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackAction {
    /// Nothing: the group is as it was, or was never changed.
    Restored,
    /// Wait: something is under way that restores it.
    Wait(String),
    /// AWS can roll its instance refresh back.
    RollBack,
    /// Its instance refresh is over: another one restores this version of its template.
    Refresh(String, i64),
    /// Nothing: the group is someone else's, or restoring it failed.
    Skip(String),
}

/// How to restore a group. `created`: the versions of its template that this promotion created; `not_ready`: why the
/// group is not wholly on the image of the version that it launches.
#[must_use]
pub fn rollback_action(
    group: &Group,
    refreshes: &[Refresh],
    created: &[CreatedVersion],
    not_ready: Option<&str>,
) -> RollbackAction {
    let LaunchSource::Template { id, version } = &group.launch_source else {
        return RollbackAction::Skip("it does not launch from a launch template any more".to_owned());
    };
    let Some(launches) = number(version) else {
        return RollbackAction::Skip(format!("it launches version {version} of {id} now"));
    };
    let version_of = |refresh: &Refresh| {
        let (of, at) = refresh.brings.as_ref()?;
        number(at).filter(|_| of == id)
    };
    let ours = |version: Option<i64>| created.iter().find(|created| Some(created.version) == version);
    let newest = refreshes.first();
    if let Some(refresh) = newest.filter(|refresh| !refresh.status.is_over()) {
        let to = version_of(refresh);
        return match (ours(to).is_some(), refresh.status) {
            (true, Status::Pending | Status::InProgress | Status::Baking) => RollbackAction::RollBack,
            (true, _) => RollbackAction::Wait(format!("its refresh is {}", refresh.status.name())),
            (false, _) if created.iter().any(|created| Some(created.mark.from) == to) => {
                RollbackAction::Wait(format!("{} % restored", refresh.percent))
            }
            (false, _) => RollbackAction::Skip(format!("someone else's refresh {} is under way", refresh.id)),
        };
    }
    let ended = |refresh: &Refresh| format!("the refresh {} ended as {}", refresh.id, refresh.status.name());
    if let Some(version) = ours(Some(launches)) {
        return match newest {
            Some(refresh) if version_of(refresh) == Some(version.mark.from) => {
                RollbackAction::Skip(ended(refresh))
            }
            _ => RollbackAction::Refresh(id.clone(), version.mark.from),
        };
    }
    if !was_refreshed(refreshes, created, id) {
        return RollbackAction::Restored;
    }
    let Some(not_ready) = not_ready else { return RollbackAction::Restored };
    if !created.iter().any(|created| created.mark.from == launches) {
        return RollbackAction::Skip(format!(
            "it launches version {launches} now, which is not of this promotion: {not_ready}"
        ));
    }
    match newest {
        Some(refresh) if version_of(refresh) == Some(launches) && refresh.status != Status::Successful => {
            RollbackAction::Skip(ended(refresh))
        }
        // Cancelled half way: the group launches what it did, and its instances run both images.
        Some(refresh)
            if ours(version_of(refresh)).is_some() && refresh.status != Status::RollbackSuccessful =>
        {
            RollbackAction::Refresh(id.clone(), launches)
        }
        _ => RollbackAction::Wait(not_ready.to_owned()),
    }
}

/// The progress of restoring the groups, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeBack {
    /// Groups that may have been given the image, the first one included.
    pub reached: u16,
    /// Of them, from the last: groups whose rollback was requested. That of the next one may have been.
    pub begun: u16,
    /// Of them, from the last: groups that are restored, or skipped.
    pub done: u16,
    /// Polls in a row in which no group was restored.
    pub polls: u16,
    /// The counts are about the groups that were discovered, because the spec and its order are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discovered: bool,
}

impl TakeBack {
    #[must_use]
    pub fn of(reached: u16) -> Self {
        Self { reached, begun: 0, done: 0, polls: 0, discovered: false }
    }

    /// The same progress in a list of `groups`, or a new one if it counted through another list, which has another order.
    #[must_use]
    pub fn through(self, groups: u16, discovered: bool) -> Self {
        let is_same = if discovered { self.discovered && self.reached == groups } else { !self.discovered };
        if is_same { self } else { Self { discovered, ..Self::of(groups) } }
    }

    /// How long it may take: an hour, and one more for every five groups, at most as long as a custom action lives.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_hours(1 + u64::from(self.reached / 5).min(21))
    }
}
