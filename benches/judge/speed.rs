//! How long one look takes.

use std::io::{self, Write};
use std::time::Instant;

use bakeline::judge::rules::{
    CountRule, Exposure, Harm, Measure, MetricRule, Role, Rules, ShareRule, StageRule,
};
use bakeline::judge::window::{Arm, Counted, Reading, Window};
use bakeline::judge::{Judge, Verdict, judge};

const METRICS: u32 = 50;
const LOOKS: u32 = 90;

/// Rules with this many counts of equal weight, in three stages.
pub fn rules(metrics: u32) -> Rules {
    let stage = StageRule { canary_share: Some(0.5) };
    Rules {
        false_rollback: 0.01,
        false_promotion: 0.05,
        stages: vec![stage; 3],
        metrics: (0..metrics)
            .map(|at| MetricRule {
                name: format!("metric-{at}"),
                weight: 1.0,
                role: Role::Critical,
                harm: Harm::Increase,
                measure: Measure::Counts(CountRule::default()),
            })
            .collect(),
        exposure: Exposure::default(),
        guards: Vec::new(),
        share: ShareRule::default(),
        max_bake_minutes: 180.0,
        recovery_windows: 3,
    }
}

/// One minute of a rollout, 30 minutes a stage, with these events (control, canary) of each metric.
pub fn window(at: u32, control: f64, canary: f64, events: impl Iterator<Item = (u32, f64, f64)>) -> Window {
    let counted = |events| Counted { events: Some(events), total: None };
    Window {
        id: at.to_string(),
        stage: (at / 30).min(2),
        start: f64::from(at),
        minutes: 1.0,
        control: Arm { requests: Some(control), instances: 10 },
        canary: Arm { requests: Some(canary), instances: 10 },
        metrics: events
            .map(|(metric, x, y)| {
                (format!("metric-{metric}"), Reading::Counts { control: counted(x), canary: counted(y) })
            })
            .collect(),
    }
}

/// Prints the time of a look at 50 metrics: one more window and the record, and all 90 windows anew.
#[allow(clippy::disallowed_methods, reason = "a bench measures real time; nothing of the product runs on it")]
pub fn table(out: &mut impl Write) -> io::Result<()> {
    let rules = rules(METRICS);
    let windows: Vec<Window> = (0..LOOKS)
        .map(|at| {
            // Another share in every window: the costly case, since no logarithm can be kept.
            let canary = 9_000.0 + f64::from(at * 7 % 100);
            window(at, 10_000.0, canary, (0..METRICS).map(|metric| (metric, f64::from(metric % 9), 5.0)))
        })
        .collect();
    let refused = |error| io::Error::other(format!("{error}"));
    let mut watched = Judge::new(&rules).map_err(refused)?;
    let mut each = Vec::with_capacity(windows.len());
    for window in &windows {
        let start = Instant::now();
        watched.observe(window);
        let look = watched.look();
        each.push(start.elapsed());
        assert!(look.verdict != Verdict::Error);
    }
    each.sort_unstable();
    let start = Instant::now();
    let look = judge(&rules, &windows).map_err(refused)?;
    let whole = start.elapsed();
    assert_eq!(look, watched.look());
    writeln!(out, "## One look at {METRICS} metrics ({LOOKS} windows, a different traffic share in each)\n")?;
    writeln!(out, "| | median | slowest |\n|---|---|---|")?;
    let (middle, last) = (each.get(each.len() / 2), each.last());
    writeln!(
        out,
        "| one window more and its full record | {:?} | {:?} |",
        middle.unwrap_or(&whole),
        last.unwrap_or(&whole)
    )?;
    writeln!(out, "| all {LOOKS} windows judged anew | {whole:?} | |\n")
}
