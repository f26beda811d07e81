//! `bakeline schema`: prints a JSON Schema.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::exit::CliError;
use super::{say, schema_id};
use crate::json_schema::remove_extensions;

/// Arguments of `bakeline schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file or the JSON output
    #[arg(value_name = "NAME", default_value = "release")]
    name: Name,
}

/// A file that people write, or the JSON output of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// The release spec, bakeline.yaml
    Release,
    /// The scenario of `rehearse --scenario`
    #[cfg(feature = "rehearsal")]
    Scenario,
    /// The trust root of `--trust`
    Trust,
    /// The file of `--environments`
    Environments,
    /// The output of `doctor --output json`
    DoctorReport,
    /// The output of `verify --output json`
    VerifyReport,
}

pub fn main(args: &Args) -> Result<(), CliError> {
    let mut schema = match args.name {
        Name::Release => crate::spec::schema(),
        #[cfg(feature = "rehearsal")]
        Name::Scenario => serde_json::to_value(bakeline_rehearsal::scenario::schema())
            .map_err(|error| CliError::bug("the schema cannot be written as JSON").caused_by(&error))?,
        Name::Trust => crate::evidence::trust::schema(),
        Name::Environments => crate::aws::environment::schema(),
        Name::DoctorReport => report::<super::doctor::Report<'_>>(super::doctor::REPORT),
        Name::VerifyReport => report::<super::verify::report::Report>(super::verify::report::SCHEMA),
    };
    // No-op for a schema that has none: the scenario's and the reports' have.
    remove_extensions(&mut schema);
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| CliError::bug("the schema cannot be written as JSON").caused_by(&error))?;
    say(&text)
}

/// The schema of a command's JSON output.
fn report<T: JsonSchema>(name: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), schema_id(name).into());
    schema.to_value()
}
