//! Validation of a document against the JSON Schema, with messages in the words of the release spec.

use std::sync::LazyLock;

use jsonschema::{Keyword, ValidationError, Validator, error::ValidationErrorKind as Kind};
use serde_json::{Map, Value};

use super::{
    names::{NAME, SOURCE_PATH},
    one_of,
    problem::{Position, SpecProblem, nearest, quoted},
    span::{Span, SpanError},
    words::{SCHEMA, as_name, description, dotted, example, schemas_of},
    yaml::{Document, member},
};

static VALIDATOR: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    jsonschema::options()
        .with_keyword("x-min", |_, bound, _| SpanBound::keyword(bound, true))
        .with_keyword("x-max", |_, bound, _| SpanBound::keyword(bound, false))
        .build(&SCHEMA)
        .map_err(|error| error.to_string())
});

/// The keywords `x-min` and `x-max`: a bound of a duration. Values that are no duration pass.
struct SpanBound {
    bound: Span,
    /// Whether the bound is a lower one.
    bounds_below: bool,
}

impl SpanBound {
    fn keyword(
        bound: &Value,
        bounds_below: bool,
    ) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'_>> {
        let bound = bound.as_str().and_then(|text| text.parse().ok());
        let bound = bound.ok_or_else(|| ValidationError::schema("the bound is no duration"))?;
        Ok(Box::new(Self { bound, bounds_below }))
    }
}

impl<'i> Keyword<'i> for SpanBound {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            return Ok(());
        }
        Err(ValidationError::custom(self.bound.to_string()))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        match instance.as_str().map(str::parse::<Span>) {
            Some(Ok(span)) if self.bounds_below => span >= self.bound,
            Some(Ok(span)) => span <= self.bound,
            // Too long for a span at all.
            Some(Err(SpanError::Bounds(_))) => self.bounds_below,
            Some(Err(SpanError::Shape(_))) | None => true,
        }
    }
}

/// Every violation of the schema in the document. `answered` are problems that keys of version 1 have been answered by.
pub(super) fn problems(document: &Document, answered: &[SpecProblem]) -> Vec<SpecProblem> {
    let validator = match &*VALIDATOR {
        Ok(validator) => validator,
        // The schema is a constant of the build, and a test builds its validator.
        Err(error) => {
            let what = format!("this build cannot check a spec: {error}");
            return vec![SpecProblem {
                at: Position::START,
                pointer: String::new(),
                what,
                expected: None,
                hint: None,
            }];
        }
    };
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut intended = Vec::new();
    for error in validator.iter_errors(&document.value) {
        let pointer = error.instance_path().as_str();
        if document.is_unread(pointer) {
            continue;
        }
        let is_answered = |pointer: &str| answered.iter().any(|problem| problem.pointer == pointer);
        let checked = CheckedValue::of(document, pointer);
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                for key in unexpected.iter().filter(|key| !is_answered(&member(pointer, key))) {
                    let (problem, near) = checked.unknown(key);
                    intended.extend(near.map(|near| member(pointer, near)));
                    found.push(problem);
                }
            }
            // A key of version 1 may have what is missing here.
            Kind::Required { .. }
            | Kind::OneOfNotValid { .. }
            | Kind::AnyOf { .. }
            | Kind::MinProperties { .. }
                if answered.iter().any(|problem| is_inside(&problem.pointer, pointer)) => {}
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                missing.push((vec![member(pointer, key)], checked.missing(key)));
            }
            // A value of another type has its own message.
            Kind::OneOfNotValid { .. } | Kind::OneOfMultipleValid { .. } | Kind::AnyOf { .. }
                if !checked.value.is_object() => {}
            Kind::OneOfNotValid { .. } | Kind::OneOfMultipleValid { .. } | Kind::AnyOf { .. } => {
                let keys: Vec<String> =
                    checked.alternatives().iter().map(|key| member(pointer, key)).collect();
                missing.push((keys, checked.one_of()));
            }
            _ if is_answered(pointer) => {}
            // A duration above every bound violates two; the tighter one is reported.
            Kind::Custom { message, .. }
                if *message == Span::MAX.to_string() && checked.bounds_its_span() => {}
            kind => found.push(checked.violation(kind, &error)),
        }
    }
    // A misspelled key is one mistake, not also a missing one.
    let missing = missing.into_iter().filter(|(keys, _)| !keys.iter().any(|key| intended.contains(key)));
    found.extend(missing.map(|(_, problem)| problem));
    found
}

/// Whether a pointer names a value inside of another one.
fn is_inside(pointer: &str, around: &str) -> bool {
    pointer.strip_prefix(around).is_some_and(|rest| rest.starts_with('/'))
}

/// A value, and its schemas.
struct CheckedValue<'d> {
    document: &'d Document,
    pointer: &'d str,
    value: &'d Value,
    /// Schemas of the value, from the outermost collection that it is an item of to its own definition.
    schemas: Vec<&'static Map<String, Value>>,
}

impl<'d> CheckedValue<'d> {
    fn of(document: &'d Document, pointer: &'d str) -> Self {
        let value = document.value.pointer(pointer).unwrap_or(&Value::Null);
        Self { document, pointer, value, schemas: schemas_of(pointer) }
    }

    fn problem(
        &self,
        at: Position,
        what: String,
        expected: Option<String>,
        hint: Option<String>,
    ) -> SpecProblem {
        SpecProblem { at, pointer: self.pointer.to_owned(), what, expected, hint }
    }

    fn known_keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        let properties = self.schemas.last().and_then(|schema| schema.get("properties")?.as_object());
        properties.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    fn known_list(&self) -> String {
        let known: Vec<_> = self.known_keys().collect();
        if known.is_empty() { "the keys it may have".to_owned() } else { known.join(", ") }
    }

    fn unknown(&self, key: &str) -> (SpecProblem, Option<&'static str>) {
        let near = nearest(key, self.known_keys().filter(|known| self.value.get(known).is_none()));
        let elsewhere = || {
            let mut sections = SCHEMA.get("properties")?.as_object()?.keys();
            sections.find(|section| {
                let schemas = schemas_of(&member("", section));
                schemas.last().is_some_and(|schema| {
                    schema.get("properties").is_some_and(|keys| keys.get(key).is_some())
                })
            })
        };
        let hint = if key == "<<" {
            Some("merge keys are not supported: repeat the values".to_owned())
        } else if let Some(near) = near {
            Some(format!("did you mean {near:?}?"))
        } else if let Some(section) = elsewhere() {
            Some(format!("{key:?} is a key of the section {section:?}"))
        } else {
            let top = SCHEMA.get("properties").and_then(|sections| sections.get(key));
            top.map(|_| format!("{key:?} is a key at the top of the file"))
        };
        let pointer = member(self.pointer, key);
        let problem = SpecProblem {
            at: self.document.key_position(&pointer),
            what: format!("unknown key {}", quoted(key)),
            expected: Some(format!("one of {}", self.known_list())),
            hint,
            pointer,
        };
        (problem, near)
    }

    fn missing(&self, key: &str) -> SpecProblem {
        let pointer = member(self.pointer, key);
        let schemas = schemas_of(&pointer);
        let what = format!("{} has no key {key:?}", self.name());
        let expected = description(&schemas).map(|text| format!("{key:?}: {text}"));
        let hint = example(&schemas).map(|example| format!("for example {key}: {example}"));
        SpecProblem { at: self.document.position(self.pointer), what, expected, hint, pointer }
    }

    /// The keys of which exactly one, or at least one, is needed here.
    fn alternatives(&self) -> Vec<&'static str> {
        let Some(schema) = self.schemas.last() else { return Vec::new() };
        let any = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let any = any.filter_map(|one| one.get("required")?.get(0)?.as_str()).collect();
        one_of::keys(schema).unwrap_or(any)
    }

    fn one_of(&self) -> SpecProblem {
        let keys = self.alternatives();
        let name = self.name();
        let given: Vec<&str> = keys.iter().copied().filter(|key| self.value.get(key).is_some()).collect();
        let what = if given.is_empty() {
            format!("{name} has none of {}", keys.join(", "))
        } else {
            format!("{name} has {}", given.join(" and "))
        };
        let exactly = self.schemas.last().is_some_and(|schema| schema.contains_key("oneOf"));
        let expected = if exactly { "exactly one of them" } else { "at least one of them" };
        let hint = given
            .split_first()
            .map(|(first, others)| format!("keep {first}, or remove it and keep {}", others.join(" or ")));
        self.problem(self.document.position(self.pointer), what, Some(expected.to_owned()), hint)
    }

    fn violation(&self, kind: &Kind, error: &ValidationError<'_>) -> SpecProblem {
        let mut at = self.document.position(self.pointer);
        if let (Kind::UniqueItems, Some(items)) = (kind, self.value.as_array())
            && let Some(again) = (1..)
                .zip(items.iter().skip(1))
                .find(|(index, item)| items.iter().take(*index).any(|one| one == *item))
        {
            at = self.document.position(&format!("{}/{}", self.pointer, again.0));
        }
        let name = self.name();
        let shown = self.quoted_value();
        let items = self.value.as_array().map_or(0, Vec::len);
        let is = format!("{name} is {shown}");
        let (what, expected) = match kind {
            Kind::Type { .. } => (is, Some(self.expected_type())),
            Kind::Pattern { pattern } if pattern == Span::PATTERN => (is, Some(Span::FORM.to_owned())),
            Kind::Pattern { .. } => (is, description(&self.schemas)),
            Kind::Minimum { limit } => (is, Some(format!("at least {limit}"))),
            Kind::Maximum { limit } => (is, Some(format!("at most {limit}"))),
            Kind::MinLength { limit: 1 } if self.value == "" => {
                (format!("{name} is empty"), description(&self.schemas))
            }
            Kind::MinLength { limit } => {
                let why = description(&self.schemas).map(|text| format!(": {text}")).unwrap_or_default();
                (is, Some(format!("at least {limit} characters{why}")))
            }
            Kind::MaxLength { limit } => {
                (format!("{name} is too long"), Some(format!("at most {limit} characters")))
            }
            Kind::MinItems { limit: 1 } if items == 0 => {
                (format!("{name} is empty"), Some("at least one".to_owned()))
            }
            Kind::MinItems { limit } => (format!("{name} has {items}"), Some(format!("at least {limit}"))),
            Kind::MaxItems { limit } => (format!("{name} has {items}"), Some(format!("at most {limit}"))),
            Kind::MinProperties { limit: 1 } => {
                (format!("{name} is empty"), Some(format!("at least one of {}", self.known_list())))
            }
            Kind::MaxProperties { limit } => {
                (format!("{name} has too many keys"), Some(format!("at most {limit}")))
            }
            Kind::Enum { options } => {
                let words: Vec<&str> =
                    options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                (is, Some(format!("one of {}", words.join(", "))))
            }
            Kind::UniqueItems => {
                (format!("{name} has the same item twice"), Some("every item once".to_owned()))
            }
            Kind::Custom { keyword, message } if keyword == "x-min" => {
                (is, Some(format!("at least {message}")))
            }
            Kind::Custom { keyword, message } if keyword == "x-max" => {
                (is, Some(format!("at most {message}")))
            }
            _ => (format!("{name}: {error}"), None),
        };
        let hint = self.hint(kind);
        self.problem(at, what, expected, hint)
    }

    /// Name of the value in messages, such as `promote.rolling.steps[1].percent`.
    fn name(&self) -> String {
        dotted(self.pointer)
    }

    fn quoted_value(&self) -> String {
        match self.value {
            Value::Null => "empty".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(number) => format!("the number {number}"),
            Value::String(text) => quoted(text),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "a mapping".to_owned(),
        }
    }

    fn expected_type(&self) -> String {
        let wanted = self.schemas.iter().rev().find_map(|schema| schema.get("type")?.as_str());
        let wanted = match wanted {
            Some("string") if self.is_span() => Span::FORM,
            Some("string") => "a text",
            Some("integer") => "a whole number",
            Some("number") => "a number",
            Some("boolean") => "true or false",
            Some("array") => "a list",
            Some("object") => "a mapping of keys to values",
            _ => "another kind of value",
        };
        match description(&self.schemas) {
            Some(text) => format!("{wanted}: {text}"),
            None => wanted.to_owned(),
        }
    }

    /// Whether the value is required.
    fn is_required(&self) -> bool {
        let Some((around, key)) = self.pointer.rsplit_once('/') else { return true };
        let schemas = schemas_of(around);
        let required = schemas.last().and_then(|schema| schema.get("required")?.as_array());
        required.is_some_and(|required| required.iter().any(|required| required == key))
    }

    fn is_span(&self) -> bool {
        self.schemas.last().and_then(|schema| schema.get("pattern")?.as_str()) == Some(Span::PATTERN)
    }

    /// Whether the key has a tighter upper bound on its duration than [`Span`] has.
    fn bounds_its_span(&self) -> bool {
        self.schemas
            .split_last()
            .is_some_and(|(_, outer)| outer.iter().any(|schema| schema.contains_key("x-max")))
    }

    /// Whether the value is one of the names that people give.
    fn wants_name(&self) -> bool {
        self.schemas.iter().any(|schema| schema.get("pattern").is_some_and(|pattern| pattern == NAME))
    }

    fn hint(&self, kind: &Kind) -> Option<String> {
        let wants = |kind: &str| {
            self.schemas.last().is_some_and(|schema| schema.get("type").is_some_and(|t| t == kind))
        };
        let is_span = self.is_span();
        if self.value.is_null() {
            let hint =
                if self.is_required() { "give it a value" } else { "give it a value, or remove the key" };
            return Some(hint.to_owned());
        }
        if let (Kind::Type { .. }, Some(written)) = (kind, self.document.written(self.pointer)) {
            if is_span && self.value.is_number() {
                return Some(format!("a duration needs its unit: {written}s or {written}m?"));
            }
            if wants("string") {
                return Some(format!("put it in quotes: {written:?}"));
            }
        }
        if let (Kind::Type { .. }, Value::String(text)) = (kind, self.value) {
            if wants("array") {
                return Some(format!("write it as a list: [{text}]"));
            }
            if wants("boolean")
                && let Some(value) = as_boolean(text)
            {
                return Some(format!("write {value}"));
            }
            if (wants("integer") || wants("number"))
                && text.trim_end_matches('%').trim().parse::<f64>().is_ok()
            {
                return Some(format!("write {} without quotes or sign", text.trim_end_matches('%').trim()));
            }
        }
        if let (Kind::Pattern { pattern }, Some(text)) = (kind, self.value.as_str())
            && pattern == SOURCE_PATH
            && let Some(path) = text.strip_prefix("./")
        {
            return Some(format!("write it as {path}: paths start at the top of the source artifact"));
        }
        if let (Kind::Pattern { .. }, Some(text)) = (kind, self.value.as_str()) {
            let lower = text.to_lowercase();
            if self.pointer.ends_with("/statistic") {
                const STATISTICS: [&str; 6] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "IQM"];
                return nearest(text, STATISTICS).map(|near| format!("did you mean {near}?"));
            }
            if self.pointer == "/bake/image_pipeline/arn"
                && text.starts_with("arn:")
                && !text.contains(":image-pipeline/")
            {
                return Some("this ARN is not one of an image pipeline".to_owned());
            }
            if self.wants_name()
                && let Some(name) = as_name(&lower)
            {
                return Some(format!("write it as {name}"));
            }
            let compact: String = lower.split_whitespace().collect();
            if is_span && compact != text && compact.parse::<Span>().is_ok() {
                return Some(format!("write it as {compact}"));
            }
        }
        if self.pointer == "/version" {
            match kind {
                Kind::Maximum { .. } => return Some("a newer bakeline may read it".to_owned()),
                Kind::Minimum { .. } => {
                    return Some("write version: 2, and move each key as the messages below say".to_owned());
                }
                _ => {}
            }
        }
        match kind {
            Kind::Enum { options } => {
                let words = options.as_array().into_iter().flatten().filter_map(Value::as_str);
                nearest(self.value.as_str()?, words).map(|near| format!("did you mean {near}?"))
            }
            Kind::Type { .. } | Kind::Pattern { .. } => {
                example(&self.schemas).map(|example| format!("for example {example}"))
            }
            _ => None,
        }
    }
}

/// The boolean that a text is meant as: YAML 1.1 has more words for both, and quotes make a text of any.
fn as_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
