//! Nodes under each substrate, as an operator runs them: their processes, their files, what they say on the wire.

mod domain;
mod tls;
mod unprotected;
