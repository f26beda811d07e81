//! The service in production: its images, its Auto Scaling group and its alarms.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::scenario::Scenario;
use super::super::services::{autoscaling, cloudwatch, ec2, elbv2};
use super::super::time::Time;
use super::{Fixtures, SetupError, alternate_group, refusal};

/// The age in days of the image that production runs.
const CURRENT_IMAGE_DAYS: u64 = 9;

/// A service in production.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub group: String,
    /// The alternate group of a blue/green promotion, if there is one.
    pub alternate: Option<String>,
    /// Further groups that run the service, and the alarms of those in other Regions.
    pub waves: Vec<WaveGroups>,
    pub instances: usize,
    /// `app/NAME/ID`, the value of CloudWatch's dimension `LoadBalancer`.
    pub load_balancer: String,
    /// `targetgroup/NAME/ID`, the value of CloudWatch's dimension `TargetGroup`.
    pub target_group: String,
    pub alarms: Vec<String>,
    /// The metrics that an agent on every instance publishes.
    pub published: Vec<cloudwatch::Published>,
    /// The ages in days of the images of earlier releases.
    pub earlier_images: Vec<u64>,
}

impl Fleet {
    /// Every group that runs the service in the service's own Region.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        let here = self.waves.iter().filter(|wave| wave.region.is_none());
        let waves = here.flat_map(|wave| wave.groups.iter().map(String::as_str));
        [self.group.as_str()].into_iter().chain(self.alternate.as_deref()).chain(waves).collect()
    }
}

/// Further Auto Scaling groups of the service that one wave promotes to, in one Region.
#[derive(Clone, Debug)]
pub struct WaveGroups {
    /// The groups' Region, if it is not the service's own.
    pub region: Option<String>,
    pub groups: Vec<String>,
    pub alarms: Vec<String>,
}

impl Fixtures<'_> {
    /// Creates the service in production on its current image, and the images of earlier releases.
    pub(super) fn fleet(&mut self, fleet: &Fleet, scenario: &Scenario) -> Result<String, SetupError> {
        let region = self.setup.region.clone();
        let now = self.world.now;
        let mut image = String::new();
        let mut ages: Vec<u64> = fleet.earlier_images.clone();
        ages.sort_unstable_by(|a, b| b.cmp(a));
        ages.push(CURRENT_IMAGE_DAYS);
        for days in ages {
            self.world.now = Time(now.0 - i64::try_from(days).unwrap_or(0) * 86_400_000);
            image = self.earlier_image(&region, &format!("{days}-days-ago"), scenario);
        }
        self.world.now = now;
        let group = self.group_on(&image, &region, fleet, scenario);
        autoscaling::seed_group(&mut self.world, group.clone());
        for further in &fleet.waves {
            self.create_wave_groups(further, &group, (fleet, scenario))?;
        }
        if let Some(name) = &fleet.alternate {
            let target_group = group.target_groups.first().cloned().unwrap_or_default();
            let first = alternate_group::First {
                group,
                target_group: &target_group,
                load_balancer: &fleet.load_balancer,
            };
            self.create_alternate_group(name, first)?;
        }
        cloudwatch::publish(&mut self.world, fleet.published.clone());
        for alarm in &fleet.alarms {
            self.alarm(alarm, &region, &fleet.load_balancer, scenario)?;
        }
        Ok(image)
    }

    /// Creates an image of an earlier release; its instances behave like the current one's.
    pub(super) fn earlier_image(&mut self, region: &str, name: &str, scenario: &Scenario) -> String {
        let service = self.setup.service.as_str();
        let tags = [("bakeline:service", service), ("Name", service)];
        let image = ec2::NewImage {
            name: format!("{service}-{name}"),
            account: self.setup.account.clone(),
            region: region.to_owned(),
            description: Some("an earlier release".into()),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            source_image: None,
            behavior: scenario.images.current.instance.clone(),
            available_after: Duration::ZERO,
            snapshots: 1,
            disk: ec2::Disk::default(),
        };
        ec2::register_image(&mut self.world, image)
    }

    /// Creates the service's group in a Region, with its subnet, launch template and target group.
    pub(super) fn group_on(
        &mut self,
        image: &str,
        region: &str,
        fleet: &Fleet,
        scenario: &Scenario,
    ) -> autoscaling::NewGroup {
        let (account, world) = (self.setup.account.as_str(), &mut self.world);
        let subnet = ec2::seed_subnet(world, account, region, &format!("{region}a"), "vpc-production");
        let profile = format!("{}-production", self.setup.service);
        let data =
            json!({"ImageId": image, "InstanceType": "t3.medium", "IamInstanceProfile": {"Name": profile}});
        let template = ec2::seed_launch_template(world, account, region, &fleet.group, data);
        let target_group = elbv2::place_target_group(
            world,
            account,
            region,
            &fleet.load_balancer,
            &fleet.target_group,
            scenario.traffic.requests_per_minute,
        );
        let mut group =
            autoscaling::NewGroup::new(account, region, &fleet.group, &template, "1", fleet.instances);
        group.subnets = vec![subnet];
        group.target_groups = vec![target_group];
        group.health_check_type = "ELB".into();
        group.tags = [("Name".to_owned(), fleet.group.clone())].into();
        group
    }

    /// Creates an alarm on the load balancer's errors, in state OK: the service has been running for a long time.
    pub(super) fn alarm(
        &mut self,
        name: &str,
        region: &str,
        balancer: &str,
        scenario: &Scenario,
    ) -> Result<(), SetupError> {
        let members = json!({
            "AlarmName": name, "Namespace": "AWS/ApplicationELB", "MetricName": "HTTPCode_Target_5XX_Count",
            "Dimensions": [{"Name": "LoadBalancer", "Value": balancer}],
            "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 3,
            "Threshold": f64::from(scenario.traffic.requests_per_minute) / 4.0,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        });
        if let Value::Object(members) = members {
            cloudwatch::seed_alarm(&mut self.world, &self.setup.account, region, members)
                .map_err(|e| refusal("PutMetricAlarm", e))?;
        }
        let state = json!({"AlarmName": name, "StateValue": "OK", "StateReason": "healthy so far"});
        self.ask_in(region, "cloudwatch", "SetAlarmState", state)?;
        Ok(())
    }
}
