//! Bytes to messages and back (RFC 8990 §2.8 and §4). Pure: no clock, no socket, no allocation beyond the message size.
//!
//! Objective values stay the bytes that crossed the wire; only an ASA decodes them.

mod decode;
mod diagnostic;
mod encode;
mod error;
mod frame;
mod locator;
mod message;
mod relay;
mod scan;
mod value;

pub use decode::{Limits, decode};
pub use diagnostic::diagnostic;
pub use error::{DecodeError, Rule};
pub use frame::Framer;
pub use locator::{Locator, Transport};
pub use message::{Answer, EndOption, Flags, Message, MessageType, Objective, SessionId, TaggedObjective};
pub use relay::{LoopCountError, with_loop_count};
pub use scan::item_end;
pub use value::{Form, Value, ValueError};
