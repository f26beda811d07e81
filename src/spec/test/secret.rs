//! References to secrets: `ssm:NAME` or `secretsmanager:ARN`.

use crate::partitions::{partition_pattern, region_pattern};
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where a secret is stored. The role of the instance or the task must be allowed to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Secret {
    /// The ARN of a secret in Secrets Manager.
    SecretsManager(String),
    /// The name of a `SecureString` parameter of Systems Manager.
    Parameter(String),
}

/// A text is no reference to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reference to a secret: expected ssm:NAME or secretsmanager:ARN")]
pub struct SecretError;

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("ssm", name)) => Ok(Self::Parameter(name.to_owned())),
            Some(("secretsmanager", arn)) => Ok(Self::SecretsManager(arn.to_owned())),
            _ => Err(SecretError),
        }
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        match secret {
            Secret::SecretsManager(arn) => format!("secretsmanager:{arn}"),
            Secret::Parameter(name) => format!("ssm:{name}"),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Where a secret is stored: `ssm:` and the name of a SecureString parameter, or `secretsmanager:` and the ARN of a secret.",
            "examples": ["ssm:/web/token"],
            "maxLength": 1100,
            "pattern": concat!(
                "^(ssm:/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*|secretsmanager:arn:",
                partition_pattern!(),
                ":secretsmanager:",
                region_pattern!(),
                ":[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512})$"
            ),
        })
    }
}
