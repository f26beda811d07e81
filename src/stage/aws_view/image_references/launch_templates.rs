//! References from launch templates, in every version.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{LaunchTemplate, LaunchTemplateVersion, ResponseLaunchTemplateData};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use super::graph::{ListName, Listings, Template};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::aws_view::launch_templates::is_ours;

/// The largest page of both lists.
const PAGE: i32 = 200;

/// Reads every launch template, and those that a resource references and the list omitted.
pub async fn templates(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ec2.describe_launch_templates().max_results(PAGE).into_paginator().send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplates", "every launch template", e))?;
        listed.extend(page.launch_templates().iter().filter_map(Listed::of));
    }
    listings.set_length(ListName::LaunchTemplates, listed.len());
    let (single, several): (Vec<Listed>, Vec<Listed>) =
        listed.into_iter().partition(|listed| listed.template.latest == 1);
    let mut read = versions_of(aws, several).await?;
    listings.templates.append(&mut read);
    let mut read = only_versions(aws, single).await?;
    listings.templates.append(&mut read);
    for template in listings.unlisted_templates() {
        match one(aws, &template).await? {
            Some(found) => listings.templates.append(&mut versions_of(aws, vec![found]).await?),
            None => {
                listings.missing_templates.insert(template);
            }
        }
    }
    let versions = listings.templates.values().map(|template| template.versions.len()).sum();
    listings.set_length(ListName::TemplateVersions, versions);
    Ok(())
}

struct Listed {
    id: String,
    template: Template,
}

impl Listed {
    fn of(template: &LaunchTemplate) -> Option<Self> {
        Some(Self {
            id: template.launch_template_id()?.to_owned(),
            template: Template {
                name: template.launch_template_name().unwrap_or_default().to_owned(),
                default: template.default_version_number().unwrap_or(0),
                latest: template.latest_version_number().unwrap_or(0),
                versions: BTreeMap::new(),
                ours: BTreeSet::new(),
                snapshots: BTreeSet::new(),
            },
        })
    }
}

impl Template {
    fn add(&mut self, version: &LaunchTemplateVersion) {
        if version.version_description().is_some_and(is_ours) {
            self.ours.extend(version.version_number());
        }
        let data = version.launch_template_data();
        let disks = data.map(ResponseLaunchTemplateData::block_device_mappings).unwrap_or_default();
        let snapshots = disks.iter().filter_map(|mapping| mapping.ebs()?.snapshot_id());
        self.snapshots.extend(snapshots.map(str::to_owned));
        let image = data.and_then(|data| data.image_id());
        self.versions.insert(version.version_number().unwrap_or(0), image.map(str::to_owned));
    }
}

/// Reads a launch template by id or by name; `None` if it does not exist.
async fn one(aws: &Aws, named: &str) -> Result<Option<Listed>, StageError> {
    let ask = aws.ec2.describe_launch_templates();
    let ask = if named.starts_with("lt-") {
        ask.launch_template_ids(named)
    } else {
        ask.launch_template_names(named)
    };
    match ask.send().await.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplates", named, e)) {
        Ok(answer) => Ok(answer.launch_templates().iter().find_map(Listed::of)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads launch templates with a single version. That version is the latest, and EC2 lists the latest versions of all
/// templates in one call.
async fn only_versions(aws: &Aws, listed: Vec<Listed>) -> Result<BTreeMap<String, Template>, StageError> {
    let mut templates: BTreeMap<String, Template> =
        listed.into_iter().map(|listed| (listed.id, listed.template)).collect();
    if templates.is_empty() {
        return Ok(templates);
    }
    let ask = aws.ec2.describe_launch_template_versions().versions("$Latest").max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplateVersions", "every latest version", e))?;
        for version in page.launch_template_versions() {
            if let Some(template) = version.launch_template_id().and_then(|id| templates.get_mut(id)) {
                template.add(version);
            }
        }
    }
    // A template that was deleted or got another version since it was listed is read on its own.
    let is_whole = |template: &Template| template.versions.contains_key(&1) && template.versions.len() == 1;
    let (whole, other): (BTreeMap<_, _>, BTreeMap<_, _>) =
        templates.into_iter().partition(|(_, template)| is_whole(template));
    let other = other.into_iter().map(|(id, template)| {
        let latest = template.versions.last_key_value().map_or(template.latest, |(version, _)| *version);
        Listed { id, template: Template { latest, ..template } }
    });
    let mut templates = whole;
    templates.append(&mut versions_of(aws, other.collect()).await?);
    Ok(templates)
}

async fn versions_of(aws: &Aws, listed: Vec<Listed>) -> Result<BTreeMap<String, Template>, StageError> {
    let read = |listed: Listed| async move {
        let Listed { id, mut template } = listed;
        let ask = aws.ec2.describe_launch_template_versions().launch_template_id(&id).max_results(PAGE);
        let mut pages = ask.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplateVersions", &id, e)) {
                // Deleted since it was listed: nothing can be launched from it.
                Err(error) if error.class == Class::Missing => return Ok(None),
                page => page?,
            };
            for version in page.launch_template_versions() {
                template.add(version);
            }
        }
        Ok(Some((id, template)))
    };
    let all: Vec<Option<(String, Template)>> =
        stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await.map_err(|e: StageError| e)?;
    Ok(all.into_iter().flatten().collect())
}
