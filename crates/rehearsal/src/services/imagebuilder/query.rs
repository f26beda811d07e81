//! Image Builder's list operations.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::arn::Arn;
use super::image::Image;
use super::resource::{Kind, Resource};
use super::{date, invalid, not_found};

/// The maximum page size of every list.
const PAGE: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    owner: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
    image_version_arn: Option<String>,
    image_pipeline_arn: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    name: String,
    values: Vec<String>,
}

fn paged(input: &Input, member: &str, all: Vec<Value>) -> Answer {
    let token = input.next_token.as_deref();
    let Some((items, next)) = page(all, token, input.max_results.unwrap_or(PAGE)) else {
        let message = "The pagination token is not valid";
        return Err(ApiError::new("InvalidPaginationTokenException", message));
    };
    let mut answer = json!({});
    answer[member] = items.into();
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

/// Applies filters, which name string members of the listed items.
fn filtered(all: Vec<Value>, filters: &[Filter]) -> Result<Vec<Value>, ApiError> {
    const KNOWN: [&str; 10] = [
        "name",
        "version",
        "platform",
        "type",
        "parentImage",
        "status",
        "osVersion",
        "description",
        "imageRecipeArn",
        "infrastructureConfigurationArn",
    ];
    if let Some(unknown) = filters.iter().find(|filter| !KNOWN.contains(&filter.name.as_str())) {
        return Err(invalid(format!("{} is not a filter", unknown.name)));
    }
    Ok(all
        .into_iter()
        .filter(|item| {
            filters.iter().all(|filter| {
                item.get(&filter.name)
                    .and_then(Value::as_str)
                    .is_some_and(|value| filter.values.iter().any(|wanted| wanted == value))
            })
        })
        .collect())
}

pub(super) fn resources(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let Some(kind) = Kind::of(&call.operation) else {
        return Err(ApiError::new("UnknownOperationException", call.operation.clone()));
    };
    // Resources of other owners are not simulated.
    let own = input.owner.as_ref().is_none_or(|owner| owner == "Self");
    let all = world
        .imagebuilder
        .resources
        .values()
        .filter(|r| own && r.kind == kind && r.account == call.account && r.region == call.region)
        .map(shown)
        .collect();
    let member = match kind {
        Kind::Component => "componentVersionList",
        Kind::ImageRecipe => "imageRecipeSummaryList",
        Kind::ContainerRecipe => "containerRecipeSummaryList",
        Kind::InfrastructureConfiguration => "infrastructureConfigurationSummaryList",
        Kind::DistributionConfiguration => "distributionConfigurationSummaryList",
        Kind::ImagePipeline => "imagePipelineList",
    };
    let all = filtered(all, &input.filters)?;
    paged(&input, member, all)
}

/// A resource as listed.
fn shown(resource: &Resource) -> Value {
    let members: &[&str] = match resource.kind {
        Kind::Component => &[
            "arn",
            "name",
            "version",
            "description",
            "platform",
            "supportedOsVersions",
            "type",
            "owner",
            "dateCreated",
        ],
        Kind::ImageRecipe => &["arn", "name", "platform", "owner", "parentImage", "dateCreated", "tags"],
        Kind::ContainerRecipe => {
            &["arn", "containerType", "name", "platform", "owner", "parentImage", "dateCreated", "tags"]
        }
        Kind::InfrastructureConfiguration => &[
            "arn",
            "name",
            "description",
            "dateCreated",
            "resourceTags",
            "tags",
            "instanceTypes",
            "instanceProfileName",
            "placement",
        ],
        Kind::DistributionConfiguration => &["arn", "name", "description", "dateCreated", "tags"],
        Kind::ImagePipeline => return Value::Object(resource.body.clone()),
    };
    let mut view: Map<String, Value> = members
        .iter()
        .filter_map(|member| Some(((*member).to_owned(), resource.body.get(*member)?.clone())))
        .collect();
    match resource.kind {
        Kind::Component => {
            // The list has versions, not builds.
            if let Some((version, _)) = resource.text("arn").and_then(|arn| arn.rsplit_once('/')) {
                view.insert("arn".into(), version.into());
            }
            view.insert("status".into(), "ACTIVE".into());
        }
        Kind::DistributionConfiguration => {
            let regions = resource.body.get("distributions").and_then(Value::as_array);
            let regions = regions.into_iter().flatten().filter_map(|d| d.get("region").cloned()).collect();
            view.insert("regions".into(), Value::Array(regions));
        }
        Kind::ContainerRecipe => {
            if let Some(image) = resource.body.get("instanceConfiguration").and_then(|c| c.get("image")) {
                view.insert("instanceImage".into(), image.clone());
            }
        }
        _ => {}
    }
    Value::Object(view)
}

fn own_images<'w>(world: &'w World, call: &'w Call) -> impl Iterator<Item = &'w Image> {
    world
        .imagebuilder
        .images
        .values()
        .filter(|image| image.account == call.account && image.region == call.region)
}

/// `ListImages`: image versions, each once regardless of its number of builds.
pub(super) fn images(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let own = input.owner.as_ref().is_none_or(|owner| owner == "Self");
    let mut all: Vec<Value> = own_images(world, call)
        .filter(|_| own)
        .filter_map(|image| {
            let (version_arn, _) = image.arn.rsplit_once('/')?;
            Some(json!({
                "arn": version_arn,
                "name": image.name,
                "type": image.kind(),
                "version": image.version,
                "platform": "Linux",
                "owner": image.account,
                "dateCreated": date(image.created),
                "buildType": "USER_INITIATED",
                "imageSource": "CUSTOM",
            }))
        })
        .collect();
    all.dedup_by(|a, b| a["arn"] == b["arn"]);
    let all = filtered(all, &input.filters)?;
    paged(&input, "imageVersionList", all)
}

fn newest_first<'w>(images: impl Iterator<Item = &'w Image>) -> Vec<Value> {
    let mut images: Vec<&Image> = images.collect();
    images.sort_by_key(|image| {
        std::cmp::Reverse((image.created, Arn::parse(&image.arn).map(|arn| arn.order())))
    });
    images.into_iter().map(Image::summary).collect()
}

pub(super) fn build_versions(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let wanted = match input.image_version_arn.as_deref() {
        None => None,
        Some(text) => Some(Arn::parse(text).ok_or_else(|| invalid(format!("{text} is not a valid ARN")))?),
    };
    let all = newest_first(own_images(world, call).filter(|image| {
        wanted.as_ref().is_none_or(|wanted| Arn::parse(&image.arn).is_some_and(|arn| wanted.covers(&arn)))
    }));
    let all = filtered(all, &input.filters)?;
    paged(&input, "imageSummaryList", all)
}

pub(super) fn pipeline_images(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let arn = input.image_pipeline_arn.clone().unwrap_or_default();
    if !world.imagebuilder.resources.contains_key(&arn) {
        return Err(not_found(&arn));
    }
    let all = newest_first(own_images(world, call).filter(|image| image.pipeline.as_ref() == Some(&arn)));
    let all = filtered(all, &input.filters)?;
    paged(&input, "imageSummaryList", all)
}
