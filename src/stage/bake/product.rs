//! What came out of a build: a machine image in its copies, or a container image in its repositories.

use std::collections::BTreeSet;

use super::container::{self, BuiltContainer};
use super::judge::{self, Build, BuiltImage, Copies, Look};
use super::{copies, registry};
use crate::engine::StageError;
use crate::spec::ImageCopy;
use crate::stage::Cx;

/// What came out of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Product {
    Machine(Copies),
    /// A container image, with the tag that only its build has.
    Container {
        places: Vec<BuiltContainer>,
        own_tag: String,
    },
}

impl Product {
    /// Holds what came out of the build `arn` against what the spec expects.
    ///
    /// # Errors
    /// Nothing came out, or not what is expected; in words.
    pub fn of(build: &Build, arn: &str, expect: &[ImageCopy], account: &str) -> Result<Self, String> {
        if build.containers.is_empty() || !build.images.is_empty() {
            return judge::copies(&build.images, expect, account).map(Self::Machine);
        }
        let places = build.containers.clone();
        let found: BTreeSet<_> = places.iter().map(|at| (at.region.as_str(), at.account.as_str())).collect();
        judge::expected(&found, expect)?;
        let own_tag = container::own_tag(arn).ok_or_else(|| format!("`{arn}` is not the ARN of a build"))?;
        container::are_told_apart(&places, &own_tag)?;
        Ok(Self::Container { places, own_tag })
    }

    /// One look at all that came out: the worst of what it shows.
    pub async fn look(&self, cx: &Cx) -> Result<Look, StageError> {
        match self {
            Self::Machine(found) => copies::look(cx, found).await,
            Self::Container { places, own_tag } => registry::look(cx, places, own_tag).await,
        }
    }

    /// The machine image and its copies.
    ///
    /// # Errors
    /// It is a container image.
    pub fn machine(self) -> Result<Copies, StageError> {
        match self {
            Self::Machine(copies) => Ok(copies),
            Self::Container { own_tag, .. } => Err(StageError::Rejected(format!(
                "the build came to the container image {own_tag}, not to a machine image"
            ))),
        }
    }

    /// What a parameter in this region is to hold.
    ///
    /// # Errors
    /// Nothing came out here.
    pub async fn candidate(&self, cx: &Cx, parameter: &str) -> Result<Candidate, StageError> {
        let here = cx.aws.region();
        match self {
            Self::Machine(copies) => {
                let image = copies.in_region(here).ok_or_else(|| absent(here, parameter))?;
                Ok(Candidate { value: image.id.clone(), data_type: "aws:ec2:image" })
            }
            Self::Container { places, own_tag } => {
                let place = places.iter().find(|place| place.region == here);
                let place = place.ok_or_else(|| absent(here, parameter))?;
                let value = registry::identity(cx, place, own_tag).await?.reference();
                Ok(Candidate { value, data_type: "text" })
            }
        }
    }

    /// Holds it that something came out in a region, where `parameter` is to name it.
    ///
    /// # Errors
    /// Nothing did.
    pub fn reaches(&self, region: &str, parameter: &str) -> Result<(), StageError> {
        let there = match self {
            Self::Machine(copies) => copies.in_region(region).is_some(),
            Self::Container { places, .. } => places.iter().any(|place| place.region == region),
        };
        if there { Ok(()) } else { Err(absent(region, parameter)) }
    }

    /// Copies in other accounts, of which no more is known than that they came out.
    #[must_use]
    pub fn foreign(&self) -> &[BuiltImage] {
        match self {
            Self::Machine(copies) => &copies.foreign,
            Self::Container { .. } => &[],
        }
    }

    /// For a person to read.
    #[must_use]
    pub fn names(&self) -> String {
        let image = |image: &BuiltImage| format!("{} in {}", image.id, image.region);
        let names: Vec<String> = match self {
            Self::Machine(copies) => copies.own.iter().map(image).collect(),
            Self::Container { places, own_tag } => places
                .iter()
                .map(|place| format!("{}:{own_tag} in {}", place.repository, place.region))
                .collect(),
        };
        names.join(", ")
    }
}

fn absent(region: &str, parameter: &str) -> StageError {
    StageError::Rejected(format!(
        "SSM parameter {parameter} is in {region}, and none of the images is: distribute the image there"
    ))
}

/// What the parameter of a spec is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub value: String,
    /// The data type Systems Manager holds the value against.
    pub data_type: &'static str,
}
