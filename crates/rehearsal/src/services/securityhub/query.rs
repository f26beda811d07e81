//! `GetFindings`, with string filters.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::support::{Place, page, present};
use super::invalid;

/// The maximum page size.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(default)]
    filters: Map<String, Value>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TextFilter {
    value: String,
    comparison: String,
}

impl TextFilter {
    fn fits(&self, text: &str) -> bool {
        match self.comparison.as_str() {
            "EQUALS" => text == self.value,
            "PREFIX" => text.starts_with(&self.value),
            _ => false,
        }
    }
}

pub(super) fn get(world: &World, call: &Call, place: &Place) -> Answer {
    let input: Input = call.parse()?;
    let mut filters = Vec::new();
    for (member, given) in &input.filters {
        if !["AwsAccountId", "GeneratorId", "Id", "ProductArn", "Title"].contains(&member.as_str()) {
            return Err(invalid(format!("the embedded AWS does not filter findings by {member}")));
        }
        let texts: Vec<TextFilter> =
            serde_json::from_value(given.clone()).map_err(|error| invalid(error.to_string()))?;
        if let Some(other) =
            texts.iter().find(|text| !matches!(text.comparison.as_str(), "EQUALS" | "PREFIX"))
        {
            return Err(invalid(format!(
                "the embedded AWS does not support the comparison {}",
                other.comparison
            )));
        }
        filters.push((member, texts));
    }
    let fits = |finding: &Map<String, Value>| {
        filters.iter().all(|(member, texts)| {
            let value = finding.get(*member).and_then(Value::as_str).unwrap_or_default();
            texts.iter().any(|text| text.fits(value))
        })
    };
    let all = world.securityhub.findings.iter();
    let found = all.filter(|((at, ..), finding)| at == place && fits(finding));
    let found: Vec<Value> = found.map(|(_, finding)| Value::Object(finding.clone())).collect();
    let size = input.max_results.unwrap_or(PAGE);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidInputException")?;
    Ok(present(json!({ "Findings": found, "NextToken": next })))
}
