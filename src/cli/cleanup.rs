//! `bakeline cleanup`: plans a cleanup and signs the plan, applies a signed plan, restores single images.

mod apply;
pub(super) mod environments;
mod plan;
mod undo;

use std::path::Path;

use super::Output;
use super::exit::{CliError, Message};
use crate::engine::{FailureKind, StageError};
use crate::spec::{Cleanup as Rules, ReleaseSpec};
use crate::stage::cleanup::machine_images::retention::KeepReasons;
use crate::stage::cleanup::machine_images::survey::Scope;
use crate::stage::cleanup::{container_images, groups};

/// Arguments of `bakeline cleanup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Decide what happens to each image of a service, and sign the plan
    Plan(plan::Args),
    /// Do what a signed plan says, and nothing else
    Apply(apply::Args),
    /// Restore images from quarantine, or from the Recycle Bin
    Undo(undo::Args),
}

pub fn main(args: Args, output: Output) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    runtime.block_on(async {
        match args.command {
            Command::Plan(args) => plan::main(args, output).await,
            Command::Apply(args) => apply::main(args, output).await,
            Command::Undo(args) => undo::main(args, output).await,
        }
    })
}

/// Reads the release spec whose `cleanup` section has the rules.
pub(super) fn spec(path: &Path) -> Result<ReleaseSpec, CliError> {
    let file = path.display().to_string();
    let text = super::read_input(path, crate::spec::MAX_BYTES, "release spec")?;
    ReleaseSpec::parse(&text, &file).map_err(|error| CliError::data(error.to_string(), ""))
}

/// The machine images that a spec's rules cover in an environment. Nothing is known of a release here: the images' tags
/// say which were promoted last. In a named environment, the spec's targets count only if the spec promotes there.
///
/// `None` if the spec has no rules for machine images.
fn scope<'a>(spec: &'a ReleaseSpec, rules: &'a Rules, environment: Option<&str>) -> Option<Scope<'a>> {
    let promotes_in = spec.promote.as_ref().and_then(|promote| promote.environment.as_deref());
    let promotes_here = environment.is_none() || promotes_in == environment;
    let groups = spec.promote.iter().filter(|_| promotes_here).flat_map(groups);
    let rules = rules.machine_images.as_ref()?;
    Some(Scope { service: &spec.service, rules, groups: groups.collect(), known: KeepReasons::new() })
}

/// The `cleanup` section of a spec.
fn rules(spec: &ReleaseSpec) -> Result<&Rules, CliError> {
    spec.cleanup()
        .map_err(|missing| CliError::data(Message::of(&missing), "add the section `cleanup` to the spec"))
}

/// The container images that a spec's rules cover, if any.
fn containers<'a>(rules: &'a Rules, account: &'a str) -> Option<container_images::survey::Scope<'a>> {
    let rules = rules.container_images.as_ref()?;
    let known = container_images::retention::KeepReasons::new();
    Some(container_images::survey::Scope { rules, account, known })
}

/// The error of a command whose work failed.
pub fn failed(error: &StageError) -> CliError {
    let message = Message::of(error);
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
