//! Validates requests against the service model, with AWS's own error messages.

use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Operation, Shape};
use super::text;

/// The maximum number of findings in one error.
const MOST_FINDINGS: usize = 10;

/// Enumerations longer than this are open catalogs, such as instance types, which the operations validate themselves.
const LONGEST_CLOSED: usize = 200;

/// The error codes and wording of a family of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON services: `ValidationException`, and `SerializationException` for a wrong type.
    Json,
    /// `ValidationError`.
    Query,
    /// `MissingParameter`, `UnknownParameter`, `InvalidParameterValue`.
    Ec2,
}

/// A validation finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Member names joined by dots; list entries as `1.member`, counted from one.
    pub path: String,
    pub fault: Fault,
}

/// The kind of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Unknown,
    Missing,
    WrongType {
        expected: &'static str,
    },
    /// The value as text (`None` if it is sensitive) and the violated rule.
    Constraint {
        value: Option<String>,
        rule: String,
    },
}

/// Validates `input`. Returns the findings in the order of the model's members.
#[must_use]
pub fn findings(model: &Model, operation: &Operation, input: &Map<String, Value>) -> Vec<Finding> {
    let mut check = Check { model, found: Vec::new() };
    match model.input(operation) {
        Some(shape) => check.structure(shape, input, ""),
        None => {
            for name in input.keys() {
                check.report(name, Fault::Unknown);
            }
        }
    }
    check.found
}

/// Returns an error if the input violates its model.
///
/// # Errors
/// The error in the wording of the dialect.
pub fn check(
    model: &Model,
    operation: &Operation,
    input: &Map<String, Value>,
    dialect: Dialect,
) -> Result<(), ApiError> {
    let found = findings(model, operation, input);
    if found.is_empty() { Ok(()) } else { Err(refusal(&found, dialect)) }
}

/// The error for these findings.
#[must_use]
pub fn refusal(found: &[Finding], dialect: Dialect) -> ApiError {
    if dialect == Dialect::Ec2 {
        return ec2_refusal(found);
    }
    let wrong_type = found.iter().find_map(|f| match f.fault {
        Fault::WrongType { expected } => Some((f, expected)),
        _ => None,
    });
    if let (Dialect::Json, Some((finding, expected))) = (dialect, wrong_type) {
        let message = format!("{}: expected {expected}", finding.path);
        return ApiError::new("SerializationException", message);
    }
    let code = if dialect == Dialect::Json { "ValidationException" } else { "ValidationError" };
    let plural = if found.len() == 1 { "" } else { "s" };
    let details: Vec<String> = found.iter().map(describe).collect();
    let message = format!("{} validation error{plural} detected: {}", found.len(), details.join("; "));
    ApiError::new(code, message)
}

fn describe(finding: &Finding) -> String {
    let path = &finding.path;
    match &finding.fault {
        Fault::Unknown => format!("Value at '{path}' failed to satisfy constraint: Member is not known"),
        Fault::Missing => {
            format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")
        }
        Fault::WrongType { expected } => {
            format!("Value at '{path}' failed to satisfy constraint: Member must be of type {expected}")
        }
        Fault::Constraint { value, rule } => {
            let shown = value.as_ref().map_or(String::new(), |v| format!(" '{v}'"));
            format!("Value{shown} at '{path}' failed to satisfy constraint: {rule}")
        }
    }
}

fn ec2_refusal(found: &[Finding]) -> ApiError {
    let Some(Finding { path, fault }) = found.first() else {
        return ApiError::new("InvalidParameterValue", "");
    };
    match fault {
        Fault::Unknown => {
            ApiError::new("UnknownParameter", format!("The parameter {path} is not recognized"))
        }
        Fault::Missing => {
            ApiError::new("MissingParameter", format!("The request must contain the parameter {path}"))
        }
        Fault::WrongType { expected } => ApiError::new(
            "InvalidParameterValue",
            format!("The value for parameter {path} is invalid. Expected: {expected}"),
        ),
        Fault::Constraint { value, rule } => {
            let shown = value.as_ref().map_or(String::new(), |v| format!(" ({v})"));
            let message = format!("Value{shown} for parameter {path} is invalid. {rule}");
            ApiError::new("InvalidParameterValue", message)
        }
    }
}

struct Check<'m> {
    model: &'m Model,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn report(&mut self, path: &str, fault: Fault) {
        if self.found.len() < MOST_FINDINGS {
            self.found.push(Finding { path: path.to_owned(), fault });
        }
    }

    fn structure(&mut self, shape: &Shape, value: &Map<String, Value>, path: &str) {
        for name in &shape.required {
            if value.get(name).is_none_or(Value::is_null) {
                self.report(&join(path, name), Fault::Missing);
            }
        }
        for (name, inner) in value {
            match shape.members.get(name) {
                Some(member) => self.member(member, inner, &join(path, name)),
                // `__type` is a type hint that any JSON client may send.
                None if name == "__type" => {}
                None => self.report(&join(path, name), Fault::Unknown),
            }
        }
    }

    fn member(&mut self, member: &Member, value: &Value, path: &str) {
        let Some(shape) = self.model.shape(&member.shape) else { return };
        if value.is_null() {
            return;
        }
        match (shape.kind, value) {
            (Kind::Structure, Value::Object(inner)) => self.structure(shape, inner, path),
            (Kind::List, Value::Array(entries)) => {
                self.size(shape, entries.len(), value, path);
                let Some(member) = &shape.member else { return };
                for (index, entry) in entries.iter().enumerate() {
                    self.member(member, entry, &format!("{path}.{}.member", index + 1));
                }
            }
            (Kind::Map, Value::Object(entries)) => {
                self.size(shape, entries.len(), value, path);
                for (key, inner) in entries {
                    if let Some(member) = &shape.key {
                        self.member(member, &Value::String(key.clone()), &format!("{path}.{key}.key"));
                    }
                    if let Some(member) = &shape.value {
                        self.member(member, inner, &format!("{path}.{key}.value"));
                    }
                }
            }
            (Kind::String | Kind::Character, Value::String(text)) => self.text(shape, text, path),
            (Kind::Blob, Value::String(encoded)) => match text::base64_decode(encoded) {
                Some(bytes) => self.size(shape, bytes.len(), value, path),
                None => self.report(path, Fault::WrongType { expected: "Blob" }),
            },
            (Kind::Boolean, Value::Bool(_)) | (Kind::Timestamp, Value::Number(_)) => {}
            (Kind::Float | Kind::Double, Value::String(text))
                if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {}
            (Kind::Integer | Kind::Long, Value::Number(n)) if n.is_i64() || n.is_u64() => {
                self.range(shape, n.as_f64(), path);
            }
            (Kind::Float | Kind::Double, Value::Number(n)) => self.range(shape, n.as_f64(), path),
            _ => self.report(path, Fault::WrongType { expected: name_of(shape.kind) }),
        }
    }

    fn text(&mut self, shape: &Shape, text: &str, path: &str) {
        let value = shown(shape, text);
        let closed = !shape.choices.is_empty() && shape.choices.len() <= LONGEST_CLOSED;
        if closed && !shape.choices.iter().any(|choice| choice == text) {
            let rule = format!("Member must satisfy enum value set: [{}]", shape.choices.join(", "));
            self.report(path, Fault::Constraint { value: value.clone(), rule });
        }
        let length = text.chars().count();
        if let Some(rule) = length_rule(shape, length) {
            self.report(path, Fault::Constraint { value: value.clone(), rule });
        }
        if let Some(pattern) = &shape.pattern
            && !pattern.admits(text)
        {
            let rule = format!("Member must satisfy regular expression pattern: {}", pattern.source);
            self.report(path, Fault::Constraint { value, rule });
        }
    }

    fn size(&mut self, shape: &Shape, size: usize, value: &Value, path: &str) {
        if let Some(rule) = length_rule(shape, size) {
            let value = if shape.kind == Kind::Blob { None } else { shown(shape, &value.to_string()) };
            self.report(path, Fault::Constraint { value, rule });
        }
    }

    fn range(&mut self, shape: &Shape, number: Option<f64>, path: &str) {
        let Some(number) = number else { return };
        let rule = match (shape.min, shape.max) {
            (Some(min), _) if number < min => {
                format!("Member must have value greater than or equal to {min}")
            }
            (_, Some(max)) if number > max => format!("Member must have value less than or equal to {max}"),
            _ => return,
        };
        self.report(path, Fault::Constraint { value: Some(number.to_string()), rule });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[allow(clippy::cast_precision_loss, reason = "a length that fits into memory fits into 53 bits")]
fn length_rule(shape: &Shape, length: usize) -> Option<String> {
    let length = length as f64;
    match (shape.min, shape.max) {
        (Some(min), _) if length < min => {
            Some(format!("Member must have length greater than or equal to {min}"))
        }
        (_, Some(max)) if length > max => {
            Some(format!("Member must have length less than or equal to {max}"))
        }
        _ => None,
    }
}

/// The value for an error message: never a sensitive one, and truncated if long.
fn shown(shape: &Shape, text: &str) -> Option<String> {
    (!shape.sensitive).then(|| text.chars().take(256).collect())
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Structure => "Structure",
        Kind::List => "List",
        Kind::Map => "Map",
        Kind::String | Kind::Character => "String",
        Kind::Blob => "Blob",
        Kind::Boolean => "Boolean",
        Kind::Integer => "Integer",
        Kind::Long => "Long",
        Kind::Float | Kind::Double => "Double",
        Kind::Timestamp => "Timestamp",
    }
}

#[cfg(test)]
mod tests;
