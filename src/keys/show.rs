//! `asa keys show`: what files of keys are, and what is wrong with them. Never a secret.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use asa_authority::inspect::{Certificate, Item, Key, List, inspect};
use asa_authority::names::AcpAddress;
use asa_authority::verify;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::domain::{CERTIFICATE, KEY, LIST, ListState, MAX_PEM, list_state, read_authority, read_register};
use super::place;
use super::register::{Entry, when};
use crate::cli::keys::ShowArgs;
use crate::control::text::{BOLD, Cell, GREEN, RED, YELLOW, count, labelled, table};
use crate::control::{json_line, look};
use crate::output::Look;

/// What ends sooner is warned of.
const SOON: Duration = Duration::days(30);
/// A revocation list that ends sooner is warned of.
const LIST_SOON: Duration = Duration::days(7);
/// Revoked certificates of a list that are named, at most; JSON has all.
const NAMED: usize = 20;
/// Columns of labels.
const LABEL: usize = 18;

/// What is told of one file or directory.
#[derive(Default)]
struct Report {
    parts: Vec<Part>,
    lines: Vec<String>,
    warnings: Vec<String>,
    /// What makes it unfit for use.
    faults: Vec<String>,
    register: Option<Value>,
    verified: bool,
}

/// One block of a file.
struct Part {
    title: String,
    facts: Vec<(&'static str, String)>,
    value: Value,
}

/// Shows all that was named.
pub(super) fn show(args: &ShowArgs, now: OffsetDateTime) -> (String, u8) {
    let anchors = args.anchors.as_deref().map(|path| place::read(path, MAX_PEM));
    let revocations = args.revocations.as_deref().map(|path| place::read(path, MAX_PEM));
    let mut reports: Vec<(PathBuf, Report)> = Vec::new();
    for path in &args.files {
        let mut report = if path.is_dir() { domain(path, now) } else { file(path, now) };
        let judged = match (&anchors, &revocations) {
            (None, _) => Ok(false),
            (Some(Err(trouble)), _) | (_, Some(Err(trouble))) => Err(trouble.to_string()),
            (Some(Ok(anchors)), revocations) => {
                let revocations = revocations.as_ref().and_then(|text| text.as_ref().ok());
                judge(path, &report, anchors, revocations.map(|text| text.as_str()), now)
            }
        };
        match judged {
            Ok(verified) => report.verified = verified,
            Err(why) => report.faults.push(why),
        }
        reports.push((path.clone(), report));
    }
    let code = u8::from(reports.iter().any(|(_, report)| !report.faults.is_empty()));
    let text = if args.json { as_json(&reports) } else { as_text(look(), &reports) };
    (text, code)
}

/// Checks what can be checked against anchors; false if there is nothing.
fn judge(
    path: &Path,
    report: &Report,
    anchors: &str,
    revocations: Option<&str>,
    now: OffsetDateTime,
) -> Result<bool, String> {
    let path = if path.is_dir() { path.join(CERTIFICATE) } else { path.to_owned() };
    let has = |kind: &str| report.parts.iter().any(|part| part.value["kind"] == kind);
    if !has("certificate") && !has("revocations") {
        return Ok(false);
    }
    let text = place::read(&path, MAX_PEM).map_err(|trouble| trouble.to_string())?;
    if has("certificate") {
        verify::chain(&text, anchors, revocations, now).map_err(|error| error.to_string())?;
    }
    if has("revocations") {
        verify::revocations(&text, anchors).map_err(|error| error.to_string())?;
    }
    Ok(true)
}

fn file(path: &Path, now: OffsetDateTime) -> Report {
    let mut report = Report::default();
    let text = match place::read(path, MAX_PEM) {
        Ok(text) => text,
        Err(trouble) => {
            report.faults.push(unnamed(path, &trouble.to_string()));
            return report;
        }
    };
    match inspect(&text) {
        Ok(items) => items.iter().for_each(|item| report.take(item, now)),
        Err(error) => report.faults.push(error.to_string()),
    }
    let kinds = ["key", "certificate"].map(|kind| report.parts.iter().find(|part| part.value["kind"] == kind));
    if let [Some(key), Some(certificate)] = kinds
        && key.value["key_sha256"] != certificate.value["key_sha256"]
    {
        report.faults.push("the private key does not belong to the certificate".to_owned());
    }
    let secret = text.contains("PRIVATE KEY");
    report.permissions(path, if secret { 0o077 } else { 0o022 }, if secret { "600" } else { "644" });
    report
}

/// The message of a trouble that begins with the path, which stands above it already.
fn unnamed(path: &Path, text: &str) -> String {
    text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(text).to_owned()
}

fn domain(path: &Path, now: OffsetDateTime) -> Report {
    let register = match read_register(path) {
        Ok(register) => register,
        Err(trouble) => {
            let faults = vec![unnamed(path, &trouble.to_string())];
            return Report { faults, ..Report::default() };
        }
    };
    let mut report = file(&path.join(CERTIFICATE), now);
    match read_authority(path, register.domain.clone()) {
        Ok(authority) => match list_state(path, register.list, authority.certificate()) {
            ListState::Newest { .. } => {}
            ListState::Behind(why) => {
                report.faults.push(format!("{LIST}: {why}; asa keys crl makes it anew"));
            }
        },
        Err(trouble) => report.faults.push(unnamed(path, &trouble.to_string())),
    }
    let list = file(&path.join(LIST), now);
    report.parts.extend(list.parts);
    report.warnings.extend(list.warnings);
    report.faults.extend(list.faults);
    report.permissions(path, 0o077, "700");
    report.permissions(&path.join(KEY), 0o077, "600");
    report.permissions(&path.join(super::domain::REGISTER), 0o022, "600");
    let entries = &register.entries;
    let state = |entry: &Entry| match entry.revoked {
        Some(at) => (format!("revoked {}", when(at)), Some(RED)),
        None if now > entry.until => ("ended".to_owned(), Some(YELLOW)),
        None if now + SOON > entry.until => (format!("ends soon, {}", left(now, entry.until)), Some(YELLOW)),
        None => (format!("valid, {}", left(now, entry.until)), Some(GREEN)),
    };
    let rows: Vec<Vec<Cell>> = entries
        .iter()
        .map(|entry| {
            let (state, colour) = state(entry);
            let cell = |text: &str| Cell::text(look(), text);
            let words = [entry.node.to_string(), entry.serial.to_string(), entry.name.to_string()];
            words.iter().map(|word| cell(word)).chain([cell(&state).coloured(colour)]).collect()
        })
        .collect();
    if rows.is_empty() {
        report.lines.push("the register has no certificate yet".to_owned());
    } else {
        report.lines.extend(table(look(), &["NODE", "SERIAL", "ACP-NODE-NAME", "STATE"], &rows));
    }
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "node": entry.node.as_str(), "serial": entry.serial.to_string(), "acp_node_name": entry.name.to_string(),
                "from": when(entry.from), "until": when(entry.until), "revoked": entry.revoked.map(when),
                "live": entry.is_live(now),
            })
        })
        .collect();
    report.register =
        Some(json!({ "domain": register.domain.as_str(), "list": register.list, "certificates": entries }));
    report
}

/// Whole days, for people.
fn left(now: OffsetDateTime, until: OffsetDateTime) -> String {
    match (until - now).whole_days() {
        0 if until >= now => "less than a day left".to_owned(),
        1 => "1 day left".to_owned(),
        days if days > 0 => format!("{} days left", count(days.unsigned_abs())),
        days => format!("ended {} days ago", count(days.unsigned_abs())),
    }
}

impl Report {
    /// Warns of a file that is open to more than it should be.
    fn permissions(&mut self, path: &Path, forbidden: u32, mode: &str) {
        if let Ok(about) = fs::metadata(path)
            && about.mode() & forbidden != 0
        {
            let (name, now) = (path.display(), about.mode() & 0o7777);
            self.warnings.push(format!("{name} is open to others (mode {now:03o}); chmod {mode} closes it"));
        }
    }

    fn take(&mut self, item: &Item, now: OffsetDateTime) {
        match item {
            Item::Certificate(certificate) => self.certificate(certificate, now),
            Item::Key(key) => self.key(key),
            Item::Revocations(list) => self.list(list, now),
        }
    }

    fn certificate(&mut self, read: &Certificate, now: OffsetDateTime) {
        if now > read.until {
            self.faults.push(format!("the certificate of {} has ended", read.subject));
        } else if now < read.from {
            self.faults.push(format!("the certificate of {} is not valid yet", read.subject));
        } else if now + SOON > read.until {
            self.warnings.push(format!("the certificate of {} ends soon: {}", read.subject, left(now, read.until)));
        }
        self.warnings.extend(read.shortcomings.iter().map(|short| format!("{}: {short}", read.subject)));
        let name = read.acp_node_name.as_ref().and_then(|name| name.as_ref().ok());
        let address = name.map(|name| match name.address {
            AcpAddress::Address(address) => address.to_string(),
            AcpAddress::Zero => "none (0)".to_owned(),
            AcpAddress::Omitted => "none".to_owned(),
        });
        let (from, until) = (when(read.from), when(read.until));
        let mut facts = vec![("subject", read.subject.clone())];
        if let Some(name) = name {
            facts.push(("acp-node-name", name.to_string()));
            facts.push(("domain", name.domain.to_string()));
            facts.extend(name.rsub.as_ref().map(|rsub| ("routing subdomain", rsub.to_string())));
        }
        facts.extend(address.clone().map(|address| ("address", address)));
        if !read.dns.is_empty() {
            facts.push(("name in the DNS", read.dns.join(", ")));
        }
        facts.extend([
            ("issuer", read.issuer.clone()),
            ("serial number", read.serial.clone()),
            ("valid", format!("from {from} until {until}, {}", left(now, read.until))),
            ("key", read.key.clone()),
            ("SHA-256 of key", read.key_fingerprint.clone()),
            ("SHA-256", read.fingerprint.clone()),
        ]);
        let value = json!({
            "kind": "certificate", "authority": read.authority, "subject": read.subject, "node": read.common_name,
            "issuer": read.issuer, "serial": read.serial, "from": from, "until": until,
            "days_left": (read.until - now).whole_days(), "acp_node_name": name.map(ToString::to_string),
            "domain": name.map(|name| name.domain.as_str()), "rsub": name.and_then(|name| name.rsub.as_ref()?.as_str().into()),
            "address": name.and_then(|name| name.address()), "dns": read.dns, "key": read.key,
            "key_sha256": read.key_fingerprint, "sha256": read.fingerprint,
        });
        let title = if read.authority { "certificate of an authority" } else { "certificate" };
        self.parts.push(Part { title: title.to_owned(), facts, value });
    }

    fn key(&mut self, read: &Key) {
        let facts = vec![("key", read.kind.clone()), ("SHA-256 of key", read.key_fingerprint.clone())];
        let value = json!({ "kind": "key", "key": read.kind, "key_sha256": read.key_fingerprint });
        self.parts.push(Part { title: "private key".to_owned(), facts, value });
    }

    fn list(&mut self, read: &List, now: OffsetDateTime) {
        match read.until {
            Some(until) if now > until => self.faults.push("the revocation list is out of date".to_owned()),
            Some(until) if now + LIST_SOON > until => {
                self.warnings.push(format!("the revocation list ends soon: {}", left(now, until)));
            }
            Some(_) => {}
            None => self.warnings.push("the revocation list does not say when the next one comes".to_owned()),
        }
        let until = read.until.map(when);
        let number = read.number.clone();
        let ends = until.clone().unwrap_or_else(|| "an unknown time".to_owned());
        let mut facts = vec![("issuer", read.issuer.clone())];
        facts.extend(number.clone().map(|number| ("number", format!("{number} (hexadecimal)"))));
        facts.push(("valid", format!("from {} until {ends}", when(read.from))));
        facts.push(("revoked", count(read.revoked.len() as u64)));
        facts.extend(read.revoked.iter().take(NAMED).map(|(serial, at)| ("", format!("{serial} on {}", when(*at)))));
        if read.revoked.len() > NAMED {
            facts.push(("", "... --json has all".to_owned()));
        }
        let revoked: Vec<Value> =
            read.revoked.iter().map(|(serial, at)| json!({ "serial": serial, "at": when(*at) })).collect();
        let value = json!({
            "kind": "revocations", "issuer": read.issuer, "number": number, "from": when(read.from), "until": until,
            "revoked": revoked,
        });
        self.parts.push(Part { title: "revocation list".to_owned(), facts, value });
    }
}

fn as_json(reports: &[(PathBuf, Report)]) -> String {
    let files: Vec<Value> = reports
        .iter()
        .map(|(path, report)| {
            let items: Vec<&Value> = report.parts.iter().map(|part| &part.value).collect();
            json!({
                "path": path.to_string_lossy(), "items": items, "register": report.register, "verified": report.verified,
                "warnings": report.warnings, "faults": report.faults,
            })
        })
        .collect();
    let sound = reports.iter().all(|(_, report)| report.faults.is_empty());
    json_line(&json!({ "sound": sound, "files": files }))
}

fn as_text(look: Look, reports: &[(PathBuf, Report)]) -> String {
    let mut lines = Vec::new();
    for (path, report) in reports {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(look.paint(BOLD, &look.shown(&path.display().to_string())));
        for part in &report.parts {
            lines.push(format!("  {}", part.title));
            for (label, text) in &part.facts {
                lines.extend(labelled(look, &format!("    {label:<LABEL$}"), text, None));
            }
        }
        if report.verified {
            lines.push(format!("  {}", look.paint(GREEN, "the anchors vouch for it")));
        }
        lines.extend(report.lines.iter().map(|line| format!("  {line}")));
        for (label, texts, colour) in [("  warning: ", &report.warnings, YELLOW), ("  WRONG: ", &report.faults, RED)] {
            lines.extend(texts.iter().flat_map(|text| labelled(look, label, text, Some(colour))));
        }
    }
    lines.join("\n") + "\n"
}
