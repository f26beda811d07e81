//! How long a stage must hold: the chance of a verdict by a minute, computed exactly and not simulated.
//!
//! Counts of Poisson events are summed over all outcomes at the end of the hold. The judge looks in between as
//! well, so the true chance of a verdict by then is this one or a little more.

use super::counts::{CountEvidence, Totals};
use super::rules::CountRule;

/// One stage as it is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Requests a minute on the new image.
    pub canary_requests: f64,
    /// Requests a minute on the old image it is compared with.
    pub control_requests: f64,
    /// Events a request on the old image.
    pub rate: f64,
}

/// What is asked of the hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Aim {
    /// The margins.
    pub rule: CountRule,
    /// Part of the false-rollback budget that the metric has.
    pub alpha: f64,
    /// The false-promotion budget.
    pub beta: f64,
    /// Part of the evidence of harm that watches this stage (see [`watching`]).
    pub watching: f64,
    /// Chance of the verdict.
    pub power: f64,
}

/// Longer holds are not sought: a week.
pub const LONGEST: u32 = 7 * 24 * 60;
/// Nor are holds with more events than this: what so many do not show is within the margin.
const MOST_EVENTS: f64 = 1e8;

/// The part of the evidence of harm that watches from the start of this stage, of so many.
#[must_use]
pub fn watching(stage: usize, stages: usize) -> f64 {
    match (stage, stages) {
        (_, 0 | 1) => 1.0,
        (0, _) => 0.5,
        (_, stages) => 0.5 / super::ranks::count(stages - 1),
    }
}

/// Minutes until an image without harm passes with the chance asked for; none if that takes more than a week.
#[must_use]
pub fn minutes_to_pass(stage: &Stage, aim: &Aim) -> Option<u32> {
    let enough = -aim.beta.ln();
    shortest(|minutes| {
        let reached = |evidence: &CountEvidence| evidence.ln_safe() >= enough;
        chance(stage, aim, 1.0, minutes, Side::Safe, &reached) >= aim.power
    })
}

/// Minutes until an image that multiplies the rate fails with the chance asked for; none if that takes more than a week.
#[must_use]
pub fn minutes_to_fail(stage: &Stage, aim: &Aim, ratio: f64) -> Option<u32> {
    let enough = -(aim.alpha * aim.watching).ln();
    shortest(|minutes| {
        let reached = |evidence: &CountEvidence| evidence.ln_harm() >= enough;
        chance(stage, aim, ratio, minutes, Side::Harm, &reached) >= aim.power
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Harm,
    Safe,
}

fn shortest(enough: impl Fn(u32) -> bool) -> Option<u32> {
    let mut high = 1;
    while !enough(high) {
        if high >= LONGEST {
            return None;
        }
        high = (high * 2).min(LONGEST);
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The chance that the evidence at the end of the hold is reached.
///
/// For each number of control events the canary's events that reach it lie all on one side of a boundary, and the
/// boundary rises with the control's events: one walk finds all of it.
fn chance(
    stage: &Stage,
    aim: &Aim,
    ratio: f64,
    minutes: u32,
    side: Side,
    reached: &dyn Fn(&CountEvidence) -> bool,
) -> f64 {
    let minutes = f64::from(minutes);
    let (m, n) = (stage.canary_requests * minutes, stage.control_requests * minutes);
    let canary = Poisson::of(ratio * stage.rate * m);
    let control = Poisson::of(stage.rate * n);
    if canary.mean.max(control.mean) > MOST_EVENTS {
        return 0.0;
    }
    let fresh = CountEvidence::new(&aim.rule, 1);
    let at = |x: u32, y: u32| {
        let mut evidence = fresh.clone();
        evidence.observe(&Totals {
            canary_events: f64::from(x),
            canary_requests: m,
            control_events: f64::from(y),
            control_requests: n,
        });
        reached(&evidence)
    };
    let mut boundary = canary.first;
    let (mut below, mut all) = (0.0, 0.0);
    for (y, p_y) in control.points() {
        // Below the boundary: safe for the one side, not yet harm for the other.
        while boundary <= canary.last && at(boundary, y) == (side == Side::Safe) {
            below += canary.p(boundary);
            boundary += 1;
        }
        all += p_y * if side == Side::Safe { below } else { 1.0 - below };
    }
    all
}

/// A Poisson law, without the tails that no one will see.
struct Poisson {
    mean: f64,
    first: u32,
    last: u32,
}

impl Poisson {
    fn of(mean: f64) -> Self {
        let reach = 8.0 * mean.sqrt() + 12.0;
        // Within u32: larger means are not summed.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let whole = |value: f64| value.clamp(0.0, 4e9) as u32;
        Self { mean, first: whole((mean - reach).floor()), last: whole((mean + reach).ceil()) }
    }

    fn p(&self, k: u32) -> f64 {
        if self.mean == 0.0 {
            return if k == 0 { 1.0 } else { 0.0 };
        }
        let k = f64::from(k);
        (k * self.mean.ln() - self.mean - libm::lgamma(k + 1.0)).exp()
    }

    fn points(&self) -> impl Iterator<Item = (u32, f64)> {
        (self.first..=self.last).map(|k| (k, self.p(k)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(requests: f64) -> Stage {
        Stage { canary_requests: requests, control_requests: requests, rate: 0.002 }
    }

    fn aim() -> Aim {
        Aim { rule: CountRule::default(), alpha: 0.01, beta: 0.05, watching: 0.5, power: 0.9 }
    }

    #[test]
    fn more_traffic_and_larger_harm_are_found_sooner() {
        let to_fail = |requests, ratio| minutes_to_fail(&stage(requests), &aim(), ratio).unwrap();
        assert!(to_fail(6_000.0, 3.0) < to_fail(600.0, 3.0));
        let by_ratio: Vec<u32> = [2.0, 3.0, 5.0, 10.0].map(|ratio| to_fail(600.0, ratio)).into();
        assert!(by_ratio.is_sorted_by(|a, b| a > b), "{by_ratio:?}");
        let to_pass = |requests| minutes_to_pass(&stage(requests), &aim()).unwrap();
        assert!(to_pass(6_000.0) < to_pass(600.0));
    }

    #[test]
    fn without_traffic_or_without_harm_no_hold_is_long_enough() {
        assert_eq!(minutes_to_pass(&stage(0.0), &aim()), None);
        assert_eq!(minutes_to_fail(&stage(60.0), &aim(), 1.0), None);
    }

    #[test]
    fn ten_times_the_traffic_needs_about_a_tenth_of_the_time() {
        let slow = f64::from(minutes_to_pass(&stage(600.0), &aim()).unwrap());
        let fast = f64::from(minutes_to_pass(&stage(6_000.0), &aim()).unwrap());
        assert!((0.9..1.1).contains(&(slow / fast / 10.0)), "{slow} {fast}");
    }
}
