//! The store: durable, never silently empty, and repairable.

mod model;
mod support;
