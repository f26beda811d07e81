//! `bakeline cleanup plan`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use futures::{StreamExt as _, stream};

use super::places::{AT_ONCE, Place};
use super::{failed, scope, spec};
use crate::cli::exit::CliError;
use crate::cli::identity::{Identity, Keys};
use crate::cli::say;
use crate::engine::error::with_causes;
use crate::evidence::predicate::{Aim, CLEANUP_PLAN, CleanupPlan, PlannedContainer};
use crate::evidence::{ContainerIdentity, ResourceDescriptor, Statement, seal};
use crate::spec::{ReleaseSpec, Span};
use crate::stage::Authority;
use crate::stage::cleanup::containers;
use crate::stage::cleanup::page::{container_name, container_pushed, cost, few, megabytes, page};
use crate::stage::cleanup::plan::draw;
use crate::stage::cleanup::survey::{self, Focus, Scope, Survey};

/// Images on standard output when it is a terminal; all of them stand in the plan.
const SHOWN: usize = 60;

/// Arguments of `bakeline cleanup plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec that says whose images, and which are kept
    #[arg(value_name = "SPEC", default_value = "bakeline.yaml")]
    spec: PathBuf,
    /// Where the signed plan is written
    #[arg(long, value_name = "FILE", default_value = "cleanup-plan.dsse.json")]
    out: PathBuf,
    /// Write the plan as a page too, for whoever approves it
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// How long the plan may be carried out
    #[arg(long, value_name = "SPAN", default_value = "1d")]
    valid_for: Span,
    /// What a GiB of snapshots costs a month, in any currency
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price: Option<f64>,
    /// Look in the account and region of a target, of the file of targets; given several times, in each at once, with a
    /// plan of its own: `cleanup-plan.ALIAS.dsse.json`
    #[arg(long, value_name = "ALIAS", verbatim_doc_comment)]
    target: Vec<String>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price >= 0.0 => Ok(price),
        _ => Err(format!("`{text}` is not a price, such as 0.05")),
    }
}

pub async fn main(args: Args) -> Result<(), CliError> {
    let spec = spec(&args.spec)?;
    scope(&spec, None)?;
    let home = Identity::aws(&args.identity.clock()).await;
    let authority = args.keys.authority(&home).await?;
    let places = Place::all(&args.identity, &args.target).await?;
    let look = |place| {
        let (args, spec) = (&args, &spec);
        async move { (place, look(place, args, spec).await) }
    };
    // Each place has its own images, references and plan: one that cannot be looked at keeps no other from it.
    let looks: Vec<(&Place, Result<CleanupPlan, CliError>)> =
        stream::iter(&places).map(look).buffered(AT_ONCE).collect().await;
    let mut fault = None;
    for (place, plan) in looks {
        let told = match plan {
            Ok(plan) => tell(place, &plan, &authority, &args).await,
            Err(error) => Err(error),
        };
        match (told, &place.alias) {
            (Ok(()), _) => {}
            (Err(error), Some(alias)) => {
                say(&format!("{alias}: {error}"))?;
                fault = Some(error);
            }
            (Err(error), None) => fault = Some(error),
        }
    }
    fault.map_or(Ok(()), Err)
}

/// What is to happen in one place.
async fn look(place: &Place, args: &Args, spec: &ReleaseSpec) -> Result<CleanupPlan, CliError> {
    let (aws, scope) = (&place.aws, scope(spec, place.alias.as_deref())?);
    let most = usize::try_from(scope.rules.at_most).unwrap_or(usize::MAX);
    let now = args.identity.clock().now();
    let survey = Survey::take(aws, &scope, Focus::Oldest(most), now).await.map_err(|e| failed(&e))?;
    if let Some(memory) = &survey.remember {
        survey::remember(aws, memory).await.map_err(|e| failed(&e))?;
    }
    survey.believed().map_err(|e| failed(&e))?;
    let here = (place.account.as_str(), aws.region());
    let plan = draw(&survey, &scope, here, args.valid_for.as_duration(), args.price);
    let containers = look_at_containers(place, args, &scope).await?;
    Ok(CleanupPlan { containers, ..plan })
}

/// What is to happen to container images, where the rules name repositories.
async fn look_at_containers(
    place: &Place,
    args: &Args,
    scope: &Scope<'_>,
) -> Result<Vec<PlannedContainer>, CliError> {
    let Some(scope) = super::containers(scope.rules, &place.account) else { return Ok(Vec::new()) };
    let (aws, now) = (&place.aws, args.identity.clock().now());
    let definitions = containers::inventory::Definitions::default();
    let survey = containers::survey::Survey::take(aws, &scope, &definitions, now).await;
    let survey = survey.map_err(|e| failed(&e))?;
    survey.settle(aws).await.map_err(|e| failed(&e))?;
    Ok(containers::plan::draw(&survey, &scope, aws.region()))
}

/// Signs the plan of one place, writes it and shows it.
async fn tell(place: &Place, plan: &CleanupPlan, authority: &Authority, args: &Args) -> Result<(), CliError> {
    if plan.images.is_empty() && plan.containers.is_empty() {
        return say(&format!("{} has no image in {} of {}", plan.service, plan.region, plan.account));
    }
    let images = plan.images.iter().map(|planned| planned.image.subject());
    let containers = plan.containers.iter().filter_map(subject);
    let subjects = images.chain(containers).collect();
    let statement = Statement::standalone(subjects, CLEANUP_PLAN, plan)
        .map_err(|error| CliError::bug(format!("the plan cannot be written: {}", with_causes(&error))))?;
    let envelope = seal(&statement, &authority.signer)
        .await
        .map_err(|error| CliError::unavailable(with_causes(&error), "the signing key must be usable"))?;
    let out = place.file(&args.out);
    write(&out, &envelope.encode(), "choose another place with --out")?;
    if let Some(path) = &args.page {
        let page = page(plan)
            .map_err(|error| CliError::bug(format!("the page cannot be written: {}", with_causes(&error))))?;
        write(&place.file(path), page.as_bytes(), "choose another place with --page")?;
    }
    let most = if std::io::stdout().is_terminal() { SHOWN } else { usize::MAX };
    let there = place.alias.as_ref().map(|alias| format!(" --environment {alias}")).unwrap_or_default();
    if let Some(alias) = &place.alias {
        say(&format!("{alias}: {} of {}", plan.region, plan.account))?;
    }
    if !plan.images.is_empty() {
        say(&table(plan, most).to_string())?;
    }
    if !plan.containers.is_empty() {
        say(&container_table(plan, most).to_string())?;
    }
    say(&totals(plan))?;
    say(&format!("carry it out with: bakeline cleanup apply {}{there}", out.display()))
}

/// A container image as a subject; none if its digest is no digest.
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
    std::fs::write(path, bytes)
        .map_err(|error| CliError::unavailable(format!("{}: {error}", path.display()), hint))
}

/// The plan as a table: what changes first, then the rest, at most so many rows.
#[must_use]
pub fn table(plan: &CleanupPlan, most: usize) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["IMAGE", "NAME", "CREATED", "NEXT", "GIB", "A MONTH", "WHY"]);
    let (acting, other): (Vec<_>, Vec<_>) = plan.images.iter().partition(|planned| planned.aim.acts());
    let rows = acting.len() + other.len();
    for planned in acting.into_iter().chain(other).take(most) {
        table.add_row([
            planned.image.image_id.clone(),
            planned.image.name.clone(),
            planned.image.creation_date.chars().take(10).collect(),
            planned.aim.name().to_owned(),
            planned.gib.to_string(),
            cost(plan, planned.gib),
            few(&planned.reasons).join("; "),
        ]);
    }
    if rows > most {
        table.add_row([format!("and {} more, in the plan", rows - most)]);
    }
    for column in [4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The container images of the plan, in the same order, at most so many rows.
#[must_use]
pub fn container_table(plan: &CleanupPlan, most: usize) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["CONTAINER IMAGE", "TAGS", "PUSHED", "NEXT", "MB", "WHY"]);
    let (acting, other): (Vec<_>, Vec<_>) = plan.containers.iter().partition(|planned| planned.aim.acts());
    for planned in acting.into_iter().chain(other).take(most) {
        table.add_row([
            container_name(planned),
            few(&planned.image.tags).join(", "),
            container_pushed(planned).to_owned(),
            planned.aim.name().to_owned(),
            megabytes(planned.bytes).to_string(),
            few(&planned.reasons).join("; "),
        ]);
    }
    if plan.containers.len() > most {
        table.add_row([format!("and {} more, in the plan", plan.containers.len() - most)]);
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the plan comes to, in a sentence for each aim.
#[must_use]
pub fn totals(plan: &CleanupPlan) -> String {
    let mut lines = Vec::new();
    for aim in [Aim::Deregister, Aim::Quarantine, Aim::Reinstate, Aim::Rest, Aim::Later, Aim::Keep] {
        let of_aim: Vec<_> = plan.images.iter().filter(|planned| planned.aim == aim).collect();
        if of_aim.is_empty() {
            continue;
        }
        let gib = of_aim.iter().map(|planned| planned.gib).fold(0, u64::saturating_add);
        let money = match cost(plan, gib) {
            none if none.is_empty() => String::new(),
            money => format!(", at most {money} a month"),
        };
        lines.push(format!("{}: {} images, {gib} GiB{money}", aim.name(), of_aim.len()));
    }
    for aim in [Aim::Delete, Aim::Quarantine, Aim::Reinstate, Aim::Rest, Aim::Later, Aim::Keep] {
        let of_aim: Vec<_> = plan.containers.iter().filter(|planned| planned.aim == aim).collect();
        if !of_aim.is_empty() {
            let bytes = of_aim.iter().map(|planned| planned.bytes).fold(0, u64::saturating_add);
            let (name, count) = (aim.name(), of_aim.len());
            lines.push(format!("{name}: {count} container images, {} MB", megabytes(bytes)));
        }
    }
    lines.join("\n")
}
