//! The value of `PrefixManager.Params`: a table of roles and what each of them does by default (RFC 8992 section 6).
//!
//! It is written as in RFC 8992 section 6.1, an array with an array of pairs for every role:
//! `[[["role", "RSG"], ["prefix_length", 34]], ...]`. Other nodes may write it in other ways, see [`Params::read`].
//!
//! | Key | Value | Of whom |
//! |---|---|---|
//! | `role` | text of 1 to 64 bytes | RFC 8992 |
//! | `prefix_length` | 0 to 128 | RFC 8992: default length of an IPv6 prefix |
//! | `ipv4_prefix_length` | 0 to 32 | this ASA: default length of an IPv4 prefix |
//! | `request_more` | boolean | this ASA: whether a node of the role may ask peers for more space |
//! | `low_percent` | 0 to 100 | this ASA: it asks when less than this share of its space is free |
//!
//! Keys of this ASA are written only where they are set; the Python programs print them and otherwise ignore them.

mod choose;
mod read;

pub use choose::{Choice, choose};
pub use read::Read;

use super::WireError;
use ciborium::Value as Item;
use grasp::Value;
use grasp::constants::{GRASP_DEF_MAX_SIZE, MAX_MULTICAST_SIZE};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the objective.
pub const OBJECTIVE: &str = "PrefixManager.Params";

/// Most bytes of a value that is written.
///
/// RFC 8990 allows messages of 2048 bytes, but a flood is one multicast datagram of 1232. Around the value stand the
/// message, the objective and a locator: 82 bytes at most with an IPv6 or IPv4 locator; 50 are left for encryption.
pub const MAX_VALUE: usize = MAX_MULTICAST_SIZE - 132;

/// Most bytes of the name of a role.
pub const MAX_ROLE: usize = 64;

const ROLE: &str = "role";
const PREFIX_LENGTH: &str = "prefix_length";
const IPV4_PREFIX_LENGTH: &str = "ipv4_prefix_length";
const REQUEST_MORE: &str = "request_more";
const LOW_PERCENT: &str = "low_percent";

/// What nodes of a role do by default; `None` leaves it to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleParams {
    /// Length of the IPv6 prefix that a node of this role asks for, 0 to 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<u8>,
    /// Length of the IPv4 prefix that a node of this role asks for, 0 to 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix_length: Option<u8>,
    /// Whether it may ask its peers for more space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_more: Option<bool>,
    /// Percentage of free space below which it asks, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_percent: Option<u8>,
}

impl RoleParams {
    /// Only the length of an IPv6 prefix.
    #[must_use]
    pub const fn of_length(prefix_length: u8) -> Self {
        Self { prefix_length: Some(prefix_length), ipv4_prefix_length: None, request_more: None, low_percent: None }
    }

    /// The numbers that are set, with their keys and greatest values.
    fn numbers(&self) -> impl Iterator<Item = (&'static str, u8, u8)> {
        [
            (PREFIX_LENGTH, self.prefix_length, 128),
            (IPV4_PREFIX_LENGTH, self.ipv4_prefix_length, 32),
            (LOW_PERCENT, self.low_percent, 100),
        ]
        .into_iter()
        .filter_map(|(key, value, max)| Some((key, value?, max)))
    }
}

/// The table: roles are data, and any name will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(BTreeMap<String, RoleParams>);

/// Why parameters cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The table is too large to be flooded.
    #[error(
        "the table of {roles} roles takes {size} bytes; at most {MAX_VALUE} fit into a flood, which is one datagram of \
         {MAX_MULTICAST_SIZE} bytes (and no message may exceed {GRASP_DEF_MAX_SIZE}): name fewer roles, or shorter ones"
    )]
    TooLarge {
        /// Its roles.
        roles: usize,
        /// Its bytes.
        size: usize,
    },
    /// The name of a role is empty, too long, or not printable.
    #[error("the role {0} needs a name of 1 to {MAX_ROLE} printable bytes")]
    Role(String),
    /// A number is out of range.
    #[error("{key} of role {role} is {value}; the greatest is {max}")]
    Range {
        /// The role.
        role: String,
        /// The key.
        key: &'static str,
        /// Its value.
        value: u8,
        /// The greatest value it may have.
        max: u8,
    },
    /// The value has no form that is known.
    #[error("the value of {OBJECTIVE} is no table of roles: {0}")]
    NoTable(&'static str),
    /// The value is too long, or cannot be decoded.
    #[error("{0}")]
    Wire(#[from] WireError),
}

impl Default for Params {
    /// The example of RFC 8992 section 6.1: RSG 34, ASG 44, CSG 56.
    fn default() -> Self {
        [("RSG", 34), ("ASG", 44), ("CSG", 56)]
            .map(|(role, length)| (role.to_owned(), RoleParams::of_length(length)))
            .into_iter()
            .collect()
    }
}

impl FromIterator<(String, RoleParams)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, RoleParams)>>(roles: I) -> Self {
        Self(roles.into_iter().collect())
    }
}

impl Params {
    /// What nodes of a role do; `None` if the table does not have the role.
    #[must_use]
    pub fn role(&self, role: &str) -> Option<&RoleParams> {
        self.0.get(role)
    }

    /// All roles, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RoleParams)> {
        self.0.iter().map(|(role, params)| (role.as_str(), params))
    }

    /// Roles in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no role.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the table as in RFC 8992 section 6.1, shortest prefixes first, roles with the same length by name.
    ///
    /// # Errors
    ///
    /// [`ParamsError::TooLarge`], [`ParamsError::Role`] or [`ParamsError::Range`].
    pub fn write(&self) -> Result<Value, ParamsError> {
        let mut roles: Vec<_> = self.iter().collect();
        // Stable: the order of the names stays within a length; roles without one come last.
        roles.sort_by_key(|(_, params)| params.prefix_length.map_or(u16::MAX, u16::from));
        let entries = roles.into_iter().map(|(role, params)| entry(role, params)).collect::<Result<Vec<_>, _>>()?;
        // Arrays, texts and numbers can always be encoded.
        let value = Value::item(&Item::Array(entries)).map_err(|_| WireError::NotOneItem)?;
        match value.as_bytes().len() {
            size if size > MAX_VALUE => Err(ParamsError::TooLarge { roles: self.len(), size }),
            _ => Ok(value),
        }
    }
}

/// The array of pairs of one role.
fn entry(role: &str, params: &RoleParams) -> Result<Item, ParamsError> {
    if !named(role) {
        return Err(ParamsError::Role(read::quoted(role)));
    }
    if let Some((key, value, max)) = params.numbers().find(|(_, value, max)| value > max) {
        return Err(ParamsError::Range { role: role.to_owned(), key, value, max });
    }
    let pair = |key: &str, value: Item| Item::Array(vec![key.into(), value]);
    let mut pairs = vec![pair(ROLE, role.into())];
    pairs.extend(params.numbers().map(|(key, value, _)| pair(key, value.into())));
    pairs.extend(params.request_more.map(|more| pair(REQUEST_MORE, more.into())));
    Ok(Item::Array(pairs))
}

/// Whether a text can be the name of a role.
fn named(role: &str) -> bool {
    (1..=MAX_ROLE).contains(&role.len()) && !role.chars().any(char::is_control)
}
