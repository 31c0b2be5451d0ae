//! Attacks on real processes, and what SECURITY.md says of them.

mod document;
mod domain;
mod local;
mod outsider;
