//! The commands of the checks in Systems Manager: found, sent, described and cancelled.
//!
//! `SendCommand` takes no client token. The derived token is the comment of the command instead: the stage looks for it
//! before it sends, and the SDK does not retry the call.

use super::super::checks::outcome::Invocation;
use super::document_run::DocumentRun;
use super::error::InstanceError;
use super::output;
use crate::aws::{AwsError, Class};
use crate::engine::{StageError, Timestamp};
use crate::spec::{self, Check};
use crate::stage::Cx;

/// A command, as `ListCommands` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    /// Its comment: that of a check holds its derived token.
    pub comment: String,
    pub status: String,
    pub details: String,
    pub requested: Timestamp,
}

impl Listed {
    /// The command without exit code and output, which the list does not have.
    pub fn invocation(&self) -> Invocation {
        Invocation { status: self.status.clone(), details: self.details.clone(), ..Invocation::default() }
    }
}

/// The comment of an attempt of a check. Both numbers count from 0.
pub fn comment(cx: &Cx, index: usize, attempt: u8) -> String {
    let step = if attempt == 0 { format!("check-{index}") } else { format!("check-{index}-{attempt}") };
    cx.key().client_token(&step).into()
}

/// All commands of the instance.
pub async fn list(cx: &Cx, instance: &str) -> Result<Vec<Listed>, StageError> {
    let call = cx.aws.ssm.list_commands().instance_id(instance);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("ssm:ListCommands", instance, error))?;
    let listed = |command: aws_sdk_ssm::types::Command| {
        Some(Listed {
            id: command.command_id?,
            comment: command.comment.unwrap_or_default(),
            status: command.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            details: command.status_details.unwrap_or_default(),
            requested: Timestamp(command.requested_date_time.map_or(0, |at| at.secs())),
        })
    };
    Ok(all.into_iter().filter_map(listed).collect())
}

/// The command with a comment. If there are several, the first: only its result counts.
pub fn find(listed: &[Listed], comment: &str) -> Option<String> {
    let found = listed.iter().filter(|listed| listed.comment == comment);
    found.min_by_key(|found| (found.requested, found.id.clone())).map(|found| found.id.clone())
}

/// The attempt of a check that a command belongs to, counted from 0. A command that is not listed yet belongs to the first
/// attempt without a listed command.
pub fn attempt(cx: &Cx, listed: &[Listed], index: usize, command: &str) -> u8 {
    let of = |attempt: u8| find(listed, &comment(cx, index, attempt));
    let mut attempt = 0;
    while attempt < Check::MAX_RETRIES {
        match of(attempt) {
            Some(found) if found != command => attempt += 1,
            Some(_) | None => break,
        }
    }
    attempt
}

/// Sends the command of a check.
pub async fn send(
    cx: &Cx,
    instance: &str,
    comment: &str,
    check: &Check,
    document: &DocumentRun,
    output: Option<&spec::Output>,
) -> Result<String, StageError> {
    // A span is at most ten years, whose seconds fit.
    let delivery = i32::try_from(check.delivery_timeout().as_secs()).unwrap_or(i32::MAX);
    let call = cx
        .aws
        .once
        .ssm
        .send_command()
        .document_name(&document.document)
        .set_document_version(document.version.clone())
        .instance_ids(instance)
        .comment(comment)
        .set_parameters(Some(document.parameters.clone().into_iter().collect()))
        .timeout_seconds(delivery)
        .set_output_s3_bucket_name(output.map(|output| output.bucket.clone()))
        .set_output_s3_key_prefix(output.map(|output| output.prefix.clone()));
    let answer = call.send().await.map_err(|error| {
        let error = AwsError::new("ssm:SendCommand", &check.name, error);
        // Nothing was sent: the instance has just registered, and not every part of Systems Manager knows it yet.
        if error.is("InvalidInstanceId") { StageError::RetryLater(error) } else { error.into() }
    })?;
    answer.command.and_then(|command| command.command_id).ok_or_else(|| {
        let (operation, target) = ("ssm:SendCommand", check.name.clone());
        InstanceError::IncompleteResponse { operation, target, member: "command" }.into()
    })
}

/// The command on the instance; none if Systems Manager does not find it, as right after sending it.
pub async fn invocation(cx: &Cx, instance: &str, command: &str) -> Result<Option<Invocation>, StageError> {
    let answer = cx.aws.ssm.get_command_invocation().command_id(command).instance_id(instance).send().await;
    match answer {
        Ok(found) => Ok(Some(Invocation {
            status: found.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            details: found.status_details.unwrap_or_default(),
            exit_code: found.response_code,
            stdout: found.standard_output_content.unwrap_or_default(),
            stderr: found.standard_error_content.unwrap_or_default(),
            stdout_url: found.standard_output_url.unwrap_or_default(),
            stderr_url: found.standard_error_url.unwrap_or_default(),
            elapsed: found.execution_elapsed_time.unwrap_or_default(),
        })),
        Err(error) => {
            let error = AwsError::new("ssm:GetCommandInvocation", command, error);
            // A stale read may not know the command itself.
            let unknown = error.class == Class::Missing || error.is("InvalidCommandId");
            if unknown { Ok(None) } else { Err(error.into()) }
        }
    }
}

/// The command of a document, with all of its steps; none if Systems Manager does not find it.
///
/// `GetCommandInvocation` reports one step by its name. `ListCommandInvocations` reports all steps, each with the first
/// 2,500 characters of its output.
pub async fn steps(
    cx: &Cx,
    instance: &str,
    command: &str,
    to: Option<&spec::Output>,
) -> Result<Option<Invocation>, StageError> {
    let call = cx.aws.ssm.list_command_invocations().command_id(command).instance_id(instance).details(true);
    let answer = match call.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let error = AwsError::new("ssm:ListCommandInvocations", command, error);
            let unknown = error.class == Class::Missing || error.is("InvalidCommandId");
            return if unknown { Ok(None) } else { Err(error.into()) };
        }
    };
    let Some(mut run) = answer.command_invocations.and_then(|found| found.into_iter().next()) else {
        return Ok(None);
    };
    for step in run.command_plugins.iter_mut().flatten() {
        let (shown, url) = (step.output.take().unwrap_or_default(), step.standard_output_url.as_deref());
        step.output = Some(output::end_of(cx, to, url.unwrap_or_default(), shown, output::STEP).await?);
    }
    Ok(Some(merged(run)))
}

/// All steps of a command as one invocation. The status is that of the command: a document may let a step fail.
fn merged(run: aws_sdk_ssm::types::CommandInvocation) -> Invocation {
    let steps = run.command_plugins.unwrap_or_default();
    let status = run.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    let failed = steps.iter().find(|step| step.response_code != 0).filter(|_| status != "Success");
    let printed = |step: &aws_sdk_ssm::types::CommandPlugin| {
        let status = step.status.as_ref().map_or("", |status| status.as_str());
        let (name, output) = (step.name.as_deref().unwrap_or_default(), step.output.as_deref());
        format!("== {name}: {status}\n{}\n", output.unwrap_or_default().trim_end())
    };
    let started = steps.iter().filter_map(|step| Some(step.response_start_date_time?.secs())).min();
    let ended = steps.iter().filter_map(|step| Some(step.response_finish_date_time?.secs())).max();
    let elapsed = started.zip(ended).map(|(started, ended)| ended.saturating_sub(started).max(0));
    Invocation {
        status,
        details: run.status_details.unwrap_or_default(),
        exit_code: failed.map_or(0, |step| step.response_code),
        stdout: steps.iter().map(printed).collect(),
        stderr: failed.map(printed).unwrap_or_default(),
        elapsed: elapsed.map(|seconds| format!("PT{seconds}S")).unwrap_or_default(),
        ..Invocation::default()
    }
}

/// Cancels the command; false if Systems Manager refuses. The instance may ignore the cancellation.
pub async fn cancel(cx: &Cx, instance: &str, command: &str) -> Result<bool, StageError> {
    let answer = cx.aws.ssm.cancel_command().command_id(command).instance_ids(instance).send().await;
    let Err(error) = answer else { return Ok(true) };
    let error = AwsError::new("ssm:CancelCommand", command, error);
    if error.class.is_transient() {
        return Err(error.into());
    }
    tracing::warn!(%error, "cannot cancel an overdue command; it ends with its instance");
    Ok(false)
}
