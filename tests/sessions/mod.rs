//! Negotiation and synchronization over real TCP, where bytes, segments and the ends of connections matter.

mod connections;
mod framing;
mod malformed;
mod negotiation;
mod node;
