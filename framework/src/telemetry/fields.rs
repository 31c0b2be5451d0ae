//! The fields of events and of the spans around them, as values.

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Bytes of one value; the rest is cut off and said to be. Much of it may come from peers.
const MAX_VALUE: usize = 4096;

/// Names with their values in the order in which they were first given; a name given again gets the newer value.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Those of the spans around an event, from the outermost inwards, and then its own.
    pub(super) fn around<S>(event: &Event<'_>, context: &Context<'_, S>) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut fields = Self::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Self(of_span)) = span.extensions().get() {
                of_span.iter().for_each(|(name, value)| fields.set(name, value.clone()));
            }
        }
        event.record(&mut fields);
        fields
    }

    /// Takes the value of a name out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let position = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(position).1)
    }

    /// Takes the value of a name out, as text; empty if there is none.
    pub(super) fn take_text(&mut self, name: &str) -> String {
        match self.take(name) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    fn set_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let mut cut = Cut { text: String::new(), lost: 0 };
        // A value that cannot be formatted is shown as far as it got.
        let _ = cut.write_fmt(text);
        if cut.lost > 0 {
            let _ = write!(cut.text, "… ({} bytes more)", cut.lost);
        }
        // Macros write `r#type` for a field named by a keyword.
        let name = field.name();
        self.set(name.strip_prefix("r#").unwrap_or(name), cut.text.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set_text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.set(field.name(), number.into()),
            None => self.set_text(field, format_args!("{value}")),
        }
    }
}

/// Text that takes no more than [`MAX_VALUE`] bytes, and counts the others.
struct Cut {
    text: String,
    lost: usize,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.lost > 0 { 0 } else { MAX_VALUE - self.text.len() };
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.lost = self.lost.saturating_add(text.len() - end);
        Ok(())
    }
}

/// Keeps the fields of each span with it, for the layers above.
pub(super) struct KeepFields;

impl<S> Layer<S> for KeepFields
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        // Formatting is the caller's code: it runs before the span is locked.
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut newer = Fields::default();
        values.record(&mut newer);
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            newer.0.into_iter().for_each(|(name, value)| fields.set(name, value));
        }
    }
}
