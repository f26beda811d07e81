//! Rules between the waves of a promotion.

use std::collections::BTreeSet;

use super::promote::Way;
use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::promote::target::Target;
use crate::spec::promote::wave::Wave;
use crate::spec::yaml::member;

impl Rules<'_> {
    pub fn waves(&mut self, promote: &Promote, way: &Way) {
        if promote.waves.is_empty() {
            return;
        }
        if promote.blue_green.is_some() {
            self.broken(
                "/promote/waves",
                "promote.waves is given, and the way is blue_green".to_owned(),
                "waves only with rolling",
                "the old group of blue_green is gone before a wave starts, and could not serve again",
            );
        }
        let names = promote.waves.iter().map(|wave| wave.name.clone());
        self.unique("/promote/waves", "/name", "wave", names);
        let mut seen = BTreeSet::from([(None, None, name_of(&promote.target))]);
        for (index, wave) in promote.waves.iter().enumerate() {
            let pointer = format!("/promote/waves/{index}");
            for (at, target) in wave.targets.iter().enumerate() {
                let pointer = format!("{pointer}/targets/{at}/auto_scaling_group");
                let name = name_of(target);
                if !seen.insert((wave.environment.as_deref(), wave.region.as_deref(), name)) {
                    self.broken(
                        &pointer,
                        format!("the group {name} is given twice"),
                        "each target once",
                        "a promotion replaces each target once",
                    );
                }
                if matches!(target, Target::AutoScalingGroup(group) if group.alternate.is_some()) {
                    self.broken(
                        &member(&pointer, "alternate"),
                        format!("the group {name} of a wave has an alternate"),
                        "no alternate in waves",
                        "the targets of waves are replaced by rolling",
                    );
                }
            }
            self.wave_analysis(promote, wave, &pointer, way);
        }
        self.time_of_waves(promote, way);
    }

    /// Alarms that stop a wave when no worker runs, and limits that have data where the wave is.
    fn wave_analysis(&mut self, promote: &Promote, wave: &Wave, pointer: &str, way: &Way) {
        let analysis = wave.analysis.as_ref();
        let alarms = analysis.and_then(|analysis| analysis.alarms.as_ref());
        let limits = analysis.and_then(|analysis| analysis.limits.as_ref());
        let elsewhere = wave.region.is_some() || wave.environment.is_some();
        if elsewhere && alarms.is_none() {
            self.broken(
                pointer,
                format!(
                    "the wave {} is in another region or environment and has no alarms: those of promote.analysis do \
                     not exist there",
                    wave.name
                ),
                "analysis.alarms of the wave",
                "for example analysis: { alarms: [web-5xx] }",
            );
        } else if alarms.unwrap_or(&promote.analysis.alarms).is_empty() {
            self.broken(
                pointer,
                format!(
                    "the wave {} has no alarm: without a running worker, nothing would stop it",
                    wave.name
                ),
                "at least one alarm, in promote.analysis or in the wave's own analysis",
                "for example analysis: { alarms: [web-5xx] }",
            );
        }
        if elsewhere && limits.is_none() && !promote.analysis.limits.is_empty() {
            self.broken(
                pointer,
                format!(
                    "the wave {} is in another region or environment and has no limits: those of promote.analysis have \
                     no data there",
                    wave.name
                ),
                "analysis.limits of the wave, or an empty list",
                "limits: []",
            );
        }
        let list = format!("{pointer}/analysis/limits");
        let limits = limits.map(Vec::as_slice).unwrap_or_default();
        self.unique(&list, "/name", "limit", limits.iter().map(|limit| limit.name.clone()));
        for (index, limit) in limits.iter().enumerate() {
            let time = Self::hold_of(way);
            self.limit(&format!("{list}/{index}"), limit, (&time, way.shortest), &[]);
        }
    }

    fn time_of_waves(&mut self, promote: &Promote, way: &Way) {
        let target = way.holds + seconds(promote.soak.duration);
        let wave = |wave: &Wave| {
            wave.targets.len().div_ceil(usize::from(wave.max_concurrent.max(1))) as u64 * target
                + seconds(way.shortest)
        };
        let needed = target + promote.waves.iter().map(wave).sum::<u64>();
        if target < seconds(promote.timeout) && needed >= seconds(promote.timeout) {
            self.broken(
                "/promote/timeout",
                format!(
                    "promote.timeout is {}, and holds and soaks in {} waves alone take {}",
                    promote.timeout,
                    promote.waves.len(),
                    clock(needed)
                ),
                "more than the holds and soaks of all waves, with time to replace instances",
                format!("raise it well above {}, raise max_concurrent, or shorten the holds", clock(needed)),
            );
        }
    }
}

/// Name of an Auto Scaling group; targets of other kinds are refused before.
fn name_of(target: &Target) -> &str {
    match target {
        Target::AutoScalingGroup(group) => &group.name,
        Target::EcsService(service) => &service.service,
        Target::LambdaAlias(alias) => &alias.function,
        Target::Stack(stack) => &stack.name,
    }
}
