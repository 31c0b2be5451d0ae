//! GRASP messages (RFC 8990, section 2.8) as bytes, built without the protocol crate.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv6Addr;

use ciborium::Value;

/// The flag of an objective used in discovery.
pub(crate) const F_DISC: u8 = 1;
/// The flag of an objective that supports negotiation.
pub(crate) const F_NEG: u8 = 1 << 1;
/// The flag of an objective that supports synchronization.
pub(crate) const F_SYNCH: u8 = 1 << 2;
/// The flag of a dry-run negotiation.
pub(crate) const F_NEG_DRY: u8 = 1 << 3;

/// The transport protocol number of TCP.
pub(crate) const TCP: u8 = 6;
/// The transport protocol number of UDP.
pub(crate) const UDP: u8 = 17;

/// A random session identifier.
pub(crate) fn sid() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// An objective; without a value it has three elements.
pub(crate) fn objective(name: &str, flags: u8, loop_count: u8, value: Option<Value>) -> Value {
    let mut elements = vec![Value::from(name), Value::from(flags), Value::from(loop_count)];
    elements.extend(value);
    Value::Array(elements)
}

/// An IPv6 locator option.
pub(crate) fn locator(address: Ipv6Addr, protocol: u8, port: u16) -> Value {
    array([103.into(), ip(address), protocol.into(), port.into()])
}

/// A FQDN locator option.
pub(crate) fn fqdn_locator(name: &str, protocol: u8, port: u16) -> Value {
    array([105.into(), name.into(), protocol.into(), port.into()])
}

/// A divert option.
pub(crate) fn divert(locators: Vec<Value>) -> Value {
    array(std::iter::once(100.into()).chain(locators))
}

pub(crate) fn noop() -> Vec<u8> {
    message([0.into()])
}

pub(crate) fn discovery(
    sid: u32,
    initiator: Ipv6Addr,
    name: &str,
    flags: u8,
    loop_count: u8,
    value: Option<Value>,
) -> Vec<u8> {
    message([1.into(), sid.into(), ip(initiator), objective(name, flags, loop_count, value)])
}

/// A response with its options (locators or a divert option) and, if given, the objective.
pub(crate) fn response(
    sid: u32,
    initiator: Ipv6Addr,
    ttl: u32,
    options: Vec<Value>,
    objective: Option<Value>,
) -> Vec<u8> {
    let head = [2.into(), sid.into(), ip(initiator), ttl.into()];
    message(head.into_iter().chain(options).chain(objective))
}

pub(crate) fn reqneg(sid: u32, objective: Value) -> Vec<u8> {
    message([3.into(), sid.into(), objective])
}

pub(crate) fn reqsyn(sid: u32, objective: Value) -> Vec<u8> {
    message([4.into(), sid.into(), objective])
}

pub(crate) fn neg(sid: u32, objective: Value) -> Vec<u8> {
    message([5.into(), sid.into(), objective])
}

pub(crate) fn end_accept(sid: u32) -> Vec<u8> {
    message([6.into(), sid.into(), array([101.into()])])
}

pub(crate) fn end_decline(sid: u32, reason: Option<&str>) -> Vec<u8> {
    let option = array(std::iter::once(102.into()).chain(reason.map(Value::from)));
    message([6.into(), sid.into(), option])
}

/// A wait for so many milliseconds.
pub(crate) fn wait(sid: u32, milliseconds: u32) -> Vec<u8> {
    message([7.into(), sid.into(), milliseconds.into()])
}

pub(crate) fn synch(sid: u32, objective: Value) -> Vec<u8> {
    message([8.into(), sid.into(), objective])
}

/// A flood of objectives, each with its locator or an empty array.
pub(crate) fn flood(sid: u32, initiator: Ipv6Addr, ttl: u32, objectives: Vec<(Value, Option<Value>)>) -> Vec<u8> {
    let head = [9.into(), sid.into(), ip(initiator), ttl.into()];
    let tagged = objectives.into_iter().map(|(objective, locator)| {
        let locator = locator.unwrap_or_else(|| array([]));
        array([objective, locator])
    });
    message(head.into_iter().chain(tagged))
}

pub(crate) fn invalid(sid: u32, content: Option<Value>) -> Vec<u8> {
    message([99.into(), sid.into()].into_iter().chain(content))
}

/// The array of these elements as bytes.
pub(crate) fn message(elements: impl IntoIterator<Item = Value>) -> Vec<u8> {
    encode(&array(elements))
}

/// An array value.
pub(crate) fn array(elements: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(elements.into_iter().collect())
}

/// An address as a byte string.
pub(crate) fn ip(address: Ipv6Addr) -> Value {
    Value::Bytes(address.octets().to_vec())
}

pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("encoding into memory");
    bytes
}

/// The one item the bytes hold.
///
/// # Panics
///
/// Panics when they are anything else than exactly one well-formed item.
pub(crate) fn decode(bytes: &[u8]) -> Value {
    let len = super::cbor::item_len(bytes);
    assert_eq!(len, Ok(bytes.len()), "not exactly one CBOR item: {}", to_hex(bytes));
    ciborium::from_reader(bytes).unwrap_or_else(|error| panic!("{error}: {}", to_hex(bytes)))
}

/// The bytes of hexadecimal digits; white space does not count.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits");
    let digit = |c: char| u8::try_from(c.to_digit(16).expect("a hexadecimal digit")).expect("below 16");
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
