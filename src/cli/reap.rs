//! `bakeline reap`: lists what runs left behind, and removes it once they have ended.

use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::cleanup::{clients, failed, spec};
use super::exit::CliError;
use super::identity::Identity;
use super::say;
use crate::stage::cleanup::inventory::Inventory;
use crate::stage::reap::{self, Leftover, Run, What};

/// Arguments of `bakeline reap`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A release spec: builds of its image pipeline are looked at too
    #[arg(long, value_name = "SPEC")]
    spec: Option<PathBuf>,
    /// Remove what belongs to executions that have ended; without it everything is only listed
    #[arg(long)]
    remove: bool,
    /// Give up versions of launch templates that promotions made and nothing launches from, but for so many of the
    /// newest of each template
    #[arg(long, value_name = "KEEP", verbatim_doc_comment)]
    template_versions: Option<usize>,
    #[command(flatten)]
    identity: Identity,
}

pub fn main(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::unavailable(format!("no runtime: {error}"), ""))?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Result<(), CliError> {
    let spec = args.spec.as_deref().map(spec).transpose()?;
    let (aws, _) = clients(&args.identity).await?;
    let pipeline =
        spec.as_ref().and_then(|spec| spec.bake.as_ref()).and_then(|bake| bake.image_pipeline.as_deref());
    let found = reap::find(&aws, pipeline).await.map_err(|e| failed(&e))?;
    let ended = reap::ended(&aws, &found).await.map_err(|e| failed(&e))?;
    let mut all: Vec<(Leftover, bool)> =
        found.into_iter().map(|leftover| (leftover.clone(), ended.contains(&leftover.run))).collect();
    if let Some(keep) = args.template_versions {
        let inventory = Inventory::read(&aws).await.map_err(|e| failed(&e))?;
        all.extend(reap::spare_versions(&inventory.facts, keep).into_iter().map(|(template, version)| {
            let id = format!("{template}/{version}");
            (Leftover { what: What::TemplateVersion, id, run: Run::default() }, true)
        }));
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["WHAT", "ID", "PIPELINE", "EXECUTION", "RUN"]);
    for (leftover, over) in &all {
        let run = &leftover.run;
        let over = if *over { "ended" } else { "not known to have ended" };
        table.add_row([&leftover.what.to_string(), &leftover.id, &run.pipeline, &run.execution, over]);
    }
    say(&table.to_string())?;
    let over: Vec<Leftover> =
        all.into_iter().filter(|(_, over)| *over).map(|(leftover, _)| leftover).collect();
    if !args.remove {
        return say(&format!("{} of them can go: bakeline reap --remove", over.len()));
    }
    for leftover in &over {
        reap::remove(&aws, leftover).await.map_err(|e| failed(&e))?;
        say(&format!("{} {} removed", leftover.what, leftover.id))?;
    }
    Ok(())
}
