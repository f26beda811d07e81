//! The judge of a rollout: windows go in, a look comes out. A function of rules and windows and of nothing else.

use std::collections::BTreeMap;

use super::guard::Guard;
use super::metric::Metric;
use super::rules::{Role, Rules, RulesError};
use super::share::ShareEvidence;
use super::verdict::{ExposureRecord, Look, MetricRecord, ShareRecord, Verdict};
use super::window::{Fault, Window, whole};

/// Windows in a row with a silent baseline after which there is nothing to compare with.
const SILENT: u32 = 3;
/// Starts may lie this much, in minutes, before the last end: rounding, not clocks that disagree.
const ROUNDING: f64 = 1e-6;

/// The judge of one rollout.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Rules,
    metrics: Vec<Metric>,
    guards: Vec<Guard>,
    share: Option<ShareEvidence>,
    seen: BTreeMap<String, Window>,
    last: Option<String>,
    stage: u32,
    end: f64,
    exposure: ExposureRecord,
    fault: Option<Fault>,
    clean: u32,
    silent: u32,
}

/// Judges a rollout from all of its windows, in order.
pub fn judge<'a>(rules: &Rules, windows: impl IntoIterator<Item = &'a Window>) -> Result<Look, RulesError> {
    let mut judge = Judge::new(rules)?;
    for window in windows {
        judge.observe(window);
    }
    Ok(judge.look())
}

impl Judge {
    /// A judge who has seen nothing. Refuses rules that cannot hold.
    pub fn new(rules: &Rules) -> Result<Self, RulesError> {
        rules.check()?;
        let mut judge = Self {
            metrics: rules.metrics.iter().map(|metric| Metric::new(metric, rules)).collect(),
            guards: rules.guards.iter().map(Guard::new).collect(),
            share: None,
            rules: rules.clone(),
            seen: BTreeMap::new(),
            last: None,
            stage: 0,
            end: 0.0,
            exposure: ExposureRecord::default(),
            fault: None,
            clean: 0,
            silent: 0,
        };
        judge.share = judge.share_evidence();
        Ok(judge)
    }

    /// Adds a window. Harm is looked for in every one of them, whether anyone asks for a look or not.
    pub fn observe(&mut self, window: &Window) {
        if self.seen.get(&window.id) == Some(window) {
            return;
        }
        match self.place(window) {
            Ok((control, canary)) => {
                self.clean = self.clean.saturating_add(1);
                if self.clean >= self.rules.recovery_windows {
                    self.fault = None;
                }
                self.add(window, control, canary);
            }
            Err(fault) => {
                self.clean = 0;
                self.fault = Some(fault);
            }
        }
        self.last = Some(window.id.clone());
        self.seen.entry(window.id.clone()).or_insert_with(|| window.clone());
    }

    /// Checks where the window belongs and what both arms served.
    fn place(&self, window: &Window) -> Result<(f64, f64), Fault> {
        if self.seen.contains_key(&window.id) {
            return Err(Fault::Changed(window.id.clone()));
        }
        if !(window.minutes > 0.0 && (window.start + window.minutes).is_finite()) {
            return Err(Fault::NoLength(window.id.clone()));
        }
        if window.start < self.end - ROUNDING {
            return Err(Fault::Overlap(window.id.clone()));
        }
        let planned = usize::try_from(window.stage).is_ok_and(|stage| stage < self.rules.stages.len());
        if window.stage < self.stage || !planned {
            return Err(Fault::OtherStage(window.id.clone()));
        }
        let control = whole(window.control.requests, "the baseline's number of requests")?;
        let canary = whole(window.canary.requests, "the canary's number of requests")?;
        Ok((control, canary))
    }

    fn add(&mut self, window: &Window, control: f64, canary: f64) {
        while self.stage < window.stage {
            self.stage += 1;
            self.metrics.iter_mut().for_each(Metric::begin_stage);
            self.exposure = ExposureRecord::default();
            self.share = self.share_evidence();
        }
        self.end = window.start + window.minutes;
        self.silent = if control == 0.0 && canary > 0.0 { self.silent.saturating_add(1) } else { 0 };
        self.exposure.control_requests += control;
        self.exposure.canary_requests += canary;
        if control > 0.0 && canary > 0.0 {
            self.exposure.minutes += window.minutes;
        }
        self.exposure.control_instances = window.control.instances;
        self.exposure.canary_instances = window.canary.instances;
        self.exposure.enough = self.enough();
        if let Some(share) = &mut self.share {
            share.observe(canary, control);
        }
        for metric in &mut self.metrics {
            metric.observe(window, control, canary);
            if self.exposure.enough {
                metric.pass_gate();
            }
        }
        for guard in &mut self.guards {
            let watched = self.metrics.iter().find(|metric| metric.rule().name == guard.metric());
            if let Some((events, requests)) = watched.and_then(|metric| metric.canary_counts(window, canary))
            {
                guard.observe(self.end, events, requests);
            }
        }
    }

    fn share_evidence(&self) -> Option<ShareEvidence> {
        let stage = self.rules.stages.get(usize::try_from(self.stage).ok()?)?;
        stage.canary_share.map(|planned| ShareEvidence::new(&self.rules.share, planned))
    }

    fn enough(&self) -> bool {
        let (seen, least) = (&self.exposure, &self.rules.exposure);
        seen.control_requests.min(seen.canary_requests) >= least.requests
            && seen.minutes >= least.minutes
            && seen.control_instances.min(seen.canary_instances) >= least.instances
    }

    /// What can be said now, with every number it rests on. Looking changes nothing.
    pub fn look(&self) -> Look {
        let metrics: Vec<MetricRecord> =
            self.metrics.iter().map(|metric| metric.look(self.exposure.enough)).collect();
        let guards: Vec<_> = self.guards.iter().map(Guard::record).collect();
        let share = self.share_record();
        let bake_expired = self.end >= self.rules.max_bake_minutes;
        let mut found: Vec<(Verdict, String)> = Vec::new();
        for metric in &metrics {
            // A metric that only informs neither holds a stage nor stops one, except by evidence of harm.
            let counts = metric.role == Role::Critical || metric.verdict == Verdict::Fail;
            if let (true, Some(reason)) = (counts, &metric.reason) {
                found.push((metric.verdict, format!("{}: {reason}", metric.name)));
            }
        }
        for guard in guards.iter().filter(|guard| guard.tripped) {
            let why =
                format!("{}: the canary burns its error budget beyond the absolute limit", guard.metric);
            found.push((Verdict::Fail, why));
        }
        if let Some(fault) = &self.fault {
            found.push((Verdict::Error, fault.to_string()));
        }
        if self.silent >= SILENT {
            found.push((Verdict::Error, Fault::BaselineDead.to_string()));
        }
        if share.is_some_and(|share| share.ln_e >= share.ln_threshold) {
            found.push((
                Verdict::Inconclusive,
                "the arms are not served the planned parts of the traffic".into(),
            ));
        }
        if !self.exposure.enough {
            found.push((Verdict::Inconclusive, "the stage has not seen enough yet".into()));
        }
        if bake_expired {
            for metric in self.metrics.iter().filter(|metric| metric.starved()) {
                let why = format!("{}: still without data after the longest hold", metric.rule().name);
                found.push((Verdict::Fail, why));
            }
        }
        let verdict = found.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Pass);
        let mut reasons: Vec<String> =
            found.into_iter().filter(|(of, _)| *of == verdict).map(|(_, reason)| reason).collect();
        if verdict == Verdict::Pass {
            reasons.clear();
        }
        Look {
            window: self.last.clone(),
            stage: self.stage,
            minute: self.end,
            verdict,
            reasons,
            bake_expired,
            exposure: self.exposure,
            share,
            guards,
            metrics,
        }
    }

    fn share_record(&self) -> Option<ShareRecord> {
        let stage = self.rules.stages.get(usize::try_from(self.stage).ok()?)?;
        let (planned, evidence) = (stage.canary_share?, self.share.as_ref()?);
        let all = self.exposure.canary_requests + self.exposure.control_requests;
        // Each stage begins anew, so the budget is divided over the stages.
        let alpha = self.rules.share.alpha / super::ranks::count(self.rules.stages.len());
        Some(ShareRecord {
            planned,
            seen: (all > 0.0).then(|| self.exposure.canary_requests / all),
            ln_e: evidence.ln_e_highest(),
            ln_threshold: -alpha.ln(),
            alpha,
        })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests;
