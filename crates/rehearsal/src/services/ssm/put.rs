//! `PutParameter`, and the validation of images that follows it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::{ec2, sts};
use super::parameter::{Parameter, Version, key};
use super::{Event, Key, enter, validation};

/// The data type whose values must name an image.
const IMAGE: &str = "aws:ec2:image";
/// The maximum number of versions of a parameter.
const VERSIONS_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    name: String,
    value: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(default)]
    overwrite: bool,
    description: Option<String>,
    allowed_pattern: Option<String>,
    key_id: Option<String>,
    tier: Option<String>,
    data_type: Option<String>,
    #[serde(default)]
    tags: Vec<super::tags::Tag>,
}

/// `PutParameter`. For data type `aws:ec2:image`, success does not mean that the value is stored: it appears, with
/// the returned version, only after the image has been validated.
pub(super) fn put(world: &mut World, call: &Call) -> Answer {
    let input: Put = call.parse()?;
    check_name(&input.name)?;
    check_value(&input)?;
    let key = key(call, &input.name);
    let existing = world.ssm.parameters.get(&key).filter(|parameter| !parameter.versions.is_empty());
    match existing {
        Some(_) if !input.overwrite => {
            return Err(ApiError::new(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        Some(_) if !input.tags.is_empty() => {
            return Err(validation("Tags and Overwrite cannot be used together: use AddTagsToResource"));
        }
        Some(parameter) => {
            if input.kind.as_ref().is_some_and(|kind| *kind != parameter.kind) {
                return Err(ApiError::new(
                    "HierarchyTypeMismatchException",
                    format!("The type of {} cannot be changed", key.2),
                ));
            }
            // The oldest version is removed for the new one, unless it has a label.
            let full = parameter.versions.len() >= VERSIONS_LIMIT;
            if full && parameter.versions.first().is_some_and(|oldest| !oldest.labels.is_empty()) {
                return Err(ApiError::new(
                    "ParameterMaxVersionLimitExceeded",
                    format!("{} has {VERSIONS_LIMIT} versions and the oldest has a label", key.2),
                ));
            }
        }
        None if input.kind.is_none() => {
            return Err(validation("A parameter type is required when you create a parameter"));
        }
        None => {}
    }
    let user = sts::principal(world, &call.access_key).map_or_else(
        || format!("arn:{}:iam::{}:root", crate::partition::id(&call.region), call.account),
        |principal| principal.arn,
    );
    let data_type = input.data_type.unwrap_or_else(|| "text".to_owned());
    let parameter = world.ssm.parameters.entry(key.clone()).or_default();
    parameter.kind = input.kind.unwrap_or_else(|| parameter.kind.clone());
    parameter.tier =
        input.tier.filter(|tier| tier != "Intelligent-Tiering").unwrap_or_else(|| "Standard".into());
    parameter.description = input.description.or(parameter.description.take());
    parameter.allowed_pattern = input.allowed_pattern;
    parameter.key_id = input.key_id.or(parameter.key_id.take());
    parameter.tags.extend(input.tags.into_iter().map(|tag| (tag.key, tag.value)));
    parameter.last += 1;
    let number = parameter.last;
    let is_image = data_type == IMAGE;
    let version =
        Version { number, value: input.value, data_type, modified: call.now, user, labels: BTreeSet::new() };
    let answer = json!({ "Version": number, "Tier": parameter.tier });
    if is_image {
        parameter.unchecked.push(version);
        let due = call.now + world.ssm.options.image_validation_takes;
        let (account, region, name) = key;
        enter(world, due, Event::ImageChecked { account, region, name, version: number });
    } else {
        store(parameter, version);
    }
    Ok(answer)
}

fn store(parameter: &mut Parameter, version: Version) {
    parameter.versions.push(version);
    if parameter.versions.len() > VERSIONS_LIMIT {
        parameter.versions.remove(0);
    }
}

/// Stores a value whose image exists and is available; otherwise drops it.
pub(super) fn image_checked(world: &mut World, key: &Key, number: u64) {
    let Some(parameter) = world.ssm.parameters.get_mut(key) else { return };
    let Some(index) = parameter.unchecked.iter().position(|version| version.number == number) else { return };
    let version = parameter.unchecked.remove(index);
    let call = Call {
        service: "ec2",
        operation: "DescribeImages".to_owned(),
        input: json!({ "ImageIds": [version.value] }).as_object().cloned().unwrap_or_default(),
        account: key.0.clone(),
        region: key.1.clone(),
        access_key: String::new(),
        now: world.now,
    };
    let seen = ec2::call(world, &call).unwrap_or_default();
    let available = seen.pointer("/Images/0/State").is_some_and(|state| state == "available");
    let Some(parameter) = world.ssm.parameters.get_mut(key) else { return };
    if available {
        store(parameter, version);
    } else if parameter.versions.is_empty() && parameter.unchecked.is_empty() {
        world.ssm.parameters.remove(key);
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let bare = name.trim_start_matches('/').to_ascii_lowercase();
    if bare.starts_with("aws") || bare.starts_with("ssm") {
        return Err(validation(format!(
            "Parameter name {name}: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive)"
        )));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if bare.is_empty() || !name.chars().all(good) || (name.contains('/') && !name.starts_with('/')) {
        return Err(validation(format!(
            "Parameter name {name}: only letters, digits and _.-/ and, with more than one level, a leading slash"
        )));
    }
    if name.split('/').filter(|level| !level.is_empty()).count() > 15 {
        return Err(ApiError::new(
            "HierarchyLevelLimitExceededException",
            "A hierarchy has at most 15 levels",
        ));
    }
    Ok(())
}

fn check_value(input: &Put) -> Result<(), ApiError> {
    let limit = if input.tier.as_deref() == Some("Advanced") { 8192 } else { 4096 };
    if input.value.is_empty() || input.value.len() > limit {
        return Err(validation(format!("A value has 1 to {limit} characters in this tier")));
    }
    let data_type = input.data_type.as_deref().unwrap_or("text");
    if !["text", IMAGE].contains(&data_type) {
        return Err(validation(format!("The following data type is not supported: {data_type}")));
    }
    if data_type == IMAGE && input.kind.as_deref().is_some_and(|kind| kind != "String") {
        return Err(validation(format!("Data type {IMAGE} is for parameters of type String")));
    }
    if let Some(pattern) = &input.allowed_pattern {
        let Ok(compiled) = regex::Regex::new(pattern) else {
            return Err(ApiError::new(
                "InvalidAllowedPatternException",
                format!("{pattern} is not a valid pattern"),
            ));
        };
        if !compiled.is_match(&input.value) {
            return Err(ApiError::new(
                "ParameterPatternMismatchException",
                format!("Parameter value does not match {pattern}"),
            ));
        }
    }
    Ok(())
}
