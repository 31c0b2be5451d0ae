//! `asa keys issue` and `asa keys renew`: a key and a certificate for a node.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use asa_authority::{AcpNodeName, Issued, NodeName, Request};
use serde_json::json;
use time::OffsetDateTime;

use super::domain::{CERTIFICATE, LIST, MAX_PEM, OpenDomain, refused, serial, validity};
use super::place::{self, Before, PUBLIC, SECRET, Staged, failed};
use super::register::{self, Entry, when};
use crate::cli::keys::{IssueArgs, RenewArgs};
use crate::control::{Shown, Trouble, json_line, look};

/// The files of a node.
struct Files {
    directory: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    anchors: PathBuf,
    revocations: PathBuf,
}

impl Files {
    /// Where the files of a node go; makes the directory if it is not there.
    fn of(node: &NodeName, out: Option<&Path>) -> Result<Self, Trouble> {
        let name = node.as_str();
        if name.starts_with('.') {
            return Err(Trouble::Failed(format!("node name {name:?}: its files would be hidden, or not be its own")));
        }
        if name.eq_ignore_ascii_case("domain") {
            return Err(Trouble::Failed(format!("node name {name:?}: its files would be those of the authority")));
        }
        let out = out.unwrap_or_else(|| Path::new(name));
        place::directory(out)?;
        let directory = fs::canonicalize(out).map_err(|error| failed(out, error))?;
        if directory.to_str().is_none() {
            return Err(failed(out, "a path that is no UTF-8 cannot stand in a manifest"));
        }
        let certificate = directory.join(format!("{name}.crt"));
        if place::is_open(&certificate, 0o002) {
            return Err(failed(out, "everybody may put files there; choose another directory with --out"));
        }
        Ok(Self {
            certificate,
            key: directory.join(format!("{name}.key")),
            anchors: directory.join(CERTIFICATE),
            revocations: directory.join(LIST),
            directory,
        })
    }
}

/// What is to be told of a certificate.
struct Told {
    entry: Entry,
    files: Files,
    notes: Vec<String>,
    new_key: bool,
    json: bool,
}

/// Makes a key and a certificate.
pub(super) fn issue(args: &IssueArgs, now: OffsetDateTime) -> Shown {
    let mut domain = OpenDomain::open(&args.place.directory, now)?;
    let own = || domain.register.entries.iter().filter(|entry| entry.node == args.node);
    if let Some(entry) = own().find(|entry| entry.is_live(now)) {
        let (node, until) = (&args.node, when(entry.until));
        let out = own().next_back().is_some_and(|newest| domain.register.is_out(newest));
        let remedy = if out { "asa keys revoke" } else { "use asa keys renew, or asa keys revoke" };
        let why = format!("{node} has a certificate until {until}; {remedy} before");
        return Err(failed(&args.place.directory, why));
    }
    alone(&domain, &args.place.directory, &args.node, now)?;
    let other = |entry: &&Entry| entry.name.address() == args.address && entry.is_live(now);
    if let Some(entry) = domain.register.entries.iter().find(other).filter(|_| args.address.is_some()) {
        return Err(failed(&args.place.directory, format!("{} has this address", entry.node)));
    }
    let name = AcpNodeName::new(args.address, args.rsub.clone(), domain.authority.domain().clone());
    let mut notes = Vec::new();
    if let Some(address) = args.address.filter(|address| address.octets()[0] != 0xfd) {
        notes.push(format!("{address} is no unique local address (fd00::/8), as RFC 8994 wants it"));
    }
    let request = request(&domain, args.node.clone(), name, args.days, now, &mut notes)?;
    let files = Files::of(&args.node, args.out.as_deref())?;
    let Issued { certificate, key } = domain.authority.issue(&request).map_err(refused)?;
    let mut staged = Staged::default();
    staged.add(files.key.clone(), &key, SECRET, Before::Nothing)?;
    staged.add(files.certificate.clone(), &certificate, PUBLIC, Before::Nothing)?;
    let entry = finish(&mut domain, request);
    deliver(domain, &files, staged, None, now)?;
    Ok(told(&Told { entry, files, notes, new_key: true, json: args.place.json }))
}

/// Makes another certificate for a node of the register.
pub(super) fn renew(args: &RenewArgs, now: OffsetDateTime) -> Shown {
    let mut domain = OpenDomain::open(&args.place.directory, now)?;
    let refuse = |why: String| Err(failed(&args.place.directory, why));
    let node = &args.node;
    let known = || domain.register.entries.iter().rev().filter(|entry| entry.node == *node);
    let Some(last) = known().next() else {
        return refuse(format!("the register has no node {node}; asa keys issue makes its first certificate"));
    };
    // One that has ended may be renewed; a node that was put out is let in again on purpose only.
    if domain.register.is_out(last) {
        let again = format!("asa keys issue {node} --out ANOTHER-DIRECTORY lets it in again, with a new key");
        return refuse(known().find(|entry| entry.is_live(now)).map_or_else(
            || format!("{node} is revoked; {again}"),
            |older| {
                let until = when(older.until);
                format!("{node} is revoked, but not an older certificate until {until}: asa keys revoke {node}; then {again}")
            },
        ));
    }
    alone(&domain, &args.place.directory, node, now)?;
    let mut notes = Vec::new();
    let request = request(&domain, args.node.clone(), last.name.clone(), args.days, now, &mut notes)?;
    let files = Files::of(&args.node, args.out.as_deref())?;
    let mut staged = Staged::default();
    if args.same_key {
        let old = place::read(&files.certificate, MAX_PEM)?;
        let certificate = domain.authority.renew(&request, &old).map_err(|error| failed(&files.certificate, error))?;
        unrevoked(&domain, &files.certificate, &old)?;
        staged.add(files.certificate.clone(), &certificate, PUBLIC, Before::Older)?;
    } else {
        let Issued { certificate, key } = domain.authority.issue(&request).map_err(refused)?;
        staged.add(files.key.clone(), &key, SECRET, Before::Older)?;
        staged.add(files.certificate.clone(), &certificate, PUBLIC, Before::Older)?;
    }
    let mut changed = None;
    if args.revoke_old {
        let old = domain.register.entries.iter_mut().filter(|entry| entry.node == args.node && entry.is_live(now));
        let count = old.map(|entry| entry.revoked = Some(now)).count();
        changed = Some(30);
        notes.push(format!("revoked: {count}; nodes hear of it when they have the new {LIST}"));
    }
    let entry = finish(&mut domain, request);
    deliver(domain, &files, staged, changed, now)?;
    Ok(told(&Told { entry, files, notes, new_key: !args.same_key, json: args.place.json }))
}

/// Two nodes whose names differ in upper and lower case only would have one name in the DNS.
fn alone(domain: &OpenDomain, directory: &Path, node: &NodeName, now: OffsetDateTime) -> Result<(), Trouble> {
    domain.register.namesake(node, now).map_or(Ok(()), |entry| {
        let (other, until) = (&entry.node, when(entry.until));
        let why = format!(
            "{node} and {other} differ in upper and lower case only, and {other} has a certificate until {until}; choose \
             another name, or asa keys revoke {other} before"
        );
        Err(failed(directory, why))
    })
}

/// A key goes on only if the certificate that it is taken from is known and not revoked.
fn unrevoked(domain: &OpenDomain, path: &Path, old: &str) -> Result<(), Trouble> {
    let items = asa_authority::inspect::inspect(old).map_err(|error| failed(path, error))?;
    let serial = items.iter().find_map(|item| match item {
        asa_authority::inspect::Item::Certificate(read) => Some(read.serial.clone()),
        asa_authority::inspect::Item::Key(_) | asa_authority::inspect::Item::Revocations(_) => None,
    });
    let entry = domain.register.entries.iter().find(|entry| Some(entry.serial.to_string()) == serial);
    match entry {
        Some(entry) if !domain.register.is_out(entry) => Ok(()),
        Some(entry) if entry.revoked.is_none() => {
            Err(failed(path, "its node was revoked after it ended, so its key cannot be kept; leave out --same-key"))
        }
        Some(_) => Err(failed(path, "it is revoked, so its key cannot be kept; leave out --same-key")),
        None => Err(failed(path, "the register does not know it")),
    }
}

fn request(
    domain: &OpenDomain,
    node: NodeName,
    name: AcpNodeName,
    days: u32,
    now: OffsetDateTime,
    notes: &mut Vec<String>,
) -> Result<Request, Trouble> {
    let (mut wanted, bounds) = (validity(now, days)?, domain.authority.validity());
    wanted.from = wanted.from.max(bounds.from);
    if wanted.until > bounds.until {
        wanted.until = bounds.until;
        notes.push(format!("the certificate ends on {}, with the authority itself", when(bounds.until)));
    }
    if node.in_dns(&name.domain).is_none() {
        notes.push(format!("{node} can be no name in the DNS, so the certificate has none"));
    }
    Ok(Request { node, name, serial: serial(), validity: wanted })
}

fn finish(domain: &mut OpenDomain, request: Request) -> Entry {
    let Request { node, name, serial, validity } = request;
    let entry = Entry { serial, node, name, from: validity.from, until: validity.until, revoked: None };
    domain.register.entries.push(entry.clone());
    entry
}

/// Adds what every node needs, and makes all of it durable.
fn deliver(
    mut domain: OpenDomain,
    files: &Files,
    mut staged: Staged,
    changed: Option<u32>,
    now: OffsetDateTime,
) -> Result<(), Trouble> {
    if domain.register.to_string().len() as u64 > register::FULL {
        return Err(failed(&domain.directory, "the register is full; found another domain"));
    }
    let (list, new) = domain.list(now, changed)?;
    let home = fs::canonicalize(&domain.directory).map_err(|error| failed(&domain.directory, error))?;
    if home != files.directory {
        let anchor = domain.authority.certificate();
        if fs::symlink_metadata(&files.anchors).is_err() {
            staged.add(files.anchors.clone(), anchor, PUBLIC, Before::Nothing)?;
        } else if *place::read(&files.anchors, MAX_PEM)? != anchor {
            return Err(failed(&files.anchors, "it is that of another authority; choose another directory with --out"));
        }
        staged.add(files.revocations.clone(), &list, PUBLIC, Before::Older)?;
    }
    domain.commit(new.then_some(list.as_str()), staged)
}

fn told(told: &Told) -> (String, u8) {
    let Told { entry, files, notes, new_key, json } = told;
    let (from, until) = (when(entry.from), when(entry.until));
    if *json {
        let done = json!({
            "node": entry.node.as_str(), "serial": entry.serial.to_string(), "acp_node_name": entry.name.to_string(),
            "from": from, "until": until, "new_key": new_key, "notes": notes,
            "files": { "certificate": files.certificate, "key": files.key, "anchors": files.anchors,
                       "revocations": files.revocations },
        });
        return (json_line(&done), 0);
    }
    let look = look();
    let shown = |path: &Path| look.shown(&path.display().to_string());
    let mut text =
        format!("{} is {}, with the serial number {}, until {until}\n", entry.node, entry.name, entry.serial);
    for note in notes {
        let _ = writeln!(text, "note: {}", look.shown(note));
    }
    let _ = writeln!(
        text,
        "Its files are in {}. Carry them to the node and keep {} from everybody else.\nThe manifest of the node needs:\n",
        shown(&files.directory),
        shown(Path::new(files.key.file_name().unwrap_or_default())),
    );
    text += "[grasp]\nsubstrate = \"tls\"\n\n[grasp.tls]\n";
    for (key, path) in [
        ("certificate", &files.certificate),
        ("key", &files.key),
        ("anchors", &files.anchors),
        ("revocations", &files.revocations),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(&path.to_string_lossy()));
    }
    (text, 0)
}

/// A string of TOML; what cannot stand in one, or moves a cursor, is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_comes_back_from_the_manifest() {
        for path in ["/a/b.crt", "/a \"b\"\\c", "/a\nb\t\u{7f}\u{9b}\u{1b}[2J", "/ä/'é'"] {
            let text = format!("certificate = {}\n", quoted(path));
            let read: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(read["certificate"].as_str(), Some(path));
            assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        }
    }
}
