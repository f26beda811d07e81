//! Systems Manager's side of a test: the check's command found or sent, looked at and cancelled.
//!
//! `SendCommand` takes no client token. A command carries the check's derived token as its comment instead, is looked
//! for before it is sent, and is sent without a second try by the SDK.

use super::judge::Invocation;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::spec::Check;
use crate::stage::Cx;

/// The mark of check number `index`, counted from 0.
fn mark(cx: &Cx, index: usize) -> String {
    cx.key().client_token(&format!("check-{index}")).into()
}

/// The command of a check that an earlier step sent. Of several, the first: only its result counts.
pub async fn find(cx: &Cx, instance: &str, index: usize) -> Result<Option<String>, StageError> {
    let call = cx.aws.ssm.list_commands().instance_id(instance);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("ssm:ListCommands", instance, error))?;
    let mark = mark(cx, index);
    let ours = all.into_iter().filter(|command| command.comment.as_deref() == Some(mark.as_str()));
    let first = ours.min_by_key(|command| {
        let requested = command.requested_date_time.map(|at| (at.secs(), at.subsec_nanos()));
        (requested, command.command_id.clone())
    });
    Ok(first.and_then(|command| command.command_id))
}

/// Sends the command of a check.
pub async fn send(
    cx: &Cx,
    instance: &str,
    index: usize,
    check: &Check,
    script: &[String],
) -> Result<String, StageError> {
    // A span is at most ten years of seconds, which fits.
    let delivery = i32::try_from(check.delivery_timeout.as_secs()).unwrap_or(i32::MAX);
    let call = cx
        .aws
        .once
        .ssm
        .send_command()
        .document_name("AWS-RunShellScript")
        .instance_ids(instance)
        .comment(mark(cx, index))
        .parameters("commands", script.to_vec())
        .parameters("executionTimeout", vec![check.timeout.as_secs().to_string()])
        .timeout_seconds(delivery);
    let answer = call.send().await.map_err(|error| {
        let error = AwsError::new("ssm:SendCommand", &check.name, error);
        // Refused, so nothing was sent: Systems Manager answered a ping and has not told all of itself yet.
        if error.is("InvalidInstanceId") { StageError::NotYet(error.to_string()) } else { error.into() }
    })?;
    answer
        .command
        .and_then(|command| command.command_id)
        .ok_or_else(|| StageError::NotYet(format!("ssm:SendCommand of {} gave no command", check.name)))
}

/// The command on the instance; none while Systems Manager does not know it, as right after it was sent.
pub async fn invocation(cx: &Cx, instance: &str, command: &str) -> Result<Option<Invocation>, StageError> {
    let answer = cx.aws.ssm.get_command_invocation().command_id(command).instance_id(instance).send().await;
    match answer {
        Ok(found) => Ok(Some(Invocation {
            status: found.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            details: found.status_details.unwrap_or_default(),
            exit_code: found.response_code,
            stdout: found.standard_output_content.unwrap_or_default(),
            stderr: found.standard_error_content.unwrap_or_default(),
            elapsed: found.execution_elapsed_time.unwrap_or_default(),
        })),
        Err(error) => {
            let error = AwsError::new("ssm:GetCommandInvocation", command, error);
            // An old look may not know the command itself yet.
            let unknown = error.class == Class::Missing || error.is("InvalidCommandId");
            if unknown { Ok(None) } else { Err(error.into()) }
        }
    }
}

/// Asks for the command to be cancelled: a best effort, since the instance may not listen.
pub async fn cancel(cx: &Cx, instance: &str, command: &str) -> Result<(), StageError> {
    let answer = cx.aws.ssm.cancel_command().command_id(command).instance_ids(instance).send().await;
    let Err(error) = answer else { return Ok(()) };
    let error = AwsError::new("ssm:CancelCommand", command, error);
    if error.class.is_transient() {
        return Err(error.into());
    }
    tracing::warn!(%error, "an overdue command cannot be cancelled; its instance is terminated under it");
    Ok(())
}
