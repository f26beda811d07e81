//! The commands. One file each; this one reads the arguments and gives the exit code.

mod cleanup;
mod doctor;
pub mod exit;
mod health;
mod identity;
mod judge;
mod logging;
mod reap;
#[cfg(feature = "rehearsal")]
pub mod rehearse;
mod run;
mod schema;
pub mod verify;
mod work;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::CliError;

/// Bakes, tests, promotes and cleans up machine images, one signed hand-over after the other.
#[derive(Debug, Parser)]
#[command(name = "bakeline", version, max_term_width = 100)]
struct Args {
    /// What is logged to standard error: a level (warn, info, debug) or a tracing filter
    /// [default: off; of `work`: info]
    #[arg(long, global = true, env = "BAKELINE_LOG", value_name = "FILTER", verbatim_doc_comment)]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what a cleanup would do, do what was approved, bring images back
    Cleanup(cleanup::Args),
    /// The canary judge on recorded samples and windows, offline
    Judge(judge::Args),
    /// List what runs left behind, and remove it once they have ended
    Reap(reap::Args),
    /// Run a release from bake to cleanup on the embedded AWS, in virtual time
    #[cfg(feature = "rehearsal")]
    Rehearse(rehearse::Args),
    /// Serve the embedded AWS on a loopback address, for other clients
    #[cfg(feature = "rehearsal")]
    ServeAws(rehearse::serve_aws::Args),
    /// Poll CodePipeline for jobs and run them
    Work(work::Args),
    /// Run one job from a job document, to its end
    Run(run::Args),
    /// Check that a pipeline and what its release names are fit for the line, changing nothing
    Doctor(doctor::Args),
    /// Check the chain of statements in an artifact, offline, against a trust root
    Verify(verify::Args),
    /// Print the JSON Schema of the release spec, or of scenarios
    Schema(schema::Args),
}

/// Runs the command line and says how it ended, in sysexits codes.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(help) => {
            // Help and version were asked for; anything else is a usage error.
            let code = if help.use_stderr() { exit::USAGE } else { 0 };
            let _ = help.print();
            return ExitCode::from(code);
        }
    };
    match &args.command {
        Command::Work(work) => {
            let filter = args.log.as_deref().unwrap_or("warn,bakeline=info");
            logging::start(filter, work.log_format());
        }
        // The other commands tell what happens themselves; a log line would tear their progress apart.
        _ => logging::start(args.log.as_deref().unwrap_or("off"), logging::Format::Text),
    }
    let ended = match args.command {
        Command::Cleanup(args) => cleanup::main(args),
        Command::Judge(args) => judge::main(&args),
        Command::Reap(args) => reap::main(args),
        #[cfg(feature = "rehearsal")]
        Command::Rehearse(args) => rehearse::main(args),
        #[cfg(feature = "rehearsal")]
        Command::ServeAws(args) => rehearse::serve_aws::main(&args),
        Command::Work(args) => work::main(args),
        Command::Run(args) => run::main(args),
        Command::Doctor(args) => doctor::main(args),
        Command::Verify(args) => verify::main(&args),
        Command::Schema(args) => schema::main(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error leaves only the exit code to tell.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.code())
        }
    }
}

/// Reads a file that should have at most `most` bytes, and one byte of a longer one, so that whoever judges it sees
/// that it is too long: a device or a wrong file must not fill the memory.
fn read(path: &std::path::Path, most: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a line of output; a reader who has seen enough (`| head`) is no failure of ours.
fn say(line: &str) -> Result<(), CliError> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::unavailable(
            format!("standard output cannot be written: {error}"),
            "check where the output goes",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn no_two_arguments_of_a_command_are_in_each_others_way() {
        super::Args::command().debug_assert();
    }
}
