//! Launch templates: create, describe, set the default version, delete, and resolve references.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Filter, Place, Tags, page, present, refuse, tag_list};
use super::launch::{TagSpecification, remember, replay, tags_for};
use super::place;

/// A launch template and its versions.
#[derive(Clone, Debug)]
pub struct LaunchTemplate {
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub created: Time,
    pub tags: Tags,
    pub default_version: u64,
    /// The highest version number so far. Numbers are never reused.
    pub latest_version: u64,
    pub versions: BTreeMap<u64, TemplateVersion>,
}

/// A version of a launch template. The data is stored as requested.
#[derive(Clone, Debug)]
pub struct TemplateVersion {
    pub description: Option<String>,
    pub created: Time,
    pub data: Value,
}

impl LaunchTemplate {
    /// The newest version that still exists (`$Latest`).
    pub(super) fn newest(&self) -> Option<u64> {
        self.versions.last_key_value().map(|(number, _)| *number)
    }

    /// Resolves a version reference to a number; `None` is the default version.
    pub(super) fn number(&self, reference: Option<&str>) -> Option<u64> {
        let number = match reference {
            None | Some("$Default" | "") => self.default_version,
            Some("$Latest") => self.newest()?,
            Some(text) => text.parse().ok()?,
        };
        self.versions.contains_key(&number).then_some(number)
    }

    pub(super) fn data_image(&self, version: u64) -> Option<&str> {
        self.versions.get(&version)?.data.get("ImageId")?.as_str()
    }
}

/// A reference to a template, and optionally to a version, in a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TemplateKey {
    pub launch_template_id: Option<String>,
    pub launch_template_name: Option<String>,
    pub version: Option<String>,
}

/// The id of the template that a request names.
pub(super) fn find(world: &World, here: &Place, key: &TemplateKey) -> Result<String, ApiError> {
    let mine =
        |t: &&LaunchTemplate| here.holds(&t.account, &t.region) && world.ec2.visible(t.created, world.now);
    match (&key.launch_template_id, &key.launch_template_name) {
        (Some(id), None) => world
            .ec2
            .launch_templates
            .get(id)
            .filter(mine)
            .map(|t| t.id.clone())
            .ok_or_else(|| unknown_id(id)),
        (None, Some(name)) => world
            .ec2
            .launch_templates
            .values()
            .filter(mine)
            .find(|t| t.name == *name)
            .map(|t| t.id.clone())
            .ok_or_else(|| unknown_name(name)),
        (Some(_), Some(_)) => Err(refuse(
            "InvalidParameterCombination",
            "You may specify either launch template ID or name, but not both.",
        )),
        (None, None) => Err(refuse(
            "MissingParameter",
            "Either a launch template ID or a launch template name must be specified.",
        )),
    }
}

pub(super) fn unknown_id(id: &str) -> ApiError {
    refuse(
        "InvalidLaunchTemplateId.NotFound",
        format!("The specified launch template, with template ID {id}, does not exist."),
    )
}

fn unknown_name(name: &str) -> ApiError {
    refuse(
        "InvalidLaunchTemplateName.NotFoundException",
        format!("The specified launch template, with template name {name}, does not exist."),
    )
}

pub(super) fn unknown_version(reference: &str) -> ApiError {
    refuse(
        "InvalidLaunchTemplateId.VersionNotFound",
        format!("Could not find launch template version '{reference}'."),
    )
}

/// Resolves a reference to the template and the current version number.
///
/// # Errors
/// EC2's error codes for an unknown template or version.
pub fn resolve_template<'a>(
    world: &'a World,
    here: &Place,
    key: &TemplateKey,
) -> Result<(&'a LaunchTemplate, u64), ApiError> {
    let id = find(world, here, key)?;
    let template = world.ec2.launch_templates.get(&id).ok_or_else(|| unknown_id(&id))?;
    let version = key.version.as_deref();
    let number = template.number(version).ok_or_else(|| unknown_version(version.unwrap_or("$Default")))?;
    Ok((template, number))
}

/// Seeds a template with one version. Returns its id.
pub fn seed_launch_template(
    world: &mut World,
    account: &str,
    region: &str,
    name: &str,
    launch_template_data: Value,
) -> String {
    add(world, &Place::new(account, region), name, None, launch_template_data, Tags::new())
}

fn add(
    world: &mut World,
    here: &Place,
    name: &str,
    description: Option<String>,
    data: Value,
    tags: Tags,
) -> String {
    let id = world.ids.ec2("lt");
    let created = world.now;
    let template = LaunchTemplate {
        id: id.clone(),
        name: name.to_owned(),
        account: here.account.clone(),
        region: here.region.clone(),
        created,
        tags,
        default_version: 1,
        latest_version: 1,
        versions: BTreeMap::from([(1, TemplateVersion { description, created, data })]),
    };
    world.ec2.launch_templates.insert(id.clone(), template);
    id
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    launch_template_name: String,
    launch_template_data: Value,
    #[serde(default)]
    version_description: Option<String>,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    tag_specifications: Vec<TagSpecification>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    if let Some(token) = &input.client_token
        && let Some(answer) = replay(world, &here, "CreateLaunchTemplate", token, call)?
    {
        return Ok(answer);
    }
    let taken = world
        .ec2
        .launch_templates
        .values()
        .any(|t| here.holds(&t.account, &t.region) && t.name == input.launch_template_name);
    if taken {
        return Err(refuse(
            "InvalidLaunchTemplateName.AlreadyExistsException",
            "Launch template name already in use.",
        ));
    }
    let tags = tags_for(&input.tag_specifications, "launch-template");
    let id = add(
        world,
        &here,
        &input.launch_template_name,
        input.version_description,
        input.launch_template_data,
        tags,
    );
    let answer = json!({ "LaunchTemplate": world.ec2.launch_templates.get(&id).map(view) });
    if let Some(token) = input.client_token {
        remember(world, here, "CreateLaunchTemplate", token, call, &answer);
    }
    Ok(answer)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    launch_template_ids: Vec<String>,
    launch_template_names: Vec<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let mine: Vec<&LaunchTemplate> = world
        .ec2
        .launch_templates
        .values()
        .filter(|t| here.holds(&t.account, &t.region) && world.ec2.visible(t.created, call.now))
        .collect();
    if let Some(id) = input.launch_template_ids.iter().find(|id| !mine.iter().any(|t| t.id == **id)) {
        return Err(unknown_id(id));
    }
    if let Some(name) = input.launch_template_names.iter().find(|n| !mine.iter().any(|t| t.name == **n)) {
        return Err(unknown_name(name));
    }
    let mut found = Vec::new();
    for template in mine {
        let all = input.launch_template_ids.is_empty() && input.launch_template_names.is_empty();
        let named = all
            || input.launch_template_ids.contains(&template.id)
            || input.launch_template_names.contains(&template.name);
        let mut fits = named;
        for filter in &input.filters {
            fits &= match filter.name.as_str() {
                "launch-template-name" => filter.fits(&template.name),
                other => filter.fits_tags(&template.tags).ok_or_else(|| {
                    refuse("InvalidParameterValue", format!("The filter '{other}' is invalid"))
                })?,
            };
        }
        if fits {
            found.push(view(template));
        }
    }
    let size = input.max_results.unwrap_or(200);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    Ok(present(json!({ "LaunchTemplates": found, "NextToken": next })))
}

pub(super) fn view(template: &LaunchTemplate) -> Value {
    json!({
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created.epoch_seconds(),
        "CreatedBy": format!("arn:{}:iam::{}:root", crate::partition::id(&template.region), template.account),
        "DefaultVersionNumber": template.default_version,
        "LatestVersionNumber": template.latest_version,
        "Tags": tag_list(&template.tags),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Modify {
    #[serde(flatten)]
    key: TemplateKey,
    /// The member's name in the model; on the wire it is `SetDefaultVersion`.
    #[serde(default)]
    default_version: Option<String>,
    #[serde(default)]
    client_token: Option<String>,
}

pub(super) fn modify(world: &mut World, call: &Call) -> Answer {
    let input: Modify = call.parse()?;
    let here = place(call);
    if let Some(token) = &input.client_token
        && let Some(answer) = replay(world, &here, "ModifyLaunchTemplate", token, call)?
    {
        return Ok(answer);
    }
    let id = find(world, &here, &input.key)?;
    let template = world.ec2.launch_templates.get_mut(&id).ok_or_else(|| unknown_id(&id))?;
    if let Some(reference) = &input.default_version {
        let number = template.number(Some(reference)).ok_or_else(|| unknown_version(reference))?;
        template.default_version = number;
    }
    let answer = json!({ "LaunchTemplate": view(template) });
    if let Some(token) = input.client_token {
        remember(world, here, "ModifyLaunchTemplate", token, call, &answer);
    }
    Ok(answer)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let key: TemplateKey = call.parse()?;
    let id = find(world, &place(call), &key)?;
    let template = world.ec2.launch_templates.remove(&id);
    Ok(json!({ "LaunchTemplate": template.as_ref().map(view) }))
}
