//! Versions of a launch template, and which of them bakeline created.

use std::fmt;
use std::str::FromStr;

use aws_sdk_ec2::types::LaunchTemplateVersion;

use super::error::ViewError;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::ClientToken;

/// The version description that bakeline writes: which attempt created the version, and what it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The client token under which the version was created.
    pub token: String,
    /// The version that the group launched before.
    pub from: i64,
    /// The image of that version.
    pub old: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bakeline {} after version {} ({})", self.token, self.from, self.old)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (token, rest) =
            text.strip_prefix("bakeline ").and_then(|t| t.split_once(" after version ")).ok_or(())?;
        let (from, old) = rest.split_once(" (").ok_or(())?;
        let old = old.strip_suffix(')').ok_or(())?;
        Ok(Self { token: token.to_owned(), from: from.parse().map_err(|_| ())?, old: old.to_owned() })
    }
}

/// The number of a template version; none for `$Latest` and `$Default`.
#[must_use]
pub fn number(version: &str) -> Option<i64> {
    version.parse().ok().filter(|number| *number > 0)
}

/// Whether a version's description says that a promotion created it.
#[must_use]
pub fn is_ours(description: &str) -> bool {
    description.parse::<Mark>().is_ok()
}

/// The `ImageId` of one version as it is written: an AMI id, or `resolve:ssm:…`. None when the version does not
/// exist or names no image.
///
/// # Errors
/// `DescribeLaunchTemplateVersions` failed.
pub async fn image_of(aws: &Aws, template: &str, version: &str) -> Result<Option<String>, StageError> {
    let answer = aws
        .ec2
        .describe_launch_template_versions()
        .launch_template_id(template)
        .versions(version)
        .send()
        .await
        .map_err(|e| {
            AwsError::new("ec2:DescribeLaunchTemplateVersions", format!("version {version} of {template}"), e)
        });
    match answer {
        Ok(answer) => Ok(answer.launch_template_versions().first().and_then(image)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The `ImageId` of a version.
#[must_use]
pub fn image(version: &LaunchTemplateVersion) -> Option<String> {
    version.launch_template_data().and_then(|data| data.image_id()).map(str::to_owned)
}

/// The version of a template that this attempt created, if it did.
///
/// # Errors
/// The call failed; [`ViewError::OtherImage`] when the version launches another image than `new`.
pub async fn ours(
    aws: &Aws,
    template: &str,
    token: &ClientToken,
    new: &str,
) -> Result<Option<(i64, Mark)>, StageError> {
    for version in &versions(aws, template, None).await? {
        let mark = version.version_description().and_then(|text| text.parse::<Mark>().ok());
        let (Some(number), Some(mark)) =
            (version.version_number(), mark.filter(|m| m.token == token.as_str()))
        else {
            continue;
        };
        return match image(version) {
            Some(image) if image == new => Ok(Some((number, mark))),
            found => {
                let (template, expected) = (template.to_owned(), new.to_owned());
                Err(ViewError::OtherImage { template, version: number, found, expected }.into())
            }
        };
    }
    Ok(None)
}

/// A version that a promotion created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedVersion {
    pub version: i64,
    pub mark: Mark,
    pub image: Option<String>,
}

/// The versions of a template from `since` on that any promotion created.
///
/// # Errors
/// `DescribeLaunchTemplateVersions` failed.
pub async fn created(aws: &Aws, template: &str, since: i64) -> Result<Vec<CreatedVersion>, StageError> {
    // AWS documents `MinVersion` as "the version number after which to describe": read from the version before, too.
    let after = since.saturating_sub(1).max(1);
    let versions = versions(aws, template, Some(after)).await?;
    let created = versions.iter().filter_map(|version| {
        let mark = version.version_description()?.parse().ok()?;
        Some(CreatedVersion { version: version.version_number()?, mark, image: image(version) })
    });
    Ok(created.collect())
}

async fn versions(
    aws: &Aws,
    template: &str,
    after: Option<i64>,
) -> Result<Vec<LaunchTemplateVersion>, StageError> {
    let call = aws.ec2.describe_launch_template_versions().launch_template_id(template);
    let pages = call.set_min_version(after.map(|number| number.to_string())).into_paginator();
    let all = pages.items().send().try_collect().await;
    all.map_err(|e| AwsError::new("ec2:DescribeLaunchTemplateVersions", template, e).into())
}
