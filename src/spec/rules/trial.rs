//! Rules between the values of `promote.judge`.

use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::shape::dotted;
use crate::spec::trial::{Compared, Harm, Inconclusive, Judge, Kind, Role, Source, Strategy};
use crate::spec::yaml::member;

const JUDGE: &str = "/promote/judge";

impl Rules<'_> {
    pub fn strategy(&mut self, promote: &Promote) {
        match (promote.strategy, &promote.judge) {
            (Strategy::Canary, Some(judge)) => self.judge(promote, judge),
            (Strategy::Canary, None) => self.broken(
                "/promote/strategy",
                "promote.strategy is canary, and there is no promote.judge".to_owned(),
                "a judge section beside strategy: canary",
                "say what canary and baseline are compared on",
            ),
            (Strategy::Rolling, Some(_)) => self.broken(
                JUDGE,
                "promote.judge stands beside strategy: rolling, which has no trial to judge".to_owned(),
                "judge only with strategy: canary",
                "write strategy: canary, or remove judge",
            ),
            (Strategy::BlueGreen, _) => self.broken(
                "/promote/strategy",
                "promote.strategy is blue_green, which this version cannot do".to_owned(),
                "canary or rolling",
                "canary keeps production untouched until the image has passed",
            ),
            (Strategy::Rolling, None) => {}
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
        let needed = holds + seconds(judge.longest);
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
        if !source.dimensions.values().any(|value| value.contains("$group") || value.contains("$instance")) {
            self.broken(
                &member(pointer, "dimensions"),
                format!("{} does not tell the sides apart", dotted(pointer)),
                "$group or $instance in a dimension's value",
                "for example AutoScalingGroupName: $group",
            );
        }
    }
}
