//! How prefixes and their parameters look on the wire: bytes in, meaning out, and back.
//!
//! # Forms of a prefix
//!
//! One objective, and yet several shapes of its value. They never collide, so a value is read by its shape, without
//! any configuration, and answered in kind. `L` is a prefix length, `b16` and `b4` are byte strings of exactly 16 and 4
//! bytes without a bit set beyond `L`, and `PD` is a boolean (prefix delegation wanted).
//!
//! | Form | Who speaks it | Request | Offer |
//! |---|---|---|---|
//! | F1 | RFC 8992 section 5.1; IPv6 only | `[L]` | `[L, b16]` |
//! | F2 | RFC 8992 section 5.2, and this ASA when it asks | `[6, L]`, `[4, L]` | `[6, L, b16]`, `[4, L, b4]` |
//! | F3 | the Python program pfxm3 | `[6, L, null]`, `[4, L, null]` | that of F2 |
//! | F4 | drafts of RFC 8992 | `[6, PD, L]`, `[4, PD, L]`; older still, IPv6 only: `[PD, L]`; a null may follow | `[6, PD, L, b16]`, `[4, PD, L, b4]`; `[PD, L, b16]` |
//! | F5 | the Python program pfxm4, as `PrefixManagerT` | `54([L, z])`, `52([L, z])`: z is ceil(L/8) zero bytes | `54([L, p])`, `52([L, p])`: p is the first ceil(L/8) bytes |
//! | F6 | RFC 9164 to the letter | `54([L, h''])`, `52([L, h''])` | `54([L, p])`, `52([L, p])`: p is without zero bytes at its end |
//! | F7 | pfxm4 for some months of 2021 | `54(b)`, `52(b)`: b is the encoded `[address, L]` | the same; recognised and refused |
//! | F8 | any of these inside Tag 24 (RFC 8991 section 2.3.2.4) | `24(value)` | `24(value)`, only after a request in Tag 24 |
//!
//! The plain addresses of RFC 9164, `54(b16)` and `52(b4)`, are prefixes of full length; its interface form,
//! `54([address, L])`, is refused. What the two objectives differ in is how tags 52 and 54 are read, see [`Dialect`].
//!
//! # Parameters
//!
//! `PrefixManager.Params` carries a table of roles and their prefix lengths, see [`params`].

mod error;
mod form;
mod item;
pub mod params;
mod read;
mod write;

pub use error::{Found, WireError};
pub use form::{Dialect, Form, Shape};
pub use params::{Params, RoleParams};
pub use read::{Asked, Offered, read_offer, read_request};
pub use write::{write_offer, write_request};
