//! Runs the checks: sends their commands, waits for them, cancels overdue ones, and reads the results.

use std::time::Duration;

use super::super::checks::outcome::{Invocation, is_terminal};
use super::super::checks::schedule::{self, NextStep, SentCheck};
use super::super::state::Test;
use super::error::InstanceError;
use super::{InstanceInputs, POLL_INTERVAL, command, output, progress};
use crate::engine::{StageError, Step, Timestamp};
use crate::stage::Cx;

/// How long a cancelled command may take to end before the stage terminates the instance.
const CANCELLATION_TIMEOUT: Duration = Duration::from_mins(2);

/// Sends the next check if it is ready; otherwise waits for the running ones.
pub async fn run_checks(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: String,
    mut commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let checks = &inputs.test.checks;
    let listed = command::list(cx, &instance).await?;
    let mut sent = Vec::with_capacity(commands.len());
    for (index, id) in commands.iter().enumerate() {
        let found = listed.iter().find(|listed| listed.id == *id);
        let requested = found.map_or(since, |found| found.requested);
        sent.push(SentCheck {
            attempts: command::attempt(cx, &listed, index, id).saturating_add(1),
            elapsed: cx.now().since(requested),
            command: found.map(command::Listed::invocation),
        });
    }
    match schedule::next(checks, &sent) {
        NextStep::Send { check: index, attempt } => {
            let (Some(check), Some(document)) = (checks.get(index), inputs.documents.get(index)) else {
                return Err(InstanceError::NoCheck { index }.into());
            };
            let comment = command::comment(cx, index, attempt);
            let id = if let Some(found) = command::find(&listed, &comment) {
                found
            } else {
                let output = inputs.test.output.as_ref();
                command::send(cx, &instance, &comment, check, document, output).await?
            };
            match commands.get_mut(index) {
                Some(command) => *command = id,
                None => commands.push(id),
            }
            Ok(Step::Next(Test::RunningChecks { instance, commands, since: cx.now() }))
        }
        NextStep::Wait { check: index, status } => {
            let total = checks.len();
            // There are at most 20 checks.
            let percent = u8::try_from(20 + index * 70 / total.max(1)).unwrap_or(90);
            let name = checks.get(index).map_or("", |check| check.name.as_str());
            let summary = format!("check {} of {total}, {name}: {status}", index + 1);
            let progress = progress(percent, summary, commands.get(index).unwrap_or(&instance));
            let state = Test::RunningChecks { instance, commands, since };
            Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
        }
        NextStep::Overdue => Ok(Step::Next(Test::Overdue { instance, commands })),
        NextStep::Stop { abandoned } => {
            let passed =
                |sent: &SentCheck| sent.command.as_ref().is_some_and(|command| command.status == "Success");
            if inputs.test.soak.is_some() && sent.len() == checks.len() && sent.iter().all(passed) {
                return Ok(Step::Next(Test::Soaking { instance, commands, since: cx.now() }));
            }
            Ok(Step::Next(Test::Terminating { instance, commands, abandoned, soak: None }))
        }
    }
}

/// Cancels one running command in each step. A command that cannot be cancelled ends with the instance.
pub async fn cancel(cx: &Cx, instance: String, commands: Vec<String>) -> Result<Step<Test>, StageError> {
    let listed = command::list(cx, &instance).await?;
    let is_running = |listed: &&command::Listed| {
        commands.contains(&listed.id) && !is_terminal(&listed.status) && listed.status != "Cancelling"
    };
    if let Some(running) = listed.iter().find(is_running)
        && command::cancel(cx, &instance, &running.id).await?
    {
        return Ok(Step::Next(Test::Overdue { instance, commands }));
    }
    Ok(Step::Next(Test::CancellingChecks { instance, commands, since: cx.now() }))
}

/// Waits until all commands have ended, or the cancellation takes too long.
pub async fn confirm_cancellation(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let listed = command::list(cx, &instance).await?;
    let has_ended = |id: &String| listed.iter().any(|listed| listed.id == *id && is_terminal(&listed.status));
    if commands.iter().all(has_ended) || cx.now().since(since) > CANCELLATION_TIMEOUT {
        return Ok(Step::Next(Test::Terminating { instance, commands, abandoned: true, soak: None }));
    }
    let progress = progress(90, "cancelling overdue commands".into(), &instance);
    let state = Test::CancellingChecks { instance, commands, since };
    Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
}

/// The number of attempts of each check; empty if no check has retries.
pub async fn attempts(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
) -> Result<Vec<u8>, StageError> {
    if inputs.test.checks.iter().all(|check| check.retries == 0) {
        return Ok(Vec::new());
    }
    let listed = command::list(cx, instance).await?;
    let attempt = |(index, id): (usize, &String)| command::attempt(cx, &listed, index, id).saturating_add(1);
    Ok(commands.iter().enumerate().map(attempt).collect())
}

/// Reads the results of the commands. Systems Manager keeps them for 30 days, also of a terminated instance.
///
/// All commands but abandoned ones had ended in an earlier read. A read that shows a running command is stale.
pub async fn invocations(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
    abandoned: bool,
) -> Result<Vec<Invocation>, StageError> {
    let mut invocations = Vec::with_capacity(commands.len());
    let to = inputs.test.output.as_ref();
    for (index, command) in commands.iter().enumerate() {
        let is_document = inputs.test.checks.get(index).is_some_and(|check| check.document.is_some());
        let found = if is_document {
            command::steps(cx, instance, command, to).await?
        } else {
            output::complete(cx, to, command::invocation(cx, instance, command).await?).await?
        };
        match found {
            Some(found) if abandoned || is_terminal(&found.status) => invocations.push(found),
            None if abandoned => {
                invocations.push(Invocation { status: "Pending".into(), ..Invocation::default() });
            }
            Some(_) | None => {
                let (command, instance) = (command.clone(), instance.to_owned());
                return Err(InstanceError::StillRunning { command, instance }.into());
            }
        }
    }
    Ok(invocations)
}
