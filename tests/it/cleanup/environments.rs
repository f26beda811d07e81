//! Several regions and accounts: each has its own images and references.

use std::time::Duration;

use bakeline::aws::environment::Allow;
use bakeline::aws::{Environment, Environments};
use bakeline::evidence::Stage;
use bakeline::stage::cleanup::machine_images::retention::Disposition;
use bakeline::stage::cleanup::machine_images::survey::{Inspect, Scope, Survey};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::services::sts::{self, Trust};
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::world::World;

use super::fixtures::{Fixture, OLD, with_fixture};
use super::references;

const WORKER: &str = "arn:aws:iam::123456789012:role/bakeline-worker";
const ROLE: &str = "arn:aws:iam::123456789012:role/cleaner";
const ELSEWHERE: &str = "us-east-1";

/// Registers an image in the other region, so many days old; its id.
fn copy(world: &mut World, fixture: &Fixture, days: i64) -> String {
    let now = world.now;
    world.now = Time(now.0 - days * 86_400_000);
    let tags = [("bakeline:service", "web"), ("Name", "web")];
    let new = ec2::NewImage {
        name: format!("copy-{days}"),
        account: fixture.account.clone(),
        region: ELSEWHERE.into(),
        description: None,
        tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        source_image: None,
        behavior: bakeline_rehearsal::instance_behavior::InstanceBehavior::default(),
        available_after: Duration::ZERO,
        snapshots: 1,
        disk: ec2::Disk::default(),
    };
    let id = ec2::register_image(world, new);
    world.now = now;
    id
}

/// buildkite/elastic-ci-stack-for-aws#1414: people kept the images of many regions equal in number.
#[test]
fn images_in_another_region_are_kept_by_references_there() {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let (used, unused) = fixture.cloud.with_world(|world| {
                let trust = Trust { principal: WORKER.into(), external_id: None };
                sts::place_role(world, ROLE, trust);
                // The newest of that region, which the rules keep there whatever exists elsewhere.
                for days in [20, 30, 40] {
                    copy(world, fixture, days);
                }
                (copy(world, fixture, 100), copy(world, fixture, 200))
            });
            let cleaner = Environment {
                name: "us".into(),
                role: ROLE.into(),
                external_id: None,
                region: Some(ELSEWHERE.into()),
                allow: Allow { pipelines: vec!["another".into()], stages: vec![Stage::Test] },
            };
            let environments = Environments::new(vec![cleaner]);
            let now = fixture.clock.now();
            let there = environments.clients_for_person(&fixture.aws, "us", "cleaner", now.0).await.unwrap();
            let named = there.ssm.put_parameter().name("golden").value(&used);
            named.r#type(aws_sdk_ssm::types::ParameterType::String).send().await.unwrap();
            // A reference in this region keeps no image in the other.
            let here = fixture.image(OLD);
            fixture.cloud.with_world(|world| {
                references::parameter(world, fixture, "here", &format!("{here} {unused}"));
            });

            let scope = Scope { groups: Vec::new(), ..fixture.scope() };
            let (there, here) = tokio::join!(
                Survey::take(&there, &scope, Inspect::Oldest(100), now),
                fixture.survey(Inspect::Oldest(100)),
            );
            let (there, here) = (there.unwrap(), here.unwrap());
            assert_eq!((there.images.len(), there.removable().count()), (5, 1));
            assert!(
                matches!(there.dispositions[&unused], Disposition::Remove(_)),
                "{:?}",
                there.dispositions[&unused]
            );
            let reported: Vec<String> =
                there.dispositions[&used].reasons().iter().map(ToString::to_string).collect();
            assert_eq!(reported, ["used by parameter golden"]);
            assert!(here.image(&used).is_none() && here.removable().count() == fixture.candidates - 1);
        },
    );
}
