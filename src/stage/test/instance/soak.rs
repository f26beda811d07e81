//! The soak after the checks: whether the metrics of the instance keep their bounds. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::checks::outcome::{CheckOutcome, Invocation};
use super::super::checks::result::CheckResult;
use super::super::state::SoakResult;
use crate::spec::{Limit, Soak};
use crate::stage::aws_view::metric_data::{MetricValue, breach};

/// The state of a soak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoakState {
    /// It is running; a summary.
    Running(String),
    /// It has ended; why it failed, none if it passed.
    Ended(Option<String>),
}

/// The state of a soak `elapsed` after its start. A metric out of its bounds ends the soak at once. Missing data does not
/// pass.
#[must_use]
pub fn state(soak: &Soak, values: &[(Limit, MetricValue)], elapsed: Duration) -> SoakState {
    let (mut breaches, mut incomplete) = (Vec::new(), Vec::new());
    for (metric, number) in values {
        match number.value {
            Some(value) if number.samples >= metric.min_datapoints => breaches.extend(breach(metric, value)),
            _ => incomplete.push(format!(
                "{} has {} of the {} datapoints it needs",
                metric.name, number.samples, metric.min_datapoints
            )),
        }
    }
    let duration = soak.duration.as_duration();
    if !breaches.is_empty() {
        SoakState::Ended(Some(breaches.join("; ")))
    } else if elapsed < duration {
        SoakState::Running(format!("soaking for {} of {} s", elapsed.as_secs(), duration.as_secs()))
    } else if incomplete.is_empty() {
        SoakState::Ended(None)
    } else if elapsed < duration.saturating_add(Soak::LAG) {
        SoakState::Running(format!("waiting for CloudWatch: {}", incomplete.join("; ")))
    } else {
        SoakState::Ended(Some(incomplete.join("; ")))
    }
}

/// The soak as one more check result, with the values of its metrics. Not run if a check failed before.
#[must_use]
pub fn result(soak: &Soak, run: Option<(&SoakResult, &[(Limit, MetricValue)])>) -> CheckResult {
    let outcome = match run {
        None => CheckOutcome::NotRun,
        Some((SoakResult { failure: None, .. }, _)) => CheckOutcome::Passed,
        Some((SoakResult { failure: Some(failure), .. }, _)) => CheckOutcome::Failed(failure.clone()),
    };
    let invocation = run.map(|(run, values)| {
        let mut stdout = String::new();
        for (metric, number) in values {
            let value = number.value.map_or_else(|| "no value".to_owned(), |value| value.to_string());
            // Writing to a string does not fail.
            let _ = writeln!(stdout, "{}: {value} ({} datapoints)", metric.name, number.samples);
        }
        let elapsed = format!("PT{}S", run.until.since(run.since).as_secs());
        Invocation { stdout, elapsed, ..Invocation::default() }
    });
    let limit = soak.duration.as_duration();
    CheckResult {
        name: Soak::NAME.into(),
        subject: Soak::NAME.into(),
        outcome,
        limit,
        attempts: 1,
        invocation,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Timestamp;

    fn soak() -> Soak {
        serde_json::from_value(json!({"duration": "10m", "limits": [{
            "name": "cpu", "max": 50.0, "min_datapoints": 5,
            "cloudwatch": {"period": "1m", "namespace": "AWS/EC2", "metric": "CPUUtilization",
                "statistic": "Average", "dimensions": {"InstanceId": "$instance"}},
        }]}))
        .unwrap()
    }

    fn seen(value: Option<f64>, samples: u32) -> Vec<(Limit, MetricValue)> {
        soak().limits_of("i-1").map(|metric| (metric, MetricValue { value, samples })).collect()
    }

    #[test]
    fn a_bound_that_is_left_ends_it_and_missing_data_do_not_pass() {
        let going = |text: &str| SoakState::Running(text.to_owned());
        let over = |why: Option<&str>| SoakState::Ended(why.map(str::to_owned));
        for (value, samples, minutes, expected) in [
            (None, 0, 0, going("soaking for 0 of 600 s")),
            (Some(10.0), 9, 9, going("soaking for 540 of 600 s")),
            (Some(90.0), 4, 4, going("soaking for 240 of 600 s")),
            (Some(90.0), 5, 5, over(Some("cpu is 90, above the limit of 50"))),
            (Some(10.0), 10, 10, over(None)),
            (Some(10.0), 4, 10, going("waiting for CloudWatch: cpu has 4 of the 5 datapoints it needs")),
            (None, 0, 14, going("waiting for CloudWatch: cpu has 0 of the 5 datapoints it needs")),
            (Some(10.0), 5, 14, over(None)),
            (None, 5, 15, over(Some("cpu has 5 of the 5 datapoints it needs"))),
            (Some(10.0), 4, 15, over(Some("cpu has 4 of the 5 datapoints it needs"))),
        ] {
            let found = state(&soak(), &seen(value, samples), Duration::from_mins(minutes));
            assert_eq!(found, expected, "{value:?} {samples} {minutes}");
        }
    }

    #[test]
    fn the_metric_has_the_id_of_the_instance() {
        let (metric, _) = &seen(None, 0)[0];
        assert_eq!(metric.cloudwatch.queries()[0].dimensions["InstanceId"], "i-1");
    }

    #[test]
    fn the_soak_is_one_more_check_result() {
        let over = |why: Option<&str>| SoakResult {
            since: Timestamp(0),
            until: Timestamp(600),
            failure: why.map(str::to_owned),
        };
        let numbers = seen(Some(12.5), 10);
        for (run, outcome) in [
            (Some(over(None)), CheckOutcome::Passed),
            (Some(over(Some("hot"))), CheckOutcome::Failed("hot".into())),
            (None, CheckOutcome::NotRun),
        ] {
            let result = result(&soak(), run.as_ref().map(|run| (run, numbers.as_slice())));
            assert_eq!(result.outcome, outcome);
            let printed = result.invocation.map(|printed| (printed.stdout, printed.elapsed));
            let expected = ("cpu: 12.5 (10 datapoints)\n".to_owned(), "PT600S".to_owned());
            assert_eq!(printed, run.map(|_| expected));
        }
    }
}
