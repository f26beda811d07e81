//! A test harness for services: a world, calls as JSON, time in seconds.
#![allow(clippy::needless_pass_by_value, reason = "`json!` values are written where they are used")]

use std::time::Duration;

use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::super::instance_behavior::InstanceBehavior;
use super::super::time::Time;
use super::super::world::World;
use super::{autoscaling, ec2, elbv2};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
/// 2026-01-01T00:00:00Z.
pub const START: Time = Time(1_767_225_600_000);

#[derive(Debug)]
pub struct TestAws {
    pub world: World,
    pub region: &'static str,
}

impl TestAws {
    pub fn new() -> Self {
        Self { world: World::new(START, 7), region: REGION }
    }

    pub fn call(&mut self, service: &'static str, operation: &str, input: Value) -> Answer {
        let call = Call {
            service,
            operation: operation.into(),
            input: input.as_object().cloned().unwrap_or_default(),
            account: ACCOUNT.into(),
            region: self.region.into(),
            access_key: "AKIA".into(),
            now: self.world.now,
        };
        self.world.call(&call)
    }

    /// Makes a call that must succeed and returns the response.
    pub fn ok(&mut self, service: &'static str, operation: &str, input: Value) -> Value {
        match self.call(service, operation, input) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation} failed: {error:?}"),
        }
    }

    /// Makes a call that must fail and returns the error code.
    pub fn refused(&mut self, service: &'static str, operation: &str, input: Value) -> String {
        match self.call(service, operation, input) {
            Ok(answer) => panic!("{operation} did not fail: {answer}"),
            Err(error) => error.code,
        }
    }

    pub fn pass(&mut self, seconds: u64) {
        let until = self.world.now + Duration::from_secs(seconds);
        self.world.advance(until);
    }

    /// Advances time by seconds until a condition holds. Returns the number of seconds.
    pub fn until(&mut self, most: u64, mut look: impl FnMut(&mut Self) -> bool) -> u64 {
        for second in 0..most {
            if look(self) {
                return second;
            }
            self.pass(1);
        }
        panic!("the condition did not hold within {most} seconds");
    }

    pub fn image(&mut self, name: &str, behavior: InstanceBehavior) -> String {
        let new = ec2::NewImage {
            name: name.into(),
            account: ACCOUNT.into(),
            region: self.region.into(),
            description: None,
            tags: std::collections::BTreeMap::new(),
            source_image: None,
            behavior,
            available_after: Duration::ZERO,
            snapshots: 1,
            disk: ec2::Disk::default(),
        };
        ec2::register_image(&mut self.world, new)
    }

    /// Creates a group `web` from version 1 of the template `web`, with the target group `web`, and version 2 of the
    /// template with another image.
    pub fn fleet(&mut self, size: usize, next: InstanceBehavior) -> Fleet {
        let old = self.image("release-1", InstanceBehavior::default());
        let new = self.image("release-2", next);
        let template = ec2::seed_launch_template(
            &mut self.world,
            ACCOUNT,
            REGION,
            "web",
            json!({ "ImageId": old, "InstanceType": "t3.micro" }),
        );
        self.ok(
            "ec2",
            "CreateLaunchTemplateVersion",
            json!({ "LaunchTemplateId": template, "SourceVersion": "1", "LaunchTemplateData": { "ImageId": new } }),
        );
        let target_group = elbv2::seed_target_group(&mut self.world, ACCOUNT, REGION, "web", 600);
        autoscaling::seed_group(
            &mut self.world,
            autoscaling::NewGroup {
                target_groups: vec![target_group.clone()],
                health_check_type: "ELB".into(),
                ..autoscaling::NewGroup::new(ACCOUNT, REGION, "web", &template, "1", size)
            },
        );
        Fleet { old, new, target_group }
    }

    /// The number of instances of the group `web` that serve requests.
    pub fn serving(&self) -> usize {
        let Some(group) = autoscaling::group(&self.world, ACCOUNT, REGION, "web") else { return 0 };
        let taken = |id: &str| {
            group
                .target_groups
                .iter()
                .all(|tg| elbv2::health(&self.world, tg, id) == Some(elbv2::Health::Healthy))
        };
        group
            .members
            .values()
            .filter(|m| m.lifecycle == autoscaling::Lifecycle::InService && taken(&m.id))
            .count()
    }

    /// The number of live instances of the group `web` with this image.
    pub fn running(&self, image: &str) -> usize {
        autoscaling::group(&self.world, ACCOUNT, REGION, "web")
            .map_or(0, |g| g.members.values().filter(|m| m.is_live() && m.image_id == image).count())
    }

    /// The newest refresh of the group `web`.
    pub fn refresh(&mut self) -> Value {
        let answer =
            self.ok("autoscaling", "DescribeInstanceRefreshes", json!({ "AutoScalingGroupName": "web" }));
        answer["InstanceRefreshes"][0].clone()
    }

    pub fn refresh_status(&mut self) -> String {
        self.refresh()["Status"].as_str().unwrap_or_default().to_owned()
    }

    /// Starts a refresh of `web` to version 2 of its template.
    pub fn start_refresh(&mut self, preferences: Value) -> String {
        let answer = self.ok(
            "autoscaling",
            "StartInstanceRefresh",
            json!({
                "AutoScalingGroupName": "web",
                "DesiredConfiguration": { "LaunchTemplate": { "LaunchTemplateName": "web", "Version": "2" } },
                "Preferences": preferences,
            }),
        );
        answer["InstanceRefreshId"].as_str().unwrap_or_default().to_owned()
    }
}

#[derive(Debug)]
pub struct Fleet {
    pub old: String,
    pub new: String,
    pub target_group: String,
}
