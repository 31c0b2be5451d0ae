//! Reading tables of parameters in all the forms that are around.

use super::super::item;
use super::{
    IPV4_PREFIX_LENGTH, LOW_PERCENT, PREFIX_LENGTH, Params, ParamsError, REQUEST_MORE, ROLE, RoleParams, named,
};
use crate::wire::{Found, WireError};
use ciborium::Value as Item;
use grasp::Value;
use std::collections::BTreeMap;

/// Most remarks that are kept about one value.
const MAX_REMARKS: usize = 16;
/// Most characters of a peer's text that are repeated in a remark.
const MAX_QUOTED: usize = 32;

/// A table as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Everything that made sense; it may be empty.
    pub params: Params,
    /// What was left out and why, at most 17 short lines that are fit to be logged.
    pub ignored: Vec<String>,
}

impl Params {
    /// Reads a table, bare or inside Tag 24, in any of these forms. Numbers may be integers or decimal text.
    ///
    /// | Form | Value |
    /// |---|---|
    /// | V1 | `[[["role", r], ["prefix_length", n]], ...]` (RFC 8992 section 6.1, and what [`Params::write`] writes) |
    /// | V2 | JSON text of V1 or of any below, in a text or byte string |
    /// | V3 | `[{"role": r, "prefix_length": n}, ...]` |
    /// | V4 | `{r: {"prefix_length": n}, ...}` |
    /// | V5 | `[{"role": [{"role_name": r}, {"role_characteristic": [{"prefix_length": "n"}]}]}, ...]` (first draft) |
    ///
    /// Keys that are unknown and values that are out of range are left out, and the rest of the entry stays; of roles and
    /// keys that come twice the first one counts. Which roles there are is for the reader of the table to know.
    ///
    /// # Errors
    ///
    /// [`ParamsError::Wire`] if the value cannot be decoded, [`ParamsError::NoTable`] if it is neither array nor map.
    pub fn read(value: &Value) -> Result<Read, ParamsError> {
        let (bytes, embedded) = item::unwrap(value)?;
        let item = match item::decode(&bytes) {
            Some(Item::Text(text)) => json(text.as_bytes())?,
            Some(Item::Bytes(text)) => json(&text)?,
            Some(item) => item,
            // A Python peer puts a byte string into Tag 24 if no more than its beginning decodes.
            None if embedded => json(&bytes)?,
            None => return Err(WireError::NotOneItem.into()),
        };
        let mut table = Table::default();
        if let Some(entries) = item.as_array() {
            entries.iter().enumerate().for_each(|(at, entry)| table.listed(at + 1, entry));
        } else if let Some(roles) = item.as_map() {
            roles.iter().for_each(|(role, params)| table.keyed(role, params));
        } else {
            return Err(ParamsError::NoTable("neither an array nor a map"));
        }
        Ok(table.finish())
    }
}

/// JSON as the items it stands for.
fn json(text: &[u8]) -> Result<Item, ParamsError> {
    // The parser bounds the depth, and the size of the value bounds the rest.
    let json: serde_json::Value =
        serde_json::from_slice(text).map_err(|_| ParamsError::NoTable("a string without JSON"))?;
    Item::serialized(&json).map_err(|_| ParamsError::NoTable("JSON that cannot be understood"))
}

/// The table while it is read.
#[derive(Default)]
struct Table {
    roles: BTreeMap<String, RoleParams>,
    remarks: Vec<String>,
    more: usize,
}

impl Table {
    fn finish(mut self) -> Read {
        if self.more > 0 {
            self.remarks.push(format!("and {} more", self.more));
        }
        Read { params: Params(self.roles), ignored: self.remarks }
    }

    fn ignore(&mut self, remark: String) {
        if self.remarks.len() < MAX_REMARKS {
            self.remarks.push(remark);
        } else {
            self.more += 1;
        }
    }

    /// An entry of V1, V3 or V5: the role is one of its pairs.
    fn listed(&mut self, number: usize, entry: &Item) {
        let pairs = pairs(entry);
        match pairs.iter().find(|(key, _)| key.as_text() == Some(ROLE)).and_then(|(_, role)| role.as_text()) {
            Some(role) => self.role(role, &pairs),
            None => self.ignore(format!("entry {number}: no role")),
        }
    }

    /// An entry of V4.
    fn keyed(&mut self, role: &Item, params: &Item) {
        match role.as_text() {
            Some(role) => self.role(role, &pairs(params)),
            None => self.ignore(format!("expected the name of a role, found {}", Found::from(role))),
        }
    }

    fn role(&mut self, role: &str, pairs: &[(&Item, &Item)]) {
        let name = quoted(role);
        if !named(role) {
            return self.ignore(format!("role {name}: not a name"));
        }
        if self.roles.contains_key(role) {
            return self.ignore(format!("role {name}: comes twice"));
        }
        let mut params = RoleParams::default();
        for (key, value) in pairs {
            let refused = match key.as_text() {
                Some(ROLE) => Ok(()),
                Some(PREFIX_LENGTH) => number(&mut params.prefix_length, value, 128),
                Some(IPV4_PREFIX_LENGTH) => number(&mut params.ipv4_prefix_length, value, 32),
                Some(LOW_PERCENT) => number(&mut params.low_percent, value, 100),
                Some(REQUEST_MORE) => match value.as_bool() {
                    Some(more) => first(&mut params.request_more, more),
                    None => Err(format!("expected true or false, found {}", Found::from(*value))),
                },
                Some(_) => Err("unknown".to_owned()),
                None => Err("not a text".to_owned()),
            };
            if let Err(reason) = refused {
                let key = key.as_text().map_or_else(|| Found::from(*key).to_string(), quoted);
                self.ignore(format!("role {name}: key {key}: {reason}"));
            }
        }
        if params == RoleParams::default() {
            return self.ignore(format!("role {name}: no usable parameter"));
        }
        self.roles.insert(role.to_owned(), params);
    }
}

/// The pairs of an entry, whichever way they are written; those of V5 with the names they have elsewhere.
fn pairs(entry: &Item) -> Vec<(&Item, &Item)> {
    if let Some(items) = entry.as_array() {
        return items.iter().filter_map(pair).collect();
    }
    match entry.as_map().map(Vec::as_slice) {
        Some([(key, Item::Array(parts))]) if key.as_text() == Some(ROLE) => first_draft(key, parts),
        Some(map) => map.iter().map(|(key, value)| (key, value)).collect(),
        None => Vec::new(),
    }
}

fn pair(item: &Item) -> Option<(&Item, &Item)> {
    match item.as_array()?.as_slice() {
        [key, value] => Some((key, value)),
        _ => None,
    }
}

/// V5: `role` is the key "role".
fn first_draft<'a>(role: &'a Item, parts: &'a [Item]) -> Vec<(&'a Item, &'a Item)> {
    let maps = |items: &'a [Item]| items.iter().filter_map(Item::as_map).flatten();
    let mut pairs = Vec::new();
    for (key, value) in maps(parts) {
        match (key.as_text(), value.as_array()) {
            (Some("role_name"), _) => pairs.push((role, value)),
            (Some("role_characteristic"), Some(parts)) => pairs.extend(maps(parts).map(|(key, value)| (key, value))),
            _ => pairs.push((key, value)),
        }
    }
    pairs
}

/// Sets a number from an integer or from decimal text.
fn number(place: &mut Option<u8>, item: &Item, max: u8) -> Result<(), String> {
    let number = match (item.as_integer(), item.as_text()) {
        (Some(number), _) => u8::try_from(number).ok(),
        (None, Some(text)) if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    match number.filter(|number| *number <= max) {
        Some(number) => first(place, number),
        None => {
            let found = item.as_text().map_or_else(|| Found::from(item).to_string(), quoted);
            Err(format!("expected 0 to {max}, found {found}"))
        }
    }
}

fn first<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    match place {
        Some(_) => Err("comes twice".to_owned()),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// A peer's text in quotes, short and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_QUOTED).collect();
    let rest = if chars.next().is_some() { "..." } else { "" };
    format!("{start:?}{rest}")
}
