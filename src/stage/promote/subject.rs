//! The subject of a promotion: what the target is to run.

use std::fmt;

use super::error::PromoteError;
use crate::digest::Sha256;
use crate::engine::StageError;
use crate::evidence::{ContainerIdentity, ImageIdentity, ResourceDescriptor};

/// What is promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A machine image, by its AMI.
    MachineImage(ImageIdentity),
    /// A container image, by the digest of its manifest.
    ContainerImage(ContainerIdentity),
    /// The code of a function, by its digest.
    FunctionCode(FunctionIdentity),
}

/// The code of a Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionIdentity {
    /// Name of the function.
    pub function: String,
    /// Digest of the deployment package, which Lambda returns as `CodeSha256`.
    pub digest: Sha256,
}

impl Subject {
    /// The machine image.
    ///
    /// # Errors
    /// [`PromoteError::NotAMachineImage`] for any other subject: the target takes machine images only.
    pub fn machine_image(&self) -> Result<&ImageIdentity, StageError> {
        match self {
            Self::MachineImage(image) => Ok(image),
            other @ (Self::ContainerImage(_) | Self::FunctionCode(_)) => {
                Err(PromoteError::NotAMachineImage { subject: other.to_string() }.into())
            }
        }
    }
}

impl Subject {
    /// The subjects of the promotion's statement.
    #[must_use]
    pub fn descriptors(&self) -> Vec<ResourceDescriptor> {
        match self {
            Self::MachineImage(image) => vec![image.subject()],
            Self::ContainerImage(image) => ContainerIdentity::subjects(std::slice::from_ref(image)),
            Self::FunctionCode(code) => vec![ResourceDescriptor::named(&code.function, &code.digest)],
        }
    }
}

impl fmt::Display for Subject {
    /// The id that AWS's API takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MachineImage(image) => f.write_str(&image.image_id),
            Self::ContainerImage(image) => f.write_str(&image.reference()),
            Self::FunctionCode(code) => write!(f, "{} with the code {}", code.function, code.digest),
        }
    }
}
