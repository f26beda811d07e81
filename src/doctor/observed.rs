//! What AWS answered about each resource, as plain values.

use std::collections::BTreeMap;

use crate::aws::{AwsError, Class};
use crate::engine::StageError;

/// A value read from AWS, or the reason why it could not be read.
pub type Observed<T> = Result<T, ReadError>;

/// Why a resource could not be read, with the words of AWS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller lacks a permission.
    #[error("{0}")]
    Denied(String),
    /// AWS did not answer, or throttled the call.
    #[error("{0}")]
    NoAnswer(String),
    /// AWS refused the request.
    #[error("{0}")]
    Refused(String),
}

impl From<AwsError> for ReadError {
    fn from(error: AwsError) -> Self {
        let said = error.to_string();
        match error.class {
            Class::Denied | Class::ExpiredCredentials => Self::Denied(said),
            Class::Transient | Class::Throttled => Self::NoAnswer(said),
            Class::Missing | Class::Conflict | Class::Invalid | Class::Other => Self::Refused(said),
        }
    }
}

impl From<StageError> for ReadError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Aws(error) => error.into(),
            other if other.is_transient() => Self::NoAnswer(other.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// The principal that the credentials belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    pub arn: String,
}

/// A custom action type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionType {
    pub category: String,
    pub provider: String,
    pub version: String,
    /// Minimum and maximum of input artifacts.
    pub inputs: (i32, i32),
    /// Minimum and maximum of output artifacts.
    pub outputs: (i32, i32),
    pub properties: Vec<Property>,
}

/// A configuration property of an action type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Property {
    pub name: String,
    pub required: bool,
    pub queryable: bool,
}

/// The structure of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// None if CodePipeline did not return it.
    pub arn: Option<String>,
    pub stores: Vec<Store>,
    /// In the order in which they run.
    pub actions: Vec<Action>,
}

/// An artifact store of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pub bucket: String,
    /// Its KMS key; none for the key that AWS manages.
    pub key: Option<String>,
    /// Set only if the pipeline has one store for each region.
    pub region: Option<String>,
}

/// An action of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `STAGE/ACTION`.
    pub name: String,
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub version: String,
    pub configuration: BTreeMap<String, String>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// None for the pipeline's own region.
    pub region: Option<String>,
    /// Position of the stage and run order within it: an action with a greater one runs later.
    pub order: (usize, i32),
}

/// A KMS key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub arn: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub state: String,
    /// `SIGN_VERIFY`, `ENCRYPT_DECRYPT`, …
    pub usage: String,
}

/// An SSM parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    pub data_type: String,
    pub value: String,
}

/// The VPCs of a subnet and of security groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// VPC of the subnet; none if the subnet does not exist.
    pub subnet: Option<String>,
    /// VPC by security group; groups that do not exist are left out.
    pub groups: BTreeMap<String, String>,
}
