//! The trial of an image, purely: what the judge is told, which numbers it is shown, and what follows from its verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::Finding;
use crate::engine::Timestamp;
use crate::judge::rules::{
    CountRule, Exposure, GaugeRule, GuardRule, Harm, Measure, MetricRule, Role, Rules, ShareRule, StageRule,
};
use crate::judge::window::{Arm, Counted, Reading, Slow};
use crate::judge::{Look, Verdict, Window};
use crate::spec::Judge;
use crate::spec::promote::judge::{self as spec, Effect, JudgeMetric, Measured, MissingData, OnInconclusive};

/// A trial that has ended: between which moments its windows lie, and how it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The start of the first window.
    pub since: Timestamp,
    /// The end of the last one.
    pub until: Timestamp,
    pub verdict: Verdict,
    /// CRC-32 of the recording the verdict was given on: what is recorded at the end is held against it.
    pub seal: u32,
}

/// Windows in a row, judged as one stage: the start of the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch(pub Timestamp, pub u16);

impl Stretch {
    /// The whole windows between two moments.
    #[must_use]
    pub fn between(judge: &Judge, since: Timestamp, until: Timestamp) -> Self {
        let length = i64::from(judge.window.as_secs()).max(1);
        let count = until.0.saturating_sub(since.0).div_euclid(length);
        Self(since, u16::try_from(count.max(0)).unwrap_or(u16::MAX).min(MOST_WINDOWS))
    }

    #[must_use]
    pub fn until(self, judge: &Judge) -> Timestamp {
        Timestamp(self.0.0.saturating_add(i64::from(self.1) * i64::from(judge.window.as_secs())))
    }
}

/// Windows of one stretch: more than the longest judge may take.
const MOST_WINDOWS: u16 = 2000;

/// The two sides of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The old image, launched as freshly as the canary.
    Baseline,
    /// The new image.
    Canary,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Baseline, Self::Canary];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Canary => "canary",
        }
    }
}

/// The judge's rules, from the spec. `size`: instances of each side, or the fewest of them. `shares`: what the new image is planned to serve in each stage, of what both sides
/// serve.
#[must_use]
pub fn rules(judge: &Judge, size: u32, shares: &[f64]) -> Rules {
    let stages: Vec<StageRule> =
        shares.iter().map(|share| StageRule { canary_share: Some(*share) }).collect();
    Rules {
        false_rollback: judge.false_rollback,
        false_promotion: judge.false_promotion,
        metrics: judge.metrics.iter().map(|metric| metric_rule(size, metric)).collect(),
        exposure: Exposure {
            requests: f64::from(judge.min_requests),
            minutes: f64::from(judge.min_duration.as_secs()) / 60.0,
            instances: size,
        },
        guards: judge
            .metrics
            .iter()
            .filter_map(|metric| {
                Some(GuardRule {
                    metric: metric.name.clone(),
                    objective: metric.count?.objective?,
                    burn_rate: 14.4,
                    long_minutes: 60.0,
                    short_minutes: 5.0,
                    minimum_events: 10.0,
                })
            })
            .collect(),
        share: ShareRule::default(),
        max_bake_minutes: f64::from(judge.timeout.as_secs()) / 60.0
            * f64::from(u32::try_from(stages.len()).unwrap_or(u32::MAX)),
        stages,
        recovery_windows: 3,
    }
}

fn metric_rule(size: u32, metric: &JudgeMetric) -> MetricRule {
    let count = || {
        let usual = CountRule::default();
        let margin = metric.allowed_ratio.unwrap_or(usual.margin);
        CountRule {
            margin,
            tempering: metric.events_per_cause().unwrap_or(usual.tempering),
            harm_margin: metric.critical_ratio.unwrap_or(usual.harm_margin.max(margin * 1.2)),
            negligible_rate: metric.count.and_then(|count| count.negligible_rate),
        }
    };
    let margin = metric.allowed_ratio.unwrap_or(1.1);
    MetricRule {
        name: metric.name.clone(),
        weight: metric.weight(),
        role: match metric.effect {
            Effect::Required => Role::Critical,
            Effect::Veto | Effect::None => Role::Informational,
        },
        harm: match metric.harm() {
            spec::Harm::Increase => Harm::Increase,
            spec::Harm::Decrease => Harm::Decrease,
        },
        measure: match metric.measured() {
            Measured::Count(_) => Measure::Counts(count()),
            Measured::Latency(latency) => {
                Measure::Latency { thresholds: latency.thresholds.clone(), rule: count() }
            }
            Measured::Gauge(_) => Measure::Gauge(GaugeRule {
                planned_instances: size,
                margin,
                harm_margin: metric.critical_ratio.unwrap_or(1.5f64.max(margin * 1.2)),
            }),
        },
    }
}

/// What one series of numbers is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub side: Side,
    /// The index of the metric in the spec; none for the requests.
    pub metric: Option<usize>,
    /// The index of a latency's threshold.
    pub threshold: usize,
    /// The instance, where the source tells instances apart.
    pub instance: Option<String>,
}

/// The numbers of one series, by the start of their window in seconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Series {
    Points(BTreeMap<i64, f64>),
    /// `CloudWatch` did not give all of it: partial, forbidden, or an internal error.
    Broken,
}

/// The windows of a trial, from what was read.
///
/// A window without a request count, or with a series that is not whole, is shown to the judge as what it is: a
/// measurement that cannot be believed. Missing is never zero, except where the spec says what is missing is.
#[must_use]
pub fn windows(judge: &Judge, size: u32, stretches: &[Stretch], series: &BTreeMap<Slot, Series>) -> Vec<Window> {
    let length = i64::from(judge.window.as_secs());
    let first = stretches.first().map_or(0, |stretch| stretch.0.0);
    let starts = (0..).zip(stretches).flat_map(|(stage, Stretch(since, count))| {
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
                // Minutes from a number of seconds that is far below 2^53.
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

/// What one side of a window came to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    Is(f64),
    Missing,
    Broken,
}

impl Sum {
    fn value(self) -> Option<f64> {
        match self {
            Self::Is(value) => Some(value),
            Self::Missing | Self::Broken => None,
        }
    }
}

struct Reader<'a> {
    series: &'a BTreeMap<Slot, Series>,
    start: i64,
}

impl Reader<'_> {
    fn of(
        &self,
        side: Side,
        metric: Option<usize>,
        threshold: usize,
    ) -> impl Iterator<Item = (&Slot, &Series)> {
        self.series.iter().filter(move |(slot, _)| {
            slot.side == side && slot.metric == metric && slot.threshold == threshold
        })
    }

    /// The sum over a side's instances, of those that have a datapoint in this window.
    fn sum(&self, side: Side, metric: Option<usize>, threshold: usize) -> Sum {
        let mut sum = Sum::Missing;
        for (_, series) in self.of(side, metric, threshold) {
            match series {
                Series::Broken => return Sum::Broken,
                Series::Points(points) => {
                    if let Some(value) = points.get(&self.start) {
                        sum = Sum::Is(sum.value().unwrap_or(0.0) + value);
                    }
                }
            }
        }
        sum
    }

    /// A count of a side, with what is missing taken as the spec says.
    fn count(&self, side: Side, at: usize, threshold: usize, metric: &JudgeMetric) -> Sum {
        match self.sum(side, Some(at), threshold) {
            Sum::Missing if metric.missing_data() == MissingData::Zero && self.sum(side, None, 0).value().is_some() => {
                Sum::Is(0.0)
            }
            other => other,
        }
    }

    /// The reading of a metric; none when a side was not measured.
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
                    Series::Broken => None,
                    Series::Points(points) => Some(*points.get(&self.start)?),
                };
                Some((slot.instance.clone()?, value))
            })
            .collect()
    }
}

/// What a person's approval says, where the spec leaves an unsure verdict to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody has decided yet.
    Open,
    Approved,
    Rejected,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Production may be changed.
    GoOn,
    /// Look again later; why, for people.
    Hold(String),
    /// The canary goes, and production stays as it is.
    RollBack(String),
}

/// Decides. `guards` are alarms and absolute bounds; `whole`: what keeps both sides from being wholly in service.
#[must_use]
pub fn decide(
    judge: &Judge,
    look: &Look,
    guards: &Finding,
    whole: Option<&str>,
    elapsed: u64,
    approval: Option<&Approval>,
) -> Move {
    if let Finding::Bad(what) = guards {
        return Move::RollBack(what.join("; "));
    }
    if look.verdict == Verdict::Fail {
        return Move::RollBack(look.reasons.join("; "));
    }
    if approval == Some(&Approval::Rejected) {
        return Move::RollBack("the approval was rejected".to_owned());
    }
    let mut unsure: Vec<String> = match look.verdict {
        Verdict::Pass | Verdict::Fail => Vec::new(),
        Verdict::Inconclusive | Verdict::Broken => {
            vec![format!("{}: {}", look.verdict.name(), look.reasons.join("; "))]
        }
    };
    if let Finding::Unknown(what) = guards {
        unsure.extend(what.iter().cloned());
    }
    unsure.extend(whole.map(|what| format!("the trial is not whole: {what}")));
    if unsure.is_empty() {
        return Move::GoOn;
    }
    let why = unsure.join("; ");
    if elapsed < u64::from(judge.timeout.as_secs()) {
        return Move::Hold(why);
    }
    match (&judge.on_inconclusive, approval) {
        (OnInconclusive::RollBack(_), _) => Move::RollBack(format!(
            "after {} the judge is not sure, and the spec says roll_back: {why}",
            judge.timeout
        )),
        (OnInconclusive::Ask(_), Some(Approval::Approved)) => Move::GoOn,
        (OnInconclusive::Ask(ask), _) => {
            Move::Hold(format!("a person has to decide (approval {}): {why}", ask.approval_action))
        }
        (OnInconclusive::Wait(_), _) => Move::Hold(why),
    }
}

#[cfg(test)]
mod tests;
