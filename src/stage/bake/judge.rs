//! What a build, its images and its parameter mean for the release. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::container::BuiltContainer;
use crate::evidence::ImageIdentity;
use crate::spec::ImageCopy;

/// Looks in a row that must find every image available before it is believed.
pub const LOOKS: u8 = 3;

/// How long the validation of an `aws:ec2:image` parameter may take: it runs after `PutParameter` has answered.
pub const VALIDATION: Duration = Duration::from_mins(5);

/// A build as Image Builder tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `state.status`.
    pub status: String,
    /// `state.reason`.
    pub reason: Option<String>,
    /// `state.failureContext`: there only when the build failed.
    pub breakdown: Option<Breakdown>,
    /// `outputResources.amis`.
    pub images: Vec<BuiltImage>,
    /// `outputResources.containers`.
    pub containers: Vec<BuiltContainer>,
}

/// Where a build failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// The workflow's ARN.
    pub workflow: Option<String>,
    /// The workflow's step.
    pub step: Option<String>,
    pub component: Option<ComponentBreakdown>,
    /// The message about the distribution as a whole.
    pub distribution: Option<String>,
    pub regions: Vec<RegionBreakdown>,
}

/// What went wrong inside a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentBreakdown {
    /// The component's ARN.
    pub component: Option<String>,
    pub phase: Option<String>,
    pub step: Option<String>,
    pub action: Option<String>,
    pub message: Option<String>,
}

/// What went wrong on the way to one region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionBreakdown {
    pub region: Option<String>,
    pub account: Option<String>,
    pub status: Option<String>,
    pub step: Option<String>,
    pub message: Option<String>,
}

/// One image that came out: a copy in one region and account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltImage {
    pub region: String,
    pub account: String,
    /// `ami-…`.
    pub id: String,
}

/// What a build's status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It goes on; a status that is not known counts as this.
    Going,
    /// The image is there.
    Available,
    /// It has ended without a usable image.
    Ended,
}

/// What `ImageState.status` means. The last three come from a lifecycle policy after a good end.
#[must_use]
pub fn stand(status: &str) -> Stand {
    match status {
        "AVAILABLE" => Stand::Available,
        "FAILED" | "CANCELLED" | "DELETED" | "DEPRECATED" | "DISABLED" => Stand::Ended,
        _ => Stand::Going,
    }
}

/// Why a build that has ended is no release: every word Image Builder has for it.
#[must_use]
pub fn failure_summary(arn: &str, build: &Build) -> String {
    let mut text = format!("image build {arn} ended {}", build.status);
    let mut say = |what: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {what}{value}");
        }
    };
    say("", build.reason.as_deref());
    if let Some(breakdown) = &build.breakdown {
        say("workflow ", breakdown.workflow.as_deref());
        say("workflow step ", breakdown.step.as_deref());
        if let Some(component) = &breakdown.component {
            say("component ", component.component.as_deref());
            say("phase ", component.phase.as_deref());
            say("step ", component.step.as_deref());
            say("action ", component.action.as_deref());
            say("error: ", component.message.as_deref());
        }
        say("distribution: ", breakdown.distribution.as_deref());
        for region in &breakdown.regions {
            say("", Some(&region.describe()));
        }
    }
    say("", remains(build).as_deref());
    text
}

impl RegionBreakdown {
    fn describe(&self) -> String {
        let named = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".into());
        format!(
            "region {} (account {}) {}{}: {}",
            named(&self.region),
            named(&self.account),
            named(&self.status),
            self.step.as_ref().map(|step| format!(" in {step}")).unwrap_or_default(),
            self.message.as_deref().unwrap_or("no message"),
        )
    }
}

/// The images an unfinished or unwanted build leaves behind, for a person to read.
#[must_use]
pub fn remains(build: &Build) -> Option<String> {
    let machines = build
        .images
        .iter()
        .map(|image| format!("{} in {} of account {}", image.id, image.region, image.account));
    let images: Vec<String> = machines.chain(build.containers.iter().map(BuiltContainer::place)).collect();
    if images.is_empty() {
        return None;
    }
    Some(format!("images that came out remain: {}", images.join(", ")))
}

/// The images an unwanted build left in other accounts, where they cannot be removed from here.
#[must_use]
pub fn foreign(build: &Build, account: &str) -> Option<String> {
    let foreign = build.images.iter().filter(|image| image.account != account);
    let named: Vec<String> = foreign
        .map(|image| format!("{} in {} of account {}", image.id, image.region, image.account))
        .collect();
    (!named.is_empty()).then(|| format!("images in other accounts remain: {}", named.join(", ")))
}

/// A workflow of a build (`WorkflowExecutionMetadata`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflow {
    pub id: String,
    /// BUILD, TEST or DISTRIBUTION.
    pub kind: String,
    pub status: String,
    /// Steps in all.
    pub total: i32,
    pub succeeded: i32,
    pub skipped: i32,
}

/// The workflow that is on now.
#[must_use]
pub fn running(workflows: &[Workflow]) -> Option<&Workflow> {
    workflows.iter().find(|workflow| workflow.status == "RUNNING")
}

/// How far a build has come, in percent and in words. The list of workflows may be empty: records of them are
/// kept for a limited time, and the first is made a while after the build began.
#[must_use]
pub fn progress(status: &str, workflows: &[Workflow], step: Option<&str>) -> (u8, String) {
    let base = base(status);
    let Some(workflow) = running(workflows) else { return (base, status.to_lowercase()) };
    let (from, width) = match workflow.kind.as_str() {
        "BUILD" => (3, 57),
        "TEST" => (60, 20),
        "DISTRIBUTION" => (80, 18),
        _ => (base, 0),
    };
    let total = workflow.total.max(0);
    let done = workflow.succeeded.max(0).saturating_add(workflow.skipped.max(0)).min(total);
    if total == 0 {
        return (base.max(from), status.to_lowercase());
    }
    let share = i64::from(width) * i64::from(done) / i64::from(total);
    let percent = u8::try_from(i64::from(from) + share).unwrap_or(base).max(base);
    let mut text =
        format!("{}: step {} of {total}", status.to_lowercase(), done.saturating_add(1).min(total));
    if let Some(step) = step {
        text.push_str(", ");
        text.push_str(step);
    }
    (percent, text)
}

/// A number that changes whenever a build moves, told from its status, its workflows and the step under way.
#[must_use]
pub fn mark(status: &str, workflows: &[Workflow], step: Option<&str>) -> u32 {
    let mut seen = format!("{status} {}", step.unwrap_or_default());
    for workflow in workflows {
        // Writing to a string cannot fail.
        let _ = write!(seen, " {} {} {}", workflow.id, workflow.status, workflow.succeeded);
    }
    let digest = crate::digest::Sha256::of(seen.as_bytes());
    digest.as_bytes().iter().take(4).fold(0, |mark, byte| mark << 8 | u32::from(*byte))
}

/// Whether an image that was available can come to this: what a lifecycle policy does, and no build that fails.
#[must_use]
pub fn ends_after_available(status: &str) -> bool {
    matches!(status, "DELETED" | "DEPRECATED" | "DISABLED")
}

/// How often a failed distribution is run on in place.
pub const RETRIES: u8 = 2;

/// How long after a retry a build may still be seen as it was before.
pub const RETRY_SEEN: Duration = Duration::from_mins(2);

/// Whether a build failed on its way to a region, with its image made and tested: then it is run on in place.
#[must_use]
pub fn failed_in_distribution(build: &Build) -> bool {
    let told = |breakdown: &Breakdown| breakdown.distribution.is_some() || !breakdown.regions.is_empty();
    build.status == "FAILED" && build.breakdown.as_ref().is_some_and(told)
}

fn base(status: &str) -> u8 {
    match status {
        "PENDING" | "CREATING" => 1,
        "BUILDING" => 3,
        "TESTING" => 60,
        "DISTRIBUTING" => 80,
        "INTEGRATING" => 95,
        _ => 0,
    }
}

/// The images of a build, told apart by who owns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Those of the pipeline's account, sorted: they are looked at, tagged and spoken for.
    pub own: Vec<BuiltImage>,
    /// Those of other accounts, sorted: what Image Builder says of them is recorded, and no more is known.
    pub foreign: Vec<BuiltImage>,
}

impl Copies {
    /// The image in a region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Option<&BuiltImage> {
        self.own.iter().find(|image| image.region == region)
    }
}

/// Holds what came out against what the spec expects.
///
/// # Errors
/// Nothing came out, two images in one place, one that was expected did not come out, or none is `account`'s own;
/// in words.
pub fn copies(images: &[BuiltImage], expect: &[ImageCopy], account: &str) -> Result<Copies, String> {
    if images.is_empty() {
        return Err("the build is available and no image came out of it".into());
    }
    let mut places = BTreeSet::new();
    for image in images {
        if !places.insert((image.region.as_str(), image.account.as_str())) {
            return Err(format!(
                "two images came out in {} of account {}; one is expected in every place",
                image.region, image.account
            ));
        }
    }
    expected(&places, expect)?;
    let mut sorted = images.to_vec();
    sorted.sort();
    let (own, foreign): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|image| image.account == account);
    if own.is_empty() {
        return Err(format!("none of the images is account {account}'s own, which is the image pipeline's"));
    }
    Ok(Copies { own, foreign })
}

/// Holds the places, of region and account, where something came out against those the spec expects.
///
/// # Errors
/// One is missing; in words.
pub fn expected(places: &BTreeSet<(&str, &str)>, expect: &[ImageCopy]) -> Result<(), String> {
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
    Err(format!(
        "no image came out in {}; images came out in {}: compare bake.expect with the distribution configuration",
        missing.join(", "),
        found.join(", ")
    ))
}

/// An image as EC2 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    pub state: String,
    pub reason: Option<String>,
    pub name: Option<String>,
    /// `CreationDate`, as EC2 writes it.
    pub creation_date: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// What a look at one image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Available,
    /// Not there yet: an image that was just made may not be found at once.
    NotYet(String),
    /// It will never be available.
    Broken(String),
}

/// Judges a look at `image`.
#[must_use]
pub fn look(image: &BuiltImage, found: Option<&Described>) -> Look {
    let place = format!("{} in {}", image.id, image.region);
    let Some(found) = found else { return Look::NotYet(format!("{place} is not found yet")) };
    match found.state.as_str() {
        "available" => Look::Available,
        "failed" | "error" | "invalid" | "deregistered" | "disabled" => Look::Broken(format!(
            "{place} is {}: {}",
            found.state,
            found.reason.as_deref().unwrap_or("no reason given")
        )),
        other => Look::NotYet(format!("{place} is {other}")),
    }
}

/// What tells an image from every other.
///
/// # Errors
/// EC2 did not say when it was made or what it is called.
pub fn identity(image: &BuiltImage, found: &Described) -> Result<ImageIdentity, String> {
    let missing = |member| format!("EC2 says nothing of the {member} of {} in {}", image.id, image.region);
    Ok(ImageIdentity {
        account: image.account.clone(),
        creation_date: found.creation_date.clone().ok_or_else(|| missing("CreationDate"))?,
        image_id: image.id.clone(),
        name: found.name.clone().ok_or_else(|| missing("Name"))?,
        region: image.region.clone(),
    })
}

/// The tags an image should carry and does not.
#[must_use]
pub fn missing_tags(wanted: &BTreeMap<String, String>, found: &Described) -> BTreeMap<String, String> {
    let lacks = |(key, value): &(&String, &String)| found.tags.get(*key) != Some(*value);
    wanted.iter().filter(lacks).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The account and the region in an image pipeline's ARN.
#[must_use]
pub fn home(pipeline_arn: &str) -> Option<(&str, &str)> {
    let mut parts = pipeline_arn.split(':').skip(3);
    match (parts.next(), parts.next()) {
        (Some(region), Some(account)) if !region.is_empty() && !account.is_empty() => Some((account, region)),
        _ => None,
    }
}
