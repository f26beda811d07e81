//! Records which transitions the machines take in this process, for `scripts/transitions`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, Once};

use bakeline::engine::transition::TARGET;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The environment variable that names the folder of the records.
const FOLDER: &str = "BAKELINE_TEST_TRANSITIONS";

/// Records every transition of this process from now on, if [`FOLDER`] asks for it.
pub fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) else { return };
        let file = std::path::Path::new(&folder).join(format!("{}.txt", std::process::id()));
        let recorder = Recorder { file: Mutex::new((File::create(file).unwrap(), BTreeSet::new())) };
        let filter = tracing_subscriber::filter::Targets::new().with_target(TARGET, tracing::Level::TRACE);
        let subscriber = tracing_subscriber::registry().with(recorder.with_filter(filter));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Writes each transition once.
struct Recorder {
    file: Mutex<(File, BTreeSet<String>)>,
}

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = format!("{} {} {}", fields.machine, fields.from, fields.to);
        let mut file = self.file.lock().unwrap();
        if file.1.insert(line.clone()) {
            writeln!(file.0, "{line}").unwrap();
        }
    }
}

#[derive(Default)]
struct Fields {
    machine: String,
    from: String,
    to: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "machine" => value.clone_into(&mut self.machine),
            "from" => value.clone_into(&mut self.from),
            "to" => value.clone_into(&mut self.to),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
