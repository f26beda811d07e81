//! Lists of parameters: by path, by filters, and history.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::parameter::{Parameter, Version, arn, find, key, shown_value, view};
use super::{Key, bad_token, validation};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    with_decryption: bool,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    parameter_filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    option: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl Filter {
    fn check(&self) -> Result<(), ApiError> {
        let known = ["Name", "Type", "KeyId", "Path", "Tier", "DataType", "Label"];
        if !known.contains(&self.key.as_str()) && !self.key.starts_with("tag:") {
            return Err(ApiError::new("InvalidFilterKey", format!("{} is not a filter", self.key)));
        }
        let options: &[&str] = match self.key.as_str() {
            "Path" => &["OneLevel", "Recursive"],
            "Name" => &["Equals", "BeginsWith", "Contains"],
            _ => &["Equals", "BeginsWith"],
        };
        match &self.option {
            Some(option) if !options.contains(&option.as_str()) => Err(ApiError::new(
                "InvalidFilterOption",
                format!("{option} is not an option of filter {}", self.key),
            )),
            _ => Ok(()),
        }
    }

    fn fits(&self, key: &Key, parameter: &Parameter) -> bool {
        let text = match self.key.as_str() {
            "Path" => {
                let recursive = self.option.as_deref() == Some("Recursive");
                return self.values.iter().any(|path| is_under(&key.2, path, recursive));
            }
            "Label" => {
                let labels = parameter.versions.iter().flat_map(|version| &version.labels);
                return labels.into_iter().any(|label| self.values.contains(label));
            }
            "Name" => Some(key.2.as_str()),
            "Type" => Some(parameter.kind.as_str()),
            "KeyId" => parameter.key_id.as_deref(),
            "Tier" => Some(parameter.tier.as_str()),
            "DataType" => parameter.latest().map(|version| version.data_type.as_str()),
            tag => tag.strip_prefix("tag:").and_then(|tag| parameter.tags.get(tag)).map(String::as_str),
        };
        let Some(text) = text else { return false };
        // A tag filter without values matches every parameter with the tag.
        self.values.is_empty()
            || self.values.iter().any(|value| match self.option.as_deref() {
                Some("BeginsWith") => text.starts_with(value.as_str()),
                Some("Contains") => text.contains(value.as_str()),
                _ => text == value,
            })
    }
}

/// Whether `name` is below `path`, at the first level or, if recursive, at any level.
fn is_under(name: &str, path: &str, recursive: bool) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    name.strip_prefix(&folder).is_some_and(|rest| !rest.is_empty() && (recursive || !rest.contains('/')))
}

fn own<'w>(world: &'w World, call: &'w Call) -> impl Iterator<Item = (&'w Key, &'w Parameter, &'w Version)> {
    world
        .ssm
        .parameters
        .iter()
        .filter(|(key, _)| key.0 == call.account && key.1 == call.region)
        .filter_map(|(key, parameter)| Some((key, parameter, parameter.latest()?)))
}

fn answer(all: Vec<Value>, input: &Input, default: usize) -> Answer {
    let size = input.max_results.unwrap_or(default);
    let (items, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "Parameters": items });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

/// The members that `ParameterMetadata` and `ParameterHistory` share.
fn metadata(key: &Key, parameter: &Parameter, version: &Version) -> Value {
    let mut view = json!({
        "Name": key.2,
        "Type": parameter.kind,
        "LastModifiedDate": version.modified.epoch_seconds(),
        "LastModifiedUser": version.user,
        "Version": version.number,
        "Tier": parameter.tier,
        "Policies": [],
        "DataType": version.data_type,
    });
    for (member, value) in [
        ("KeyId", &parameter.key_id),
        ("Description", &parameter.description),
        ("AllowedPattern", &parameter.allowed_pattern),
    ] {
        if let Some(value) = value {
            view[member] = value.as_str().into();
        }
    }
    view
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    if !input.filters.is_empty() && !input.parameter_filters.is_empty() {
        return Err(validation("Filters and ParameterFilters exclude each other"));
    }
    let filters = || input.filters.iter().chain(&input.parameter_filters);
    filters().try_for_each(Filter::check)?;
    let all = own(world, call)
        .filter(|(key, parameter, _)| filters().all(|filter| filter.fits(key, parameter)))
        .map(|(key, parameter, version)| {
            let mut view = metadata(key, parameter, version);
            view["ARN"] = arn(key).into();
            view
        })
        .collect();
    answer(all, &input, 50)
}

pub(super) fn by_path(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    if !input.path.starts_with('/') {
        return Err(validation(format!("The path {} must begin with a slash", input.path)));
    }
    input.parameter_filters.iter().try_for_each(Filter::check)?;
    let all = own(world, call)
        .filter(|(key, _, _)| is_under(&key.2, &input.path, input.recursive))
        .filter(|(key, parameter, _)| {
            input.parameter_filters.iter().all(|filter| filter.fits(key, parameter))
        })
        .map(|(key, parameter, version)| view(key, parameter, version, input.with_decryption))
        .collect();
    answer(all, &input, 10)
}

pub(super) fn history(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let key = key(call, &input.name);
    let parameter = find(world, &key)?;
    let all = parameter
        .versions
        .iter()
        .map(|version| {
            let mut view = metadata(&key, parameter, version);
            view["Value"] = shown_value(parameter, version, input.with_decryption).into();
            view["Labels"] = json!(version.labels);
            view
        })
        .collect();
    answer(all, &input, 50)
}
