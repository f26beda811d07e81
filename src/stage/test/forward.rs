//! The way of the instance: launched, up, tested, gone; and the hand-over of what was found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::judge::{self, Boot};
use super::page::{self, About};
use super::soak::{self, Soaked, Stand};
use super::{BOOT_EVERY, Inputs, LOOK_EVERY, SOAK_EVERY, Test, checks, instance, progress, report};
use crate::engine::{Failure, FailureKind, Outcome, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::spec::{Limit, Soak};
use crate::stage::Cx;
use crate::stage::aws_view::metric_data::{self, MetricValue};
use crate::stage::handover::hand_over;

pub async fn launching(inputs: &Inputs, cx: &Cx, spot: bool) -> Result<Step<Test>, StageError> {
    instance::prove_image(cx, &inputs.image).await?;
    let service = &inputs.release.spec.service;
    Ok(match instance::launch(cx, &inputs.test, &inputs.image.image_id, service, spot).await? {
        Some(instance) => Step::Next(Test::Booting { instance, since: cx.now() }),
        None => Step::Next(Test::LaunchingOnDemand),
    })
}

pub async fn booting(
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
    let limit = inputs.test.start_timeout.as_duration();
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

/// Watches the instance, whose checks have all passed.
pub async fn soaking(
    inputs: &Inputs,
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let Some(soak) = &inputs.test.soak else {
        return Ok(Step::Next(Test::Terminating { instance, commands, given_up: false, soak: None }));
    };
    // A wait, not a next: how the soak ended must have been written to the token before the instance ends, or a worker
    // that begins the slice anew would find it gone.
    let over = |instance: String, commands, soaked: Soaked| {
        let summary =
            soaked.why.as_deref().map_or_else(|| "soaked".to_owned(), |why| format!("soaked: {why}"));
        let progress = progress(91, summary, &instance);
        let state = Test::Terminating { instance, commands, given_up: false, soak: Some(soaked) };
        Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress })
    };
    // Whole periods only count: the first and the last are cut off, so a look past the end has them all.
    let until = cx.now();
    let found = instance::state(cx, &instance).await?;
    if let Some((state, reason)) = found.filter(|(state, _)| judge::has_ended(state)) {
        let why = Some(soak::shortened(&format!("the instance ended by itself: {state}: {reason}")));
        return over(instance, commands, Soaked { since, until, why });
    }
    let metrics = numbers(cx, soak, &instance, since, until).await?;
    match soak::stand(soak, &metrics, cx.now().since(since)) {
        Stand::Over(why) => over(instance, commands, Soaked { since, until, why }),
        Stand::Going(summary) => {
            let progress = progress(90, summary, &instance);
            Ok(Step::Wait {
                state: Test::Soaking { instance, commands, since },
                again_in: SOAK_EVERY,
                progress,
            })
        }
    }
}

/// What the soak's metrics came to between two moments.
async fn numbers(
    cx: &Cx,
    soak: &Soak,
    instance: &str,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Limit, MetricValue)>, StageError> {
    let mut numbers = Vec::with_capacity(soak.limits.len());
    for metric in soak.limits_of(instance) {
        let number = metric_data::read(&cx.aws, &metric, since, until).await?;
        numbers.push((metric, number));
    }
    Ok(numbers)
}

/// Asks EC2 to end the instance, until only its refusal is left.
pub async fn terminating(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    given_up: bool,
    soak: Option<Soaked>,
) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    let going = found.is_some_and(|(state, _)| judge::has_ended(&state));
    // An instance that is not found may be seen by an old look; only EC2's refusal to end it is proof.
    if going || !instance::terminate(cx, std::slice::from_ref(&instance)).await? {
        return Ok(Step::Next(Test::Sealing { instance, commands, given_up, soak }));
    }
    Ok(Step::Next(Test::Ending { instance, commands, given_up, soak }))
}

pub async fn ending(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    given_up: bool,
    soak: Option<Soaked>,
) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    Ok(match found.filter(|(state, _)| !judge::has_ended(state)) {
        None => Step::Next(Test::Sealing { instance, commands, given_up, soak }),
        Some((state, _)) => {
            let progress = progress(92, format!("terminating {instance}: {state}"), &instance);
            Step::Wait {
                state: Test::Ending { instance, commands, given_up, soak },
                again_in: LOOK_EVERY,
                progress,
            }
        }
    })
}

pub async fn sealing(
    inputs: &Inputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
    given_up: bool,
    soak: Option<Soaked>,
) -> Result<Step<Test>, StageError> {
    let invocations = checks::invocations(inputs, cx, instance, commands, given_up).await?;
    let attempts = checks::attempts(inputs, cx, instance, commands).await?;
    let mut results = report::results(&inputs.test.checks, invocations, &attempts);
    if let Some(asked) = &inputs.test.soak {
        let metrics = match &soak {
            Some(soaked) => numbers(cx, asked, instance, soaked.since, soaked.until).await?,
            None => Vec::new(),
        };
        results.push(soak::result(asked, soak.as_ref().map(|soaked| (soaked, metrics.as_slice()))));
    }
    let spec = &inputs.release.spec;
    let statement = report::test_result(&results, &inputs.release.artifact.files);
    let mut artifact = inputs.release.artifact.clone();
    artifact.files.extend(report::files(&spec.service, &results));
    if !report::passed(&results)
        && let Some(console) = instance::console(cx, instance).await
    {
        artifact.files.insert(report::CONSOLE.to_owned(), console);
    }
    let about = About {
        service: &spec.service,
        image: &inputs.image.image_id,
        name: &inputs.image.name,
        region: &inputs.image.region,
        account: &inputs.image.account,
        on: "instance",
        instance,
        console: artifact.files.contains_key(report::CONSOLE),
    };
    let page = page::page(about, &results)
        .map_err(|error| StageError::Bug(format!("the page of the test cannot be written: {error}")))?;
    artifact.files.insert(page::PAGE.to_owned(), page.into_bytes());
    let images = std::slice::from_ref(&inputs.image);
    let sealed =
        hand_over(cx, Stage::Test, images, &statement, artifact, spec.evidence.valid_for.as_duration())
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
