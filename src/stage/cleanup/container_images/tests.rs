//! Tests of the retention of container images: cases, and random worlds.

mod cases;
mod worlds;

use super::image::{Image, ImageKey, Manifest, Status};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;

pub const NOW: Timestamp = Timestamp(1_800_000_000);
pub const DAY: i64 = 86_400;
pub const REPOSITORY: &str = "team/web";
pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "eu-west-1";

/// An untagged image that was pushed so many days ago.
pub fn image(number: u32, days: i64) -> Image {
    Image {
        key: ImageKey::new(REPOSITORY, format!("sha256:{number:064x}")),
        tags: std::collections::BTreeSet::new(),
        pushed_on: Some(Timestamp(NOW.0 - days * DAY)),
        pulled_on: None,
        status: Status::Active,
        archived_on: None,
        activated_on: None,
        bytes: 40_000_000,
        manifest: Manifest::Single,
        subject: None,
    }
}

/// Rules that keep one image, and those younger than ten days.
pub fn rules() -> Rules {
    let text = format!(
        r#"{{"repositories": ["{REPOSITORY}"], "keep": {{"last": 1, "younger_than": "10d", "tags": ["keep-*"]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}
