//! Log lines as flat JSON objects, for CloudWatch Logs Insights and the embedded metric format.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as one JSON object: `timestamp`, `level`, `target`, `message`, the fields of the spans around it,
/// and its own fields. Use it with `JsonFields` as the field formatter.
#[derive(Debug, Default)]
pub struct JsonLines;

/// The member with the definition of the metrics; its text is JSON already.
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
        context: &FmtContext<'_, S, N>,
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
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |formatted| &formatted.fields);
            // A field formatter other than `JsonFields` writes no JSON: its fields are left out.
            if let Ok(Value::Object(fields)) = serde_json::from_str(fields) {
                line.extend(fields);
            }
        }
        for (name, value) in members.0 {
            line.insert(name.to_owned(), value);
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;
    use crate::engine::{Failure, FailureKind, Outcome, Timestamp};
    use crate::evidence::Stage;
    use crate::telemetry::event::{ActionFacts, Event};
    use crate::telemetry::metric::SliceResult;
    use crate::telemetry::{JobLabel, Measurement, Telemetry};

    const NOW: Timestamp = Timestamp(1_767_225_600);

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

    fn logged(log: impl FnOnce(&Telemetry)) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLines)
            .fmt_fields(JsonFields::new())
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || log(&Telemetry::default().with_metrics()));
        let text = lines.0.lock().unwrap().clone();
        assert_eq!(text.split(|byte| *byte == b'\n').count(), 2, "one line");
        serde_json::from_slice(&text).unwrap()
    }

    fn label() -> JobLabel {
        JobLabel {
            pipeline: "p \"quoted\"\n".into(),
            run_id: "r".into(),
            action: "a".into(),
            attempt_id: "t".into(),
            job_id: "j".into(),
            stage: Stage::Bake,
        }
    }

    /// Every declared metric is a number, every dimension a text.
    fn check_metrics(line: &Value) {
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(line["_aws"]["Timestamp"], 1_767_225_600_000_i64);
        assert_eq!(metrics["Namespace"], "Bakeline");
        for metric in metrics["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
        }
        for dimension in
            metrics["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap())
        {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
        }
    }

    #[test]
    fn a_measurement_has_its_metrics_as_numbers_and_its_dimensions_as_text() {
        let second = Duration::from_millis(1_500);
        let stage = Stage::Bake;
        for measurement in [
            Measurement::Slice {
                stage,
                result: SliceResult::Continued,
                duration: second,
                start_lag: Duration::ZERO,
            },
            Measurement::Poll { stage, offered: 0, lag: second },
            Measurement::PollFailed { stage, throttled: true, reason: "slow down" },
            Measurement::Load { running: 1, ready: 2, parked: 3 },
            Measurement::Calls { operation: "PollForJobs", calls: 9, throttles: 1, failures: 0 },
            Measurement::TakeOver { leases: 1, jobs: 4 },
        ] {
            let line = logged(|telemetry| telemetry.measure(NOW, &measurement));
            check_metrics(&line);
            assert!(line["event"].as_str().unwrap().starts_with("bakeline."), "{line}");
        }
    }

    #[test]
    fn a_line_in_the_span_of_a_job_carries_the_fields_of_the_job() {
        let line = logged(|_| {
            let span = label().span();
            span.record("service", "web");
            span.in_scope(|| tracing::warn!(error = "e", "something happened"));
        });
        let expected = [
            ("pipeline", "p \"quoted\"\n"),
            ("run_id", "r"),
            ("action", "a"),
            ("attempt_id", "t"),
            ("job_id", "j"),
            ("stage", "bake"),
            ("service", "web"),
            ("error", "e"),
            ("message", "something happened"),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        assert!(line.get("environment").is_none(), "{line}");
    }

    #[test]
    fn an_ended_action_is_counted_by_stage_and_by_service() {
        let failed = |kind| Outcome::Failed(Failure::new(kind, "no"));
        let results = Map::from([
            ("failure", failed(FailureKind::JobFailed)),
            ("timeout", failed(FailureKind::TimedOut)),
            ("error", failed(FailureKind::PermissionError)),
            (
                "success",
                Outcome::Succeeded { summary: "ok".into(), external_id: None, variables: Map::new() },
            ),
        ]);
        for (result, outcome) in &results {
            for service in [None, Some("web")] {
                let action = ActionFacts { duration: Duration::from_secs(90), service };
                let line = logged(|telemetry| {
                    telemetry.emit(NOW, &label(), &Event::Ended { outcome, action });
                });
                check_metrics(&line);
                assert_eq!(line["Result"], *result);
                assert_eq!(line["ActionDuration"], 90_000);
                let sets = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"].as_array().unwrap().len();
                assert_eq!(sets, 1 + usize::from(service.is_some()));
            }
        }
    }
}
