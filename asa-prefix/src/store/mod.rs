//! Where the pool keeps its truth.
