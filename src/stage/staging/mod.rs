//! The test stage: one instance of the baked image in staging, the spec's checks run on it, and its end confirmed.

mod command;
mod instance;
pub mod judge;
pub mod junit;
pub mod plan;
pub mod report;
pub mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::{Boot, Invocation};
use self::plan::{Act, Sent};
use super::handover::{Release, hand_over};
use super::store::Files;
use super::{Cx, StageMachine, goes_forward};
use crate::engine::{Failure, FailureKind, Machine, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::{ImageIdentity, Stage};
use crate::spec::{self, Check};

/// Looks that must find nothing before it is believed that nothing is there.
const LOOKS: u8 = 3;
/// Between looks at a booting instance.
const BOOT_EVERY: Duration = Duration::from_secs(15);
/// Between looks at anything that moves fast.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The resting places of a test. `commands` are the ids of the checks' commands so far, in the order of the spec; of a
/// check that was tried again, the last one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Test {
    /// No instance is known. One may have been launched: its client token finds it again.
    Launching,
    /// No Spot instance was to be had. An on-demand one may have been launched: its client token finds it again.
    LaunchingOnDemand,
    /// The instance was launched at `since`.
    Booting { instance: String, since: Timestamp },
    /// The instance is up, and the commands so far were sent; another check's may have been: its mark finds it.
    Checking { instance: String, commands: Vec<String> },
    /// As before; one of the commands was sent at `since`, or found then, none later.
    Running { instance: String, commands: Vec<String>, since: Timestamp },
    /// One of the commands should have ended by itself, and did not: all that go on are to be cancelled.
    Overdue { instance: String, commands: Vec<String> },
    /// Systems Manager was asked, at `since` for the last time, to cancel the commands that went on.
    Cancelling { instance: String, commands: Vec<String>, since: Timestamp },
    /// Nothing more is to be run. `given_up`: some of the commands may not have ended.
    Terminating { instance: String, commands: Vec<String>, given_up: bool },
    /// EC2 was asked to terminate the instance.
    Ending { instance: String, commands: Vec<String>, given_up: bool },
    /// The instance is gone or going. Only the hand-over is left.
    Sealing { instance: String, commands: Vec<String>, given_up: bool },
    /// Unwinding: an instance may have been launched; `looks` looks in a row did not find one running.
    Recalling { looks: u8, why: Failure },
    /// Unwinding: the instance is to be terminated; `looks` looks in a row did not find it at all.
    Withdrawing { instance: String, looks: u8, why: Failure },
    /// Unwinding: EC2 was asked to terminate the instance.
    Withdrawn { instance: String, why: Failure },
}

/// What a test works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub test: spec::Test,
    /// The release's image in the worker's region.
    pub image: ImageIdentity,
    /// The lines of every check's script.
    pub scripts: Vec<Vec<String>>,
}

impl StageMachine for Test {
    const STAGE: Stage = Stage::Test;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Test, at).await?;
        cx.act_in(release.spec.targets.test.as_deref()).await?;
        let test = release.spec.test().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        let image = release.image_in(cx.aws.region())?.clone();
        let scripts = scripts(&test.checks, &release.baggage.files)?;
        Ok(Inputs { release, test, image, scripts })
    }

    fn unheard(why: Failure) -> Option<Self> {
        Some(Self::Recalling { looks: 0, why })
    }

    async fn step_back(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Recalling { looks, why } => recalling(cx, looks, why).await,
            Self::Withdrawing { instance, looks, why } => withdrawing(cx, instance, looks, why).await,
            Self::Withdrawn { instance, why } => withdrawn(cx, instance, why).await,
            forward @ (Self::Launching
            | Self::LaunchingOnDemand
            | Self::Booting { .. }
            | Self::Checking { .. }
            | Self::Running { .. }
            | Self::Overdue { .. }
            | Self::Cancelling { .. }
            | Self::Terminating { .. }
            | Self::Ending { .. }
            | Self::Sealing { .. }) => Err(goes_forward(&forward)),
        }
    }
}

/// The lines of the checks' scripts, as `AWS-RunShellScript` takes them.
fn scripts(checks: &[Check], files: &Files) -> Result<Vec<Vec<String>>, StageError> {
    let lines = |check: &Check| {
        let own = check.script.as_deref().map_or(Ok(""), |path| own(check, path, files))?;
        Ok(script::of(check, own).lines().map(str::to_owned).collect())
    };
    checks.iter().map(lines).collect()
}

/// The text of a check's script file.
fn own<'f>(check: &Check, path: &str, files: &'f Files) -> Result<&'f str, StageError> {
    let script = files.get(path).ok_or_else(|| {
        StageError::Rejected(format!("the input artifact has no {path}, the script of check {}", check.name))
    })?;
    std::str::from_utf8(script).map_err(|error| {
        let at = error.valid_up_to();
        StageError::Config(format!("{path} is not a shell script: byte {at} is not UTF-8 text"))
    })
}

impl Machine for Test {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::Launching
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.test.timeout.as_duration()
    }

    fn unwind(self, why: Failure) -> Self {
        match self {
            Self::Launching | Self::LaunchingOnDemand => Self::Recalling { looks: 0, why },
            Self::Booting { instance, .. }
            | Self::Checking { instance, .. }
            | Self::Running { instance, .. }
            | Self::Overdue { instance, .. }
            | Self::Cancelling { instance, .. }
            | Self::Terminating { instance, .. }
            | Self::Ending { instance, .. } => Self::Withdrawing { instance, looks: 0, why },
            // Of a sealing test the instance is gone, so nothing is left to undo; the others are unwinding already.
            Self::Sealing { .. }
            | Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. } => self,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Launching
            | Self::LaunchingOnDemand
            | Self::Booting { .. }
            | Self::Checking { .. }
            | Self::Running { .. }
            | Self::Overdue { .. }
            | Self::Cancelling { .. }
            | Self::Terminating { .. }
            | Self::Ending { .. }
            | Self::Sealing { .. } => false,
            Self::Recalling { .. } | Self::Withdrawing { .. } | Self::Withdrawn { .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Launching => launching(inputs, cx, inputs.test.spot).await,
            Self::LaunchingOnDemand => launching(inputs, cx, false).await,
            Self::Booting { instance, since } => booting(inputs, cx, instance, since).await,
            Self::Checking { instance, commands } => {
                let since = cx.now();
                checking(inputs, cx, instance, commands, since).await
            }
            Self::Running { instance, commands, since } => {
                checking(inputs, cx, instance, commands, since).await
            }
            Self::Overdue { instance, commands } => overdue(cx, instance, commands).await,
            Self::Cancelling { instance, commands, since } => cancelling(cx, instance, commands, since).await,
            Self::Terminating { instance, commands, given_up } => {
                let found = instance::state(cx, &instance).await?;
                let going = found.is_some_and(|(state, _)| judge::has_ended(&state));
                // An instance that is not found may be seen by an old look; only EC2's refusal to end it is proof.
                if going || !instance::terminate(cx, std::slice::from_ref(&instance)).await? {
                    return Ok(Step::Next(Self::Sealing { instance, commands, given_up }));
                }
                Ok(Step::Next(Self::Ending { instance, commands, given_up }))
            }
            Self::Ending { instance, commands, given_up } => {
                let found = instance::state(cx, &instance).await?;
                Ok(match found.filter(|(state, _)| !judge::has_ended(state)) {
                    None => Step::Next(Self::Sealing { instance, commands, given_up }),
                    Some((state, _)) => {
                        let progress = progress(92, format!("terminating {instance}: {state}"), &instance);
                        let state = Self::Ending { instance, commands, given_up };
                        Step::Wait { state, again_in: LOOK_EVERY, progress }
                    }
                })
            }
            Self::Sealing { instance, commands, given_up } => {
                sealing(inputs, cx, &instance, &commands, given_up).await
            }
            Self::Recalling { looks, why } => recalling(cx, looks, why).await,
            Self::Withdrawing { instance, looks, why } => withdrawing(cx, instance, looks, why).await,
            Self::Withdrawn { instance, why } => withdrawn(cx, instance, why).await,
        }
    }
}

fn progress(percent: u8, summary: String, id: &str) -> Progress {
    Progress { percent, summary, external_id: Some(id.to_owned()) }
}

async fn launching(inputs: &Inputs, cx: &Cx, spot: bool) -> Result<Step<Test>, StageError> {
    instance::prove_image(cx, &inputs.image).await?;
    let service = &inputs.release.spec.service;
    Ok(match instance::launch(cx, &inputs.test, &inputs.image.image_id, service, spot).await? {
        Some(instance) => Step::Next(Test::Booting { instance, since: cx.now() }),
        None => Step::Next(Test::LaunchingOnDemand),
    })
}

async fn booting(
    inputs: &Inputs,
    cx: &Cx,
    instance: String,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let waiting = match judge::boot(&instance::vitals(cx, &instance).await?) {
        Boot::Ready => return Ok(Step::Next(Test::Checking { instance, commands: Vec::new() })),
        Boot::Waiting(what) => what,
        Boot::Ended => {
            // A launch can fail after it was answered, and the client token of an instance that is gone finds it too.
            let (state, reason) = instance::state(cx, &instance).await?.unwrap_or_default();
            return Err(StageError::Rejected(format!(
                "instance {instance} of image {} ended before it was tested: {state}: {reason}",
                inputs.image.image_id
            )));
        }
    };
    let limit = inputs.test.boot_timeout.as_duration();
    let elapsed = cx.now().since(since);
    if elapsed > limit {
        return Err(StageError::Rejected(format!(
            "instance {instance} of image {} was not up within {} s of its launch; awaited: {waiting}",
            inputs.image.image_id,
            limit.as_secs()
        )));
    }
    // Up to 20 percent, by the share of the time a boot may take.
    let percent =
        u8::try_from(elapsed.as_secs().saturating_mul(20) / limit.as_secs().max(1)).unwrap_or(20).min(20);
    let progress = progress(percent, format!("booting {instance}: {waiting}"), &instance);
    Ok(Step::Wait { state: Test::Booting { instance, since }, again_in: BOOT_EVERY, progress })
}

/// Sends the next check if one is free to be sent, and waits for those that run otherwise.
async fn checking(
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
            let (Some(check), Some(script)) = (checks.get(index), inputs.scripts.get(index)) else {
                return Err(StageError::Bug(format!("there is no check {index}")));
            };
            let mark = command::mark(cx, index, attempt);
            let id = match command::find(&board, &mark) {
                Some(found) => found,
                None => command::send(cx, &instance, &mark, check, script).await?,
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
        Act::Stop { given_up } => Ok(Step::Next(Test::Terminating { instance, commands, given_up })),
    }
}

/// Cancels one of the commands that go on at a time; one that cannot be cancelled is left to the instance's end.
async fn overdue(cx: &Cx, instance: String, commands: Vec<String>) -> Result<Step<Test>, StageError> {
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

async fn cancelling(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let board = command::board(cx, &instance).await?;
    let ended = |id: &String| board.iter().any(|shown| shown.id == *id && judge::is_terminal(&shown.status));
    if commands.iter().all(ended) || cx.now().since(since) > judge::CANCELLING {
        return Ok(Step::Next(Test::Terminating { instance, commands, given_up: true }));
    }
    let progress = progress(90, "cancelling overdue commands".into(), &instance);
    Ok(Step::Wait { state: Test::Cancelling { instance, commands, since }, again_in: LOOK_EVERY, progress })
}

async fn sealing(
    inputs: &Inputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
    given_up: bool,
) -> Result<Step<Test>, StageError> {
    let invocations = invocations(cx, instance, commands, given_up).await?;
    let attempts = attempts(inputs, cx, instance, commands).await?;
    let results = report::results(&inputs.test.checks, invocations, &attempts);
    let spec = &inputs.release.spec;
    let statement = report::test_result(&results, &inputs.release.baggage.files);
    let mut baggage = inputs.release.baggage.clone();
    baggage.files.extend(report::files(&spec.service, &results));
    if !report::passed(&results)
        && let Some(console) = instance::console(cx, instance).await
    {
        baggage.files.insert(report::CONSOLE.to_owned(), console);
    }
    let images = std::slice::from_ref(&inputs.image);
    let sealed =
        hand_over(cx, Stage::Test, images, &statement, baggage, spec.evidence.valid_for.as_duration())
            .await?;
    if let Some(message) = report::failure(&results) {
        return Ok(Step::Done(Outcome::Failed(Failure::new(FailureKind::JobFailed, message))));
    }
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} of {} checks passed on {}", results.len(), results.len(), inputs.image.image_id),
        external_id: Some(instance.to_owned()),
        variables: BTreeMap::from([
            ("ImageId".to_owned(), inputs.image.image_id.clone()),
            ("InstanceId".to_owned(), instance.to_owned()),
            ("ChecksPassed".to_owned(), results.len().to_string()),
            ("StatementDigest".to_owned(), sealed.to_string()),
        ]),
    }))
}

/// How often each of the checks was sent.
async fn attempts(
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
async fn invocations(
    cx: &Cx,
    instance: &str,
    commands: &[String],
    given_up: bool,
) -> Result<Vec<Invocation>, StageError> {
    let mut invocations = Vec::with_capacity(commands.len());
    for command in commands {
        let found = command::invocation(cx, instance, command).await?;
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

async fn recalling(cx: &Cx, looks: u8, why: Failure) -> Result<Step<Test>, StageError> {
    let found = match instance::recall(cx).await {
        Ok(found) => found,
        Err(error) if error.class.is_transient() => return Err(error.into()),
        Err(error) => {
            let message = format!("{}; whether an instance was launched is not known: {error}", why.message);
            return Ok(Step::Done(Outcome::Failed(Failure::new(why.kind, message))));
        }
    };
    if found.is_empty() && looks + 1 >= LOOKS {
        return Ok(Step::Done(Outcome::Failed(why)));
    }
    let (looks, summary) = if found.is_empty() {
        (looks + 1, "looking for an instance to terminate".to_owned())
    } else {
        instance::terminate(cx, &found).await?;
        (0, format!("terminating {}", found.join(", ")))
    };
    let progress = Progress { summary, ..Progress::default() };
    Ok(Step::Wait { state: Test::Recalling { looks, why }, again_in: LOOK_EVERY, progress })
}

async fn withdrawing(cx: &Cx, instance: String, looks: u8, why: Failure) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    match found {
        Some((state, _)) if judge::has_ended(&state) => Ok(Step::Done(Outcome::Failed(why))),
        // An instance that was just launched may not be found at once; one that is long gone is never found.
        None if looks + 1 < LOOKS => {
            let progress = progress(0, format!("looking for {instance} to terminate it"), &instance);
            let state = Test::Withdrawing { instance, looks: looks + 1, why };
            Ok(Step::Wait { state, again_in: LOOK_EVERY, progress })
        }
        Some(_) | None => {
            if instance::terminate(cx, std::slice::from_ref(&instance)).await? {
                Ok(Step::Next(Test::Withdrawn { instance, why }))
            } else {
                Ok(Step::Done(Outcome::Failed(why)))
            }
        }
    }
}

async fn withdrawn(cx: &Cx, instance: String, why: Failure) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    Ok(match found.filter(|(state, _)| !judge::has_ended(state)) {
        None => Step::Done(Outcome::Failed(why)),
        Some((state, _)) => {
            let progress = progress(0, format!("terminating {instance}: {state}"), &instance);
            Step::Wait { state: Test::Withdrawn { instance, why }, again_in: LOOK_EVERY, progress }
        }
    })
}
