//! Inputs that disappear while an action runs: the stage undoes what it created with its token alone.

use std::sync::Arc;

use aws_sdk_imagebuilder::types::ImageStatus;
use bakeline::engine::Clock;
use bakeline::evidence::Stage;
use bakeline::stage::aws_view::fleet::FleetView;
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::journal::Journal;
use bakeline::worker::run_once::run_once;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::ActionStatus;

use crate::environments;
use crate::support::{Moment, example, in_virtual_time, plan, work};

const GROUP: &str = "web-production";

pub async fn worker(moment: &Moment, cloud: &Cloud, clock: &Clock, stage: Stage) -> WorkerDeps {
    moment.worker(cloud, clock, &Arc::new(Journal::in_memory()), &[stage], Telemetry::default()).await
}

/// Runs slices until `condition` holds.
pub async fn until(deps: &WorkerDeps, condition: impl AsyncFn() -> bool) {
    for _ in 0..2000 {
        let _ = Box::pin(run_once(deps)).await;
        if condition().await {
            return;
        }
        deps.clock.sleep(std::time::Duration::from_secs(5)).await;
    }
    panic!("the condition never held");
}

/// The S3 keys of an artifact; CodePipeline shortens its name to ten characters.
async fn keys(deps: &WorkerDeps, moment: &Moment, artifact: &str) -> Vec<String> {
    let s3 = deps.aws.artifacts(None);
    let listed = s3.list_objects_v2().bucket(&moment.provisioned.bucket).send().await.unwrap();
    let short = format!("/{}/", artifact.chars().take(10).collect::<String>());
    let keys: Vec<String> = listed.contents.unwrap().into_iter().filter_map(|object| object.key).collect();
    keys.into_iter().filter(|key| key.contains(&short)).collect()
}

pub async fn delete(deps: &WorkerDeps, moment: &Moment, artifact: &str) {
    let keys = keys(deps, moment, artifact).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let s3 = deps.aws.artifacts(None);
    s3.delete_object().bucket(&moment.provisioned.bucket).key(&keys[0]).send().await.unwrap();
}

async fn replace(deps: &WorkerDeps, moment: &Moment, artifact: &str) {
    for key in keys(deps, moment, artifact).await {
        let call = deps.aws.artifacts(None).put_object().bucket(&moment.provisioned.bucket).key(key);
        let call = call.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms);
        call.body(b"not what it was".to_vec().into()).send().await.unwrap();
    }
}

fn failure_details(cloud: &Cloud) -> String {
    cloud.with_transcript(|transcript| {
        let failed = transcript.records().iter().find(|record| record.operation == "PutJobFailureResult");
        failed.map(|record| record.input["failureDetails"].to_string()).unwrap_or_default()
    })
}

pub fn called(cloud: &Cloud, operation: &str) -> usize {
    cloud.with_transcript(|t| t.records().iter().filter(|r| r.operation == operation && r.applied).count())
}

#[test]
fn the_build_is_cancelled() {
    // Of an image pipeline, and of a recipe.
    for spec in ["tests/it/fixtures/crash/bakeline.yaml", "examples/web/bakeline.yaml"] {
        let moment = Moment::start(&plan(spec, ""));
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            let deps = worker(&moment, &cloud, &clock, Stage::Bake).await;
            until(&deps, async || called(&cloud, "PutJobSuccessResult") > 2).await;
            delete(&deps, &moment, "SourceArtifact").await;
            assert_eq!(work(&moment, &cloud, &deps, Stage::Bake).await, ActionStatus::Failed);
            assert!(
                failure_details(&cloud).contains("the inputs cannot be read again"),
                "{}",
                failure_details(&cloud)
            );
            let call = deps.aws.imagebuilder.list_image_build_versions();
            let images = call.send().await.unwrap().image_summary_list.unwrap();
            let states: Vec<_> =
                images.into_iter().map(|image| image.state.unwrap().status.unwrap()).collect();
            assert_eq!(states, [ImageStatus::Cancelled], "{spec}");
        });
    }
}

/// The states of the instances with the tag of an attempt: the test instances.
pub async fn test_instances(deps: &WorkerDeps) -> Vec<String> {
    let filter = aws_sdk_ec2::types::Filter::builder().name("tag-key").values("bakeline:attempt").build();
    let found = deps.aws.ec2.describe_instances().filters(filter).send().await.unwrap();
    let instances =
        found.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
    instances.map(|instance| instance.state.unwrap().name.unwrap().as_str().to_owned()).collect()
}

#[test]
fn the_test_instance_is_terminated() {
    for gone in [true, false] {
        let moment = Moment::before(&example(""), Stage::Test);
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            let deps = worker(&moment, &cloud, &clock, Stage::Test).await;
            until(&deps, async || test_instances(&deps).await.contains(&"running".to_owned())).await;
            if gone {
                delete(&deps, &moment, "BakedImage").await;
            } else {
                replace(&deps, &moment, "BakedImage").await;
            }
            assert_eq!(work(&moment, &cloud, &deps, Stage::Test).await, ActionStatus::Failed);
            assert!(
                failure_details(&cloud).contains("the inputs cannot be read again"),
                "{}",
                failure_details(&cloud)
            );
            // EC2 terminates an instance some time after it accepts the call.
            clock.sleep(std::time::Duration::from_mins(2)).await;
            assert_eq!(test_instances(&deps).await, ["terminated"]);
        });
    }
}

#[test]
fn a_partial_rollout_is_rolled_back() {
    let moment = Moment::before(&example(""), Stage::Promote);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Promote).await;
        check_rollback(&moment, &cloud, &deps, &deps).await;
    });
}

#[test]
fn a_partial_rollout_in_an_environment_is_rolled_back_there() {
    let moment = environments::start("{promote: production}");
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let mut deps = environments::deps(&moment, &cloud, &clock, &[Stage::Bake, Stage::Test]).await;
        assert_eq!(work(&moment, &cloud, &deps, Stage::Test).await, ActionStatus::Succeeded);
        deps.stages = vec![Stage::Promote];
        check_rollback(&moment, &cloud, &deps, &deps).await;
        let keys: std::collections::BTreeSet<_> = cloud.with_transcript(|transcript| {
            let back = transcript.records().iter().filter(|r| r.operation == "RollbackInstanceRefresh");
            back.filter_map(|record| record.access_key.clone()).collect()
        });
        for key in keys {
            let who =
                cloud.with_world(|w| bakeline_rehearsal::services::sts::principal(w, &key)).unwrap().arn;
            assert!(who.contains(":assumed-role/production/"), "{who}");
        }
    });
}

async fn check_rollback(moment: &Moment, cloud: &Cloud, deps: &WorkerDeps, look: &WorkerDeps) {
    let old = moment.provisioned.current_image.clone().unwrap();
    until(deps, async || {
        let census = FleetView::read(&look.aws, GROUP).await.unwrap();
        census.images.values().any(|image| *image != old)
    })
    .await;
    delete(deps, moment, "TestedImage").await;
    assert_eq!(work(moment, cloud, deps, Stage::Promote).await, ActionStatus::Failed);
    assert!(failure_details(cloud).contains("the inputs cannot be read again"), "{}", failure_details(cloud));
    assert!(called(cloud, "RollbackInstanceRefresh") >= 1);
    let census = FleetView::read(&look.aws, GROUP).await.unwrap();
    assert_eq!(census.not_ready(&old), None);
}

#[test]
fn the_weights_of_two_groups_are_restored() {
    let moment = Moment::before(&plan("tests/it/fixtures/turns/bakeline.yaml", ""), Stage::Promote);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Promote).await;
        until(&deps, async || called(&cloud, "ModifyListener") == 1).await;
        delete(&deps, &moment, "TestedImage").await;
        assert_eq!(work(&moment, &cloud, &deps, Stage::Promote).await, ActionStatus::Failed);
        assert!(
            failure_details(&cloud).contains("the inputs cannot be read again"),
            "{}",
            failure_details(&cloud)
        );
        assert_eq!(called(&cloud, "ModifyListener"), 2, "shifted and restored");
        clock.sleep(std::time::Duration::from_mins(10)).await;
        let green = FleetView::read(&deps.aws, "web-green").await.unwrap();
        assert!(green.images.is_empty(), "the group is empty again");
        let old = moment.provisioned.current_image.clone().unwrap();
        assert_eq!(FleetView::read(&deps.aws, GROUP).await.unwrap().not_ready(&old), None);
    });
}

#[test]
fn the_groups_of_all_waves_are_rolled_back() {
    let moment = Moment::before(&plan("tests/it/fixtures/waves/bakeline.yaml", ""), Stage::Promote);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, Stage::Promote).await;
        // The first group and the first wave have the new image; the second wave is in progress.
        until(&deps, async || called(&cloud, "StartInstanceRefresh") >= 4).await;
        delete(&deps, &moment, "TestedImage").await;
        assert_eq!(work(&moment, &cloud, &deps, Stage::Promote).await, ActionStatus::Failed);
        assert!(
            failure_details(&cloud).contains("the inputs cannot be read again"),
            "{}",
            failure_details(&cloud)
        );
        clock.sleep(std::time::Duration::from_mins(10)).await;
        let old = moment.provisioned.current_image.clone().unwrap();
        for group in [GROUP, "web-a", "web-b", "web-c", "web-d", "web-e"] {
            assert_eq!(FleetView::read(&deps.aws, group).await.unwrap().not_ready(&old), None, "{group}");
        }
    });
}
