//! A simulated rollout: 90 minutes in three stages, two arms of equal traffic, judged after every minute.

use bakeline::judge::counts::{CountEvidence, Totals};
use bakeline::judge::rules::CountRule;

use crate::random::Random;

pub const MINUTES: u32 = 90;
pub const ALPHA: f64 = 0.01;
pub const BETA: f64 = 0.05;
/// Requests a minute on each arm in the three stages.
pub const TRAFFIC: [f64; 3] = [600.0, 3_000.0, 6_000.0];
pub const RATE: f64 = 0.002;

pub fn traffic(minute: u32) -> f64 {
    TRAFFIC.get((minute / 30) as usize).copied().unwrap_or(6_000.0)
}

pub fn rule(margin: f64, tempering: f64) -> CountRule {
    CountRule { margin, tempering, ..CountRule::default() }
}

/// How events come about.
#[derive(Clone, Copy, PartialEq)]
pub enum Law {
    Poisson,
    /// Each request on its own, at 25 times the rate.
    Binomial,
    /// In clumps of one to three.
    Clumped,
    /// The base rate doubles and halves over the rollout, on both arms.
    Drift,
    /// The canary's share is 5, 25 or 50 percent, another one each minute.
    Share,
    /// A few events in the whole rollout.
    Tiny,
    /// Each arm's rate of each minute varies by itself with a coefficient of variation of a half.
    NegativeBinomial,
    /// The arms differ for the whole rollout by a lognormal factor with this standard deviation.
    ArmNoise(f64),
}

/// What happens in a minute. `arm` is the factor by which the canary differs although it is not at fault.
pub fn minute(random: &mut Random, law: Law, at: u32, ratio: f64, arm: f64) -> Totals {
    let n = traffic(at);
    let mut seen =
        Totals { control_events: 0.0, control_requests: n, canary_events: 0.0, canary_requests: n };
    let mut rate = RATE;
    match law {
        Law::Drift => rate *= 1.0 + 0.5 * (f64::from(at) * std::f64::consts::TAU / 90.0).sin(),
        Law::Tiny => rate /= 200.0,
        Law::Binomial => rate *= 25.0,
        Law::Share => {
            let share = [0.05, 0.25, 0.5].get((random.uniform() * 3.0) as usize).copied().unwrap_or(0.5);
            seen.canary_requests = (2.0 * n * share).round();
            seen.control_requests = 2.0 * n - seen.canary_requests;
        }
        _ => {}
    }
    let (x, y) = (rate * ratio * arm * seen.canary_requests, rate * seen.control_requests);
    (seen.canary_events, seen.control_events) = match law {
        Law::Binomial => (
            random.binomial(seen.canary_requests, rate * ratio),
            random.binomial(seen.control_requests, rate),
        ),
        Law::Clumped => (random.clumped(x), random.clumped(y)),
        Law::NegativeBinomial => {
            let (canary, control) = (random.gamma4(), random.gamma4());
            (random.poisson(x * canary), random.poisson(y * control))
        }
        _ => (random.poisson(x), random.poisson(y)),
    };
    seen
}

/// The factor by which the arms of one rollout differ.
pub fn arm_factor(random: &mut Random, law: Law) -> f64 {
    match law {
        Law::ArmNoise(sd) if sd > 0.0 => (sd * random.normal() - sd * sd / 2.0).exp(),
        _ => 1.0,
    }
}

/// Evidence of a rollout that is fed minute by minute and begins its stages by itself.
pub struct Staged {
    pub evidence: CountEvidence,
    minute: u32,
}

impl Staged {
    pub fn new(fresh: &CountEvidence) -> Self {
        Self { evidence: fresh.clone(), minute: 0 }
    }

    pub fn observe(&mut self, seen: &Totals) {
        if self.minute > 0 && self.minute.is_multiple_of(30) {
            self.evidence.begin_stage();
        }
        self.evidence.observe(seen);
        self.minute += 1;
    }
}

/// The Clopper-Pearson lower bound of a chance at 99.9 percent, by bisection of the binomial tail.
pub fn lower_bound(hits: u32, of: u32) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    let (n, mut low, mut high) = (f64::from(of), 0.0, 1.0);
    for _ in 0..60 {
        let p = f64::midpoint(low, high);
        // P(fewer than `hits`), term by term in logarithms.
        let fewer: f64 = (0..hits)
            .map(|k| {
                let k = f64::from(k);
                let ways = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
                (ways + k * p.ln() + (n - k) * (-p).ln_1p()).exp()
            })
            .sum();
        if 1.0 - fewer < 0.001 { low = p } else { high = p }
    }
    low
}

/// The q-quantile of the minutes, where those without an alarm count as later than all others.
pub fn quantile(minutes: &mut [Option<u32>], q: f64) -> String {
    minutes.sort_unstable_by_key(|minute| minute.unwrap_or(u32::MAX));
    let at = (q * minutes.len() as f64) as usize;
    match minutes.get(at.min(minutes.len().saturating_sub(1))) {
        Some(Some(minute)) => minute.to_string(),
        _ => "-".into(),
    }
}
