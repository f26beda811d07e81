//! Log lines as flat JSON objects: what CloudWatch Logs Insights queries and the embedded metric format needs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes one line an event: `timestamp`, `level`, `target`, `message`, then the event's fields.
#[derive(Debug, Default)]
pub struct JsonLines;

/// The member that CloudWatch reads metrics by; its text is JSON already.
const METRICS: &str = "_aws";

#[derive(Default)]
struct Members(BTreeMap<&'static str, Value>);

impl Visit for Members {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let value = match field.name() {
            METRICS => serde_json::from_str(value).unwrap_or(Value::Null),
            _ => Value::String(value.to_owned()),
        };
        self.0.insert(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut members = Members::default();
        event.record(&mut members);
        let mut line = serde_json::Map::new();
        line.insert("timestamp".into(), time.into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("target".into(), event.metadata().target().into());
        if let Some(message) = members.0.remove("message") {
            line.insert("message".into(), message);
        }
        for (name, value) in members.0 {
            line.insert(name.to_owned(), value);
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::engine::Timestamp;
    use crate::evidence::Stage;
    use crate::telemetry::metric::Ending;
    use crate::telemetry::{JobLabel, Measured, Telemetry};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(measured: &Measured<'_>) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            Telemetry::default().with_metrics().measure(Timestamp(1_767_225_600), measured);
        });
        let text = lines.0.lock().unwrap().clone();
        assert_eq!(text.split(|byte| *byte == b'\n').count(), 2);
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn every_metric_that_is_declared_is_in_the_line_as_a_number_and_every_dimension_as_text() {
        let label = JobLabel {
            job: "j".into(),
            pipeline: "p \"quoted\"\n".into(),
            execution: "e".into(),
            action: "a".into(),
            stage: Stage::Bake,
        };
        let second = Duration::from_millis(1_500);
        for measured in [
            Measured::Slice {
                label: &label,
                ending: Ending::SliceYielded,
                took: second,
                late: Duration::ZERO,
            },
            Measured::Poll { stage: Stage::Bake, offered: 0, late: second },
            Measured::PollFailed { stage: Stage::Bake, throttled: true, why: "slow down" },
            Measured::InHand { running: 1, ready: 2, parked: 3 },
            Measured::Calls { operation: "PollForJobs", calls: 9, throttles: 1, failures: 0 },
            Measured::TakeOver { leases: 1, jobs: 4 },
        ] {
            let line = logged(&measured);
            let metrics = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(line["_aws"]["Timestamp"], 1_767_225_600_000_i64);
            assert_eq!(metrics["Namespace"], "Bakeline");
            for metric in metrics["Metrics"].as_array().unwrap() {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
            }
            for dimension in metrics["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
            }
        }
    }
}
