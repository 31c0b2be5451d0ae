//! How prefixes look on the wire.
