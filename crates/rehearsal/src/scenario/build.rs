//! Image Builder: how builds end, how long they take, and their vulnerability scans.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::instance_behavior::InstanceBehavior;
use super::super::one_of;
use super::super::services::imagebuilder;
use super::super::span::Span;

/// How Image Builder's builds go.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// From the start of a build until its image is AVAILABLE.
    pub duration: Span,
    pub outcome: Outcome,
    /// How many builds end with this outcome before the others become available. Default: all.
    pub times: Option<u32>,
    pub scan: Scan,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            duration: Span::from_mins(25),
            outcome: Outcome::Available,
            times: None,
            scan: Scan::default(),
        }
    }
}

/// How the vulnerability scan of a build goes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// Whether the scan ends as ABANDONED, without findings.
    pub abandoned: bool,
    /// From the moment the image is AVAILABLE until the scan has collected its findings.
    pub delay: Span,
    pub findings: Vec<imagebuilder::Finding>,
}

/// How a build ends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The image becomes AVAILABLE.
    #[serde(deserialize_with = "one_of::unit::deserialize")]
    #[schemars(with = "one_of::Empty")]
    Available,
    /// A step of a component fails.
    Failed {
        component: String,
        #[serde(default = "Outcome::build_phase")]
        phase: String,
        step: String,
        #[serde(default = "Outcome::bash")]
        action: String,
        message: String,
    },
    /// The image is built, and its distribution to one Region fails.
    DistributionFailed { region: String, message: String },
    /// Someone cancels the build.
    #[serde(deserialize_with = "one_of::unit::deserialize")]
    #[schemars(with = "one_of::Empty")]
    Cancelled,
    /// The build stays in BUILDING until it is cancelled.
    #[serde(deserialize_with = "one_of::unit::deserialize")]
    #[schemars(with = "one_of::Empty")]
    Hangs,
}

impl Outcome {
    fn build_phase() -> String {
        "build".into()
    }

    fn bash() -> String {
        "ExecuteBash".into()
    }
}

impl Build {
    /// Converts the scenario's build options to the Image Builder service's options.
    pub(super) fn options(&self, baked: &InstanceBehavior) -> imagebuilder::Options {
        imagebuilder::Options {
            baked: baked.clone(),
            duration: self.duration.duration(),
            outcome: match self.outcome.clone() {
                Outcome::Available => imagebuilder::Outcome::Available,
                Outcome::Cancelled => imagebuilder::Outcome::Cancelled,
                Outcome::Hangs => imagebuilder::Outcome::Hangs,
                Outcome::DistributionFailed { region, message } => {
                    imagebuilder::Outcome::DistributionFailed(imagebuilder::DistributionFault {
                        region,
                        message,
                    })
                }
                Outcome::Failed { component, phase, step, action, message } => {
                    imagebuilder::Outcome::Failed(imagebuilder::ComponentFault {
                        component,
                        phase,
                        step,
                        action,
                        message,
                    })
                }
            },
            outcome_builds: self.times,
            scan_abandoned: self.scan.abandoned,
            scan_delay: self.scan.delay.duration(),
            findings: self.scan.findings.clone(),
            ..imagebuilder::Options::default()
        }
    }
}
