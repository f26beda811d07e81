//! The time of watching after the checks: metrics that must keep their bounds all through it. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::{Invocation, Verdict};
use super::report::Result as Checked;
use crate::engine::Timestamp;
use crate::spec::{Limit, Soak};
use crate::stage::aws_view::metric_data::{MetricValue, breach};

/// Most characters of a reason that a token carries.
const REASON: usize = 240;

/// A soak that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soaked {
    pub since: Timestamp,
    pub until: Timestamp,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a look at the metrics shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    Going(String),
    /// It is over. Why it did not pass, if it did not.
    Over(Option<String>),
}

/// Judges a look, so long after the soak began. A bound that is left ends it at once; missing data do not pass.
#[must_use]
pub fn stand(soak: &Soak, metrics: &[(Limit, MetricValue)], elapsed: Duration) -> Stand {
    let (mut bad, mut unknown) = (Vec::new(), Vec::new());
    for (metric, number) in metrics {
        match number.value {
            Some(value) if number.samples >= metric.min_datapoints => bad.extend(breach(metric, value)),
            _ => unknown.push(format!(
                "{} has {} of the {} datapoints it needs",
                metric.name, number.samples, metric.min_datapoints
            )),
        }
    }
    let lasts = soak.duration.as_duration();
    if !bad.is_empty() {
        Stand::Over(Some(shortened(&bad.join("; "))))
    } else if elapsed < lasts {
        Stand::Going(format!("soaking for {} of {} s", elapsed.as_secs(), lasts.as_secs()))
    } else if unknown.is_empty() {
        Stand::Over(None)
    } else if elapsed < lasts.saturating_add(Soak::LAG) {
        Stand::Going(format!("waiting for CloudWatch: {}", unknown.join("; ")))
    } else {
        Stand::Over(Some(shortened(&unknown.join("; "))))
    }
}

/// A reason as short as a token carries it.
#[must_use]
pub fn shortened(why: &str) -> String {
    why.chars().take(REASON).collect()
}

/// The soak as one more check of the report, with what its metrics came to; not run if the checks before it failed.
#[must_use]
pub fn result(soak: &Soak, soaked: Option<(&Soaked, &[(Limit, MetricValue)])>) -> Checked {
    let verdict = match soaked {
        None => Verdict::NotRun,
        Some((Soaked { why: None, .. }, _)) => Verdict::Passed,
        Some((Soaked { why: Some(why), .. }, _)) => Verdict::Failed(why.clone()),
    };
    let invocation = soaked.map(|(soaked, metrics)| {
        let mut stdout = String::new();
        for (metric, number) in metrics {
            let value = number.value.map_or_else(|| "no value".to_owned(), |value| value.to_string());
            // Writing to a string does not fail.
            let _ = writeln!(stdout, "{}: {value} ({} datapoints)", metric.name, number.samples);
        }
        let elapsed = format!("PT{}S", soaked.until.since(soaked.since).as_secs());
        Invocation { stdout, elapsed, ..Invocation::default() }
    });
    let limit = soak.duration.as_duration();
    Checked { name: Soak::NAME.into(), script: Soak::NAME.into(), verdict, limit, attempts: 1, invocation }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        let going = |text: &str| Stand::Going(text.to_owned());
        let over = |why: Option<&str>| Stand::Over(why.map(str::to_owned));
        for (value, samples, minutes, expected) in [
            (None, 0, 0, going("soaking for 0 of 600 s")),
            (Some(10.0), 9, 9, going("soaking for 540 of 600 s")),
            (Some(90.0), 4, 4, going("soaking for 240 of 600 s")),
            (Some(90.0), 5, 5, over(Some("cpu is 90; at most 50 passes"))),
            (Some(10.0), 10, 10, over(None)),
            (Some(10.0), 4, 10, going("waiting for CloudWatch: cpu has 4 of the 5 datapoints it needs")),
            (None, 0, 14, going("waiting for CloudWatch: cpu has 0 of the 5 datapoints it needs")),
            (Some(10.0), 5, 14, over(None)),
            (None, 5, 15, over(Some("cpu has 5 of the 5 datapoints it needs"))),
            (Some(10.0), 4, 15, over(Some("cpu has 4 of the 5 datapoints it needs"))),
        ] {
            let found = stand(&soak(), &seen(value, samples), Duration::from_mins(minutes));
            assert_eq!(found, expected, "{value:?} {samples} {minutes}");
        }
    }

    #[test]
    fn a_metric_is_of_the_instance() {
        let (metric, _) = &seen(None, 0)[0];
        assert_eq!(metric.cloudwatch.queries()[0].dimensions["InstanceId"], "i-1");
    }

    #[test]
    fn it_is_a_check_of_the_report() {
        let over = |why: Option<&str>| Soaked {
            since: Timestamp(0),
            until: Timestamp(600),
            why: why.map(str::to_owned),
        };
        let numbers = seen(Some(12.5), 10);
        for (soaked, verdict) in [
            (Some(over(None)), Verdict::Passed),
            (Some(over(Some("hot"))), Verdict::Failed("hot".into())),
            (None, Verdict::NotRun),
        ] {
            let result = result(&soak(), soaked.as_ref().map(|soaked| (soaked, numbers.as_slice())));
            assert_eq!(result.verdict, verdict);
            let told = result.invocation.map(|told| (told.stdout, told.elapsed));
            let expected = ("cpu: 12.5 (10 datapoints)\n".to_owned(), "PT600S".to_owned());
            assert_eq!(told, soaked.map(|_| expected));
        }
    }
}
