//! Snapshots that something else names than the image that goes: they stay when it goes. Pure.
//!
//! A launch template can name a snapshot in its block device mappings, and does not launch any more without it. A volume
//! that was made of a snapshot does not need it: EBS keeps what the volume has still to load.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Facts, Kind, User};
use super::image::Image;

/// What names snapshots, by snapshot id.
pub type Held = BTreeMap<String, BTreeSet<User>>;

/// Everything that names snapshots: what the lists say, and the images that stand on them.
#[must_use]
pub fn named(facts: &Facts, images: &[Image]) -> Held {
    let mut named = facts.snapshots();
    for image in images {
        for snapshot in &image.snapshots {
            let user = User { kind: Kind::Image, id: image.id().to_owned() };
            named.entry(snapshot.clone()).or_default().insert(user);
        }
    }
    named
}

/// Of these snapshots, those that something else names than this image.
#[must_use]
pub fn held<'s>(named: &Held, image: &str, snapshots: impl IntoIterator<Item = &'s str>) -> Held {
    let itself = User { kind: Kind::Image, id: image.to_owned() };
    let others = |snapshot: &str| {
        let mut users = named.get(snapshot)?.clone();
        users.remove(&itself);
        (!users.is_empty()).then(|| (snapshot.to_owned(), users))
    };
    snapshots.into_iter().filter_map(others).collect()
}

/// Why a snapshot stays, in words.
#[must_use]
pub fn why(users: &BTreeSet<User>) -> String {
    let users: Vec<String> = users.iter().map(|user| format!("{} {}", user.kind.name(), user.id)).collect();
    format!("named by {}", users.join(", "))
}
