//! Rules between the values of `promote.analysis.judge`.

use super::promote::Way;
use super::{Rules, clock, seconds};
use crate::spec::promote::Promote;
use crate::spec::promote::cloudwatch::SideMetric;
use crate::spec::promote::judge::{Effect, Harm, Judge, JudgeMetric, Measured};
use crate::spec::words::dotted;
use crate::spec::yaml::member;

const JUDGE: &str = "/promote/analysis/judge";

impl Rules<'_> {
    pub fn judge_of(&mut self, promote: &Promote, way: &Way) {
        let judge = promote.analysis.judge.as_ref();
        let needs_judge = promote.canary.is_some() || promote.blue_green.is_some();
        match (judge, needs_judge) {
            (Some(judge), true) => self.judge(promote, judge, way),
            (None, true) => {
                let key = if promote.canary.is_some() { "canary" } else { "blue_green" };
                self.broken(
                    &format!("/promote/{key}"),
                    format!("promote.{key} needs a judge, and promote.analysis has none"),
                    "analysis.judge with canary or blue_green",
                    "add analysis.judge: the metrics that the new image and the old one are compared on",
                );
            }
            (Some(_), false) => self.broken(
                JUDGE,
                "promote.analysis.judge is given, and there is neither canary nor blue_green".to_owned(),
                "analysis.judge only with canary or blue_green",
                "add canary: { size: 2 }, or remove judge",
            ),
            (None, false) => {}
        }
    }

    fn judge(&mut self, promote: &Promote, judge: &Judge, way: &Way) {
        if !seconds(judge.window).is_multiple_of(60) {
            self.broken(
                &member(JUDGE, "window"),
                format!("promote.analysis.judge.window is {}", judge.window),
                "whole minutes",
                "CloudWatch stores no shorter periods for long",
            );
        }
        if judge.timeout <= judge.min_duration {
            self.broken(
                &member(JUDGE, "timeout"),
                format!(
                    "promote.analysis.judge.timeout is {}, and min_duration alone is {}",
                    judge.timeout, judge.min_duration
                ),
                "more than min_duration",
                "bakeline judge plan computes how long a verdict takes",
            );
        }
        let judged = if promote.blue_green.is_some() { way.steps.len() as u64 } else { 1 };
        let needed = way.holds + seconds(promote.soak.duration) + seconds(judge.timeout) * judged;
        if needed >= seconds(promote.timeout) {
            self.broken(
                "/promote/timeout",
                format!(
                    "promote.timeout is {}, and judge, holds and soak alone take {}",
                    promote.timeout,
                    clock(needed)
                ),
                "more than the judge's timeout, all holds and the soak",
                format!("raise it well above {}, or shorten judge.timeout or the holds", clock(needed)),
            );
        }
        let known: &[&str] =
            if promote.blue_green.is_some() { &["group", "target_group"] } else { &["group", "instance"] };
        self.side_metric(
            &member(&member(JUDGE, "requests"), "cloudwatch"),
            &judge.requests.cloudwatch,
            known,
        );
        let names = judge.metrics.iter().map(|metric| metric.name.clone());
        self.unique(&member(JUDGE, "metrics"), "/name", "metric", names);
        if !judge.metrics.iter().any(|metric| metric.effect == Effect::Required) {
            self.broken(
                &member(JUDGE, "metrics"),
                "no metric has the effect required: nothing would have to show that there is no harm"
                    .to_owned(),
                "at least one metric with effect: required",
                "remove effect where errors are counted",
            );
        }
        for (index, metric) in judge.metrics.iter().enumerate() {
            self.judge_metric(&format!("{JUDGE}/metrics/{index}"), metric, known);
        }
    }

    fn judge_metric(&mut self, pointer: &str, metric: &JudgeMetric, known: &[&str]) {
        let name = dotted(pointer);
        let cloudwatch = member(pointer, "cloudwatch");
        self.side_metric(&cloudwatch, &metric.cloudwatch, known);
        match metric.measured() {
            Measured::Count(count) if count.harm == Harm::Decrease && count.negligible_rate.is_some() => self
                .broken(
                    &format!("{pointer}/count/harm"),
                    format!("{name}.count.harm is decrease, and there is a negligible_rate"),
                    "harm: increase with a negligible_rate",
                    "a rate below which nothing is harm has no meaning for a decrease",
                ),
            Measured::Gauge(_) if !metric.cloudwatch.names("instance") && known.contains(&"instance") => self
                .broken(
                    &member(&cloudwatch, "dimensions"),
                    format!("{name} ({}) is a gauge, and no dimension has $instance", metric.name),
                    "a dimension with $instance: gauges are compared by instance",
                    "for example dimensions: { InstanceId: $instance }",
                ),
            Measured::Gauge(_) if !known.contains(&"instance") => self.broken(
                &member(pointer, "gauge"),
                format!("{name} ({}) is a gauge, and the way is blue_green", metric.name),
                "count or latency with blue_green",
                "the two groups of blue_green differ in size, and gauges are compared by instance",
            ),
            Measured::Count(_) | Measured::Latency(_) | Measured::Gauge(_) => {}
        }
        if let (Some(allowed), Some(critical)) = (metric.allowed_ratio, metric.critical_ratio)
            && critical <= allowed
        {
            self.broken(
                &member(pointer, "critical_ratio"),
                format!("{name}.critical_ratio is {critical}, not above allowed_ratio ({allowed})"),
                "a critical ratio above the allowed ratio",
                "between them a change is neither harmless nor critical",
            );
        }
    }

    fn side_metric(&mut self, pointer: &str, metric: &SideMetric, known: &[&str]) {
        let dimensions = member(pointer, "dimensions");
        self.dimensions(&dimensions, metric.dimensions.iter(), known);
        if !known.iter().any(|word| metric.names(word)) {
            let list = known.iter().map(|word| format!("${word}")).collect::<Vec<_>>().join(" or ");
            self.broken(
                &dimensions,
                format!("{} does not tell the two sides apart", dotted(pointer)),
                format!("{list} in the value of a dimension"),
                "for example AutoScalingGroupName: $group",
            );
        }
    }
}
