//! Logs go to standard error, so that standard output stays the command's answer.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

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
    // The filter on the lines holds what the SDK would tell of its wire, whatever was asked for.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second start in one process, as in tests, keeps the first.
    let _ = match format {
        Format::Text => tracing::subscriber::set_global_default(
            Registry::default().with(lines.with_filter(filter_fn(is_ours_to_tell))).with(parsed),
        ),
        Format::Json => tracing::subscriber::set_global_default(
            Registry::default()
                .with(lines.event_format(JsonLines).with_filter(filter_fn(is_ours_to_tell)))
                .with(parsed),
        ),
    };
    if let Some(error) = refused {
        tracing::warn!(%error, filter, "the log filter cannot be read; warnings are logged");
    }
}

/// Whether an event may be logged, whatever the filter asks for: the AWS SDK and what carries its calls write whole
/// requests and answers below `info`, with the credentials in them.
fn is_ours_to_tell(event: &Metadata<'_>) -> bool {
    const CARRIERS: [&str; 5] = ["aws_", "h2", "hyper", "rustls", "s3s"];
    *event.level() <= Level::INFO || !CARRIERS.iter().any(|carrier| event.target().starts_with(carrier))
}
