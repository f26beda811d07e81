//! Rules between the waves of a promotion.

use std::collections::BTreeSet;

use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::trial::Strategy;
use crate::spec::wave::Wave;
use crate::spec::yaml::member;

impl Rules<'_> {
    pub fn waves(&mut self, promote: &Promote) {
        if promote.waves.is_empty() {
            return;
        }
        if promote.strategy == Strategy::BlueGreen {
            self.broken(
                "/promote/waves",
                "promote.waves follow a group whose strategy is blue_green".to_owned(),
                "waves only with canary or rolling",
                "the group before is gone once the other has taken over, and could not be given the traffic back",
            );
        }
        let mut seen = BTreeSet::from([(None, promote.group.as_str())]);
        for (index, wave) in promote.waves.iter().enumerate() {
            let pointer = format!("/promote/waves/{index}");
            for (at, group) in wave.groups.iter().enumerate() {
                if !seen.insert((wave.region.as_deref(), group.as_str())) {
                    self.broken(
                        &format!("{pointer}/groups/{at}"),
                        format!("the group {group} stands here again"),
                        "every group once",
                        "a group takes the image over once in a promotion",
                    );
                }
            }
            self.guards(promote, wave, &pointer);
        }
        self.time_of_waves(promote);
    }

    /// What stops a wave when every worker is dead, and what tells whether it has passed.
    fn guards(&mut self, promote: &Promote, wave: &Wave, pointer: &str) {
        if wave.region.is_some() && wave.alarms.is_none() {
            self.broken(
                pointer,
                "the wave is in another region and names no alarms: promote.alarms are not seen there"
                    .to_owned(),
                "alarms of the wave's own region",
                "name one: alarms: [web-5xx]",
            );
        } else if wave.alarms.as_ref().unwrap_or(&promote.alarms).is_empty() {
            self.broken(
                pointer,
                "there is no alarm for the wave: with every worker dead, nothing would stop its refreshes"
                    .to_owned(),
                "at least one alarm, in promote.alarms or the wave's own",
                "name one: alarms: [web-5xx]",
            );
        }
        if wave.region.is_some() && wave.metrics.is_none() && !promote.metrics.is_empty() {
            self.broken(
                pointer,
                "the wave is in another region and names no metrics: promote.metrics have no data there"
                    .to_owned(),
                "metrics of the wave's own region, or an empty list",
                "metrics: []",
            );
        }
        let metrics = wave.metrics.as_deref().unwrap_or_default();
        let names = metrics.iter().map(|metric| metric.name.clone());
        self.unique(&member(pointer, "metrics"), "/name", "metric", names);
        for (index, metric) in metrics.iter().enumerate() {
            let room = ("a wave holds for", "a hold has time for", "promote.hold", promote.hold);
            self.metric(&format!("{pointer}/metrics/{index}"), metric, room);
        }
    }

    fn time_of_waves(&mut self, promote: &Promote) {
        let group = seconds(promote.hold) * promote.checkpoints.len() as u64 + seconds(promote.bake_time);
        let wave = |wave: &Wave| {
            wave.groups.len().div_ceil(usize::from(promote.at_once.max(1))) as u64 * group
                + seconds(promote.hold)
        };
        let needed = group + promote.waves.iter().map(wave).sum::<u64>();
        if group < seconds(promote.timeout) && needed >= seconds(promote.timeout) {
            self.broken(
                "/promote/timeout",
                format!(
                    "promote.timeout is {}, and holding and baking in {} waves alone take {}",
                    promote.timeout,
                    promote.waves.len(),
                    clock(needed)
                ),
                "more than the holds and bake times of all waves, with room for replacing instances",
                format!("raise it well above {}, raise at_once, or hold shorter", clock(needed)),
            );
        }
    }
}
