//! Scenario files: how images behave in a rehearsal, how builds end, which calls fail, and external events.

mod aws;
mod build;
mod expect;
mod faults;
mod hints;
mod traffic;

use schemars::JsonSchema;
use serde::Deserialize;

use super::container_behavior::ContainerBehavior;
use super::external_events::{self, ScheduledEvent};
use super::faults::FaultPlan;
use super::instance_behavior::InstanceBehavior;
use super::other_resources::OtherResources;
use super::time::Time;
use super::world::World;

pub use aws::{Aws, Capacity, CodePipeline, Ec2, Ecs, SecurityHub};
pub use build::{Build, Outcome, Scan};
pub use expect::{Expectation, ExpectedStage, RunResult};
pub use faults::{During, FaultRule, RateLimit};
pub use traffic::Traffic;

/// The version of scenario files that this program reads.
const VERSION: u32 = 1;

/// The conditions of a rehearsal. Every key but `version` has a default; with the defaults nothing goes wrong.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("$id" = "https://bakeline.dev/schema/scenario/v1", "required" = ["version"]))]
pub struct Scenario {
    /// The version of this file's format: 1.
    #[serde(default)]
    #[schemars(schema_with = "version_schema")]
    pub version: u32,
    /// One line that is shown when the rehearsal starts.
    pub description: String,
    /// The seed of every identifier and every chance.
    pub seed: u64,
    pub images: Images,
    pub build: Build,
    pub traffic: Traffic,
    /// Behavior of AWS services that AWS does not document, by botocore's name of the service.
    pub aws: Aws,
    /// Resources in the account that do not belong to the release.
    pub other_resources: Option<OtherResources>,
    /// Calls that fail.
    pub faults: Vec<FaultRule>,
    /// Request rate limits.
    pub rate_limits: Vec<RateLimit>,
    /// What people do and what AWS loses while the release runs.
    pub events: Vec<ScheduledEvent>,
    /// How the release ends. Changes nothing in the rehearsal; tests compare it with what happened.
    pub expect: Option<Expectation>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            version: VERSION,
            description: "nothing goes wrong".into(),
            seed: 1,
            images: Images::default(),
            build: Build::default(),
            traffic: Traffic::default(),
            aws: Aws::default(),
            other_resources: None,
            faults: Vec::new(),
            rate_limits: Vec::new(),
            events: Vec::new(),
            expect: None,
        }
    }
}

/// How images behave.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Images {
    /// The image that the release bakes.
    pub baked: BakedImage,
    /// The image in production when the release starts.
    pub current: CurrentImage,
}

/// How the baked image behaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct BakedImage {
    /// Instances of a machine image.
    pub instance: InstanceBehavior,
    /// Containers of a container image.
    pub container: ContainerBehavior,
}

/// How the image in production behaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CurrentImage {
    /// Instances of a machine image.
    pub instance: InstanceBehavior,
}

fn version_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": VERSION })
}

/// The JSON Schema of scenario files.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Scenario)
}

/// The error of an invalid scenario file.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not YAML, or has an unknown key or an invalid value. The source error names the line.
    #[error("{file} is not a scenario")]
    Parse { file: String, hint: String, source: Box<serde_saphyr::Error> },
    #[error("{file} has no `version`")]
    NoVersion { file: String },
    #[error("{file} has version {version}; this program reads version {VERSION}")]
    Version { file: String, version: u32 },
    #[error("{file}: {mistake}")]
    Mistake { file: String, mistake: Mistake },
}

/// Keys that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error("faults[{0}] has more than one of `nth`, `during` and `chance`")]
    Triggers(usize),
    #[error("faults[{0}].nth counts from 1")]
    Nth(usize),
    #[error("`expect.stage` names the stage that fails: it belongs to `result: failure`, and only to it")]
    Stage,
}

impl ScenarioError {
    /// What to change in the file.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Parse { hint, .. } => hint,
            Self::NoVersion { .. } => "begin the file with `version: 1`",
            Self::Version { .. } => "`version: 1` is the only version",
            Self::Mistake { .. } => "docs/scenarios.md has every key",
        }
    }
}

impl Scenario {
    /// Parses a scenario file.
    ///
    /// # Errors
    /// The text is not YAML, has an unknown key or an invalid value, or has no version.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let file = || file.to_owned();
        // Editors on Windows begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let scenario: Self = serde_saphyr::from_str(text).map_err(|source| ScenarioError::Parse {
            file: file(),
            hint: hints::hint(text),
            source: Box::new(source),
        })?;
        match scenario.version {
            VERSION => {}
            0 => return Err(ScenarioError::NoVersion { file: file() }),
            version => return Err(ScenarioError::Version { file: file(), version }),
        }
        scenario.check().map_err(|mistake| ScenarioError::Mistake { file: file(), mistake })?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), Mistake> {
        for (number, rule) in self.faults.iter().enumerate() {
            rule.check(number)?;
        }
        self.expect.as_ref().map_or(Ok(()), Expectation::check)
    }

    /// The fault plan of a rehearsal that begins at `start`.
    #[must_use]
    pub fn fault_plan(&self, start: Time) -> FaultPlan {
        let plan = self.faults.iter().zip(0..).fold(FaultPlan::default(), |plan, (rule, number)| {
            plan.rule(rule.when(start, self.seed ^ number), rule.fault.clone())
        });
        self.rate_limits.iter().fold(plan, |plan, limit| plan.rate_limit(limit.clone()))
    }

    /// Configures the services of a new world.
    pub fn apply(&self, world: &mut World) {
        self.aws.apply(world);
        world.imagebuilder.options = self.build.options(&self.images.baked.instance);
        world.ecs.options.container.clone_from(&self.images.baked.container);
        external_events::schedule(world, &self.events);
    }

    /// Applies the visibility delay of new EC2 resources, which must not delay the setup.
    pub fn apply_after_setup(&self, world: &mut World) {
        world.ec2.visible_after = self.aws.ec2.visible_after.duration();
    }
}

#[cfg(test)]
mod tests;
