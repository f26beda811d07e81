//! The machine images of a build: which copies there are, and whether each one is available. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ImageError;
use crate::evidence::ImageIdentity;
use crate::spec::ImageCopy;

/// Reads in a row that must find every image available: EC2 and ECR are eventually consistent.
pub const CONFIRMING_READS: u8 = 3;

/// A machine image of a build: one copy in one region and account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltImage {
    pub region: String,
    pub account: String,
    /// `ami-…`.
    pub id: String,
}

/// The machine images of a build, by owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Copies in the account that builds, sorted. The stage checks and tags them, and they are the statement's subjects.
    pub own: Vec<BuiltImage>,
    /// Copies in other accounts, sorted. The statement records what Image Builder reports of them.
    pub in_other_accounts: Vec<BuiltImage>,
}

impl Copies {
    /// The own copy in a region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Option<&BuiltImage> {
        self.own.iter().find(|image| image.region == region)
    }
}

/// Checks the images of a build against the copies that the spec expects.
///
/// # Errors
/// There is no image, there are two in one place, an expected copy is missing, or none is in `account`.
pub fn copies(images: &[BuiltImage], expect: &[ImageCopy], account: &str) -> Result<Copies, ImageError> {
    if images.is_empty() {
        return Err(ImageError::NoImage);
    }
    let mut places = BTreeSet::new();
    for image in images {
        if !places.insert((image.region.as_str(), image.account.as_str())) {
            return Err(ImageError::TwoImages {
                region: image.region.clone(),
                account: image.account.clone(),
            });
        }
    }
    check_places(&places, expect)?;
    let mut sorted = images.to_vec();
    sorted.sort();
    let (own, in_other_accounts): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|image| image.account == account);
    if own.is_empty() {
        return Err(ImageError::NoOwnCopy { account: account.to_owned() });
    }
    Ok(Copies { own, in_other_accounts })
}

/// Checks the places (region and account) of the images against those that the spec expects.
///
/// # Errors
/// A place is missing; says which.
pub fn check_places(places: &BTreeSet<(&str, &str)>, expect: &[ImageCopy]) -> Result<(), ImageError> {
    let missing: Vec<String> = expect
        .iter()
        .filter(|copy| !places.contains(&(copy.region.as_str(), copy.account.as_str())))
        .map(|copy| format!("{} of account {}", copy.region, copy.account))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let found: Vec<String> =
        places.iter().map(|(region, account)| format!("{region} of account {account}")).collect();
    Err(ImageError::MissingCopies { missing: missing.join(", "), found: found.join(", ") })
}

/// A machine image, as EC2 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub state: String,
    pub reason: Option<String>,
    pub name: Option<String>,
    /// `CreationDate`, as EC2 writes it.
    pub creation_date: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// Whether an image can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// Not yet, and why: a new image may not be found at once.
    Pending(String),
    /// Never, and why.
    Unusable(String),
}

/// The availability of `image`, as EC2 describes it; `found` is none if EC2 does not find it.
#[must_use]
pub fn of_image(image: &BuiltImage, found: Option<&Described>) -> Availability {
    let place = format!("{} in {}", image.id, image.region);
    let Some(found) = found else { return Availability::Pending(format!("{place} is not found yet")) };
    match found.state.as_str() {
        "available" => Availability::Available,
        "failed" | "error" | "invalid" | "deregistered" | "disabled" => Availability::Unusable(format!(
            "{place} is {}: {}",
            found.state,
            found.reason.as_deref().unwrap_or("no reason given")
        )),
        other => Availability::Pending(format!("{place} is {other}")),
    }
}

/// The identity of an image.
///
/// # Errors
/// EC2 reports no creation date or no name.
pub fn identity(image: &BuiltImage, found: &Described) -> Result<ImageIdentity, ImageError> {
    let missing =
        |member| ImageError::NoIdentity { member, image: format!("{} in {}", image.id, image.region) };
    Ok(ImageIdentity {
        account: image.account.clone(),
        creation_date: found.creation_date.clone().ok_or_else(|| missing("CreationDate"))?,
        image_id: image.id.clone(),
        name: found.name.clone().ok_or_else(|| missing("Name"))?,
        region: image.region.clone(),
    })
}

/// The wanted tags that an image lacks.
#[must_use]
pub fn missing_tags(wanted: &BTreeMap<String, String>, found: &Described) -> BTreeMap<String, String> {
    let lacks = |(key, value): &(&String, &String)| found.tags.get(*key) != Some(*value);
    wanted.iter().filter(lacks).map(|(key, value)| (key.clone(), value.clone())).collect()
}
