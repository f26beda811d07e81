//! Leftovers of runs that nobody undid: the execution was stopped and abandoned, and its worker is gone.

use std::time::Duration;

use aws_sdk_imagebuilder::types::ImageStatus;
use bakeline::evidence::Stage;
use bakeline::stage::aws_view::fleet::FleetView;
use bakeline::stage::reap::{self, Builds, Leftover, LeftoverKind, RunStatus, records};
use bakeline::worker::WorkerDeps;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use crate::support::{Moment, example, in_virtual_time, plan, work};
use crate::trail::ask;
use crate::unwinding::{called, test_instances, until, worker};

/// A release whose promotion starts with a canary and a baseline.
const TRIAL: &str = "tests/it/fixtures/promote/bakeline.yaml";

/// The groups of the canary and its baseline, with their instances.
fn canary_groups(moment: &Moment, world: &mut World) -> Vec<(String, usize)> {
    let answer = ask(moment, world, "autoscaling", "DescribeAutoScalingGroups", json!({}));
    let groups = answer["AutoScalingGroups"].as_array().cloned().unwrap_or_default();
    let side = |group: &Value| {
        let name = group["AutoScalingGroupName"].as_str()?;
        let is_canary = bakeline::stage::aws_view::canary_groups::is_canary_group(name);
        is_canary.then(|| (name.to_owned(), group["Instances"].as_array().map_or(0, Vec::len)))
    };
    groups.iter().filter_map(side).collect()
}

/// The production group, without the instances that the canary registers in its target groups.
async fn production(deps: &WorkerDeps) -> FleetView {
    let mut fleet = FleetView::read(&deps.aws, "web-production").await.unwrap();
    let members: Vec<String> = fleet.group.instances.iter().map(|member| member.id.clone()).collect();
    fleet.targets.values_mut().for_each(|targets| targets.retain(|target, _| members.contains(target)));
    assert!(fleet.targets.values().all(|targets| targets.len() == members.len()), "{fleet:?}");
    fleet
}

fn stop(moment: &Moment, world: &mut World) {
    let pipeline = moment.provisioned.pipeline_arn.rsplit(':').next();
    let input = json!({"pipelineName": pipeline, "pipelineExecutionId": moment.provisioned.execution, "abandon": true});
    ask(moment, world, "codepipeline", "StopPipelineExecution", input);
}

/// Works at a stage until it has created what it is about to leave, and lets the worker die there.
fn dies_at(moment: &Moment, stage: Stage) -> Moment {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(moment, &cloud, &clock, stage).await;
        until(&deps, async || match stage {
            Stage::Bake => called(&cloud, "PutJobSuccessResult") > 2,
            Stage::Test => test_instances(&deps).await.contains(&"running".to_owned()),
            Stage::Promote => {
                let groups = cloud.with_world(|world| canary_groups(moment, world));
                groups.len() == 2 && groups.iter().all(|(_, instances)| *instances > 0)
            }
            Stage::Cleanup => false,
        })
        .await;
        moment.now(&cloud)
    })
}

/// As [`dies_at`], at a time that the cloud determines.
pub fn dies_when(moment: &Moment, stage: Stage, there: impl Fn(&Cloud) -> bool) -> Moment {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(moment, &cloud, &clock, stage).await;
        until(&deps, async || there(&cloud)).await;
        moment.now(&cloud)
    })
}

/// The moment after an execution died at a stage and was abandoned, and another one started.
pub fn abandoned(moment: &Moment, stage: Stage) -> Moment {
    let mut moment = dies_at(moment, stage);
    let mut world = moment.world.clone();
    stop(&moment, &mut world);
    let pipeline = moment.provisioned.pipeline_arn.rsplit(':').next();
    let started =
        ask(&moment, &mut world, "codepipeline", "StartPipelineExecution", json!({"name": pipeline}));
    started["pipelineExecutionId"].as_str().unwrap().clone_into(&mut moment.provisioned.execution);
    moment.world = world;
    moment
}

/// The moment before the cleanup of a release, after two others died with a test instance and a canary.
pub fn after_two_that_died(spec: &str, scenario: &str) -> Moment {
    let start = Moment::start(&plan(spec, scenario));
    let first = abandoned(&start.after(Stage::Bake), Stage::Test);
    let second = abandoned(&first.after(Stage::Bake).after(Stage::Test), Stage::Promote);
    second.after(Stage::Bake).after(Stage::Test).after(Stage::Promote)
}

async fn kinds(deps: &WorkerDeps) -> Vec<LeftoverKind> {
    let found = reap::find(&deps.aws, Builds::All).await.unwrap();
    found.into_iter().map(|leftover| leftover.kind).collect()
}

#[test]
fn leftovers_are_removable_once_their_run_has_ended() {
    let cases = [
        (Moment::start(&example("")), Stage::Bake, vec![LeftoverKind::Build]),
        (Moment::before(&example(""), Stage::Test), Stage::Test, vec![LeftoverKind::TestInstance]),
        (
            Moment::before(&plan(TRIAL, ""), Stage::Promote),
            Stage::Promote,
            vec![LeftoverKind::CanaryGroup; 2],
        ),
    ];
    for (moment, stage, expected) in cases {
        let moment = dies_at(&moment, stage);
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            let deps = worker(&moment, &cloud, &clock, Stage::Cleanup).await;
            let before = production(&deps).await;
            let found: Vec<Leftover> = reap::find(&deps.aws, Builds::All).await.unwrap();
            assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), expected, "{stage}");
            assert!(found.iter().all(|one| one.run.run_id == moment.provisioned.execution), "{found:?}");
            let status = async || {
                let run_statuses = reap::run_statuses(&deps.aws, &found).await.unwrap();
                run_statuses.into_values().collect::<Vec<_>>()
            };
            assert_eq!(status().await, [RunStatus::Running], "{stage}");
            cloud.with_world(|world| stop(&moment, world));
            assert_eq!(status().await, [RunStatus::Ended], "{stage}");

            // As `bakeline reap remove` does, repeated until a drained group is deleted.
            for _ in 0..60 {
                let found = reap::find(&deps.aws, Builds::All).await.unwrap();
                for leftover in &found {
                    reap::remove(&deps.aws, leftover).await.unwrap();
                }
                clock.sleep(Duration::from_secs(30)).await;
            }
            assert_eq!(kinds(&deps).await, [], "{stage}");
            assert_eq!(production(&deps).await, before, "production is as it was");
            match stage {
                Stage::Bake => {
                    let call = deps.aws.imagebuilder.list_image_build_versions().send().await.unwrap();
                    let images = call.image_summary_list.unwrap();
                    let statuses: Vec<_> =
                        images.into_iter().map(|image| image.state.unwrap().status.unwrap()).collect();
                    assert_eq!(statuses, [ImageStatus::Cancelled]);
                }
                Stage::Test => assert_eq!(test_instances(&deps).await, ["terminated"]),
                Stage::Promote | Stage::Cleanup => {
                    assert_eq!(cloud.with_world(|world| canary_groups(&moment, world)), []);
                }
            }
        });
    }
}

#[test]
fn a_run_that_no_pipeline_knows_does_not_count_as_ended() {
    let moment = dies_at(&Moment::before(&example(""), Stage::Test), Stage::Test);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Cleanup).await;
        let mut found = reap::find(&deps.aws, Builds::All).await.unwrap();
        for leftover in &mut found {
            leftover.run.pipeline = "of-another-account".to_owned();
        }
        let run_statuses = reap::run_statuses(&deps.aws, &found).await.unwrap();
        assert_eq!(run_statuses.into_values().collect::<Vec<_>>(), [RunStatus::Unknown]);
    });
}

#[test]
fn a_later_cleanup_removes_the_leftovers_of_earlier_runs() {
    let moment = after_two_that_died(TRIAL, "");
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Cleanup).await;
        let left = [LeftoverKind::TestInstance, LeftoverKind::CanaryGroup, LeftoverKind::CanaryGroup];
        assert_eq!(kinds(&deps).await, left);
        let before = production(&deps).await;
        assert_eq!(work(&moment, &cloud, &deps, Stage::Cleanup).await, ActionStatus::Succeeded);
        assert_eq!(kinds(&deps).await, []);
        assert_eq!(cloud.with_world(|world| canary_groups(&moment, world)), []);
        assert_eq!(production(&deps).await, before);
    });
}

#[test]
fn records_of_builds_without_images_are_removed_with_recipe_and_components() {
    let moment = Moment::start(&example("")).after(Stage::Bake);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Cleanup).await;
        let account = moment.provisioned.pipeline_arn.split(':').nth(4).unwrap();
        let unused = async || {
            let read = records::read(&deps.aws, account, "web").await.unwrap();
            records::unused(&read, Duration::from_hours(24), clock.now())
        };
        clock.sleep(Duration::from_hours(48)).await;
        assert_eq!(unused().await, [], "its images are there");
        let builds = deps.aws.imagebuilder.list_image_build_versions().send().await.unwrap();
        let outputs: Vec<(String, String)> = builds
            .image_summary_list()
            .iter()
            .flat_map(|build| build.output_resources().unwrap().amis())
            .map(|ami| (ami.region().unwrap().to_owned(), ami.image().unwrap().to_owned()))
            .collect();
        assert_eq!(outputs.len(), 2, "in two regions");
        for (region, image) in outputs {
            deps.aws.ec2_in(&region).deregister_image().image_id(image).send().await.unwrap();
        }
        let found = unused().await;
        let kinds: Vec<LeftoverKind> = found.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [LeftoverKind::BuildRecord, LeftoverKind::Recipe, LeftoverKind::Component]);
        // In reverse order nothing is deleted: each is still in use.
        for leftover in found.iter().rev().chain(&found) {
            reap::remove(&deps.aws, leftover).await.unwrap();
        }
        assert_eq!(unused().await, []);
        let deleted: Vec<String> = cloud.with_transcript(|transcript| {
            let deletes = transcript
                .records()
                .iter()
                .filter(|call| call.operation.starts_with("Delete") && call.applied);
            deletes.map(|call| call.operation.clone()).collect()
        });
        assert_eq!(deleted, ["DeleteImage", "DeleteImageRecipe", "DeleteComponent"]);
    });
}
