//! Rules between the values of a limit: its bounds, its metrics and its expression.

use super::{Rules, clock, seconds};
use crate::spec::problem::{nearest, quoted};
use crate::spec::promote::cloudwatch::CloudWatch;
use crate::spec::promote::limit::Limit;
use crate::spec::promote::placeholder;
use crate::spec::span::Span;
use crate::spec::words::dotted;
use crate::spec::yaml::member;

impl Rules<'_> {
    /// Checks a limit. Its datapoints must fit into `time`, the key and the length of a hold; `known` are the
    /// placeholders that its dimensions may have.
    pub fn limit(&mut self, pointer: &str, limit: &Limit, time: (&str, Span), known: &[&str]) {
        let name = dotted(pointer);
        match (limit.min, limit.max) {
            (None, None) => self.broken(
                pointer,
                format!("{name} ({}) has no bound", limit.name),
                "min or max, or both",
                "for example max: 1.0",
            ),
            (Some(min), Some(max)) if min > max => self.broken(
                &member(pointer, "min"),
                format!("{name}.min is {min}, above max ({max})"),
                "a value of at most max",
                "exchange min and max",
            ),
            _ => {}
        }
        let (setting, length) = time;
        let needed = seconds(limit.period()) * u64::from(limit.min_datapoints);
        if needed > seconds(length) {
            self.broken(
                &member(pointer, "min_datapoints"),
                format!(
                    "{name} needs {} datapoints of {}, which take {}, and {setting} is {length}",
                    limit.min_datapoints,
                    limit.period(),
                    clock(needed)
                ),
                format!("at most as many datapoints as fit into {setting}"),
                format!("raise {setting} to {}, or lower min_datapoints", clock(needed)),
            );
        }
        self.cloudwatch(&member(pointer, "cloudwatch"), &limit.cloudwatch, known);
    }

    fn cloudwatch(&mut self, pointer: &str, number: &CloudWatch, known: &[&str]) {
        let name = dotted(pointer);
        let period = seconds(number.period);
        // `MetricStat` of GetMetricData, member Period.
        if !matches!(period, 1 | 5 | 10 | 20 | 30) && !period.is_multiple_of(60) {
            self.broken(
                &member(pointer, "period"),
                format!("{name}.period is {}", number.period),
                "1s, 5s, 10s, 20s, 30s or whole minutes, as CloudWatch stores datapoints",
                format!("round it to {}m", period.div_ceil(60)),
            );
        }
        let keys = [
            ("namespace", number.namespace.is_some()),
            ("metric", number.metric.is_some()),
            ("statistic", number.statistic.is_some()),
        ];
        let missing: Vec<&str> = keys.iter().filter(|(_, given)| !given).map(|(key, _)| *key).collect();
        let has_one = missing.len() < keys.len() || !number.dimensions.is_empty();
        let has_several = !number.queries.is_empty() || number.expression.is_some();
        match (has_one, has_several) {
            (true, true) => self.broken(
                pointer,
                format!("{name} has one metric and queries"),
                "one metric, or queries and an expression",
                "move the metric into queries",
            ),
            (false, false) => self.broken(
                pointer,
                format!("{name} has no metric"),
                "namespace, metric, dimensions and statistic, or queries and an expression",
                "for example namespace: AWS/EC2, metric: CPUUtilization, statistic: Average",
            ),
            (true, false) if !missing.is_empty() => self.broken(
                pointer,
                format!("{name} has no {}", missing.join(" and no ")),
                "namespace, metric, dimensions and statistic",
                "for example namespace: AWS/EC2, metric: CPUUtilization, statistic: Average",
            ),
            (true, false) | (false, true) => {}
        }
        self.dimensions(&member(pointer, "dimensions"), number.dimensions.iter(), known);
        let queries = member(pointer, "queries");
        for (index, query) in number.queries.iter().enumerate() {
            self.dimensions(&format!("{queries}/{index}/dimensions"), query.dimensions.iter(), known);
        }
        let ids = number.queries.iter().map(|query| query.id.clone());
        if self.unique(&queries, "/id", "query", ids) {
            self.expression(pointer, number);
        }
    }

    /// Checks names, values and placeholders of dimensions.
    pub fn dimensions<'v>(
        &mut self,
        pointer: &str,
        dimensions: impl Iterator<Item = (&'v String, &'v String)>,
        known: &[&str],
    ) {
        for (key, value) in dimensions {
            let at = member(pointer, key);
            // `Dimension`: Name 1-255 characters, Value 1-1024.
            if key.is_empty() || key.len() > 255 || value.is_empty() || value.len() > 1024 {
                self.broken(
                    &at,
                    format!("{} is empty or too long", dotted(&at)),
                    "a name of 1 to 255 characters with a value of 1 to 1024",
                    "copy the dimension from the metric in CloudWatch",
                );
            }
            for word in placeholder::words(value).filter(|word| !known.contains(word)) {
                let list = known.iter().map(|word| format!("${word}")).collect::<Vec<_>>().join(", ");
                let hint = match nearest(word, known.iter().copied()) {
                    Some(near) => format!("did you mean ${near}?"),
                    None if placeholder::WORDS.contains(&word) => format!("${word} has no value here"),
                    None => format!("a dollar is written as $$: $${word}"),
                };
                let expected = if known.is_empty() {
                    "no placeholder here; $$ is a dollar".to_owned()
                } else {
                    format!("one of {list}, or $$ for a dollar")
                };
                let what = format!("{} has the placeholder {}", dotted(&at), quoted(&format!("${word}")));
                self.broken(&at, what, expected, hint);
            }
        }
    }

    fn expression(&mut self, pointer: &str, number: &CloudWatch) {
        let name = dotted(pointer);
        let Some(expression) = &number.expression else {
            if number.queries.len() > 1 {
                self.broken(
                    pointer,
                    format!("{name} has {} queries and no expression", number.queries.len()),
                    "an expression over the ids of the queries",
                    "for example expression: 100 * errors / requests",
                );
            }
            return;
        };
        let at = member(pointer, "expression");
        let used = identifiers(expression);
        let before = self.problems.len();
        for &identifier in &used {
            if !number.queries.iter().any(|query| query.id == identifier) {
                let near = nearest(identifier, number.queries.iter().map(|query| query.id.as_str()));
                let hint = near.map_or_else(
                    || "metric math names a query by its id, and writes functions in capitals".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                let what = format!("the expression uses {}, and no query has that id", quoted(identifier));
                self.broken(&at, what, "ids of the queries beside it", hint);
            }
        }
        if self.problems.len() > before {
            // A misspelled id is one mistake, not also an unused query.
            return;
        }
        for (index, query) in number.queries.iter().enumerate() {
            if !used.contains(&query.id.as_str()) {
                let at = format!("{pointer}/queries/{index}/id");
                let what = format!("the query {} is not used in the expression", quoted(&query.id));
                self.broken(&at, what, "every query in the expression", "use it there, or remove it");
            }
        }
    }
}

/// The query ids in a metric math expression: words that begin with a lower-case letter, outside of quotes.
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
