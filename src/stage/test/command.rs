//! Systems Manager's side of a test: the check's command found or sent, looked at and cancelled.
//!
//! `SendCommand` takes no client token. A command carries the check's derived token as its comment instead, is looked
//! for before it is sent, and is sent without a second try by the SDK.

use super::judge::Invocation;
use super::order::Order;
use super::output;
use crate::aws::{AwsError, Class};
use crate::engine::{StageError, Timestamp};
use crate::spec::{self, Check};
use crate::stage::Cx;

/// A command as the list of an instance's commands shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: String,
    /// Its comment: ours carry a mark there.
    pub mark: String,
    pub status: String,
    pub details: String,
    pub requested: Timestamp,
}

impl Shown {
    /// As far as the list tells it: without exit code and output.
    pub fn invocation(&self) -> Invocation {
        Invocation { status: self.status.clone(), details: self.details.clone(), ..Invocation::default() }
    }
}

/// The mark of check number `index`, counted from 0, and of its attempt, counted from 0.
pub fn mark(cx: &Cx, index: usize, attempt: u8) -> String {
    let step = if attempt == 0 { format!("check-{index}") } else { format!("check-{index}-{attempt}") };
    cx.key().client_token(&step).into()
}

/// Every command of the instance.
pub async fn board(cx: &Cx, instance: &str) -> Result<Vec<Shown>, StageError> {
    let call = cx.aws.ssm.list_commands().instance_id(instance);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("ssm:ListCommands", instance, error))?;
    let shown = |command: aws_sdk_ssm::types::Command| {
        Some(Shown {
            id: command.command_id?,
            mark: command.comment.unwrap_or_default(),
            status: command.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            details: command.status_details.unwrap_or_default(),
            requested: Timestamp(command.requested_date_time.map_or(0, |at| at.secs())),
        })
    };
    Ok(all.into_iter().filter_map(shown).collect())
}

/// The command with a mark that an earlier step sent. Of several, the first: only its result counts.
pub fn find(board: &[Shown], mark: &str) -> Option<String> {
    let ours = board.iter().filter(|shown| shown.mark == mark);
    ours.min_by_key(|shown| (shown.requested, shown.id.clone())).map(|shown| shown.id.clone())
}

/// Which attempt, counted from 0, at check number `index` a command is. One that is not shown yet is the first that
/// is not.
pub fn attempt(cx: &Cx, board: &[Shown], index: usize, command: &str) -> u8 {
    let of = |attempt: u8| find(board, &mark(cx, index, attempt));
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
    mark: &str,
    check: &Check,
    order: &Order,
    output: Option<&spec::Output>,
) -> Result<String, StageError> {
    // A span is at most ten years of seconds, which fits.
    let delivery = i32::try_from(check.delivery_timeout().as_secs()).unwrap_or(i32::MAX);
    let call = cx
        .aws
        .once
        .ssm
        .send_command()
        .document_name(&order.document)
        .set_document_version(order.version.clone())
        .instance_ids(instance)
        .comment(mark)
        .set_parameters(Some(order.parameters.clone().into_iter().collect()))
        .timeout_seconds(delivery)
        .set_output_s3_bucket_name(output.map(|output| output.bucket.clone()))
        .set_output_s3_key_prefix(output.map(|output| output.prefix.clone()));
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
            stdout_url: found.standard_output_url.unwrap_or_default(),
            stderr_url: found.standard_error_url.unwrap_or_default(),
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

/// A document's run on the instance, its steps as one; none while Systems Manager does not know it.
///
/// `GetCommandInvocation` tells of one step and wants its name where there are several; this one tells of all, of each
/// the first 2,500 characters of its output.
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
        step.output = Some(output::whole(cx, to, url.unwrap_or_default(), shown, output::STEP).await?);
    }
    Ok(Some(folded(run)))
}

/// All steps of a run as one. Its status is the run's, which knows what a step may fail without harm.
fn folded(run: aws_sdk_ssm::types::CommandInvocation) -> Invocation {
    let steps = run.command_plugins.unwrap_or_default();
    let status = run.status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    let failed = steps.iter().find(|step| step.response_code != 0).filter(|_| status != "Success");
    let told = |step: &aws_sdk_ssm::types::CommandPlugin| {
        let status = step.status.as_ref().map_or("", |status| status.as_str());
        let (name, output) = (step.name.as_deref().unwrap_or_default(), step.output.as_deref());
        format!("== {name}: {status}\n{}\n", output.unwrap_or_default().trim_end())
    };
    let began = steps.iter().filter_map(|step| Some(step.response_start_date_time?.secs())).min();
    let ended = steps.iter().filter_map(|step| Some(step.response_finish_date_time?.secs())).max();
    let elapsed = began.zip(ended).map(|(began, ended)| ended.saturating_sub(began).max(0));
    Invocation {
        status,
        details: run.status_details.unwrap_or_default(),
        exit_code: failed.map_or(0, |step| step.response_code),
        stdout: steps.iter().map(told).collect(),
        stderr: failed.map(told).unwrap_or_default(),
        elapsed: elapsed.map(|seconds| format!("PT{seconds}S")).unwrap_or_default(),
        ..Invocation::default()
    }
}

/// Asks for the command to be cancelled: a best effort, since the instance may not listen. False if it was refused.
pub async fn cancel(cx: &Cx, instance: &str, command: &str) -> Result<bool, StageError> {
    let answer = cx.aws.ssm.cancel_command().command_id(command).instance_ids(instance).send().await;
    let Err(error) = answer else { return Ok(true) };
    let error = AwsError::new("ssm:CancelCommand", command, error);
    if error.class.is_transient() {
        return Err(error.into());
    }
    tracing::warn!(%error, "an overdue command cannot be cancelled; its instance is terminated under it");
    Ok(false)
}
