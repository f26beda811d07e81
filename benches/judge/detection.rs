//! How soon harm is found, beside Kayenta's method on the same minutes.

use std::io::{self, Write};

use bakeline::judge::counts::CountEvidence;
use bakeline::judge::kayenta::{CONFIDENCE, Classification, MetricConfig, Mode, classify};

use crate::random::Random;
use crate::rollout::{ALPHA, Law, MINUTES, Staged, minute, quantile, rule, traffic};

const ROLLOUTS: u32 = 2_000;
/// Kayenta's comparison costs a thousand times more.
const KAYENTA_ROLLOUTS: u32 = 500;
const SETTINGS: [(f64, f64); 5] = [(1.25, 3.0), (1.25, 2.0), (1.25, 1.0), (1.0, 3.0), (1.0, 1.0)];
const SLACK: f64 = 0.02;

/// Minutes of the first alarm of each rollout, of the settings and of Kayenta (looking every 5 minutes).
struct Found {
    settings: Vec<Vec<Option<u32>>>,
    kayenta: Vec<Option<u32>>,
}

fn find(ratio: f64, onset: u32, law: Law, with_kayenta: bool) -> Found {
    let fresh: Vec<CountEvidence> =
        SETTINGS.iter().map(|(margin, b)| CountEvidence::new(&rule(*margin, *b), 3)).collect();
    let mut random = Random::new(31);
    let mut found = Found { settings: vec![Vec::new(); SETTINGS.len()], kayenta: Vec::new() };
    for rollout in 0..ROLLOUTS {
        let minutes: Vec<_> = (0..MINUTES)
            .map(|at| minute(&mut random, law, at, if at >= onset { ratio } else { 1.0 }, 1.0))
            .collect();
        for (fresh, alarms) in fresh.iter().zip(&mut found.settings) {
            let mut staged = Staged::new(fresh);
            let mut alarm = None;
            for (at, seen) in (1..).zip(&minutes) {
                staged.observe(seen);
                if staged.evidence.ln_harm() >= -ALPHA.ln() {
                    alarm = Some(at);
                    break;
                }
            }
            alarms.push(alarm);
        }
        if with_kayenta && rollout < KAYENTA_ROLLOUTS {
            let rates: Vec<(f64, f64)> = minutes
                .iter()
                .map(|seen| {
                    (seen.control_events / seen.control_requests, seen.canary_events / seen.canary_requests)
                })
                .collect();
            let high = (5..=MINUTES).step_by(5).find(|end| {
                let (control, canary): (Vec<f64>, Vec<f64>) =
                    rates.iter().take(*end as usize).copied().unzip();
                let config = MetricConfig::default();
                classify(&control, &canary, &config, CONFIDENCE, Mode::Kayenta).classification
                    == Classification::High
            });
            found.kayenta.push(high);
        }
    }
    found
}

fn summary(alarms: &mut [Option<u32>], onset: u32) -> (f64, String) {
    let all = alarms.len() as f64;
    let chance = alarms.iter().flatten().count() as f64 / all;
    let mut exposed: Vec<f64> =
        alarms.iter().map(|alarm| (onset..alarm.unwrap_or(MINUTES)).map(traffic).sum()).collect();
    exposed.sort_unstable_by(f64::total_cmp);
    let middle = exposed.get(exposed.len() / 2).copied().unwrap_or(0.0) / 1_000.0;
    let (median, late) = (quantile(alarms, 0.5), quantile(alarms, 0.9));
    (chance, format!("{:.1}%, {median}, {late}, {middle:.1}k", chance * 100.0))
}

pub fn table(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "## Detection: chance of FAIL, median minute, 90% minute, median exposed canary requests\n"
    )?;
    writeln!(
        out,
        "Errors 0.2%, 600/3000/6000 requests a minute on each arm, 30 minutes each; {ROLLOUTS} rollouts, Kayenta {KAYENTA_ROLLOUTS} looking every 5 minutes.\n"
    )?;
    writeln!(
        out,
        "| truth | margin 1.25, B 3 (default) | 1.25, B 2 | 1.25, B 1 | 1, B 3 | 1, B 1 | Kayenta |\n|---|---|---|---|---|---|---|"
    )?;
    let mut before = vec![0.0; SETTINGS.len()];
    for ratio in [1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0] {
        let mut found = find(ratio, 0, Law::Poisson, true);
        write!(out, "| x{ratio} |")?;
        for (alarms, before) in found.settings.iter_mut().zip(&mut before) {
            let (chance, text) = summary(alarms, 0);
            assert!(chance >= *before - SLACK, "power falls at x{ratio}");
            *before = chance;
            write!(out, " {text} |")?;
        }
        writeln!(out, " {} |", summary(&mut found.kayenta, 0).1)?;
        out.flush()?;
    }
    writeln!(out, "\n## Late onset of x3: chance, median minute, 90% minute, exposed\n")?;
    writeln!(
        out,
        "| onset at minute | margin 1.25, B 3 | 1.25, B 2 | 1.25, B 1 | 1, B 3 | 1, B 1 |\n|---|---|---|---|---|---|"
    )?;
    for onset in [0, 20, 60] {
        let mut found = find(3.0, onset, Law::Poisson, false);
        write!(out, "| {onset} |")?;
        for alarms in &mut found.settings {
            write!(out, " {} |", summary(alarms, onset).1)?;
        }
        writeln!(out)?;
    }
    sparse(out)
}

/// One look after an hour at a fifth of an event a minute: where Kayenta's power falls as the harm grows.
fn sparse(out: &mut impl Write) -> io::Result<()> {
    const LOOKS: u32 = 1_000;
    writeln!(out, "\n## Sparse counts (0.2 events a minute, 60 minutes, one look): chance of an alarm\n")?;
    writeln!(out, "| truth | x1 | x2 | x3 | x4 | x5 | x6 | x8 |\n|---|---|---|---|---|---|---|---|")?;
    let ratios = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for ratio in ratios {
        let mut random = Random::new(59);
        let fresh = CountEvidence::new(&rule(1.25, 1.0), 1);
        let (mut failed, mut high) = (0_u32, 0_u32);
        for _ in 0..LOOKS {
            let (mut control, mut canary) = (Vec::new(), Vec::new());
            let mut evidence = fresh.clone();
            for _ in 0..60 {
                let (y, x) = (random.poisson(0.2), random.poisson(0.2 * ratio));
                control.push(y);
                canary.push(x);
                evidence.observe(&bakeline::judge::counts::Totals {
                    control_events: y,
                    control_requests: 100.0,
                    canary_events: x,
                    canary_requests: 100.0,
                });
            }
            failed += u32::from(evidence.ln_harm() >= -ALPHA.ln());
            let config = MetricConfig::default();
            let class = classify(&control, &canary, &config, CONFIDENCE, Mode::Kayenta).classification;
            high += u32::from(class == Classification::High);
        }
        ours.push(f64::from(failed) / f64::from(LOOKS));
        theirs.push(f64::from(high) / f64::from(LOOKS));
    }
    assert!(ours.windows(2).all(|pair| matches!(pair, [a, b] if b >= &(a - SLACK))), "power falls: {ours:?}");
    for (name, chances) in [("margin 1.25, B 1", ours), ("Kayenta", theirs)] {
        let cells: Vec<String> = chances.iter().map(|chance| format!("{:.1}%", chance * 100.0)).collect();
        writeln!(out, "| {name} | {} |", cells.join(" | "))?;
    }
    writeln!(out)
}
