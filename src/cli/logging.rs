//! Logs go to standard error, so that standard output stays the command's answer.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

/// Starts logging at a level or filter; one that cannot be read logs warnings and says so.
pub fn start(filter: &str) {
    let (parsed, refused) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("warn"), Some(error)),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let subscriber = Registry::default().with(lines.with_filter(filter_fn(is_ours_to_tell))).with(parsed);
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
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
