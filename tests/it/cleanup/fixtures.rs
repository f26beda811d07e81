//! A service with images of earlier releases on an AWS of its own.

use std::sync::Arc;
use std::time::Duration;

use bakeline::aws::Aws;
use bakeline::engine::{Clock, StageError};
use bakeline::evidence::Stage;
use bakeline::evidence::predicate::CleanupPlan;
use bakeline::spec::{self, ReleaseSpec};
use bakeline::stage::cleanup::machine_images::advance::advance;
use bakeline::stage::cleanup::machine_images::quarantine::{Next, RemovalStep};
use bakeline::stage::cleanup::machine_images::queue::QueuedImage;
use bakeline::stage::cleanup::machine_images::removal::{
    Deregistration, PendingRemoval, delete_next, deregister,
};
use bakeline::stage::cleanup::machine_images::retention::{Disposition, KeepReasons};
use bakeline::stage::cleanup::machine_images::survey::{Inspect, Scope, Survey};
use bakeline::stage::cleanup::plan::{Header, make_plan};
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

/// A spec that keeps images that other accounts may launch.
const KEEP: &str = "tests/it/fixtures/cleanup-keep/bakeline.yaml";

/// A spec that keeps images that other accounts may launch while they use them.
const BY_USAGE: &str = "tests/it/fixtures/cleanup-by-usage/bakeline.yaml";

/// A spec with rules for container images.
pub const CONTAINERS: &str = "tests/it/fixtures/cleanup-containers/bakeline.yaml";

pub struct Fixture {
    pub moment: Moment,
    pub cloud: Cloud,
    pub clock: Clock,
    pub aws: Aws,
    pub account: String,
    pub region: String,
    pub subnet: String,
    spec: ReleaseSpec,
    /// Number of images that nothing keeps.
    pub candidates: usize,
}

/// Runs a test with a fixture whose shared images are kept.
pub fn with_fixture(prepare: impl FnOnce(&mut World, &Fixture), test: impl AsyncFnOnce(&Fixture)) {
    run(KEEP, prepare, test);
}

/// Runs a test with a fixture whose shared images are kept while another account uses them.
pub fn with_shares_by_usage(prepare: impl FnOnce(&mut World, &Fixture), test: impl AsyncFnOnce(&Fixture)) {
    run(BY_USAGE, prepare, test);
}

/// Runs a test with a fixture whose spec has rules for container images.
pub fn with_containers(prepare: impl FnOnce(&mut World, &Fixture), test: impl AsyncFnOnce(&Fixture)) {
    run(CONTAINERS, prepare, test);
}

fn run(spec: &str, prepare: impl FnOnce(&mut World, &Fixture), test: impl AsyncFnOnce(&Fixture)) {
    let release = plan(spec, "description: a quiet service");
    let moment = Moment::start(&release);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Cleanup], Telemetry::default()).await;
        let fixture = Fixture {
            account: release.setup.account.clone(),
            region: release.setup.region.clone(),
            subnet: release.setup.test_environment.as_ref().unwrap().subnets[0].clone(),
            spec: ReleaseSpec::parse(&std::fs::read(crate::support::repository(spec)).unwrap(), spec)
                .unwrap(),
            candidates: 4,
            aws: deps.aws,
            moment,
            cloud,
            clock,
        };
        fixture.cloud.with_world(|world| prepare(world, &fixture));
        test(&fixture).await;
    });
}

impl Fixture {
    pub fn scope(&self) -> Scope<'_> {
        let (rules, group) = (self.rules().machine_images.as_ref().unwrap(), self.group());
        Scope { service: &self.spec.service, rules, groups: vec![group], known: KeepReasons::new() }
    }

    pub fn rules(&self) -> &spec::Cleanup {
        self.spec.cleanup().unwrap()
    }

    /// The plan that follows from a survey, valid for a day.
    pub fn make_plan(&self, survey: &Survey, price_per_gib_month: Option<f64>) -> CleanupPlan {
        let header = Header {
            service: &self.spec.service,
            rules: self.rules(),
            account: &self.account,
            region: &self.region,
            now: survey.at,
            valid_for: Duration::from_hours(24),
            price_per_gib_month,
        };
        make_plan(&header, Some((survey, &self.scope())), None)
    }

    pub fn group(&self) -> &str {
        self.spec.promote.as_ref().unwrap().auto_scaling_group().unwrap()
    }

    pub async fn survey(&self, focus: Inspect<'_>) -> Result<Survey, StageError> {
        Survey::take(&self.aws, &self.scope(), focus, self.clock.now()).await
    }

    /// Runs a test at a moment, with a worker of its own.
    pub async fn at<T>(&self, moment: &Moment, test: impl AsyncFnOnce(&Self) -> T) -> T {
        // The runtime's clock only goes forward, so the moment is moved to now.
        let moment = Moment { now: self.cloud.now(), ..moment.clone() };
        let cloud = Cloud::new(moment.world.clone(), self.cloud.timeline());
        let journal = Arc::new(Journal::in_memory());
        let deps =
            moment.worker(&cloud, &self.clock, &journal, &[Stage::Cleanup], Telemetry::default()).await;
        let fixture = Self {
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
        test(&fixture).await
    }

    /// Number of calls so far.
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

    /// Everything about an image that a quarantine changes, including its launch permissions.
    pub fn describe(&self, id: &str) -> Value {
        let mut image = self.find(id).unwrap();
        let input = json!({"ImageId": id, "Attribute": "launchPermission"});
        let shared_with =
            self.cloud.with_world(|world| self.ask(world, "ec2", "DescribeImageAttribute", input));
        image["LaunchPermissions"] = shared_with["LaunchPermissions"].clone();
        image
    }

    pub fn snapshots(&self) -> Vec<String> {
        let answer = self
            .cloud
            .with_world(|world| self.ask(world, "ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]})));
        let snapshots = answer["Snapshots"].as_array().unwrap();
        snapshots.iter().map(|snapshot| snapshot["SnapshotId"].as_str().unwrap().to_owned()).collect()
    }

    /// The snapshots of an image.
    pub fn snapshots_of(&self, id: &str) -> Vec<String> {
        let image = self.find(id).unwrap();
        let mappings = image["BlockDeviceMappings"].as_array().unwrap();
        let snapshots =
            mappings.iter().map(|mapping| mapping["Ebs"]["SnapshotId"].as_str().unwrap().to_owned());
        snapshots.collect()
    }

    /// Takes an image through quarantine until this step is due.
    pub async fn take_to(&self, image: &str, step: RemovalStep) {
        let ids = [image.to_owned()];
        let mut queued = QueuedImage { image: image.to_owned(), step: RemovalStep::Mark };
        while queued.step != step {
            let survey = match self.survey(Inspect::Only(&ids)).await {
                // EC2 creates the usage report of a shared image in the background.
                Err(error) if error.is_transient() => {
                    self.clock.sleep(Duration::from_mins(1)).await;
                    continue;
                }
                survey => survey.unwrap(),
            };
            queued = advance(&self.aws, &survey, queued, self.clock.now())
                .await
                .unwrap()
                .expect("it is removable");
        }
    }

    /// Takes an image through its whole quarantine and deregisters it.
    pub async fn remove(&self, image: &str) {
        self.take_to(image, RemovalStep::Deregister).await;
        let quarantine = self.scope().rules.quarantine.as_duration() + Duration::from_mins(1);
        self.clock.sleep(quarantine).await;
        let ids = [image.to_owned()];
        let survey = self.survey(Inspect::Only(&ids)).await.unwrap();
        assert_eq!(survey.dispositions[image], Disposition::Remove(Next::Step(RemovalStep::Deregister)));
        let mut removal = PendingRemoval::new(survey.image(image).unwrap());
        let retained = survey.retained_snapshots_of(&removal);
        if let Deregistration::Done(done) = deregister(&self.aws, removal.clone(), &retained).await.unwrap() {
            removal = done;
        }
        while !removal.is_finished() {
            removal = delete_next(&self.aws, removal, &retained).await.unwrap();
        }
    }
}
