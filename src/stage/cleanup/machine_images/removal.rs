//! Deregisters machine images and deletes their snapshots, and records in the token what was done.

use aws_sdk_ec2::types::Filter;
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::snapshots;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ImageIdentity;
use crate::evidence::predicate::{PlannedImage, SnapshotOutcome};
use crate::stage::aws_view::image_references::graph::References;

/// The outcome of a snapshot that another resource references. The last survey says which resource.
const RETAINED: &str = "retained";

/// Maximum number of snapshots per image in the token. Of the others, only the number is stored.
const SNAPSHOTS: usize = 8;

/// An image that is about to be deregistered or was, as the token stores it: EC2 cannot describe it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRemoval {
    pub id: String,
    pub name: String,
    /// EC2's `CreationDate`.
    pub created: String,
    /// The snapshots and, once known, the outcome of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// Number of snapshots that the token does not list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u16,
    /// Whether the image is deregistered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deregistered: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(unlisted: &u16) -> bool {
    *unlisted == 0
}

/// A snapshot with its outcome: `snap-…`, later `snap-…=success`.
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
        let unlisted =
            u16::try_from(image.snapshots.len().saturating_sub(snapshots.len())).unwrap_or(u16::MAX);
        Self {
            id: image.id().to_owned(),
            name: image.identity.name.clone(),
            created: image.identity.creation_date.clone(),
            snapshots,
            unlisted,
            deregistered: false,
        }
    }

    /// The removal of an image that a plan names.
    #[must_use]
    pub fn of_plan(planned: &PlannedImage) -> Self {
        Self {
            id: planned.image.image_id.clone(),
            name: planned.image.name.clone(),
            created: planned.image.creation_date.clone(),
            snapshots: planned.snapshots.iter().cloned().map(Snapshot::from).collect(),
            unlisted: 0,
            deregistered: false,
        }
    }

    /// Records that other resources reference these snapshots.
    fn retain(&mut self, retained: &References) {
        for snapshot in self.snapshots.iter_mut().filter(|snapshot| retained.contains_key(&snapshot.id)) {
            snapshot.outcome = Some(RETAINED.to_owned());
        }
    }

    /// Bytes in the token once every outcome is known.
    #[must_use]
    pub fn token_bytes(&self) -> usize {
        // The longest outcome is `=missing-permissions`; `"deregistered":true,` is added later.
        let json = serde_json::to_string(self).map_or(usize::MAX / 2, |text| text.len());
        json + 20 * self.snapshots.len() + 24
    }

    #[must_use]
    pub fn identity(&self, account: &str, region: &str) -> ImageIdentity {
        ImageIdentity {
            account: account.to_owned(),
            creation_date: self.created.clone(),
            image_id: self.id.clone(),
            name: self.name.clone(),
            region: region.to_owned(),
        }
    }

    /// Whether the image is deregistered and every snapshot has an outcome.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.deregistered && self.snapshots.iter().all(|snapshot| snapshot.outcome.is_some())
    }

    /// The outcome of each snapshot. `retained`: the resources that reference snapshots that stay.
    #[must_use]
    pub fn outcomes(&self, retained: &References) -> Vec<SnapshotOutcome> {
        let outcome = |snapshot: &Snapshot| match (snapshot.outcome.as_deref(), retained.get(&snapshot.id)) {
            (None, _) => "unknown".to_owned(),
            (Some(RETAINED), Some(users)) => format!("retained, {}", snapshots::reason(users)),
            (Some(RETAINED), None) => {
                "retained: another resource referenced it when the image was deregistered".to_owned()
            }
            (Some(outcome), _) => outcome.to_owned(),
        };
        let to_outcome = |snapshot: &Snapshot| SnapshotOutcome {
            snapshot_id: snapshot.id.clone(),
            outcome: outcome(snapshot),
        };
        let mut outcomes: Vec<SnapshotOutcome> = self.snapshots.iter().map(to_outcome).collect();
        if self.unlisted > 0 {
            let snapshot_id = format!("{} more", self.unlisted);
            outcomes.push(SnapshotOutcome { snapshot_id, outcome: "not_listed".to_owned() });
        }
        outcomes
    }

    /// Snapshots that stay because another resource references them.
    pub fn retained(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| snapshot.outcome.as_deref() == Some(RETAINED))
    }

    /// Snapshots that should have been deleted and were not.
    pub fn not_deleted(&self) -> impl Iterator<Item = &Snapshot> {
        let fine =
            |outcome: &Option<String>| matches!(outcome.as_deref(), Some("success" | "skipped" | RETAINED));
        self.snapshots.iter().filter(move |snapshot| self.deregistered && !fine(&snapshot.outcome))
    }
}

/// Result of deregistering an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deregistration {
    /// It is deregistered. Snapshots without an outcome remain to be deleted.
    Done(PendingRemoval),
    /// EC2 does not know it: an earlier call deregistered it.
    NotFound,
    /// EC2 refuses: the image is protected, or AWS Backup manages it.
    Refused,
}

/// Deregisters an image. EC2 deletes its snapshots in the same call unless another resource references one of them:
/// EC2 would delete that one too, so [`delete_next`] deletes the others one by one.
///
/// A repeated call returns [`Deregistration::NotFound`].
///
/// # Errors
/// As the call.
pub async fn deregister(
    aws: &Aws,
    mut removal: PendingRemoval,
    retained: &References,
) -> Result<Deregistration, StageError> {
    let answer = aws
        .ec2
        .deregister_image()
        .image_id(&removal.id)
        .delete_associated_snapshots(retained.is_empty())
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:DeregisterImage", &removal.id, e));
    match answer {
        Ok(answer) => {
            removal.deregistered = true;
            removal.retain(retained);
            for result in answer.delete_snapshot_results() {
                let Some(id) = result.snapshot_id() else { continue };
                let outcome = result.return_code().map(|code| code.as_str().to_owned());
                if let Some(snapshot) = removal.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
                    snapshot.outcome = outcome;
                }
            }
            Ok(Deregistration::Done(removal))
        }
        Err(error) if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => {
            Ok(Deregistration::NotFound)
        }
        Err(error) if error.is("OperationNotPermitted") => Ok(Deregistration::Refused),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the next snapshot of a deregistered image, unless another resource references it by now.
///
/// # Errors
/// As the call.
pub async fn delete_next(
    aws: &Aws,
    mut removal: PendingRemoval,
    retained: &References,
) -> Result<PendingRemoval, StageError> {
    removal.retain(retained);
    let Some(next) = removal.snapshots.iter_mut().find(|snapshot| snapshot.outcome.is_none()) else {
        return Ok(removal);
    };
    let sent = aws.ec2.delete_snapshot().snapshot_id(&next.id).send().await;
    // The values of EC2's own outcomes.
    let outcome = match sent.map_err(|e| AwsError::new("ec2:DeleteSnapshot", &next.id, e)) {
        Ok(_) => "success",
        Err(error) if error.class == Class::Missing => "success",
        Err(error) if error.is("InvalidSnapshot.InUse") => "skipped",
        Err(error) if error.class == Class::Denied => "missing-permissions",
        Err(error) => return Err(error.into()),
    };
    next.outcome = Some(outcome.to_owned());
    Ok(removal)
}

/// Finds out what a call whose reply was lost did to an image and its snapshots.
///
/// # Errors
/// As the call that lists the snapshots.
pub async fn adopt(
    aws: &Aws,
    mut removal: PendingRemoval,
    retained: &References,
) -> Result<PendingRemoval, StageError> {
    removal.deregistered = true;
    removal.retain(retained);
    let ids: Vec<String> = removal.snapshots.iter().map(|snapshot| snapshot.id.clone()).collect();
    if ids.is_empty() {
        return Ok(removal);
    }
    // By filter: a missing id would be an error.
    let filter = Filter::builder().name("snapshot-id").set_values(Some(ids)).build();
    let mut found = aws.ec2.describe_snapshots().filters(filter).into_paginator().items().send();
    let mut there = Vec::new();
    while let Some(snapshot) = found.next().await {
        let snapshot = snapshot.map_err(|e| AwsError::new("ec2:DescribeSnapshots", &removal.id, e))?;
        there.extend(snapshot.snapshot_id().map(str::to_owned));
    }
    for snapshot in &mut removal.snapshots {
        snapshot.outcome = match (there.contains(&snapshot.id), retained.is_empty()) {
            (false, _) => Some("success".to_owned()),
            (true, true) => Some("not_deleted".to_owned()),
            // The call did not delete snapshots: those that no other resource references remain to be deleted.
            (true, false) => snapshot.outcome.take(),
        };
    }
    Ok(removal)
}
