//! Several regions and accounts: each has its own images and references.

use std::time::Duration;

use bakeline::aws::environment::Allow;
use bakeline::aws::{Environment, Environments};
use bakeline::evidence::Stage;
use bakeline::stage::cleanup::retain::Disposition;
use bakeline::stage::cleanup::survey::{Focus, Scope, Survey};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::services::sts::{self, Trust};
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::world::World;

use super::ground::{Ground, OLD, in_a_world};
use super::references;

const WORKER: &str = "arn:aws:iam::123456789012:role/bakeline-worker";
const ROLE: &str = "arn:aws:iam::123456789012:role/cleaner";
const ELSEWHERE: &str = "us-east-1";

/// The image in the other region, so many days old.
fn copy(world: &mut World, ground: &Ground, days: i64) -> String {
    let now = world.now;
    world.now = Time(now.0 - days * 86_400_000);
    let tags = [("bakeline:service", "web"), ("Name", "web")];
    let new = ec2::NewImage {
        name: format!("copy-{days}"),
        account: ground.account.clone(),
        region: ELSEWHERE.into(),
        description: None,
        tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        source_image: None,
        behaviour: bakeline_rehearsal::behaviour::Behaviour::default(),
        available_after: Duration::ZERO,
        snapshots: 1,
        disk: ec2::Disk::default(),
    };
    let id = ec2::register_image(world, new);
    world.now = now;
    id
}

/// buildkite/elastic-ci-stack-for-aws#1414: images of many regions were kept in number by hand.
#[test]
fn copies_in_another_region_are_judged_by_what_uses_them_there() {
    in_a_world(
        |_, _| (),
        async |ground| {
            let (used, unused) = ground.cloud.with_world(|world| {
                let trust = Trust { principal: WORKER.into(), external_id: None };
                sts::place_role(world, ROLE, trust);
                // The newest of the region, which the rules keep there whatever there is elsewhere.
                for days in [20, 30, 40] {
                    copy(world, ground, days);
                }
                (copy(world, ground, 100), copy(world, ground, 200))
            });
            let cleaner = Environment {
                name: "us".into(),
                role: ROLE.into(),
                external_id: None,
                region: Some(ELSEWHERE.into()),
                allow: Allow { pipelines: vec!["another".into()], stages: vec![Stage::Test] },
            };
            let environments = Environments::new(vec![cleaner]);
            let now = ground.clock.now();
            let there = environments.clients_for_person(&ground.aws, "us", "cleaner", now.0).await.unwrap();
            let named = there.ssm.put_parameter().name("golden").value(&used);
            named.r#type(aws_sdk_ssm::types::ParameterType::String).send().await.unwrap();
            // What uses an image here says nothing of what lies there.
            let here = ground.image(OLD);
            ground.cloud.with_world(|world| {
                references::parameter(world, ground, "here", &format!("{here} {unused}"));
            });

            let scope = Scope { group: None, ..ground.scope() };
            let (there, here) = tokio::join!(
                Survey::take(&there, &scope, Focus::Oldest(100), now),
                ground.survey(Focus::Oldest(100)),
            );
            let (there, here) = (there.unwrap(), here.unwrap());
            assert_eq!((there.images.len(), there.leaving().count()), (5, 1));
            assert!(matches!(there.fates[&unused], Disposition::Go(_)), "{:?}", there.fates[&unused]);
            let told: Vec<String> = there.fates[&used].reasons().iter().map(ToString::to_string).collect();
            assert_eq!(told, ["used by parameter golden"]);
            assert!(here.image(&used).is_none() && here.leaving().count() == ground.candidates - 1);
        },
    );
}
