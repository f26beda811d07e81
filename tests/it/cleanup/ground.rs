//! A service with images of earlier releases, on an AWS of its own.

use std::sync::Arc;
use std::time::Duration;

use bakeline::aws::Aws;
use bakeline::engine::{Clock, StageError};
use bakeline::evidence::Stage;
use bakeline::spec::ReleaseSpec;
use bakeline::stage::cleanup::quarantine::{Next, Step};
use bakeline::stage::cleanup::retain::{Disposition, Uses};
use bakeline::stage::cleanup::survey::{Focus, Scope, Survey};
use bakeline::stage::cleanup::{PendingRemoval, Removed, Todo, advance, delete_next, deregister};
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use crate::support::{Moment, in_virtual_time, plan};
use crate::trail;

/// An image that nothing uses and no rule keeps.
pub const OLD: &str = "web-65-days-ago";

/// Images that other accounts may launch are kept.
const KEEP: &str = "tests/it/fixtures/cleanup-keep/bakeline.yaml";

/// Images that other accounts may launch are kept while they use them.
const BY_USAGE: &str = "tests/it/fixtures/cleanup-by-usage/bakeline.yaml";

/// Container images are cleaned up too.
pub const CONTAINERS: &str = "tests/it/fixtures/cleanup-containers/bakeline.yaml";

pub struct Ground {
    pub moment: Moment,
    pub cloud: Cloud,
    pub clock: Clock,
    pub aws: Aws,
    pub account: String,
    pub region: String,
    pub subnet: String,
    spec: ReleaseSpec,
    /// Images that nothing speaks for.
    pub candidates: usize,
}

/// Runs a test in a world of its own, where sharing keeps an image.
pub fn in_a_world(prepare: impl FnOnce(&mut World, &Ground), test: impl AsyncFnOnce(&Ground)) {
    live(KEEP, prepare, test);
}

/// Runs a test in a world of its own, where a shared image is kept while another account uses it.
pub fn where_usage_decides(prepare: impl FnOnce(&mut World, &Ground), test: impl AsyncFnOnce(&Ground)) {
    live(BY_USAGE, prepare, test);
}

/// Runs a test in a world of its own, where container images are cleaned up.
pub fn with_containers(prepare: impl FnOnce(&mut World, &Ground), test: impl AsyncFnOnce(&Ground)) {
    live(CONTAINERS, prepare, test);
}

fn live(spec: &str, prepare: impl FnOnce(&mut World, &Ground), test: impl AsyncFnOnce(&Ground)) {
    let release = plan(spec, "description: a quiet service");
    let moment = Moment::start(&release);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Cleanup], Telemetry::default()).await;
        let ground = Ground {
            account: release.setup.account.clone(),
            region: release.setup.region.clone(),
            subnet: release.setup.staging.as_ref().unwrap().subnets[0].clone(),
            spec: ReleaseSpec::parse(&std::fs::read(crate::support::repository(spec)).unwrap(), spec)
                .unwrap(),
            candidates: 4,
            aws: deps.aws,
            moment,
            cloud,
            clock,
        };
        ground.cloud.with_world(|world| prepare(world, &ground));
        test(&ground).await;
    });
}

impl Ground {
    pub fn scope(&self) -> Scope<'_> {
        let (policy, group) = (self.spec.cleanup().unwrap(), self.group());
        let rules = policy.machine_images.as_ref().unwrap();
        Scope { service: &self.spec.service, rules, policy, group: Some(group), known: Uses::new() }
    }

    pub fn group(&self) -> &str {
        self.spec.promote.as_ref().unwrap().auto_scaling_group().unwrap()
    }

    pub async fn survey(&self, focus: Focus<'_>) -> Result<Survey, StageError> {
        Survey::take(&self.aws, &self.scope(), focus, self.clock.now()).await
    }

    /// Runs a test in the world as it was at a moment, with a worker of its own.
    pub async fn at<T>(&self, moment: &Moment, test: impl AsyncFnOnce(&Self) -> T) -> T {
        // The runtime's clock only goes forward: the moment is brought to it.
        let moment = Moment { now: self.cloud.now(), ..moment.clone() };
        let cloud = Cloud::new(moment.world.clone(), self.cloud.timeline());
        let journal = Arc::new(Journal::in_memory());
        let deps =
            moment.worker(&cloud, &self.clock, &journal, &[Stage::Cleanup], Telemetry::default()).await;
        let ground = Self {
            moment,
            cloud,
            clock: self.clock.clone(),
            aws: deps.aws,
            account: self.account.clone(),
            region: self.region.clone(),
            subnet: self.subnet.clone(),
            spec: self.spec.clone(),
            candidates: self.candidates,
        };
        test(&ground).await
    }

    /// How many calls were made so far.
    pub fn called(&self) -> usize {
        self.cloud.with_transcript(|transcript| transcript.records().len())
    }

    /// The calls from one on.
    pub fn records(&self, first: usize) -> Vec<Record> {
        self.cloud.with_transcript(|transcript| transcript.records()[first..].to_vec())
    }

    pub fn ask(&self, world: &mut World, service: &'static str, operation: &str, input: Value) -> Value {
        trail::ask(&self.moment, world, service, operation, input)
    }

    pub fn share(&self, world: &mut World, image: &str, with: &str) {
        let input = json!({"ImageId": image, "LaunchPermission": {"Add": [{"UserId": with}]}});
        self.ask(world, "ec2", "ModifyImageAttribute", input);
    }

    fn described(&self) -> Vec<Value> {
        let input = json!({"Owners": ["self"], "IncludeDisabled": true,
            "Filters": [{"Name": "tag:bakeline:service", "Values": ["web"]}]});
        let answer = self.cloud.with_world(|world| self.ask(world, "ec2", "DescribeImages", input));
        answer["Images"].as_array().unwrap().clone()
    }

    pub fn all(&self) -> Vec<String> {
        self.described().iter().map(|image| image["ImageId"].as_str().unwrap().to_owned()).collect()
    }

    pub fn image(&self, name: &str) -> String {
        let found = self.described().into_iter().find(|image| image["Name"] == name).unwrap();
        found["ImageId"].as_str().unwrap().to_owned()
    }

    pub fn find(&self, id: &str) -> Option<Value> {
        self.described().into_iter().find(|image| image["ImageId"] == id)
    }

    /// Everything about an image that a quarantine changes, who may launch it included.
    pub fn looks_like(&self, id: &str) -> Value {
        let mut image = self.find(id).unwrap();
        let input = json!({"ImageId": id, "Attribute": "launchPermission"});
        let shares = self.cloud.with_world(|world| self.ask(world, "ec2", "DescribeImageAttribute", input));
        image["LaunchPermissions"] = shares["LaunchPermissions"].clone();
        image
    }

    pub fn snapshots(&self) -> Vec<String> {
        let answer = self
            .cloud
            .with_world(|world| self.ask(world, "ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]})));
        let snapshots = answer["Snapshots"].as_array().unwrap();
        snapshots.iter().map(|snapshot| snapshot["SnapshotId"].as_str().unwrap().to_owned()).collect()
    }

    /// The snapshots behind an image.
    pub fn snapshots_of(&self, id: &str) -> Vec<String> {
        let image = self.find(id).unwrap();
        let mappings = image["BlockDeviceMappings"].as_array().unwrap();
        let snapshots =
            mappings.iter().map(|mapping| mapping["Ebs"]["SnapshotId"].as_str().unwrap().to_owned());
        snapshots.collect()
    }

    /// Takes an image out of use until its next step is the one given.
    pub async fn bring_to(&self, image: &str, step: Step) {
        let ids = [image.to_owned()];
        let mut todo = Todo { image: image.to_owned(), step: Step::Mark };
        while todo.step != step {
            let survey = match self.survey(Focus::These(&ids)).await {
                // The usage report of a shared image takes a while.
                Err(StageError::NotYet(_)) => {
                    self.clock.sleep(Duration::from_mins(1)).await;
                    continue;
                }
                survey => survey.unwrap(),
            };
            todo = advance(&self.aws, &survey, todo, self.clock.now()).await.unwrap().expect("it goes");
        }
    }

    /// Takes an image the whole way, its rest included.
    pub async fn remove(&self, image: &str) {
        self.bring_to(image, Step::Deregister).await;
        let rest = self.scope().rules.quarantine.as_duration() + Duration::from_mins(1);
        self.clock.sleep(rest).await;
        let ids = [image.to_owned()];
        let survey = self.survey(Focus::These(&ids)).await.unwrap();
        assert_eq!(survey.fates[image], Disposition::Go(Next::Step(Step::Deregister)));
        let mut doomed = PendingRemoval::new(survey.image(image).unwrap());
        let held = survey.held_of(&doomed);
        if let Removed::Gone(gone) = deregister(&self.aws, doomed.clone(), &held).await.unwrap() {
            doomed = gone;
        }
        while !doomed.is_over() {
            doomed = delete_next(&self.aws, doomed, &held).await.unwrap();
        }
    }
}
