//! Logs go to standard error, so that standard output stays the command's answer.

use tracing_subscriber::EnvFilter;

use crate::telemetry::json::JsonLines;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One flat JSON object a line, with metrics in CloudWatch's embedded metric format
    Json,
}

/// Starts logging at a level or filter; one that cannot be read logs warnings and says so.
pub fn start(filter: &str, format: Format) {
    let (parsed, refused) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("warn"), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    // A second start in one process, as in tests, keeps the first.
    let _ = match format {
        Format::Text => tracing::subscriber::set_global_default(builder.finish()),
        Format::Json => tracing::subscriber::set_global_default(builder.event_format(JsonLines).finish()),
    };
    if let Some(error) = refused {
        tracing::warn!(%error, filter, "the log filter cannot be read; warnings are logged");
    }
}
