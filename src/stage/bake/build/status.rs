//! What Image Builder reports of a build: its phase, its progress and why it failed. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::images::availability::BuiltImage;
use super::super::images::container::BuiltContainer;

/// A build, as Image Builder reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `state.status`.
    pub status: String,
    /// `state.reason`.
    pub reason: Option<String>,
    /// `state.failureContext`, present only when the build failed.
    pub failure: Option<BuildFailure>,
    /// `outputResources.amis`.
    pub images: Vec<BuiltImage>,
    /// `outputResources.containers`.
    pub containers: Vec<BuiltContainer>,
}

/// Where a build failed (`ImageFailureContext`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFailure {
    /// The workflow's ARN.
    pub workflow: Option<String>,
    /// The workflow's step.
    pub step: Option<String>,
    pub component: Option<ComponentFailure>,
    /// The message about the whole distribution.
    pub distribution: Option<String>,
    pub regions: Vec<RegionFailure>,
}

/// A failure in a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentFailure {
    /// The component's ARN.
    pub component: Option<String>,
    pub phase: Option<String>,
    pub step: Option<String>,
    pub action: Option<String>,
    pub message: Option<String>,
}

/// A failure of the distribution to one region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionFailure {
    pub region: Option<String>,
    pub account: Option<String>,
    pub status: Option<String>,
    pub step: Option<String>,
    pub message: Option<String>,
}

/// The phase of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildPhase {
    /// The build runs. An unknown status counts as this.
    Running,
    /// The images are available.
    Available,
    /// The build ended without a usable image.
    Ended,
}

impl BuildPhase {
    /// The phase of a build with this `ImageState.status`. A lifecycle policy sets the last three after a success.
    #[must_use]
    pub fn of(status: &str) -> Self {
        match status {
            "AVAILABLE" => BuildPhase::Available,
            "FAILED" | "CANCELLED" | "DELETED" | "DEPRECATED" | "DISABLED" => BuildPhase::Ended,
            _ => BuildPhase::Running,
        }
    }
}

/// Why a build failed: everything that Image Builder reports about it.
#[must_use]
pub fn failure_summary(arn: &str, build: &Build) -> String {
    let mut text = format!("image build {arn} ended {}", build.status);
    let mut append = |what: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {what}{value}");
        }
    };
    append("", build.reason.as_deref());
    if let Some(failure) = &build.failure {
        append("workflow ", failure.workflow.as_deref());
        append("workflow step ", failure.step.as_deref());
        if let Some(component) = &failure.component {
            append("component ", component.component.as_deref());
            append("phase ", component.phase.as_deref());
            append("step ", component.step.as_deref());
            append("action ", component.action.as_deref());
            append("error: ", component.message.as_deref());
        }
        append("distribution: ", failure.distribution.as_deref());
        for region in &failure.regions {
            append("", Some(&region.describe()));
        }
    }
    append("", remaining_images(build).as_deref());
    text
}

impl RegionFailure {
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

/// The images that remain of a failed build, as text.
#[must_use]
pub fn remaining_images(build: &Build) -> Option<String> {
    let machines = build
        .images
        .iter()
        .map(|image| format!("{} in {} of account {}", image.id, image.region, image.account));
    let images: Vec<String> = machines.chain(build.containers.iter().map(BuiltContainer::place)).collect();
    if images.is_empty() {
        return None;
    }
    Some(format!("images of the build remain: {}", images.join(", ")))
}

/// The images of a failed build in other accounts, where this account cannot remove them, as text.
#[must_use]
pub fn images_in_other_accounts(build: &Build, account: &str) -> Option<String> {
    let elsewhere = build.images.iter().filter(|image| image.account != account);
    let named: Vec<String> = elsewhere
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

/// The workflow that runs now.
#[must_use]
pub fn running(workflows: &[Workflow]) -> Option<&Workflow> {
    workflows.iter().find(|workflow| workflow.status == "RUNNING")
}

/// The progress of a build, in percent and as text. The list of workflows may be empty: Image Builder keeps records of
/// them for a limited time, and creates the first some time after the start of the build.
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

/// A number that changes whenever the status, a workflow or the current step of a build changes.
#[must_use]
pub fn fingerprint(status: &str, workflows: &[Workflow], step: Option<&str>) -> u32 {
    let mut text = format!("{status} {}", step.unwrap_or_default());
    for workflow in workflows {
        // Writing to a string cannot fail.
        let _ = write!(text, " {} {} {}", workflow.id, workflow.status, workflow.succeeded);
    }
    let digest = crate::digest::Sha256::of(text.as_bytes());
    digest.as_bytes().iter().take(4).fold(0, |fingerprint, byte| fingerprint << 8 | u32::from(*byte))
}

/// Whether a build can have this status after it was available: a lifecycle policy sets these, no failed build has them.
#[must_use]
pub fn ends_after_available(status: &str) -> bool {
    matches!(status, "DELETED" | "DEPRECATED" | "DISABLED")
}

/// How often a failed distribution is retried.
pub const MAX_RETRIES: u8 = 2;

/// How long after a retry a read may still show the failure from before it.
pub const RETRY_VISIBLE_AFTER: Duration = Duration::from_mins(2);

/// Whether a build failed in its distribution, with its image built and tested. `RetryImage` repeats the distribution.
#[must_use]
pub fn failed_in_distribution(build: &Build) -> bool {
    let has_failure = |failure: &BuildFailure| failure.distribution.is_some() || !failure.regions.is_empty();
    build.status == "FAILED" && build.failure.as_ref().is_some_and(has_failure)
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
