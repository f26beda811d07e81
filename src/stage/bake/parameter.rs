//! The SSM parameter that names the newest candidate.
//!
//! Systems Manager validates a value of data type `aws:ec2:image` after `PutParameter` has succeeded. Only a read proves
//! that the value is stored.

use aws_sdk_ssm::types::ParameterType;

use super::images::output::Candidate;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// The value of the parameter; none if the parameter does not exist.
pub async fn value(cx: &Cx, name: &str) -> Result<Option<String>, StageError> {
    match cx.aws.ssm.get_parameter().name(name).send().await {
        Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
        Err(error) => {
            let error = AwsError::new("ssm:GetParameter", name, error);
            if error.class == Class::Missing { Ok(None) } else { Err(error.into()) }
        }
    }
}

/// Sets the parameter. The SDK does not retry the call: the next slice reads the value first. `PutParameter` takes no tags
/// together with `Overwrite`.
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
