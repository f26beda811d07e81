//! `bakeline reap`: lists what runs left behind, and removes it once they have ended.

use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::cleanup::places::Place;
use super::cleanup::{failed, spec};
use super::exit::CliError;
use super::identity::Identity;
use super::say;
use crate::spec::Span;
use crate::stage::cleanup::inventory::Inventory;
use crate::stage::reap::{self, Builds, Leftover, Run, Standing, What, records};

/// Arguments of `bakeline reap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A release spec: of builds, only those of its image pipeline or its recipe are looked at
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Remove what belongs to executions that have ended; without it everything is only listed
    #[arg(long)]
    remove: bool,
    /// Remove what no pipeline of this account and region knows of, too: its pipeline was deleted, or its execution is
    /// older than a year. It may also be another account's, which acts here as a target, and be under way
    #[arg(long, verbatim_doc_comment)]
    forgotten: bool,
    /// Give up versions of launch templates that promotions made and nothing launches from, but for so many of the
    /// newest of each template
    #[arg(long, value_name = "KEEP", verbatim_doc_comment)]
    template_versions: Option<usize>,
    /// Give up Image Builder's records of the spec's service that are older than this: builds whose images are gone, and
    /// recipes and components of its bakes that nothing is made from any more
    #[arg(long, value_name = "AGE", requires = "spec", verbatim_doc_comment)]
    records: Option<Span>,
    /// The target, of the file of targets, in whose account and region is looked; pipelines are those of this identity
    #[arg(long, value_name = "ALIAS")]
    target: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

pub fn main(args: Args) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Result<(), CliError> {
    let spec = args.spec.as_deref().map(spec).transpose()?;
    let home = Identity::aws(&args.identity.clock()).await;
    let Place { aws, account, .. } = Place::named(&args.identity, args.target.as_deref()).await?;
    let builds = match spec.as_ref().map(|spec| (spec.bake.as_ref(), spec.service.as_str())) {
        None => Builds::All,
        Some((bake, service)) => Builds::Of {
            image_pipeline: bake.and_then(|bake| bake.image_pipeline()),
            recipe: bake.and_then(|bake| bake.image_recipe.as_ref()).map(|_| service),
        },
    };
    let found = reap::find(&aws, builds).await.map_err(|e| failed(&e))?;
    let standings = reap::standings(&home, &found).await.map_err(|e| failed(&e))?;
    let standing = |leftover: &Leftover| standings.get(&leftover.run).copied().unwrap_or(Standing::Unknown);
    let mut all: Vec<(Leftover, Standing)> =
        found.into_iter().map(|leftover| (leftover.clone(), standing(&leftover))).collect();
    if let Some(keep) = args.template_versions {
        let inventory = Inventory::read(&aws).await.map_err(|e| failed(&e))?;
        all.extend(reap::spare_versions(&inventory.facts, keep).into_iter().map(|(template, version)| {
            let id = format!("{template}/{version}");
            (Leftover { what: What::TemplateVersion, id, run: Run::default() }, Standing::Ended)
        }));
    }
    if let (Some(age), Some(spec)) = (args.records, &spec) {
        let read = records::read(&aws, &account, &spec.service).await.map_err(|e| failed(&e))?;
        let spare = records::spare(&read, age.as_duration(), args.identity.clock().now());
        all.extend(spare.into_iter().map(|record| (record, Standing::Ended)));
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["WHAT", "ID", "PIPELINE", "EXECUTION", "RUN"]);
    for (leftover, standing) in &all {
        let run = &leftover.run;
        let (what, standing) = (leftover.what.to_string(), standing.to_string());
        table.add_row([&what, &leftover.id, &run.pipeline, &run.execution, &standing]);
    }
    say(&table.to_string())?;
    let goes = |standing: Standing| match standing {
        Standing::Ended => true,
        Standing::Unknown => args.forgotten,
        Standing::UnderWay => false,
    };
    let over: Vec<Leftover> =
        all.into_iter().filter(|(_, standing)| goes(*standing)).map(|(leftover, _)| leftover).collect();
    if !args.remove {
        return say(&format!("{} of them can go: bakeline reap --remove", over.len()));
    }
    for leftover in &over {
        reap::remove(&aws, leftover).await.map_err(|e| failed(&e))?;
        let done = match leftover.what {
            What::TrialGroup => "emptied; run the command again once its instances have drained",
            What::EmptiedTrialGroup { instances } if instances > 0 => "still drains; run the command again",
            What::Build => "cancelled",
            What::BuildRecord | What::Recipe | What::Component => {
                "removed, unless something is still made from it"
            }
            What::TaskDefinition => "deregistered; run the command again to have it deleted",
            What::StagingInstance
            | What::StagingTask
            | What::DeregisteredDefinition
            | What::Snapshot
            | What::TemplateVersion
            | What::EmptiedTrialGroup { .. } => "removed",
        };
        say(&format!("{} {} {done}", leftover.what, leftover.id))?;
    }
    Ok(())
}
