//! The output of a build: copies of a machine image, or a container image in its repositories.

use std::collections::BTreeSet;

use super::availability::{self, Availability, BuiltImage, Copies};
use super::container::{self, BuiltContainer};
use super::error::ImageError;
use super::{copies, registry};
use crate::engine::StageError;
use crate::spec::ImageCopy;
use crate::stage::Cx;

/// The images that a build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildOutput {
    /// Copies of a machine image.
    MachineImages(Copies),
    /// A container image in its repositories, with the tag that only its build has.
    ContainerImages { images: Vec<BuiltContainer>, build_tag: String },
}

impl BuildOutput {
    /// Checks the images that the build `arn` lists against those that the spec expects.
    ///
    /// # Errors
    /// There is no image, or the images are not those that the spec expects; says which.
    pub fn of(
        machines: &[BuiltImage],
        containers: &[BuiltContainer],
        arn: &str,
        expect: &[ImageCopy],
        account: &str,
    ) -> Result<Self, ImageError> {
        if containers.is_empty() || !machines.is_empty() {
            return availability::copies(machines, expect, account).map(Self::MachineImages);
        }
        let images = containers.to_vec();
        let places: BTreeSet<_> = images.iter().map(|at| (at.region.as_str(), at.account.as_str())).collect();
        availability::check_places(&places, expect)?;
        let build_tag =
            container::build_tag(arn).ok_or_else(|| ImageError::NotABuild { arn: arn.to_owned() })?;
        container::check_build_tag(&images, &build_tag)?;
        Ok(Self::ContainerImages { images, build_tag })
    }

    /// The availability of all images: the worst of them.
    pub async fn availability(&self, cx: &Cx) -> Result<Availability, StageError> {
        match self {
            Self::MachineImages(copies) => copies::availability(cx, copies).await,
            Self::ContainerImages { images, build_tag } => {
                registry::availability(cx, images, build_tag).await
            }
        }
    }

    /// The copies of the machine image.
    ///
    /// # Errors
    /// The build made a container image.
    pub fn into_machine_images(self) -> Result<Copies, ImageError> {
        match self {
            Self::MachineImages(copies) => Ok(copies),
            Self::ContainerImages { build_tag, .. } => Err(ImageError::NotAMachineImage { build_tag }),
        }
    }

    /// The value of the parameter: the image in this region.
    ///
    /// # Errors
    /// There is no image in this region.
    pub async fn candidate(&self, cx: &Cx, parameter: &str) -> Result<Candidate, StageError> {
        let region = cx.aws.region();
        match self {
            Self::MachineImages(copies) => {
                let image = copies.in_region(region).ok_or_else(|| absent(region, parameter))?;
                Ok(Candidate { value: image.id.clone(), data_type: "aws:ec2:image" })
            }
            Self::ContainerImages { images, build_tag } => {
                let image = images.iter().find(|image| image.region == region);
                let image = image.ok_or_else(|| absent(region, parameter))?;
                let value = registry::identity(cx, image, build_tag).await?.reference();
                Ok(Candidate { value, data_type: "text" })
            }
        }
    }

    /// Checks that there is an image in the region of the parameter.
    ///
    /// # Errors
    /// There is none.
    pub fn reaches(&self, region: &str, parameter: &str) -> Result<(), ImageError> {
        let has_image = match self {
            Self::MachineImages(copies) => copies.in_region(region).is_some(),
            Self::ContainerImages { images, .. } => images.iter().any(|image| image.region == region),
        };
        if has_image { Ok(()) } else { Err(absent(region, parameter)) }
    }

    /// Copies in other accounts, of which only Image Builder's report is known.
    #[must_use]
    pub fn in_other_accounts(&self) -> &[BuiltImage] {
        match self {
            Self::MachineImages(copies) => &copies.in_other_accounts,
            Self::ContainerImages { .. } => &[],
        }
    }

    /// The images as text.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<String> = match self {
            Self::MachineImages(copies) => {
                copies.own.iter().map(|image| format!("{} in {}", image.id, image.region)).collect()
            }
            Self::ContainerImages { images, build_tag } => images
                .iter()
                .map(|image| format!("{}:{build_tag} in {}", image.repository, image.region))
                .collect(),
        };
        names.join(", ")
    }
}

fn absent(region: &str, parameter: &str) -> ImageError {
    ImageError::NotInRegion { region: region.to_owned(), parameter: parameter.to_owned() }
}

/// The value that the parameter gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub value: String,
    /// The data type that Systems Manager validates the value as.
    pub data_type: &'static str,
}
