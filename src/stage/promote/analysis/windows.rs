//! The windows that the judge compares, from series of `CloudWatch` datapoints. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::Timestamp;
use crate::judge::Window;
use crate::judge::window::{Arm, Counted, Reading, Slow};
use crate::spec::Judge;
use crate::spec::promote::judge::{JudgeMetric, Measured, MissingData};
use crate::stage::aws_view::canary_groups::ROLES;

/// Consecutive windows that the judge compares as one step: the start of the first, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period(pub Timestamp, pub u16);

impl Period {
    /// The whole windows between two moments.
    #[must_use]
    pub fn between(judge: &Judge, since: Timestamp, until: Timestamp) -> Self {
        let length = i64::from(judge.window.as_secs()).max(1);
        let count = until.0.saturating_sub(since.0).div_euclid(length);
        Self(since, u16::try_from(count.max(0)).unwrap_or(u16::MAX).min(MAX_WINDOWS))
    }

    /// The end of the last window.
    #[must_use]
    pub fn until(self, judge: &Judge) -> Timestamp {
        Timestamp(self.0.0.saturating_add(i64::from(self.1) * i64::from(judge.window.as_secs())))
    }
}

/// The most windows of one period: more than the longest analysis has.
const MAX_WINDOWS: u16 = 2000;

/// The two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The old image, launched as freshly as the canary.
    Baseline,
    /// The new image.
    Canary,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Baseline, Self::Canary];

    /// The role of the side's group, as its name has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let [baseline, canary] = ROLES;
        match self {
            Self::Baseline => baseline,
            Self::Canary => canary,
        }
    }
}

/// Identifies one series of datapoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId {
    pub side: Side,
    /// The index of the metric in the spec; none for the requests.
    pub metric: Option<usize>,
    /// The index of a latency's threshold.
    pub threshold: usize,
    /// The instance, if the source has a series for each instance.
    pub instance: Option<String>,
}

/// The datapoints of one series, by the start of their window in seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    Points(BTreeMap<i64, f64>),
    /// `CloudWatch` did not return all datapoints: partial data, access denied, or an internal error.
    Incomplete,
}

/// The windows of some periods.
///
/// A window without a request count, or with an incomplete series, stays in the result: the judge treats it as a
/// measurement error. A missing datapoint is never zero, unless the spec says so.
#[must_use]
pub fn windows(
    judge: &Judge,
    size: u32,
    periods: &[Period],
    series: &BTreeMap<SeriesId, Series>,
) -> Vec<Window> {
    let length = i64::from(judge.window.as_secs());
    let first = periods.first().map_or(0, |period| period.0.0);
    let starts = (0..).zip(periods).flat_map(|(stage, Period(since, count))| {
        (0..*count).map(move |index| (stage, since.0 + i64::from(index) * length))
    });
    starts
        .map(|(stage, start)| {
            let reader = Reader { series, start };
            let arm = |side| Arm { requests: reader.sum(side, None, 0).value(), instances: size };
            let metrics = judge.metrics.iter().enumerate();
            Window {
                id: start.to_string(),
                stage,
                start: minutes(start - first),
                minutes: minutes(length),
                control: arm(Side::Baseline),
                canary: arm(Side::Canary),
                metrics: metrics
                    .filter_map(|(at, metric)| Some((metric.name.clone(), reader.reading(at, metric)?)))
                    .collect(),
            }
        })
        .collect()
}

fn minutes(seconds: i64) -> f64 {
    f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)) / 60.0
}

/// The sum of one side in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    Is(f64),
    Missing,
    Incomplete,
}

impl Sum {
    fn value(self) -> Option<f64> {
        match self {
            Self::Is(value) => Some(value),
            Self::Missing | Self::Incomplete => None,
        }
    }
}

struct Reader<'a> {
    series: &'a BTreeMap<SeriesId, Series>,
    start: i64,
}

impl Reader<'_> {
    fn of(
        &self,
        side: Side,
        metric: Option<usize>,
        threshold: usize,
    ) -> impl Iterator<Item = (&SeriesId, &Series)> {
        self.series.iter().filter(move |(slot, _)| {
            slot.side == side && slot.metric == metric && slot.threshold == threshold
        })
    }

    /// The sum over the instances of a side that have a datapoint in this window.
    fn sum(&self, side: Side, metric: Option<usize>, threshold: usize) -> Sum {
        let mut sum = Sum::Missing;
        for (_, series) in self.of(side, metric, threshold) {
            match series {
                Series::Incomplete => return Sum::Incomplete,
                Series::Points(points) => {
                    if let Some(value) = points.get(&self.start) {
                        sum = Sum::Is(sum.value().unwrap_or(0.0) + value);
                    }
                }
            }
        }
        sum
    }

    /// The count of a side; a missing datapoint is what the spec says it is.
    fn count(&self, side: Side, at: usize, threshold: usize, metric: &JudgeMetric) -> Sum {
        match self.sum(side, Some(at), threshold) {
            Sum::Missing
                if metric.missing_data() == MissingData::Zero
                    && self.sum(side, None, 0).value().is_some() =>
            {
                Sum::Is(0.0)
            }
            other => other,
        }
    }

    /// The reading of a metric; none when a side has no datapoint.
    fn reading(&self, at: usize, metric: &JudgeMetric) -> Option<Reading> {
        match metric.measured() {
            Measured::Count(_) => {
                let [control, canary] = Side::BOTH.map(|side| self.count(side, at, 0, metric));
                let counted = |sum: Sum| Counted { events: sum.value(), total: None };
                (control != Sum::Missing && canary != Sum::Missing)
                    .then_some(Reading::Counts { control: counted(control), canary: counted(canary) })
            }
            Measured::Latency(latency) => {
                let [control, canary] = Side::BOTH.map(|side| {
                    let each = (0..latency.thresholds.len()).map(|at_| self.count(side, at, at_, metric));
                    each.collect::<Vec<Sum>>()
                });
                let missing = control.iter().chain(&canary).any(|sum| *sum == Sum::Missing);
                let slow =
                    |sums: Vec<Sum>| Slow { over: sums.into_iter().map(Sum::value).collect(), total: None };
                (!missing).then(|| Reading::Latency { control: slow(control), canary: slow(canary) })
            }
            Measured::Gauge(_) => {
                let [control, canary] = Side::BOTH.map(|side| self.gauge(side, at));
                (!control.is_empty() && !canary.is_empty()).then_some(Reading::Gauge { control, canary })
            }
        }
    }

    fn gauge(&self, side: Side, at: usize) -> BTreeMap<String, Option<f64>> {
        let instances = self.of(side, Some(at), 0);
        instances
            .filter_map(|(slot, series)| {
                let value = match series {
                    Series::Incomplete => None,
                    Series::Points(points) => Some(*points.get(&self.start)?),
                };
                Some((slot.instance.clone()?, value))
            })
            .collect()
    }
}
