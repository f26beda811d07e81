//! `bakeline schema`.

use super::exit::CliError;
use super::say;

pub fn main() -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(&crate::spec::schema())
        .map_err(|error| CliError::bug(format!("the schema cannot be written: {error}")))?;
    say(&text)
}
