//! The register of a domain: which certificates there are. One line each, to be read by people too.

use std::fmt;

use asa_authority::{AcpNodeName, Domain, NodeName, Serial};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::control::text::moment;

/// The first line: what it is, and the version of its form.
const HEAD: &str = "asa-register 1";
/// What follows it, for readers.
const LEGEND: &str = "# certificate SERIAL NODE ACP-NODE-NAME FROM UNTIL REVOKED";
/// Octets of a register, at most: more than ten thousand certificates with the longest names.
pub(super) const MAX: u64 = 8 << 20;
/// Octets beyond which no certificate is added: what is there can still be revoked, which makes a line longer.
pub(super) const FULL: u64 = MAX / 4 * 3;

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) serial: Serial,
    pub(super) node: NodeName,
    pub(super) name: AcpNodeName,
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
    /// When it was revoked, if it was.
    pub(super) revoked: Option<OffsetDateTime>,
}

impl Entry {
    /// Tells whether nodes accept it.
    pub(super) fn is_live(&self, now: OffsetDateTime) -> bool {
        self.revoked.is_none() && now <= self.until
    }
}

/// The certificates of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) domain: Domain,
    /// The number of the newest revocation list.
    pub(super) list: u64,
    pub(super) entries: Vec<Entry>,
}

impl Register {
    pub(super) const fn new(domain: Domain) -> Self {
        Self { domain, list: 1, entries: Vec::new() }
    }

    /// Tells whether the holder of an entry was put out: it is revoked itself, or the node was revoked when it had ended already,
    /// which leaves it unmarked.
    pub(super) fn is_out(&self, entry: &Entry) -> bool {
        let after = |other: &Entry| other.node == entry.node && other.revoked.is_some_and(|at| at >= entry.until);
        entry.revoked.is_some() || self.entries.iter().any(after)
    }

    /// The certificate that nodes accept and whose node has another name with the same letters: names in the DNS, and files on
    /// some systems, are the same in upper and lower case.
    pub(super) fn namesake(&self, node: &NodeName, now: OffsetDateTime) -> Option<&Entry> {
        let same = |other: &NodeName| other != node && other.as_str().eq_ignore_ascii_case(node.as_str());
        self.entries.iter().find(|entry| same(&entry.node) && entry.is_live(now))
    }

    /// Reads a register; says in which line it is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        if lines.next().map(|(_, line)| line) != Some(HEAD) {
            return Err(format!("line 1: expected {HEAD:?}; this is no register, or of another version of asa"));
        }
        if !text.ends_with('\n') {
            return Err("the last line is not whole".to_owned());
        }
        let (mut domain, mut list, mut entries) = (None, None, Vec::<Entry>::new());
        let mut serials = std::collections::BTreeSet::new();
        for (index, line) in lines {
            let at = |why: String| format!("line {}: {why}", index + 1);
            let words: Vec<&str> = line.split(' ').collect();
            match &words[..] {
                ["domain", name] if domain.is_none() => {
                    domain = Some(name.parse::<Domain>().map_err(|error| at(error.to_string()))?);
                }
                ["list", number] if list.is_none() => {
                    let number: u64 = number.parse().map_err(|_| at("expected the number of a list".to_owned()))?;
                    list = Some(number);
                }
                ["certificate", words @ ..] => {
                    let entry = entry(words).map_err(at)?;
                    if Some(&entry.name.domain) != domain.as_ref() {
                        return Err(at(format!("{} is not in the domain of the register", entry.name)));
                    }
                    if !serials.insert(entry.serial) {
                        return Err(at(format!("the serial number {} is there twice", entry.serial)));
                    }
                    entries.push(entry);
                }
                _ => return Err(at("expected domain, list or certificate with what belongs to it".to_owned())),
            }
        }
        let domain = domain.ok_or("it names no domain")?;
        let list = list.ok_or("it has no number of a list")?;
        Ok(Self { domain, list, entries })
    }
}

fn entry(words: &[&str]) -> Result<Entry, String> {
    let [serial, node, name, from, until, revoked] = words else {
        return Err(format!("expected 6 words after certificate, not {}", words.len()));
    };
    let time = |text: &str| {
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "expected a time such as 2026-11-21T16:00:00Z".to_owned())
    };
    Ok(Entry {
        serial: serial.parse().map_err(|error: asa_authority::Error| error.to_string())?,
        node: node.parse().map_err(|error: asa_authority::names::NameError| error.to_string())?,
        name: name.parse().map_err(|error: asa_authority::names::NameError| error.to_string())?,
        from: time(from)?,
        until: time(until)?,
        revoked: if *revoked == "-" { None } else { Some(time(revoked)?) },
    })
}

/// A time as RFC 3339, to the second.
pub(super) fn when(at: OffsetDateTime) -> String {
    #[allow(clippy::cast_precision_loss, reason = "seconds of any year that can be written are far below 2^52")]
    let seconds = at.unix_timestamp() as f64;
    moment(seconds)
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\ndomain {}\nlist {}\n{LEGEND}", self.domain, self.list)?;
        for Entry { serial, node, name, from, until, revoked } in &self.entries {
            let (from, until) = (when(*from), when(*until));
            let revoked = revoked.map_or_else(|| "-".to_owned(), when);
            writeln!(f, "certificate {serial} {node} {name} {from} {until} {revoked}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "asa-register 1\ndomain a.b\nlist 3\n# a remark\n\
        certificate 40000000000000000000000000000001 north 0@a.b 2026-11-21T16:00:00Z 2027-11-21T16:00:00Z -\n\
        certificate 40000000000000000000000000000002 south 0+c@a.b 2026-11-21T16:00:00Z 2027-11-21T16:00:00Z 2026-12-01T00:00:00Z\n";

    #[test]
    fn a_register_comes_back_as_it_was_written() {
        let read = Register::parse(GOOD).unwrap();
        assert_eq!((read.list, read.entries.len(), read.entries[1].node.as_str()), (3, 2, "south"));
        assert_eq!(read.to_string(), GOOD.replace("# a remark", LEGEND));
        assert_eq!(Register::parse(&read.to_string()).unwrap(), read);
        let new = Register::new("a.b".parse().unwrap());
        assert_eq!(Register::parse(&new.to_string()).unwrap(), new);
    }

    #[test]
    fn what_is_wrong_in_a_register_is_told_with_its_line() {
        for (from, to, why) in [
            ("asa-register 1", "asa-register 2", "line 1"),
            ("domain a.b", "domain ../a", "line 2: domain"),
            ("domain a.b", "domain c.d", "line 5: 0@a.b is not in the domain"),
            ("domain a.b\n", "", "line 4: 0@a.b is not in the domain"),
            ("list 3\n", "", "no number of a list"),
            ("list 3", "list -3", "line 3"),
            ("north", "../north", "line 5: node name"),
            ("0@a.b", "0a@a.b", "line 5: acp-node-name"),
            ("0000002 south", "0000001 south", "line 6: the serial number"),
            ("4000000000000000000000000000000", "f000000000000000000000000000000", "line 5"),
            ("Z -", "Z", "line 5: expected 6 words after certificate, not 5"),
            ("Z -", "Z yesterday", "line 5: expected a time"),
            ("list 3", "list 3\nlist 4", "line 4: expected domain"),
            ("00Z\n", "00Z", "the last line is not whole"),
        ] {
            let text = GOOD.replacen(from, to, usize::MAX);
            let error = Register::parse(&text).unwrap_err();
            assert!(error.contains(why), "{from} -> {to}: {error}");
        }
        assert!(Register::parse("").is_err());
    }
}
