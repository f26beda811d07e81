//! Form bodies of awsQuery and ec2Query: trees with dotted names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Shape};
use super::text;

/// The nesting limit of names. No modeled input nests deeper.
const DEEPEST: usize = 32;

/// The two ways of naming members and list entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `Tags.member.1.Key`.
    Query,
    /// `Tag.1.Key`, first letters in capitals, every list flat.
    Ec2,
}

/// A parsed form: a tree of dotted names.
#[derive(Debug, Default)]
pub struct Tree {
    value: Option<String>,
    children: BTreeMap<String, Tree>,
}

impl Tree {
    /// Parses a form.
    ///
    /// # Errors
    /// `MalformedQueryString` if a name is nested too deeply.
    pub fn parse(form: &str) -> Result<Self, ApiError> {
        let mut root = Self::default();
        for (name, value) in text::pairs(form) {
            let mut at = &mut root;
            for (depth, part) in name.split('.').enumerate() {
                if depth == DEEPEST {
                    return Err(ApiError::new("MalformedQueryString", "a parameter name nests too deep")
                        .with_status(400));
                }
                at = at.children.entry(part.to_owned()).or_default();
            }
            at.value = Some(value);
        }
        Ok(root)
    }

    /// Takes a parameter that is not part of the input, such as `Action`.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.children.remove(name)?.value
    }

    /// Converts the tree to a structure. Unknown members keep their names, so that validation rejects them.
    #[must_use]
    pub fn structure(&self, model: &Model, shape: &Shape, style: Style) -> Map<String, Value> {
        let mut input = Map::new();
        for (wire_name, child) in &self.children {
            let known = shape.members.iter().find(|(name, m)| name_of(model, name, m, style) == *wire_name);
            let entry = match known {
                Some((name, member)) => child.member(model, member, style).map(|value| (name.clone(), value)),
                None => Some((wire_name.clone(), Value::Null)),
            };
            input.extend(entry);
        }
        input
    }

    fn member(&self, model: &Model, member: &Member, style: Style) -> Option<Value> {
        let shape = model.shape(&member.shape)?;
        match shape.kind {
            Kind::Structure => Some(Value::Object(self.structure(model, shape, style))),
            Kind::List => Some(self.list(model, member, shape, style)),
            Kind::Map => Some(self.map(model, member, shape, style)),
            kind => self.value.as_deref().map(|text| scalar(kind, text)),
        }
    }

    fn list(&self, model: &Model, member: &Member, shape: &Shape, style: Style) -> Value {
        let Some(entry) = &shape.member else { return Value::Null };
        let flat = style == Style::Ec2 || shape.flattened || member.flattened;
        let wrapper = entry.location_name.as_deref().unwrap_or("member");
        let entries = if flat { Some(self) } else { self.children.get(wrapper) };
        let Some(entries) = entries else { return Value::Array(Vec::new()) };
        let values = entries.numbered().filter_map(|tree| tree.member(model, entry, style)).collect();
        Value::Array(values)
    }

    fn map(&self, model: &Model, member: &Member, shape: &Shape, style: Style) -> Value {
        let (Some(key), Some(value)) = (&shape.key, &shape.value) else { return Value::Null };
        let flat = shape.flattened || member.flattened;
        let entries = if flat { Some(self) } else { self.children.get("entry") };
        let mut map = Map::new();
        for entry in entries.into_iter().flat_map(Self::numbered) {
            let named =
                |of: &Member, default: &str| of.location_name.clone().unwrap_or_else(|| default.into());
            let name = entry.children.get(&named(key, "key")).and_then(|tree| tree.value.clone());
            let inner = entry.children.get(&named(value, "value"));
            if let (Some(name), Some(inner)) = (name, inner) {
                map.extend(inner.member(model, value, style).map(|v| (name, v)));
            }
        }
        Value::Object(map)
    }

    /// The numbered children, in the order of their numbers.
    fn numbered(&self) -> impl Iterator<Item = &Self> {
        let mut entries: Vec<(u64, &Self)> =
            self.children.iter().filter_map(|(name, tree)| Some((name.parse().ok()?, tree))).collect();
        entries.sort_by_key(|(number, _)| *number);
        entries.into_iter().map(|(_, tree)| tree)
    }
}

/// A member's name in a form.
fn name_of(model: &Model, name: &str, member: &Member, style: Style) -> String {
    match style {
        Style::Ec2 => member
            .query_name
            .clone()
            .unwrap_or_else(|| capitalised(member.location_name.as_deref().unwrap_or(name))),
        Style::Query => {
            let entry_name = model
                .shape(&member.shape)
                .filter(|shape| shape.kind == Kind::List && (shape.flattened || member.flattened))
                .and_then(|shape| shape.member.as_ref()?.location_name.clone());
            entry_name.or_else(|| member.location_name.clone()).unwrap_or_else(|| name.to_owned())
        }
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Converts text to a value of this type. Text that does not convert stays text, so that validation rejects it.
fn scalar(kind: Kind, text: &str) -> Value {
    let parsed = match kind {
        Kind::Boolean => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
        Kind::Integer | Kind::Long => text.parse::<i64>().ok().map(Value::from),
        Kind::Float | Kind::Double => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(text::number),
        Kind::Timestamp => text::parse_date(text).map(text::number),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model;
    use super::*;

    fn read(service: &str, operation: &str, form: &str, style: Style) -> Value {
        let model = model::of(service).unwrap();
        let shape = model.input(&model.operations[operation]).unwrap();
        Value::Object(Tree::parse(form).unwrap().structure(model, shape, style))
    }

    #[test]
    fn ec2_lists_are_flat_and_names_are_capitalized() {
        let form = "ImageId.2=ami-b&ImageId.1=ami-a&ImageId.10=ami-c&Filter.1.Name=state&Filter.1.Value.1=available\
                    &IncludeDisabled=true";
        assert_eq!(
            read("ec2", "DescribeImages", form, Style::Ec2),
            json!({
                "Filters": [{"Name": "state", "Values": ["available"]}],
                "ImageIds": ["ami-a", "ami-b", "ami-c"],
                "IncludeDisabled": true,
            })
        );
    }

    #[test]
    fn query_lists_have_members_and_may_be_empty() {
        let form = "AutoScalingGroupName=web&DesiredConfiguration.LaunchTemplate.Version=7\
                    &Preferences.CheckpointPercentages.member.1=25&Preferences.CheckpointPercentages.member.2=100\
                    &Preferences.AlarmSpecification.Alarms=";
        assert_eq!(
            read("autoscaling", "StartInstanceRefresh", form, Style::Query),
            json!({
                "AutoScalingGroupName": "web",
                "DesiredConfiguration": {"LaunchTemplate": {"Version": "7"}},
                "Preferences": {"CheckpointPercentages": [25, 100], "AlarmSpecification": {"Alarms": []}},
            })
        );
    }

    #[test]
    fn dates_become_epoch_seconds_and_unknown_names_stay() {
        let form = "StartTime=2023-11-14T22:13:20Z&Shade=blue&Period=a%20day";
        assert_eq!(
            read("cloudwatch", "GetMetricStatistics", form, Style::Query),
            json!({"StartTime": 1_700_000_000.0, "Shade": null, "Period": "a day"})
        );
    }

    #[test]
    fn a_too_deeply_nested_name_is_rejected() {
        assert!(Tree::parse(&"a.".repeat(100_000)).is_err());
    }
}
