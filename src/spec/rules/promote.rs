//! Rules between the values of the `promote` section: its target, its way and its times.

use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::promote::target::Target;
use crate::spec::span::Span;
use crate::spec::words::dotted;
use crate::spec::yaml::member;

/// The way of a promotion, as the rules see it.
pub(in crate::spec) struct Way {
    /// Key of the way.
    pub key: &'static str,
    /// Shares in percent, in the order of the spec, without the last one of 100.
    pub steps: Vec<u8>,
    /// All holds together, in seconds.
    pub holds: u64,
    /// The shortest hold.
    pub shortest: Span,
}

impl Way {
    fn of(promote: &Promote) -> Option<Self> {
        if let Some(rolling) = &promote.rolling {
            let steps: Vec<u8> = rolling.steps.iter().map(|step| step.percent).collect();
            let holds = seconds(rolling.hold) * (steps.len() as u64 + 1);
            return Some(Self { key: "rolling", steps, holds, shortest: rolling.hold });
        }
        let blue_green = promote.blue_green.as_ref()?;
        let holds = blue_green.steps.iter().map(|step| step.hold.unwrap_or(blue_green.hold));
        let holds = holds.chain([blue_green.hold]);
        Some(Self {
            key: "blue_green",
            steps: blue_green.steps.iter().map(|step| step.percent).collect(),
            holds: holds.clone().map(seconds).sum(),
            shortest: holds.min().unwrap_or(blue_green.hold),
        })
    }
}

impl Rules<'_> {
    pub fn promote(&mut self, promote: &Promote) {
        if !self.supported(promote) {
            return;
        }
        // The schema has refused a promotion without a way.
        let Some(way) = Way::of(promote) else { return };
        self.target(promote);
        self.steps(&way);
        self.capacity(promote);
        self.canary(promote);
        self.analysis(promote, &way);
        self.judge_of(promote, &way);
        self.waves(promote, &way);
    }

    /// Whether this version promotes to every target of the spec.
    fn supported(&mut self, promote: &Promote) -> bool {
        let in_waves = promote.waves.iter().enumerate().flat_map(|(wave, targets)| {
            let targets = targets.targets.iter().enumerate();
            targets.map(move |(at, target)| (format!("/promote/waves/{wave}/targets/{at}"), target))
        });
        let mut all = std::iter::once(("/promote/target".to_owned(), &promote.target)).chain(in_waves);
        // One message: the other targets are of the same kind, or wrong for the same reason.
        let unsupported = all.find_map(|(pointer, target)| {
            target.auto_scaling_group().err().map(|unsupported| (pointer, unsupported))
        });
        let Some((pointer, unsupported)) = unsupported else { return true };
        let at = member(&pointer, unsupported.kind);
        self.broken(
            &at,
            format!("{} is not supported yet", dotted(&at)),
            "auto_scaling_group, the only kind of target that this version promotes to",
            "the other keys of this section are valid; until the kind is supported, remove the section",
        );
        false
    }

    fn target(&mut self, promote: &Promote) {
        const ALTERNATE: &str = "/promote/target/auto_scaling_group/alternate";
        let Target::AutoScalingGroup(group) = &promote.target else { return };
        match (&promote.blue_green, &group.alternate) {
            (Some(_), None) => self.broken(
                "/promote/target/auto_scaling_group",
                "promote.target.auto_scaling_group has no alternate, and the way is blue_green".to_owned(),
                "the name of the second group",
                "for example alternate: web-green",
            ),
            (Some(_), Some(other)) if *other == group.name => self.broken(
                ALTERNATE,
                format!("promote.target.auto_scaling_group.alternate is {other}, as its name is"),
                "another group",
                "a group cannot alternate with itself",
            ),
            (None, Some(_)) => self.broken(
                ALTERNATE,
                "promote.target.auto_scaling_group.alternate is given, and the way is rolling".to_owned(),
                "alternate only with blue_green",
                "remove it, or write blue_green in place of rolling",
            ),
            _ => {}
        }
        let steps = promote.blue_green.iter().flat_map(|way| way.steps.iter().enumerate());
        for (index, _) in steps.filter(|(_, step)| step.hold.is_some()) {
            let pointer = format!("/promote/blue_green/steps/{index}/hold");
            self.broken(
                &pointer,
                format!("{} is not supported yet for an auto_scaling_group", dotted(&pointer)),
                "blue_green.hold for every step",
                "remove it, or set blue_green.hold to the longest hold",
            );
        }
    }

    fn steps(&mut self, way: &Way) {
        for (index, pair) in way.steps.windows(2).enumerate() {
            if let &[before, after] = pair
                && after <= before
            {
                let pointer = format!("/promote/{}/steps/{}/percent", way.key, index + 1);
                let what = format!("{} is {after}, after {before}", dotted(&pointer));
                self.broken(&pointer, what, "every step above the one before it", "sort the steps");
            }
        }
    }

    /// How much of an Auto Scaling group is replaced at a time.
    fn capacity(&mut self, promote: &Promote) {
        let Some(rolling) = &promote.rolling else { return };
        let keys = [
            ("min_healthy_percent", rolling.min_healthy_percent.is_some()),
            ("max_healthy_percent", rolling.max_healthy_percent.is_some()),
            ("warmup", rolling.warmup.is_some()),
        ];
        let missing: Vec<&str> = keys.iter().filter(|(_, given)| !given).map(|(key, _)| *key).collect();
        if !missing.is_empty() {
            self.broken(
                "/promote/rolling",
                format!("promote.rolling has no {}", missing.join(", no ")),
                "min_healthy_percent, max_healthy_percent and warmup for an auto_scaling_group",
                "for example min_healthy_percent: 100, max_healthy_percent: 125, warmup: 2m",
            );
        }
        let (Some(min), Some(max)) = (rolling.min_healthy_percent, rolling.max_healthy_percent) else {
            return;
        };
        // `InstanceRefresh` preferences: MaxHealthyPercentage - MinHealthyPercentage is at most 100.
        if max.saturating_sub(min) > 100 {
            self.broken(
                "/promote/rolling/max_healthy_percent",
                format!(
                    "promote.rolling.max_healthy_percent is {max}, {} above min_healthy_percent ({min})",
                    max - min
                ),
                "at most 100 above min_healthy_percent",
                format!(
                    "raise min_healthy_percent to {}, or lower max_healthy_percent to {}",
                    max - 100,
                    min.saturating_add(100)
                ),
            );
        }
    }

    fn canary(&mut self, promote: &Promote) {
        if promote.canary.is_none() {
            return;
        }
        if promote.blue_green.is_some() {
            self.broken(
                "/promote/canary",
                "promote.canary is given, and the way is blue_green".to_owned(),
                "canary only with rolling",
                "remove it: the first steps of blue_green expose the image to a small share of the traffic",
            );
        }
        if promote.analysis.alarms.is_empty() {
            self.broken(
                "/promote/analysis",
                "promote.analysis has no alarm: without a running worker, nothing would stop the refresh after the \
                 canary phase"
                    .to_owned(),
                "at least one CloudWatch alarm, which AWS itself watches during the refresh",
                "for example alarms: [web-5xx]",
            );
        }
    }

    fn analysis(&mut self, promote: &Promote, way: &Way) {
        let needed = way.holds + seconds(promote.soak.duration);
        if needed >= seconds(promote.timeout) {
            self.broken(
                "/promote/timeout",
                format!(
                    "promote.timeout is {}, and holds and soak alone take {}",
                    promote.timeout,
                    clock(needed)
                ),
                "more than all holds and the soak, with time to replace instances",
                format!("raise it well above {}, or shorten the holds", clock(needed)),
            );
        }
        let analysis = &promote.analysis;
        if analysis.alarms.is_empty() && analysis.limits.is_empty() {
            self.broken(
                "/promote",
                "promote.analysis has neither alarms nor limits: nothing would decide at its steps"
                    .to_owned(),
                "at least one alarm or limit",
                "for example analysis: { alarms: [web-5xx] }",
            );
        }
        let names = analysis.limits.iter().map(|limit| limit.name.clone());
        self.unique("/promote/analysis/limits", "/name", "limit", names);
        for (index, limit) in analysis.limits.iter().enumerate() {
            let time = Self::hold_of(way);
            self.limit(&format!("/promote/analysis/limits/{index}"), limit, (&time, way.shortest), &[]);
        }
    }

    /// The key that sets the holds of a way.
    pub(super) fn hold_of(way: &Way) -> String {
        format!("promote.{}.hold", way.key)
    }
}
