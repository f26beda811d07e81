//! `bakeline reap`: lists what runs left behind, and removes it once they have ended.

use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use super::cleanup::environments::Environment;
use super::cleanup::{failed, spec};
use super::exit::CliError;
use super::identity::Identity;
use super::{Output, json, json_line, say};
use crate::spec::Span;
use crate::stage::aws_view::image_references::Inventory;
use crate::stage::reap::{self, Builds, Leftover, LeftoverKind, Run, RunStatus, records};

/// The schema of the list as JSON.
const LIST: &str = "leftovers/v1";

/// The schema of a line about a removed leftover.
const REMOVED: &str = "removed-leftover/v1";

/// Arguments of `bakeline reap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the leftovers of all runs
    List(Search),
    /// Remove the leftovers of ended runs
    Remove(Search),
}

/// What to search for.
#[derive(Debug, clap::Args)]
struct Search {
    /// A release spec: only builds of its image pipeline or its recipe are searched
    #[arg(value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Include runs that no pipeline of this account and region knows: the pipeline was deleted, or the run is more than
    /// a year old. The run may also belong to another account, which uses this one as an environment, and still be going
    #[arg(long, verbatim_doc_comment)]
    include_unknown: bool,
    /// Include versions of launch templates that promotions created and nothing launches from, except for the newest N
    /// of each template
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    keep_template_versions: Option<usize>,
    /// Include Image Builder's records of the spec's service that are older than this: builds whose images no longer
    /// exist, and recipes and components that bakes declared and nothing uses any more
    #[arg(long, value_name = "AGE", requires = "spec", verbatim_doc_comment)]
    records_older_than: Option<Span>,
    /// The environment to search; its pipelines are those of the credentials' own account and region
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// A leftover with the status of its run.
struct Found {
    leftover: Leftover,
    status: RunStatus,
}

/// JSON output of `bakeline reap list`.
#[derive(Debug, Serialize)]
struct List<'a> {
    leftovers: Vec<Line<'a>>,
}

/// A leftover as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pipeline: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    run: &'a str,
    run_status: &'static str,
    removable: bool,
}

/// JSON output about one call of `bakeline reap remove`.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    kind: &'static str,
    id: &'a str,
    /// Whether the command must be repeated to remove it.
    again: bool,
}

pub fn main(args: Args, output: Output) -> Result<(), CliError> {
    super::runtime()?.block_on(async {
        match args.command {
            Command::List(search) => list(&search, output).await,
            Command::Remove(search) => remove(&search, output).await,
        }
    })
}

async fn list(search: &Search, output: Output) -> Result<(), CliError> {
    let (environment, spec) = prepare(search).await?;
    let found = find(search, &environment, spec.as_ref()).await?;
    let removable = found.iter().filter(|found| is_removable(search, found.status)).count();
    match output {
        Output::Json => {
            let leftovers = found.iter().map(|found| line(search, found)).collect();
            json(LIST, &List { leftovers })
        }
        Output::Text => {
            say(&table(&found).to_string())?;
            say(&format!("{removable} of {} can be removed with: bakeline reap remove", found.len()))
        }
    }
}

async fn remove(search: &Search, output: Output) -> Result<(), CliError> {
    let (environment, spec) = prepare(search).await?;
    let found = find(search, &environment, spec.as_ref()).await?;
    let mut unfinished = 0;
    for Found { leftover, .. } in found.iter().filter(|found| is_removable(search, found.status)) {
        reap::remove(&environment.aws, leftover).await.map_err(|e| failed(&e))?;
        let (text, again) = result(leftover.kind);
        unfinished += usize::from(again);
        match output {
            Output::Json => {
                json_line(REMOVED, &Removed { kind: leftover.kind.name(), id: &leftover.id, again })?;
            }
            Output::Text => say(&format!("{} {}: {text}", leftover.kind, leftover.id))?,
        }
    }
    if unfinished > 0 {
        return Err(CliError::try_again(
            format!("{unfinished} leftovers take a second call to remove"),
            "run the command again in a few minutes",
        ));
    }
    Ok(())
}

async fn prepare(search: &Search) -> Result<(Environment, Option<crate::spec::ReleaseSpec>), CliError> {
    let spec = search.spec.as_deref().map(spec).transpose()?;
    let environment = Environment::named(&search.identity, search.environment.as_deref()).await?;
    Ok((environment, spec))
}

async fn find(
    search: &Search,
    environment: &Environment,
    spec: Option<&crate::spec::ReleaseSpec>,
) -> Result<Vec<Found>, CliError> {
    let aws = &environment.aws;
    let home = Identity::aws(&search.identity.clock()).await;
    let builds = spec.map_or(Builds::All, Builds::of);
    let leftovers = reap::find(aws, builds).await.map_err(|e| failed(&e))?;
    let statuses = reap::run_statuses(&home, &leftovers).await.map_err(|e| failed(&e))?;
    let status = |leftover: &Leftover| statuses.get(&leftover.run).copied().unwrap_or(RunStatus::Unknown);
    let with_status = |leftover: Leftover| Found { status: status(&leftover), leftover };
    let mut found: Vec<Found> = leftovers.into_iter().map(with_status).collect();
    let ended = |leftover| Found { leftover, status: RunStatus::Ended };
    if let Some(keep) = search.keep_template_versions {
        let inventory = Inventory::read(aws).await.map_err(|e| failed(&e))?;
        let unused = reap::unused_template_versions(&inventory.listings, keep);
        found.extend(unused.into_iter().map(|(template, version)| {
            let id = format!("{template}/{version}");
            ended(Leftover { kind: LeftoverKind::TemplateVersion, id, run: Run::default() })
        }));
    }
    if let (Some(age), Some(spec)) = (search.records_older_than, spec) {
        let read = records::read(aws, &environment.account, &spec.service).await.map_err(|e| failed(&e))?;
        let unused = records::unused(&read, age.as_duration(), search.identity.clock().now());
        found.extend(unused.into_iter().map(ended));
    }
    Ok(found)
}

fn is_removable(search: &Search, status: RunStatus) -> bool {
    match status {
        RunStatus::Ended => true,
        RunStatus::Unknown => search.include_unknown,
        RunStatus::Running => false,
    }
}

fn table(found: &[Found]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["KIND", "ID", "PIPELINE", "RUN", "STATUS"]);
    for Found { leftover, status } in found {
        let run = &leftover.run;
        let (kind, status) = (leftover.kind.to_string(), status.to_string());
        table.add_row([&kind, &leftover.id, &run.pipeline, &run.run_id, &status]);
    }
    table
}

fn line<'a>(search: &Search, Found { leftover, status }: &'a Found) -> Line<'a> {
    Line {
        kind: leftover.kind.name(),
        id: &leftover.id,
        pipeline: &leftover.run.pipeline,
        run: &leftover.run.run_id,
        run_status: status.name(),
        removable: is_removable(search, *status),
    }
}

/// What a call did to a leftover, and whether another call is necessary.
fn result(kind: LeftoverKind) -> (&'static str, bool) {
    match kind {
        LeftoverKind::CanaryGroup => ("emptied; it can be deleted once its instances have drained", true),
        LeftoverKind::EmptiedCanaryGroup { instances } if instances > 0 => ("still draining", true),
        LeftoverKind::Build => ("cancelled", false),
        LeftoverKind::BuildRecord | LeftoverKind::Recipe | LeftoverKind::Component => {
            ("deleted, unless Image Builder reports that it is in use", false)
        }
        LeftoverKind::TaskDefinition => ("deregistered; it can be deleted next", true),
        LeftoverKind::TestInstance => ("terminated", false),
        LeftoverKind::TestTask => ("stopped", false),
        LeftoverKind::DeregisteredTaskDefinition
        | LeftoverKind::Snapshot
        | LeftoverKind::TemplateVersion
        | LeftoverKind::EmptiedCanaryGroup { .. } => ("deleted", false),
    }
}
