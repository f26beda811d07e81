//! Container images on the embedded AWS: every list fails closed, what others are known to delete stays, a plan is
//! carried out and taken back, and every call of the stage meets every fault.

use std::collections::BTreeSet;
use std::time::Duration;

use bakeline::digest::Sha256;
use bakeline::engine::StageError;
use bakeline::evidence::Stage;
use bakeline::evidence::predicate::{Aim, PlannedContainer};
use bakeline::stage::cleanup::containers::apply::{ApplyError, Done, apply, bring_back};
use bakeline::stage::cleanup::containers::image::{Key, Status};
use bakeline::stage::cleanup::containers::inventory::Definitions;
use bakeline::stage::cleanup::containers::plan::{Refusal, draw};
use bakeline::stage::cleanup::containers::retain::{Disposition, Uses};
use bakeline::stage::cleanup::containers::survey::{Scope, Survey};
use bakeline_rehearsal::faults::FaultPlan;
use bakeline_rehearsal::services::ecr;
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::denied;
use super::ground::{CONTAINERS, Ground, with_containers};
use super::references::parameter;
use crate::crash::{crash_some, report};
use crate::support::{Moment, plan};
use crate::trail;

const REPOSITORY: &str = "team/web";
const DAY: Duration = Duration::from_hours(24);

/// Pushes an image as it was done so many days ago; its key.
fn push(world: &mut World, (account, region): (&str, &str), days: i64, manifest: &str, tags: &[&str]) -> Key {
    let now = world.now;
    world.now = Time(now.0 - days * 86_400_000);
    ecr::seed_repository(world, account, region, REPOSITORY);
    let digest = ecr::push(world, (account, region), REPOSITORY, tags, manifest).unwrap();
    world.now = now;
    Key::new(REPOSITORY, digest)
}

/// The image that `1.0` was before anything else happened.
fn old() -> Key {
    of("one")
}

fn of(content: &str) -> Key {
    let digest = Sha256::of(ecr::sample_manifest(content).as_bytes());
    Key::new(REPOSITORY, format!("sha256:{digest}"))
}

fn address(ground: &Ground, what: &str) -> String {
    format!("{}.dkr.ecr.{}.amazonaws.com/{REPOSITORY}{what}", ground.account, ground.region)
}

/// `1.0`, two months old, and `2.0`, of yesterday.
fn two(world: &mut World, ground: &Ground) {
    let here = (ground.account.as_str(), ground.region.as_str());
    push(world, here, 60, &ecr::sample_manifest("one"), &["1.0"]);
    push(world, here, 1, &ecr::sample_manifest("two"), &["2.0"]);
}

impl Ground {
    fn container_scope(&self) -> Scope<'_> {
        let rules = self.scope().policy.container_images.as_ref().unwrap();
        Scope { rules, account: &self.account, known: Uses::new() }
    }

    async fn look(&self) -> Result<Survey, StageError> {
        let now = self.clock.now();
        Survey::take(&self.aws, &self.container_scope(), &Definitions::default(), now).await
    }

    async fn draw(&self) -> Vec<PlannedContainer> {
        draw(&self.look().await.unwrap(), &self.container_scope(), &self.region)
    }

    async fn carry_out(&self, plan: &[PlannedContainer]) -> Result<Vec<(Key, Done)>, ApplyError> {
        let mut told = Vec::new();
        let tell = |key: &Key, done: &Done| told.push((key.clone(), done.clone()));
        let (scope, definitions) = (self.container_scope(), Definitions::default());
        apply(&self.aws, &self.clock, &scope, &definitions, plan, tell).await?;
        Ok(told)
    }

    async fn status(&self, key: &Key) -> Option<Status> {
        self.look().await.unwrap().image(key).map(|image| image.status)
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

/// Everything that can use an image, so that every list is asked for.
fn everything(world: &mut World, ground: &Ground) {
    two(world, ground);
    let here = (ground.account.as_str(), ground.region.as_str());
    let index = ecr::sample_index(&[&of("two").digest]);
    push(world, here, 1, &index, &["multi"]);
    let definition = ground.register(world, &address(ground, ":1.0"));
    ground.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let service = json!({"cluster": "web", "serviceName": "web", "taskDefinition": definition, "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": ground.network()});
    ground.ask(world, "ecs", "CreateService", service);
    function(world, ground);
    parameter(world, ground, "/some/setting", "on");
}

#[test]
fn every_list_of_what_uses_containers_that_is_denied_is_named_and_nothing_is_judged() {
    with_containers(everything, async |ground| {
        ground.clock.sleep(Duration::from_mins(10)).await;
        let first = ground.called();
        ground.look().await.unwrap();
        let calls: BTreeSet<(String, String)> =
            ground.records(first).into_iter().map(|record| (record.service, record.operation)).collect();
        assert!(calls.len() >= 16, "{calls:?}");
        for (service, operation) in calls {
            ground.cloud.set_faults(denied(&service, &operation));
            let error = ground.look().await.unwrap_err();
            assert!(error.to_string().contains(&operation), "{operation}: {error}");
            assert!(!error.is_transient(), "{operation}: a denial is not waited for: {error}");
            ground.cloud.set_faults(FaultPlan::default());
        }
    });
}

fn definition(world: &mut World, ground: &Ground) {
    ground.register(world, &address(ground, ":1.0"));
}

/// A service goes on with a revision that was deregistered.
fn deregistered_of_service(world: &mut World, ground: &Ground) {
    let arn = ground.register(world, &address(ground, ":1.0"));
    ground.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let service = json!({"cluster": "web", "serviceName": "web", "taskDefinition": arn, "desiredCount": 0,
        "launchType": "FARGATE", "networkConfiguration": ground.network()});
    ground.ask(world, "ecs", "CreateService", service);
    ground.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}));
}

fn task(world: &mut World, ground: &Ground) {
    let arn = ground.register(world, &address(ground, ":1.0"));
    ground.ask(world, "ecs", "CreateCluster", json!({"clusterName": "web"}));
    let run = json!({"cluster": "web", "taskDefinition": arn, "launchType": "FARGATE", "clientToken": "one",
        "networkConfiguration": ground.network()});
    ground.ask(world, "ecs", "RunTask", run);
    ground.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}));
}

fn function(world: &mut World, ground: &Ground) {
    let input = json!({"FunctionName": "web", "Role": "arn:aws:iam::123456789012:role/run", "PackageType": "Image",
        "Code": {"ImageUri": address(ground, ":1.0")}, "Publish": true});
    ground.ask(world, "lambda", "CreateFunction", input);
}

/// The function itself goes on to another image; the version does not.
fn function_moves_on(world: &mut World, ground: &Ground) {
    move_tag(world, ground);
    let input = json!({"FunctionName": "web", "ImageUri": address(ground, ":1.0")});
    ground.ask(world, "lambda", "UpdateFunctionCode", input);
}

fn move_tag(world: &mut World, ground: &Ground) {
    ground.push_now(world, "three", "1.0");
}

fn in_index(world: &mut World, ground: &Ground) {
    let here = (ground.account.as_str(), ground.region.as_str());
    push(world, here, 60, &ecr::sample_index(&[&old().digest]), &["multi"]);
    move_tag(world, ground);
    ground.register(world, &address(ground, ":multi"));
}

fn document(world: &mut World, ground: &Ground) {
    let value = format!(r#"{{"sidecar": "{}"}}"#, address(ground, ":1.0"));
    parameter(world, ground, "/web/containers", &value);
}

fn tag_alone(world: &mut World, ground: &Ground) {
    parameter(world, ground, "/web/version", "1.0");
}

fn nothing(_: &mut World, _: &Ground) {}

/// Who deletes what, and what uses it: by count and age, untagged or not, ECR's lifecycle policies and Cloud Custodian's
/// `ecr` filters know nothing of any of these.
#[test]
fn what_lifecycle_policies_and_cloud_custodian_delete_in_use_stays_here() {
    type Prepare = fn(&mut World, &Ground);
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
        with_containers(two, async |ground| {
            ground.cloud.with_world(|world| begin(world, ground));
            ground.clock.sleep(Duration::from_mins(10)).await;
            ground.cloud.with_world(|world| then(world, ground));
            let survey = ground.look().await.unwrap();
            match &survey.fates[&old()] {
                Disposition::Go(_) => assert!(by.is_empty(), "{case}"),
                Disposition::Keep(reasons) => {
                    let told: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                    assert!(!by.is_empty() && told.iter().any(|why| why.contains(by)), "{case}: {told:?}");
                }
                other @ Disposition::Reinstate(_) => panic!("{case}: {other:?}"),
            }
        });
    }
}

/// `1.0` and an index with the two images it names, all two months old, and `2.0` of yesterday.
fn with_an_index(world: &mut World, ground: &Ground) {
    two(world, ground);
    let here = (ground.account.as_str(), ground.region.as_str());
    let children = ["amd", "arm"].map(|one| push(world, here, 60, &ecr::sample_manifest(one), &[]).digest);
    push(world, here, 60, &ecr::sample_index(&[&children[0], &children[1]]), &["0.9"]);
}

fn aims(plan: &[PlannedContainer], aim: Aim) -> usize {
    plan.iter().filter(|planned| planned.aim == aim).count()
}

#[test]
fn a_plan_is_carried_out_taken_back_refused_and_ends_in_nothing_left() {
    with_containers(with_an_index, async |ground| {
        let plan = ground.draw().await;
        assert_eq!((aims(&plan, Aim::Quarantine), aims(&plan, Aim::Keep)), (4, 1), "{plan:#?}");
        let told = ground.carry_out(&plan).await.unwrap();
        assert_eq!(told.iter().filter(|(_, done)| *done == Done::Archived).count(), 4, "{told:?}");
        assert_eq!(ground.status(&old()).await, Some(Status::Archived));
        // The same plan again has nothing to do.
        assert_eq!(ground.carry_out(&plan).await.unwrap(), []);

        // The index comes back, and what it names with it.
        let index = of_index(&["amd", "arm"]);
        let mut back = BTreeSet::new();
        let told = |key: &Key, _| back.extend([key.clone()]);
        bring_back(&ground.aws, &ground.clock, &index, told).await.unwrap();
        assert_eq!(back, BTreeSet::from([index.clone(), of("amd"), of("arm")]));
        for key in &back {
            assert_eq!(ground.status(key).await, Some(Status::Active), "{key}");
        }
        assert_eq!(ground.status(&old()).await, Some(Status::Archived));

        ground.clock.sleep(DAY * 8).await;
        let plan = ground.draw().await;
        assert_eq!((aims(&plan, Aim::Delete), aims(&plan, Aim::Quarantine)), (1, 3), "{plan:#?}");
        // Something begins to use what is to go: the whole plan is refused, and a new one brings it back.
        let arn = ground.cloud.with_world(|world| ground.register(world, &address(ground, ":1.0")));
        let refused = ground.carry_out(&plan).await.unwrap_err();
        assert!(matches!(refused, ApplyError::Refused(Refusal::Changed { .. })), "{refused}");
        let plan = ground.draw().await;
        assert_eq!(aims(&plan, Aim::Reinstate), 1);
        ground.carry_out(&plan).await.unwrap();
        ground.clock.sleep(Duration::from_mins(20)).await;
        assert_eq!(ground.status(&old()).await, Some(Status::Active));

        // Nothing uses it any more: all of it goes, the index first.
        ground.cloud.with_world(|world| {
            ground.ask(world, "ecs", "DeregisterTaskDefinition", json!({"taskDefinition": arn}))
        });
        for _ in 0..4 {
            let plan = ground.draw().await;
            ground.carry_out(&plan).await.unwrap();
            ground.clock.sleep(DAY * 8).await;
        }
        let left: Vec<Key> = ground.look().await.unwrap().images.into_iter().map(|image| image.key).collect();
        assert_eq!(left, [of("two")]);
    });
}

fn of_index(contents: &[&str]) -> Key {
    let children: Vec<String> = contents.iter().map(|content| of(content).digest).collect();
    let children: Vec<&str> = children.iter().map(String::as_str).collect();
    Key::new(REPOSITORY, format!("sha256:{}", Sha256::of(ecr::sample_index(&children).as_bytes())))
}

/// What a cleanup meets: an image to delete, one to bring back, and one to put away.
fn before_a_cleanup() -> Moment {
    let mut moment = Moment::before(&plan(CONTAINERS, "build: {minutes: 4}\n"), Stage::Cleanup);
    let (mut world, now) = (moment.world.clone(), moment.world.now);
    let account = moment.founded.pipeline_arn.split(':').nth(4).unwrap().to_owned();
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
    let mark = json!({"Name": format!("/bakeline/cleanup/containers/{REPOSITORY}/{}-x", at.0), "Type": "String",
        "Value": format!("{at} {}", digits.join(" "))});
    trail::ask(&moment, &mut world, "ssm", "PutParameter", mark);
    let used = json!({"Name": "/web/image", "Value": rested[1].digest, "Type": "String"});
    trail::ask(&moment, &mut world, "ssm", "PutParameter", used);
    moment.world = world;
    moment
}

#[test]
fn every_call_of_a_cleanup_of_container_images_survives_faults() {
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
