//! The store: durable, never silently empty, and repairable.

mod checks;
mod crash;
mod damage;
mod disk;
mod kill;
mod model;
mod support;
mod trail;
