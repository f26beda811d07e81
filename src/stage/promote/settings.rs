//! The settings of a promotion, in one shape for every way to deploy. Only this file reads the spec's `promote` section.

use std::time::Duration;

use crate::spec::{self, Judge, Metric};

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
    pub limits: Vec<Metric>,
    /// What canary and baseline are compared on.
    pub judge: Option<Judge>,
    pub waves: Vec<WaveSettings>,
    /// Groups of a wave that are refreshed at a time.
    pub max_concurrent: u16,
    pub timeout: Duration,
}

/// A wave: groups that follow together.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveSettings {
    /// Names of the Auto Scaling groups, in the order in which they begin.
    pub groups: Vec<String>,
    /// The Region of the groups; none for that of the first group.
    pub region: Option<String>,
    pub alarms: Vec<String>,
    pub limits: Vec<Metric>,
}

impl Settings {
    /// Reads the settings from the spec.
    #[must_use]
    pub fn of(promote: &spec::Promote) -> Self {
        let wave = |wave: &spec::Wave| WaveSettings {
            groups: wave.groups.clone(),
            region: wave.region.clone(),
            alarms: wave.alarms.as_ref().unwrap_or(&promote.alarms).clone(),
            limits: wave.metrics.as_ref().unwrap_or(&promote.metrics).clone(),
        };
        Self {
            group: promote.group.clone(),
            alternate: promote.turns_with.clone(),
            way: match promote.strategy {
                spec::Strategy::Canary => Way::CanaryThenRolling,
                spec::Strategy::BlueGreen => Way::BlueGreen,
                spec::Strategy::Rolling => Way::Rolling,
            },
            steps: promote.checkpoints.clone(),
            hold: promote.hold.as_secs(),
            min_healthy_percent: promote.min_healthy_percent,
            max_healthy_percent: promote.max_healthy_percent,
            warmup: promote.instance_warmup.as_secs(),
            soak: promote.bake_time.as_secs(),
            alarms: promote.alarms.clone(),
            limits: promote.metrics.clone(),
            judge: promote.judge.clone(),
            waves: promote.waves.iter().map(wave).collect(),
            max_concurrent: promote.at_once,
            timeout: promote.timeout.as_duration(),
        }
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

    /// The percentage of a step; 100 for every step past the last.
    #[must_use]
    pub fn percent(&self, step: u8) -> u8 {
        self.steps.get(usize::from(step)).copied().unwrap_or(100)
    }
}
