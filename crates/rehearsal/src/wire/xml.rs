//! Encoding of XML responses according to the model.

use bytes::Bytes;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::{Map, Value};

use super::super::call::ApiError;
use super::model::{Kind, Member, Model, Shape};
use super::text;

/// An XML document being written.
pub(super) struct Xml<'m> {
    model: &'m Model,
    writer: Writer<Vec<u8>>,
    failed: bool,
}

impl<'m> Xml<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        let mut writer = Writer::new(Vec::with_capacity(1024));
        let declared = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        Self { model, writer, failed: declared.is_err() }
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), ApiError> {
        if self.failed || self.writer.write_event(event).is_err() {
            return Err(ApiError::new("InternalFailure", "the answer could not be written").with_status(500));
        }
        Ok(())
    }

    pub(super) fn open_in(&mut self, name: &str, namespace: &str) -> Result<(), ApiError> {
        self.write(Event::Start(BytesStart::new(name).with_attributes([("xmlns", namespace)])))
    }

    pub(super) fn open(&mut self, name: &str) -> Result<(), ApiError> {
        self.write(Event::Start(BytesStart::new(name)))
    }

    pub(super) fn close(&mut self, name: &str) -> Result<(), ApiError> {
        self.write(Event::End(BytesEnd::new(name)))
    }

    pub(super) fn text(&mut self, name: &str, text: &str) -> Result<(), ApiError> {
        self.open(name)?;
        self.write(Event::Text(BytesText::new(text)))?;
        self.close(name)
    }

    pub(super) fn finish(self) -> Bytes {
        self.writer.into_inner().into()
    }

    pub(super) fn structure(&mut self, shape: &Shape, value: &Map<String, Value>) -> Result<(), ApiError> {
        for (name, member) in &shape.members {
            if let Some(inner) = value.get(name) {
                self.member(member.location_name.as_deref().unwrap_or(name), member, inner)?;
            }
        }
        Ok(())
    }

    fn member(&mut self, name: &str, member: &Member, value: &Value) -> Result<(), ApiError> {
        let Some(shape) = self.model.shape(&member.shape) else { return Ok(()) };
        match (shape.kind, value) {
            (_, Value::Null) => Ok(()),
            (Kind::Structure, Value::Object(inner)) => {
                self.open(name)?;
                self.structure(shape, inner)?;
                self.close(name)
            }
            (Kind::List, Value::Array(entries)) => self.list(name, member, shape, entries),
            (Kind::Map, Value::Object(entries)) => self.map(name, member, shape, entries),
            (Kind::Timestamp, Value::Number(n)) => {
                let date = n.as_f64().and_then(text::format_date).unwrap_or_default();
                self.text(name, &date)
            }
            (_, Value::String(text)) => self.text(name, text),
            (_, other) => self.text(name, &other.to_string()),
        }
    }

    fn list(
        &mut self,
        name: &str,
        member: &Member,
        shape: &Shape,
        entries: &[Value],
    ) -> Result<(), ApiError> {
        let Some(entry) = &shape.member else { return Ok(()) };
        if shape.flattened || member.flattened {
            let name = entry.location_name.as_deref().unwrap_or(name);
            return entries.iter().try_for_each(|value| self.member(name, entry, value));
        }
        self.open(name)?;
        let inner = entry.location_name.as_deref().unwrap_or("member");
        for value in entries {
            self.member(inner, entry, value)?;
        }
        self.close(name)
    }

    fn map(
        &mut self,
        name: &str,
        member: &Member,
        shape: &Shape,
        entries: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        let (Some(key), Some(value)) = (&shape.key, &shape.value) else { return Ok(()) };
        let flat = shape.flattened || member.flattened;
        if !flat {
            self.open(name)?;
        }
        let entry_name = if flat { name } else { "entry" };
        for (entry_key, entry_value) in entries {
            self.open(entry_name)?;
            self.text(key.location_name.as_deref().unwrap_or("key"), entry_key)?;
            self.member(value.location_name.as_deref().unwrap_or("value"), value, entry_value)?;
            self.close(entry_name)?;
        }
        if flat { Ok(()) } else { self.close(name) }
    }
}
