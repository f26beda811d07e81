//! Distribution: the AMIs of a build, one per Region and account, and the SSM parameters with their ids.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::{ec2, ssm};
use super::image::{Image, OutputAmi};
use super::{date, resource};

/// An AMI to create.
struct Target {
    region: String,
    account: String,
    name: String,
    description: String,
    tags: BTreeMap<String, String>,
}

/// Registers the AMIs of a build in its distribution phase. The copies are available before the phase ends.
pub(super) fn register(world: &mut World, at: Time, arn: &str, takes: Duration) {
    let Some(image) = world.imagebuilder.images.get(arn) else { return };
    // A retried distribution keeps the existing AMIs.
    if !image.amis.is_empty() {
        return;
    }
    let targets = targets(image, at);
    let snapshots = image
        .recipe
        .get("blockDeviceMappings")
        .and_then(Value::as_array)
        .map_or(1, |mappings| mappings.iter().filter(|m| m.get("ebs").is_some()).count().max(1));
    let disk = disk(image);
    let behavior = world.imagebuilder.options.baked.clone();
    let mut amis: Vec<OutputAmi> = Vec::new();
    for target in targets {
        let id = ec2::register_image(
            world,
            ec2::NewImage {
                name: target.name.clone(),
                account: target.account.clone(),
                region: target.region.clone(),
                description: Some(target.description.clone()).filter(|text| !text.is_empty()),
                tags: target.tags,
                source_image: amis.first().map(|first| first.image.clone()),
                behavior: behavior.clone(),
                available_after: takes * 9 / 10,
                snapshots,
                disk,
            },
        );
        if let Some(first) = amis.first() {
            ec2::copy_content(world, &first.image, &id);
        }
        amis.push(OutputAmi {
            region: target.region,
            account: target.account,
            image: id,
            name: target.name,
            description: target.description,
        });
    }
    if let Some(image) = world.imagebuilder.images.get_mut(arn) {
        image.amis = amis;
    }
}

/// The root volume of the recipe.
fn disk(image: &Image) -> ec2::Disk {
    let root = image.recipe.get("blockDeviceMappings").and_then(|mappings| mappings.pointer("/0/ebs"));
    let size = root.and_then(|ebs| ebs.get("volumeSize")?.as_u64()).and_then(|size| u32::try_from(size).ok());
    ec2::Disk {
        size: size.unwrap_or(ec2::Disk::default().size),
        encrypted: root.and_then(|ebs| ebs.get("encrypted")?.as_bool()).unwrap_or_default(),
    }
}

pub(super) fn distributions(image: &Image) -> impl Iterator<Item = &Value> {
    image
        .distribution
        .as_ref()
        .and_then(|distribution| distribution.get("distributions"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// One target per Region and account, the build's own first; without a distribution, only that one.
fn targets(image: &Image, at: Time) -> Vec<Target> {
    let mut tags = resource::pairs(image.recipe.get("amiTags"));
    tags.insert("CreatedBy".to_owned(), "EC2 Image Builder".to_owned());
    tags.insert("Ec2ImageBuilderArn".to_owned(), image.arn.clone());
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut targets = Vec::new();
    for distribution in distributions(image) {
        let Some(region) = text(distribution.get("region")) else { continue };
        let settings = distribution.get("amiDistributionConfiguration");
        let name = text(settings.and_then(|s| s.get("name")))
            .unwrap_or_else(|| format!("{} {{{{ imagebuilder:buildDate }}}}", image.name));
        // The build's account has a copy in every Region, the source of the other accounts' copies.
        let mut accounts = vec![image.account.clone()];
        let others = settings.and_then(|s| s.get("targetAccountIds")?.as_array()).into_iter().flatten();
        for account in others.filter_map(|account| text(Some(account))) {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        let mut all_tags = tags.clone();
        all_tags.extend(resource::pairs(settings.and_then(|s| s.get("amiTags"))));
        for account in accounts {
            targets.push(Target {
                region: region.clone(),
                account,
                name: dated(&name, at),
                description: text(settings.and_then(|s| s.get("description"))).unwrap_or_default(),
                tags: all_tags.clone(),
            });
        }
    }
    if targets.is_empty() {
        targets.push(Target {
            region: image.region.clone(),
            account: image.account.clone(),
            name: dated(&format!("{} {{{{ imagebuilder:buildDate }}}}", image.name), at),
            description: String::new(),
            tags,
        });
    }
    targets.sort_by_key(|target| target.region != image.region || target.account != image.account);
    targets
}

/// The AMI name with the build date. AMI names cannot have colons.
fn dated(name: &str, at: Time) -> String {
    let date = date(at).replace(':', "-");
    name.replace("{{ imagebuilder:buildDate }}", &date).replace("{{imagebuilder:buildDate}}", &date)
}

/// Writes the distribution's SSM parameters, each in its Region and account.
pub(super) fn put_parameters(world: &mut World, at: Time, arn: &str) {
    let Some(image) = world.imagebuilder.images.get(arn) else { return };
    let mut writes = Vec::new();
    for distribution in distributions(image) {
        let Some(region) = distribution.get("region").and_then(Value::as_str) else { continue };
        let configurations = distribution.get("ssmParameterConfigurations").and_then(Value::as_array);
        for configuration in configurations.into_iter().flatten() {
            let member = |name: &str| configuration.get(name).and_then(Value::as_str);
            let Some(name) = member("parameterName") else { continue };
            let account = member("amiAccountId").unwrap_or(&image.account);
            let ami = image.amis.iter().find(|ami| ami.region == region && ami.account == account);
            let Some(ami) = ami else { continue };
            let data_type = member("dataType").unwrap_or("text");
            writes.push((
                account.to_owned(),
                region.to_owned(),
                name.to_owned(),
                data_type.to_owned(),
                ami.image.clone(),
            ));
        }
    }
    for (account, region, name, data_type, value) in writes {
        ssm::write_parameter(world, at, &account, &region, &name, &data_type, &value);
    }
}
