//! How soon a stage passes, and how often it passes wrongly.

use std::io::{self, Write};

use bakeline::judge::counts::{CountEvidence, Totals};
use bakeline::judge::rules::CountRule;

use crate::random::Random;
use crate::rollout::{BETA, lower_bound, quantile};

const ROLLOUTS: u32 = 10_000;
const LONGEST: u32 = 180;

/// Minutes at which each of the stages passes.
fn passes(rule: &CountRule, ratio: f64, events: f64, rollouts: u32) -> Vec<Option<u32>> {
    let fresh = CountEvidence::new(rule, 1);
    let mut random = Random::new(83);
    (0..rollouts)
        .map(|_| {
            let mut evidence = fresh.clone();
            (1..=LONGEST).find(|_| {
                evidence.observe(&Totals {
                    control_events: random.poisson(events),
                    control_requests: events * 500.0,
                    canary_events: random.poisson(events * ratio),
                    canary_requests: events * 500.0,
                });
                evidence.ln_safe() >= -BETA.ln()
            })
        })
        .collect()
}

pub fn table(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "## PASS of one stage within {LONGEST} minutes: chance, median minute (6 errors a minute on each arm, beta {BETA}, {ROLLOUTS} rollouts)\n"
    )?;
    writeln!(
        out,
        "| truth | harm margin 1.5, B 3 (default) | 1.5, B 1 | 2, B 3 | 2, B 1 |\n|---|---|---|---|---|"
    )?;
    for ratio in [1.0, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0] {
        write!(out, "| x{ratio} |")?;
        for (harm_margin, tempering) in [(1.5, 3.0), (1.5, 1.0), (2.0, 3.0), (2.0, 1.0)] {
            let rule = CountRule { harm_margin, tempering, ..CountRule::default() };
            let mut passed = passes(&rule, ratio, 6.0, ROLLOUTS);
            let hits = u32::try_from(passed.iter().flatten().count()).unwrap_or(u32::MAX);
            if ratio >= harm_margin {
                assert!(lower_bound(hits, ROLLOUTS) <= BETA, "x{ratio} passes {hits} times");
            }
            let chance = f64::from(hits) * 100.0 / f64::from(ROLLOUTS);
            write!(out, " {chance:.1}%, {} |", quantile(&mut passed, 0.5))?;
            out.flush()?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "\n## INCONCLUSIVE after {LONGEST} minutes with equal arms, and median and 90% minute of PASS, by traffic (1000 rollouts)\n"
    )?;
    writeln!(
        out,
        "| errors a minute on each arm | harm margin 1.5, B 3 | 1.5, B 1 | 2, B 3 | 2, B 1 |\n|---|---|---|---|---|"
    )?;
    for events in [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0] {
        write!(out, "| {events} |")?;
        for (harm_margin, tempering) in [(1.5, 3.0), (1.5, 1.0), (2.0, 3.0), (2.0, 1.0)] {
            let rule = CountRule { harm_margin, tempering, ..CountRule::default() };
            let mut passed = passes(&rule, 1.0, events, 1_000);
            let open = passed.iter().filter(|minute| minute.is_none()).count();
            let (median, late) = (quantile(&mut passed, 0.5), quantile(&mut passed, 0.9));
            write!(out, " {:.1}%, {median}, {late} |", open as f64 / 10.0)?;
            out.flush()?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}
