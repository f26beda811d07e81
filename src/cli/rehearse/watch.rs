//! What a person sees while a rehearsal runs: bars on a terminal, plain lines elsewhere, JSON lines for programs.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::engine::{Outcome, Timestamp};
use crate::evidence::Stage;
use crate::telemetry::{Event, JobLabel, Telemetry};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Bars,
    Lines,
    Json,
}

impl Style {
    /// JSON when asked for; bars when a person is watching; lines otherwise.
    pub fn choose(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() && std::io::stdout().is_terminal() {
            Self::Bars
        } else {
            Self::Lines
        }
    }
}

/// What was seen of a stage.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub slices: u32,
    pub outcome: Option<Outcome>,
    summary: String,
}

/// Keeps what happens to each stage and shows it as it does.
#[derive(Clone)]
pub struct Watch {
    style: Style,
    epoch: Timestamp,
    seen: Arc<Mutex<BTreeMap<Stage, Seen>>>,
    bars: Arc<BTreeMap<Stage, ProgressBar>>,
}

impl Watch {
    pub fn new(style: Style, epoch: Timestamp, actions: [bool; 4]) -> Self {
        let all = MultiProgress::new();
        let there = Stage::ALL.into_iter().zip(actions).filter(|(_, there)| *there);
        let bars = if style == Style::Bars {
            there.map(|(stage, _)| (stage, bar(&all, stage))).collect()
        } else {
            BTreeMap::new()
        };
        Self { style, epoch, seen: Arc::default(), bars: Arc::new(bars) }
    }

    /// The ears of a worker.
    pub fn telemetry(&self) -> Telemetry {
        let watch = self.clone();
        Telemetry::with_observer(move |now, label, event| watch.event(now, label, event))
    }

    /// What was seen of every stage that began.
    pub fn seen(&self) -> BTreeMap<Stage, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves the bars as they stand.
    pub fn finish(&self) {
        for bar in self.bars.values() {
            bar.abandon();
        }
    }

    fn event(&self, now: Timestamp, label: &JobLabel, event: &Event<'_>) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(label.stage).or_default();
        let (percent, summary) = match event {
            Event::Claimed { first: true } => {
                seen.began = now;
                (0, "begun".to_owned())
            }
            Event::Claimed { first: false }
            | Event::ClaimRefused { .. }
            | Event::ResultRefused { .. }
            | Event::UndoStarted { .. }
            | Event::UndoEnded { .. } => return,
            Event::SliceYielded { progress, .. } => {
                seen.slices += 1;
                (progress.percent, progress.summary.clone())
            }
            Event::Ended { outcome, .. } => {
                seen.slices += 1;
                seen.ended = Some(now);
                seen.outcome = Some((*outcome).clone());
                match outcome {
                    Outcome::Succeeded { summary, .. } => (100, format!("done: {summary}")),
                    Outcome::Failed(failure) => (100, format!("failed: {}", failure.message)),
                }
            }
        };
        let news = seen.summary != summary;
        seen.summary.clone_from(&summary);
        let clock = elapsed(now.since(self.epoch));
        match self.style {
            Style::Bars => self.draw(label.stage, percent, &clock, &summary, seen),
            // A line for every look would bury what changed.
            Style::Lines if news => {
                let first = summary.lines().next().unwrap_or_default();
                line(&format!("{clock}  {:<8} {percent:>3} %  {first}", label.stage.name()));
            }
            Style::Lines => {}
            Style::Json => line(
                &json!({"at": now.to_string(), "stage": label.stage, "percent": percent, "summary": summary,
                        "ended": seen.ended.is_some()})
                .to_string(),
            ),
        }
    }

    fn draw(&self, stage: Stage, percent: u8, clock: &str, summary: &str, seen: &Seen) {
        let Some(bar) = self.bars.get(&stage) else { return };
        bar.set_prefix(clock.to_owned());
        let first_line = summary.lines().next().unwrap_or_default().to_owned();
        bar.set_message(first_line);
        bar.set_position(u64::from(percent));
        if let Some(outcome) = &seen.outcome {
            let mark = if matches!(outcome, Outcome::Succeeded { .. }) { "green" } else { "red" };
            if let Ok(style) = style(stage, mark) {
                bar.set_style(style);
            }
            bar.abandon();
        }
    }
}

fn bar(all: &MultiProgress, stage: Stage) -> ProgressBar {
    let bar = all.add(ProgressBar::new(100));
    if let Ok(style) = style(stage, "cyan") {
        bar.set_style(style);
    }
    bar.set_prefix("--:--:--");
    bar
}

fn style(stage: Stage, colour: &str) -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let template =
        format!("{{prefix:.dim}}  {:<8} {{bar:24.{colour}/dim}} {{pos:>3}} %  {{wide_msg}}", stage.name());
    Ok(ProgressStyle::with_template(&template)?.progress_chars("━━─"))
}

/// Virtual time since the start: `01:25:00`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn line(text: &str) {
    // Progress is a courtesy: a reader who went away does not stop the rehearsal.
    let _ = writeln!(std::io::stdout(), "{text}");
}
