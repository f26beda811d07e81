//! `bakeline schema`.

use super::exit::CliError;
use super::say;

/// Arguments of `bakeline schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of the scenarios of `rehearse --scenario`, instead of the release spec
    #[cfg(feature = "rehearsal")]
    #[arg(long)]
    scenario: bool,
}

pub fn main(args: &Args) -> Result<(), CliError> {
    #[cfg(feature = "rehearsal")]
    if args.scenario {
        return print(&bakeline_rehearsal::scenario::schema());
    }
    #[cfg(not(feature = "rehearsal"))]
    let Args {} = args;
    print(&crate::spec::schema())
}

fn print(schema: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(schema)
        .map_err(|error| CliError::bug(format!("the schema cannot be written: {error}")))?;
    say(&text)
}
