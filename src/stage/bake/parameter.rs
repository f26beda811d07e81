//! The SSM parameter that names the newest candidate.
//!
//! A value of data type `aws:ec2:image` is validated after `PutParameter` has answered, so an answer is no proof
//! that the value is stored: only reading it back is.

use aws_sdk_ssm::types::ParameterType;

use super::product::Candidate;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// The parameter's value; none if there is no such parameter.
pub async fn value(cx: &Cx, name: &str) -> Result<Option<String>, StageError> {
    match cx.aws.ssm.get_parameter().name(name).send().await {
        Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
        Err(error) => {
            let error = AwsError::new("ssm:GetParameter", name, error);
            if error.class == Class::Missing { Ok(None) } else { Err(error.into()) }
        }
    }
}

/// Asks once for the parameter to be set: when no answer comes, the next look shows whether it was. Tags cannot be given together with `Overwrite`.
pub async fn put(cx: &Cx, name: &str, candidate: &Candidate) -> Result<(), StageError> {
    let call = cx
        .aws
        .once
        .ssm
        .put_parameter()
        .name(name)
        .value(&candidate.value)
        .r#type(ParameterType::String)
        .data_type(candidate.data_type)
        .overwrite(true);
    call.send().await.map_err(|error| AwsError::new("ssm:PutParameter", name, error))?;
    Ok(())
}
