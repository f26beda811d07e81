//! Image Builder fixtures: an image pipeline, or the configurations, parent image and repositories of a recipe.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::instance_behavior::InstanceBehavior;
use super::super::services::{ec2, ecr, ssm};
use super::{Fixtures, SetupError, refusal, text};

/// The resources that a recipe refers to: its parent image, the configurations, and a container's repository.
#[derive(Clone, Debug)]
pub struct RecipeFixtures {
    /// An AMI id, `ssm:` and a parameter name, an image ARN, or the base image of a container.
    pub parent_image: String,
    /// The repository that a container image is pushed to, in every Region of the distribution.
    pub repository: Option<String>,
    /// The ARN of the infrastructure configuration.
    pub infrastructure: String,
    /// The ARN of the distribution configuration.
    pub distribution: Option<String>,
}

impl Fixtures<'_> {
    /// Creates the image pipeline with this ARN, and its recipe of two components.
    pub(super) fn image_pipeline(&mut self, arn: &str) -> Result<(), SetupError> {
        let name = arn.rsplit('/').next().unwrap_or(arn).to_owned();
        let mut components = Vec::new();
        for (component, steps) in
            [(format!("{name}-install"), "InstallPackages"), (format!("{name}-verify"), "SmokeTest")]
        {
            let data = format!(
                "name: {component}\nschemaVersion: 1.0\nphases:\n  - name: build\n    steps:\n      - name: {steps}\n        \
                 action: ExecuteBash\n        inputs:\n          commands: [\"true\"]\n"
            );
            let made = self.ask(
                "imagebuilder",
                "CreateComponent",
                json!({"name": component, "semanticVersion": "1.0.0", "platform": "Linux", "data": data,
                       "clientToken": format!("component-{component}")}),
            )?;
            components.push(json!({"componentArn": text(&made, "/componentBuildVersionArn")}));
        }
        let parent = self.parent_image();
        let recipe = self.ask(
            "imagebuilder",
            "CreateImageRecipe",
            json!({"name": name, "semanticVersion": "1.0.0", "parentImage": parent, "components": components,
                   "clientToken": format!("recipe-{name}")}),
        )?;
        let infrastructure = self.infrastructure(&name)?;
        let distribution = self.distribution(&name, None)?;
        self.ask(
            "imagebuilder",
            "CreateImagePipeline",
            json!({"name": name, "imageRecipeArn": text(&recipe, "/imageRecipeArn"),
                   "infrastructureConfigurationArn": infrastructure,
                   "distributionConfigurationArn": distribution,
                   "status": "DISABLED", "clientToken": format!("pipeline-{name}")}),
        )?;
        Ok(())
    }

    fn infrastructure(&mut self, name: &str) -> Result<String, SetupError> {
        let made = self.ask(
            "imagebuilder",
            "CreateInfrastructureConfiguration",
            json!({"name": name, "instanceProfileName": "image-builder", "terminateInstanceOnFailure": true,
                   "clientToken": format!("infrastructure-{name}")}),
        )?;
        Ok(text(&made, "/infrastructureConfigurationArn"))
    }

    fn distribution(&mut self, name: &str, repository: Option<&str>) -> Result<String, SetupError> {
        let mut by_region: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (region, account) in &self.setup.distribution {
            by_region.entry(region).or_default().push(account);
        }
        by_region.entry(&self.setup.region).or_default();
        let distributions: Vec<Value> = by_region
            .into_iter()
            .map(|(region, accounts)| {
                if let Some(repository) = repository {
                    let target = json!({"service": "ECR", "repositoryName": repository});
                    let container = json!({"targetRepository": target, "containerTags": ["latest"]});
                    return json!({"region": region, "containerDistributionConfiguration": container});
                }
                let others: Vec<&str> = accounts.into_iter().filter(|a| *a != self.setup.account).collect();
                let mut ami = Map::from_iter([(
                    "name".to_owned(),
                    json!(format!("{name}-{{{{ imagebuilder:buildDate }}}}")),
                )]);
                if !others.is_empty() {
                    ami.insert("targetAccountIds".into(), json!(others));
                }
                json!({"region": region, "amiDistributionConfiguration": ami})
            })
            .collect();
        let made = self.ask(
            "imagebuilder",
            "CreateDistributionConfiguration",
            json!({"name": name, "distributions": distributions,
                   "clientToken": format!("distribution-{name}")}),
        )?;
        Ok(text(&made, "/distributionConfigurationArn"))
    }

    /// Creates the recipe's parent image, and the parameter if the recipe names the image by a parameter.
    pub(super) fn recipe(&mut self, recipe: &RecipeFixtures) -> Result<(), SetupError> {
        let last = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        self.infrastructure(&last(&recipe.infrastructure))?;
        if let Some(arn) = &recipe.distribution {
            self.distribution(&last(arn), recipe.repository.as_deref())?;
        }
        if let Some(repository) = &recipe.repository {
            return self.repositories(repository, &recipe.parent_image);
        }
        let parent = self.parent_image();
        if let Some(name) = recipe.parent_image.strip_prefix("ssm:") {
            let (account, region) = (&self.setup.account, &self.setup.region);
            let now = self.world.now;
            ssm::write_parameter(&mut self.world, now, account, region, name, "text", &parent);
        }
        Ok(())
    }

    /// Creates the repositories that a container image is pushed to, and the base image if it is in ECR too.
    fn repositories(&mut self, name: &str, parent: &str) -> Result<(), SetupError> {
        let setup = self.setup;
        for region in setup.distribution.iter().map(|(region, _)| region).chain([&setup.region]) {
            ecr::seed_repository(&mut self.world, &setup.account, region, name);
        }
        let parts = parent.split_once(".dkr.ecr.").and_then(|(owner, rest)| {
            let (host, path) = rest.split_once('/')?;
            Some((owner, host.split('.').next()?, path.split('@').next()?))
        });
        let Some((owner, region, path)) = parts else { return Ok(()) };
        let (base, tag) = path.split_once(':').unwrap_or((path, "latest"));
        ecr::seed_repository(&mut self.world, owner, region, base);
        let manifest = ecr::sample_manifest("the parent image");
        ecr::push(&mut self.world, (owner, region), base, &[tag], &manifest)
            .map(drop)
            .map_err(|refused| refusal("the parent image", refused))
    }

    /// Creates a parent image and returns its id.
    fn parent_image(&mut self) -> String {
        ec2::register_image(
            &mut self.world,
            ec2::NewImage {
                name: "al2023-ami-minimal-x86_64".into(),
                account: self.setup.account.clone(),
                region: self.setup.region.clone(),
                description: Some("the parent image".into()),
                tags: BTreeMap::new(),
                source_image: None,
                behavior: InstanceBehavior::default(),
                available_after: Duration::ZERO,
                snapshots: 1,
                disk: ec2::Disk::default(),
            },
        )
    }
}
