//! The input of the judge: two sides, and the periods in which they served side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cloudwatch::{self, SideNames};
use super::error::AnalysisError;
use super::rules::rules;
use super::windows::{Period, Side, windows};
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::evidence::predicate::{self, CanaryVerdict};
use crate::judge::recording::Line;
use crate::judge::{Look, Verdict, Window, judge};
use crate::spec::Judge;

/// The two sides that the judge compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    pub names: BTreeMap<Side, SideNames>,
    /// Instances of each side, or the fewest of them.
    pub size: u32,
    /// The planned share of the new version in each step.
    pub shares: Vec<f64>,
}

/// The result of a comparison: the judge's verdict, and what it was given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisResult {
    pub verdict: Verdict,
    /// CRC-32 of the recording on which the verdict was given. The recording at the end must have the same.
    pub crc: u32,
}

/// Two sides, and the periods in which they are compared.
#[derive(Debug)]
pub struct AnalysisInput<'a> {
    pub judge: &'a Judge,
    pub sides: Sides,
    /// The periods so far, in order; the last of them may not be over.
    pub periods: Vec<Period>,
}

/// The windows since a moment that `CloudWatch` had time to complete.
#[must_use]
pub fn settled(judge: &Judge, since: Timestamp, now: Timestamp) -> Period {
    let until = Timestamp(now.0 - i64::from(judge.evaluation_delay.as_secs()));
    Period::between(judge, since, until)
}

/// The start of the next window. Windows begin at full minutes, as the periods of `CloudWatch` do.
#[must_use]
pub fn first_window(judge: &Judge, now: Timestamp) -> Timestamp {
    let window = i64::from(judge.window.as_secs()).max(1);
    Timestamp((now.0.div_euclid(window) + 1) * window)
}

/// The time until the next window begins: then another one may be complete.
#[must_use]
pub fn next_window(judge: &Judge, now: Timestamp) -> Duration {
    Duration::from_secs(first_window(judge, now).since(now).as_secs().max(1))
}

impl AnalysisInput<'_> {
    /// Reads all windows so far.
    ///
    /// # Errors
    /// `GetMetricData` failed.
    pub async fn windows(&self, aws: &Aws) -> Result<Vec<Window>, StageError> {
        let (Some(first), Some(last)) = (self.periods.first(), self.periods.last()) else {
            return Ok(Vec::new());
        };
        let asked = cloudwatch::requests(self.judge, &self.sides.names);
        let series = cloudwatch::read(aws, self.judge, &asked, first.0, last.until(self.judge)).await?;
        Ok(windows(self.judge, self.sides.size, &self.periods, &series))
    }

    /// The judge's verdict on windows.
    ///
    /// # Errors
    /// [`AnalysisError::Rules`] when the rules of the spec cannot hold.
    pub fn judge(&self, shown: &[Window]) -> Result<Look, StageError> {
        judge(&rules(self.judge, self.sides.size, &self.sides.shares), shown)
            .map_err(|source| AnalysisError::Rules { source }.into())
    }

    /// The result of a comparison.
    #[must_use]
    pub fn result(&self, look: &Look, windows: &[Window]) -> AnalysisResult {
        AnalysisResult { verdict: look.verdict, crc: crc32fast::hash(&self.recording(windows)) }
    }

    /// The recording of windows, as `bakeline judge replay` reads it.
    fn recording(&self, shown: &[Window]) -> Vec<u8> {
        let header = Line::header(rules(self.judge, self.sides.size, &self.sides.shares));
        let lines = std::iter::once(header).chain(shown.iter().cloned().map(Line::window));
        let mut bytes = Vec::new();
        for line in lines {
            // A line cannot fail to become JSON. If it did, it would be missing, and the CRC would differ.
            bytes.extend(serde_json::to_vec(&line).unwrap_or_default());
            bytes.push(b'\n');
        }
        bytes
    }
}

/// The path of the recording in the artifact.
pub const RECORDING: &str = crate::evidence::layout::PROMOTE_JUDGE;

/// The record of a comparison: the windows read again, now that they cannot change, and the judge's result on each.
#[derive(Debug)]
pub struct Recorded {
    pub recording: Vec<u8>,
    pub looks: Vec<Look>,
    /// What the statement says of it.
    pub canary: predicate::Canary,
}

/// Reads the windows of an ended comparison again, for the record.
///
/// # Errors
/// `GetMetricData` failed; [`AnalysisError::Rules`] when the rules of the spec are invalid.
pub async fn record(
    ended: AnalysisResult,
    input: &AnalysisInput<'_>,
    aws: &Aws,
) -> Result<Recorded, StageError> {
    let windows = input.windows(aws).await?;
    let recording = input.recording(&windows);
    let mut judge = crate::judge::Judge::new(&rules(input.judge, input.sides.size, &input.sides.shares))
        .map_err(|source| AnalysisError::Rules { source })?;
    let mut looks = Vec::with_capacity(windows.len());
    for window in &windows {
        judge.observe(window);
        looks.push(judge.look());
    }
    let last = looks.last();
    let matches = crc32fast::hash(&recording) == ended.crc
        && last.map_or(Verdict::Inconclusive, |look| look.verdict) == ended.verdict;
    let requests = |of: fn(&Window) -> Option<f64>| count(windows.iter().filter_map(of).sum());
    let first = input.periods.first().map_or(Timestamp(0), |period| period.0);
    let until = input.periods.last().map_or(Timestamp(0), |period| period.until(input.judge));
    let canary = predicate::Canary {
        started_on: first.date_time(),
        finished_on: until.date_time(),
        size: input.sides.size,
        verdict: match ended.verdict {
            Verdict::Pass => CanaryVerdict::Pass,
            Verdict::Inconclusive => CanaryVerdict::Inconclusive,
            Verdict::Error => CanaryVerdict::Error,
            Verdict::Fail => CanaryVerdict::Fail,
        },
        reasons: last.map(|look| look.reasons.clone()).unwrap_or_default(),
        canary_requests: requests(|window| window.canary.requests),
        baseline_requests: requests(|window| window.control.requests),
        recording: RECORDING.to_owned(),
        recording_matches: matches,
        kayenta: Some(kayenta(&crate::judge::kayenta::show(
            &rules(input.judge, input.sides.size, &input.sides.shares),
            &windows,
        ))),
    };
    Ok(Recorded { recording, looks, canary })
}

fn kayenta(shown: &crate::judge::kayenta::Shown) -> predicate::KayentaScore {
    let metrics = shown.metrics.iter().map(|(name, class)| (name.clone(), format!("{class:?}")));
    predicate::KayentaScore {
        score: shown.score,
        classification: shown.class.to_owned(),
        metrics: metrics.collect(),
    }
}

/// A number of requests, far below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(requests: f64) -> u64 {
    requests.max(0.0) as u64
}
