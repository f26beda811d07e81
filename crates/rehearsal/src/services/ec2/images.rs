//! Images: created by a fixture, from an instance, or as a copy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::instance_behavior::InstanceBehavior;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Tags, refuse};
use super::blocks::{Blocks, Fill};
use super::launch::{TagSpecification, remember, replay, tags_for};
use super::snapshots::{self, Snapshot};
use super::{Event, enter, instances, place};

/// The duration of `CopyImage` and `CreateImage`.
const COPY_TAKES: Duration = Duration::from_mins(5);
const CREATE_TAKES: Duration = Duration::from_mins(3);

/// The state of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    Pending,
    Available,
    Disabled,
    Deregistered,
}

impl ImageState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Disabled => "disabled",
            Self::Deregistered => "deregistered",
        }
    }
}

/// Deregistration protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Off,
    On {
        with_cooldown: bool,
    },
    /// Disabled, but in force until the cooldown of 24 hours ends.
    CoolingDown {
        until: Time,
    },
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub description: Option<String>,
    pub tags: Tags,
    pub state: ImageState,
    pub created: Time,
    pub snapshots: Vec<String>,
    pub source_image: Option<String>,
    pub source_region: Option<String>,
    pub source_instance: Option<String>,
    /// The accounts with launch permission, besides its owner.
    pub shared_with: BTreeSet<String>,
    pub public: bool,
    pub deprecated_at: Option<Time>,
    pub protection: Protection,
    /// The time of the last launch, reported with a delay of 24 hours.
    pub last_launched: Option<Time>,
    pub(super) imds_v2: bool,
    pub(super) disk: Disk,
    pub(super) ended: Option<Time>,
    pub(super) behavior: Arc<InstanceBehavior>,
}

impl Image {
    /// Whether the account owns the image or has launch permission.
    #[must_use]
    pub fn launchable_by(&self, account: &str) -> bool {
        self.account == account || self.public || self.shared_with.contains(account)
    }

    pub(super) fn is_registered(&self) -> bool {
        self.state != ImageState::Deregistered
    }
}

/// An image to register.
#[derive(Clone, Debug)]
pub struct NewImage {
    pub name: String,
    pub account: String,
    pub region: String,
    pub description: Option<String>,
    pub tags: Tags,
    pub source_image: Option<String>,
    pub behavior: InstanceBehavior,
    /// How long it stays `pending`.
    pub available_after: Duration,
    /// How many snapshots it has.
    pub snapshots: usize,
    pub disk: Disk,
}

/// The volumes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The size of each volume in GiB.
    pub size: u32,
    pub encrypted: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self { size: 8, encrypted: false }
    }
}

/// Registers an image. Returns its id.
pub fn register_image(world: &mut World, new: NewImage) -> String {
    let now = world.now;
    let id = world.ids.ec2("ami");
    let done = now + new.available_after;
    let snapshots = (0..new.snapshots.max(1)).map(|_| snapshots::add(world, &id, &new)).collect();
    let image = Image {
        id: id.clone(),
        name: new.name,
        account: new.account,
        region: new.region,
        description: new.description,
        tags: new.tags,
        state: ImageState::Pending,
        created: now,
        snapshots,
        source_image: new.source_image,
        source_region: None,
        source_instance: None,
        shared_with: BTreeSet::new(),
        public: false,
        deprecated_at: None,
        protection: Protection::Off,
        last_launched: None,
        imds_v2: false,
        disk: new.disk,
        ended: None,
        behavior: Arc::new(new.behavior),
    };
    world.ec2.images.insert(id.clone(), image);
    if new.available_after.is_zero() {
        available(world, &id);
    } else {
        enter(world, done, Event::ImageAvailable(id.clone()));
    }
    id
}

/// Copies the content of the volumes of `image` to those of `copy`.
pub fn copy_content(world: &mut World, image: &str, copy: &str) {
    let of = |id: &str| world.ec2.images.get(id).map(|i| i.snapshots.clone()).unwrap_or_default();
    for (from, to) in of(image).into_iter().zip(of(copy)) {
        let Some(blocks) = world.ec2.snapshots.get(&from).map(|s| s.blocks.clone()) else { continue };
        if let Some(snapshot) = world.ec2.snapshots.get_mut(&to) {
            snapshot.blocks = blocks;
        }
    }
}

/// Writes a block of one of an image's volumes, without any checks.
pub fn write_block(world: &mut World, image: &str, volume: usize, index: u32, fill: Fill) {
    let id = world.ec2.images.get(image).and_then(|i| i.snapshots.get(volume)).cloned();
    if let Some(snapshot) = id.and_then(|id| world.ec2.snapshots.get_mut(&id)) {
        snapshot.blocks.write(index, fill);
    }
}

/// Replaces the blocks of one of an image's volumes.
pub fn write_volume(world: &mut World, image: &str, volume: usize, blocks: Blocks) {
    let id = world.ec2.images.get(image).and_then(|i| i.snapshots.get(volume)).cloned();
    if let Some(snapshot) = id.and_then(|id| world.ec2.snapshots.get_mut(&id)) {
        snapshot.blocks = blocks;
    }
}

/// Makes `image` use the snapshots of `other` as well as its own.
pub fn share_snapshots(world: &mut World, image: &str, other: &str) {
    let shared = world.ec2.images.get(other).map(|i| i.snapshots.clone()).unwrap_or_default();
    if let Some(image) = world.ec2.images.get_mut(image) {
        image.snapshots.extend(shared);
    }
}

pub(super) fn available(world: &mut World, id: &str) {
    if let Some(image) = world.ec2.images.get_mut(id)
        && image.state == ImageState::Pending
    {
        image.state = ImageState::Available;
    }
}

pub(super) fn not_found(id: &str) -> ApiError {
    refuse("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
}

/// The caller's own registered image.
pub(super) fn owned<'a>(world: &'a mut World, call: &Call, id: &str) -> Result<&'a mut Image, ApiError> {
    let image = world
        .ec2
        .images
        .get_mut(id)
        .filter(|i| i.region == call.region && i.launchable_by(&call.account))
        .ok_or_else(|| not_found(id))?;
    if !image.is_registered() {
        // EC2 has a different error for the owner of a deregistered image.
        return Err(refuse(
            "InvalidAMIID.Unavailable",
            format!("The image ID '{id}' has been deregistered and is no longer available"),
        ));
    }
    if image.account != call.account {
        return Err(refuse("AuthFailure", format!("Not authorized for image: {id}")));
    }
    Ok(image)
}

fn free_name(world: &World, call: &Call, name: &str) -> Result<(), ApiError> {
    let taken = world.ec2.images.values().find(|i| {
        i.is_registered() && i.account == call.account && i.region == call.region && i.name == name
    });
    match taken {
        Some(image) => Err(refuse(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by AMI {}", image.id),
        )),
        None if !(3..=128).contains(&name.len()) => {
            Err(refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long"))
        }
        None => Ok(()),
    }
}

/// The input of `CreateImage` and `CopyImage`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewFrom {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    source_image_id: String,
    #[serde(default)]
    source_region: String,
    #[serde(default)]
    copy_image_tags: bool,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    client_token: Option<String>,
}

/// `CreateImage`: an image of an instance's current disk. Its instances behave like that instance.
pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: NewFrom = call.parse()?;
    let instance = world
        .ec2
        .instances
        .get(&input.instance_id)
        .filter(|i| i.account == call.account && i.region == call.region)
        .ok_or_else(|| instances::not_found(&input.instance_id))?;
    if !instance.state.is_live() && instance.state != instances::InstanceState::Stopped {
        return Err(refuse(
            "IncorrectState",
            format!("The instance '{}' is not in the 'running' or 'stopped' state.", input.instance_id),
        ));
    }
    let (behavior, source_image) = (instance.behavior.as_ref().clone(), instance.image_id.clone());
    free_name(world, call, &input.name)?;
    let id = register_image(
        world,
        NewImage {
            name: input.name,
            account: call.account.clone(),
            region: call.region.clone(),
            description: input.description,
            tags: tags_for(&input.tag_specifications, "image"),
            source_image: Some(source_image),
            behavior,
            available_after: CREATE_TAKES,
            snapshots: 1,
            disk: Disk::default(),
        },
    );
    tag_snapshots(world, &id, &tags_for(&input.tag_specifications, "snapshot"));
    if let Some(image) = world.ec2.images.get_mut(&id) {
        image.source_region = Some(call.region.clone());
        image.source_instance = Some(input.instance_id);
    }
    Ok(json!({ "ImageId": id }))
}

/// `CopyImage`: into the caller's Region and account. The copy behaves like its source.
pub(super) fn copy(world: &mut World, call: &Call) -> Answer {
    let input: NewFrom = call.parse()?;
    if let Some(token) = &input.client_token
        && let Some(answer) = replay(world, &place(call), "CopyImage", token, call)?
    {
        return Ok(answer);
    }
    let source = world
        .ec2
        .images
        .get(&input.source_image_id)
        .filter(|i| i.region == input.source_region && i.launchable_by(&call.account))
        .ok_or_else(|| not_found(&input.source_image_id))?;
    if source.state != ImageState::Available {
        return Err(refuse(
            "InvalidAMIID.Unavailable",
            format!("The image '{}' is in state {}.", source.id, source.state.name()),
        ));
    }
    let mut tags = tags_for(&input.tag_specifications, "image");
    if input.copy_image_tags && source.account == call.account {
        for (key, value) in source.tags.iter().filter(|(key, _)| !key.starts_with("aws:")) {
            tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    let new = NewImage {
        name: input.name.clone(),
        account: call.account.clone(),
        region: call.region.clone(),
        description: input.description,
        tags,
        source_image: Some(source.id.clone()),
        behavior: source.behavior.as_ref().clone(),
        available_after: COPY_TAKES,
        snapshots: source.snapshots.len(),
        // A copy of an encrypted image is always encrypted.
        disk: Disk { encrypted: source.disk.encrypted || input.encrypted, ..source.disk },
    };
    free_name(world, call, &input.name)?;
    let id = register_image(world, new);
    copy_content(world, &input.source_image_id, &id);
    tag_snapshots(world, &id, &tags_for(&input.tag_specifications, "snapshot"));
    if let Some(image) = world.ec2.images.get_mut(&id) {
        image.source_region = Some(input.source_region);
    }
    let answer = json!({ "ImageId": id });
    if let Some(token) = input.client_token {
        remember(world, place(call), "CopyImage", token, call, &answer);
    }
    Ok(answer)
}

fn tag_snapshots(world: &mut World, image: &str, tags: &Tags) {
    let ids = world.ec2.images.get(image).map(|i| i.snapshots.clone()).unwrap_or_default();
    for id in ids {
        if let Some(Snapshot { tags: own, .. }) = world.ec2.snapshots.get_mut(&id) {
            own.extend(tags.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
}
