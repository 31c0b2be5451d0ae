//! The directory of a domain: `domain.crt`, `domain.key`, `revoked.crl` and `register`.
//!
//! The register comes first: what it says is issued or revoked may not have reached another file when the machine stops, but
//! nothing is anywhere that it does not know. It has the number of the newest revocation list, so that a list that lags behind
//! is found and made again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use asa_authority::inspect::{Item, inspect};
use asa_authority::{Authority, Domain, Revocations, Revoked, Serial, Validity, verify};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::place::{self, Before, PUBLIC, SECRET, Staged, failed};
use super::register::{self, Register, when};
use crate::cli::keys::InitArgs;
use crate::control::{Shown, Trouble, json_line, look};

/// The certificate of the authority: the anchor of the domain.
pub(super) const CERTIFICATE: &str = "domain.crt";
/// The key of the authority.
pub(super) const KEY: &str = "domain.key";
/// The revocation list.
pub(super) const LIST: &str = "revoked.crl";
/// The register.
pub(super) const REGISTER: &str = "register";
/// Octets of a PEM file that is read, at most.
pub(super) const MAX_PEM: u64 = 8 << 20;
/// Days for which nodes may rely on a list that is made by the way.
const LIST_DAYS: u32 = 30;
/// A list that ends sooner is made again whenever the authority is at work.
const LIST_MARGIN: Duration = Duration::days(7);
/// Revoked certificates stay in the list for so long after their end: clocks differ.
const AFTERWARDS: Duration = Duration::days(1);
/// Certificates are valid from a little before they are made: clocks of nodes may be slow.
pub(super) const SLOW_CLOCKS: Duration = Duration::hours(1);

/// A serial number that nobody has used.
pub(super) fn serial() -> Serial {
    Serial::from_random(rand::random())
}

/// From a little before now until so many days from now.
pub(super) fn validity(now: OffsetDateTime, days: u32) -> Result<Validity, Trouble> {
    let until = now.checked_add(Duration::days(days.into()));
    let until = until.ok_or_else(|| Trouble::Failed(format!("{days} days from now is no time that can be written")))?;
    Ok(Validity { from: now - SLOW_CLOCKS, until })
}

/// What the library of the authority says.
pub(super) fn refused(error: asa_authority::Error) -> Trouble {
    Trouble::Failed(error.to_string())
}

/// Founds a domain.
pub(super) fn init(args: &InitArgs, now: OffsetDateTime) -> Shown {
    let target = &args.place.directory;
    let occupied = fs::read_dir(target).map(|mut entries| entries.next().is_some()).unwrap_or(false);
    if occupied || fs::symlink_metadata(target).is_ok_and(|about| !about.is_dir()) {
        return Err(failed(target, "something is there already; it stays as it is"));
    }
    let Some(name) = target.file_name() else {
        return Err(failed(target, "expected the name of a directory that is to be made"));
    };
    let (authority, key) =
        Authority::create(args.domain.clone(), serial(), validity(now, args.days)?).map_err(refused)?;
    let register = Register::new(args.domain.clone());
    let list = list(&authority, &register, now, LIST_DAYS)?;
    // The directory gets its name when everything is in it.
    let hidden = format!(".{}.{:016x}", name.to_string_lossy(), rand::random::<u64>());
    let building = Building(target.with_file_name(hidden));
    place::directory(&building.0)?;
    let mut files = Staged::default();
    files.add(building.0.join(KEY), &key, SECRET, Before::Nothing)?;
    files.add(building.0.join(CERTIFICATE), authority.certificate(), PUBLIC, Before::Nothing)?;
    files.add(building.0.join(LIST), &list, PUBLIC, Before::Nothing)?;
    files.add(building.0.join(REGISTER), &register.to_string(), SECRET, Before::Nothing)?;
    files.commit()?;
    // An empty directory gives way, a full one does not.
    fs::rename(&building.0, target).map_err(|error| failed(target, error))?;
    let parent = target.parent().unwrap_or_else(|| Path::new(""));
    place::sync(parent).map_err(|error| failed(parent, error))?;
    let until = when(authority.validity().until);
    if args.place.json {
        let done = json!({
            "domain": args.domain.as_str(), "directory": target, "until": until,
            "files": { "certificate": target.join(CERTIFICATE), "key": target.join(KEY), "revocations": target.join(LIST),
                       "register": target.join(REGISTER) },
        });
        return Ok((json_line(&done), 0));
    }
    let shown = look().shown(&target.display().to_string());
    let domain = &args.domain;
    let text = format!(
        "the authority of {domain} is in {shown}, valid until {until}\n\
         Whoever has {KEY} can let any node into the domain: keep the directory off the nodes, and keep a copy in a safe.\n\
         Next: asa keys issue NODE --dir {shown}\n"
    );
    Ok((text, 0))
}

/// A directory that is removed unless it has got its name.
struct Building(PathBuf);

impl Drop for Building {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A revocation list with everything that the register says is revoked.
fn list(authority: &Authority, register: &Register, now: OffsetDateTime, days: u32) -> Result<String, Trouble> {
    let revoked = register.entries.iter().filter(|entry| entry.until + AFTERWARDS >= now);
    let revoked = revoked.filter_map(|entry| Some(Revoked { serial: entry.serial, at: entry.revoked? })).collect();
    let validity = Validity { from: now, until: validity(now, days)?.until };
    authority.revocations(&Revocations { number: register.list, validity, revoked }).map_err(refused)
}

/// The domain of a directory, which nobody else changes meanwhile.
pub(super) struct OpenDomain {
    pub(super) directory: PathBuf,
    pub(super) register: Register,
    pub(super) authority: Authority,
    /// Whether the file of the revocation list says what the register says.
    list: ListState,
    _lock: File,
}

/// The revocation list of a domain, compared with its register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListState {
    /// It is the newest, and ends then.
    Newest {
        /// When it ends.
        until: OffsetDateTime,
    },
    /// It is missing, damaged, older or newer than the register says; why.
    Behind(String),
}

/// Reads the revocation list of a domain and compares it with the register.
pub(super) fn list_state(directory: &Path, list: u64, anchor: &str) -> ListState {
    let behind = |why: &str| ListState::Behind(why.to_owned());
    let text = match place::read(&directory.join(LIST), MAX_PEM) {
        Ok(text) => text,
        Err(trouble) => return ListState::Behind(trouble.to_string()),
    };
    let items = match inspect(&text) {
        Ok(items) => items,
        Err(error) => return ListState::Behind(error.to_string()),
    };
    let [Item::Revocations(read)] = &items[..] else { return behind("it is no single revocation list") };
    if verify::revocations(&text, anchor).is_err() {
        return behind("the authority has not signed it");
    }
    match (&read.number, read.until) {
        (Some(number), Some(until)) if *number == format!("{list:x}") => ListState::Newest { until },
        _ => behind("it is not the newest that the register knows of"),
    }
}

/// Reads the register of a domain.
pub(super) fn read_register(directory: &Path) -> Result<Register, Trouble> {
    let path = directory.join(REGISTER);
    if !path.exists() && directory.is_dir() {
        let why = "it is no directory of a domain: it has no register; asa keys init-domain makes one";
        return Err(failed(directory, why));
    }
    Register::parse(&place::read(&path, register::MAX)?).map_err(|why| failed(&path, why))
}

/// Reads the authority of a domain with its key.
pub(super) fn read_authority(directory: &Path, domain: Domain) -> Result<Authority, Trouble> {
    let certificate = place::read(&directory.join(CERTIFICATE), MAX_PEM)?;
    let key = place::read(&directory.join(KEY), MAX_PEM)?;
    Authority::load(domain, &certificate, &key).map_err(|error| failed(directory, error))
}

impl OpenDomain {
    /// Opens the directory of a domain, waiting for other commands.
    pub(super) fn open(directory: &Path, now: OffsetDateTime) -> Result<Self, Trouble> {
        let lock = place::lock(directory)?;
        let register = read_register(directory)?;
        let authority = read_authority(directory, register.domain.clone())?;
        let Validity { from, until } = authority.validity();
        if now > until || now < from {
            let why = format!("the authority is valid from {} until {}, and not now", when(from), when(until));
            return Err(failed(directory, why));
        }
        let list = list_state(directory, register.list, authority.certificate());
        Ok(Self { directory: directory.to_owned(), register, authority, list, _lock: lock })
    }

    /// Makes the revocation list anew if it has to be: it lags behind, ends soon, or something else is revoked now. Returns its
    /// text, and whether it is new.
    pub(super) fn list(&mut self, now: OffsetDateTime, changed: Option<u32>) -> Result<(String, bool), Trouble> {
        if let (None, ListState::Newest { until }) = (changed, &self.list)
            && *until > now + LIST_MARGIN
        {
            let text = place::read(&self.directory.join(LIST), MAX_PEM)?;
            return Ok((text.to_string(), false));
        }
        let next = self.register.list.checked_add(1);
        self.register.list = next.ok_or_else(|| failed(&self.directory, "the numbers of lists are used up"))?;
        let text = list(&self.authority, &self.register, now, changed.unwrap_or(LIST_DAYS))?;
        Ok((text, true))
    }

    /// Makes a change durable: first the register, then the list if it is new, then what is for the node.
    pub(super) fn commit(self, list: Option<&str>, others: Staged) -> Result<(), Trouble> {
        let text = self.register.to_string();
        let mut own = Staged::default();
        own.add(self.directory.join(REGISTER), &text, SECRET, Before::Older)?;
        if let Some(list) = list {
            own.add(self.directory.join(LIST), list, PUBLIC, Before::Older)?;
        }
        own.commit()?;
        others.commit().map_err(|trouble| {
            Trouble::Failed(format!(
                "{trouble}\nThe register knows the certificate already: asa keys renew makes another"
            ))
        })
    }
}
