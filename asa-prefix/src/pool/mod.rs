//! The pool: which blocks there are, and what has become of each.

pub mod record;
