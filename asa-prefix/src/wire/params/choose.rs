//! One table out of those that several sources flood.

use super::Params;
use super::read::{Read, quoted};
use grasp::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// The table that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The table; `None` if no copy has a usable one, and then what was known before stays.
    pub params: Option<Params>,
    /// Whose table it is; `None` also if its copy came without an address.
    pub source: Option<String>,
    /// What an operator has to know: sources that differ, or a configured source that is not heard.
    pub conflict: Option<String>,
    /// What was left out of the chosen table, and the sources whose tables are not usable.
    pub ignored: Vec<String>,
}

/// In the order of preference: addresses by number, then what is no address, then copies without a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Address(IpAddr),
    Name(String),
    Unknown,
}

impl Source {
    fn new(text: Option<&str>) -> Self {
        match text {
            None => Self::Unknown,
            // With a port if it comes from a locator.
            Some(text) => text
                .parse()
                .or_else(|_| text.parse().map(|at: SocketAddr| at.ip()))
                .map_or_else(|_| Self::Name(text.to_owned()), Self::Address),
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Address(address) => Some(address.to_string()),
            Self::Name(name) => Some(name.clone()),
            Self::Unknown => None,
        }
    }

    /// For humans.
    fn name(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(name) => quoted(name),
            Self::Unknown => "an unknown source".to_owned(),
        }
    }
}

/// Chooses among copies of the objective, each with the address of its source (the initiator of its flood).
///
/// The configured source counts if a usable table of it is there, otherwise the usable table of the lowest address does;
/// no order of arrival plays a part. If one source has several copies, the first of them counts, so the latest belongs
/// in front. A table is usable if it can be read and has at least one role.
#[must_use]
pub fn choose(copies: &[(Option<String>, Value)], configured: Option<&str>) -> Choice {
    let mut tables: BTreeMap<Source, Read> = BTreeMap::new();
    let mut ignored = Vec::new();
    let mut heard = BTreeSet::new();
    for (source, value) in copies {
        let source = Source::new(source.as_deref());
        if !heard.insert(source.clone()) {
            continue;
        }
        match Params::read(value) {
            Ok(read) if read.params.is_empty() => {
                ignored.push(format!("{}: the table has no usable role", source.name()));
            }
            Ok(read) => {
                tables.insert(source, read);
            }
            Err(error) => ignored.push(format!("{}: {error}", source.name())),
        }
    }
    let wanted = configured.map(|source| Source::new(Some(source)));
    let chosen = wanted.as_ref().filter(|source| tables.contains_key(source)).or_else(|| tables.keys().next()).cloned();
    let Some((source, read)) = chosen.and_then(|source| tables.remove_entry(&source)) else {
        let conflict = wanted.map(|wanted| format!("the configured source {} has no usable table", wanted.name()));
        return Choice { params: None, source: None, conflict, ignored };
    };
    let mut conflicts = Vec::new();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != source) {
        let instead = source.name();
        conflicts
            .push(format!("the configured source {} has no usable table, that of {instead} counts", wanted.name()));
    }
    let others: Vec<_> =
        tables.iter().filter(|(_, other)| other.params != read.params).map(|(other, _)| other).collect();
    if let Some(first) = others.first() {
        let more = match others.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let (first, counts) = (first.name(), source.name());
        conflicts.push(format!("the table of {first}{more} differs from that of {counts}, which counts"));
    }
    ignored.splice(0..0, read.ignored);
    let conflict = (!conflicts.is_empty()).then(|| conflicts.join("; "));
    Choice { params: Some(read.params), source: source.text(), conflict, ignored }
}
