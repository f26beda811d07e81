//! The service models: operations, their inputs, outputs and errors.
//!
//! `scripts/models` writes them from botocore; they are parsed on first use.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

/// The model of a service.
#[derive(Debug, Deserialize)]
pub struct Model {
    /// botocore's name of the service: `codepipeline`, `elbv2`, …
    #[serde(skip)]
    pub service: &'static str,
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: HashMap<String, Shape>,
}

/// The metadata of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: String,
    pub endpoint_prefix: String,
    #[serde(default)]
    pub json_version: Option<String>,
    pub protocols: Vec<String>,
    #[serde(default)]
    pub signing_name: Option<String>,
    #[serde(default)]
    pub target_prefix: Option<String>,
    #[serde(default)]
    pub xml_namespace: Option<String>,
}

/// An operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    pub http: Http,
    #[serde(default)]
    pub input: Option<String>,
    #[serde(default)]
    pub output: Option<String>,
    #[serde(default)]
    pub result_wrapper: Option<String>,
    pub errors: Vec<String>,
}

/// The HTTP binding of an operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    pub method: String,
    pub request_uri: String,
    #[serde(default)]
    pub response_code: Option<u16>,
}

/// The type of a shape.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Structure,
    List,
    Map,
    String,
    Character,
    Blob,
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Timestamp,
}

/// A shape with its constraints.
#[allow(clippy::struct_excessive_bools, reason = "the traits of the models are flags")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub members: BTreeMap<String, Member>,
    #[serde(default)]
    pub required: Vec<String>,
    /// The member that is the entire body.
    #[serde(default)]
    pub payload: Option<String>,
    #[serde(default)]
    pub member: Option<Member>,
    #[serde(default)]
    pub key: Option<Member>,
    #[serde(default)]
    pub value: Option<Member>,
    #[serde(default, rename = "enum")]
    pub choices: Vec<String>,
    #[serde(default)]
    pub min: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
    #[serde(default)]
    pub pattern: Option<Pattern>,
    #[serde(default)]
    pub flattened: bool,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub exception: bool,
    /// Whether this error is the service's fault.
    #[serde(default)]
    pub fault: bool,
    #[serde(default)]
    pub error: Option<ErrorTrait>,
}

/// A reference to a shape, with its location in HTTP.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub shape: String,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub location_name: Option<String>,
    #[serde(default)]
    pub query_name: Option<String>,
    #[serde(default)]
    pub flattened: bool,
}

/// The error code and status of an error shape on the wire.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorTrait {
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub http_status_code: Option<u16>,
}

/// A `pattern` constraint. Models use Java's syntax; a pattern that [`Regex`] cannot parse is ignored.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub struct Pattern {
    pub source: String,
    compiled: OnceLock<(Option<Regex>, Option<Regex>)>,
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }
}

impl Pattern {
    /// Whether the whole text matches. Services match the whole value even if the pattern is not anchored.
    #[must_use]
    pub fn admits(&self, text: &str) -> bool {
        // The only look-around in the models: a suffix that the text must not have.
        let (whole, ending) = self.compiled.get_or_init(|| {
            let not_at_end = self.source.strip_suffix(')').and_then(|source| source.rsplit_once("(?<!"));
            let (source, ending) = not_at_end.map_or((self.source.as_str(), None), |(s, e)| (s, Some(e)));
            let whole = Regex::new(&format!("^(?:{source})$")).ok();
            (whole, ending.and_then(|ending| Regex::new(&format!("(?:{ending})$")).ok()))
        });
        whole.as_ref().is_none_or(|regex| regex.is_match(text))
            && ending.as_ref().is_none_or(|ending| !ending.is_match(text))
    }
}

impl Model {
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }

    /// The input shape of an operation, if it has one.
    #[must_use]
    pub fn input(&self, operation: &Operation) -> Option<&Shape> {
        self.shape(operation.input.as_deref()?)
    }

    /// The output shape of an operation, if it has one.
    #[must_use]
    pub fn output(&self, operation: &Operation) -> Option<&Shape> {
        self.shape(operation.output.as_deref()?)
    }

    /// The error with this shape name or wire code.
    #[must_use]
    pub fn error(&self, code: &str) -> Option<(&str, &Shape)> {
        if let Some((name, shape)) = self.shapes.get_key_value(code)
            && shape.exception
        {
            return Some((name, shape));
        }
        let wire_code = |shape: &Shape| shape.error.as_ref().and_then(|e| e.code.as_deref()) == Some(code);
        // Sorted, so that the choice between two shapes with the same code is stable.
        let mut found: Vec<_> = self.shapes.iter().filter(|(_, s)| s.exception && wire_code(s)).collect();
        found.sort_by_key(|(name, _)| *name);
        found.first().map(|(name, shape)| (name.as_str(), *shape))
    }

    /// The service's name in `SigV4` credential scopes.
    #[must_use]
    pub fn signing_name(&self) -> &str {
        self.metadata.signing_name.as_deref().unwrap_or(&self.metadata.endpoint_prefix)
    }

    /// The HTTP status of an error, if the model has one: its own, or 500 for a fault of the service.
    #[must_use]
    pub fn status(shape: &Shape) -> Option<u16> {
        let own = shape.error.as_ref().and_then(|error| error.http_status_code);
        own.or_else(|| shape.fault.then_some(500))
    }

    #[must_use]
    pub fn speaks(&self, protocol: &str) -> bool {
        self.metadata.protocols.iter().any(|p| p == protocol)
    }
}

const SOURCES: &[(&str, &str)] = &[
    ("autoscaling", include_str!("../models/autoscaling.json")),
    ("cloudwatch", include_str!("../models/cloudwatch.json")),
    ("codepipeline", include_str!("../models/codepipeline.json")),
    ("ebs", include_str!("../models/ebs.json")),
    ("ec2", include_str!("../models/ec2.json")),
    ("ecr", include_str!("../models/ecr.json")),
    ("ecs", include_str!("../models/ecs.json")),
    ("elbv2", include_str!("../models/elbv2.json")),
    ("imagebuilder", include_str!("../models/imagebuilder.json")),
    ("kms", include_str!("../models/kms.json")),
    ("lambda", include_str!("../models/lambda.json")),
    ("secretsmanager", include_str!("../models/secretsmanager.json")),
    ("securityhub", include_str!("../models/securityhub.json")),
    ("ssm", include_str!("../models/ssm.json")),
    ("sts", include_str!("../models/sts.json")),
];

/// All service models. A model that does not parse is omitted; a test checks that all parse.
#[must_use]
pub fn all() -> &'static [Model] {
    static MODELS: OnceLock<Vec<Model>> = OnceLock::new();
    MODELS.get_or_init(|| {
        SOURCES
            .iter()
            .filter_map(|(service, source)| {
                serde_json::from_str::<Model>(source).ok().map(|model| Model { service, ..model })
            })
            .collect()
    })
}

/// The model of the service with this botocore name.
#[must_use]
pub fn of(service: &str) -> Option<&'static Model> {
    all().iter().find(|model| model.service == service)
}

/// The model of the service with this signing name: `elasticloadbalancing`, `monitoring`, …
#[must_use]
pub fn signed_as(name: &str) -> Option<&'static Model> {
    all().iter().find(|model| model.signing_name() == name)
}

/// The throttling error codes, as the AWS SDKs know them. The models do not mark them. `LimitExceededException` is not
/// among them: it is a quota, unless its status is 429.
const THROTTLING: [&str; 3] =
    ["RequestThrottledException", "ThrottlingException", "TooManyRequestsException"];

/// The retryable errors of an operation as code and status: faults of the service, and throttling.
#[must_use]
pub fn retryable_errors(service: &str, operation: &str) -> Vec<(&'static str, u16)> {
    let Some(model) = of(service) else { return Vec::new() };
    let Some(operation) = model.operations.get(operation) else { return Vec::new() };
    let named = operation.errors.iter().filter_map(|name| Some((name.as_str(), model.shape(name)?)));
    named
        .filter_map(|(name, shape)| {
            let code = shape.error.as_ref().and_then(|error| error.code.as_deref()).unwrap_or(name);
            let status = Model::status(shape);
            match status {
                Some(status) if status >= 500 || status == 429 => Some((code, status)),
                _ if THROTTLING.contains(&code) => Some((code, status.unwrap_or(400))),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_parses_and_every_shape_reference_resolves() {
        assert_eq!(all().len(), SOURCES.len());
        for model in all() {
            assert!(!model.operations.is_empty(), "{}", model.service);
            for shape in model.shapes.values() {
                let inner = [&shape.member, &shape.key, &shape.value].into_iter().flatten();
                for member in shape.members.values().chain(inner) {
                    assert!(model.shape(&member.shape).is_some(), "{}: {}", model.service, member.shape);
                }
            }
        }
    }

    #[test]
    fn services_are_found_by_signing_name() {
        for (signed, service) in [
            ("elasticloadbalancing", "elbv2"),
            ("monitoring", "cloudwatch"),
            ("ec2", "ec2"),
            ("secretsmanager", "secretsmanager"),
        ] {
            assert_eq!(signed_as(signed).map(|m| m.service), Some(service));
        }
        assert!(signed_as("dynamodb").is_none());
    }

    #[test]
    fn a_pattern_can_exclude_a_suffix() {
        let bucket = Pattern::from(r"[0-9A-Za-z\.\-_]*(?<!\.)".to_owned());
        for (text, admitted) in [("a.b", true), ("a.", false), ("a b", false)] {
            assert_eq!(bucket.admits(text), admitted, "{text}");
        }
    }

    #[test]
    fn an_error_is_found_by_shape_name_and_by_code() {
        let model = of("autoscaling").unwrap();
        let by_code = model.error("ActiveInstanceRefreshNotFound").unwrap().0;
        assert_eq!(by_code, "ActiveInstanceRefreshNotFoundFault");
        assert_eq!(model.error(by_code).unwrap().0, by_code);
        assert!(model.error("StartInstanceRefreshType").is_none(), "a shape, but not an error");
    }
}
