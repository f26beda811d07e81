//! One removal: what it needs to be told of when the image is gone, and the call itself.

use aws_sdk_ec2::types::Filter;
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::snapshots::{self, Held};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ImageIdentity;
use crate::evidence::predicate::{PlannedImage, SnapshotOutcome};

/// What became of a snapshot that something else names. Which that is, the last look says again.
const HELD: &str = "held";

/// Snapshots of one image that travel in a token; of more, only the number.
const SNAPSHOTS: usize = 8;

/// An image that is to go or went, as it travels in the token: it cannot be asked any more when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRemoval {
    pub id: String,
    pub name: String,
    /// `CreationDate`.
    pub made: String,
    /// Snapshot ids and, once it is known, what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// Snapshots that found no room here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u16,
    /// It is deregistered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(more: &u16) -> bool {
    *more == 0
}

/// A snapshot: `snap-…`, and once it is known `snap-…=success`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Snapshot {
    pub id: String,
    pub outcome: Option<String>,
}

impl From<String> for Snapshot {
    fn from(text: String) -> Self {
        match text.split_once('=') {
            Some((id, outcome)) => Self { id: id.to_owned(), outcome: Some(outcome.to_owned()) },
            None => Self { id: text, outcome: None },
        }
    }
}

impl From<Snapshot> for String {
    fn from(snapshot: Snapshot) -> Self {
        match snapshot.outcome {
            Some(outcome) => format!("{}={outcome}", snapshot.id),
            None => snapshot.id,
        }
    }
}

impl PendingRemoval {
    #[must_use]
    pub fn new(image: &Image) -> Self {
        let snapshots: Vec<Snapshot> =
            image.snapshots.iter().take(SNAPSHOTS).cloned().map(Snapshot::from).collect();
        let more = u16::try_from(image.snapshots.len().saturating_sub(snapshots.len())).unwrap_or(u16::MAX);
        Self {
            id: image.id().to_owned(),
            name: image.identity.name.clone(),
            made: image.identity.creation_date.clone(),
            snapshots,
            more,
            gone: false,
        }
    }

    /// The image as a plan has it.
    #[must_use]
    pub fn of_plan(planned: &PlannedImage) -> Self {
        Self {
            id: planned.image.image_id.clone(),
            name: planned.image.name.clone(),
            made: planned.image.creation_date.clone(),
            snapshots: planned.snapshots.iter().cloned().map(Snapshot::from).collect(),
            more: 0,
            gone: false,
        }
    }

    /// Marks the snapshots that something else names.
    fn hold(&mut self, held: &Held) {
        for snapshot in self.snapshots.iter_mut().filter(|snapshot| held.contains_key(&snapshot.id)) {
            snapshot.outcome = Some(HELD.to_owned());
        }
    }

    /// Bytes it takes in a token when everything about it is known.
    #[must_use]
    pub fn room(&self) -> usize {
        // The longest outcome is `=missing-permissions`; `"gone":true,` is not there yet.
        let json = serde_json::to_string(self).map_or(usize::MAX / 2, |text| text.len());
        json + 20 * self.snapshots.len() + 14
    }

    #[must_use]
    pub fn identity(&self, account: &str, region: &str) -> ImageIdentity {
        ImageIdentity {
            account: account.to_owned(),
            creation_date: self.made.clone(),
            image_id: self.id.clone(),
            name: self.name.clone(),
            region: region.to_owned(),
        }
    }

    /// Whether the image is gone, and with it every snapshot that is to go.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.gone && self.snapshots.iter().all(|snapshot| snapshot.outcome.is_some())
    }

    /// What became of its snapshots. `held`: what names those that stayed.
    #[must_use]
    pub fn outcomes(&self, held: &Held) -> Vec<SnapshotOutcome> {
        let outcome = |snapshot: &Snapshot| match (snapshot.outcome.as_deref(), held.get(&snapshot.id)) {
            (None, _) => "not known".to_owned(),
            (Some(HELD), Some(users)) => format!("left, {}", snapshots::why(users)),
            (Some(HELD), None) => "left, named by something when the image went".to_owned(),
            (Some(outcome), _) => outcome.to_owned(),
        };
        let told = |snapshot: &Snapshot| SnapshotOutcome {
            snapshot_id: snapshot.id.clone(),
            outcome: outcome(snapshot),
        };
        let mut outcomes: Vec<SnapshotOutcome> = self.snapshots.iter().map(told).collect();
        if self.more > 0 {
            let snapshot_id = format!("{} more", self.more);
            outcomes.push(SnapshotOutcome { snapshot_id, outcome: "not listed".to_owned() });
        }
        outcomes
    }

    /// Snapshots that stayed because something else names them.
    pub fn held(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| snapshot.outcome.as_deref() == Some(HELD))
    }

    /// Snapshots that are neither deleted nor needed by anything else.
    pub fn left_over(&self) -> impl Iterator<Item = &Snapshot> {
        let fine =
            |outcome: &Option<String>| matches!(outcome.as_deref(), Some("success" | "skipped" | HELD));
        self.snapshots.iter().filter(move |snapshot| self.gone && !fine(&snapshot.outcome))
    }
}

/// What became of the attempt to remove an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is deregistered; its snapshots as far as EC2 says. Those without an outcome are still to go.
    Gone(PendingRemoval),
    /// It was gone before this call.
    WasGone,
    /// EC2 holds it: protected, or kept by AWS Backup.
    Held,
}

/// Deregisters an image and has its snapshots deleted with it, unless something else names one of them: EC2 would not
/// leave that one, and [`delete_next`] deletes the others. The call is the same however often it is sent: a second one
/// finds no image.
///
/// # Errors
/// As the call.
pub async fn remove(aws: &Aws, mut doomed: PendingRemoval, held: &Held) -> Result<Removed, StageError> {
    let answer = aws
        .ec2
        .deregister_image()
        .image_id(&doomed.id)
        .delete_associated_snapshots(held.is_empty())
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:DeregisterImage", &doomed.id, e));
    match answer {
        Ok(answer) => {
            doomed.gone = true;
            doomed.hold(held);
            for result in answer.delete_snapshot_results() {
                let Some(id) = result.snapshot_id() else { continue };
                let outcome = result.return_code().map(|code| code.as_str().to_owned());
                if let Some(snapshot) = doomed.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
                    snapshot.outcome = outcome;
                }
            }
            Ok(Removed::Gone(doomed))
        }
        Err(error) if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => {
            Ok(Removed::WasGone)
        }
        Err(error) if error.is("OperationNotPermitted") => Ok(Removed::Held),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the next snapshot that is still to go of an image that is gone. One that has come to be named meanwhile is
/// left.
///
/// # Errors
/// As the call.
pub async fn delete_next(aws: &Aws, mut doomed: PendingRemoval, held: &Held) -> Result<PendingRemoval, StageError> {
    doomed.hold(held);
    let Some(next) = doomed.snapshots.iter_mut().find(|snapshot| snapshot.outcome.is_none()) else {
        return Ok(doomed);
    };
    let sent = aws.ec2.delete_snapshot().snapshot_id(&next.id).send().await;
    // In the words of EC2's own outcomes.
    let outcome = match sent.map_err(|e| AwsError::new("ec2:DeleteSnapshot", &next.id, e)) {
        Ok(_) => "success",
        Err(error) if error.class == Class::Missing => "success",
        Err(error) if error.is("InvalidSnapshot.InUse") => "skipped",
        Err(error) if error.class == Class::Denied => "missing-permissions",
        Err(error) => return Err(error.into()),
    };
    next.outcome = Some(outcome.to_owned());
    Ok(doomed)
}

/// What became of an image that was deregistered by a call whose answer was lost.
///
/// # Errors
/// As the call that looks for its snapshots.
pub async fn adopt(aws: &Aws, mut doomed: PendingRemoval, held: &Held) -> Result<PendingRemoval, StageError> {
    doomed.gone = true;
    doomed.hold(held);
    let ids: Vec<String> = doomed.snapshots.iter().map(|snapshot| snapshot.id.clone()).collect();
    if ids.is_empty() {
        return Ok(doomed);
    }
    // By filter and not by id, since an id that is gone would be an error.
    let filter = Filter::builder().name("snapshot-id").set_values(Some(ids)).build();
    let mut found = aws.ec2.describe_snapshots().filters(filter).into_paginator().items().send();
    let mut there = Vec::new();
    while let Some(snapshot) = found.next().await {
        let snapshot = snapshot.map_err(|e| AwsError::new("ec2:DescribeSnapshots", &doomed.id, e))?;
        there.extend(snapshot.snapshot_id().map(str::to_owned));
    }
    for snapshot in &mut doomed.snapshots {
        snapshot.outcome = match (there.contains(&snapshot.id), held.is_empty()) {
            (false, _) => Some("success".to_owned()),
            (true, true) => Some("still there".to_owned()),
            // The call did not ask for the snapshots: those that nothing else names are still to go.
            (true, false) => snapshot.outcome.take(),
        };
    }
    Ok(doomed)
}
