//! A promotion of Auto Scaling groups, with every default and inherited value filled in.

use super::Promote;
use super::analysis::WaveAnalysis;
use super::judge::Judge;
use super::limit::Limit;
use super::target::UnsupportedTarget;
use crate::spec::span::Span;

/// How a group takes the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupWay {
    /// By an instance refresh.
    Rolling,
    /// By an instance refresh, after a canary phase.
    CanaryThenRolling,
    /// By the weights of the load balancer, between two groups.
    BlueGreen,
}

/// A promotion of Auto Scaling groups.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPromotion {
    /// Name of the Auto Scaling group.
    pub group: String,
    /// Name of the second group, with [`GroupWay::BlueGreen`].
    pub alternate: Option<String>,
    /// How the group takes the image.
    pub way: GroupWay,
    /// Shares in percent at which the promotion holds, ascending; the last one is 100.
    pub steps: Vec<u8>,
    /// How long the promotion holds at every step.
    pub hold: Span,
    /// Share of the capacity that must stay healthy, in percent.
    pub min_healthy_percent: u8,
    /// Share that the capacity may grow to, in percent.
    pub max_healthy_percent: u8,
    /// How long a new instance warms up; none is as the group has it.
    pub warmup: Option<Span>,
    /// How long the new image is watched once it serves everything.
    pub soak: Span,
    /// Names of alarms.
    pub alarms: Vec<String>,
    /// Metrics and their limits.
    pub limits: Vec<Limit>,
    /// The judge, with [`GroupWay::CanaryThenRolling`] and [`GroupWay::BlueGreen`].
    pub judge: Option<Judge>,
    /// Instances of the canary and of the baseline; with [`GroupWay::BlueGreen`] the fewest of each side.
    pub size: u32,
    /// Further groups, wave by wave.
    pub waves: Vec<GroupWave>,
    /// How long the whole promotion may take.
    pub timeout: Span,
}

/// Groups that take the image together.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupWave {
    /// Name of the wave.
    pub name: String,
    /// Environment of the groups; none is that of the first group.
    pub environment: Option<String>,
    /// Region of the groups; none is that of the environment.
    pub region: Option<String>,
    /// Names of the groups, in the order in which they start.
    pub groups: Vec<String>,
    /// Names of alarms.
    pub alarms: Vec<String>,
    /// Metrics and their limits.
    pub limits: Vec<Limit>,
    /// Number of groups that are replaced, or rolled back, at a time.
    pub max_concurrent: u16,
}

impl Promote {
    /// The promotion, of Auto Scaling groups.
    ///
    /// # Errors
    /// [`UnsupportedTarget`] when a target is of another kind.
    pub fn of_groups(&self) -> Result<GroupPromotion, UnsupportedTarget> {
        let group = self.target.auto_scaling_group()?;
        let analysis = &self.analysis;
        let waves = self.waves.iter().map(|wave| {
            let groups = wave.targets.iter().map(|target| Ok(target.auto_scaling_group()?.name.clone()));
            let WaveAnalysis { alarms, limits } = wave.analysis.clone().unwrap_or_default();
            Ok(GroupWave {
                name: wave.name.clone(),
                environment: wave.environment.clone(),
                region: wave.region.clone(),
                groups: groups.collect::<Result<_, UnsupportedTarget>>()?,
                alarms: alarms.unwrap_or_else(|| analysis.alarms.clone()),
                limits: limits.unwrap_or_else(|| analysis.limits.clone()),
                max_concurrent: wave.max_concurrent,
            })
        });
        let (rolling, blue_green) = (self.rolling.as_ref(), self.blue_green.as_ref());
        let steps = rolling.iter().flat_map(|way| &way.steps).map(|step| step.percent);
        let shares = blue_green.iter().flat_map(|way| &way.steps).map(|step| step.percent);
        let size = blue_green.map_or(1, |way| way.min_size);
        let hold = rolling.map(|way| way.hold).or_else(|| blue_green.map(|way| way.hold));
        Ok(GroupPromotion {
            group: group.name.clone(),
            alternate: group.alternate.clone(),
            way: match (blue_green, self.canary) {
                (Some(_), _) => GroupWay::BlueGreen,
                (None, Some(_)) => GroupWay::CanaryThenRolling,
                (None, None) => GroupWay::Rolling,
            },
            steps: steps.chain(shares).chain([100]).collect(),
            hold: hold.unwrap_or(Span::from_secs(60)),
            min_healthy_percent: rolling.and_then(|way| way.min_healthy_percent).unwrap_or(100),
            max_healthy_percent: rolling.and_then(|way| way.max_healthy_percent).unwrap_or(100),
            warmup: rolling.and_then(|way| way.warmup),
            soak: self.soak.duration,
            alarms: analysis.alarms.clone(),
            limits: analysis.limits.clone(),
            judge: analysis.judge.clone(),
            size: self.canary.map_or(size, |canary| canary.size),
            waves: waves.collect::<Result<_, UnsupportedTarget>>()?,
            timeout: self.timeout,
        })
    }
}

impl GroupPromotion {
    /// Number of groups, the first one included.
    #[must_use]
    pub fn groups(&self) -> usize {
        1 + self.waves.iter().map(|wave| wave.groups.len()).sum::<usize>()
    }

    /// Number of groups of any wave that are rolled back at a time: the smallest that a wave allows.
    #[must_use]
    pub fn max_concurrent(&self) -> u16 {
        self.waves.iter().map(|wave| wave.max_concurrent).min().unwrap_or(1)
    }

    /// The promotion of one group of a wave: by an instance refresh alone, with the wave's alarms and limits.
    #[must_use]
    pub fn of(&self, wave: &GroupWave, group: &str) -> Self {
        // Not a clone of the whole, which carries every other wave.
        Self {
            group: group.to_owned(),
            alternate: None,
            way: GroupWay::Rolling,
            steps: self.steps.clone(),
            alarms: wave.alarms.clone(),
            limits: wave.limits.clone(),
            judge: None,
            waves: Vec::new(),
            ..*self
        }
    }
}
