//! What the judge is shown: two sides, in the stretches of time in which they served side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::evidence::predicate::{self, TrialVerdict};
use crate::judge::recording::Line;
use crate::judge::{Look, Verdict, Window, judge};
use crate::spec::Judge;
use crate::stage::promote::measure::{self, Named};
use crate::stage::promote::trial::{Side, Stretch, Trial, rules, windows};

/// Two sides and when they are compared.
#[derive(Debug)]
pub struct AnalysisInput<'a> {
    pub judge: &'a Judge,
    /// Instances of each side, or the fewest of them.
    pub size: u32,
    pub sides: BTreeMap<Side, Named>,
    /// The share of the new image in each stage there can be.
    pub shares: Vec<f64>,
    /// The stages so far.
    pub stretches: Vec<Stretch>,
}

/// The windows since a moment that `CloudWatch` has had time to complete.
pub fn settled(judge: &Judge, since: Timestamp, now: Timestamp) -> Stretch {
    let until = Timestamp(now.0 - i64::from(judge.evaluation_delay.as_secs()));
    Stretch::between(judge, since, until)
}

/// The start of the first window from now on. Windows lie on the clock's own minutes, as `CloudWatch` keeps its periods.
pub fn first_window(judge: &Judge, now: Timestamp) -> Timestamp {
    let window = i64::from(judge.window.as_secs()).max(1);
    Timestamp((now.0.div_euclid(window) + 1) * window)
}

/// How long it is until the next window begins, when another may have settled.
pub fn next_window(judge: &Judge, now: Timestamp) -> Duration {
    Duration::from_secs(first_window(judge, now).since(now).as_secs().max(1))
}

impl AnalysisInput<'_> {
    /// Reads all windows so far.
    ///
    /// # Errors
    /// Only a fault that passes, for which the look is taken again.
    pub async fn windows(&self, aws: &Aws) -> Result<Vec<Window>, StageError> {
        let (Some(first), Some(last)) = (self.stretches.first(), self.stretches.last()) else {
            return Ok(Vec::new());
        };
        let asked = measure::asked(self.judge, &self.sides);
        let series = measure::read(aws, self.judge, &asked, first.0, last.until(self.judge)).await?;
        Ok(windows(self.judge, self.size, &self.stretches, &series))
    }

    /// The look at windows.
    ///
    /// # Errors
    /// [`StageError::Config`] when the rules of the spec cannot hold.
    pub fn judge(&self, shown: &[Window]) -> Result<Look, StageError> {
        judge(&rules(self.judge, self.size, &self.shares), shown)
            .map_err(|wrong| StageError::Config(format!("promote.analysis.judge: {wrong}")))
    }

    /// A trial that ends with this look.
    pub fn ended(&self, look: &Look, shown: &[Window]) -> Trial {
        let edge = |stretch: Option<&Stretch>, of: fn(&Stretch, &Judge) -> Timestamp| {
            stretch.map_or(Timestamp(0), |stretch| of(stretch, self.judge))
        };
        Trial {
            since: edge(self.stretches.first(), |stretch, _| stretch.0),
            until: edge(self.stretches.last(), |stretch, judge| stretch.until(judge)),
            verdict: look.verdict,
            seal: crc32fast::hash(&self.recording(shown)),
        }
    }

    /// The recording of a trial, as `bakeline judge replay` reads it.
    fn recording(&self, shown: &[Window]) -> Vec<u8> {
        let rules = Line::Rules(Box::new(rules(self.judge, self.size, &self.shares)));
        let lines = std::iter::once(rules).chain(shown.iter().cloned().map(Line::Window));
        let mut bytes = Vec::new();
        for line in lines {
            // Nothing of a line can fail to be JSON; a line that did would be missing, and the seal would tell.
            bytes.extend(serde_json::to_vec(&line).unwrap_or_default());
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Where the recording lies in the artifact.
pub const RECORDING: &str = crate::evidence::layout::PROMOTE_JUDGE;

/// A trial as it is recorded: the windows read once more, now that they cannot change, and every look at them.
#[derive(Debug)]
pub struct Recorded {
    pub recording: Vec<u8>,
    pub looks: Vec<Look>,
    /// What the statement says of it.
    pub said: predicate::Trial,
}

/// Reads an ended trial for the record.
///
/// # Errors
/// As the calls.
pub async fn record(trial: &Trial, showing: &AnalysisInput<'_>, aws: &Aws) -> Result<Recorded, StageError> {
    let shown = showing.windows(aws).await?;
    let recording = showing.recording(&shown);
    let mut judge = crate::judge::Judge::new(&rules(showing.judge, showing.size, &showing.shares))
        .map_err(|wrong| StageError::Config(format!("promote.analysis.judge: {wrong}")))?;
    let mut looks = Vec::with_capacity(shown.len());
    for window in &shown {
        judge.observe(window);
        looks.push(judge.look());
    }
    let same = crc32fast::hash(&recording) == trial.seal
        && looks.last().map_or(Verdict::Inconclusive, |look| look.verdict) == trial.verdict;
    let last = looks.last();
    let requests = |of: fn(&Window) -> Option<f64>| count(shown.iter().filter_map(of).sum());
    let said = predicate::Trial {
        from: trial.since.date_time(),
        until: trial.until.date_time(),
        instances: showing.size,
        verdict: match trial.verdict {
            Verdict::Pass => TrialVerdict::Pass,
            Verdict::Inconclusive => TrialVerdict::Inconclusive,
            Verdict::Broken => TrialVerdict::Broken,
            Verdict::Fail => TrialVerdict::Fail,
        },
        reasons: last.map(|look| look.reasons.clone()).unwrap_or_default(),
        canary_requests: requests(|window| window.canary.requests),
        baseline_requests: requests(|window| window.control.requests),
        recording: RECORDING.to_owned(),
        same_numbers: same,
        kayenta: Some(kayenta(&crate::judge::kayenta::show(&rules(showing.judge, showing.size, &showing.shares), &shown))),
    };
    Ok(Recorded { recording, looks, said })
}

fn kayenta(shown: &crate::judge::kayenta::Shown) -> predicate::KayentaScore {
    let metrics = shown.metrics.iter().map(|(name, class)| (name.clone(), format!("{class:?}")));
    predicate::KayentaScore { score: shown.score, class: shown.class.to_owned(), metrics: metrics.collect() }
}

/// A number of requests, far below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(requests: f64) -> u64 {
    requests.max(0.0) as u64
}
