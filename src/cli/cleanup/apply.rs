//! `bakeline cleanup apply`.

use std::path::PathBuf;

use serde::Serialize;

use super::environments::Environment;
use super::failed;
use crate::cli::exit::{CliError, Message};
use crate::cli::identity::{Identity, Keys};
use crate::cli::{Output, json_line, say};
use crate::engine::Timestamp;
use crate::evidence::predicate::{CLEANUP_PLAN, CleanupPlan, PlanTarget};
use crate::evidence::{Envelope, Purpose, TrustRoot, dsse};
use crate::spec::Cleanup as Rules;
use crate::stage::cleanup::container_images::{self, references::Definitions};
use crate::stage::cleanup::machine_images::apply::{Applied, ApplyError, apply};
use crate::stage::cleanup::machine_images::plan::{Refusal, check_validity};
use crate::stage::cleanup::machine_images::removal::Snapshot;
use crate::stage::cleanup::machine_images::retention::KeepReasons;
use crate::stage::cleanup::machine_images::survey::Scope;

/// The schema of a line of JSON output.
const RESULT: &str = "cleanup-result/v1";

/// Arguments of `bakeline cleanup apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The signed plan that `bakeline cleanup plan` wrote
    #[arg(value_name = "PLAN", default_value = "cleanup-plan.dsse.json")]
    plan: PathBuf,
    /// The environment that the plan was made for
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

/// A line of JSON output: what was done with one image.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageResult {
    image: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snapshots_not_deleted: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snapshots_retained: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// What is said of an image that no step was made for.
const NOT_FOUND: &str = "does not exist any more";
const IN_USE: &str = "is in use by now and was left";

pub async fn main(args: Args, output: Output) -> Result<(), CliError> {
    let file = args.plan.display().to_string();
    let bytes = crate::cli::read_input(&args.plan, dsse::MAX_ENVELOPE_BYTES, "cleanup plan")?;
    let clock = args.identity.clock();
    let home = Identity::aws(&clock).await;
    let Environment { aws, account, .. } =
        Environment::named(&args.identity, args.environment.as_deref()).await?;
    let authority = args.keys.authority(&home).await?;
    let plan = read(&bytes, &authority.trust, clock.now()).map_err(|error| {
        CliError::data(
            format!("cannot use the cleanup plan `{file}`"),
            "make a new one with: bakeline cleanup plan",
        )
        .caused_by(&error)
    })?;
    let rules: Rules = serde_json::from_value(plan.policy.clone()).map_err(|error| {
        CliError::data(format!("cannot read the rules in the cleanup plan `{file}`"), "").caused_by(&error)
    })?;
    let group = |target: &PlanTarget| match target {
        PlanTarget::AutoScalingGroup { name } => name.clone(),
    };
    let groups: Vec<String> = plan.targets.iter().map(group).collect();
    let here = (account.as_str(), aws.region());
    let refused =
        |error: &Refusal| CliError::failed(Message::of(error), "nothing was changed; make a new plan");
    check_validity(&plan, clock.now(), here).map_err(|error| refused(&error))?;
    let containers = super::containers(&rules, &account).filter(|_| !plan.containers.is_empty());
    let definitions = Definitions::default();
    // All of the plan or nothing: its container images are checked before the first machine image changes.
    if let Some(scope) = &containers {
        let check = container_images::apply::check(&aws, &clock, scope, &definitions, &plan.containers).await;
        check.map_err(|error| container_error(&error))?;
    }
    if let Some(rules) = &rules.machine_images {
        let scope = Scope {
            service: &plan.service,
            rules,
            groups: groups.iter().map(String::as_str).collect(),
            known: KeepReasons::new(),
        };
        let mut reported = Ok(());
        let ended = apply(&aws, &clock, &scope, &plan, here, |image, applied| {
            if reported.is_ok() {
                reported = report(output, image, applied);
            }
        });
        let ended = ended.await;
        match ended {
            Ok(()) => reported?,
            Err(ApplyError::Stage(error)) => return Err(failed(&error)),
            Err(ApplyError::Refused(error)) => return Err(refused(&error)),
            Err(error @ ApplyError::Stuck { .. }) => {
                let hint = "check whether something else changes the image";
                return Err(CliError::failed(Message::of(&error), hint));
            }
        }
    }
    let Some(scope) = containers else { return Ok(()) };
    let mut reported = Ok(());
    let report = |image: &container_images::image::ImageKey, applied: &container_images::apply::Applied| {
        if reported.is_ok() {
            reported = report_container(output, &image.to_string(), applied);
        }
    };
    let ended =
        container_images::apply::apply(&aws, &clock, &scope, &definitions, &plan.containers, report).await;
    ended.map_err(|error| container_error(&error))?;
    reported
}

fn container_error(error: &container_images::apply::ApplyError) -> CliError {
    match error {
        container_images::apply::ApplyError::Stage(error) => failed(error),
        container_images::apply::ApplyError::Refused(refusal) => {
            CliError::failed(Message::of(refusal), "nothing more was changed; make a new plan")
        }
    }
}

/// Why the plan in a file is not used.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("it is no signed statement")]
    Envelope(#[source] dsse::EnvelopeError),
    #[error("its signature is not trusted")]
    Signature(#[source] crate::evidence::VerifyError),
    #[error("the key {key} may not sign cleanup plans now")]
    Key { key: String },
    #[error("the key {key} may not sign for the service {service}")]
    Service { key: String, service: String },
    #[error("it is a statement of type {found}, not a cleanup plan")]
    Type { found: String },
    #[error("its predicate is not readable")]
    Predicate(#[source] serde_json::Error),
}

/// The plan in an envelope, if a key signed it that may sign cleanup plans now.
fn read(bytes: &[u8], trust: &TrustRoot, now: Timestamp) -> Result<CleanupPlan, PlanError> {
    let envelope = Envelope::decode(bytes).map_err(PlanError::Envelope)?;
    let opened = trust.open(&envelope).map_err(PlanError::Signature)?;
    if !opened.key.may_sign(Purpose::CleanupPlan) || !opened.key.valid_at(now.date_time()) {
        return Err(PlanError::Key { key: opened.key.name.clone() });
    }
    if opened.statement.predicate_type() != CLEANUP_PLAN {
        return Err(PlanError::Type { found: opened.statement.predicate_type().to_owned() });
    }
    let plan: CleanupPlan =
        serde_json::from_value(opened.statement.predicate().clone()).map_err(PlanError::Predicate)?;
    if !opened.key.may_sign_for(&plan.service) {
        return Err(PlanError::Service { key: opened.key.name.clone(), service: plan.service });
    }
    Ok(plan)
}

fn report(output: Output, image: &str, applied: &Applied) -> Result<(), CliError> {
    let ids = |snapshots: Vec<&Snapshot>| -> Vec<String> {
        snapshots.iter().map(|snapshot| snapshot.id.clone()).collect()
    };
    let mut line = ImageResult { image: image.to_owned(), ..ImageResult::default() };
    let text;
    (line.result, text) = match applied {
        Applied::Quarantined => ("quarantined", "disabled and in quarantine".to_owned()),
        Applied::Restored => ("restored", "restored".to_owned()),
        Applied::Deregistered(removal) => {
            line.snapshots_not_deleted = ids(removal.not_deleted().collect());
            line.snapshots_retained = ids(removal.retained().collect());
            ("deregistered", deregistered(&line))
        }
        Applied::Refused => {
            ("refused", "EC2 refuses to deregister it: it is protected, or AWS Backup manages it".to_owned())
        }
        Applied::NotFound => ("not_found", NOT_FOUND.to_owned()),
        Applied::InUse => ("in_use", IN_USE.to_owned()),
    };
    print(output, &line, &text)
}

fn deregistered(line: &ImageResult) -> String {
    let mut parts = vec!["deregistered".to_owned()];
    if line.snapshots_not_deleted.is_empty() && line.snapshots_retained.is_empty() {
        return "deregistered with its snapshots".to_owned();
    }
    if !line.snapshots_not_deleted.is_empty() {
        parts.push(format!("snapshots not deleted: {}", line.snapshots_not_deleted.join(", ")));
    }
    if !line.snapshots_retained.is_empty() {
        let snapshots = line.snapshots_retained.join(", ");
        parts.push(format!("snapshots retained because other resources reference them: {snapshots}"));
    }
    parts.join("; ")
}

fn report_container(
    output: Output,
    image: &str,
    applied: &container_images::apply::Applied,
) -> Result<(), CliError> {
    use container_images::apply::Applied;
    let mut line = ImageResult { image: image.to_owned(), ..ImageResult::default() };
    let text;
    (line.result, text) = match applied {
        Applied::Archived => ("quarantined", "archived and in quarantine".to_owned()),
        Applied::Restored => ("restored", "being restored from the archive".to_owned()),
        Applied::Deleted => ("deleted", "deleted".to_owned()),
        Applied::Refused(code) => {
            line.code = Some(code.clone());
            ("refused", format!("ECR refuses to delete it: {code}"))
        }
        Applied::NotFound => ("not_found", NOT_FOUND.to_owned()),
        Applied::InUse => ("in_use", IN_USE.to_owned()),
    };
    print(output, &line, &text)
}

fn print(output: Output, line: &ImageResult, text: &str) -> Result<(), CliError> {
    match output {
        Output::Json => json_line(RESULT, line),
        Output::Text => say(&format!("{}: {text}", line.image)),
    }
}
