//! Container images on the embedded AWS: no list may be cut short, images that other tools delete stay, a plan is
//! applied and undone, and every call of the stage meets every fault.

use std::collections::BTreeSet;
use std::time::Duration;

use bakeline::digest::Sha256;
use bakeline::engine::StageError;
use bakeline::evidence::Stage;
use bakeline::evidence::predicate::{PlannedAction, PlannedContainer};
use bakeline::stage::cleanup::container_images::apply::{Applied, ApplyError, apply};
use bakeline::stage::cleanup::container_images::image::{ImageKey, Status};
use bakeline::stage::cleanup::container_images::plan::{Refusal, planned_images};
use bakeline::stage::cleanup::container_images::references::Definitions;
use bakeline::stage::cleanup::container_images::retention::{Disposition, KeepReasons};
use bakeline::stage::cleanup::container_images::survey::{Scope, Survey};
use bakeline::stage::cleanup::container_images::undo::restore;
use bakeline_rehearsal::faults::FaultPlan;
use bakeline_rehearsal::services::ecr;
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::denied;
use super::fixtures::{CONTAINERS, Fixture, with_containers};
use super::references::parameter;
use crate::crash::{crash_some, report};
use crate::support::{Moment, plan};
use crate::trail;

const REPOSITORY: &str = "team/web";
const DAY: Duration = Duration::from_hours(24);

/// Pushes an image so many days ago; its key.
fn push(
    world: &mut World,
    (account, region): (&str, &str),
    days: i64,
    manifest: &str,
    tags: &[&str],
) -> ImageKey {
    let now = world.now;
    world.now = Time(now.0 - days * 86_400_000);
    ecr::seed_repository(world, account, region, REPOSITORY);
    let digest = ecr::push(world, (account, region), REPOSITORY, tags, manifest).unwrap();
    world.now = now;
    ImageKey::new(REPOSITORY, digest)
}

/// The first image with the tag `1.0`.
fn old() -> ImageKey {
    of("one")
}

fn of(content: &str) -> ImageKey {
    let digest = Sha256::of(ecr::sample_manifest(content).as_bytes());
    ImageKey::new(REPOSITORY, format!("sha256:{digest}"))
}

fn address(fixture: &Fixture, what: &str) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com/{REPOSITORY}{what}", fixture.account, fixture.region)
}

/// `1.0`, two months old, and `2.0`, one day old.
fn two(world: &mut World, fixture: &Fixture) {
    let here = (fixture.account.as_str(), fixture.region.as_str());
    push(world, here, 60, &ecr::sample_manifest("one"), &["1.0"]);
    push(world, here, 1, &ecr::sample_manifest("two"), &["2.0"]);
}

impl Fixture {
    fn container_scope(&self) -> Scope<'_> {
        let rules = self.rules().container_images.as_ref().unwrap();
        Scope { rules, account: &self.account, known: KeepReasons::new() }
    }

    async fn container_survey(&self) -> Result<Survey, StageError> {
        let now = self.clock.now();
        Survey::take(&self.aws, &self.container_scope(), &Definitions::default(), now).await
    }

    async fn plan(&self) -> Vec<PlannedContainer> {
        planned_images(&self.container_survey().await.unwrap(), &self.container_scope(), &self.region)
    }

    async fn apply(&self, plan: &[PlannedContainer]) -> Result<Vec<(ImageKey, Applied)>, ApplyError> {
        let mut reported = Vec::new();
        let report = |key: &ImageKey, applied: &Applied| reported.push((key.clone(), applied.clone()));
        let (scope, definitions) = (self.container_scope(), Definitions::default());
        apply(&self.aws, &self.clock, &scope, &definitions, plan, report).await?;
        Ok(reported)
    }

    async fn status(&self, key: &ImageKey) -> Option<Status> {
        self.container_survey().await.unwrap().image(key).map(|image| image.status)
    }

    fn push_now(&self, world: &mut World, content: &str, tag: &str) {
        let here = (self.account.as_str(), self.region.as_str());
        push(world, here, 0, &ecr::sample_manifest(content), &[tag]);
    }

    /// Registers a task definition; its ARN.
    fn register(&self, world: &mut World, image: &str) -> String {
        let input = json!({ "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512", "executionRoleArn": "arn:aws:iam::123456789012:role/run",
            "containerDefinitions": [{ "name": "app", "image": image }] });
        let answer = self.ask(world, "ecs", "RegisterTaskDefinition", input);
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    fn network(&self) -> Value {
        json!({ "awsvpcConfiguration": { "subnets": [self.subnet] } })
    }
}

/// One resource of each kind, so that every list is read.
fn everything(world: &mut World, fixture: &Fixture) {
    two(world, fixture);
    let here = (fixture.account.as_str(), fixture.region.as_str());
    let index = ecr::sample_index(&[&of("two").digest]);
    push(world, here, 1, &index, &["multi"]);
    let definition = fixture.register(world, &address(fixture, ":1.0"));
    fixture.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let service = json!({"cluster": "web", "serviceName": "web", "taskDefinition": definition, "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": fixture.network()});
    fixture.ask(world, "ecs", "CreateService", service);
    function(world, fixture);
    parameter(world, fixture, "/some/setting", "on");
}

#[test]
fn a_denied_list_of_container_references_fails_the_survey_and_is_named() {
    with_containers(everything, async |fixture| {
        fixture.clock.sleep(Duration::from_mins(10)).await;
        let first = fixture.called();
        fixture.container_survey().await.unwrap();
        let calls: BTreeSet<(String, String)> =
            fixture.records(first).into_iter().map(|record| (record.service, record.operation)).collect();
        assert!(calls.len() >= 16, "{calls:?}");
        for (service, operation) in calls {
            fixture.cloud.set_faults(denied(&service, &operation));
            let error = fixture.container_survey().await.unwrap_err();
            assert!(error.to_string().contains(&operation), "{operation}: {error}");
            assert!(!error.is_transient(), "{operation}: a denial is not waited for: {error}");
            fixture.cloud.set_faults(FaultPlan::default());
        }
    });
}

fn definition(world: &mut World, fixture: &Fixture) {
    fixture.register(world, &address(fixture, ":1.0"));
}

/// A service uses a deregistered task definition.
fn deregistered_of_service(world: &mut World, fixture: &Fixture) {
    let arn = fixture.register(world, &address(fixture, ":1.0"));
    fixture.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let service = json!({"cluster": "web", "serviceName": "web", "taskDefinition": arn, "desiredCount": 0,
        "launchType": "FARGATE", "networkConfiguration": fixture.network()});
    fixture.ask(world, "ecs", "CreateService", service);
    fixture.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}));
}

fn task(world: &mut World, fixture: &Fixture) {
    let arn = fixture.register(world, &address(fixture, ":1.0"));
    fixture.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let run = json!({"cluster": "web", "taskDefinition": arn, "launchType": "FARGATE", "clientToken": "one",
        "networkConfiguration": fixture.network()});
    fixture.ask(world, "ecs", "RunTask", run);
    fixture.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}));
}

fn function(world: &mut World, fixture: &Fixture) {
    let input = json!({"FunctionName": "web", "Role": "arn:aws:iam::123456789012:role/run", "PackageType": "Image",
        "Code": {"ImageUri": address(fixture, ":1.0")}, "Publish": true});
    fixture.ask(world, "lambda", "CreateFunction", input);
}

/// The function is updated to another image; its version is not.
fn function_moves_on(world: &mut World, fixture: &Fixture) {
    move_tag(world, fixture);
    let input = json!({"FunctionName": "web", "ImageUri": address(fixture, ":1.0")});
    fixture.ask(world, "lambda", "UpdateFunctionCode", input);
}

fn move_tag(world: &mut World, fixture: &Fixture) {
    fixture.push_now(world, "three", "1.0");
}

fn in_index(world: &mut World, fixture: &Fixture) {
    let here = (fixture.account.as_str(), fixture.region.as_str());
    push(world, here, 60, &ecr::sample_index(&[&old().digest]), &["multi"]);
    move_tag(world, fixture);
    fixture.register(world, &address(fixture, ":multi"));
}

fn document(world: &mut World, fixture: &Fixture) {
    let value = format!(r#"{{"sidecar": "{}"}}"#, address(fixture, ":1.0"));
    parameter(world, fixture, "/web/containers", &value);
}

fn tag_alone(world: &mut World, fixture: &Fixture) {
    parameter(world, fixture, "/web/version", "1.0");
}

fn nothing(_: &mut World, _: &Fixture) {}

/// ECR lifecycle policies and Cloud Custodian's `ecr` filters select images by count, age and tags, and know none of
/// these references.
#[test]
fn images_that_lifecycle_policies_and_cloud_custodian_delete_stay() {
    type Prepare = fn(&mut World, &Fixture);
    let cases: [(&str, Prepare, Prepare, &str); 8] = [
        ("a registered task definition", definition, nothing, "task definition"),
        ("a service of a deregistered revision, scaled to none", deregistered_of_service, nothing, "service"),
        ("a task that runs by digest what its tag no longer means", task, move_tag, "task"),
        ("a published version of a function, whose tag moved", function, function_moves_on, "function"),
        ("an untagged image of an index that is in use", in_index, nothing, "part of the index"),
        ("a parameter that holds a document", document, nothing, "parameter"),
        ("a parameter that holds the tag alone", tag_alone, nothing, "parameter"),
        ("nothing uses it", nothing, nothing, ""),
    ];
    for (case, begin, then, by) in cases {
        with_containers(two, async |fixture| {
            fixture.cloud.with_world(|world| begin(world, fixture));
            fixture.clock.sleep(Duration::from_mins(10)).await;
            fixture.cloud.with_world(|world| then(world, fixture));
            let survey = fixture.container_survey().await.unwrap();
            match &survey.dispositions[&old()] {
                Disposition::Remove(_) => assert!(by.is_empty(), "{case}"),
                Disposition::Keep(reasons) => {
                    let reported: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                    assert!(
                        !by.is_empty() && reported.iter().any(|why| why.contains(by)),
                        "{case}: {reported:?}"
                    );
                }
                other @ Disposition::Restore(_) => panic!("{case}: {other:?}"),
            }
        });
    }
}

/// `1.0` and an index with the two images it lists, all two months old, and `2.0`, one day old.
fn with_an_index(world: &mut World, fixture: &Fixture) {
    two(world, fixture);
    let here = (fixture.account.as_str(), fixture.region.as_str());
    let children = ["amd", "arm"].map(|one| push(world, here, 60, &ecr::sample_manifest(one), &[]).digest);
    push(world, here, 60, &ecr::sample_index(&[&children[0], &children[1]]), &["0.9"]);
}

fn actions(plan: &[PlannedContainer], action: PlannedAction) -> usize {
    plan.iter().filter(|planned| planned.action == action).count()
}

#[test]
fn a_plan_is_applied_undone_refused_and_finally_deletes_everything_unused() {
    with_containers(with_an_index, async |fixture| {
        let plan = fixture.plan().await;
        assert_eq!(
            (actions(&plan, PlannedAction::Quarantine), actions(&plan, PlannedAction::Keep)),
            (4, 1),
            "{plan:#?}"
        );
        let reported = fixture.apply(&plan).await.unwrap();
        assert_eq!(reported.iter().filter(|(_, done)| *done == Applied::Archived).count(), 4, "{reported:?}");
        assert_eq!(fixture.status(&old()).await, Some(Status::Archived));
        // The same plan again changes nothing.
        assert_eq!(fixture.apply(&plan).await.unwrap(), []);

        // The index is restored with the images it lists.
        let index = of_index(&["amd", "arm"]);
        let mut back = BTreeSet::new();
        let reported = |key: &ImageKey, _| back.extend([key.clone()]);
        restore(&fixture.aws, &fixture.clock, &index, reported).await.unwrap();
        assert_eq!(back, BTreeSet::from([index.clone(), of("amd"), of("arm")]));
        for key in &back {
            assert_eq!(fixture.status(key).await, Some(Status::Active), "{key}");
        }
        assert_eq!(fixture.status(&old()).await, Some(Status::Archived));

        fixture.clock.sleep(DAY * 8).await;
        let plan = fixture.plan().await;
        assert_eq!(
            (actions(&plan, PlannedAction::Delete), actions(&plan, PlannedAction::Quarantine)),
            (1, 3),
            "{plan:#?}"
        );
        // A resource starts to use an image that is to be deleted: the whole plan is refused, and a new one restores
        // the image.
        let arn = fixture.cloud.with_world(|world| fixture.register(world, &address(fixture, ":1.0")));
        let refused = fixture.apply(&plan).await.unwrap_err();
        assert!(matches!(refused, ApplyError::Refused(Refusal::NowInUse { .. })), "{refused}");
        let plan = fixture.plan().await;
        assert_eq!(actions(&plan, PlannedAction::Restore), 1);
        fixture.apply(&plan).await.unwrap();
        fixture.clock.sleep(Duration::from_mins(20)).await;
        assert_eq!(fixture.status(&old()).await, Some(Status::Active));

        // Nothing uses the images any more: all are deleted, the index first.
        fixture.cloud.with_world(|world| {
            fixture.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}))
        });
        for _ in 0..4 {
            let plan = fixture.plan().await;
            fixture.apply(&plan).await.unwrap();
            fixture.clock.sleep(DAY * 8).await;
        }
        let left: Vec<ImageKey> =
            fixture.container_survey().await.unwrap().images.into_iter().map(|image| image.key).collect();
        assert_eq!(left, [of("two")]);
    });
}

fn of_index(contents: &[&str]) -> ImageKey {
    let children: Vec<String> = contents.iter().map(|content| of(content).digest).collect();
    let children: Vec<&str> = children.iter().map(String::as_str).collect();
    ImageKey::new(REPOSITORY, format!("sha256:{}", Sha256::of(ecr::sample_index(&children).as_bytes())))
}

/// Before a cleanup: an image to delete, one to restore, and one to archive.
fn before_a_cleanup() -> Moment {
    let mut moment = Moment::before(&plan(CONTAINERS, "build: {duration: 4m}\n"), Stage::Cleanup);
    let (mut world, now) = (moment.world.clone(), moment.world.now);
    let account = moment.provisioned.pipeline_arn.split(':').nth(4).unwrap().to_owned();
    let region = moment.region.clone();
    let here = (account.as_str(), region.as_str());
    push(&mut world, here, 1, &ecr::sample_manifest("two"), &["2.0"]);
    let rested = ["gone", "back"].map(|one| push(&mut world, here, 60, &ecr::sample_manifest(one), &[one]));
    push(&mut world, here, 60, &ecr::sample_manifest("one"), &["1.0"]);
    world.now = Time(now.0 - 30 * 86_400_000);
    for key in &rested {
        let input = json!({"repositoryName": REPOSITORY, "imageId": {"imageDigest": key.digest},
            "targetStorageClass": "ARCHIVE"});
        trail::ask(&moment, &mut world, "ecr", "UpdateImageStorageClass", input);
    }
    let digits = rested.each_ref().map(|key| key.digest["sha256:".len()..].to_owned());
    let at = bakeline::engine::Timestamp(world.now.0 / 1000);
    world.now = now;
    let mark = json!({"Name": format!("/bakeline/state/cleanup/container-images/marks/{REPOSITORY}/{}-x", at.0), "Type": "String",
        "Value": format!("v1 {at} {}", digits.join(" "))});
    trail::ask(&moment, &mut world, "ssm", "PutParameter", mark);
    let used = json!({"Name": "/web/image", "Value": rested[1].digest, "Type": "String"});
    trail::ask(&moment, &mut world, "ssm", "PutParameter", used);
    moment.world = world;
    moment
}

#[test]
fn every_call_of_a_container_cleanup_survives_faults() {
    let moment = before_a_cleanup();
    let part = |records: &[Record]| {
        let applied = |operation: &str| {
            records.iter().filter(|call| call.operation == operation && call.applied).count()
        };
        assert_eq!((applied("UpdateImageStorageClass"), applied("BatchDeleteImage")), (2, 1));
        let of_ecr = |call: &&Record| call.service == "ecr";
        let first = records.iter().position(|call| of_ecr(&call)).unwrap();
        let last = records.iter().rposition(|call| call.service == "ecr" && call.mutating).unwrap();
        first..last + 1
    };
    let (ran, wrong) = crash_some("container images", Stage::Cleanup, &moment, part, 120);
    println!("container images: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
