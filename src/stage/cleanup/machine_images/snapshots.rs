//! Snapshots that outlive their image because another resource references them. Pure.
//!
//! A launch template may name a snapshot in its block device mappings, and launches nothing without it. A volume does
//! not need the snapshot it was created from: EBS keeps the data that the volume has yet to load.

use std::collections::BTreeSet;

use super::image::Image;
use crate::stage::aws_view::image_references::graph::{Listings, References, Resource, ResourceKind};

/// All references to snapshots: those in the lists, and the images that consist of them.
#[must_use]
pub fn references(listings: &Listings, images: &[Image]) -> References {
    let mut references = listings.by_snapshot();
    for image in images {
        for snapshot in &image.snapshots {
            let resource = Resource { kind: ResourceKind::Image, id: image.id().to_owned() };
            references.entry(snapshot.clone()).or_default().insert(resource);
        }
    }
    references
}

/// The snapshots that resources other than this image reference.
#[must_use]
pub fn retained<'s>(
    references: &References,
    image: &str,
    snapshots: impl IntoIterator<Item = &'s str>,
) -> References {
    let itself = Resource { kind: ResourceKind::Image, id: image.to_owned() };
    let others = |snapshot: &str| {
        let mut resources = references.get(snapshot)?.clone();
        resources.remove(&itself);
        (!resources.is_empty()).then(|| (snapshot.to_owned(), resources))
    };
    snapshots.into_iter().filter_map(others).collect()
}

/// The reason to keep a snapshot, for people.
#[must_use]
pub fn reason(resources: &BTreeSet<Resource>) -> String {
    let resources: Vec<String> = resources.iter().map(ToString::to_string).collect();
    format!("referenced by {}", resources.join(", "))
}
