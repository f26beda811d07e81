//! What was seen of each thing, in plain values.

use std::collections::BTreeMap;

use crate::aws::{AwsError, Class};
use crate::engine::StageError;

/// A look that may not have come to anything.
pub type Look<T> = Result<T, Trouble>;

/// Why something was not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Denied(String),
    Unanswered(String),
    /// AWS refused the question itself.
    Refused(String),
}

impl From<AwsError> for Trouble {
    fn from(error: AwsError) -> Self {
        let said = error.to_string();
        match error.class {
            Class::Denied | Class::ExpiredCredentials => Self::Denied(said),
            Class::Transient | Class::Throttled => Self::Unanswered(said),
            Class::Missing | Class::Conflict | Class::Invalid | Class::Other => Self::Refused(said),
        }
    }
}

impl From<StageError> for Trouble {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Aws(error) => error.into(),
            other if other.is_transient() => Self::Unanswered(other.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    pub arn: String,
}

/// A custom action type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionType {
    pub category: String,
    pub version: String,
    /// Fewest and most input artifacts.
    pub inputs: (i32, i32),
    /// Fewest and most output artifacts.
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

/// A pipeline as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// None when CodePipeline did not say.
    pub arn: Option<String>,
    pub stores: Vec<Store>,
    /// In the order in which they run.
    pub actions: Vec<Action>,
}

/// Where a pipeline keeps its artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pub bucket: String,
    /// Its KMS key; none means the AWS-managed one.
    pub key: Option<String>,
    /// Named only when the pipeline has a store for every region.
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
    /// None means the pipeline's own.
    pub region: Option<String>,
    /// Place of the stage and run order within it: an action with a greater one runs later.
    pub turn: (usize, i32),
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

/// The network an instance is to be tested in: what each name stands for, with its VPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// None when there is no such subnet.
    pub subnet: Option<String>,
    /// By security group; one that does not exist is not in it.
    pub groups: BTreeMap<String, String>,
}
