//! The checks' commands: sent one by one as they become free, watched, cancelled when they are overdue, read at the end.

use super::judge::{self, Invocation};
use super::plan::{self, Act, Sent};
use super::{Inputs, LOOK_EVERY, Test, command, output, progress};
use crate::engine::{StageError, Step, Timestamp};
use crate::stage::Cx;

/// Sends the next check if one is free to be sent, and waits for those that run otherwise.
pub async fn checking(
    inputs: &Inputs,
    cx: &Cx,
    instance: String,
    mut commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let checks = &inputs.test.checks;
    let board = command::board(cx, &instance).await?;
    let mut sent = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        let shown = board.iter().find(|shown| shown.id == *command);
        let began = shown.map_or(since, |shown| shown.requested);
        sent.push(Sent {
            attempts: command::attempt(cx, &board, index, command).saturating_add(1),
            elapsed: cx.now().since(began),
            shown: shown.map(command::Shown::invocation),
        });
    }
    match plan::next(checks, &sent) {
        Act::Send { check: index, attempt } => {
            let (Some(check), Some(order)) = (checks.get(index), inputs.orders.get(index)) else {
                return Err(StageError::Bug(format!("there is no check {index}")));
            };
            let mark = command::mark(cx, index, attempt);
            let id = match command::find(&board, &mark) {
                Some(found) => found,
                None => {
                    command::send(cx, &instance, &mark, check, order, inputs.test.output.as_ref()).await?
                }
            };
            match commands.get_mut(index) {
                Some(command) => *command = id,
                None => commands.push(id),
            }
            Ok(Step::Next(Test::Running { instance, commands, since: cx.now() }))
        }
        Act::Wait { check: index, status } => {
            let total = checks.len();
            // There are at most 20 checks.
            let percent = u8::try_from(20 + index * 70 / total.max(1)).unwrap_or(90);
            let name = checks.get(index).map_or("", |check| check.name.as_str());
            let summary = format!("check {} of {total}, {name}: {status}", index + 1);
            let progress = progress(percent, summary, commands.get(index).unwrap_or(&instance));
            let state = Test::Running { instance, commands, since };
            Ok(Step::Wait { state, again_in: LOOK_EVERY, progress })
        }
        Act::Overdue => Ok(Step::Next(Test::Overdue { instance, commands })),
        Act::Stop { given_up } => {
            let passed = |sent: &Sent| sent.shown.as_ref().is_some_and(|shown| shown.status == "Success");
            if inputs.test.soak.is_some() && sent.len() == checks.len() && sent.iter().all(passed) {
                return Ok(Step::Next(Test::Soaking { instance, commands, since: cx.now() }));
            }
            Ok(Step::Next(Test::Terminating { instance, commands, given_up, soak: None }))
        }
    }
}

/// Cancels one of the commands that go on at a time; one that cannot be cancelled is left to the instance's end.
pub async fn overdue(cx: &Cx, instance: String, commands: Vec<String>) -> Result<Step<Test>, StageError> {
    let board = command::board(cx, &instance).await?;
    let goes_on = |shown: &&command::Shown| {
        commands.contains(&shown.id) && !judge::is_terminal(&shown.status) && shown.status != "Cancelling"
    };
    if let Some(going) = board.iter().find(goes_on)
        && command::cancel(cx, &instance, &going.id).await?
    {
        return Ok(Step::Next(Test::Overdue { instance, commands }));
    }
    Ok(Step::Next(Test::Cancelling { instance, commands, since: cx.now() }))
}

pub async fn cancelling(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let board = command::board(cx, &instance).await?;
    let ended = |id: &String| board.iter().any(|shown| shown.id == *id && judge::is_terminal(&shown.status));
    if commands.iter().all(ended) || cx.now().since(since) > judge::CANCELLING {
        return Ok(Step::Next(Test::Terminating { instance, commands, given_up: true, soak: None }));
    }
    let progress = progress(90, "cancelling overdue commands".into(), &instance);
    Ok(Step::Wait { state: Test::Cancelling { instance, commands, since }, again_in: LOOK_EVERY, progress })
}

/// How often each of the checks was sent.
pub async fn attempts(
    inputs: &Inputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
) -> Result<Vec<u8>, StageError> {
    if inputs.test.checks.iter().all(|check| check.retries == 0) {
        return Ok(Vec::new());
    }
    let board = command::board(cx, instance).await?;
    let attempt = |(index, id): (usize, &String)| command::attempt(cx, &board, index, id).saturating_add(1);
    Ok(commands.iter().enumerate().map(attempt).collect())
}

/// The results of the commands, read anew: Systems Manager keeps them for 30 days, also of an instance that is gone.
///
/// All had ended when they were last looked at, but for those that were given up; a look that shows it otherwise is an
/// old one.
pub async fn invocations(
    inputs: &Inputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
    given_up: bool,
) -> Result<Vec<Invocation>, StageError> {
    let mut invocations = Vec::with_capacity(commands.len());
    let to = inputs.test.output.as_ref();
    for (index, command) in commands.iter().enumerate() {
        let document = inputs.test.checks.get(index).is_some_and(|check| check.document.is_some());
        let found = if document {
            command::steps(cx, instance, command, to).await?
        } else {
            output::of(cx, to, command::invocation(cx, instance, command).await?).await?
        };
        match found {
            Some(found) if given_up || judge::is_terminal(&found.status) => invocations.push(found),
            None if given_up => {
                invocations.push(Invocation { status: "Pending".into(), ..Invocation::default() });
            }
            Some(_) | None => {
                return Err(StageError::NotYet(format!(
                    "command {command} on {instance} had ended and seems not to"
                )));
            }
        }
    }
    Ok(invocations)
}
