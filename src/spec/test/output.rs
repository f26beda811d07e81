//! `test.output`: the location in S3 that instances write the output of checks to.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A location in S3: `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Output {
    /// Name of the bucket, in the region of the instance.
    pub bucket: String,
    /// Prefix of the object keys.
    pub prefix: String,
}

/// A text is no location in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a location in S3: expected s3://BUCKET/PREFIX")]
pub struct OutputError;

impl TryFrom<String> for Output {
    type Error = OutputError;

    fn try_from(text: String) -> Result<Self, OutputError> {
        let (bucket, prefix) =
            text.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or(OutputError)?;
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl From<Output> for String {
    fn from(Output { bucket, prefix }: Output) -> Self {
        format!("s3://{bucket}/{prefix}")
    }
}

impl JsonSchema for Output {
    fn schema_name() -> Cow<'static, str> {
        "Output".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Location in S3: s3://BUCKET/PREFIX.",
            "examples": ["s3://web-staging-output/bakeline"],
            "maxLength": 370,
            "pattern": "^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
        })
    }
}
