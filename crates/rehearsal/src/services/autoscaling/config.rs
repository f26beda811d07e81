//! Launch settings of a group: a launch template, a mixed instances policy, or a launch configuration.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::super::world::World;
use super::super::ec2::{self, LaunchSpec, TemplateKey};
use super::super::support::{Place, present, refuse};

/// A launch template reference, with both id and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub id: String,
    pub name: String,
    /// As given: a number, `$Latest` or `$Default`.
    pub version: String,
}

impl Template {
    pub fn view(&self) -> Value {
        json!({ "LaunchTemplateId": self.id, "LaunchTemplateName": self.name, "Version": self.version })
    }
}

/// The launch configuration of new instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub template: Option<Template>,
    /// The mixed instances policy, as given. Its template is also in `template`.
    pub mixed: Option<Value>,
    pub launch_configuration: Option<String>,
}

/// The request members that select the launch template or configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RawConfig {
    pub launch_template: Option<TemplateKey>,
    pub mixed_instances_policy: Option<Value>,
    pub launch_configuration_name: Option<String>,
}

impl RawConfig {
    pub fn is_given(&self) -> bool {
        self.launch_template.is_some()
            || self.mixed_instances_policy.is_some()
            || self.launch_configuration_name.is_some()
    }

    /// Checks that exactly one source is given and that instances can be launched from it.
    pub fn accept(&self, world: &World, here: &Place) -> Result<Config, ApiError> {
        let config = match (
            &self.launch_template,
            &self.mixed_instances_policy,
            &self.launch_configuration_name,
        ) {
            (Some(key), None, None) => {
                Config { template: Some(template(world, here, key)?), ..Config::default() }
            }
            (None, Some(policy), None) => {
                let key = policy
                    .pointer("/LaunchTemplate/LaunchTemplateSpecification")
                    .and_then(|spec| serde_json::from_value::<TemplateKey>(spec.clone()).ok())
                    .ok_or_else(|| invalid("The mixed instances policy must have a launch template."))?;
                let template = Some(template(world, here, &key)?);
                Config { template, mixed: Some(policy.clone()), launch_configuration: None }
            }
            (None, None, Some(name)) => {
                Config { launch_configuration: Some(name.clone()), ..Config::default() }
            }
            _ => {
                return Err(invalid(
                    "Valid requests must contain exactly one of LaunchTemplate, LaunchConfigurationName and MixedInstancesPolicy.",
                ));
            }
        };
        config.launch_spec(world, here)?;
        Ok(config)
    }
}

pub fn invalid(message: impl Into<String>) -> ApiError {
    refuse("ValidationError", message)
}

fn template(world: &World, here: &Place, key: &TemplateKey) -> Result<Template, ApiError> {
    let (found, _) = ec2::resolve_template(world, here, key).map_err(|e| invalid(e.message))?;
    Ok(Template {
        id: found.id.clone(),
        name: found.name.clone(),
        version: key.version.clone().filter(|v| !v.is_empty()).unwrap_or_else(|| "$Default".into()),
    })
}

/// The launch settings, resolved for one launch.
#[derive(Debug)]
pub struct Resolved {
    pub spec: LaunchSpec,
    /// The template, with its version resolved to a number.
    pub template: Option<Template>,
}

impl Config {
    /// Resolves the launch settings as of now.
    ///
    /// # Errors
    /// `ValidationError` if the template, version or launch configuration does not exist, or has no image.
    pub fn launch_spec(&self, world: &World, here: &Place) -> Result<Resolved, ApiError> {
        let (data, template) = match (&self.template, &self.launch_configuration) {
            (Some(template), _) => {
                let key = TemplateKey {
                    launch_template_id: Some(template.id.clone()),
                    launch_template_name: None,
                    version: Some(template.version.clone()),
                };
                let (found, number) =
                    ec2::resolve_template(world, here, &key).map_err(|e| invalid(e.message))?;
                let data = found.versions.get(&number).map(|v| v.data.clone()).unwrap_or_default();
                (data, Some(Template { version: number.to_string(), ..template.clone() }))
            }
            (None, Some(name)) => {
                let found = world.autoscaling.launch_configurations.iter().find(|(place, c)| {
                    place == here && c.get("LaunchConfigurationName").and_then(Value::as_str) == Some(name)
                });
                let (_, data) =
                    found.ok_or_else(|| invalid(format!("Launch configuration name not found - {name}")))?;
                // Unlike in a template, security groups are ids and the instance profile is a plain name.
                (json!({ "ImageId": data.get("ImageId"), "InstanceType": data.get("InstanceType") }), None)
            }
            (None, None) => return Err(invalid("The group has no launch template or launch configuration.")),
        };
        let mut spec: LaunchSpec =
            serde_json::from_value(present(data)).map_err(|e| invalid(e.to_string()))?;
        if let Some(kind) = self.first_override("InstanceType") {
            spec.instance_type = Some(kind);
        }
        if let Some(image) = self.first_override("ImageId") {
            spec.image_id = Some(image);
        }
        if spec.image_id.is_none() {
            return Err(invalid(
                "You must use a valid fully-formed launch template. The request must contain the parameter ImageId",
            ));
        }
        Ok(Resolved { spec, template })
    }

    /// A member of the first override of a mixed instances policy. Other overrides and weights have no effect.
    fn first_override(&self, member: &str) -> Option<String> {
        let path = format!("/LaunchTemplate/Overrides/0/{member}");
        self.mixed.as_ref()?.pointer(&path)?.as_str().map(str::to_owned)
    }

    /// The reason why a group cannot be rolled back to this configuration, if it cannot.
    pub fn irreversible(&self, world: &World, here: &Place) -> Option<&'static str> {
        let template = self.template.as_ref()?;
        if template.version.starts_with('$') {
            return Some("the group's launch template version is $Latest or $Default");
        }
        let by_parameter = self
            .launch_spec(world, here)
            .is_ok_and(|r| r.spec.image_id.is_some_and(|id| id.starts_with("resolve:ssm:")));
        by_parameter.then_some("the group's launch template names its AMI by a Systems Manager parameter")
    }

    /// The members of a describe response for a group.
    pub fn members(&self) -> Value {
        match (&self.mixed, &self.template) {
            (Some(policy), _) => json!({ "MixedInstancesPolicy": policy }),
            (None, Some(template)) => json!({ "LaunchTemplate": template.view() }),
            (None, None) => json!({ "LaunchConfigurationName": self.launch_configuration }),
        }
    }
}
