//! Equal events are written a few times in an interval and counted after that, so that a fault that recurs does not
//! drown the log.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grasp::protocol::Time;
use tracing::callsite::{DefaultCallsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::metadata::Kind;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

mod core;

pub use self::core::Limits;
use self::core::{Decision, Held, Repeats};

/// The span around a count that no event of its kind is there to bring along. It is made by hand, because it must be
/// there whatever levels are logged by then: what it counts was held back while it was to be logged.
static COUNT: Metadata<'static> = Metadata::new(
    "repeats",
    module_path!(),
    Level::ERROR,
    Some(file!()),
    Some(line!()),
    Some(module_path!()),
    FieldSet::new(&["asa", "role"], Identifier(&COUNT_CALLSITE)),
    Kind::SPAN,
);
static COUNT_CALLSITE: DefaultCallsite = DefaultCallsite::new(&COUNT);

/// Where time comes from: the time since some start.
pub(super) type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What makes two events the same; the level belongs to the callsite.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    callsite: Callsite,
    message: String,
    asa: String,
    role: String,
}

/// The place in the source that an event comes from.
#[derive(Debug)]
struct Callsite(&'static Metadata<'static>);

impl PartialEq for Callsite {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Callsite {}

impl Hash for Callsite {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.callsite().hash(hasher);
    }
}

/// The table of events seen; clones share it.
#[derive(Clone)]
pub(super) struct Table {
    repeats: Arc<Mutex<Repeats<Key>>>,
    clock: Clock,
}

impl Table {
    pub(super) fn new(limits: Limits, clock: Clock) -> Self {
        Self { repeats: Arc::new(Mutex::new(Repeats::new(limits))), clock }
    }

    /// Writes the counts of the intervals that have ended.
    pub(super) fn write_ended(&self) {
        let now = (self.clock)();
        let ended = self.lock().ended(now);
        ended.iter().for_each(write_count);
    }

    /// Writes every count, before the process ends.
    pub(super) fn write_all(&self) {
        let all = self.lock().all();
        all.iter().for_each(write_count);
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.lock().forgotten()
    }

    /// Nothing that is not ours runs while this is held: a panic is logged by the thread that panics.
    fn lock(&self) -> MutexGuard<'_, Repeats<Key>> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a count outside of any event, with the fields of its ASA and role, to the log of this thread.
fn write_count(held: &Held<Key>) {
    let Key { asa, role, .. } = &*held.key;
    let known = [asa, role].map(|text| Some(text as &dyn Value).filter(|_| !text.is_empty()));
    let span = Span::new_root(&COUNT, &COUNT.fields().value_set_all(&known));
    span.in_scope(|| with_count(held, |count| tracing::dispatcher::get_default(|log| log.event(count))));
}

/// Makes the event that tells a count, at the place and level of the event counted.
fn with_count(held: &Held<Key>, write: impl FnOnce(&Event<'_>)) {
    let metadata = held.key.callsite.0;
    let times = if held.times == 1 { "time" } else { "times" };
    let text = format!("{} … repeated {} {times}", held.key.message, held.times);
    // An event without a message tells it in its first field.
    let first = || metadata.fields().iter().next();
    let Some(message) = metadata.fields().field("message").or_else(first) else { return };
    let values = [(&message, Some(&text as &dyn Value))];
    write(&Event::new(metadata, &metadata.fields().value_set(&values)));
}

/// Hands to the layer within what is to be written.
pub(super) struct Limited<L> {
    table: Table,
    within: L,
}

impl<L> Limited<L> {
    pub(super) fn new(table: Table, within: L) -> Self {
        Self { table, within }
    }
}

impl<S, L> Layer<S> for Limited<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.within.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.within.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if context.lookup_current().is_some_and(|span| span.metadata().callsite() == COUNT.callsite()) {
            return self.within.on_event(event, context);
        }
        let metadata = event.metadata();
        let mut fields = Fields::around(event, &context);
        let [message, asa, role] = ["message", "asa", "role"].map(|name| fields.take_text(name));
        let key = Key { callsite: Callsite(metadata), message, asa, role };
        let now = (self.table.clock)();
        let Decision { before, write } = self.table.lock().event(now, key);
        if let Some(held) = before {
            with_count(&held, |count| self.within.on_event(count, context.clone()));
        }
        if write {
            self.within.on_event(event, context);
        }
    }
}
