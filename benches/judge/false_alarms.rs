//! How often a rollout without harm is failed.

use std::io::{self, Write};

use bakeline::judge::Judge;
use bakeline::judge::counts::CountEvidence;
use bakeline::judge::rules::{CountRule, Measure};
use bakeline::judge::verdict::Verdict;

use crate::random::Random;
use crate::rollout::{ALPHA, Law, MINUTES, Staged, arm_factor, lower_bound, minute, rule, traffic};
use crate::speed;

const ROLLOUTS: u32 = 10_000;

struct Cell {
    name: &'static str,
    law: Law,
    rule: CountRule,
    ratio: f64,
    every: u32,
    /// Whether theory promises at most alpha here.
    promised: bool,
}

fn cells() -> Vec<Cell> {
    let cell = |name, law, rule, ratio, every, promised| Cell { name, law, rule, ratio, every, promised };
    vec![
        cell("Poisson, arms equal, the defaults", Law::Poisson, rule(1.25, 3.0), 1.0, 1, true),
        cell("Poisson, ratio at the margin, 90 looks", Law::Poisson, rule(1.25, 1.0), 1.25, 1, true),
        cell("the same, 9 looks", Law::Poisson, rule(1.25, 1.0), 1.25, 10, true),
        cell("the same, 1 look", Law::Poisson, rule(1.25, 1.0), 1.25, 90, true),
        cell("the same, margin 1", Law::Poisson, rule(1.0, 1.0), 1.0, 1, true),
        cell("binomial at 5%, at the margin", Law::Binomial, rule(1.25, 1.0), 1.25, 1, true),
        cell("rate drifts by 50%, at the margin", Law::Drift, rule(1.25, 1.0), 1.25, 1, true),
        cell("share switches 5/25/50%, at the margin", Law::Share, rule(1.25, 1.0), 1.25, 1, true),
        cell("about 1 event in all, at the margin", Law::Tiny, rule(1.25, 1.0), 1.25, 1, true),
        cell("clumps of 1-3, at the margin", Law::Clumped, rule(1.25, 3.0), 1.25, 1, true),
        cell("clumps of 1-3, margin 1", Law::Clumped, rule(1.0, 3.0), 1.0, 1, true),
        cell("clumps of 1-3, tempered by 2, margin 1.25", Law::Clumped, rule(1.25, 2.0), 1.0, 1, false),
        cell("clumps of 1-3, untempered, margin 1", Law::Clumped, rule(1.0, 1.0), 1.0, 1, false),
        cell("clumps of 1-3, untempered, margin 1.25", Law::Clumped, rule(1.25, 1.0), 1.0, 1, false),
        cell("negative binomial, the defaults", Law::NegativeBinomial, rule(1.25, 3.0), 1.0, 1, false),
        cell("negative binomial, untempered, margin 1", Law::NegativeBinomial, rule(1.0, 1.0), 1.0, 1, false),
    ]
}

fn alarms(cell: &Cell, seed: u64) -> u32 {
    let fresh = CountEvidence::new(&cell.rule, 3);
    let mut random = Random::new(seed);
    let mut alarms = 0;
    for _ in 0..ROLLOUTS {
        let mut staged = Staged::new(&fresh);
        let arm = arm_factor(&mut random, cell.law);
        let mut alarmed = false;
        for at in 0..MINUTES {
            staged.observe(&minute(&mut random, cell.law, at, cell.ratio, arm));
            alarmed |= (at + 1) % cell.every == 0 && staged.evidence.ln_harm() >= -ALPHA.ln();
        }
        alarms += u32::from(alarmed);
    }
    alarms
}

pub fn table(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## False alarms per rollout, alpha {ALPHA}, {ROLLOUTS} rollouts a cell\n")?;
    writeln!(
        out,
        "| cell | margin | B | failed | lower bound 99.9% | promised |\n|---|---|---|---|---|---|"
    )?;
    for (seed, cell) in (1_u64..).zip(cells()) {
        let failed = alarms(&cell, seed);
        let bound = lower_bound(failed, ROLLOUTS);
        assert!(!cell.promised || bound <= ALPHA, "{}: {failed} false alarms", cell.name);
        let percent = f64::from(failed) * 100.0 / f64::from(ROLLOUTS);
        writeln!(
            out,
            "| {} | {} | {} | {percent:.2}% | {:.2}% | {} |",
            cell.name,
            cell.rule.margin,
            cell.rule.tempering,
            bound * 100.0,
            if cell.promised { "yes" } else { "no" }
        )?;
    }
    writeln!(out, "\n## Arms that differ without harm (lognormal, for the whole rollout): failed\n")?;
    writeln!(
        out,
        "| sd | margin 1, B 1 | 1, B 3 | 1.25, B 1 | 1.25, B 2 | 1.25, B 3 |\n|---|---|---|---|---|---|"
    )?;
    for sd in [0.0, 0.05, 0.1, 0.2] {
        write!(out, "| {sd} |")?;
        for (margin, tempering) in [(1.0, 1.0), (1.0, 3.0), (1.25, 1.0), (1.25, 2.0), (1.25, 3.0)] {
            let noisy = Cell {
                name: "",
                law: Law::ArmNoise(sd),
                rule: rule(margin, tempering),
                ratio: 1.0,
                every: 1,
                promised: false,
            };
            write!(out, " {:.2}% |", f64::from(alarms(&noisy, 77)) * 100.0 / f64::from(ROLLOUTS))?;
            out.flush()?;
        }
        writeln!(out)?;
    }
    family(out)
}

/// Twenty metrics that share half of their events, all at the margin: any FAIL of the whole judge is a false one.
fn family(out: &mut impl Write) -> io::Result<()> {
    const METRICS: u32 = 20;
    let mut rules = speed::rules(METRICS);
    for metric in &mut rules.metrics {
        metric.measure = Measure::Counts(rule(1.25, 1.0));
    }
    let fresh = Judge::new(&rules).map_err(|error| io::Error::other(error.to_string()))?;
    let mut random = Random::new(2_020);
    let mut failed = 0;
    for _ in 0..ROLLOUTS {
        let mut judge = fresh.clone();
        for at in 0..MINUTES {
            let n = traffic(at);
            let (x, y) = (n * 0.002 * 1.25 / 2.0, n * 0.002 / 2.0);
            let (common_x, common_y) = (random.poisson(x), random.poisson(y));
            let events: Vec<(u32, f64, f64)> = (0..METRICS)
                .map(|metric| (metric, common_y + random.poisson(y), common_x + random.poisson(x)))
                .collect();
            judge.observe(&speed::window(at, n, n, events.into_iter()));
        }
        failed += u32::from(judge.look().verdict == Verdict::Fail);
    }
    let bound = lower_bound(failed, ROLLOUTS);
    assert!(bound <= ALPHA, "{failed} false alarms of the family");
    writeln!(
        out,
        "\n## 20 correlated metrics, all at the margin, untempered: any FAIL in {ROLLOUTS} rollouts\n"
    )?;
    let percent = f64::from(failed) * 100.0 / f64::from(ROLLOUTS);
    writeln!(out, "{percent:.2}% (lower bound {:.2}%, budget {}%)\n", bound * 100.0, ALPHA * 100.0)
}
