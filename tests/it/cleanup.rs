//! Cleanup on the embedded AWS: no list may be cut short, no known way to delete a used image works here, and every
//! step can be undone.

mod container_images;
mod crash;
mod environments;
mod fixtures;
mod references;
mod worlds;

use std::collections::BTreeSet;

use bakeline::evidence::predicate::PlannedAction;
use bakeline::stage::cleanup::list_lengths;
use bakeline::stage::cleanup::machine_images::advance::advance;
use bakeline::stage::cleanup::machine_images::apply::{Applied, ApplyError, apply};
use bakeline::stage::cleanup::machine_images::plan::Refusal;
use bakeline::stage::cleanup::machine_images::quarantine::{RECORD_TAG, RemovalStep};
use bakeline::stage::cleanup::machine_images::queue::QueuedImage;
use bakeline::stage::cleanup::machine_images::retention::Disposition;
use bakeline::stage::cleanup::machine_images::survey::{Inspect, Survey};
use bakeline::stage::cleanup::machine_images::undo::{UndoError, undo};
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::world::World;
use serde_json::json;

use self::fixtures::{Fixture, OLD, with_fixture, with_shares_by_usage};
use self::references::{Refer, parameter, plain_parameter};

const DAY: u64 = 86_400;

/// Refuses every call of one operation.
fn denied(service: &str, operation: &str) -> FaultPlan {
    FaultPlan::default().rule(When::every(service, operation), Fault::Deny)
}

#[test]
fn a_denied_list_fails_the_survey_and_is_named() {
    let prepare = |world: &mut World, fixture: &Fixture| parameter(world, fixture, "/some/setting", "on");
    with_fixture(prepare, async |fixture| {
        fixture.survey(Inspect::Oldest(3)).await.unwrap();
        let calls: BTreeSet<(String, String)> = fixture.cloud.with_transcript(|transcript| {
            let read = transcript.records().iter().filter(|record| !record.mutating);
            read.map(|record| (record.service.clone(), record.operation.clone())).collect()
        });
        let calls: Vec<_> = calls
            .into_iter()
            .filter(|(service, operation)| {
                // The start of the worker asks KMS for its key.
                ["ec2", "autoscaling", "ssm", "imagebuilder"].contains(&service.as_str())
                    && operation != "DescribeInstanceStatus"
            })
            .collect();
        assert!(calls.len() >= 16, "{calls:?}");
        for (service, operation) in calls {
            fixture.cloud.set_faults(denied(&service, &operation));
            let error = fixture.survey(Inspect::Oldest(3)).await.unwrap_err();
            assert!(error.to_string().contains(&operation), "{operation}: {error}");
            assert!(!error.is_transient(), "{operation}: a denial is not waited for: {error}");
        }
    });
}

/// Known failures of other tools: what referenced the image that the tool deleted.
#[test]
fn images_that_other_tools_deleted_stay() {
    let cases: [(&str, Refer, &str); 17] = [
        ("cloud-custodian#6554: an older template version", references::older_version, "launch template"),
        (
            "cloud-custodian#3483: a group of a launch template",
            references::group_of_template,
            "Auto Scaling group",
        ),
        ("cloud-custodian#9452: shared with another account", references::shared, "shared with 1"),
        ("cloud-custodian#5924: a plain parameter", references::plain_parameter, "parameter"),
        ("cloud-custodian#4568: a group whose template is gone", references::lost_template, ""),
        ("aws-amicleaner#57: a template that no group uses", references::lone_template, "launch template"),
        (
            "widdix/aws-ec2-ami-cleanup#5: resolve:ssm in a template",
            references::by_parameter,
            "launch template",
        ),
        (
            "packer-plugin-amazon-ami-management#30: a launch configuration",
            references::configuration,
            "launch configuration",
        ),
        (
            "terraform-aws-github-runner#4259: a parameter of another name",
            references::odd_parameter,
            "parameter",
        ),
        (
            "terraform-aws-github-runner#4623: a parameter that holds a document",
            references::document,
            "parameter",
        ),
        (
            "kubernetes-on-aws#2397: a node group's template behind $Default",
            references::node_group,
            "launch template",
        ),
        ("not checked by any: an EC2 fleet's override", references::fleet, "EC2 fleet"),
        ("not checked by any: a Spot fleet", references::spot_fleet, "Spot fleet"),
        ("not checked by any: an open Spot request", references::spot_request, "Spot request"),
        ("not checked by any: a stopped instance", references::stopped_instance, "instance"),
        ("not checked by any: the parent of a recipe", references::recipe, "Image Builder recipe"),
        (
            "not checked by any: what a container recipe's build instances run",
            references::container_recipe,
            "Image Builder recipe",
        ),
    ];
    for (case, prepare, by) in cases {
        with_fixture(
            |_, _| (),
            async |fixture| {
                let image = fixture.image(OLD);
                fixture.cloud.with_world(|world| prepare(world, fixture, &image));
                fixture.clock.sleep(std::time::Duration::from_mins(10)).await;
                let survey = fixture.survey(Inspect::Oldest(100)).await.unwrap();
                let disposition = &survey.dispositions[&image];
                if by.is_empty() {
                    assert!(matches!(disposition, Disposition::Remove(_)), "{case}: {disposition:?}");
                    return;
                }
                let Disposition::Keep(reasons) = disposition else { panic!("{case}: {disposition:?}") };
                let reported: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                assert!(reported.iter().any(|reason| reason.contains(by)), "{case}: {reported:?}");
                // bakeline's own inventory reports the reference, too.
                let ec2_only = "reported by DescribeImageReferences only";
                assert!(!reported.iter().any(|reason| reason.contains(ec2_only)), "{case}: {reported:?}");
                // It keeps no other image.
                let leaving = survey.removable().count();
                assert_eq!(leaving, fixture.candidates - 1, "{case}");
            },
        );
    }
}

/// karpenter-provider-aws#6393: a node class searches for its image and finds no deprecated one, so scaling stops. No
/// AWS API reports node classes. The image of running nodes is kept, and the tag `bakeline:keep` keeps an image
/// without nodes.
#[test]
fn images_of_running_nodes_and_tagged_images_are_not_deprecated() {
    let tag = |world: &mut World, fixture: &Fixture, image: &str| {
        let tags = json!([{"Key": "bakeline:keep", "Value": "karpenter"}]);
        fixture.ask(world, "ec2", "CreateTags", json!({"Resources": [image], "Tags": tags}));
    };
    let kept: [Refer; 2] = [references::instance, tag];
    for keep in kept {
        with_fixture(
            |_, _| (),
            async |fixture| {
                let image = fixture.image(OLD);
                fixture.cloud.with_world(|world| keep(world, fixture, &image));
                let before = fixture.describe(&image);
                let survey = fixture.survey(Inspect::Oldest(100)).await.unwrap();
                let here = (fixture.account.as_str(), fixture.region.as_str());
                let plan = fixture.make_plan(&survey, None);
                let scope = fixture.scope();
                let mut done = 0;
                apply(&fixture.aws, &fixture.clock, &scope, &plan, here, |_, _| done += 1).await.unwrap();
                assert_eq!(done, fixture.candidates - 1);
                assert_eq!(fixture.describe(&image), before);
            },
        );
    }
}

#[test]
fn a_snapshot_of_a_disabled_image_stays() {
    // cloud-custodian#9444.
    with_fixture(
        |_, _| (),
        async |fixture| {
            let (image, other) = (fixture.image(OLD), fixture.image("web-93-days-ago"));
            fixture.cloud.with_world(|world| {
                ec2::share_snapshots(world, &image, &other);
                fixture.ask(world, "ec2", "DisableImage", json!({"ImageId": other}));
            });
            let snapshots = fixture.snapshots();
            fixture.remove(&image).await;
            let left: Vec<String> =
                snapshots.iter().filter(|id| fixture.snapshots().contains(*id)).cloned().collect();
            assert_eq!(left.len(), snapshots.len() - 1, "only its own snapshot is deleted");
        },
    );
}

/// An image has two snapshots, and a resource references one of them.
#[test]
fn a_referenced_snapshot_stays_and_the_plan_gives_the_reason() {
    for (by, name) in references::DISKS {
        with_fixture(
            |_, _| (),
            async |fixture| {
                let (image, other) = (fixture.image(OLD), fixture.image("web-93-days-ago"));
                fixture.cloud.with_world(|world| ec2::share_snapshots(world, &image, &other));
                // A person deregisters the other image first, without its snapshot.
                fixture.cloud.with_world(|world| {
                    fixture.ask(world, "ec2", "DeregisterImage", json!({"ImageId": other}));
                });
                let snapshots = fixture.snapshots_of(&image);
                let [free, named] = &snapshots[..] else { panic!("{snapshots:?}") };
                fixture.cloud.with_world(|world| name(world, fixture, named));
                let survey = fixture.survey(Inspect::Oldest(100)).await.unwrap();
                let plan = fixture.make_plan(&survey, None);
                let planned = plan.images.iter().find(|planned| planned.image.image_id == image).unwrap();
                let said = format!("its snapshot {named} stays, referenced by {by} ");
                assert!(
                    planned.reasons.iter().any(|reason| reason.starts_with(&said)),
                    "{:?}",
                    planned.reasons
                );
                fixture.remove(&image).await;
                let left = fixture.snapshots();
                assert_eq!((left.contains(named), left.contains(free)), (true, false), "{by}");
            },
        );
    }
}

#[test]
fn a_reference_that_appears_in_quarantine_restores_the_image() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let image = fixture.image(OLD);
            let before = fixture.describe(&image);
            fixture.take_to(&image, RemovalStep::Deregister).await;
            assert_eq!(fixture.describe(&image)["State"], "disabled");
            fixture.cloud.with_world(|world| plain_parameter(world, fixture, &image));
            let mut queued = Some(QueuedImage { image: image.clone(), step: RemovalStep::Mark });
            while let Some(next) = queued {
                let ids = [image.clone()];
                let survey = fixture.survey(Inspect::Only(&ids)).await.unwrap();
                queued = advance(&fixture.aws, &survey, next, fixture.clock.now()).await.unwrap();
            }
            assert_eq!(fixture.describe(&image), before);
        },
    );
}

#[test]
fn undo_restores_an_image_from_every_step() {
    for step in [RemovalStep::Deprecate, RemovalStep::Disable, RemovalStep::Deregister] {
        with_shares_by_usage(
            |_, _| (),
            async |fixture| {
                let image = fixture.image(OLD);
                fixture.cloud.with_world(|world| {
                    fixture.share(world, &image, "210987654321");
                    fixture.share(world, &image, "321098765432");
                });
                let before = fixture.describe(&image);
                fixture.take_to(&image, step).await;
                assert_ne!(fixture.describe(&image), before, "{step}");
                while undo(&fixture.aws, &fixture.clock, &image).await.unwrap().is_some() {}
                assert_eq!(fixture.describe(&image), before, "{step}");
            },
        );
    }
}

#[test]
fn undo_restores_an_image_from_the_recycle_bin() {
    let keeps = |world: &mut World, _: &Fixture| {
        world.ec2.bin.keeps = Some(std::time::Duration::from_secs(30 * DAY));
    };
    with_shares_by_usage(keeps, async |fixture| {
        let image = fixture.image(OLD);
        fixture.cloud.with_world(|world| fixture.share(world, &image, "210987654321"));
        let (before, snapshots) = (fixture.describe(&image), fixture.snapshots());
        fixture.remove(&image).await;
        assert!(fixture.find(&image).is_none());
        while undo(&fixture.aws, &fixture.clock, &image).await.unwrap().is_some() {}
        assert_eq!((fixture.describe(&image), fixture.snapshots()), (before, snapshots));
    });
}

#[test]
fn without_a_recycle_bin_a_removal_cannot_be_undone() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let image = fixture.image(OLD);
            fixture.remove(&image).await;
            let error = undo(&fixture.aws, &fixture.clock, &image).await.unwrap_err();
            assert!(error.module::<UndoError>().is_some(), "{error}");
        },
    );
}

#[test]
fn a_shared_image_is_removed_once_no_other_account_uses_it() {
    for used in [true, false] {
        with_shares_by_usage(
            |_, _| (),
            async |fixture| {
                let image = fixture.image(OLD);
                fixture.cloud.with_world(|world| {
                    fixture.share(world, &image, "210987654321");
                    if used {
                        let data = json!({"ImageId": image, "InstanceType": "t3.small"});
                        ec2::seed_launch_template(world, "210987654321", &fixture.region, "theirs", data);
                    }
                });
                let ids = [image.clone()];
                let survey = loop {
                    match fixture.survey(Inspect::Only(&ids)).await {
                        Err(error) if error.is_transient() => {
                            fixture.clock.sleep(std::time::Duration::from_mins(1)).await;
                        }
                        survey => break survey.unwrap(),
                    }
                };
                let disposition = &survey.dispositions[&image];
                assert_eq!(matches!(disposition, Disposition::Keep(_)), used, "{disposition:?}");
                assert!(
                    !used || format!("{:?}", disposition.reasons()).contains("210987654321"),
                    "{disposition:?}"
                );
            },
        );
    }
}

#[test]
fn a_plan_is_applied_exactly_and_once() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let survey = fixture.survey(Inspect::Oldest(2)).await.unwrap();
            let here = (fixture.account.as_str(), fixture.region.as_str());
            let plan = fixture.make_plan(&survey, Some(0.05));
            let acting: BTreeSet<&str> = plan
                .images
                .iter()
                .filter(|planned| planned.action == PlannedAction::Quarantine)
                .map(|planned| planned.image.image_id.as_str())
                .collect();
            assert_eq!(acting.len(), 2);
            assert_eq!(
                plan.images.iter().filter(|planned| planned.action == PlannedAction::Deferred).count(),
                fixture.candidates - 2
            );
            for expected in [2, 0] {
                let mut done = Vec::new();
                let scope = fixture.scope();
                let carried = apply(&fixture.aws, &fixture.clock, &scope, &plan, here, |image, what| {
                    done.push((image.to_owned(), what.clone()));
                });
                carried.await.unwrap();
                assert_eq!(done.len(), expected, "{done:?}");
                assert!(
                    done.iter()
                        .all(|(image, what)| acting.contains(image.as_str()) && *what == Applied::Quarantined)
                );
            }
            let disabled: BTreeSet<String> =
                fixture.all().into_iter().filter(|id| fixture.describe(id)["State"] == "disabled").collect();
            assert_eq!(disabled, acting.iter().map(|id| (*id).to_owned()).collect());
        },
    );
}

#[test]
fn a_plan_is_refused_if_one_of_its_images_is_in_use() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let survey = fixture.survey(Inspect::Oldest(2)).await.unwrap();
            let here = (fixture.account.as_str(), fixture.region.as_str());
            let plan = fixture.make_plan(&survey, None);
            let used = plan
                .images
                .iter()
                .find(|planned| planned.action == PlannedAction::Quarantine)
                .unwrap()
                .image
                .image_id
                .clone();
            fixture.cloud.with_world(|world| plain_parameter(world, fixture, &used));
            let scope = fixture.scope();
            let apply_now = || apply(&fixture.aws, &fixture.clock, &scope, &plan, here, |_, _| {});
            let refused = apply_now().await.unwrap_err();
            let ApplyError::Refused(Refusal::NowInUse { images }) = &refused else { panic!("{refused}") };
            assert_eq!(images.keys().collect::<Vec<_>>(), [&used]);
            assert!(refused.to_string().contains("used by parameter golden/image"), "{refused}");
            assert!(fixture.all().iter().all(|id| fixture.describe(id)["State"] == "available"));
            fixture.clock.sleep(std::time::Duration::from_secs(DAY)).await;
            assert!(matches!(apply_now().await.unwrap_err(), ApplyError::Refused(Refusal::Expired { .. })));
        },
    );
}

#[test]
fn a_list_that_shrinks_to_less_than_half_blocks_cleanup_for_a_day() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let survey = fixture.survey(Inspect::Oldest(2)).await.unwrap();
            list_lengths::save(
                &fixture.aws,
                list_lengths::MACHINE_IMAGES,
                survey.changed_lengths.as_ref().unwrap(),
            )
            .await
            .unwrap();
            // The service has eight instances; seven are terminated at once.
            fixture.cloud.with_world(|world| {
            let input = json!({"AutoScalingGroupName": fixture.group(), "MinSize": 0, "MaxSize": 1, "DesiredCapacity": 1});
            fixture.ask(world, "autoscaling", "UpdateAutoScalingGroup", input);
        });
            fixture.clock.sleep(std::time::Duration::from_hours(2)).await;
            let survey: Survey = fixture.survey(Inspect::Oldest(2)).await.unwrap();
            let refused = survey.check_lengths().unwrap_err();
            assert!(
                refused.to_string().contains("the list of instances has 1 entries, and had 8"),
                "{refused}"
            );
            list_lengths::save(
                &fixture.aws,
                list_lengths::MACHINE_IMAGES,
                survey.changed_lengths.as_ref().unwrap(),
            )
            .await
            .unwrap();
            fixture.clock.sleep(std::time::Duration::from_secs(DAY)).await;
            fixture.survey(Inspect::Oldest(2)).await.unwrap().check_lengths().unwrap();
            assert!(
                fixture
                    .all()
                    .iter()
                    .all(|id| fixture.describe(id)["Tags"].to_string().find(RECORD_TAG).is_none())
            );
        },
    );
}
