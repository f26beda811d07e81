//! One metric over a rollout: its evidence, whether its measurement can be believed, and its verdict at a look.

use super::counts::{CountEvidence, Interval, Totals};
use super::curve::ln_mean_exp;
use super::gauge::{FEWEST, GaugeEvidence};
use super::rules::{Harm, Measure, MetricRule, Role, Rules};
use super::verdict::{Evidence, MetricRecord, StreamRecord, Verdict};
use super::window::{Fault, Reading, Window, believed};

/// One metric, from the first window to the last.
#[derive(Debug, Clone)]
pub struct Metric {
    rule: MetricRule,
    alpha: f64,
    beta: f64,
    recovery: u32,
    required_requests: f64,
    evidence: State,
    highest: f64,
    failed: bool,
    looked: bool,
    clean: u32,
    fault: Option<Fault>,
    missing: bool,
}

#[derive(Debug, Clone)]
enum State {
    Counts { streams: Vec<CountEvidence>, thresholds: Vec<f64> },
    Gauge(GaugeEvidence),
}

impl Metric {
    /// A metric that has seen nothing.
    pub fn new(rule: &MetricRule, rules: &Rules) -> Self {
        let (alpha, beta) = (rules.alpha_of(rule), rules.false_promotion);
        let stages = rules.stages.len();
        let evidence = match &rule.measure {
            Measure::Counts(count) => {
                State::Counts { streams: vec![CountEvidence::new(count, stages)], thresholds: Vec::new() }
            }
            Measure::Latency { thresholds, rule: count } => State::Counts {
                streams: thresholds.iter().map(|_| CountEvidence::new(count, stages)).collect(),
                thresholds: thresholds.clone(),
            },
            Measure::Gauge(gauge) => State::Gauge(GaugeEvidence::new(gauge, rule.harm, alpha, beta)),
        };
        Self {
            rule: rule.clone(),
            alpha,
            beta,
            recovery: rules.recovery_windows,
            required_requests: rules.exposure.requests,
            evidence,
            highest: 0.0,
            failed: false,
            looked: false,
            clean: 0,
            fault: None,
            missing: true,
        }
    }

    /// Its rule.
    pub fn rule(&self) -> &MetricRule {
        &self.rule
    }

    /// Marks that the next stage begins.
    pub fn begin_stage(&mut self) {
        match &mut self.evidence {
            State::Counts { streams, .. } => streams.iter_mut().for_each(CountEvidence::begin_stage),
            State::Gauge(gauge) => gauge.begin_stage(),
        }
        self.missing = true;
    }

    /// Adds a window. A reading that cannot be believed adds nothing and is remembered; one that is absent is missing.
    pub fn observe(&mut self, window: &Window, control_requests: f64, canary_requests: f64) {
        let Some(reading) = window.metrics.get(&self.rule.name) else {
            self.missing = true;
            return;
        };
        match self.add(reading, control_requests, canary_requests) {
            Ok(()) => {
                self.missing = false;
                self.looked = true;
                self.clean = self.clean.saturating_add(1);
                if self.clean >= self.recovery {
                    self.fault = None;
                }
            }
            Err(fault) => {
                self.clean = 0;
                self.fault = Some(fault);
            }
        }
        let ln_e = self.ln_harm();
        self.highest = self.highest.max(ln_e);
        self.failed |= self.alpha > 0.0 && self.highest >= -self.alpha.ln();
    }

    fn add(&mut self, reading: &Reading, control_requests: f64, canary_requests: f64) -> Result<(), Fault> {
        match (&mut self.evidence, reading) {
            (State::Gauge(gauge), Reading::Gauge { control, canary }) => gauge.observe(control, canary),
            (State::Counts { streams, .. }, Reading::Counts { control, canary }) => {
                let seen = totals(
                    believed(control.events, control.total, control_requests, "a count of the baseline")?,
                    believed(canary.events, canary.total, canary_requests, "a count of the canary")?,
                );
                match (&self.rule.measure, streams.as_mut_slice()) {
                    (Measure::Counts(_), [stream]) => stream.observe(&turned(&seen, self.rule.harm)),
                    _ => return Err(Fault::OtherKind),
                }
                Ok(())
            }
            (State::Counts { streams, thresholds }, Reading::Latency { control, canary }) => {
                let all = thresholds.len();
                if all == 0 || control.over.len() != all || canary.over.len() != all {
                    return Err(Fault::OtherKind);
                }
                // All are believed before any is added.
                let mut seen = Vec::with_capacity(all);
                for (slow, slow_canary) in control.over.iter().zip(&canary.over) {
                    seen.push(totals(
                        believed(*slow, control.total, control_requests, "a latency count of the baseline")?,
                        believed(
                            *slow_canary,
                            canary.total,
                            canary_requests,
                            "a latency count of the canary",
                        )?,
                    ));
                }
                for (stream, seen) in streams.iter_mut().zip(&seen) {
                    stream.observe(&turned(seen, self.rule.harm));
                }
                Ok(())
            }
            _ => Err(Fault::OtherKind),
        }
    }

    /// The canary's events and requests of a count in this window, for the absolute limits.
    pub fn canary_counts(&self, window: &Window, canary_requests: f64) -> Option<(f64, f64)> {
        let Some(Reading::Counts { canary, .. }) = window.metrics.get(&self.rule.name) else { return None };
        believed(canary.events, canary.total, canary_requests, "a count of the canary").ok()
    }

    /// The stage has seen enough instances and minutes for a gauge to be tested.
    pub fn pass_gate(&mut self) {
        if let State::Gauge(gauge) = &mut self.evidence {
            gauge.pass_gate();
            self.failed |= gauge.gate().is_some_and(|gate| gate.harmed());
        }
    }

    fn ln_harm(&self) -> f64 {
        match &self.evidence {
            // The mean of e-values is an e-value, however the streams depend on each other.
            State::Counts { streams, .. } => {
                let each: Vec<f64> = streams.iter().map(CountEvidence::ln_harm).collect();
                ln_mean_exp(each.iter().copied())
            }
            State::Gauge(_) => 0.0,
        }
    }

    /// Whether it has no current data though the stage needs it.
    pub fn starved(&self) -> bool {
        self.missing && self.rule.role == Role::Critical
    }

    /// Its verdict and what that rests on.
    pub fn look(&self, exposed: bool) -> MetricRecord {
        let evidence = self.evidence();
        let (verdict, reason) = self.verdict(&evidence, exposed);
        let alpha_spent = match &self.evidence {
            State::Counts { .. } => {
                if self.looked {
                    self.alpha
                } else {
                    0.0
                }
            }
            State::Gauge(gauge) => gauge.spent(),
        };
        MetricRecord {
            name: self.rule.name.clone(),
            role: self.rule.role,
            verdict,
            reason,
            alpha: self.alpha,
            alpha_spent,
            clean_windows: self.clean,
            evidence,
        }
    }

    fn verdict(&self, evidence: &Evidence, exposed: bool) -> (Verdict, Option<String>) {
        let say = |verdict, reason: &str| (verdict, Some(reason.to_owned()));
        if self.failed {
            return say(Verdict::Fail, "there is evidence of harm");
        }
        if let Some(fault) = &self.fault {
            return (Verdict::Error, Some(fault.to_string()));
        }
        if self.missing {
            return match self.rule.role {
                Role::Critical => {
                    say(Verdict::Inconclusive, "the last window holds no data; missing is not zero")
                }
                Role::Informational => (Verdict::Pass, Some("no data".to_owned())),
            };
        }
        if !exposed {
            return say(Verdict::Inconclusive, "the stage has not seen enough yet");
        }
        if self.rule.role == Role::Informational {
            return (Verdict::Pass, None);
        }
        match evidence {
            Evidence::Counts { ln_e_safe, ln_threshold_safe, streams, .. } => {
                let own =
                    |stream: &StreamRecord| stream.stage.canary_requests.min(stream.stage.control_requests);
                let seen = streams.iter().map(own).fold(f64::INFINITY, f64::min);
                if seen < self.required_requests {
                    say(Verdict::Inconclusive, "too few of the stage's requests carry this metric")
                } else if ln_e_safe >= ln_threshold_safe {
                    (Verdict::Pass, None)
                } else {
                    say(Verdict::Inconclusive, "there is not enough evidence of no harm yet")
                }
            }
            Evidence::Gauge { gate: Some(gate), .. } if gate.safe() => (Verdict::Pass, None),
            Evidence::Gauge { gate: Some(_), .. } => {
                say(Verdict::Inconclusive, "the instances do not show that there is no harm")
            }
            Evidence::Gauge { gate: None, .. } => (
                Verdict::Inconclusive,
                Some(format!("fewer than {FEWEST} instances on a side conclude nothing")),
            ),
        }
    }

    fn evidence(&self) -> Evidence {
        match &self.evidence {
            State::Gauge(gauge) => Evidence::Gauge { instances: gauge.instances(), gate: gauge.gate() },
            State::Counts { streams, thresholds } => {
                let level = if self.alpha > 0.0 { 1.0 - self.alpha } else { 0.99 };
                let streams: Vec<StreamRecord> = streams
                    .iter()
                    .enumerate()
                    .map(|(at, stream)| StreamRecord {
                        threshold: thresholds.get(at).copied(),
                        total: turned(&stream.total, self.rule.harm),
                        stage: turned(&stream.stage, self.rule.harm),
                        ratio: turned(&stream.total, self.rule.harm).ratio(),
                        interval: turned_interval(stream.interval(level), self.rule.harm),
                        ln_e_harm: stream.ln_harm(),
                        ln_e_safe: stream.ln_safe(),
                    })
                    .collect();
                Evidence::Counts {
                    ln_e_harm: ln_mean_exp(streams.iter().map(|stream| stream.ln_e_harm)),
                    ln_e_harm_highest: self.highest,
                    ln_threshold_harm: if self.alpha > 0.0 { -self.alpha.ln() } else { f64::MAX },
                    ln_e_safe: streams.iter().map(|stream| stream.ln_e_safe).fold(f64::INFINITY, f64::min),
                    ln_threshold_safe: -self.beta.ln(),
                    streams,
                }
            }
        }
    }
}

fn totals(control: (f64, f64), canary: (f64, f64)) -> Totals {
    Totals {
        control_events: control.0,
        control_requests: control.1,
        canary_events: canary.0,
        canary_requests: canary.1,
    }
}

/// Where less is worse, the arms change places: E(x, y, p, r) = E(y, x, 1 - p, 1/r).
fn turned(seen: &Totals, harm: Harm) -> Totals {
    match harm {
        Harm::Increase => *seen,
        Harm::Decrease => {
            totals((seen.canary_events, seen.canary_requests), (seen.control_events, seen.control_requests))
        }
    }
}

fn turned_interval(interval: Interval, harm: Harm) -> Interval {
    match harm {
        Harm::Increase => interval,
        Harm::Decrease => Interval {
            lower: interval.upper.map_or(0.0, f64::recip),
            upper: (interval.lower > 0.0).then(|| interval.lower.recip()),
            level: interval.level,
        },
    }
}
