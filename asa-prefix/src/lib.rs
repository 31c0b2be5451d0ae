//! Prefix management (RFC 8992); not implemented yet.
