//! The steps of a test on an instance: launch, boot, soak, terminate, and sign the result.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::checks::page::{self, About};
use super::super::checks::report;
use super::super::state::{SoakResult, Test};
use super::boot::{self, BootState};
use super::ec2::Launch;
use super::error::InstanceError;
use super::soak::{self, SoakState};
use super::{
    BOOT_POLL_INTERVAL, CAPACITY_POLL_INTERVAL, InstanceInputs, POLL_INTERVAL, SOAK_POLL_INTERVAL, ec2,
    progress, run_checks,
};
use crate::engine::{Failure, FailureKind, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::spec::test::instance::Capacity;
use crate::spec::{Limit, Soak};
use crate::stage::Cx;
use crate::stage::aws_view::metric_data::{self, MetricValue};
use crate::stage::handover::hand_over;

/// Launches the instance, or finds the one of this attempt.
///
/// Without capacity in a subnet the next subnet is tried; without Spot capacity in any subnet, an on-demand instance.
pub async fn launch(
    inputs: &InstanceInputs,
    cx: &Cx,
    subnet: u8,
    on_demand: bool,
) -> Result<Step<Test>, StageError> {
    let wanted = inputs.test.instance.as_ref().ok_or(InstanceError::NoInstance)?;
    ec2::verify_image(cx, &inputs.image).await?;
    let service = &inputs.release.spec.service;
    let spot = !on_demand && wanted.capacity == Capacity::PreferSpot;
    let launching =
        |subnet| if on_demand { Test::LaunchingOnDemand { subnet } } else { Test::Launching { subnet } };
    let error = match ec2::launch(cx, wanted, &inputs.image.image_id, service, subnet, spot).await? {
        Launch::Launched(instance) => {
            return Ok(Step::Next(Test::Booting { instance, since: cx.now() }));
        }
        Launch::NoCapacity(error) => error,
    };
    let next = subnet.saturating_add(1);
    if usize::from(next) < wanted.subnets.len() {
        tracing::info!(%error, "EC2 has no capacity in this subnet; trying the next one");
        return Ok(Step::Next(launching(next)));
    }
    if spot {
        tracing::info!(%error, "there is no Spot capacity; launching an on-demand instance");
        return Ok(Step::Next(Test::LaunchingOnDemand { subnet: 0 }));
    }
    if subnet == 0 {
        return Err(error.into());
    }
    let progress = Progress { summary: format!("no subnet has capacity: {error}"), ..Progress::default() };
    Ok(Step::Wait { state: launching(0), again_in: CAPACITY_POLL_INTERVAL, progress })
}

/// Waits until the instance is up.
pub async fn wait_for_boot(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: String,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let missing = match boot::boot_state(&ec2::health(cx, &instance).await?) {
        BootState::Ready => return Ok(Step::Next(Test::SendingChecks { instance, commands: Vec::new() })),
        BootState::Waiting(missing) => missing,
        BootState::Ended => {
            // A launch can fail after RunInstances has succeeded. The client token also finds a terminated instance.
            let (state, reason) = ec2::state(cx, &instance).await?.unwrap_or_default();
            let image = inputs.image.image_id.clone();
            return Err(InstanceError::Ended { instance, image, state, reason }.into());
        }
    };
    let limit = inputs.test.start_timeout.as_duration();
    let elapsed = cx.now().since(since);
    if elapsed > limit {
        let (image, seconds) = (inputs.image.image_id.clone(), limit.as_secs());
        return Err(InstanceError::NotUp { instance, image, seconds, missing }.into());
    }
    // Up to 20 percent, by the elapsed part of the timeout.
    let percent =
        u8::try_from(elapsed.as_secs().saturating_mul(20) / limit.as_secs().max(1)).unwrap_or(20).min(20);
    let progress = progress(percent, format!("booting {instance}: {missing}"), &instance);
    Ok(Step::Wait { state: Test::Booting { instance, since }, again_in: BOOT_POLL_INTERVAL, progress })
}

/// Watches the metrics of the instance after all checks have passed.
pub async fn soak(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let Some(soak) = &inputs.test.soak else {
        return Ok(Step::Next(Test::Terminating { instance, commands, abandoned: false, soak: None }));
    };
    // `Wait`, not `Next`: the token must hold the result before the instance is terminated. A worker that repeats the
    // slice would find the instance gone.
    let end = |instance: String, commands, result: SoakResult| {
        let summary = result
            .failure
            .as_deref()
            .map_or_else(|| "soak passed".to_owned(), |failure| format!("soak failed: {failure}"));
        let progress = progress(91, summary, &instance);
        let state = Test::Terminating { instance, commands, abandoned: false, soak: Some(result) };
        Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress })
    };
    // Only whole periods count. A read after the end of the soak has all of them.
    let until = cx.now();
    let found = ec2::state(cx, &instance).await?;
    if let Some((state, reason)) = found.filter(|(state, _)| boot::has_ended(state)) {
        let failure = format!("the instance ended by itself: {state}: {reason}");
        return end(instance, commands, SoakResult::new(since, until, Some(&failure)));
    }
    let values = values(cx, soak, &instance, since, until).await?;
    match soak::state(soak, &values, cx.now().since(since)) {
        SoakState::Ended(failure) => {
            end(instance, commands, SoakResult::new(since, until, failure.as_deref()))
        }
        SoakState::Running(summary) => {
            let progress = progress(90, summary, &instance);
            let state = Test::Soaking { instance, commands, since };
            Ok(Step::Wait { state, again_in: SOAK_POLL_INTERVAL, progress })
        }
    }
}

/// The values of the soak's metrics between two times.
async fn values(
    cx: &Cx,
    soak: &Soak,
    instance: &str,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Limit, MetricValue)>, StageError> {
    let mut values = Vec::with_capacity(soak.limits.len());
    for limit in soak.limits_of(instance) {
        let value = metric_data::read(&cx.aws, &limit, since, until).await?;
        values.push((limit, value));
    }
    Ok(values)
}

/// Asks EC2 to terminate the instance.
pub async fn terminate(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    abandoned: bool,
    soak: Option<SoakResult>,
) -> Result<Step<Test>, StageError> {
    let found = ec2::state(cx, &instance).await?;
    let has_ended = found.is_some_and(|(state, _)| boot::has_ended(&state));
    // A stale read may not find the instance. Only EC2's refusal to terminate it proves that it is gone.
    if has_ended || !ec2::terminate(cx, std::slice::from_ref(&instance)).await? {
        return Ok(Step::Next(Test::Sealing { instance, commands, abandoned, soak }));
    }
    Ok(Step::Next(Test::ConfirmingTermination { instance, commands, abandoned, soak }))
}

/// Waits until the instance is terminated or shutting down.
pub async fn confirm_termination(
    cx: &Cx,
    instance: String,
    commands: Vec<String>,
    abandoned: bool,
    soak: Option<SoakResult>,
) -> Result<Step<Test>, StageError> {
    let found = ec2::state(cx, &instance).await?;
    Ok(match found.filter(|(state, _)| !boot::has_ended(state)) {
        None => Step::Next(Test::Sealing { instance, commands, abandoned, soak }),
        Some((state, _)) => {
            let progress = progress(92, format!("terminating {instance}: {state}"), &instance);
            let state = Test::ConfirmingTermination { instance, commands, abandoned, soak };
            Step::Wait { state, again_in: POLL_INTERVAL, progress }
        }
    })
}

/// Signs the test result and stores the output artifact. Ends the action.
pub async fn seal(
    inputs: &InstanceInputs,
    cx: &Cx,
    instance: &str,
    commands: &[String],
    abandoned: bool,
    soak: Option<SoakResult>,
) -> Result<Step<Test>, StageError> {
    let invocations = run_checks::invocations(inputs, cx, instance, commands, abandoned).await?;
    let attempts = run_checks::attempts(inputs, cx, instance, commands).await?;
    let mut results = report::results(&inputs.test.checks, invocations, &attempts);
    if let Some(spec) = &inputs.test.soak {
        let values = match &soak {
            Some(soak) => values(cx, spec, instance, soak.since, soak.until).await?,
            None => Vec::new(),
        };
        results.push(soak::result(spec, soak.as_ref().map(|soak| (soak, values.as_slice()))));
    }
    let spec = &inputs.release.spec;
    let statement = report::test_result(&results, &inputs.release.artifact.files);
    let mut artifact = inputs.release.artifact.clone();
    artifact.files.extend(report::files(&spec.service, &results));
    if !report::passed(&results)
        && let Some(console) = ec2::console(cx, instance).await
    {
        artifact.files.insert(report::CONSOLE.to_owned(), console);
    }
    let about = About {
        service: &spec.service,
        image: &inputs.image.image_id,
        name: &inputs.image.name,
        region: &inputs.image.region,
        account: &inputs.image.account,
        kind: "instance",
        id: instance,
        console: artifact.files.contains_key(report::CONSOLE),
    };
    let page = page::page(about, &results).map_err(StageError::bug)?;
    artifact.files.insert(page::PAGE.to_owned(), page.into_bytes());
    let images = std::slice::from_ref(&inputs.image);
    let valid_for = spec.evidence.valid_for.as_duration();
    let digest = hand_over(cx, Stage::Test, images, &statement, artifact, valid_for).await?;
    if let Some(message) = report::failure(&results) {
        return Ok(Step::Done(Outcome::Failed(Failure::new(FailureKind::JobFailed, message))));
    }
    let image = &inputs.image.image_id;
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} of {} checks passed on {image}", results.len(), results.len()),
        external_id: Some(instance.to_owned()),
        variables: BTreeMap::from([
            ("Image".to_owned(), image.clone()),
            ("ImageKind".to_owned(), "machine_image".to_owned()),
            ("ImageId".to_owned(), image.clone()),
            ("InstanceId".to_owned(), instance.to_owned()),
            ("ChecksPassed".to_owned(), results.len().to_string()),
            ("StatementDigest".to_owned(), digest.to_string()),
        ]),
    }))
}
