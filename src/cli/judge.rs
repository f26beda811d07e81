//! `bakeline judge`: the canary judge offline, on recorded samples and windows.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::{CliError, Message};
use super::{Output, json, json_line, say};
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
    /// Compare samples as Kayenta does
    ///
    /// Reads JSON lines with a control and an experiment from standard input, and prints one JSON line for each.
    Compare {
        /// Correct Kayenta where it errs on the unsafe side: tiny samples, tolerance, negative means, missing data
        #[arg(long)]
        corrected: bool,
    },
    /// Judge a recorded rollout again and print the verdict after each window
    Replay {
        /// The recording: JSON lines with the rules first (docs/judge.md)
        #[arg(value_name = "RECORDING")]
        file: PathBuf,
    },
    /// Compute how long each step of a rollout must hold to reach a verdict
    Plan(Plan),
}

/// Arguments of `bakeline judge plan`.
#[derive(Debug, clap::Args)]
struct Plan {
    /// Requests per minute of the whole service
    #[arg(long, value_name = "N", value_parser = positive)]
    requests_per_minute: f64,
    /// Errors per request of the current image, such as 0.002
    #[arg(long, value_name = "RATE", value_parser = fraction)]
    error_rate: f64,
    /// Percent of the traffic on the canary in each step; the baseline gets as much, up to what is left
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [5.0, 25.0, 50.0], value_parser = percent)]
    steps: Vec<f64>,
    /// Chance that the verdict is reached by the end of the hold
    #[arg(long, value_name = "CHANCE", default_value_t = 0.9, value_parser = fraction)]
    power: f64,
    /// Take ratios and error budgets from the rules of this recording, instead of the options below
    #[arg(long, value_name = "RECORDING")]
    rules: Option<PathBuf>,
    /// With --rules: the count to plan for, instead of the first
    #[arg(long, value_name = "NAME", requires = "rules")]
    metric: Option<String>,
    /// Ratio of the error rates that is no harm
    #[arg(long, value_name = "RATIO", default_value_t = CountRule::default().margin, value_parser = positive, conflicts_with = "rules")]
    allowed_ratio: f64,
    /// Ratio of the error rates that must not be promoted
    #[arg(long, value_name = "RATIO", default_value_t = CountRule::default().harm_margin, value_parser = positive, conflicts_with = "rules")]
    critical_ratio: f64,
    /// Errors that one cause may produce together
    #[arg(long, value_name = "N", default_value_t = CountRule::default().tempering, value_parser = positive, conflicts_with = "rules")]
    events_per_cause: f64,
    /// Chance of a false rollback by this metric
    #[arg(long, value_name = "CHANCE", default_value_t = 0.01, value_parser = fraction, conflicts_with = "rules")]
    false_rollback: f64,
    /// Chance of a false promotion
    #[arg(long, value_name = "CHANCE", default_value_t = 0.05, value_parser = fraction, conflicts_with = "rules")]
    false_promotion: f64,
}

fn number(text: &str, holds: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("expected {expected}"))?;
    if holds(value) { Ok(value) } else { Err(format!("expected {expected}")) }
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value <= 1e9, "a number above 0 and at most 1000000000")
}

fn fraction(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value < 1.0, "a number between 0 and 1")
}

fn percent(text: &str) -> Result<f64, String> {
    number(
        text,
        |value| value > 0.0 && value <= 50.0,
        "a percentage above 0 and at most 50: above 50 no equal baseline is left",
    )
}

pub fn main(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.command {
        Command::Compare { corrected } => {
            let mode = if *corrected { Mode::Corrected } else { Mode::Kayenta };
            compare(BufReader::new(std::io::stdin()), mode)
        }
        Command::Replay { file } => replay(file, output),
        Command::Plan(plan) => print_plan(plan, output),
    }
}

/// A line of input, in Kayenta's words.
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

/// A line of output, in the words of Kayenta and of R's `wilcox.test`.
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
    const FORM: &str =
        r#"a line is {"id": "a", "control": [1, 2], "experiment": [2, 3], "conf_level": 0.98}"#;
    for (at, line) in input.lines().enumerate() {
        let refused = || CliError::data(format!("line {} of standard input is not a sample", at + 1), FORM);
        let line = line.map_err(|error| refused().caused_by(&error))?;
        if line.trim().is_empty() {
            continue;
        }
        // The first line may begin with a byte order mark.
        let line = crate::text::without_bom(&line);
        let sample: Sample = serde_json::from_str(line).map_err(|error| refused().caused_by(&error))?;
        if !(sample.conf_level > 0.0 && sample.conf_level < 1.0) {
            let message =
                format!("line {}: conf_level is {}, not between 0 and 1", at + 1, sample.conf_level);
            return Err(CliError::data(message, FORM));
        }
        let values = |values: &[Option<f64>]| -> Vec<f64> {
            values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        };
        let (control, experiment) = (values(&sample.control), values(&sample.experiment));
        let found = classify(&control, &experiment, &MetricConfig::default(), sample.conf_level, mode);
        let of = found.comparison;
        let compared = Compared {
            id: sample.id,
            statistic: of.map(|of| of.statistic),
            p_value: of.and_then(|of| of.p_value),
            p_exact: of.and_then(|of| of.p_exact),
            lower: of.map(|of| of.lower),
            upper: of.map(|of| of.upper),
            estimate: of.map(|of| of.estimate),
            classification: found.classification,
        };
        let text = serde_json::to_string(&compared)
            .map_err(|error| CliError::bug("the comparison cannot be written as JSON").caused_by(&error))?;
        say(&text)?;
    }
    Ok(())
}

/// The longest recording that is read, in bytes.
const MAX_RECORDING: usize = 256 << 20;

fn recording(file: &Path) -> Result<Recording, CliError> {
    let refused = || {
        let message = format!("`{}` is not a recording", file.display());
        CliError::data(message, "docs/judge.md shows the form of a recording")
    };
    let bytes = super::read_input(file, MAX_RECORDING, "recording")?;
    let text = String::from_utf8(bytes).map_err(|error| refused().caused_by(&error))?;
    Recording::parse(&text).map_err(|error| refused().caused_by(&error))
}

fn replay(file: &Path, output: Output) -> Result<(), CliError> {
    let recording = recording(file)?;
    let mut judge = Judge::new(&recording.rules).map_err(|error| CliError::data(Message::of(&error), ""))?;
    for window in &recording.windows {
        judge.observe(window);
        let look = judge.look();
        match output {
            Output::Json => json_line("judge-verdict/v1", &look)?,
            Output::Text => say(&summary(&look))?,
        }
    }
    Ok(())
}

/// The verdict after a window on one line.
fn summary(look: &Look) -> String {
    let window = look.window.as_deref().unwrap_or("-");
    let verdict = look.verdict.name();
    format!(
        "{window:<12} step {} minute {:>6.1}  {verdict:<12}  {}",
        look.stage,
        look.minute,
        look.reasons.join("; ")
    )
    .trim_end()
    .to_owned()
}

/// JSON output of `judge plan`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanReport {
    /// Chance that the verdict is reached by the end of the hold.
    power: f64,
    steps: Vec<Hold>,
}

/// The hold that a step needs, in minutes; null where a week is not enough.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hold {
    step: usize,
    percent: f64,
    canary_requests_per_minute: f64,
    minutes_to_pass: Option<u32>,
    fail: Vec<HoldToFail>,
}

/// The hold after which an image that multiplies the error rate by `ratio` fails.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldToFail {
    ratio: f64,
    minutes: Option<u32>,
    exposed_requests: Option<f64>,
}

fn print_plan(plan: &Plan, output: Output) -> Result<(), CliError> {
    let mut aim = aim(plan)?;
    let mut holds = Vec::new();
    for (at, percent) in plan.steps.iter().enumerate() {
        let requests = plan.requests_per_minute * percent / 100.0;
        let stage = Stage { canary_requests: requests, control_requests: requests, rate: plan.error_rate };
        aim.watching = watching(at, plan.steps.len());
        let fail = [2.0, 3.0, 5.0, 10.0].map(|ratio| {
            let minutes = minutes_to_fail(&stage, &aim, ratio);
            HoldToFail {
                ratio,
                minutes,
                exposed_requests: minutes.map(|minutes| f64::from(minutes) * requests),
            }
        });
        holds.push(Hold {
            step: at,
            percent: *percent,
            canary_requests_per_minute: requests,
            minutes_to_pass: minutes_to_pass(&stage, &aim),
            fail: fail.into(),
        });
    }
    match output {
        Output::Json => json("judge-plan/v1", &PlanReport { power: plan.power, steps: holds }),
        Output::Text => print_holds(plan, &holds),
    }
}

fn print_holds(plan: &Plan, holds: &[Hold]) -> Result<(), CliError> {
    say(&format!(
        "Minutes of hold after which the verdict is reached with a chance of {}, at so many times the error rate:",
        plan.power
    ))?;
    say("step  canary  requests/min  pass (x1)  fail at x2      x3      x5     x10")?;
    for hold in holds {
        let minutes = |minutes: Option<u32>| {
            minutes.map_or_else(|| format!(">{LONGEST}"), |minutes| minutes.to_string())
        };
        let fails: Vec<String> =
            hold.fail.iter().map(|fail| format!("{:>8}", minutes(fail.minutes))).collect();
        say(&format!(
            "{:>4}  {:>5}%  {:>12.0}  {:>9}    {}",
            hold.step,
            hold.percent,
            hold.canary_requests_per_minute,
            minutes(hold.minutes_to_pass),
            fails.concat()
        ))?;
    }
    Ok(())
}

fn aim(plan: &Plan) -> Result<Aim, CliError> {
    let Some(file) = &plan.rules else {
        if plan.allowed_ratio < 1.0 || plan.critical_ratio <= 1.0 || plan.events_per_cause < 1.0 {
            return Err(CliError::usage(
                "--allowed-ratio and --events-per-cause must be at least 1, --critical-ratio more than 1",
                "a ratio of 1 allows no difference; 1 event per cause means that errors are independent",
            ));
        }
        let rule = CountRule {
            margin: plan.allowed_ratio,
            tempering: plan.events_per_cause,
            harm_margin: plan.critical_ratio,
            negligible_rate: None,
        };
        let (alpha, beta) = (plan.false_rollback, plan.false_promotion);
        return Ok(Aim { rule, alpha, beta, watching: 1.0, power: plan.power });
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
            let message = match &plan.metric {
                Some(name) => format!("`{}` has no count named `{name}`", file.display()),
                None => format!("`{}` has no metric that is a count", file.display()),
            };
            CliError::data(message, "name a metric that is a count with --metric")
        })?;
    Ok(Aim {
        rule: rule.clone(),
        alpha: rules.alpha_of(metric),
        beta: rules.false_promotion,
        watching: 1.0,
        power: plan.power,
    })
}
