//! Loads and saves the lengths of lists in a parameter of Systems Manager.

use super::ListLengths;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::error::{ErrorClass, ModuleError};

/// Why stored lengths could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the parameter {parameter} does not contain list lengths that cleanup stored; delete it to start anew"
    )]
    Unreadable { parameter: String },
    #[error("the list lengths for the parameter {parameter} could not be written as JSON")]
    Json { parameter: String, source: serde_json::Error },
}

impl ModuleError for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreadable { .. } => ErrorClass::Rejected,
            Self::Json { .. } => ErrorClass::Bug,
        }
    }
}

/// Loads the lengths of the last cleanup; none if there was no cleanup yet.
///
/// # Errors
/// As the call; or the parameter contains something else.
pub async fn load(aws: &Aws, parameter: &str) -> Result<ListLengths, StageError> {
    let answer = aws.ssm.get_parameter().name(parameter).send().await;
    match answer.map_err(|e| AwsError::new("ssm:GetParameter", parameter, e)) {
        Ok(answer) => {
            let text = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
            let unreadable = || StoreError::Unreadable { parameter: parameter.to_owned() };
            Ok(ListLengths::parse(text).ok_or_else(unreadable)?)
        }
        Err(error) if error.class == Class::Missing => Ok(ListLengths::default()),
        Err(error) => Err(error.into()),
    }
}

/// Saves the lengths for the next cleanup.
///
/// # Errors
/// As the call.
pub async fn save(aws: &Aws, parameter: &str, lengths: &ListLengths) -> Result<(), StageError> {
    let text = serde_json::to_string(lengths)
        .map_err(|source| StoreError::Json { parameter: parameter.to_owned(), source })?;
    aws.ssm
        .put_parameter()
        .name(parameter)
        .description("Lengths of the lists that bakeline's cleanup read last")
        .r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .value(text)
        .send()
        .await
        .map_err(|e| AwsError::new("ssm:PutParameter", parameter, e))?;
    Ok(())
}
