//! Logs go to standard error, so that standard output stays the command's answer.

use tracing_subscriber::EnvFilter;

/// Starts logging at a level or filter; one that cannot be read logs warnings and says so.
pub fn start(filter: &str) {
    let (parsed, refused) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("warn"), Some(error)),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr).finish();
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let Some(error) = refused {
        tracing::warn!(%error, filter, "the log filter cannot be read; warnings are logged");
    }
}
