//! The log of a command: a subscriber that writes to standard error.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

use crate::telemetry::json::JsonLines;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people
    Text,
    /// One flat JSON object a line, with metrics in CloudWatch's embedded metric format
    Json,
}

/// Starts logging with a level or a tracing filter. An invalid filter logs at level warn and reports itself.
pub fn start(filter: &str, format: Format) {
    let (parsed, refused) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("warn"), Some(error)),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second start in one process, as in tests, keeps the first subscriber.
    let _ = match format {
        Format::Text => tracing::subscriber::set_global_default(
            Registry::default().with(lines.with_filter(filter_fn(is_safe))).with(parsed),
        ),
        Format::Json => tracing::subscriber::set_global_default(
            Registry::default()
                .with(
                    lines
                        .event_format(JsonLines)
                        .fmt_fields(JsonFields::new())
                        .with_filter(filter_fn(is_safe)),
                )
                .with(parsed),
        ),
    };
    if let Some(error) = refused {
        tracing::warn!(%error, filter, "the log filter is invalid; logging at level warn");
    }
}

/// Whether an event may be logged, whatever the filter allows.
///
/// The AWS SDK and its HTTP stack log whole requests and responses below level info, credentials included.
fn is_safe(event: &Metadata<'_>) -> bool {
    const HTTP_STACK: [&str; 5] = ["aws_", "h2", "hyper", "rustls", "s3s"];
    *event.level() <= Level::INFO || !HTTP_STACK.iter().any(|name| event.target().starts_with(name))
}
