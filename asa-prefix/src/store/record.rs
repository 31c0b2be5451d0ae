//! Records as the tables and the ledger hold them: a key, and what stands under it.

use crate::pool::record::{Deal, Part, Record, Source, State};
use crate::prefix::{Family, Prefix, Want};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// First byte of a value: how the rest is to be read.
const VERSION: u8 = 1;

/// What a record is about: of each there is at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Life,
    Aggregate(Prefix),
    Block(Prefix),
    Session(u64),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Life => f.write_str("the life"),
            Self::Aggregate(block) => write!(f, "aggregate {block}"),
            Self::Block(block) => write!(f, "block {block}"),
            Self::Session(number) => write!(f, "session {number}"),
        }
    }
}

impl Key {
    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Life(_) => Self::Life,
            Record::Aggregate { block, .. } => Self::Aggregate(*block),
            Record::Block { block, .. } => Self::Block(*block),
            Record::Session { number, .. } => Self::Session(*number),
        }
    }

    /// The key in its table: of fixed length, and in the order of addresses or numbers.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Life => b"life".to_vec(),
            Self::Aggregate(block) | Self::Block(block) => {
                let mut bytes = Vec::with_capacity(18);
                bytes.push(match block.family() {
                    Family::V4 => 4,
                    Family::V6 => 6,
                });
                bytes.extend(block.number().to_be_bytes());
                bytes.push(block.length());
                bytes
            }
            Self::Session(number) => number.to_be_bytes().to_vec(),
        }
    }

    /// The prefix that a key of a table stands for.
    pub(super) fn prefix(bytes: &[u8]) -> Result<Prefix, String> {
        let wrong = || format!("{bytes:02x?} is no key of a prefix");
        let (family, rest) = bytes.split_first().ok_or_else(wrong)?;
        let family = match family {
            4 => Family::V4,
            6 => Family::V6,
            _ => return Err(wrong()),
        };
        let (number, length) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let [length] = length else { return Err(wrong()) };
        let number = u128::from_be_bytes(*number);
        let address = match family {
            Family::V4 => std::net::Ipv4Addr::from(u32::try_from(number).map_err(|_| wrong())?).into(),
            Family::V6 => std::net::Ipv6Addr::from(number).into(),
        };
        Prefix::of(address, *length).filter(|prefix| prefix.number() == number).ok_or_else(wrong)
    }

    /// The number that a key of a table stands for.
    pub(super) fn session(bytes: &[u8]) -> Result<u64, String> {
        let number = bytes.try_into().map_err(|_| format!("{bytes:02x?} is no key of a session"))?;
        Ok(u64::from_be_bytes(number))
    }

    fn tag(self) -> u8 {
        match self {
            Self::Life => 0,
            Self::Aggregate(_) => 1,
            Self::Block(_) => 2,
            Self::Session(_) => 3,
        }
    }

    /// The record under this key.
    fn record<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        Ok(match self {
            Self::Life => Record::Life(Deserialize::deserialize(deserializer)?),
            Self::Block(block) => Record::Block { block, state: Deserialize::deserialize(deserializer)? },
            Self::Aggregate(block) => {
                let Given { source, withdrawn } = Deserialize::deserialize(deserializer)?;
                Record::Aggregate { block, source, withdrawn }
            }
            Self::Session(number) => {
                let Talk { deal, part, want, void, over } = Deserialize::deserialize(deserializer)?;
                Record::Session { number, deal, part, want, void, over }
            }
        })
    }

    /// Reads a value of a table.
    pub(super) fn decode(self, value: &[u8]) -> Result<Record, String> {
        let (version, mut cbor) = value.split_first().ok_or("an empty value")?;
        if *version != VERSION {
            return Err(format!("a value of version {version}; this version reads {VERSION}"));
        }
        let wrong = |error: ciborium::de::Error<std::io::Error>| error.to_string();
        // Most blocks of a large pool are free.
        let record = match self {
            Self::Block(block) if cbor == b"\x64free" => {
                cbor = &[];
                Record::Block { block, state: State::Free }
            }
            Self::Block(block) => Record::Block { block, state: ciborium::from_reader(&mut cbor).map_err(wrong)? },
            Self::Life => Record::Life(ciborium::from_reader(&mut cbor).map_err(wrong)?),
            Self::Aggregate(block) => {
                let Given { source, withdrawn } = ciborium::from_reader(&mut cbor).map_err(wrong)?;
                Record::Aggregate { block, source, withdrawn }
            }
            Self::Session(number) => {
                let Talk { deal, part, want, void, over } = ciborium::from_reader(&mut cbor).map_err(wrong)?;
                Record::Session { number, deal, part, want, void, over }
            }
        };
        if cbor.is_empty() { Ok(record) } else { Err(format!("{} bytes after the value", cbor.len())) }
    }
}

/// What of a record is not its key.
#[derive(Serialize)]
#[serde(untagged)]
enum Rest<'a> {
    Life(u64),
    State(&'a State),
    Given { source: &'a Source, withdrawn: bool },
    Talk { deal: &'a Deal, part: Part, want: Want, void: Option<Prefix>, over: bool },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    source: Source,
    withdrawn: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Talk {
    deal: Deal,
    part: Part,
    want: Want,
    void: Option<Prefix>,
    over: bool,
}

fn rest(record: &Record) -> Rest<'_> {
    match record {
        Record::Life(life) => Rest::Life(*life),
        Record::Block { state, .. } => Rest::State(state),
        Record::Aggregate { source, withdrawn, .. } => Rest::Given { source, withdrawn: *withdrawn },
        Record::Session { deal, part, want, void, over, .. } => {
            Rest::Talk { deal, part: *part, want: *want, void: *void, over: *over }
        }
    }
}

/// A value of a table.
pub(super) fn encode(record: &Record) -> Result<Vec<u8>, String> {
    let mut value = vec![VERSION];
    ciborium::into_writer(&rest(record), &mut value).map_err(|error| error.to_string())?;
    Ok(value)
}

/// Sum over a set of records, whatever their order; it shows that two copies of a set are the same, and changes with every
/// record. It guards against accidents, not against an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum(pub(super) u64);

impl Sum {
    /// Of one record: FNV-1a over its place, key and value, mixed so that sums of similar records do not cancel out.
    pub(super) fn of(key: Key, key_bytes: &[u8], value: &[u8]) -> Self {
        let bytes = std::iter::once(key.tag()).chain(key_bytes.iter().copied()).chain(value.iter().copied());
        let mut hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(hash ^ (hash >> 31))
    }

    pub(super) fn of_record(record: &Record) -> Result<Self, String> {
        let key = Key::of(record);
        Ok(Self::of(key, &key.bytes(), &encode(record)?))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
    }
}

/// What a batch made of one key. In JSON: `{"block":"2001:db8::/48","from":"free","to":{"granted":{...}}}`; without `from`
/// there was nothing before, without `to` there is nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) key: Key,
    pub(super) from: Option<Record>,
    pub(super) to: Option<Record>,
}

impl Serialize for Changed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.key {
            Key::Life => map.serialize_entry("pool", "life"),
            Key::Aggregate(block) => map.serialize_entry("aggregate", &block),
            Key::Block(block) => map.serialize_entry("block", &block),
            Key::Session(number) => map.serialize_entry("session", &number),
        }?;
        for (name, record) in [("from", &self.from), ("to", &self.to)] {
            if let Some(record) = record {
                map.serialize_entry(name, &rest(record))?;
            }
        }
        map.end()
    }
}

/// Reads what stands under a key.
impl<'de> DeserializeSeed<'de> for Key {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        self.record(deserializer)
    }
}

impl<'de> Deserialize<'de> for Changed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Change;

        impl<'de> Visitor<'de> for Change {
            type Value = Changed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change of a block, an aggregate, a session or the pool")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Changed, A::Error> {
                let first = map.next_key::<String>()?.unwrap_or_default();
                let key = match first.as_str() {
                    "pool" => map.next_value::<String>().map(|_| Key::Life)?,
                    "aggregate" => Key::Aggregate(map.next_value()?),
                    "block" => Key::Block(map.next_value()?),
                    "session" => Key::Session(map.next_value()?),
                    other => return Err(A::Error::unknown_field(other, &["pool", "aggregate", "block", "session"])),
                };
                let (mut from, mut to) = (None, None);
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "from" => from = Some(map.next_value_seed(key)?),
                        "to" => to = Some(map.next_value_seed(key)?),
                        other => return Err(A::Error::unknown_field(other, &["from", "to"])),
                    }
                }
                Ok(Changed { key, from, to })
            }
        }

        deserializer.deserialize_map(Change)
    }
}

impl Changed {
    /// About the bytes that it takes in a line, rather too many than too few.
    pub(super) fn weight(&self) -> usize {
        let weight = |record: &Option<Record>| match record {
            None | Some(Record::Life(_)) => 32,
            Some(Record::Aggregate { source: Source::Peer(dealt), .. }) => 192 + 6 * dealt.deal.peer.len(),
            Some(Record::Aggregate { .. }) => 192,
            Some(Record::Session { deal, .. }) => 320 + 6 * deal.peer.len(),
            Some(Record::Block { state, .. }) => {
                let peer = state.dealt().map_or(0, |dealt| dealt.deal.peer.len());
                256 + 6 * peer + 6 * state.lease().map_or(0, |lease| lease.client.len())
            }
        };
        64 + weight(&self.from) + weight(&self.to)
    }
}
