//! Cleanup on the embedded AWS: every list fails closed, every known way to delete what is in use is closed, and
//! every step can be undone.

mod containers;
mod crash;
mod ground;
mod places;
mod references;
mod worlds;

use std::collections::BTreeSet;

use bakeline::engine::StageError;
use bakeline::evidence::predicate::Aim;
use bakeline::stage::cleanup::apply::{ApplyError, Done, apply, undo};
use bakeline::stage::cleanup::plan::{Refusal, draw};
use bakeline::stage::cleanup::quarantine::{MARK, Step};
use bakeline::stage::cleanup::retain::Disposition;
use bakeline::stage::cleanup::survey::{Focus, Survey};
use bakeline::stage::cleanup::{Todo, advance};
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::world::World;
use serde_json::json;

use self::ground::{Ground, OLD, in_a_world, where_usage_decides};
use self::references::{Refer, parameter, plain_parameter};

const DAY: u64 = 86_400;

/// Refuses every call of one operation.
fn denied(service: &str, operation: &str) -> FaultPlan {
    FaultPlan::default().rule(When::nth(service, operation, 0), Fault::Deny)
}

#[test]
fn every_list_that_is_denied_is_named_and_nothing_is_judged() {
    let prepare = |world: &mut World, ground: &Ground| parameter(world, ground, "/some/setting", "on");
    in_a_world(prepare, async |ground| {
        ground.survey(Focus::Oldest(3)).await.unwrap();
        let calls: BTreeSet<(String, String)> = ground.cloud.with_transcript(|transcript| {
            let read = transcript.records().iter().filter(|record| !record.mutating);
            read.map(|record| (record.service.clone(), record.operation.clone())).collect()
        });
        let calls: Vec<_> = calls
            .into_iter()
            .filter(|(service, operation)| {
                // The worker's own start asks KMS for its key.
                ["ec2", "autoscaling", "ssm", "imagebuilder"].contains(&service.as_str())
                    && operation != "DescribeInstanceStatus"
            })
            .collect();
        assert!(calls.len() >= 16, "{calls:?}");
        for (service, operation) in calls {
            ground.cloud.set_faults(denied(&service, &operation));
            let error = ground.survey(Focus::Oldest(3)).await.unwrap_err();
            assert!(error.to_string().contains(&operation), "{operation}: {error}");
            assert!(!error.is_transient(), "{operation}: a denial is not waited for: {error}");
        }
    });
}

/// The lists of the peers' known failures: who was harmed, and what used the image that was deleted.
#[test]
fn the_known_failures_of_other_tools_do_not_happen_here() {
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
        in_a_world(
            |_, _| (),
            async |ground| {
                let image = ground.image(OLD);
                ground.cloud.with_world(|world| prepare(world, ground, &image));
                ground.clock.sleep(std::time::Duration::from_mins(10)).await;
                let survey = ground.survey(Focus::Oldest(100)).await.unwrap();
                let fate = &survey.fates[&image];
                if by.is_empty() {
                    assert!(matches!(fate, Disposition::Go(_)), "{case}: {fate:?}");
                    return;
                }
                let Disposition::Keep(reasons) = fate else { panic!("{case}: {fate:?}") };
                let told: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                assert!(told.iter().any(|reason| reason.contains(by)), "{case}: {told:?}");
                // Our own lists know of it too.
                let alone = "named by DescribeImageReferences alone";
                assert!(!told.iter().any(|reason| reason.contains(alone)), "{case}: {told:?}");
                // The others are not kept for its sake.
                let leaving = survey.leaving().count();
                assert_eq!(leaving, ground.candidates - 1, "{case}");
            },
        );
    }
}

/// karpenter-provider-aws#6393: a node class looks its image up, and a search that finds no deprecated ones stops the
/// scaling. No call to AWS tells of a node class: the nodes that run keep their image, and a pin keeps it without any.
#[test]
fn what_nodes_run_and_what_is_pinned_is_not_even_deprecated() {
    let pin = |world: &mut World, ground: &Ground, image: &str| {
        let tags = json!([{"Key": "bakeline:keep", "Value": "karpenter"}]);
        ground.ask(world, "ec2", "CreateTags", json!({"Resources": [image], "Tags": tags}));
    };
    let kept: [Refer; 2] = [references::instance, pin];
    for keep in kept {
        in_a_world(
            |_, _| (),
            async |ground| {
                let image = ground.image(OLD);
                ground.cloud.with_world(|world| keep(world, ground, &image));
                let before = ground.looks_like(&image);
                let survey = ground.survey(Focus::Oldest(100)).await.unwrap();
                let here = (ground.account.as_str(), ground.region.as_str());
                let plan = draw(&survey, &ground.scope(), here, std::time::Duration::from_secs(DAY), None);
                let scope = ground.scope();
                let mut done = 0;
                apply(&ground.aws, &ground.clock, &scope, &plan, here, |_, _| done += 1).await.unwrap();
                assert_eq!(done, ground.candidates - 1);
                assert_eq!(ground.looks_like(&image), before);
            },
        );
    }
}

#[test]
fn a_snapshot_that_a_disabled_image_stands_on_is_left() {
    // cloud-custodian#9444.
    in_a_world(
        |_, _| (),
        async |ground| {
            let (image, other) = (ground.image(OLD), ground.image("web-93-days-ago"));
            ground.cloud.with_world(|world| {
                ec2::share_snapshots(world, &image, &other);
                ground.ask(world, "ec2", "DisableImage", json!({"ImageId": other}));
            });
            let snapshots = ground.snapshots();
            ground.remove(&image).await;
            let left: Vec<String> =
                snapshots.iter().filter(|id| ground.snapshots().contains(*id)).cloned().collect();
            assert_eq!(left.len(), snapshots.len() - 1, "its own snapshot is gone, the other image's is not");
        },
    );
}

/// An image stands on two snapshots, and something else names one of them.
#[test]
fn a_snapshot_that_something_else_names_is_left_and_the_plan_says_why() {
    for (by, name) in references::DISKS {
        in_a_world(
            |_, _| (),
            async |ground| {
                let (image, other) = (ground.image(OLD), ground.image("web-93-days-ago"));
                ground.cloud.with_world(|world| ec2::share_snapshots(world, &image, &other));
                // The other image goes first, by hand and without its snapshot.
                ground.cloud.with_world(|world| {
                    ground.ask(world, "ec2", "DeregisterImage", json!({"ImageId": other}));
                });
                let snapshots = ground.snapshots_of(&image);
                let [free, named] = &snapshots[..] else { panic!("{snapshots:?}") };
                ground.cloud.with_world(|world| name(world, ground, named));
                let survey = ground.survey(Focus::Oldest(100)).await.unwrap();
                let here = (ground.account.as_str(), ground.region.as_str());
                let plan = draw(&survey, &ground.scope(), here, std::time::Duration::from_secs(DAY), None);
                let planned = plan.images.iter().find(|planned| planned.image.image_id == image).unwrap();
                let said = format!("its snapshot {named} stays, named by {by} ");
                assert!(
                    planned.reasons.iter().any(|reason| reason.starts_with(&said)),
                    "{:?}",
                    planned.reasons
                );
                ground.remove(&image).await;
                let left = ground.snapshots();
                assert_eq!((left.contains(named), left.contains(free)), (true, false), "{by}");
            },
        );
    }
}

#[test]
fn a_use_that_appears_in_quarantine_brings_the_image_back() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let image = ground.image(OLD);
            let before = ground.looks_like(&image);
            ground.bring_to(&image, Step::Deregister).await;
            assert_eq!(ground.looks_like(&image)["State"], "disabled");
            ground.cloud.with_world(|world| plain_parameter(world, ground, &image));
            let mut todo = Some(Todo { image: image.clone(), step: Step::Mark });
            while let Some(next) = todo {
                let ids = [image.clone()];
                let survey = ground.survey(Focus::These(&ids)).await.unwrap();
                todo = advance(&ground.aws, &survey, next, ground.clock.now()).await.unwrap();
            }
            assert_eq!(ground.looks_like(&image), before);
        },
    );
}

#[test]
fn undo_puts_an_image_back_from_every_step() {
    for step in [Step::Deprecate, Step::Disable, Step::Deregister] {
        where_usage_decides(
            |_, _| (),
            async |ground| {
                let image = ground.image(OLD);
                ground.cloud.with_world(|world| {
                    ground.share(world, &image, "210987654321");
                    ground.share(world, &image, "321098765432");
                });
                let before = ground.looks_like(&image);
                ground.bring_to(&image, step).await;
                assert_ne!(ground.looks_like(&image), before, "{step}");
                while undo(&ground.aws, &ground.clock, &image).await.unwrap().is_some() {}
                assert_eq!(ground.looks_like(&image), before, "{step}");
            },
        );
    }
}

#[test]
fn undo_puts_an_image_back_from_the_recycle_bin() {
    let keeps = |world: &mut World, _: &Ground| {
        world.ec2.bin.keeps = Some(std::time::Duration::from_secs(30 * DAY));
    };
    where_usage_decides(keeps, async |ground| {
        let image = ground.image(OLD);
        ground.cloud.with_world(|world| ground.share(world, &image, "210987654321"));
        let (before, snapshots) = (ground.looks_like(&image), ground.snapshots());
        ground.remove(&image).await;
        assert!(ground.find(&image).is_none());
        while undo(&ground.aws, &ground.clock, &image).await.unwrap().is_some() {}
        assert_eq!((ground.looks_like(&image), ground.snapshots()), (before, snapshots));
    });
}

#[test]
fn without_a_recycle_bin_there_is_nothing_to_undo() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let image = ground.image(OLD);
            ground.remove(&image).await;
            let error = undo(&ground.aws, &ground.clock, &image).await.unwrap_err();
            assert!(matches!(error, StageError::Rejected(_)), "{error}");
        },
    );
}

#[test]
fn a_shared_image_goes_once_no_other_account_uses_it() {
    for used in [true, false] {
        where_usage_decides(
            |_, _| (),
            async |ground| {
                let image = ground.image(OLD);
                ground.cloud.with_world(|world| {
                    ground.share(world, &image, "210987654321");
                    if used {
                        let data = json!({"ImageId": image, "InstanceType": "t3.small"});
                        ec2::seed_launch_template(world, "210987654321", &ground.region, "theirs", data);
                    }
                });
                let ids = [image.clone()];
                let survey = loop {
                    match ground.survey(Focus::These(&ids)).await {
                        Err(StageError::NotYet(_)) => {
                            ground.clock.sleep(std::time::Duration::from_mins(1)).await;
                        }
                        survey => break survey.unwrap(),
                    }
                };
                let fate = &survey.fates[&image];
                assert_eq!(matches!(fate, Disposition::Keep(_)), used, "{fate:?}");
                assert!(!used || format!("{:?}", fate.reasons()).contains("210987654321"), "{fate:?}");
            },
        );
    }
}

#[test]
fn a_plan_is_carried_out_to_the_letter_and_once() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let survey = ground.survey(Focus::Oldest(2)).await.unwrap();
            let here = (ground.account.as_str(), ground.region.as_str());
            let valid = std::time::Duration::from_secs(DAY);
            let plan = draw(&survey, &ground.scope(), here, valid, Some(0.05));
            let acting: BTreeSet<&str> = plan
                .images
                .iter()
                .filter(|planned| planned.aim == Aim::Quarantine)
                .map(|planned| planned.image.image_id.as_str())
                .collect();
            assert_eq!(acting.len(), 2);
            assert_eq!(
                plan.images.iter().filter(|planned| planned.aim == Aim::Later).count(),
                ground.candidates - 2
            );
            for expected in [2, 0] {
                let mut done = Vec::new();
                let scope = ground.scope();
                let carried = apply(&ground.aws, &ground.clock, &scope, &plan, here, |image, what| {
                    done.push((image.to_owned(), what.clone()));
                });
                carried.await.unwrap();
                assert_eq!(done.len(), expected, "{done:?}");
                assert!(
                    done.iter()
                        .all(|(image, what)| acting.contains(image.as_str()) && *what == Done::Quarantined)
                );
            }
            let disabled: BTreeSet<String> =
                ground.all().into_iter().filter(|id| ground.looks_like(id)["State"] == "disabled").collect();
            assert_eq!(disabled, acting.iter().map(|id| (*id).to_owned()).collect());
        },
    );
}

#[test]
fn a_plan_is_refused_whole_when_one_of_its_images_has_become_needed() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let survey = ground.survey(Focus::Oldest(2)).await.unwrap();
            let here = (ground.account.as_str(), ground.region.as_str());
            let plan = draw(&survey, &ground.scope(), here, std::time::Duration::from_secs(DAY), None);
            let used = plan
                .images
                .iter()
                .find(|planned| planned.aim == Aim::Quarantine)
                .unwrap()
                .image
                .image_id
                .clone();
            ground.cloud.with_world(|world| plain_parameter(world, ground, &used));
            let scope = ground.scope();
            let apply_now = || apply(&ground.aws, &ground.clock, &scope, &plan, here, |_, _| {});
            let refused = apply_now().await.unwrap_err();
            let ApplyError::Refused(Refusal::Changed { changes }) = &refused else { panic!("{refused}") };
            assert_eq!(changes.keys().collect::<Vec<_>>(), [&used]);
            assert!(refused.to_string().contains("used by parameter golden/image"), "{refused}");
            assert!(ground.all().iter().all(|id| ground.looks_like(id)["State"] == "available"));
            ground.clock.sleep(std::time::Duration::from_secs(DAY)).await;
            assert!(matches!(apply_now().await.unwrap_err(), ApplyError::Refused(Refusal::Expired { .. })));
        },
    );
}

#[test]
fn a_list_cut_short_removes_nothing_until_it_was_short_for_a_day() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let survey = ground.survey(Focus::Oldest(2)).await.unwrap();
            bakeline::stage::cleanup::survey::remember(&ground.aws, survey.remember.as_ref().unwrap())
                .await
                .unwrap();
            // The service has eight instances; seven go at once.
            ground.cloud.with_world(|world| {
            let input = json!({"AutoScalingGroupName": ground.group(), "MinSize": 0, "MaxSize": 1, "DesiredCapacity": 1});
            ground.ask(world, "autoscaling", "UpdateAutoScalingGroup", input);
        });
            ground.clock.sleep(std::time::Duration::from_hours(2)).await;
            let survey: Survey = ground.survey(Focus::Oldest(2)).await.unwrap();
            let refused = survey.believed().unwrap_err();
            assert!(
                refused.to_string().contains("the list of instances has 1 entries, and had 8"),
                "{refused}"
            );
            bakeline::stage::cleanup::survey::remember(&ground.aws, survey.remember.as_ref().unwrap())
                .await
                .unwrap();
            ground.clock.sleep(std::time::Duration::from_secs(DAY)).await;
            ground.survey(Focus::Oldest(2)).await.unwrap().believed().unwrap();
            assert!(
                ground.all().iter().all(|id| ground.looks_like(id)["Tags"].to_string().find(MARK).is_none())
            );
        },
    );
}
