//! Further groups of a service, which a release reaches wave by wave.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::scenario::Scenario;
use super::super::services::{autoscaling, ec2, elbv2};
use super::{Fleet, Further, Ground, SetupError};

/// Instances of each of them.
const INSTANCES: usize = 2;

impl Ground<'_> {
    /// Groups on the current image. In the service's own region they stand behind its load balancer; in another one they
    /// have one of their own, with its alarms.
    pub(super) fn further(
        &mut self,
        further: &Further,
        first: &autoscaling::NewGroup,
        (fleet, scenario): (&Fleet, &Scenario),
    ) -> Result<(), SetupError> {
        let mut like = first.clone();
        if let Some(region) = &further.region {
            like = self.elsewhere(region, first, (fleet, scenario));
            for alarm in &further.alarms {
                self.alarm(alarm, region, &fleet.load_balancer, scenario)?;
            }
        }
        for name in &further.groups {
            let group = autoscaling::NewGroup {
                name: name.clone(),
                size: INSTANCES,
                tags: [("Name".to_owned(), name.clone())].into(),
                ..like.clone()
            };
            autoscaling::seed_group(&mut self.world, sized(group));
        }
        Ok(())
    }

    /// What a group in another region stands on: an image, a template, a subnet and a target group of its own.
    fn elsewhere(
        &mut self,
        region: &str,
        first: &autoscaling::NewGroup,
        (fleet, scenario): (&Fleet, &Scenario),
    ) -> autoscaling::NewGroup {
        let account = self.setup.account.clone();
        let service = self.setup.service.clone();
        let image = ec2::register_image(
            &mut self.world,
            ec2::NewImage {
                name: format!("{service}-current"),
                account: account.clone(),
                region: region.to_owned(),
                description: Some("an earlier release".into()),
                tags: BTreeMap::from([("bakeline:service".to_owned(), service.clone())]),
                source_image: None,
                behaviour: scenario.current_image.clone(),
                available_after: Duration::ZERO,
                snapshots: 1,
                disk: ec2::Disk::default(),
            },
        );
        let world = &mut self.world;
        let subnet = ec2::seed_subnet(world, &account, region, &format!("{region}a"), "vpc-production");
        let template = ec2::seed_launch_template(
            world,
            &account,
            region,
            &fleet.group,
            json!({"ImageId": image, "InstanceType": "t3.medium",
                   "IamInstanceProfile": {"Name": format!("{service}-production")}}),
        );
        let target_group = elbv2::place_target_group(
            world,
            &account,
            region,
            &fleet.load_balancer,
            &fleet.target_group,
            scenario.traffic.requests_per_minute,
        );
        let mut group = autoscaling::NewGroup::new(&account, region, &first.name, &template, "1", INSTANCES);
        group.subnets = vec![subnet];
        group.target_groups = vec![target_group];
        group.health_check_type.clone_from(&first.health_check_type);
        group
    }
}

/// Room for a refresh that launches before it terminates.
fn sized(group: autoscaling::NewGroup) -> autoscaling::NewGroup {
    autoscaling::NewGroup { min_size: 1, max_size: 2 * group.size, ..group }
}
