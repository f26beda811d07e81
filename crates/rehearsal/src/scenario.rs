//! What is different in this rehearsal: how images behave, how builds end, what AWS does that it does not promise.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::behaviour::Behaviour;
use super::container::ContainerBehaviour;
use super::estate::Estate;
use super::external_events::{self, Happening};
use super::faults::{self, Fault, FaultPlan, Limit, Random, Rule};
use super::services::{autoscaling, codepipeline, ecs, imagebuilder};
use super::time::Time;
use super::world::World;

/// A rehearsal's conditions. Every field has a default: an empty scenario is a good day.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What is shown of it, one line.
    pub description: String,
    /// From which every identifier and chance of the run follows.
    pub seed: u64,
    /// Behaviour of the image that is baked.
    pub baked_image: Behaviour,
    /// Behaviour of containers of the image that is baked.
    pub baked_container: ContainerBehaviour,
    /// Behaviour of the image in production before.
    pub current_image: Behaviour,
    pub build: Build,
    pub security_hub: SecurityHub,
    /// There is no capacity on the Spot market.
    pub no_spot: bool,
    pub traffic: Traffic,
    pub codepipeline: CodePipeline,
    pub autoscaling: AutoScaling,
    pub ec2: Ec2,
    pub ecs: Ecs,
    /// A large account beside the service.
    pub estate: Option<Estate>,
    /// Days that the Recycle Bin keeps deregistered images and their snapshots; no rule without it.
    pub recycle_bin_days: Option<u64>,
    /// Calls that meet a fault.
    pub faults: Vec<Rule>,
    /// Faults by chance, the same every time for one seed.
    pub chaos: Option<Random>,
    /// Request limits.
    pub limits: Vec<Limit>,
    /// Times in which a service answers with errors only.
    pub outages: Vec<Outage>,
    /// What people do by hand, and what AWS loses.
    pub happenings: Vec<Happening>,
    /// How a release by the example's spec is known to end. Changes nothing: tests hold the library to it.
    pub expect: Option<Expectation>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            description: "a good day".into(),
            seed: 1,
            baked_image: Behaviour::default(),
            baked_container: ContainerBehaviour::default(),
            current_image: Behaviour::default(),
            build: Build::default(),
            security_hub: SecurityHub::default(),
            no_spot: false,
            traffic: Traffic::default(),
            codepipeline: CodePipeline::default(),
            autoscaling: AutoScaling::default(),
            ec2: Ec2::default(),
            ecs: Ecs::default(),
            estate: None,
            recycle_bin_days: None,
            faults: Vec::new(),
            chaos: None,
            limits: Vec::new(),
            outages: Vec::new(),
            happenings: Vec::new(),
            expect: None,
        }
    }
}

/// A century in seconds: longer is as good as never, and dates further off cannot be written.
pub(super) const LONGEST: u64 = 100 * 365 * 86_400;

/// How builds go.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// From start to AVAILABLE.
    pub minutes: u64,
    pub outcome: Outcome,
    /// How many builds end so before the rest end well; all of them without it.
    pub builds: Option<u32>,
    pub scan: Scan,
}

/// How vulnerability scans of builds go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// It ends without having collected its findings.
    pub abandoned: bool,
    /// How long after the image is available it still collects them.
    pub lags_minutes: u64,
    pub findings: Vec<imagebuilder::Finding>,
}

/// How Security Hub takes findings.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHub {
    pub enabled: bool,
    /// Vulnerabilities whose findings it refuses, and what it says of them.
    pub refuses: BTreeMap<String, String>,
}

impl Default for SecurityHub {
    fn default() -> Self {
        Self { enabled: true, refuses: BTreeMap::new() }
    }
}

impl Default for Build {
    fn default() -> Self {
        Self { minutes: 25, outcome: Outcome::Available, builds: None, scan: Scan::default() }
    }
}

/// How a build ends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    Available,
    /// A component's step fails.
    Failed {
        component: String,
        #[serde(default = "Outcome::build_phase")]
        phase: String,
        step: String,
        #[serde(default = "Outcome::bash")]
        action: String,
        message: String,
    },
    /// The image is made and does not come to one region.
    DistributionFailed {
        region: String,
        message: String,
    },
    /// Someone else cancels it while it builds.
    Cancelled,
    /// It stays in BUILDING until it is cancelled.
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

/// The load on the service in production.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Traffic {
    pub requests_per_minute: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { requests_per_minute: 3000 }
    }
}

/// What AWS does not document of instance refreshes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct AutoScaling {
    /// What a refresh makes of an alarm that rings when it starts.
    pub alarm_at_start: AlarmAtStart,
}

/// What a refresh makes of an alarm that is in ALARM when it starts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AlarmAtStart {
    /// The refresh fails at once.
    #[default]
    Fails,
    /// Only a later change to ALARM counts.
    Excused,
    /// The refresh is refused.
    Refused,
}

/// How EC2 behaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2 {
    /// From a resource's creation until describe calls show it.
    pub visible_after_seconds: u64,
}

/// How ECS behaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Ecs {
    /// From a task's creation until list and describe calls show it.
    pub visible_after_seconds: u64,
    /// There is no Fargate capacity.
    pub no_capacity: bool,
}

/// A time in which a service, or one operation of it, answers with an error only.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// botocore's name: `autoscaling`, `ec2`, `elbv2`, …
    pub service: String,
    /// All of the service's without it.
    #[serde(default)]
    pub operation: Option<String>,
    /// Virtual minutes since the rehearsal began.
    pub from_minutes: u64,
    pub minutes: u64,
    #[serde(default = "Outage::unavailable")]
    pub fault: Fault,
}

impl Outage {
    fn unavailable() -> Fault {
        Fault::FailBefore { status: 503, code: "ServiceUnavailable".to_owned() }
    }
}

/// How a rehearsal ends.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The stage that fails: `bake`, `test`, `promote` or `cleanup`; none for a release that succeeds.
    #[serde(default)]
    pub fails_in: Option<String>,
    /// Whether someone else ends it: it does not succeed, and no stage of it fails.
    #[serde(default)]
    pub is_stopped: bool,
    /// Texts the report holds.
    #[serde(default)]
    pub says: Vec<String>,
}

/// What AWS does not document of custom jobs.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct CodePipeline {
    /// From a result with a continuation token until the next job is offered.
    pub reoffer_seconds: u64,
    /// From an offer nobody acknowledged until the job is offered again; zero is never.
    pub visibility_seconds: u64,
    /// From an acknowledgement until a job without a result is offered again; zero is never.
    pub redeliver_acknowledged_seconds: u64,
    /// Lifetime of a job's artifact credentials.
    pub credentials_minutes: u64,
}

impl Default for CodePipeline {
    fn default() -> Self {
        Self {
            reoffer_seconds: 1,
            visibility_seconds: 60,
            redeliver_acknowledged_seconds: 0,
            credentials_minutes: 15,
        }
    }
}

/// The JSON Schema of scenario files.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Scenario)
}

/// A scenario file that cannot be read: the message has the place and what was expected there.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub struct ScenarioError {
    file: String,
    source: Box<serde_saphyr::Error>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The text is not YAML, or says something a scenario does not have.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        serde_saphyr::from_str(text).map_err(|e| ScenarioError { file: file.to_owned(), source: Box::new(e) })
    }

    /// The faults that calls are to meet, in a rehearsal that began then.
    #[must_use]
    pub fn fault_plan(&self, began: Time) -> FaultPlan {
        let plan = self
            .faults
            .iter()
            .fold(FaultPlan::default(), |plan, rule| plan.rule(rule.when.clone(), rule.fault.clone()));
        let plan = self.limits.iter().fold(plan, |plan, limit| plan.limit(limit.clone()));
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60).min(LONGEST));
        let plan = self.outages.iter().fold(plan, |plan, outage| {
            let from = began + minutes(outage.from_minutes);
            plan.outage(faults::Outage {
                service: outage.service.clone(),
                operation: outage.operation.clone(),
                from,
                until: from + minutes(outage.minutes),
                fault: outage.fault.clone(),
            })
        });
        match &self.chaos {
            Some(random) => plan.random(random.clone()),
            None => plan,
        }
    }

    /// Makes the world's services behave as the scenario says.
    pub fn apply(&self, world: &mut World) {
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60).min(LONGEST));
        let seconds = |seconds: u64| Some(Duration::from_secs(seconds.min(LONGEST))).filter(|d| !d.is_zero());
        let days = |days: u64| Duration::from_secs(days.saturating_mul(86_400).min(LONGEST));
        world.ec2.bin.keeps = self.recycle_bin_days.map(days);
        world.codepipeline.options = codepipeline::Options {
            reoffer_after: Duration::from_secs(self.codepipeline.reoffer_seconds.min(LONGEST)),
            visibility: seconds(self.codepipeline.visibility_seconds),
            redeliver_acknowledged_after: seconds(self.codepipeline.redeliver_acknowledged_seconds),
            credentials_lifetime: Duration::from_secs(
                self.codepipeline.credentials_minutes.saturating_mul(60),
            ),
            ..codepipeline::Options::default()
        };
        world.ec2.no_spot = self.no_spot;
        world.securityhub.refused.clone_from(&self.security_hub.refuses);
        world.imagebuilder.options = imagebuilder::Options {
            baked: self.baked_image.clone(),
            duration: minutes(self.build.minutes),
            outcome: match &self.build.outcome {
                Outcome::Available => imagebuilder::Outcome::Available,
                Outcome::Cancelled => imagebuilder::Outcome::Cancelled,
                Outcome::Hangs => imagebuilder::Outcome::Hangs,
                Outcome::DistributionFailed { region, message } => {
                    imagebuilder::Outcome::DistributionFailed(imagebuilder::DistributionFault {
                        region: region.clone(),
                        message: message.clone(),
                    })
                }
                Outcome::Failed { component, phase, step, action, message } => {
                    imagebuilder::Outcome::Failed(imagebuilder::ComponentFault {
                        component: component.clone(),
                        phase: phase.clone(),
                        step: step.clone(),
                        action: action.clone(),
                        message: message.clone(),
                    })
                }
            },
            outcome_builds: self.build.builds,
            scan_abandoned: self.build.scan.abandoned,
            scan_lags: minutes(self.build.scan.lags_minutes),
            findings: self.build.scan.findings.clone(),
            ..imagebuilder::Options::default()
        };
        world.autoscaling.alarm_at_start = match self.autoscaling.alarm_at_start {
            AlarmAtStart::Fails => autoscaling::AlarmAtStart::Fails,
            AlarmAtStart::Excused => autoscaling::AlarmAtStart::Excused,
            AlarmAtStart::Refused => autoscaling::AlarmAtStart::Refused,
        };
        world.ecs.options = ecs::Options {
            container: self.baked_container.clone(),
            visible_after: Duration::from_secs(self.ecs.visible_after_seconds.min(LONGEST)),
            no_capacity: self.ecs.no_capacity,
        };
        external_events::enter(world, &self.happenings);
    }

    /// What holds only once the world is set up.
    pub fn begin(&self, world: &mut World) {
        world.ec2.visible_after_ms = self.ec2.visible_after_seconds.min(LONGEST).saturating_mul(1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_scenario_is_a_good_day() {
        assert_eq!(Scenario::parse("{}", "s.yaml").unwrap(), Scenario::default());
    }

    #[test]
    fn every_part_can_be_said() {
        let scenario = Scenario::parse(
            "description: a bad day\nseed: 7\nbaked_image: {error_rate: 0.2, boots: false}\nbuild:\n  minutes: 12\n  \
             outcome:\n    failed: {component: web, step: Install, message: no}\n",
            "s.yaml",
        )
        .unwrap();
        assert!(!scenario.baked_image.boots);
        assert!(matches!(scenario.build.outcome, Outcome::Failed { ref phase, .. } if phase == "build"));
    }

    #[test]
    fn an_outage_lasts_as_long_as_it_says_and_meets_what_it_names() {
        let scenario = Scenario::parse(
            "outages:\n- {service: ec2, operation: RunInstances, from_minutes: 10, minutes: 5}\n",
            "s.yaml",
        )
        .unwrap();
        let began = Time(1_000_000);
        let minute = |minutes: u64| began + Duration::from_secs(minutes * 60);
        let mut plan = scenario.fault_plan(began);
        let unavailable = Some(Outage::unavailable());
        for (operation, at, met) in [
            ("RunInstances", minute(9), None),
            ("RunInstances", minute(10), unavailable.clone()),
            ("DescribeImages", minute(12), None),
            ("RunInstances", minute(14), unavailable),
            ("RunInstances", minute(15), None),
        ] {
            assert_eq!(plan.meet("ec2", operation, at), met, "{operation} at {at:?}");
        }
    }

    #[test]
    fn what_a_scenario_does_not_have_is_refused_with_its_place() {
        for (text, place) in [("seed: 1\nsede: 2\n", "line 2"), ("build: {minutes: soon}\n", "line 1")] {
            let error = Scenario::parse(text, "s.yaml").unwrap_err().to_string();
            assert!(error.starts_with("s.yaml: ") && error.contains(place), "{error}");
        }
    }
}
