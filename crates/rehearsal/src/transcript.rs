//! The transcript: every call to the embedded AWS and its outcome.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::faults::Fault;
use super::time::Time;
use super::wire::model::{Member, Model, Shape};
use super::wire::text;

/// Replaces a secret.
const REDACTED: &str = "(redacted)";

/// How much of each call the transcript keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// Nothing at all.
    Nothing,
    /// How often each operation was called.
    Counts,
    /// A record of each call, without its input.
    Calls,
    /// A record of each call with its input, secrets redacted.
    #[default]
    Inputs,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The number of the call, counted from one over all calls.
    pub seq: u64,
    /// The virtual time. Serialized as an RFC 3339 date.
    #[serde(serialize_with = "as_date")]
    pub at: Time,
    /// botocore's service name, `s3`, or the signing name if the service is unknown.
    pub service: String,
    pub operation: String,
    /// The Region the call was signed for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
    /// The HTTP status of the response, even if the response was lost. `None` if the caller was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the service carried out the call.
    pub applied: bool,
    pub mutating: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultRecord>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub input: Value,
}

/// The fault of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultRecord {
    pub fault: Fault,
    /// Whether the fault had an effect. A stale read, for example, has none on a mutating call.
    pub took_effect: bool,
}

/// All calls, in order.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    pub keep: Keep,
    seq: u64,
    records: Vec<Record>,
    counts: BTreeMap<(String, String), u64>,
}

impl Transcript {
    /// Takes the number of the next call. Must be called once per call.
    pub fn number(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn enter(&mut self, record: Record) {
        if self.keep >= Keep::Counts {
            *self.counts.entry((record.service.clone(), record.operation.clone())).or_default() += 1;
        }
        if self.keep >= Keep::Calls {
            self.records.push(record);
        }
    }

    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The number of calls by service and operation, including failed ones.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<(String, String), u64> {
        &self.counts
    }

    /// How often one operation was called.
    #[must_use]
    pub fn count(&self, service: &str, operation: &str) -> u64 {
        self.counts.get(&(service.to_owned(), operation.to_owned())).copied().unwrap_or(0)
    }

    /// The transcript as JSON lines.
    #[must_use]
    pub fn json_lines(&self) -> String {
        let mut lines = String::new();
        for record in &self.records {
            // A record has string keys only, so serialization cannot fail.
            lines.push_str(&serde_json::to_string(record).unwrap_or_default());
            lines.push('\n');
        }
        lines
    }
}

/// The input with sensitive values redacted: those that the model marks as sensitive, and those whose member names
/// suggest a secret.
#[must_use]
pub fn redacted(model: &Model, shape: Option<&Shape>, input: &Value) -> Value {
    let Value::Object(members) = input else { return input.clone() };
    let entries = members.iter().map(|(name, value)| {
        let member = shape.and_then(|shape| shape.members.get(name));
        let shown =
            if is_secret_name(name) { REDACTED.into() } else { redacted_member(model, member, value) };
        (name.clone(), shown)
    });
    // Sort the entries: clients write maps in any order, and the same call must give the same record.
    let entries: BTreeMap<String, Value> = entries.collect();
    Value::Object(entries.into_iter().collect())
}

fn redacted_member(model: &Model, member: Option<&Member>, value: &Value) -> Value {
    let shape = member.and_then(|member| model.shape(&member.shape));
    if shape.is_some_and(|shape| shape.sensitive) {
        return REDACTED.into();
    }
    match value {
        Value::Array(entries) => {
            let entry = shape.and_then(|shape| shape.member.as_ref());
            entries.iter().map(|value| redacted_member(model, entry, value)).collect()
        }
        Value::Object(_) => redacted(model, shape, value),
        other => other.clone(),
    }
}

fn is_secret_name(name: &str) -> bool {
    ["secretstring", "secretbinary", "plaintext", "secretaccesskey", "sessiontoken", "credentials"]
        .contains(&name.to_ascii_lowercase().as_str())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_date<S: Serializer>(at: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text::format_date(at.epoch_seconds()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wire::model;
    use super::*;

    fn record(transcript: &mut Transcript) -> Record {
        Record {
            seq: transcript.number(),
            at: Time(1_700_000_000_250),
            service: "ec2".into(),
            operation: "CopyImage".into(),
            region: String::new(),
            access_key: None,
            status: Some(200),
            code: None,
            applied: true,
            mutating: true,
            fault: Some(FaultRecord { fault: Fault::LoseReply, took_effect: true }),
            input: Value::Null,
        }
    }

    #[test]
    fn a_record_is_one_json_line() {
        let mut transcript = Transcript::default();
        let entry = record(&mut transcript);
        transcript.enter(entry);
        assert_eq!(
            transcript.json_lines(),
            "{\"seq\":1,\"at\":\"2023-11-14T22:13:20.250Z\",\"service\":\"ec2\",\"operation\":\"CopyImage\",\
             \"status\":200,\"applied\":true,\"mutating\":true,\
             \"fault\":{\"fault\":{\"lose_reply\":{}},\"took_effect\":true}}\n"
        );
        assert_eq!(transcript.count("ec2", "CopyImage"), 1);
    }

    #[test]
    fn the_transcript_has_only_what_it_is_set_to_keep() {
        for (keep, records, count) in
            [(Keep::Nothing, 0, 0), (Keep::Counts, 0, 1), (Keep::Calls, 1, 1), (Keep::Inputs, 1, 1)]
        {
            let mut transcript = Transcript { keep, ..Transcript::default() };
            let entry = record(&mut transcript);
            transcript.enter(entry);
            assert_eq!((transcript.records().len(), transcript.count("ec2", "CopyImage")), (records, count));
        }
    }

    #[test]
    fn secrets_are_redacted_by_model_and_by_name() {
        for (service, operation, input, hidden) in [
            ("secretsmanager", "PutSecretValue", json!({"SecretId": "s", "SecretString": "hush"}), "hush"),
            ("kms", "Sign", json!({"KeyId": "k", "Message": "aHVzaA=="}), "aHVzaA=="),
            ("ssm", "PutParameter", json!({"Name": "n", "Value": "hush"}), "hush"),
            ("ec2", "RunInstances", json!({"ImageId": "i", "UserData": "hush"}), "hush"),
        ] {
            let model = model::of(service).unwrap();
            let shape = model.input(&model.operations[operation]);
            let shown = redacted(model, shape, &input).to_string();
            assert!(!shown.contains(hidden) && shown.contains(REDACTED), "{shown}");
        }
    }
}
