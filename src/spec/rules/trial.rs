//! Rules between the values of `promote.judge`.

use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::shape::dotted;
use crate::spec::trial::{Compared, Harm, Inconclusive, Judge, Kind, Role, Source, Strategy};
use crate::spec::yaml::member;

const JUDGE: &str = "/promote/judge";

/// Shares of the traffic whose windows a continuation token has room for.
const MOST_SHARES: usize = 8;

impl Rules<'_> {
    pub fn strategy(&mut self, promote: &Promote) {
        match (promote.strategy, &promote.judge) {
            (Strategy::Canary | Strategy::BlueGreen, Some(judge)) => self.judge(promote, judge),
            (Strategy::Canary | Strategy::BlueGreen, None) => self.broken(
                "/promote/strategy",
                "promote.strategy asks for a judge, and there is no promote.judge".to_owned(),
                "a judge section beside strategy: canary or blue_green",
                "say what the new image and the old one are compared on",
            ),
            (Strategy::Rolling, Some(_)) => self.broken(
                JUDGE,
                "promote.judge stands beside strategy: rolling, which has no trial to judge".to_owned(),
                "judge only with strategy: canary or blue_green",
                "write strategy: canary, or remove judge",
            ),
            (Strategy::Rolling, None) => {}
        }
        self.turns(promote);
        if promote.strategy == Strategy::Canary && promote.alarms.is_empty() {
            self.broken(
                "/promote/alarms",
                "promote.strategy is canary, and there is no alarm: with every worker dead, nothing would stop the \
                 refresh after the trial"
                    .to_owned(),
                "at least one CloudWatch alarm, which AWS itself watches during the refresh",
                "name one: alarms: [web-5xx]",
            );
        }
    }

    /// What the two groups of a promotion by weights need.
    fn turns(&mut self, promote: &Promote) {
        const TURNS: &str = "/promote/turns_with";
        match (promote.strategy, &promote.turns_with) {
            (Strategy::BlueGreen, None) => self.broken(
                "/promote/strategy",
                "promote.strategy is blue_green, and there is no promote.turns_with".to_owned(),
                "the name of the second group",
                "turns_with: web-green",
            ),
            (Strategy::BlueGreen, Some(other)) if *other == promote.group => self.broken(
                TURNS,
                format!("promote.turns_with is {other}, which is promote.group"),
                "another group",
                "a group cannot take turns with itself",
            ),
            (Strategy::Canary | Strategy::Rolling, Some(_)) => self.broken(
                TURNS,
                "promote.turns_with has no meaning without strategy: blue_green".to_owned(),
                "turns_with only with strategy: blue_green",
                "remove it, or write strategy: blue_green",
            ),
            _ => {}
        }
        let sources = promote
            .judge
            .iter()
            .flat_map(|judge| judge.metrics.iter().map(|metric| &metric.source).chain([&judge.requests]));
        let named = |name: &str| {
            sources.clone().flat_map(|source| source.dimensions.values()).any(|value| value.contains(name))
        };
        if promote.strategy != Strategy::BlueGreen {
            if named("$target_group") {
                self.broken(
                    JUDGE,
                    "promote.judge tells the sides apart by $target_group, and both stand behind the same"
                        .to_owned(),
                    "$target_group only with strategy: blue_green",
                    "for example AutoScalingGroupName: $group",
                );
            }
            return;
        }
        if promote.checkpoints.len() > MOST_SHARES {
            let what = format!("promote.checkpoints has {} shares of the traffic", promote.checkpoints.len());
            self.broken(
                "/promote/checkpoints",
                what,
                "at most 8 with blue_green",
                "such as [1, 5, 25, 50, 100]",
            );
        }
        if named("$instance") {
            self.broken(
                JUDGE,
                "promote.judge tells instances apart, and the groups of blue_green are not of one size"
                    .to_owned(),
                "$target_group or $group with blue_green",
                "for example TargetGroup: $target_group",
            );
        }
    }

    fn judge(&mut self, promote: &Promote, judge: &Judge) {
        if !seconds(judge.window).is_multiple_of(60) {
            let what = format!("promote.judge.window is {}", judge.window);
            self.broken(
                &member(JUDGE, "window"),
                what,
                "whole minutes",
                "one minute is what CloudWatch keeps for long",
            );
        }
        if judge.longest <= judge.min_time {
            let what = format!(
                "promote.judge.longest is {}, and min_time alone is {}",
                judge.longest, judge.min_time
            );
            self.broken(
                &member(JUDGE, "longest"),
                what,
                "longer than min_time",
                "bakeline judge plan says how long a verdict takes",
            );
        }
        let holds = seconds(promote.hold) * promote.checkpoints.len() as u64 + seconds(promote.bake_time);
        let judged = match promote.strategy {
            Strategy::BlueGreen => promote.checkpoints.iter().filter(|share| **share < 100).count() as u64,
            Strategy::Canary | Strategy::Rolling => 1,
        };
        let needed = holds + seconds(judge.longest) * judged;
        if needed >= seconds(promote.timeout) {
            let what = format!(
                "promote.timeout is {}, and trial, holds and baking alone take {}",
                promote.timeout,
                clock(needed)
            );
            let expected = "more than judge.longest + hold x checkpoints + bake_time";
            self.broken("/promote/timeout", what, expected, "raise it, or judge or hold shorter");
        }
        if (judge.inconclusive == Inconclusive::Ask) != judge.approval.is_some() {
            self.broken(
                JUDGE,
                "inconclusive: ask and approval belong together".to_owned(),
                "approval with inconclusive: ask, and only then",
                "approval names the manual approval action in the same stage of the pipeline",
            );
        }
        self.source(&member(JUDGE, "requests"), &judge.requests);
        let names = judge.metrics.iter().map(|metric| metric.name.clone());
        self.unique(&member(JUDGE, "metrics"), "/name", "metric", names);
        if !judge.metrics.iter().any(|metric| metric.role == Role::Critical) {
            self.broken(
                &member(JUDGE, "metrics"),
                "every metric is informational: nothing would have to show that there is no harm".to_owned(),
                "one critical metric at least",
                "leave role away where errors are counted",
            );
        }
        if !judge.metrics.iter().any(|metric| metric.weight > 0.0) {
            self.broken(
                &member(JUDGE, "metrics"),
                "every metric has weight 0: none could ever fail".to_owned(),
                "one weight at least above 0",
                "leave weight away for equal parts",
            );
        }
        for (index, metric) in judge.metrics.iter().enumerate() {
            self.compared(&format!("{JUDGE}/metrics/{index}"), metric);
        }
    }

    fn compared(&mut self, pointer: &str, metric: &Compared) {
        let name = dotted(pointer);
        self.source(&member(pointer, "source"), &metric.source);
        if (metric.kind == Kind::Latency) == metric.thresholds.is_empty() {
            self.broken(
                pointer,
                format!("{name} ({}) and its thresholds do not fit", metric.name),
                "thresholds for kind: latency, and only there",
                "for example thresholds: [0.1, 0.5]",
            );
        }
        let counts = metric.kind == Kind::Counts;
        if !counts && (metric.objective.is_some() || metric.negligible_rate.is_some()) {
            self.broken(
                pointer,
                format!("{name} ({}) has an objective or a negligible rate and is no count", metric.name),
                "objective and negligible_rate only for kind: counts",
                "remove it",
            );
        }
        if metric.harm == Harm::Decrease && (metric.kind == Kind::Latency || metric.negligible_rate.is_some())
        {
            self.broken(
                &member(pointer, "harm"),
                format!("{name}.harm is decrease, which has no meaning here"),
                "increase for latencies and where there is a negligible rate",
                "more slow requests and more errors are the harm",
            );
        }
        if metric.kind == Kind::Gauge {
            if metric.tempering.is_some() {
                self.broken(
                    &member(pointer, "tempering"),
                    format!("{name} is a gauge, which is not tempered"),
                    "tempering only for counts and latencies",
                    "remove it",
                );
            }
            if !metric.source.dimensions.values().any(|value| value.contains("$instance")) {
                self.broken(
                    &member(pointer, "source"),
                    format!("{name} ({}) is a gauge and does not tell instances apart", metric.name),
                    "a dimension with $instance: gauges are compared by instance",
                    "for example dimensions: {InstanceId: $instance}",
                );
            }
        }
        if let (Some(margin), Some(harm)) = (metric.margin, metric.harm_margin)
            && harm <= margin
        {
            self.broken(
                &member(pointer, "harm_margin"),
                format!("{name}.harm_margin is {harm}, not above margin ({margin})"),
                "a harm margin above the margin",
                "between them lies what is neither harm nor surely none",
            );
        }
    }

    fn source(&mut self, pointer: &str, source: &Source) {
        let told = ["$group", "$instance", "$target_group"];
        if !source.dimensions.values().any(|value| told.iter().any(|name| value.contains(name))) {
            self.broken(
                &member(pointer, "dimensions"),
                format!("{} does not tell the sides apart", dotted(pointer)),
                "$group, $instance or $target_group in a dimension's value",
                "for example AutoScalingGroupName: $group",
            );
        }
    }
}
