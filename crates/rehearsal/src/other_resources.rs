//! Resources in the account that do not belong to the release: images, and everything that can use an image.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{ApiError, Call};
use super::instance_behavior::InstanceBehavior;
use super::services::{autoscaling, ec2};
use super::time::Time;
use super::world::World;

/// How much there is. Every image has the tag `rehearsal:used-by` if something uses it, which says what.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct OtherResources {
    pub images: usize,
    pub snapshots_per_image: usize,
    pub launch_templates: usize,
    pub versions_per_launch_template: usize,
    pub instances: usize,
    /// Parameters that name an image.
    pub parameters: usize,
    /// Templates whose image lies in a parameter.
    pub resolving_launch_templates: usize,
    pub launch_configurations: usize,
    pub shared_images: usize,
    pub fleets: usize,
}

/// The number of instances in each group.
const GROUP: usize = 100;
/// The number of consecutive template versions that name the same image.
const LIKE: usize = 5;
/// The age of the oldest image in days.
const DAYS: i64 = 400;
/// The account that some images are shared with.
const PARTNER: &str = "210987654321";

/// The account and Region that own the resources.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub account: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

struct Builder<'a> {
    world: &'a mut World,
    owner: Owner<'a>,
    /// Images that nothing uses yet, newest first.
    free: Vec<String>,
}

/// Creates the resources.
///
/// # Errors
/// AWS rejects one of the numbers.
pub fn create(world: &mut World, resources: &OtherResources, owner: Owner<'_>) -> Result<(), ApiError> {
    let free = images(world, resources, owner);
    let mut builder = Builder { world, owner, free };
    for number in 0..resources.instances.div_ceil(GROUP) {
        let size = GROUP.min(resources.instances - number * GROUP);
        builder.group(number, size);
    }
    for number in 0..resources.launch_templates {
        builder.template(number, resources.versions_per_launch_template)?;
    }
    for number in 0..resources.parameters {
        let image = builder.take("parameter");
        builder.parameter(&format!("/other/{number}"), &image)?;
    }
    for number in 0..resources.resolving_launch_templates {
        let image = builder.take("template by parameter");
        builder.parameter(&format!("/resolved/{number}"), &image)?;
        let data =
            json!({ "ImageId": format!("resolve:ssm:/resolved/{number}"), "InstanceType": "t3.small" });
        let name = format!("resolving-{number}");
        ec2::seed_launch_template(builder.world, owner.account, owner.region, &name, data);
    }
    for number in 0..resources.launch_configurations {
        let image = builder.take("launch configuration");
        let one = json!({ "LaunchConfigurationName": format!("other-{number}"), "ImageId": image,
            "InstanceType": "t3.small", "CreatedTime": 1_600_000_000 });
        autoscaling::seed_launch_configuration(builder.world, owner.account, owner.region, one);
    }
    for _ in 0..resources.shared_images {
        let image = builder.take("other account");
        let add = json!({ "Add": [{ "UserId": PARTNER }] });
        builder.ask("ec2", "ModifyImageAttribute", json!({ "ImageId": image, "LaunchPermission": add }))?;
    }
    for number in 0..resources.fleets {
        let image = builder.take("fleet");
        let fleet = json!({ "FleetId": format!("fleet-{number}"), "FleetState": "active",
            "LaunchTemplateConfigs": [{ "Overrides": [{ "ImageId": image }] }] });
        ec2::seed_fleet(builder.world, owner.account, owner.region, fleet);
    }
    Ok(())
}

/// Creates all images, evenly distributed over the last [`DAYS`]. The newest tenth stays unused, so that every image
/// in use is old.
fn images(world: &mut World, resources: &OtherResources, owner: Owner<'_>) -> Vec<String> {
    let now = world.now;
    let count = i64::try_from(resources.images).unwrap_or(i64::MAX).max(1);
    let mut all = Vec::new();
    for number in 0..resources.images {
        let nth = i64::try_from(number).unwrap_or(0);
        world.now = Time(now.0 - DAYS * 86_400_000 + nth * DAYS * 86_400_000 / count);
        let tags = [("bakeline:service", owner.service), ("Name", "other")];
        let new = ec2::NewImage {
            name: format!("other-{number}"),
            account: owner.account.into(),
            region: owner.region.into(),
            description: None,
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            source_image: None,
            behavior: InstanceBehavior::default(),
            available_after: Duration::ZERO,
            snapshots: resources.snapshots_per_image,
            disk: ec2::Disk::default(),
        };
        all.push(ec2::register_image(world, new));
    }
    world.now = now;
    // Consecutive uses take images far apart in age, so that each page of a list has used and unused images.
    let old = resources.images * 9 / 10;
    all.truncate(old);
    let mut spread = Vec::with_capacity(old);
    for offset in 0..7 {
        spread.extend(all.iter().skip(offset).step_by(7).cloned());
    }
    spread
}

impl Builder<'_> {
    /// Takes an unused image and marks it as used by `user`.
    fn take(&mut self, user: &str) -> String {
        let image = self.free.pop().unwrap_or_default();
        if let Some(image) = self.world.ec2.images.get_mut(&image) {
            image.tags.insert("rehearsal:used-by".into(), user.into());
        }
        image
    }

    fn ask(&mut self, service: &'static str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let Value::Object(input) = input else { return Ok(Value::Null) };
        let call = Call {
            service,
            operation: operation.to_owned(),
            input,
            account: self.owner.account.into(),
            region: self.owner.region.into(),
            access_key: String::new(),
            now: self.world.now,
        };
        self.world.call(&call)
    }

    fn parameter(&mut self, name: &str, image: &str) -> Result<(), ApiError> {
        self.ask("ssm", "PutParameter", json!({ "Name": name, "Value": image, "Type": "String" })).map(drop)
    }

    fn group(&mut self, number: usize, size: usize) {
        let image = self.take("instance");
        let (account, region) = (self.owner.account, self.owner.region);
        let name = format!("other-{number}");
        let data = json!({ "ImageId": image, "InstanceType": "t3.small" });
        let template = ec2::seed_launch_template(self.world, account, region, &name, data);
        let subnet = ec2::seed_subnet(self.world, account, region, &format!("{region}a"), "vpc-other");
        let mut group = autoscaling::NewGroup::new(account, region, &name, &template, "1", size);
        group.subnets = vec![subnet];
        autoscaling::seed_group(self.world, group);
    }

    /// Creates a launch template whose older versions name older images.
    fn template(&mut self, number: usize, versions: usize) -> Result<(), ApiError> {
        let name = format!("service-{number}");
        for version in 0..versions {
            if version.is_multiple_of(LIKE) {
                let newest = version + LIKE >= versions;
                let image =
                    self.take(if newest { "latest template version" } else { "older template version" });
                let data = json!({ "ImageId": image, "InstanceType": "t3.small" });
                if version == 0 {
                    let (account, region) = (self.owner.account, self.owner.region);
                    ec2::seed_launch_template(self.world, account, region, &name, data);
                    continue;
                }
                let input = json!({ "LaunchTemplateName": name, "LaunchTemplateData": data });
                self.ask("ec2", "CreateLaunchTemplateVersion", input)?;
            } else {
                let input = json!({ "LaunchTemplateName": name, "SourceVersion": version.to_string(),
                    "LaunchTemplateData": { "InstanceType": "t3.medium" } });
                self.ask("ec2", "CreateLaunchTemplateVersion", input)?;
            }
        }
        Ok(())
    }
}
