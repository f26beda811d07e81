//! `bakeline cleanup plan`.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use futures::{StreamExt as _, stream};
use serde::Serialize;

use super::environments::{AT_ONCE, Environment};
use super::{failed, rules, scope, spec};
use crate::cli::exit::CliError;
use crate::cli::identity::{Identity, Keys};
use crate::cli::{Output, json_line, say};
use crate::engine::Timestamp;
use crate::evidence::predicate::{CLEANUP_PLAN, CleanupPlan, PlannedAction, PlannedContainer};
use crate::evidence::{ContainerIdentity, ResourceDescriptor, Statement, seal};
use crate::spec::{ReleaseSpec, Span};
use crate::stage::Authority;
use crate::stage::cleanup::container_images::{self, references::Definitions};
use crate::stage::cleanup::list_lengths;
use crate::stage::cleanup::machine_images::survey::{Inspect, Scope, Survey};
use crate::stage::cleanup::plan::{Header, make_plan};
use crate::stage::cleanup::plan_page::{
    container_name, container_pushed, cost, first_reasons, megabytes, page,
};

/// Maximum number of images in a terminal's table. The plan has all of them.
const MAX_ROWS: usize = 60;

/// The schema of a line of JSON output: the plan for one environment.
const REPORT: &str = "cleanup-plan-report/v1";

/// Arguments of `bakeline cleanup plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec with the cleanup rules
    #[arg(value_name = "SPEC", default_value = "bakeline.yaml")]
    spec: PathBuf,
    /// Where to write the signed plan
    #[arg(long, value_name = "FILE", default_value = "cleanup-plan.dsse.json")]
    out: PathBuf,
    /// Also write the plan as an HTML page, for whoever approves it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How long the plan may be applied
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    valid_for: Span,
    /// The price of a GiB of snapshots per month, in any currency
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_per_gib_month: Option<f64>,
    /// An environment to plan for, from the environments file; may be given several times. Each gets a plan of its own:
    /// `cleanup-plan.NAME.dsse.json`
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    environment: Vec<String>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

/// A line of JSON output.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    /// The file of the signed plan.
    file: String,
    plan: &'a CleanupPlan,
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err(format!("`{text}` is not a price, such as 0.05")),
    }
}

pub async fn main(args: Args, output: Output) -> Result<(), CliError> {
    let spec = spec(&args.spec)?;
    rules(&spec)?;
    let home = Identity::aws(&args.identity.clock()).await;
    let authority = args.keys.authority(&home).await?;
    let environments = Environment::all(&args.identity, &args.environment).await?;
    let plan = |environment| {
        let (args, spec) = (&args, &spec);
        async move { (environment, plan(environment, args, spec).await) }
    };
    // Each environment has its own images, references and plan: a failure in one does not affect the others.
    let plans: Vec<(&Environment, Result<CleanupPlan, CliError>)> =
        stream::iter(&environments).map(plan).buffered(AT_ONCE).collect().await;
    let mut last_error = None;
    for (environment, plan) in plans {
        let written = match plan {
            Ok(plan) => write_plan(environment, &plan, &authority, &args, output).await,
            Err(error) => Err(error),
        };
        match (written, &environment.name) {
            (Ok(()), _) => {}
            (Err(error), Some(name)) => {
                // With standard error closed, the exit code remains.
                let _ = writeln!(std::io::stderr(), "{name}: {error}");
                last_error = Some(error);
            }
            (Err(error), None) => last_error = Some(error),
        }
    }
    last_error.map_or(Ok(()), Err)
}

/// Makes the plan for one environment.
async fn plan(environment: &Environment, args: &Args, spec: &ReleaseSpec) -> Result<CleanupPlan, CliError> {
    let (aws, account) = (&environment.aws, environment.account.as_str());
    let (rules, now) = (rules(spec)?, args.identity.clock().now());
    let scope = scope(spec, rules, environment.name.as_deref());
    let survey = match &scope {
        Some(scope) => Some(survey(environment, scope, now).await?),
        None => None,
    };
    let container_scope = super::containers(rules, account);
    let container_survey = match &container_scope {
        Some(scope) => Some(survey_containers(environment, scope, now).await?),
        None => None,
    };
    let header = Header {
        service: &spec.service,
        rules,
        account,
        region: aws.region(),
        now,
        valid_for: args.valid_for.as_duration(),
        price_per_gib_month: args.price_per_gib_month,
    };
    let machine = survey.as_ref().zip(scope.as_ref());
    Ok(make_plan(&header, machine, container_survey.as_ref().zip(container_scope.as_ref())))
}

async fn survey(environment: &Environment, scope: &Scope<'_>, now: Timestamp) -> Result<Survey, CliError> {
    let aws = &environment.aws;
    let max = usize::try_from(scope.rules.max_per_run).unwrap_or(usize::MAX);
    let survey = Survey::take(aws, scope, Inspect::Oldest(max), now).await.map_err(|e| failed(&e))?;
    if let Some(lengths) = &survey.changed_lengths {
        let saved = list_lengths::save(aws, list_lengths::MACHINE_IMAGES, lengths).await;
        saved.map_err(|e| failed(&e))?;
    }
    survey.check_lengths().map_err(|e| failed(&e.into()))?;
    Ok(survey)
}

async fn survey_containers(
    environment: &Environment,
    scope: &container_images::survey::Scope<'_>,
    now: Timestamp,
) -> Result<container_images::survey::Survey, CliError> {
    let (aws, definitions) = (&environment.aws, Definitions::default());
    let survey = container_images::survey::Survey::take(aws, scope, &definitions, now).await;
    let survey = survey.map_err(|e| failed(&e))?;
    survey.save_lengths(aws).await.map_err(|e| failed(&e))?;
    Ok(survey)
}

/// Signs the plan for one environment, writes it and prints it.
async fn write_plan(
    environment: &Environment,
    plan: &CleanupPlan,
    authority: &Authority,
    args: &Args,
    output: Output,
) -> Result<(), CliError> {
    let out = environment.file(&args.out);
    let is_empty = plan.images.is_empty() && plan.containers.is_empty();
    if !is_empty {
        let images = plan.images.iter().map(|planned| planned.image.subject());
        let containers = plan.containers.iter().filter_map(subject);
        let statement = Statement::standalone(images.chain(containers).collect(), CLEANUP_PLAN, plan)
            .map_err(|error| CliError::bug("the plan cannot be made a statement").caused_by(&error))?;
        let envelope = seal(&statement, &authority.signer).await.map_err(|error| {
            CliError::unavailable("the plan cannot be signed", "check the signing key").caused_by(&error)
        })?;
        write(&out, &envelope.encode(), "choose another path with --out")?;
        if let Some(path) = &args.html {
            let page =
                page(plan).map_err(|error| CliError::bug("the page cannot be written").caused_by(&error))?;
            write(&environment.file(path), page.as_bytes(), "choose another path with --html")?;
        }
    }
    if output == Output::Json {
        let report =
            Report { environment: environment.name.as_deref(), file: out.display().to_string(), plan };
        return json_line(REPORT, &report);
    }
    if is_empty {
        return say(&format!("{} has no images in {} of {}", plan.service, plan.region, plan.account));
    }
    let max = if std::io::stdout().is_terminal() { MAX_ROWS } else { usize::MAX };
    let flag = environment.name.as_ref().map(|name| format!(" --environment {name}")).unwrap_or_default();
    if let Some(name) = &environment.name {
        say(&format!("{name}: {} of {}", plan.region, plan.account))?;
    }
    if !plan.images.is_empty() {
        say(&table(plan, max).to_string())?;
    }
    if !plan.containers.is_empty() {
        say(&container_table(plan, max).to_string())?;
    }
    say(&totals(plan))?;
    say(&format!("apply it with: bakeline cleanup apply {}{flag}", out.display()))
}

/// A container image as the subject of a statement; `None` if its digest cannot be parsed.
fn subject(planned: &PlannedContainer) -> Option<ResourceDescriptor> {
    let image = &planned.image;
    let identity = ContainerIdentity {
        region: image.region.clone(),
        account: image.account.clone(),
        repository: image.repository.clone(),
        digest: image.digest.strip_prefix("sha256:")?.parse().ok()?,
        tag: None,
    };
    ContainerIdentity::subjects(&[identity]).pop()
}

fn write(path: &Path, bytes: &[u8], hint: &str) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|error| {
        CliError::unavailable(format!("cannot write `{}`", path.display()), hint).caused_by(&error)
    })
}

/// The plan as a table of at max `max` rows: images that change first, then the others.
#[must_use]
pub fn table(plan: &CleanupPlan, max: usize) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["IMAGE", "NAME", "CREATED", "ACTION", "GIB", "PER MONTH", "REASONS"]);
    let (acting, other): (Vec<_>, Vec<_>) =
        plan.images.iter().partition(|planned| planned.action.changes_image());
    let rows = acting.len() + other.len();
    for planned in acting.into_iter().chain(other).take(max) {
        table.add_row([
            planned.image.image_id.clone(),
            planned.image.name.clone(),
            planned.image.creation_date.chars().take(10).collect(),
            planned.action.name().to_owned(),
            planned.gib.to_string(),
            cost(plan, planned.gib),
            first_reasons(&planned.reasons).join("; "),
        ]);
    }
    if rows > max {
        table.add_row([format!("and {} more, in the plan", rows - max)]);
    }
    for column in [4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The container images of the plan, in the same order, at max so many rows.
#[must_use]
pub fn container_table(plan: &CleanupPlan, max: usize) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["CONTAINER IMAGE", "TAGS", "PUSHED", "ACTION", "MB", "REASONS"]);
    let (acting, other): (Vec<_>, Vec<_>) =
        plan.containers.iter().partition(|planned| planned.action.changes_image());
    for planned in acting.into_iter().chain(other).take(max) {
        table.add_row([
            container_name(planned),
            first_reasons(&planned.image.tags).join(", "),
            container_pushed(planned).to_owned(),
            planned.action.name().to_owned(),
            megabytes(planned.bytes).to_string(),
            first_reasons(&planned.reasons).join("; "),
        ]);
    }
    if plan.containers.len() > max {
        table.add_row([format!("and {} more, in the plan", plan.containers.len() - max)]);
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The totals of the plan, one line per action.
#[must_use]
pub fn totals(plan: &CleanupPlan) -> String {
    let mut lines = Vec::new();
    for action in [
        PlannedAction::Deregister,
        PlannedAction::Quarantine,
        PlannedAction::Restore,
        PlannedAction::Wait,
        PlannedAction::Deferred,
        PlannedAction::Keep,
    ] {
        let of_action: Vec<_> = plan.images.iter().filter(|planned| planned.action == action).collect();
        if of_action.is_empty() {
            continue;
        }
        let gib = of_action.iter().map(|planned| planned.gib).fold(0, u64::saturating_add);
        let money = match cost(plan, gib) {
            none if none.is_empty() => String::new(),
            money => format!(", at max {money} a month"),
        };
        lines.push(format!("{}: {} images, {gib} GiB{money}", action.name(), of_action.len()));
    }
    for action in [
        PlannedAction::Delete,
        PlannedAction::Quarantine,
        PlannedAction::Restore,
        PlannedAction::Wait,
        PlannedAction::Deferred,
        PlannedAction::Keep,
    ] {
        let of_action: Vec<_> = plan.containers.iter().filter(|planned| planned.action == action).collect();
        if !of_action.is_empty() {
            let bytes = of_action.iter().map(|planned| planned.bytes).fold(0, u64::saturating_add);
            let (name, count) = (action.name(), of_action.len());
            lines.push(format!("{name}: {count} container images, {} MB", megabytes(bytes)));
        }
    }
    lines.join("\n")
}
