//! Subnets, security groups and Regions: fixtures, describe calls, and validation of launches.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Filter, Place, Tags, page, present, refuse, tag_list};

/// A subnet.
#[derive(Clone, Debug)]
pub struct Subnet {
    pub id: String,
    pub account: String,
    pub region: String,
    pub zone: String,
    pub vpc_id: String,
    pub tags: Tags,
}

/// A security group.
#[derive(Clone, Debug)]
pub struct SecurityGroup {
    pub id: String,
    pub account: String,
    pub region: String,
    pub vpc_id: String,
    pub name: String,
    pub tags: Tags,
}

/// Seeds a subnet. Returns its id.
pub fn seed_subnet(world: &mut World, account: &str, region: &str, zone: &str, vpc_id: &str) -> String {
    let id = world.ids.ec2("subnet");
    place_subnet(world, account, region, &id, zone, vpc_id);
    id
}

/// Seeds a subnet with a given id.
pub fn place_subnet(world: &mut World, account: &str, region: &str, id: &str, zone: &str, vpc_id: &str) {
    let subnet = Subnet {
        id: id.into(),
        account: account.into(),
        region: region.into(),
        zone: zone.into(),
        vpc_id: vpc_id.into(),
        tags: Tags::new(),
    };
    world.ec2.subnets.insert(id.into(), subnet);
}

/// Seeds a security group. Returns its id.
pub fn seed_security_group(
    world: &mut World,
    account: &str,
    region: &str,
    vpc_id: &str,
    name: &str,
) -> String {
    let id = world.ids.ec2("sg");
    place_security_group(world, account, region, &id, vpc_id, name);
    id
}

/// Seeds a security group with a given id.
pub fn place_security_group(
    world: &mut World,
    account: &str,
    region: &str,
    id: &str,
    vpc_id: &str,
    name: &str,
) {
    let group = SecurityGroup {
        id: id.into(),
        account: account.into(),
        region: region.into(),
        vpc_id: vpc_id.into(),
        name: name.into(),
        tags: Tags::new(),
    };
    world.ec2.security_groups.insert(id.into(), group);
}

/// The zone of an account's subnet; `None` if it does not exist.
pub fn subnet_zone<'a>(world: &'a World, here: &Place, id: &str) -> Option<&'a str> {
    let subnet = world.ec2.subnets.get(id).filter(|s| here.holds(&s.account, &s.region))?;
    Some(&subnet.zone)
}

/// The subnet and zone of a launch.
pub(super) struct Location {
    pub subnet_id: String,
    pub vpc_id: String,
    pub zone: String,
}

/// Selects the subnet of a launch: the requested one, otherwise one in the requested zone, otherwise the Region's
/// first, otherwise a default one.
pub(super) fn locate(
    world: &World,
    here: &Place,
    subnet: Option<&str>,
    zone: Option<&str>,
) -> Result<Location, ApiError> {
    let mine = |s: &&Subnet| here.holds(&s.account, &s.region);
    let found = match subnet {
        Some(id) => Some(world.ec2.subnets.get(id).filter(mine).ok_or_else(|| {
            refuse("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
        })?),
        None => world.ec2.subnets.values().filter(mine).find(|s| zone.is_none_or(|z| z == s.zone)),
    };
    Ok(found.map_or_else(
        || Location {
            subnet_id: "subnet-00000000000000000".into(),
            vpc_id: "vpc-00000000000000000".into(),
            zone: zone.map_or_else(|| format!("{}a", here.region), str::to_owned),
        },
        |s| Location { subnet_id: s.id.clone(), vpc_id: s.vpc_id.clone(), zone: s.zone.clone() },
    ))
}

pub(super) fn check_groups(world: &World, here: &Place, ids: &[String]) -> Result<(), ApiError> {
    for id in ids {
        let known = world.ec2.security_groups.get(id).is_some_and(|g| here.holds(&g.account, &g.region));
        if !known {
            return Err(refuse("InvalidGroup.NotFound", format!("The security group '{id}' does not exist")));
        }
    }
    Ok(())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    subnet_ids: Vec<String>,
    group_ids: Vec<String>,
    group_names: Vec<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe_subnets(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mine: Vec<&Subnet> =
        world.ec2.subnets.values().filter(|s| s.account == call.account && s.region == call.region).collect();
    if let Some(id) = input.subnet_ids.iter().find(|id| !mine.iter().any(|s| s.id == **id)) {
        return Err(refuse("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist")));
    }
    let mut views = Vec::new();
    for subnet in mine.into_iter().filter(|s| input.subnet_ids.is_empty() || input.subnet_ids.contains(&s.id))
    {
        let fits = all_fit(&input.filters, &subnet.tags, |name| match name {
            "subnet-id" => Some(&subnet.id),
            "vpc-id" => Some(&subnet.vpc_id),
            "availability-zone" | "availabilityZone" => Some(&subnet.zone),
            _ => None,
        })?;
        if fits {
            views.push(json!({
                "SubnetId": subnet.id,
                "SubnetArn": format!("arn:{}:ec2:{}:{}:subnet/{}", crate::partition::id(&subnet.region), subnet.region, subnet.account, subnet.id),
                "VpcId": subnet.vpc_id,
                "AvailabilityZone": subnet.zone,
                "State": "available",
                "CidrBlock": "10.0.0.0/18",
                "AvailableIpAddressCount": 16_000,
                "DefaultForAz": false,
                "MapPublicIpOnLaunch": false,
                "OwnerId": subnet.account,
                "Tags": tag_list(&subnet.tags),
            }));
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (views, next) = page(views, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "Subnets": views, "NextToken": next })))
}

pub(super) fn describe_security_groups(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mine: Vec<&SecurityGroup> = world
        .ec2
        .security_groups
        .values()
        .filter(|g| g.account == call.account && g.region == call.region)
        .collect();
    if let Some(id) = input.group_ids.iter().find(|id| !mine.iter().any(|g| g.id == **id)) {
        return Err(refuse("InvalidGroup.NotFound", format!("The security group '{id}' does not exist")));
    }
    let mut views = Vec::new();
    for group in mine {
        let named = (input.group_ids.is_empty() || input.group_ids.contains(&group.id))
            && (input.group_names.is_empty() || input.group_names.contains(&group.name));
        let fits = all_fit(&input.filters, &group.tags, |name| match name {
            "group-id" => Some(&group.id),
            "group-name" => Some(&group.name),
            "vpc-id" => Some(&group.vpc_id),
            _ => None,
        })?;
        if named && fits {
            views.push(json!({
                "GroupId": group.id,
                "GroupName": group.name,
                "Description": group.name,
                "VpcId": group.vpc_id,
                "OwnerId": group.account,
                "IpPermissions": [],
                "IpPermissionsEgress": [],
                "Tags": tag_list(&group.tags),
            }));
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (views, next) = page(views, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "SecurityGroups": views, "NextToken": next })))
}

/// Whether a resource matches all filters, given its values for each filter name.
fn all_fit<'a>(
    filters: &[Filter],
    tags: &Tags,
    answer: impl Fn(&str) -> Option<&'a String>,
) -> Result<bool, ApiError> {
    for filter in filters {
        let fits = match (answer(&filter.name), filter.fits_tags(tags)) {
            (Some(text), _) => filter.fits(text),
            (None, Some(fits)) => fits,
            (None, None) => {
                let message = format!("The filter '{}' is invalid", filter.name);
                return Err(refuse("InvalidParameterValue", message));
            }
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The Regions of the partition `aws` that are enabled by default. Other partitions have all of theirs here.
const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct DescribeRegions {
    region_names: Vec<String>,
}

pub(super) fn regions(call: &Call) -> Answer {
    let input: DescribeRegions = call.parse()?;
    let here = crate::partition::id(&call.region);
    let regions = if here == "aws" { REGIONS.to_vec() } else { crate::partition::regions(here) };
    if let Some(unknown) = input.region_names.iter().find(|n| !regions.contains(&n.as_str())) {
        return Err(refuse("InvalidParameterValue", format!("Invalid region provided: {unknown}")));
    }
    let views: Vec<Value> = regions
        .iter()
        .filter(|name| input.region_names.is_empty() || input.region_names.iter().any(|n| n == *name))
        .map(|name| {
            json!({
                "RegionName": name,
                "Endpoint": format!("ec2.{name}.{}", crate::partition::dns_suffix(name)),
                "OptInStatus": "opt-in-not-required",
            })
        })
        .collect();
    Ok(json!({ "Regions": views }))
}
