//! `BatchImportFindings`: each finding is imported or rejected on its own.

use serde_json::{Map, Value, json};

use super::super::super::call::Call;
use super::super::super::world::World;
use super::super::support::Place;
use super::State;

/// The only schema version of the Security Finding Format.
const SCHEMA: &str = "2018-10-08";
/// The maximum size of a finding in bytes.
const SIZE: usize = 240 * 1024;
/// Members that belong to the customer: later imports do not change them.
const OF_THE_CUSTOMER: [&str; 4] = ["Note", "UserDefinedFields", "VerificationState", "Workflow"];

pub(super) fn batch(world: &mut World, call: &Call, place: &Place) -> Value {
    let findings = call.input.get("Findings").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut failed = Vec::new();
    let mut taken = 0;
    for finding in findings {
        let Value::Object(finding) = finding else { continue };
        let id = text(&finding, "Id").to_owned();
        match judge(&finding, place, &world.securityhub) {
            Ok(()) => {
                keep(&mut world.securityhub, place, finding);
                taken += 1;
            }
            Err(why) => failed.push(json!({ "Id": id, "ErrorCode": "InvalidInput", "ErrorMessage": why })),
        }
    }
    json!({ "FailedCount": failed.len(), "SuccessCount": taken, "FailedFindings": failed })
}

fn judge(finding: &Map<String, Value>, place: &Place, state: &State) -> Result<(), String> {
    let within = |member: &str, most: usize| match text(finding, member).chars().count() {
        length if length > most => {
            Err(format!("{member} has {length} characters, at most {most} are allowed"))
        }
        _ => Ok(()),
    };
    within("Id", 512)?;
    within("GeneratorId", 512)?;
    within("Title", 256)?;
    within("Description", 1024)?;
    if text(finding, "SchemaVersion") != SCHEMA {
        return Err(format!("SchemaVersion must be {SCHEMA}"));
    }
    let (account, region) = (&place.account, &place.region);
    let partition = crate::partition::id(region);
    let product = format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default");
    if text(finding, "ProductArn") != product {
        return Err(format!("ProductArn must be {product}"));
    }
    if text(finding, "AwsAccountId") != account {
        return Err("AwsAccountId is not that of the ProductArn".to_owned());
    }
    for member in ["CreatedAt", "UpdatedAt"] {
        let format = &::time::format_description::well_known::Rfc3339;
        if ::time::OffsetDateTime::parse(text(finding, member), format).is_err() {
            return Err(format!("{member} is not an RFC 3339 date"));
        }
    }
    let of_provider = finding.get("FindingProviderFields").and_then(|fields| fields.get("Severity"));
    if finding.get("Severity").or(of_provider).is_none() {
        return Err("Severity or FindingProviderFields.Severity is required".to_owned());
    }
    match finding.get("Resources").and_then(Value::as_array).map_or(0, Vec::len) {
        1..=32 => {}
        other => return Err(format!("Resources has {other} entries, 1 to 32 are allowed")),
    }
    let size = serde_json::to_string(finding).map_or(0, |text| text.len());
    if size > SIZE {
        return Err(format!("the finding has {size} bytes, at most {SIZE} are allowed"));
    }
    let vulnerabilities = finding.get("Vulnerabilities").and_then(Value::as_array).into_iter().flatten();
    let mut ids = vulnerabilities.filter_map(|one| one.get("Id").and_then(Value::as_str));
    ids.find_map(|id| state.rejected.get(id)).map_or(Ok(()), |why| Err(why.clone()))
}

fn keep(state: &mut State, place: &Place, mut finding: Map<String, Value>) {
    let key = (place.clone(), text(&finding, "ProductArn").to_owned(), text(&finding, "Id").to_owned());
    if let Some(before) = state.findings.get(&key) {
        // An older finding does not replace a newer one.
        if text(before, "UpdatedAt") > text(&finding, "UpdatedAt") {
            return;
        }
        for member in OF_THE_CUSTOMER {
            match before.get(member) {
                Some(value) => finding.insert(member.to_owned(), value.clone()),
                None => finding.remove(member),
            };
        }
    }
    finding.entry("RecordState").or_insert("ACTIVE".into());
    finding.entry("Workflow").or_insert(json!({ "Status": "NEW" }));
    state.findings.insert(key, finding);
}

fn text<'f>(finding: &'f Map<String, Value>, member: &str) -> &'f str {
    finding.get(member).and_then(Value::as_str).unwrap_or_default()
}
