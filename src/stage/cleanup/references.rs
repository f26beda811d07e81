//! What uses an image, from two sources: our own inventory and EC2's `DescribeImageReferences`. Their union counts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    ImageReferenceOptionName, ImageReferenceResourceType, ResourceTypeOption, ResourceTypeRequest,
};

use super::retain::{Reason, Seen, Uses};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// Ids in one call of `DescribeImageReferences`.
const BATCH: usize = 10;

/// The most versions of a launch template that EC2 looks at; its default is the ten newest.
const DEPTH: &str = "10000";

/// Every state of an instance that may still start or run. EC2 also names terminated ones unless told not to.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// Something that uses images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub kind: Kind,
    /// Its id, name or ARN.
    pub id: String,
}

/// Kinds of users of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Instance,
    LaunchTemplate,
    Parameter,
    LaunchConfiguration,
    AutoScalingGroup,
    Recipe,
    /// One that this program does not know.
    Other,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::LaunchTemplate => "launch template",
            Self::Parameter => "parameter",
            Self::LaunchConfiguration => "launch configuration",
            Self::AutoScalingGroup => "Auto Scaling group",
            Self::Recipe => "Image Builder recipe",
            Self::Other => "resource",
        }
    }

    /// Whether both sources look at this kind.
    fn is_in_both(self) -> bool {
        match self {
            Self::Instance | Self::LaunchTemplate | Self::Parameter => true,
            Self::LaunchConfiguration | Self::AutoScalingGroup | Self::Recipe | Self::Other => false,
        }
    }
}

/// Users by image id.
pub type Users = BTreeMap<String, BTreeSet<User>>;

/// The union of both sources, with who knows of what.
#[must_use]
pub fn unite(inventory: &Users, ec2: &Users) -> Uses {
    let mut uses = Uses::new();
    for (source, other, alone) in [(inventory, ec2, Seen::InventoryAlone), (ec2, inventory, Seen::Ec2Alone)] {
        for (image, users) in source {
            for user in users {
                let agreed =
                    !user.kind.is_in_both() || other.get(image).is_some_and(|known| known.contains(user));
                let seen = if agreed { Seen::Agreed } else { alone };
                let by = format!("{} {}", user.kind.name(), user.id);
                uses.entry(image.clone()).or_default().insert(Reason::Referenced { by, seen });
            }
        }
    }
    uses
}

/// What EC2 knows to use these images, at full depth.
///
/// # Errors
/// As the call.
pub async fn ask(aws: &Aws, images: &[String]) -> Result<Users, StageError> {
    let mut users = Users::new();
    for batch in images.chunks(BATCH) {
        let pages = aws
            .ec2
            .describe_image_references()
            .set_image_ids(Some(batch.to_vec()))
            .set_resource_types(Some(kinds()))
            .into_paginator();
        let mut pages = pages.send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ec2:DescribeImageReferences", batch.join(", "), e))?;
            for reference in page.image_references() {
                let (Some(image), Some(arn)) = (reference.image_id(), reference.arn()) else { continue };
                users.entry(image.to_owned()).or_default().insert(user(reference.resource_type(), arn));
            }
        }
    }
    Ok(users)
}

fn kinds() -> Vec<ResourceTypeRequest> {
    let request = |kind: ImageReferenceResourceType| ResourceTypeRequest::builder().resource_type(kind);
    let option = |name: ImageReferenceOptionName, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        ResourceTypeOption::builder().option_name(name).set_option_values(Some(values)).build()
    };
    vec![
        request(ImageReferenceResourceType::Ec2Instance)
            .resource_type_options(option(ImageReferenceOptionName::StateName, &STATES))
            .build(),
        request(ImageReferenceResourceType::Ec2LaunchTemplate)
            .resource_type_options(option(ImageReferenceOptionName::VersionDepth, &[DEPTH]))
            .build(),
        request(ImageReferenceResourceType::SsmParameter).build(),
        request(ImageReferenceResourceType::ImageBuilderImageRecipe).build(),
        request(ImageReferenceResourceType::ImageBuilderContainerRecipe).build(),
    ]
}

fn user(kind: Option<&ImageReferenceResourceType>, arn: &str) -> User {
    let kind = match kind {
        Some(ImageReferenceResourceType::Ec2Instance) => Kind::Instance,
        Some(ImageReferenceResourceType::Ec2LaunchTemplate) => Kind::LaunchTemplate,
        Some(ImageReferenceResourceType::SsmParameter) => Kind::Parameter,
        Some(
            ImageReferenceResourceType::ImageBuilderImageRecipe
            | ImageReferenceResourceType::ImageBuilderContainerRecipe,
        ) => Kind::Recipe,
        _ => Kind::Other,
    };
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let id = match kind {
        Kind::Instance | Kind::LaunchTemplate => resource.rsplit('/').next().unwrap_or(resource).to_owned(),
        Kind::Parameter => parameter(resource.strip_prefix("parameter").unwrap_or(resource)),
        Kind::LaunchConfiguration | Kind::AutoScalingGroup | Kind::Recipe | Kind::Other => arn.to_owned(),
    };
    User { kind, id }
}

/// A parameter's name in one spelling: an ARN leaves out the slash of a name without folders.
#[must_use]
pub fn parameter(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

/// The AMI ids in a text: whole words of `ami-` and 8 to 17 hexadecimal digits.
#[must_use]
pub fn amis(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("ami-") {
        let digits: String = text[at + 4..].chars().take_while(char::is_ascii_hexdigit).collect();
        if (8..=17).contains(&digits.len()) {
            found.insert(format!("ami-{}", digits.to_ascii_lowercase()));
        }
    }
    found
}
