//! Prefix management (RFC 8992): an ASA that obtains, holds and gives away blocks of IPv6 and IPv4 addresses.

pub mod class;
mod decimal;
pub mod delegator;
pub mod desk;
pub mod forecast;
pub mod need;
pub mod negotiate;
pub mod plausible;
pub mod pool;
pub mod prefix;
pub mod settle;
pub mod space;
pub mod store;
pub mod wire;

pub use class::{CLASSES, PrefixManager};
