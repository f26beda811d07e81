//! The command line: parses arguments, runs a command, prints its error and returns the exit code.

mod cleanup;
mod config_source;
mod doctor;
pub mod exit;
mod health;
mod identity;
mod job_output;
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
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use exit::{CliError, Message};
use logging::Format;

/// Bakes, tests, promotes and cleans up machine images and container images from AWS CodePipeline
#[derive(Debug, Parser)]
#[command(name = "bakeline", version, max_term_width = 100)]
struct Args {
    /// How standard output is written
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Output,
    /// What is logged to standard error: a level (error, warn, info, debug, trace) or a tracing filter
    /// [default: off; of `work`: info]
    #[arg(long, global = true, env = "BAKELINE_LOG", value_name = "FILTER", verbatim_doc_comment)]
    log: Option<String>,
    /// How log lines are written [default: text; of `work`: json]
    #[arg(long, global = true, env = "BAKELINE_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    log_format: Option<Format>,
    #[command(subcommand)]
    command: Command,
}

/// Format of a command's standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document, or one JSON object a line, with the id of its schema
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one release through all stages on an embedded AWS, in virtual time
    #[cfg(feature = "rehearsal")]
    Rehearse(rehearse::Args),
    /// Serve the embedded AWS on a loopback address, for other clients
    #[cfg(feature = "rehearsal")]
    ServeAws(rehearse::serve_aws::Args),
    /// Poll CodePipeline for jobs and run them
    Work(work::Args),
    /// Run one job from a job document until its action ends
    Run(run::Args),
    /// Check a pipeline and the resources that its release spec names, without changing anything
    Doctor(doctor::Args),
    /// Verify the chain of signed statements in an artifact
    Verify(verify::Args),
    /// Plan the cleanup of images, apply a signed plan, or undo a quarantine
    Cleanup(cleanup::Args),
    /// List or remove the resources that ended runs left behind
    Reap(reap::Args),
    /// Run the canary judge offline: compare samples, replay a recording, plan the steps of a rollout
    Judge(judge::Args),
    /// Print the JSON Schema of a file or of a command's JSON output
    Schema(schema::Args),
    #[command(hide = true)]
    Audit(Reserved),
    #[command(hide = true)]
    Drill(Reserved),
    #[command(hide = true)]
    Promote(Reserved),
}

/// Arguments of a command that a later version will have.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Reserved {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<OsString>,
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(help) => {
            // Help and version are answers; anything else is a usage error.
            let code = if help.use_stderr() { exit::USAGE } else { 0 };
            let _ = help.print();
            return ExitCode::from(code);
        }
    };
    // Commands other than `work` print their own progress; log lines would tear it apart.
    let (filter, format) = match args.command {
        Command::Work(_) => ("warn,bakeline=info", Format::Json),
        _ => ("off", Format::Text),
    };
    let format = args.log_format.unwrap_or(format);
    logging::start(args.log.as_deref().unwrap_or(filter), format);
    let output = args.output;
    let ended = match args.command {
        #[cfg(feature = "rehearsal")]
        Command::Rehearse(args) => rehearse::main(args, output),
        #[cfg(feature = "rehearsal")]
        Command::ServeAws(args) => rehearse::serve_aws::main(&args),
        Command::Work(args) => work::main(args, format),
        Command::Run(args) => run::main(args),
        Command::Doctor(args) => doctor::main(args, output),
        Command::Verify(args) => verify::main(&args, output),
        Command::Cleanup(args) => cleanup::main(args, output),
        Command::Reap(args) => reap::main(args, output),
        Command::Judge(args) => judge::main(&args, output),
        Command::Schema(args) => schema::main(&args),
        Command::Audit(_) => Err(reserved("audit")),
        Command::Drill(_) => Err(reserved("drill")),
        Command::Promote(_) => Err(reserved("promote")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed, the exit code alone remains.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.code())
        }
    }
}

fn reserved(name: &str) -> CliError {
    CliError::usage(
        format!("the command `{name}` is reserved for a later version"),
        "`bakeline help` lists the commands of this version",
    )
}

/// Builds the tokio runtime of a command.
///
/// # Errors
/// The operating system refuses threads or files.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::unavailable("the tokio runtime cannot start", "").caused_by(&error))
}

/// Reads at most `max` bytes of a file, plus one byte of a longer one: the parser then reports that it is too long.
/// The limit keeps a device or a wrong file from filling the memory.
fn read(path: &Path, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads an input file that the user named. `kind` says what it must be, such as "release spec".
///
/// # Errors
/// The file does not exist or cannot be opened (66), or cannot be read (65).
pub(crate) fn read_input(path: &Path, max: usize, kind: &str) -> Result<Vec<u8>, CliError> {
    read(path, max).map_err(|error| {
        let message = Message::from(format!("cannot read the {kind} `{}`", path.display()));
        let hint = format!("give the path of a {kind}");
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => CliError::missing(message, hint),
            _ => CliError::data(message, hint),
        }
        .caused_by(&error)
    })
}

/// Prints a line on standard output. A reader that closed it, such as `head`, is no error.
fn say(line: &str) -> Result<(), CliError> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::unavailable("cannot write to standard output", "check where it is redirected to")
                .caused_by(&error))
        }
        _ => Ok(()),
    }
}

/// The id of one of our JSON Schemas; `name` is such as `doctor-report/v1`.
#[must_use]
pub fn schema_id(name: &str) -> String {
    format!("https://bakeline.dev/schema/{name}")
}

/// A JSON object that names its schema.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: String,
    #[serde(flatten)]
    value: &'a T,
}

/// Prints a JSON document that names its schema, on several lines.
pub(crate) fn json(schema: &str, value: &impl Serialize) -> Result<(), CliError> {
    let document = Document { schema: schema_id(schema), value };
    let text = serde_json::to_string_pretty(&document).map_err(|error| not_json(schema, &error))?;
    say(&text)
}

/// Prints a JSON object that names its schema on one line.
pub(crate) fn json_line(schema: &str, value: &impl Serialize) -> Result<(), CliError> {
    let document = Document { schema: schema_id(schema), value };
    let text = serde_json::to_string(&document).map_err(|error| not_json(schema, &error))?;
    say(&text)
}

fn not_json(schema: &str, error: &serde_json::Error) -> CliError {
    CliError::bug(format!("the {schema} cannot be written as JSON")).caused_by(error)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_of_every_command_are_consistent() {
        super::Args::command().debug_assert();
    }
}
