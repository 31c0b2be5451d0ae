//! divert
