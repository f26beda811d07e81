//! Metrics: keys, samples and statistics.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::support::refuse;

/// The key of a metric: namespace, name and dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricKey {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

/// A dimension in a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: String,
    #[serde(default)]
    pub value: Option<String>,
}

impl MetricKey {
    pub fn new(namespace: &str, name: &str, dimensions: &[Dimension]) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions
                .iter()
                .map(|d| (d.name.clone(), d.value.clone().unwrap_or_default()))
                .collect(),
        }
    }

    pub fn view(&self) -> Value {
        let dimensions: Vec<Value> =
            self.dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        json!({ "Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions })
    }
}

/// Samples of one metric over a period. Values are kept with their weights, for percentiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    pub sum: f64,
    pub count: f64,
    pub minimum: f64,
    pub maximum: f64,
    weighted: Vec<(f64, f64)>,
}

impl Samples {
    /// Adds `weight` samples of one value.
    pub fn add(&mut self, value: f64, weight: f64) {
        let first = self.count <= 0.0;
        self.minimum = if first { value } else { self.minimum.min(value) };
        self.maximum = if first { value } else { self.maximum.max(value) };
        self.sum += value * weight;
        self.count += weight;
        self.weighted.push((value, weight));
    }

    /// Adds a statistic set. For percentiles it counts as samples of its average.
    pub fn add_set(&mut self, sum: f64, count: f64, minimum: f64, maximum: f64) {
        if count > 0.0 {
            self.add(sum / count, count);
            self.minimum = self.minimum.min(minimum);
            self.maximum = self.maximum.max(maximum);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (value, weight) in &other.weighted {
            self.add(*value, *weight);
        }
        if other.count > 0.0 {
            self.minimum = self.minimum.min(other.minimum);
            self.maximum = self.maximum.max(other.maximum);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count <= 0.0
    }

    /// The percentile: the smallest value that at least `percent` percent of the samples do not exceed.
    fn percentile(&self, percent: f64) -> f64 {
        let mut ordered = self.weighted.clone();
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = self.count * percent / 100.0;
        let mut passed = 0.0;
        for (value, weight) in ordered {
            passed += weight;
            if passed + 1e-9 >= wanted {
                return value;
            }
        }
        self.maximum
    }
}

/// A statistic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    SampleCount,
    Average,
    Sum,
    Minimum,
    Maximum,
    /// `p99`, `p99.9`, …
    Percentile(f64),
    /// `TC(a:b)`: the number of samples above a and at most b.
    TrimmedCount(f64, f64),
}

impl Statistic {
    /// Parses `Sum`, `Average`, `p99`, ….
    ///
    /// # Errors
    /// `ValidationError` if the statistic is not supported.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        Ok(match text {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            other if other.starts_with("TC(") => trimmed(other)
                .ok_or_else(|| refuse("ValidationError", format!("Invalid statistic: '{other}'")))?,
            other => other
                .strip_prefix('p')
                .and_then(|percent| percent.parse::<f64>().ok())
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(Self::Percentile)
                .ok_or_else(|| refuse("ValidationError", format!("Invalid statistic: '{other}'")))?,
        })
    }

    /// Computes the statistic of a non-empty set of samples.
    pub fn of(self, samples: &Samples) -> f64 {
        match self {
            Self::SampleCount => samples.count,
            Self::Average => samples.sum / samples.count,
            Self::Sum => samples.sum,
            Self::Minimum => samples.minimum,
            Self::Maximum => samples.maximum,
            Self::Percentile(percent) => samples.percentile(percent),
            Self::TrimmedCount(above, upto) => {
                let within = samples.weighted.iter().filter(|(value, _)| *value > above && *value <= upto);
                within.map(|(_, weight)| weight).sum()
            }
        }
    }
}

/// Parses `TC(a:b)`; one bound may be omitted.
fn trimmed(text: &str) -> Option<Statistic> {
    let (above, upto) = text.strip_prefix("TC(")?.strip_suffix(')')?.split_once(':')?;
    let bound = |text: &str, none: f64| if text.is_empty() { Some(none) } else { text.parse::<f64>().ok() };
    if above.is_empty() && upto.is_empty() {
        return None;
    }
    Some(Statistic::TrimmedCount(bound(above, f64::NEG_INFINITY)?, bound(upto, f64::INFINITY)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_and_maximum_do_not_depend_on_the_order_of_samples() {
        for order in [[3.0, -1.0, 7.0], [7.0, 3.0, -1.0], [-1.0, 7.0, 3.0]] {
            let mut samples = Samples::default();
            for value in order {
                samples.add(value, 2.0);
            }
            let mut merged = Samples::default();
            merged.merge(&samples);
            let mut set = Samples::default();
            set.add_set(18.0, 6.0, -1.0, 7.0);
            for seen in [samples, merged, set] {
                assert_eq!(
                    (seen.minimum, seen.maximum, seen.sum, seen.count),
                    (-1.0, 7.0, 18.0, 6.0),
                    "{order:?}"
                );
            }
        }
    }
}
