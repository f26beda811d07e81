//! Versions of the group's launch template: the one that is replaced, and ours.

use std::fmt;
use std::str::FromStr;

use aws_sdk_ec2::types::{LaunchTemplateVersion, RequestLaunchTemplateData};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::ClientToken;

/// What the description of a version of ours says: whose it is, and what it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The client token it was made under.
    pub token: String,
    /// The version the group launched before.
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

/// Whether a version's description says that a promotion of ours made it.
#[must_use]
pub fn is_ours(description: &str) -> bool {
    description.parse::<Mark>().is_ok()
}

/// The `ImageId` of one version as it is written: a literal AMI, or `resolve:ssm:…`. None when there is no such
/// version or it names no image.
///
/// # Errors
/// As the call.
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

fn image(version: &LaunchTemplateVersion) -> Option<String> {
    version.launch_template_data().and_then(|data| data.image_id()).map(str::to_owned)
}

/// The version of a template that this attempt has made, if it has.
///
/// # Errors
/// As the call; refused when its image is not `new`.
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
            other => Err(StageError::Rejected(format!(
                "version {number} of {template} says it was made by this action and launches {}, not {new}",
                other.as_deref().unwrap_or("no image")
            ))),
        };
    }
    Ok(None)
}

/// A version that a promotion has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub version: i64,
    pub mark: Mark,
    pub image: Option<String>,
}

/// The versions of a template from `since` on that any promotion has made.
///
/// # Errors
/// As the call.
pub async fn made(aws: &Aws, template: &str, since: i64) -> Result<Vec<Made>, StageError> {
    // "After which" leaves open whether `MinVersion` itself is among them: it is asked for from the one before.
    let after = since.saturating_sub(1).max(1);
    let versions = versions(aws, template, Some(after)).await?;
    let made = versions.iter().filter_map(|version| {
        let mark = version.version_description()?.parse().ok()?;
        Some(Made { version: version.version_number()?, mark, image: image(version) })
    });
    Ok(made.collect())
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

/// Makes our version: the replaced one with another image, under `mark`.
///
/// # Errors
/// As the call; refused when AWS answers with a version of another image.
pub async fn create(aws: &Aws, template: &str, mark: &Mark, new: &str) -> Result<i64, StageError> {
    let answer = aws
        .ec2
        .create_launch_template_version()
        .launch_template_id(template)
        .source_version(mark.from.to_string())
        .client_token(&mark.token)
        .version_description(mark.to_string())
        .launch_template_data(RequestLaunchTemplateData::builder().image_id(new).build())
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:CreateLaunchTemplateVersion", template, e))?;
    let made = answer.launch_template_version();
    let launches = made.and_then(image);
    match (made.and_then(LaunchTemplateVersion::version_number), launches) {
        (Some(number), Some(image)) if image == new => Ok(number),
        (number, image) => Err(StageError::Rejected(format!(
            "the version {number:?} that was made of {template} launches {image:?}, not {new}"
        ))),
    }
}
