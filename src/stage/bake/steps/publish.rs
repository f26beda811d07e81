//! Tags the images and publishes the candidate in the SSM parameter.

use std::time::Duration;

use super::super::error::BakeError;
use super::super::images::copies;
use super::super::images::output::BuildOutput;
use super::super::inputs::{Inputs, current_output};
use super::super::parameter;
use super::super::state::Bake;
use super::POLL_INTERVAL;
use crate::digest::Sha256;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::stage::Cx;

/// How long Systems Manager may take to validate an `aws:ec2:image` value after `PutParameter` has succeeded.
const VALIDATION_TIMEOUT: Duration = Duration::from_mins(5);

/// Tags the next machine image. Container images in ECR have no resource tags; cleanup finds them by their digest.
pub async fn tag_image(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    done: u16,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let own = match current_output(inputs, cx, &image).await? {
        BuildOutput::MachineImages(copies) => copies.own,
        BuildOutput::ContainerImages { .. } => Vec::new(),
    };
    let Some(copy) = own.get(usize::from(done)) else {
        return Ok(Step::Next(Bake::Publishing { image, content }));
    };
    copies::tag(cx, copy, &inputs.source.spec, inputs.build_from.is_shared()).await?;
    Ok(Step::Next(Bake::Tagging { image, done: done.saturating_add(1), content }))
}

/// Sets the parameter to the image of this region, if the spec has one.
pub async fn publish(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter() else {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    };
    let candidate = current_output(inputs, cx, &image).await?.candidate(cx, name).await?;
    if parameter::value(cx, name).await?.as_ref() == Some(&candidate.value) {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    }
    parameter::put(cx, name, &candidate).await?;
    Ok(Step::Next(Bake::ConfirmingParameter { image, since: cx.now(), content }))
}

/// Waits until the parameter has the new value.
pub async fn confirm_parameter(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter() else {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    };
    let candidate = current_output(inputs, cx, &image).await?.candidate(cx, name).await?;
    let value = parameter::value(cx, name).await?;
    if value.as_ref() == Some(&candidate.value) {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    }
    if cx.now().since(since) > VALIDATION_TIMEOUT {
        return Err(BakeError::ParameterNotSet {
            name: name.to_owned(),
            value: candidate.value,
            found: value.unwrap_or_else(|| "nothing".to_owned()),
            seconds: VALIDATION_TIMEOUT.as_secs(),
        }
        .into());
    }
    let progress = Progress {
        percent: 98,
        summary: format!("Systems Manager validates {name}"),
        external_id: Some(image.clone()),
    };
    let state = Bake::ConfirmingParameter { image, since, content };
    Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
}
