//! Versions of launch templates: create, describe, delete.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Filter, page, present, refuse};
use super::launch::{remember, replay, resolve_image};
use super::launch_templates::{
    LaunchTemplate, TemplateKey, TemplateVersion, find, unknown_id, unknown_version,
};
use super::place;

/// The maximum number of versions of a template (a fixed quota).
const MOST_VERSIONS: usize = 10_000;
/// The maximum number of versions that one call deletes.
const MOST_DELETED: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    #[serde(default)]
    launch_template_id: Option<String>,
    #[serde(default)]
    launch_template_name: Option<String>,
    launch_template_data: Map<String, Value>,
    #[serde(default)]
    source_version: Option<String>,
    #[serde(default)]
    version_description: Option<String>,
    #[serde(default)]
    client_token: Option<String>,
    #[serde(default)]
    resolve_alias: bool,
}

/// `CreateLaunchTemplateVersion`: merges the data into the source version's, if one is given. The default version
/// stays.
pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    if let Some(token) = &input.client_token {
        if token.len() > 128 {
            return Err(refuse("InvalidParameterValue", "Client token exceeds 128 ASCII characters."));
        }
        if let Some(answer) = replay(world, &here, "CreateLaunchTemplateVersion", token, call)? {
            return Ok(answer);
        }
    }
    let key = TemplateKey {
        launch_template_id: input.launch_template_id,
        launch_template_name: input.launch_template_name,
        version: None,
    };
    let id = find(world, &here, &key)?;
    let created = world.now;
    let template = world.ec2.launch_templates.get_mut(&id).ok_or_else(|| unknown_id(&id))?;
    if template.versions.len() >= MOST_VERSIONS {
        return Err(refuse(
            "VersionLimitExceeded",
            format!("The launch template {id} already has {MOST_VERSIONS} versions."),
        ));
    }
    let mut data = match &input.source_version {
        None => Map::new(),
        Some(reference) => {
            let number = template.number(Some(reference)).ok_or_else(|| unknown_version(reference))?;
            let source = template.versions.get(&number).and_then(|v| v.data.as_object().cloned());
            without_snapshots(source.unwrap_or_default())
        }
    };
    data.extend(input.launch_template_data);
    template.latest_version += 1;
    let number = template.latest_version;
    let version =
        TemplateVersion { description: input.version_description, created, data: Value::Object(data) };
    template.versions.insert(number, version);
    let mut shown = world.ec2.launch_templates.get(&id).and_then(|t| view(t, number)).unwrap_or_default();
    if input.resolve_alias {
        resolve(world, call, &mut shown)?;
    }
    let answer = json!({ "LaunchTemplateVersion": shown });
    if let Some(token) = input.client_token {
        remember(world, here, "CreateLaunchTemplateVersion", token, call, &answer);
    }
    Ok(answer)
}

/// Removes snapshots from block device mappings, which are not inherited from a source version.
fn without_snapshots(mut data: Map<String, Value>) -> Map<String, Value> {
    let mappings = data.get_mut("BlockDeviceMappings").and_then(Value::as_array_mut);
    for mapping in mappings.into_iter().flatten() {
        if let Some(ebs) = mapping.get_mut("Ebs").and_then(Value::as_object_mut) {
            ebs.remove("SnapshotId");
        }
    }
    data
}

/// Replaces a `resolve:ssm:` reference by the current image id.
fn resolve(world: &World, call: &Call, version: &mut Value) -> Result<(), ApiError> {
    let Some(image) = version.get_mut("LaunchTemplateData").and_then(|d| d.get_mut("ImageId")) else {
        return Ok(());
    };
    if let Some(reference) = image.as_str() {
        *image = Value::String(resolve_image(world, &place(call), reference)?);
    }
    Ok(())
}

fn view(template: &LaunchTemplate, number: u64) -> Option<Value> {
    let version = template.versions.get(&number)?;
    Some(present(json!({
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": number,
        "VersionDescription": version.description,
        "CreateTime": version.created.epoch_seconds(),
        "CreatedBy": format!("arn:{}:iam::{}:root", crate::partition::id(&template.region), template.account),
        "DefaultVersion": number == template.default_version,
        "LaunchTemplateData": version.data,
    })))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    launch_template_id: Option<String>,
    launch_template_name: Option<String>,
    versions: Vec<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
    resolve_alias: bool,
}

/// `DescribeLaunchTemplateVersions`: versions of one template, newest first, or `$Latest`/`$Default` of all
/// templates.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let one = input.launch_template_id.is_some() || input.launch_template_name.is_some();
    let mut found: Vec<Value> = Vec::new();
    if one {
        let key = TemplateKey {
            launch_template_id: input.launch_template_id.clone(),
            launch_template_name: input.launch_template_name.clone(),
            version: None,
        };
        let id = find(world, &here, &key)?;
        let template = world.ec2.launch_templates.get(&id).ok_or_else(|| unknown_id(&id))?;
        let numbers = chosen(template, &input)?;
        found.extend(numbers.into_iter().filter_map(|number| view(template, number)));
    } else {
        if input.versions.is_empty() || input.versions.iter().any(|v| v != "$Latest" && v != "$Default") {
            return Err(refuse(
                "InvalidParameterCombination",
                "Without a launch template, only $Latest and $Default can be described.",
            ));
        }
        for template in world.ec2.launch_templates.values().filter(|t| here.holds(&t.account, &t.region)) {
            let mut numbers: Vec<u64> =
                input.versions.iter().filter_map(|v| template.number(Some(v))).collect();
            numbers.sort_unstable();
            numbers.dedup();
            found.extend(numbers.into_iter().rev().filter_map(|number| view(template, number)));
        }
    }
    let mut kept = Vec::new();
    for version in found {
        if fits(&version, &input.filters)? {
            kept.push(version);
        }
    }
    let size = input.max_results.unwrap_or(200);
    let (mut kept, next) = page(kept, input.next_token.as_deref(), size, "InvalidNextToken")?;
    if input.resolve_alias {
        for version in &mut kept {
            resolve(world, call, version)?;
        }
    }
    Ok(present(json!({ "LaunchTemplateVersions": kept, "NextToken": next })))
}

/// The requested version numbers, newest first.
fn chosen(template: &LaunchTemplate, input: &Describe) -> Result<Vec<u64>, ApiError> {
    let bound = |text: &Option<String>, open: u64| match text {
        None => Ok(open),
        Some(text) => text.parse::<u64>().map_err(|_| {
            refuse("InvalidParameterValue", format!("'{text}' is not a launch template version number."))
        }),
    };
    // The API documents the bounds as "after which" and "up to which" version.
    let (min, max) = (bound(&input.min_version, 0)?, bound(&input.max_version, u64::MAX)?);
    if input.versions.is_empty() {
        let versions = template.versions.keys().rev().copied();
        return Ok(versions.filter(|number| *number > min && *number <= max).collect());
    }
    let mut numbers = Vec::new();
    for reference in &input.versions {
        let number = template.number(Some(reference)).ok_or_else(|| unknown_version(reference))?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

fn fits(version: &Value, filters: &[Filter]) -> Result<bool, ApiError> {
    let data = |name: &str| version.pointer(&format!("/LaunchTemplateData/{name}")).and_then(Value::as_str);
    for filter in filters {
        let fits = match filter.name.as_str() {
            "image-id" => data("ImageId").is_some_and(|v| filter.fits(v)),
            "instance-type" => data("InstanceType").is_some_and(|v| filter.fits(v)),
            "is-default-version" => {
                let default = version.get("DefaultVersion").and_then(Value::as_bool).unwrap_or(false);
                filter.fits(if default { "true" } else { "false" })
            }
            other => {
                return Err(refuse("InvalidParameterValue", format!("The filter '{other}' is invalid")));
            }
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    #[serde(default)]
    launch_template_id: Option<String>,
    #[serde(default)]
    launch_template_name: Option<String>,
    versions: Vec<String>,
}

/// `DeleteLaunchTemplateVersions`: succeeds and lists the versions that could not be deleted, such as the default
/// one.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    if input.versions.len() > MOST_DELETED {
        return Err(refuse(
            "InvalidParameterValue",
            format!("At most {MOST_DELETED} versions can be deleted at once."),
        ));
    }
    let key = TemplateKey {
        launch_template_id: input.launch_template_id,
        launch_template_name: input.launch_template_name,
        version: None,
    };
    let id = find(world, &place(call), &key)?;
    let template = world.ec2.launch_templates.get_mut(&id).ok_or_else(|| unknown_id(&id))?;
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for reference in &input.versions {
        let number: u64 = reference.parse().map_err(|_| {
            refuse("InvalidParameterValue", format!("'{reference}' is not a launch template version number."))
        })?;
        let mut item = json!({
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "VersionNumber": number,
        });
        let problem = if number == template.default_version {
            Some(("unexpectedError", "The default version of a launch template cannot be deleted."))
        } else if template.versions.remove(&number).is_none() {
            Some(("launchTemplateVersionDoesNotExist", "The launch template version does not exist."))
        } else {
            None
        };
        match (problem, item.as_object_mut()) {
            (Some((code, message)), Some(members)) => {
                members.insert("ResponseError".into(), json!({ "Code": code, "Message": message }));
                kept.push(item);
            }
            _ => deleted.push(item),
        }
    }
    Ok(json!({
        "SuccessfullyDeletedLaunchTemplateVersions": deleted,
        "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
    }))
}
