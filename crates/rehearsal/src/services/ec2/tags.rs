//! `CreateTags`, `DeleteTags`, `DescribeTags`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Filter, Tag, Tags, page, present, put_tags, refuse};

/// The maximum number of tags of a resource.
const MOST_TAGS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    resources: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// The resource type of an id, with EC2's error code for an id that does not exist.
fn kind(id: &str) -> (&'static str, &'static str) {
    match id.split('-').next().unwrap_or_default() {
        "i" => ("instance", "InvalidInstanceID.NotFound"),
        "ami" => ("image", "InvalidAMIID.NotFound"),
        "snap" => ("snapshot", "InvalidSnapshot.NotFound"),
        "lt" => ("launch-template", "InvalidLaunchTemplateId.NotFound"),
        "subnet" => ("subnet", "InvalidSubnetID.NotFound"),
        "sg" => ("security-group", "InvalidGroup.NotFound"),
        _ => ("", "InvalidID"),
    }
}

fn tags_of<'a>(world: &'a mut World, call: &Call, id: &str) -> Option<&'a mut Tags> {
    let mine = |account: &str, region: &str| account == call.account && region == call.region;
    let ec2 = &mut world.ec2;
    match kind(id).0 {
        "instance" => ec2.instances.get_mut(id).filter(|r| mine(&r.account, &r.region)).map(|r| &mut r.tags),
        "image" => ec2
            .images
            .get_mut(id)
            .filter(|r| mine(&r.account, &r.region) && r.is_registered())
            .map(|r| &mut r.tags),
        "snapshot" => ec2.snapshots.get_mut(id).filter(|r| mine(&r.account, &r.region)).map(|r| &mut r.tags),
        "launch-template" => {
            ec2.launch_templates.get_mut(id).filter(|r| mine(&r.account, &r.region)).map(|r| &mut r.tags)
        }
        "subnet" => ec2.subnets.get_mut(id).filter(|r| mine(&r.account, &r.region)).map(|r| &mut r.tags),
        "security-group" => {
            ec2.security_groups.get_mut(id).filter(|r| mine(&r.account, &r.region)).map(|r| &mut r.tags)
        }
        _ => None,
    }
}

/// Checks that every resource exists.
fn all_exist(world: &mut World, call: &Call, ids: &[String]) -> Result<(), ApiError> {
    for id in ids {
        if tags_of(world, call, id).is_none() {
            return Err(refuse(kind(id).1, format!("The ID '{id}' does not exist")));
        }
    }
    Ok(())
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    all_exist(world, call, &input.resources)?;
    if input.tags.iter().any(|t| t.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(refuse(
            "InvalidParameterValue",
            "Tag keys starting with 'aws:' are reserved for internal use",
        ));
    }
    for id in &input.resources {
        let Some(tags) = tags_of(world, call, id) else { continue };
        let mut new = tags.clone();
        put_tags(&mut new, &input.tags);
        if new.keys().filter(|k| !k.starts_with("aws:")).count() > MOST_TAGS {
            return Err(refuse("TagLimitExceeded", format!("{id} would have more than {MOST_TAGS} tags.")));
        }
        *tags = new;
    }
    Ok(json!({}))
}

/// `DeleteTags`: a value restricts the deletion to tags with this value; without keys, all user-defined tags are
/// deleted.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    all_exist(world, call, &input.resources)?;
    for id in &input.resources {
        let Some(tags) = tags_of(world, call, id) else { continue };
        if input.tags.is_empty() {
            tags.retain(|key, _| key.starts_with("aws:"));
        }
        for tag in &input.tags {
            if tags.get(&tag.key).is_some_and(|value| tag.value.as_ref().is_none_or(|wanted| wanted == value))
            {
                tags.remove(&tag.key);
            }
        }
    }
    Ok(json!({}))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mine = |account: &str, region: &str| account == call.account && region == call.region;
    let ec2 = &world.ec2;
    let mut tagged: Vec<(&str, &Tags)> = Vec::new();
    tagged.extend(
        ec2.images
            .values()
            .filter(|r| mine(&r.account, &r.region) && r.is_registered())
            .map(|r| (r.id.as_str(), &r.tags)),
    );
    tagged.extend(
        ec2.instances.values().filter(|r| mine(&r.account, &r.region)).map(|r| (r.id.as_str(), &r.tags)),
    );
    tagged.extend(
        ec2.launch_templates
            .values()
            .filter(|r| mine(&r.account, &r.region))
            .map(|r| (r.id.as_str(), &r.tags)),
    );
    tagged.extend(
        ec2.snapshots.values().filter(|r| mine(&r.account, &r.region)).map(|r| (r.id.as_str(), &r.tags)),
    );
    tagged.extend(
        ec2.subnets.values().filter(|r| mine(&r.account, &r.region)).map(|r| (r.id.as_str(), &r.tags)),
    );
    tagged.extend(
        ec2.security_groups
            .values()
            .filter(|r| mine(&r.account, &r.region))
            .map(|r| (r.id.as_str(), &r.tags)),
    );
    let mut views: Vec<Value> = Vec::new();
    for (id, tags) in tagged {
        for (key, value) in tags {
            let mut fits = true;
            for filter in &input.filters {
                fits &= match filter.name.as_str() {
                    "key" => filter.fits(key),
                    "value" => filter.fits(value),
                    "resource-id" => filter.fits(id),
                    "resource-type" => filter.fits(kind(id).0),
                    name => match name.strip_prefix("tag:") {
                        Some(wanted) => wanted == key && filter.fits(value),
                        None => {
                            return Err(refuse(
                                "InvalidParameterValue",
                                format!("The filter '{name}' is invalid"),
                            ));
                        }
                    },
                };
            }
            if fits {
                views.push(
                    json!({ "ResourceId": id, "ResourceType": kind(id).0, "Key": key, "Value": value }),
                );
            }
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (views, next) = page(views, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "Tags": views, "NextToken": next })))
}
