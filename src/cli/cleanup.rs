//! `bakeline cleanup`: what a cleanup would do, signed; the same done; and single images brought back.

mod apply;
pub(super) mod places;
mod plan;
mod undo;

use std::path::Path;

use super::exit::CliError;
use crate::engine::FailureKind;
use crate::engine::StageError;
use crate::engine::error::with_causes;
use crate::spec::{Cleanup as Rules, Promote, ReleaseSpec};
use crate::stage::cleanup::containers;
use crate::stage::cleanup::retain::Uses;
use crate::stage::cleanup::survey::Scope;

/// Arguments of `bakeline cleanup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what becomes of each image of a service, and sign it
    Plan(plan::Args),
    /// Do what a signed plan says, and nothing else
    Apply(apply::Args),
    /// Put images back as they were before their quarantine, from the Recycle Bin if need be
    Undo(undo::Args),
}

pub fn main(args: Args) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    runtime.block_on(async {
        match args.command {
            Command::Plan(args) => plan::main(args).await,
            Command::Apply(args) => apply::main(args).await,
            Command::Undo(args) => undo::main(args).await,
        }
    })
}

/// The release spec whose section `cleanup` says the rules.
pub(super) fn spec(path: &Path) -> Result<ReleaseSpec, CliError> {
    let file = path.display().to_string();
    let text = super::read(path, crate::spec::MAX_BYTES)
        .map_err(|error| CliError::data(format!("{file}: {error}"), "give the path of a bakeline.yaml"))?;
    ReleaseSpec::parse(&text, &file).map_err(|error| CliError::data(error.to_string(), ""))
}

/// Whose images a spec speaks of in a place. Nothing is known of a release here: what was promoted last is read from the
/// images' tags. Behind a target, the group is the spec's only if the spec promotes there.
fn scope<'a>(spec: &'a ReleaseSpec, alias: Option<&str>) -> Result<Scope<'a>, CliError> {
    let rules = spec.cleanup().map_err(|missing| CliError::data(missing.to_string(), ""))?;
    let machine_images = rules.machine_images.as_ref().ok_or_else(|| {
        CliError::data("the release spec has no cleanup.machine_images", "add the rules for machine images")
    })?;
    let promotes_in = spec.promote.as_ref().and_then(|promote| promote.environment.as_deref());
    let promotes_there = alias.is_none() || promotes_in == alias;
    Ok(Scope {
        service: &spec.service,
        rules: machine_images,
        policy: rules,
        group: spec.promote.as_ref().filter(|_| promotes_there).and_then(Promote::auto_scaling_group),
        known: Uses::new(),
    })
}

/// Whose container images the rules speak of, if of any.
fn containers<'a>(rules: &'a Rules, account: &'a str) -> Option<containers::survey::Scope<'a>> {
    let rules = rules.container_images.as_ref()?;
    Some(containers::survey::Scope { rules, account, known: containers::retain::Uses::new() })
}

/// What a failure means to who ran the command.
pub fn failed(error: &StageError) -> CliError {
    let message = with_causes(error);
    match error.failure().kind {
        FailureKind::PermissionError => {
            CliError::denied(message, "compare the role with pipeline/roles.yaml")
        }
        FailureKind::SystemUnavailable | FailureKind::RevisionUnavailable => {
            CliError::unavailable(message, "nothing more was changed; run the command again")
        }
        FailureKind::ConfigurationError | FailureKind::RevisionOutOfSync => CliError::data(message, ""),
        FailureKind::JobFailed | FailureKind::TimedOut => CliError::failed(message, ""),
    }
}
