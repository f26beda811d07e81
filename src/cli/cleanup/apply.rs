//! `bakeline cleanup apply`.

use std::path::PathBuf;

use super::failed;
use super::places::Place;
use crate::cli::exit::CliError;
use crate::cli::identity::{Identity, Keys};
use crate::cli::say;
use crate::engine::Timestamp;
use crate::engine::error::with_causes;
use crate::evidence::predicate::{CLEANUP_PLAN, CleanupPlan};
use crate::evidence::{Envelope, Purpose, TrustRoot, dsse};
use crate::spec::Cleanup as Rules;
use crate::stage::cleanup::Snapshot;
use crate::stage::cleanup::apply::{ApplyError, Done, apply};
use crate::stage::cleanup::containers;
use crate::stage::cleanup::retain::Uses;
use crate::stage::cleanup::survey::Scope;

/// Arguments of `bakeline cleanup apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The signed plan that `bakeline cleanup plan` wrote
    #[arg(value_name = "PLAN", default_value = "cleanup-plan.dsse.json")]
    plan: PathBuf,
    /// The target, of the file of targets, that the plan was made for
    #[arg(long, value_name = "ALIAS")]
    target: Option<String>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

pub async fn main(args: Args) -> Result<(), CliError> {
    let file = args.plan.display().to_string();
    let bytes = crate::cli::read(&args.plan, dsse::MAX_ENVELOPE_BYTES).map_err(|error| {
        CliError::data(format!("{file}: {error}"), "make one with: bakeline cleanup plan")
    })?;
    let clock = args.identity.clock();
    let home = Identity::aws(&clock).await;
    let Place { aws, account, .. } = Place::named(&args.identity, args.target.as_deref()).await?;
    let authority = args.keys.authority(&home).await?;
    let plan = read(&bytes, &authority.trust, clock.now()).map_err(|why| {
        CliError::data(format!("{file}: {why}"), "make a new one with: bakeline cleanup plan")
    })?;
    let rules: Rules = serde_json::from_value(plan.policy.clone())
        .map_err(|error| CliError::data(format!("{file}: its rules cannot be read: {error}"), ""))?;
    let scope =
        Scope { service: &plan.service, rules: &rules, group: plan.group.as_deref(), known: Uses::new() };
    let containers = super::containers(&rules, &account).filter(|_| !plan.containers.is_empty());
    let definitions = containers::inventory::Definitions::default();
    // Exactly the plan or nothing: its other half is held against the world before the first call.
    if let Some(scope) = &containers {
        let check = containers::apply::check(&aws, &clock, scope, &definitions, &plan.containers).await;
        check.map_err(|error| container_error(&error))?;
    }
    let mut told = Ok(());
    let ended = apply(&aws, &clock, &scope, &plan, (&account, aws.region()), |image, done| {
        if told.is_ok() {
            told = say(&format!("{image}: {}", words(done)));
        }
    })
    .await;
    match ended {
        Ok(()) => told?,
        Err(ApplyError::Stage(error)) => return Err(failed(&error)),
        Err(error @ ApplyError::Refused(_)) => {
            return Err(CliError::failed(error.to_string(), "nothing was changed; make a new plan"));
        }
        Err(error @ ApplyError::Stuck { .. }) => {
            return Err(CliError::failed(error.to_string(), "does something else change the image back?"));
        }
    }
    let Some(scope) = containers else { return Ok(()) };
    let mut told = Ok(());
    let tell = |image: &containers::image::Key, done: &containers::apply::Done| {
        if told.is_ok() {
            told = say(&format!("{image}: {}", container_words(done)));
        }
    };
    let ended = containers::apply::apply(&aws, &clock, &scope, &definitions, &plan.containers, tell).await;
    ended.map_err(|error| container_error(&error))?;
    told
}

fn container_error(error: &containers::apply::ApplyError) -> CliError {
    match error {
        containers::apply::ApplyError::Stage(error) => failed(error),
        containers::apply::ApplyError::Refused(refusal) => {
            CliError::failed(refusal.to_string(), "nothing more was changed; make a new plan")
        }
    }
}

fn container_words(done: &containers::apply::Done) -> String {
    use containers::apply::Done;
    match done {
        Done::Archived => "in the archive, and in quarantine".to_owned(),
        Done::Reinstated => "on its way back from the archive".to_owned(),
        Done::Deleted => "deleted".to_owned(),
        Done::Held(code) => format!("held by ECR: {code}"),
        Done::Gone => "was gone".to_owned(),
        Done::Needed => "has become needed, and was left".to_owned(),
    }
}

/// The plan inside an envelope, if a key signed it that may sign for cleanups now.
fn read(bytes: &[u8], trust: &TrustRoot, now: Timestamp) -> Result<CleanupPlan, String> {
    let envelope = Envelope::decode(bytes).map_err(|error| with_causes(&error))?;
    let opened = trust.open(&envelope).map_err(|error| with_causes(&error))?;
    if !opened.key.may_sign(Purpose::CleanupPlan) || !opened.key.valid_at(now.date_time()) {
        return Err(format!("the key {} may not sign cleanup plans now", opened.key.name));
    }
    if opened.statement.predicate_type() != CLEANUP_PLAN {
        return Err(format!(
            "it is a statement of type {}, no cleanup plan",
            opened.statement.predicate_type()
        ));
    }
    serde_json::from_value(opened.statement.predicate().clone())
        .map_err(|error| format!("the plan cannot be read: {error}"))
}

fn words(done: &Done) -> String {
    match done {
        Done::Quarantined => "disabled, and in quarantine".to_owned(),
        Done::Reinstated => "back as it was".to_owned(),
        Done::Removed(image) => {
            let ids = |snapshots: Vec<&Snapshot>| {
                snapshots.iter().map(|snapshot| snapshot.id.as_str()).collect::<Vec<_>>().join(", ")
            };
            let (left, held) = (ids(image.left_over().collect()), ids(image.held().collect()));
            match (left.is_empty(), held.is_empty()) {
                (true, true) => "deregistered with its snapshots".to_owned(),
                (false, true) => format!("deregistered; snapshots not deleted: {left}"),
                (true, false) => {
                    format!("deregistered; snapshots left, since something else names them: {held}")
                }
                (false, false) => format!(
                    "deregistered; snapshots not deleted: {left}; left, since something else names them: {held}"
                ),
            }
        }
        Done::Held => "held by EC2: protected, or kept by AWS Backup".to_owned(),
        Done::Gone => "was gone".to_owned(),
        Done::Needed => "has become needed, and was left".to_owned(),
    }
}
