//! Metrics of `CloudWatch`, as limits and the judge ask for them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placeholder::{fill, plain};
use crate::spec::span::Span;

/// A number from `CloudWatch`: one metric (`namespace`, `metric`, `dimensions`, `statistic`), or several queries and an expression over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudWatch {
    /// Time that one datapoint covers: 1s, 5s, 10s, 20s, 30s or whole minutes, at most 1d.
    #[schemars(extend("x-max" = "1d"))]
    pub period: Span,
    /// Namespace of the metric, such as AWS/ApplicationELB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub namespace: Option<String>,
    /// Name of the metric, such as `RequestCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub metric: Option<String>,
    /// Dimensions of the metric: all of them, since `CloudWatch` finds a metric only by its full set. `$$` is a dollar.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// Statistic of a period: Average, Sum, Minimum, Maximum, `SampleCount`, or a percentile such as p99.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = STATISTIC), example = &"Sum")]
    pub statistic: Option<String>,
    /// Several metrics, in place of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub queries: Vec<Query>,
    /// `CloudWatch` metric math over the ids of the queries. Needed with more than one query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub expression: Option<String>,
}

/// One metric of several, as `GetMetricData` asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Id of the query in the expression: a lower-case letter, then letters, digits and underscores.
    #[schemars(regex(pattern = r"^[a-z][A-Za-z0-9_]{0,254}$"), example = &"errors")]
    pub id: String,
    /// Namespace of the metric, such as AWS/ApplicationELB.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// Name of the metric, such as `RequestCount`.
    #[schemars(length(min = 1, max = 255))]
    pub metric: String,
    /// Dimensions of the metric: all of them, since `CloudWatch` finds a metric only by its full set. `$$` is a dollar.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// Statistic of a period: Average, Sum, Minimum, Maximum, `SampleCount`, or a percentile such as p99.
    #[schemars(regex(pattern = STATISTIC), example = &"Sum")]
    pub statistic: String,
}

const STATISTIC: &str =
    r"^(Average|Sum|Minimum|Maximum|SampleCount|IQM|(p|tm|wm|tc|ts)([0-9]{1,2}(\.[0-9]{1,10})?|100))$";

impl CloudWatch {
    /// Every metric of the number, with its dimensions as `CloudWatch` stores them.
    #[must_use]
    pub fn queries(&self) -> Vec<Query> {
        let stored = |dimensions: &BTreeMap<String, String>| {
            dimensions.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        };
        if let (Some(namespace), Some(metric), Some(statistic)) =
            (&self.namespace, &self.metric, &self.statistic)
        {
            return vec![Query {
                id: "value".to_owned(),
                namespace: namespace.clone(),
                metric: metric.clone(),
                dimensions: stored(&self.dimensions),
                statistic: statistic.clone(),
            }];
        }
        self.queries
            .iter()
            .map(|query| Query { dimensions: stored(&query.dimensions), ..query.clone() })
            .collect()
    }

    /// The values of all dimensions, as the spec has them.
    pub fn dimension_values(&self) -> impl Iterator<Item = (&String, &String)> {
        self.dimensions.iter().chain(self.queries.iter().flat_map(|query| &query.dimensions))
    }

    /// The same with those placeholders replaced that `known` knows.
    #[must_use]
    pub fn with<'w>(&self, known: impl Fn(&str) -> Option<&'w str>) -> Self {
        let mut filled = self.clone();
        let queries = filled.queries.iter_mut().flat_map(|query| query.dimensions.values_mut());
        for value in filled.dimensions.values_mut().chain(queries) {
            *value = fill(value, &known);
        }
        filled
    }
}

/// A metric that each side of a comparison publishes. In the values of dimensions, `$group`, `$instance` and `$target_group` name the side, and `$$` is a dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SideMetric {
    /// Namespace of the metric, such as Web.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// Name of the metric, such as Requests.
    #[schemars(length(min = 1, max = 255))]
    pub metric: String,
    /// Dimensions of the metric: all of them. `$group` stands for the side's Auto Scaling group, `$instance` for each of its instances, `$target_group` for its target group. At least one of them tells the sides apart.
    #[schemars(extend("maxProperties" = 30, "minProperties" = 1))]
    pub dimensions: BTreeMap<String, String>,
}

impl SideMetric {
    /// Whether a dimension has this placeholder.
    #[must_use]
    pub fn names(&self, word: &str) -> bool {
        self.dimensions.values().any(|value| super::placeholder::names(value, word))
    }

    /// The dimensions as `CloudWatch` stores them, with the placeholders replaced.
    #[must_use]
    pub fn dimensions_of<'w>(&self, known: impl Fn(&str) -> Option<&'w str>) -> BTreeMap<String, String> {
        self.dimensions.iter().map(|(name, value)| (name.clone(), plain(&fill(value, &known)))).collect()
    }
}
