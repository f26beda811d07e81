//! The settings of a promotion, in one shape for every way to deploy. Only this file reads the spec's `promote` section.

use std::time::Duration;

use crate::spec::promote::target::UnsupportedTarget;
use crate::spec::promote::wave::Wave;
use crate::spec::{self, Judge, Limit, Span};

/// The way in which a target takes the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The target's units are replaced step by step.
    Rolling,
    /// Canary and baseline are compared beside production; then the units are replaced.
    CanaryThenRolling,
    /// A second group takes the traffic step by step.
    BlueGreen,
}

/// The settings of a promotion, or of one group of a wave.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the Auto Scaling group.
    pub group: String,
    /// Name of the group that alternates with it, for blue/green.
    pub alternate: Option<String>,
    pub way: Way,
    /// Percentages at which the deployment holds, ascending; the last one is 100.
    pub steps: Vec<u8>,
    /// Seconds that every step holds before it may continue.
    pub hold: u32,
    /// Percentage of the group that must stay healthy while instances are replaced.
    pub min_healthy_percent: u8,
    /// Percentage up to which the group may grow while instances are replaced.
    pub max_healthy_percent: u8,
    /// Seconds that a new instance warms up.
    pub warmup: u32,
    /// Seconds of the soak at the end.
    pub soak: u32,
    /// `CloudWatch` alarms of which none may go off.
    pub alarms: Vec<String>,
    /// Metrics with bounds.
    pub limits: Vec<Limit>,
    /// What canary and baseline are compared on.
    pub judge: Option<Judge>,
    /// Instances of the canary and of the baseline; for blue/green, the fewest of each side.
    pub size: u32,
    pub waves: Vec<WaveSettings>,
    pub timeout: Duration,
}

/// A wave: groups that follow together.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveSettings {
    /// Name of the wave in reports.
    pub name: String,
    /// Names of the Auto Scaling groups, in the order in which they begin.
    pub groups: Vec<String>,
    /// The environment of the groups; none for that of the first group.
    pub environment: Option<String>,
    /// The Region of the groups; none for that of the first group.
    pub region: Option<String>,
    /// Groups of the wave that are refreshed at a time.
    pub max_concurrent: u16,
    pub alarms: Vec<String>,
    pub limits: Vec<Limit>,
}

impl Settings {
    /// Reads the settings from the spec.
    ///
    /// # Errors
    /// [`UnsupportedTarget`] when a target is not an Auto Scaling group.
    pub fn of(promote: &spec::Promote) -> Result<Self, UnsupportedTarget> {
        let (target, analysis) = (promote.target.auto_scaling_group()?, &promote.analysis);
        let wave = |wave: &Wave| {
            let groups = wave.targets.iter().map(|target| Ok(target.auto_scaling_group()?.name.clone()));
            let own = wave.analysis.clone().unwrap_or_default();
            Ok(WaveSettings {
                name: wave.name.clone(),
                groups: groups.collect::<Result<_, UnsupportedTarget>>()?,
                environment: wave.environment.clone(),
                region: wave.region.clone(),
                max_concurrent: wave.max_concurrent,
                alarms: own.alarms.unwrap_or_else(|| analysis.alarms.clone()),
                limits: own.limits.unwrap_or_else(|| analysis.limits.clone()),
            })
        };
        let (rolling, blue_green) = (promote.rolling.as_ref(), promote.blue_green.as_ref());
        let replaced = rolling.iter().flat_map(|way| &way.steps).map(|step| step.percent);
        let shifted = blue_green.iter().flat_map(|way| &way.steps).map(|step| step.percent);
        // A spec without a way has been refused; the shortest hold would be its hold.
        let hold = rolling.map(|way| way.hold).or_else(|| blue_green.map(|way| way.hold));
        let min_size = blue_green.map_or(1, |way| way.min_size);
        Ok(Self {
            group: target.name.clone(),
            alternate: target.alternate.clone(),
            way: match (blue_green, promote.canary) {
                (Some(_), _) => Way::BlueGreen,
                (None, Some(_)) => Way::CanaryThenRolling,
                (None, None) => Way::Rolling,
            },
            steps: replaced.chain(shifted).chain([100]).collect(),
            hold: hold.map_or(60, Span::as_secs),
            min_healthy_percent: rolling.and_then(|way| way.min_healthy_percent).unwrap_or(100),
            max_healthy_percent: rolling.and_then(|way| way.max_healthy_percent).unwrap_or(100),
            warmup: rolling.and_then(|way| way.warmup).map_or(0, Span::as_secs),
            soak: promote.soak.duration.as_secs(),
            alarms: analysis.alarms.clone(),
            limits: analysis.limits.clone(),
            judge: analysis.judge.clone(),
            size: promote.canary.map_or(min_size, |canary| canary.size),
            waves: promote.waves.iter().map(wave).collect::<Result<_, UnsupportedTarget>>()?,
            timeout: promote.timeout.as_duration(),
        })
    }

    /// The settings of one group of a wave: a rolling deployment, guarded by the wave's alarms and limits.
    #[must_use]
    pub fn of_wave(&self, wave: &WaveSettings, group: &str) -> Self {
        Self {
            group: group.to_owned(),
            alternate: None,
            way: Way::Rolling,
            alarms: wave.alarms.clone(),
            limits: wave.limits.clone(),
            judge: None,
            waves: Vec::new(),
            steps: self.steps.clone(),
            ..*self
        }
    }

    /// The number of groups, the first one included.
    #[must_use]
    pub fn groups(&self) -> usize {
        1 + self.waves.iter().map(|wave| wave.groups.len()).sum::<usize>()
    }

    /// Groups of any wave that are rolled back at a time: the fewest that a wave allows.
    #[must_use]
    pub fn max_concurrent(&self) -> u16 {
        self.waves.iter().map(|wave| wave.max_concurrent).min().unwrap_or(1)
    }

    /// The percentage of a step; 100 for every step past the last.
    #[must_use]
    pub fn percent(&self, step: u8) -> u8 {
        self.steps.get(usize::from(step)).copied().unwrap_or(100)
    }
}
