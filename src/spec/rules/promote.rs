//! Rules between the values of the `promote` section.

use super::{Rules, clock, seconds};
use crate::spec::problem::{nearest, quoted};
use crate::spec::promote::{Metric, Promote};
use crate::spec::shape::dotted;
use crate::spec::span::Span;
use crate::spec::yaml::member;

impl Rules<'_> {
    pub fn promote(&mut self, promote: &Promote) {
        self.strategy(promote);
        self.checkpoints(&promote.checkpoints);
        self.waves(promote);
        let (least, most) = (promote.min_healthy_percent, promote.max_healthy_percent);
        // `InstanceRefresh` preferences: MaxHealthyPercentage - MinHealthyPercentage is at most 100.
        if most.saturating_sub(least) > 100 {
            self.broken(
                "/promote/max_healthy_percent",
                format!(
                    "promote.max_healthy_percent is {most}, {} above min_healthy_percent ({least})",
                    most - least
                ),
                "at most 100 above it",
                format!(
                    "raise min_healthy_percent to {} or lower this to {}",
                    most - 100,
                    least.saturating_add(100)
                ),
            );
        }
        let holds = seconds(promote.hold) * promote.checkpoints.len() as u64;
        let needed = holds + seconds(promote.bake_time);
        if needed >= seconds(promote.timeout) {
            self.broken(
                "/promote/timeout",
                format!(
                    "promote.timeout is {}, and holding and baking alone take {}",
                    promote.timeout,
                    clock(needed)
                ),
                "more than hold x checkpoints + bake_time, with room for replacing instances",
                format!("raise it well above {} or hold shorter", clock(needed)),
            );
        }
        if promote.alarms.is_empty() && promote.metrics.is_empty() {
            self.broken(
                "/promote",
                "promote has neither alarms nor metrics: nothing would be judged at its checkpoints"
                    .to_owned(),
                "at least one alarm or metric",
                "name a CloudWatch alarm: alarms: [web-5xx]",
            );
        }
        let names = promote.metrics.iter().map(|metric| metric.name.clone());
        self.unique("/promote/metrics", "/name", "metric", names);
        for (index, metric) in promote.metrics.iter().enumerate() {
            let room = ("a checkpoint holds for", "a hold has time for", "promote.hold", promote.hold);
            self.metric(&format!("/promote/metrics/{index}"), metric, room);
        }
    }

    fn checkpoints(&mut self, checkpoints: &[u8]) {
        for (index, pair) in checkpoints.windows(2).enumerate() {
            if let &[before, after] = pair
                && after <= before
            {
                let pointer = format!("/promote/checkpoints/{}", index + 1);
                let what = format!("{} is {after}, after {before}", dotted(&pointer));
                self.broken(
                    &pointer,
                    what,
                    "every checkpoint above the one before it",
                    "sort them, each once",
                );
            }
        }
        if let Some(&last) = checkpoints.last()
            && last != 100
        {
            let pointer = format!("/promote/checkpoints/{}", checkpoints.len() - 1);
            let what = format!("the last checkpoint is {last}");
            self.broken(
                &pointer,
                what,
                "100 as the last checkpoint",
                "a refresh that ends lower leaves a mixed fleet",
            );
        }
    }

    /// `room` is the time there is for its datapoints: what has it, the same in other words, what sets it, and how long it is.
    pub fn metric(&mut self, pointer: &str, metric: &Metric, room: (&str, &str, &str, Span)) {
        let (has, time, setting, hold) = room;
        let name = dotted(pointer);
        match (metric.at_least, metric.at_most) {
            (None, None) => self.broken(
                pointer,
                format!("{name} ({}) has no bound", metric.name),
                "at_most or at_least, or both",
                "for example at_most: 1.0",
            ),
            (Some(least), Some(most)) if least > most => self.broken(
                &member(pointer, "at_least"),
                format!("{name}.at_least is {least}, above at_most ({most})"),
                "a value not above at_most",
                "are the two swapped?",
            ),
            _ => {}
        }
        let period = seconds(metric.period);
        // `MetricStat` of GetMetricData, member Period.
        if !matches!(period, 1 | 5 | 10 | 20 | 30) && !period.is_multiple_of(60) {
            let what = format!("{name}.period is {}", metric.period);
            let expected = "1s, 5s, 10s, 20s, 30s or whole minutes, as CloudWatch keeps datapoints";
            self.broken(
                &member(pointer, "period"),
                what,
                expected,
                format!("round it to {}m", period.div_ceil(60)),
            );
        }
        let needed = period * u64::from(metric.min_datapoints);
        if needed > seconds(hold) {
            self.broken(
                &member(pointer, "min_datapoints"),
                format!(
                    "{name} needs {} datapoints of {}, which take {}, and {has} {hold}",
                    metric.min_datapoints,
                    metric.period,
                    clock(needed)
                ),
                format!("no more datapoints than {time}"),
                format!("raise {setting} to {} or ask for fewer", clock(needed)),
            );
        }
        let queries = member(pointer, "queries");
        let ids_are_unique =
            self.unique(&queries, "/id", "query", metric.queries.iter().map(|query| query.id.clone()));
        for (index, query) in metric.queries.iter().enumerate() {
            for (key, value) in &query.dimensions {
                // `Dimension`: Name 1-255 characters, Value 1-1024.
                if key.is_empty() || key.len() > 255 || value.is_empty() || value.len() > 1024 {
                    let at = member(&format!("{queries}/{index}/dimensions"), key);
                    let expected = "a name of 1 to 255 characters with a value of 1 to 1024";
                    self.broken(
                        &at,
                        format!("{} is empty or too long", dotted(&at)),
                        expected,
                        "see the metric in CloudWatch",
                    );
                }
            }
        }
        if ids_are_unique {
            self.expression(pointer, metric);
        }
    }

    fn expression(&mut self, pointer: &str, metric: &Metric) {
        let name = dotted(pointer);
        let Some(expression) = &metric.expression else {
            if metric.queries.len() > 1 {
                let what = format!(
                    "{name} ({}) has {} queries and no expression",
                    metric.name,
                    metric.queries.len()
                );
                self.broken(
                    pointer,
                    what,
                    "an expression over their ids",
                    "for example expression: 100 * errors / requests",
                );
            }
            return;
        };
        let at = member(pointer, "expression");
        let used = identifiers(expression);
        let before = self.problems.len();
        for &identifier in &used {
            if !metric.queries.iter().any(|query| query.id == identifier) {
                let near = nearest(identifier, metric.queries.iter().map(|query| query.id.as_str()));
                let hint = near.map_or_else(
                    || "metric math calls a query by its id, and writes functions in capitals".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                let what =
                    format!("the expression uses {}, which no query has as its id", quoted(identifier));
                self.broken(&at, what, "ids of the queries beside it", hint);
            }
        }
        if self.problems.len() > before {
            // A misspelt id is one mistake, not also an unused query.
            return;
        }
        for (index, query) in metric.queries.iter().enumerate() {
            if !used.contains(&query.id.as_str()) {
                let at = format!("{pointer}/queries/{index}/id");
                let what = format!("the query {} is not used in the expression", quoted(&query.id));
                self.broken(&at, what, "every query in the expression", "use it there or remove it");
            }
        }
    }
}

/// The names a metric math expression uses for queries: words that begin in lower case, outside of quotes.
/// Functions and keywords of metric math are written in capitals.
fn identifiers(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let in_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    for (index, part) in expression.split(['"', '\'']).enumerate() {
        if index % 2 == 1 {
            continue;
        }
        for word in part.split(|letter| !in_word(letter)) {
            if word.starts_with(|first: char| first.is_ascii_lowercase()) && !found.contains(&word) {
                found.push(word);
            }
        }
    }
    found
}
