//! The YAML form of an event: `{ at: 70m, cancel_build: {} }`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Value, json};

use super::super::one_of;
use super::super::span::Span;
use super::{ExternalEvent, ScheduledEvent};

/// Deserializes `at` and one other key, which names the event.
impl<'de> Deserialize<'de> for ScheduledEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor;

        impl<'de> Visitor<'de> for EventVisitor {
            type Value = ScheduledEvent;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`at` and one key that names an event, such as `cancel_build: {}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ScheduledEvent, A::Error> {
                let (mut at, mut event) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    if key == "at" {
                        if at.replace(map.next_value()?).is_some() {
                            return Err(A::Error::duplicate_field("at"));
                        }
                    } else if event.is_some() {
                        return Err(A::Error::custom(format_args!(
                            "an event has one key beside `at`, and `{key}` is a second one"
                        )));
                    } else {
                        event = Some(ExternalEvent::deserialize(one_of::Entry { key, map: &mut map })?);
                    }
                }
                let at = at.ok_or_else(|| A::Error::missing_field("at"))?;
                let event = event.ok_or_else(|| A::Error::custom("no key beside `at` names an event"))?;
                Ok(ScheduledEvent { at, event })
            }
        }

        deserializer.deserialize_map(EventVisitor)
    }
}

impl JsonSchema for ScheduledEvent {
    fn schema_name() -> Cow<'static, str> {
        "ScheduledEvent".into()
    }

    /// The JSON Schema: each variant of [`ExternalEvent`] with `at` beside its key.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = ExternalEvent::json_schema(generator);
        let at = json!({ "$ref": "#/$defs/Span", "description": "Time since the rehearsal began." });
        let _ = generator.subschema_for::<Span>();
        let variants = schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten();
        for variant in variants {
            if let Some(properties) = variant.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("at".into(), at.clone());
            }
            if let Some(required) = variant.get_mut("required").and_then(Value::as_array_mut) {
                required.push("at".into());
            }
        }
        schema
    }
}
