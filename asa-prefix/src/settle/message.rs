//! The values of the private objectives.

use crate::prefix::{Family, Prefix};
use ciborium::Value as Item;
use grasp::Value;
use std::net::IpAddr;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The taker asks.
    Took,
    /// The provider asks.
    Gave,
    /// The block has changed hands.
    Moved,
    /// It has not.
    Kept,
    /// It comes back.
    Return,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Took, Self::Gave, Self::Moved, Self::Kept, Self::Return];

    fn text(self) -> &'static str {
        match self {
            Self::Took => "took",
            Self::Gave => "gave",
            Self::Moved => "moved",
            Self::Kept => "kept",
            Self::Return => "return",
        }
    }
}

/// A value that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not [verb, session id, 6 or 4, length, address]: {0}")]
pub struct MessageError(String);

/// A value of either objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// What is said.
    pub verb: Verb,
    /// The session that it is about.
    pub session: u32,
    /// The block that it is about.
    pub block: Prefix,
}

impl Message {
    /// Writes it.
    #[must_use]
    pub fn write(&self) -> Value {
        let (version, address) = match self.block.address() {
            IpAddr::V4(address) => (4, address.octets().to_vec()),
            IpAddr::V6(address) => (6, address.octets().to_vec()),
        };
        let items = vec![
            Item::Text(self.verb.text().into()),
            Item::Integer(self.session.into()),
            Item::Integer(version.into()),
            Item::Integer(self.block.length().into()),
            Item::Bytes(address),
        ];
        crate::delegator::write(&Item::Array(items))
    }

    /// Reads one; surplus items are ignored.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn read(value: &Value) -> Result<Self, MessageError> {
        let wrong = |what: &str| MessageError(what.to_owned());
        let items: Vec<Item> = value.decode().map_err(|_| wrong("no array"))?;
        let [verb, session, version, length, address, ..] = items.as_slice() else {
            return Err(wrong("fewer than five items"));
        };
        let text = verb.as_text().unwrap_or_default();
        let verb = Verb::ALL.into_iter().find(|verb| verb.text() == text).ok_or_else(|| wrong("no such verb"))?;
        let number = |item: &Item| item.as_integer().and_then(|number| u32::try_from(number).ok());
        let session = number(session).ok_or_else(|| wrong("the session id is not one"))?;
        let bytes = address.as_bytes().map(Vec::as_slice).unwrap_or_default();
        let (family, address): (Family, IpAddr) = match number(version) {
            Some(4) => (Family::V4, <[u8; 4]>::try_from(bytes).map_err(|_| wrong("not 4 bytes"))?.into()),
            Some(6) => (Family::V6, <[u8; 16]>::try_from(bytes).map_err(|_| wrong("not 16 bytes"))?.into()),
            _ => return Err(wrong("the version is neither 4 nor 6")),
        };
        let length = number(length).and_then(|length| u8::try_from(length).ok());
        let length = length.filter(|length| *length <= family.bits()).ok_or_else(|| wrong("no such length"))?;
        let block = Prefix::of(address, length).filter(|block| block.address() == address);
        let block = block.ok_or_else(|| wrong("bits are set beyond the length"))?;
        Ok(Self { verb, session, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (verb, block) in Verb::ALL.into_iter().zip(["::/0", "2001:db8::/32", "10.0.0.0/8", "::1", "192.0.2.1"]) {
            let message = Message { verb, session: u32::MAX, block: block.parse().unwrap() };
            assert_eq!(Message::read(&message.write()), Ok(message));
        }
    }

    /// PM-X-05
    #[test]
    fn what_is_not_ours_is_refused() {
        let wrong: [(&str, Item); 6] = [
            ("no array", Item::Null),
            ("fewer", Item::Array(vec![Item::Text("took".into())])),
            ("verb", array("take", 1, 6, 64, &[0; 16])),
            ("neither", array("took", 1, 5, 64, &[0; 16])),
            ("length", array("took", 1, 4, 33, &[0; 4])),
            ("beyond", array("took", 1, 4, 8, &[10, 1, 0, 0])),
        ];
        for (why, item) in wrong {
            let error = Message::read(&Value::item(&item).unwrap()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    fn array(verb: &str, session: u32, version: u8, length: u8, address: &[u8]) -> Item {
        let integers = [session, version.into(), length.into()].map(|number| Item::Integer(number.into()));
        let mut items = vec![Item::Text(verb.into())];
        items.extend(integers);
        items.push(Item::Bytes(address.to_vec()));
        Item::Array(items)
    }
}
