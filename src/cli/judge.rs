//! `bakeline judge`: the canary judge on recorded samples and windows, offline.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::CliError;
use super::say;
use crate::judge::holding::{Aim, LONGEST, Stage, minutes_to_fail, minutes_to_pass, watching};
use crate::judge::kayenta::{CONFIDENCE, Classification, MetricConfig, Mode, classify};
use crate::judge::recording::Recording;
use crate::judge::rules::CountRule;
use crate::judge::{Judge, Look};

/// Arguments of `bakeline judge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compare samples as Kayenta does: JSON lines of a control and an experiment in, one JSON line each out
    Compare {
        /// Correct Kayenta where it errs on the unsafe side (tiny samples, tolerance, negative means, missing data)
        #[arg(long)]
        corrected: bool,
    },
    /// Judge a recorded rollout again and print the verdict after each window
    Replay {
        /// The recording: JSON lines, the rules first (docs/judge.md)
        file: PathBuf,
        /// Print each look as a line of JSON with every number it used
        #[arg(long)]
        json: bool,
    },
    /// Say how long each stage must hold for a verdict
    Plan(Plan),
}

/// Arguments of `bakeline judge plan`.
#[derive(Debug, clap::Args)]
struct Plan {
    /// Requests a minute of the whole service
    #[arg(long, value_name = "N", value_parser = positive)]
    requests: f64,
    /// Errors a request of the old image, e.g. 0.002
    #[arg(long, value_name = "RATE", value_parser = fraction)]
    error_rate: f64,
    /// Percent of the traffic on the canary in each stage; the baseline beside it gets as much, as far as there is
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [5.0, 25.0, 50.0], value_parser = percent)]
    stages: Vec<f64>,
    /// Chance of the verdict by then
    #[arg(long, value_name = "CHANCE", default_value_t = 0.9, value_parser = fraction)]
    power: f64,
    /// Take margins and error budgets from the rules of this recording, instead of the options below
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// With --rules: the count to plan for, instead of the first
    #[arg(long, value_name = "NAME", requires = "rules")]
    metric: Option<String>,
    /// The rate ratio that is no harm yet
    #[arg(long, value_name = "RATIO", default_value_t = CountRule::default().margin, value_parser = positive, conflicts_with = "rules")]
    margin: f64,
    /// The rate ratio that must not be promoted
    #[arg(long, value_name = "RATIO", default_value_t = CountRule::default().harm_margin, value_parser = positive, conflicts_with = "rules")]
    harm_margin: f64,
    /// Events of one cause that may come together
    #[arg(long, value_name = "N", default_value_t = CountRule::default().tempering, value_parser = positive, conflicts_with = "rules")]
    tempering: f64,
    /// Chance of a false rollback that this metric may have
    #[arg(long, value_name = "CHANCE", default_value_t = 0.01, value_parser = fraction, conflicts_with = "rules")]
    alpha: f64,
    /// Chance of a false promotion
    #[arg(long, value_name = "CHANCE", default_value_t = 0.05, value_parser = fraction, conflicts_with = "rules")]
    beta: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn number(text: &str, holds: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("expected {expected}"))?;
    if holds(value) { Ok(value) } else { Err(format!("expected {expected}")) }
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value <= 1e9, "a number above 0, up to a billion")
}

fn fraction(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value < 1.0, "a number between 0 and 1")
}

fn percent(text: &str) -> Result<f64, String> {
    number(
        text,
        |value| value > 0.0 && value <= 50.0,
        "a percentage above 0, up to 50: beyond that no equal baseline is left",
    )
}

pub fn main(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Command::Compare { corrected } => {
            let mode = if *corrected { Mode::Corrected } else { Mode::Kayenta };
            compare(BufReader::new(std::io::stdin()), mode)
        }
        Command::Replay { file, json } => replay(file, *json),
        Command::Plan(plan) => print_plan(plan),
    }
}

#[derive(Deserialize)]
struct Sample {
    id: Value,
    control: Vec<Option<f64>>,
    experiment: Vec<Option<f64>>,
    #[serde(default = "confidence")]
    conf_level: f64,
}

fn confidence() -> f64 {
    CONFIDENCE
}

#[derive(Serialize)]
struct Compared {
    id: Value,
    statistic: Option<f64>,
    p_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_exact: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    estimate: Option<f64>,
    classification: Classification,
}

fn compare(input: impl BufRead, mode: Mode) -> Result<(), CliError> {
    for (at, line) in input.lines().enumerate() {
        let line = line.map_err(|error| {
            CliError::data(format!("line {}: {error}", at + 1), "the input is UTF-8 text")
        })?;
        if line.trim().is_empty() {
            continue;
        }
        let refused = |why: String| {
            let hint =
                r#"a line is {"id": "a", "control": [1, 2], "experiment": [2, 3], "conf_level": 0.98}"#;
            CliError::data(format!("line {}: {why}", at + 1), hint)
        };
        let sample: Sample = serde_json::from_str(&line).map_err(|error| refused(error.to_string()))?;
        if !(sample.conf_level > 0.0 && sample.conf_level < 1.0) {
            return Err(refused(format!("conf_level is {}, not between 0 and 1", sample.conf_level)));
        }
        let values = |values: &[Option<f64>]| -> Vec<f64> {
            values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        };
        let (control, experiment) = (values(&sample.control), values(&sample.experiment));
        let found = classify(&control, &experiment, &MetricConfig::default(), sample.conf_level, mode);
        let of = found.comparison;
        print(&Compared {
            id: sample.id,
            statistic: of.map(|of| of.statistic),
            p_value: of.and_then(|of| of.p_value),
            p_exact: of.and_then(|of| of.p_exact),
            lower: of.map(|of| of.lower),
            upper: of.map(|of| of.upper),
            estimate: of.map(|of| of.estimate),
            classification: found.classification,
        })?;
    }
    Ok(())
}

fn print(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CliError::bug(format!("the answer cannot be written: {error}")))?;
    say(&text)
}

fn recording(file: &Path) -> Result<Recording, CliError> {
    let refused = |why: String| {
        CliError::data(format!("{}: {why}", file.display()), "docs/judge.md shows what a recording is")
    };
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    Recording::parse(&text).map_err(|error| refused(crate::engine::error::with_causes(&error)))
}

fn replay(file: &Path, json: bool) -> Result<(), CliError> {
    let recording = recording(file)?;
    let mut judge = Judge::new(&recording.rules).map_err(|error| CliError::data(error.to_string(), ""))?;
    for window in &recording.windows {
        judge.observe(window);
        let look = judge.look();
        if json { print(&look)? } else { say(&summary(&look))? }
    }
    Ok(())
}

/// A look on one line.
fn summary(look: &Look) -> String {
    let window = look.window.as_deref().unwrap_or("-");
    let verdict = look.verdict.name();
    format!(
        "{window:<12} stage {} minute {:>6.1}  {verdict:<12}  {}",
        look.stage,
        look.minute,
        look.reasons.join("; ")
    )
    .trim_end()
    .to_owned()
}

/// What a stage needs, in minutes; none where a week is not enough.
#[derive(Serialize)]
struct Hold {
    stage: usize,
    percent: f64,
    canary_requests_per_minute: f64,
    pass: Option<u32>,
    fail: Vec<HoldToFail>,
}

#[derive(Serialize)]
struct HoldToFail {
    ratio: f64,
    minutes: Option<u32>,
    exposed_requests: Option<f64>,
}

fn print_plan(plan: &Plan) -> Result<(), CliError> {
    let mut aim = aim(plan)?;
    let mut holds = Vec::new();
    for (at, percent) in plan.stages.iter().enumerate() {
        let requests = plan.requests * percent / 100.0;
        let stage = Stage { canary_requests: requests, control_requests: requests, rate: plan.error_rate };
        aim.watching = watching(at, plan.stages.len());
        let fail = [2.0, 3.0, 5.0, 10.0].map(|ratio| {
            let minutes = minutes_to_fail(&stage, &aim, ratio);
            HoldToFail {
                ratio,
                minutes,
                exposed_requests: minutes.map(|minutes| f64::from(minutes) * requests),
            }
        });
        holds.push(Hold {
            stage: at,
            percent: *percent,
            canary_requests_per_minute: requests,
            pass: minutes_to_pass(&stage, &aim),
            fail: fail.into(),
        });
    }
    if plan.json {
        return print(&holds);
    }
    say(&format!(
        "Minutes until the verdict, with chance {}, after which a stage need not hold for it:",
        plan.power
    ))?;
    say("stage  canary  requests/min  PASS (no harm)  FAIL at x2      x3      x5     x10")?;
    for hold in &holds {
        let minutes = |minutes: Option<u32>| {
            minutes.map_or_else(|| format!(">{LONGEST}"), |minutes| minutes.to_string())
        };
        let fails: Vec<String> =
            hold.fail.iter().map(|fail| format!("{:>8}", minutes(fail.minutes))).collect();
        say(&format!(
            "{:>5}  {:>5}%  {:>12.0}  {:>14}  {}",
            hold.stage,
            hold.percent,
            hold.canary_requests_per_minute,
            minutes(hold.pass),
            fails.concat()
        ))?;
    }
    Ok(())
}

fn aim(plan: &Plan) -> Result<Aim, CliError> {
    let Some(file) = &plan.rules else {
        if plan.margin < 1.0 || plan.harm_margin <= 1.0 || plan.tempering < 1.0 {
            return Err(CliError::usage(
                "margins and tempering below 1 mean nothing",
                "a margin of 1 allows no difference, a tempering of 1 no events of one cause",
            ));
        }
        let rule = CountRule {
            margin: plan.margin,
            tempering: plan.tempering,
            harm_margin: plan.harm_margin,
            negligible_rate: None,
        };
        return Ok(Aim { rule, alpha: plan.alpha, beta: plan.beta, watching: 1.0, power: plan.power });
    };
    let rules = recording(file)?.rules;
    let (metric, rule) = rules
        .metrics
        .iter()
        .find_map(|metric| match (&metric.measure, &plan.metric) {
            (_, Some(name)) if *name != metric.name => None,
            (crate::judge::rules::Measure::Counts(rule), _) => Some((metric, rule)),
            _ => None,
        })
        .ok_or_else(|| {
            CliError::data(format!("{} has no such count", file.display()), "name a metric that is a count")
        })?;
    Ok(Aim {
        rule: rule.clone(),
        alpha: rules.alpha_of(metric),
        beta: rules.false_promotion,
        watching: 1.0,
        power: plan.power,
    })
}
