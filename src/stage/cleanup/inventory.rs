//! Our own inventory of what uses images in the region. Every list is read to its end; one that cannot be read
//! makes the whole fail, and nothing is removed.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::LaunchTemplate;
use aws_sdk_ec2::types::{Filter, InstanceStateName};
use aws_sdk_ssm::types::ParameterType;

use super::references::{Kind, User, Users, amis, parameter};
use super::retain::Image;
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::stage::canary::identity;

/// Names in one call of `GetParameters`.
const NAMES: usize = 10;

/// What a template version's image is written as when it lies in a parameter.
const RESOLVE: &str = "resolve:ssm:";

/// What uses images, and the images of each template version.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub users: Users,
    /// Images by template id and version number.
    pub versions: BTreeMap<(String, i64), String>,
    /// Images by instance id.
    pub instances: BTreeMap<String, String>,
}

impl Inventory {
    /// Reads every source.
    ///
    /// # Errors
    /// As the calls.
    pub async fn read(aws: &Aws) -> Result<Self, StageError> {
        let mut inventory = Self::default();
        inventory.read_instances(aws).await?;
        inventory.read_templates(aws).await?;
        inventory.read_launch_configurations(aws).await?;
        inventory.read_groups(aws).await?;
        inventory.read_parameters(aws).await?;
        Ok(inventory)
    }

    fn note(&mut self, image: &str, kind: Kind, id: &str) {
        self.users.entry(image.to_owned()).or_default().insert(User { kind, id: id.to_owned() });
    }

    async fn read_instances(&mut self, aws: &Aws) -> Result<(), StageError> {
        let mut reservations = aws.ec2.describe_instances().into_paginator().items().send();
        while let Some(reservation) = reservations.next().await {
            let reservation =
                reservation.map_err(|e| AwsError::new("ec2:DescribeInstances", "every instance", e))?;
            for instance in reservation.instances() {
                let gone =
                    instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated);
                if let (Some(id), Some(image), false) = (instance.instance_id(), instance.image_id(), gone) {
                    self.note(image, Kind::Instance, id);
                    self.instances.insert(id.to_owned(), image.to_owned());
                }
            }
        }
        Ok(())
    }

    async fn read_templates(&mut self, aws: &Aws) -> Result<(), StageError> {
        let mut templates = aws.ec2.describe_launch_templates().into_paginator().items().send();
        let mut ids = Vec::new();
        while let Some(template) = templates.next().await {
            let template = template
                .map_err(|e| AwsError::new("ec2:DescribeLaunchTemplates", "every launch template", e))?;
            ids.extend(template.launch_template_id().map(str::to_owned));
        }
        let mut aliases: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
        for id in &ids {
            let mut versions = aws
                .ec2
                .describe_launch_template_versions()
                .launch_template_id(id)
                .into_paginator()
                .items()
                .send();
            while let Some(version) = versions.next().await {
                let version =
                    version.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplateVersions", id, e))?;
                let number = version.version_number().unwrap_or(0);
                let Some(image) = version.launch_template_data().and_then(|data| data.image_id()) else {
                    continue;
                };
                if let Some(alias) = image.strip_prefix(RESOLVE) {
                    aliases.entry(alias.to_owned()).or_default().push((id.clone(), number));
                } else {
                    self.note(image, Kind::LaunchTemplate, id);
                    self.versions.insert((id.clone(), number), image.to_owned());
                }
            }
        }
        let names: Vec<String> = aliases.keys().cloned().collect();
        for (alias, value) in values(aws, &names).await?.found {
            for image in amis(&value) {
                for (template, number) in aliases.get(&alias).into_iter().flatten() {
                    self.note(&image, Kind::LaunchTemplate, template);
                    self.versions.insert((template.clone(), *number), image.clone());
                }
            }
        }
        Ok(())
    }

    async fn read_launch_configurations(&mut self, aws: &Aws) -> Result<(), StageError> {
        let mut all = aws.autoscaling.describe_launch_configurations().into_paginator().items().send();
        while let Some(one) = all.next().await {
            let call = "autoscaling:DescribeLaunchConfigurations";
            let one = one.map_err(|e| AwsError::new(call, "every launch configuration", e))?;
            if let (Some(image), Some(name)) = (one.image_id(), one.launch_configuration_name()) {
                self.note(image, Kind::LaunchConfiguration, name);
            }
        }
        Ok(())
    }

    async fn read_groups(&mut self, aws: &Aws) -> Result<(), StageError> {
        let mut groups = aws.autoscaling.describe_auto_scaling_groups().into_paginator().items().send();
        while let Some(group) = groups.next().await {
            let group = group
                .map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", "every group", e))?;
            let name = group.auto_scaling_group_name().unwrap_or_default();
            for image in group.instances().iter().filter_map(|instance| instance.image_id()) {
                self.note(image, Kind::AutoScalingGroup, name);
            }
            let template = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
            for image in
                template.into_iter().flat_map(LaunchTemplate::overrides).filter_map(|over| over.image_id())
            {
                // An override may be a parameter too; what it resolves to is found among the parameters.
                for image in amis(image) {
                    self.note(&image, Kind::AutoScalingGroup, name);
                }
            }
        }
        Ok(())
    }

    async fn read_parameters(&mut self, aws: &Aws) -> Result<(), StageError> {
        let mut pages = aws.ssm.describe_parameters().into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ssm:DescribeParameters", "every parameter", e))?;
            // Secrets are not read; an image is none.
            let open =
                page.parameters().iter().filter(|one| one.r#type() != Some(&ParameterType::SecureString));
            names.extend(open.filter_map(|one| one.name().map(str::to_owned)));
        }
        let read = values(aws, &names).await?;
        if let Some(missing) = read.missing.first() {
            return Err(StageError::NotYet(format!("the parameter {missing} went away while it was read")));
        }
        for (name, value) in read.found {
            for image in amis(&value) {
                self.note(&image, Kind::Parameter, &parameter(&name));
            }
        }
        Ok(())
    }
}

struct Values {
    /// By the name as it was asked for.
    found: BTreeMap<String, String>,
    missing: Vec<String>,
}

/// The values of parameters; a name may end in `:version` or `:label`.
async fn values(aws: &Aws, names: &[String]) -> Result<Values, StageError> {
    let mut values = Values { found: BTreeMap::new(), missing: Vec::new() };
    for batch in names.chunks(NAMES) {
        let answer = aws
            .ssm
            .get_parameters()
            .set_names(Some(batch.to_vec()))
            .send()
            .await
            .map_err(|e| AwsError::new("ssm:GetParameters", batch.join(", "), e))?;
        for found in answer.parameters() {
            let selector = found.selector().unwrap_or_default();
            let name = found.name().unwrap_or_default();
            let asked = batch.iter().find(|asked| {
                let is_of = |given: &str| asked.strip_suffix(selector) == Some(given);
                is_of(name) || found.arn().is_some_and(is_of)
            });
            if let (Some(asked), Some(value)) = (asked, found.value()) {
                values.found.insert(asked.clone(), value.to_owned());
            }
        }
        values.missing.extend_from_slice(answer.invalid_parameters());
        let answered: BTreeSet<&String> = values.found.keys().chain(&values.missing).collect();
        if let Some(name) = batch.iter().find(|name| !answered.contains(name)) {
            return Err(StageError::NotYet(format!("GetParameters said nothing of {name}")));
        }
    }
    Ok(values)
}

/// Every image of a service that this account owns in the region, deprecated and disabled ones included.
///
/// # Errors
/// As the call.
pub async fn images(aws: &Aws, service: &str) -> Result<Vec<Image>, StageError> {
    let filter = Filter::builder().name(format!("tag:{}", tag::SERVICE)).values(service).build();
    let pages = aws
        .ec2
        .describe_images()
        .owners("self")
        .filters(filter)
        .include_deprecated(true)
        .include_disabled(true)
        .into_paginator();
    let (mut found, mut images) = (pages.items().send(), Vec::new());
    while let Some(image) = found.next().await {
        let image =
            image.map_err(|e| AwsError::new("ec2:DescribeImages", format!("the service {service}"), e))?;
        let state = image.state().map_or("unknown", |state| state.as_str()).to_owned();
        if state == "deregistered" {
            continue;
        }
        let protection = image.deregistration_protection().unwrap_or("disabled");
        let mappings = image.block_device_mappings().iter();
        let snapshots =
            mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id().map(str::to_owned)).collect();
        images.push(Image {
            identity: identity(&image, aws.region()),
            state,
            protected: protection != "disabled",
            snapshots,
        });
    }
    Ok(images)
}
