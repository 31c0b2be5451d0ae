//! `asa keys revoke` and `asa keys crl`: what nodes no longer accept.

use asa_authority::Serial;
use serde_json::json;
use time::OffsetDateTime;

use super::domain::{LIST, OpenDomain};
use super::place::{Staged, failed};
use super::register::{Entry, when};
use crate::cli::keys::{CrlArgs, DomainArgs, RevokeArgs};
use crate::control::text::counted;
use crate::control::{Shown, Trouble, json_line, look};

/// Revokes the certificates of a node, or one.
pub(super) fn revoke(args: &RevokeArgs, now: OffsetDateTime) -> Shown {
    let mut domain = OpenDomain::open(&args.place.directory, now)?;
    let refuse = |why: String| Err(failed(&args.place.directory, why));
    let node = |entry: &Entry| entry.node.as_str() == args.which;
    let serial: Option<Serial> = args.which.parse().ok();
    let by_node = domain.register.entries.iter().any(node);
    let meant = |entry: &Entry| if by_node { node(entry) } else { Some(entry.serial) == serial };
    if !domain.register.entries.iter().any(&meant) {
        return refuse(format!("the register has neither a node nor a serial number {:?}", short(&args.which)));
    }
    let live = domain.register.entries.iter_mut().filter(|entry| meant(entry) && entry.is_live(now));
    let mut revoked = Vec::new();
    for entry in live {
        entry.revoked = Some(now);
        revoked.push((entry.serial.to_string(), entry.node.to_string()));
    }
    if revoked.is_empty() {
        return refuse(format!(
            "{}: nothing is left to revoke, all is revoked already or has ended",
            short(&args.which)
        ));
    }
    let lines: Vec<String> =
        revoked.iter().map(|(serial, node)| format!("the certificate {serial} of {node} is revoked\n")).collect();
    let serials = revoked.iter().map(|(serial, _)| serial.as_str()).collect::<Vec<_>>();
    written(domain, &args.place, args.days, now, &lines.concat(), &json!(serials))
}

/// What was asked for, not longer than an answer should be.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Writes the list anew.
pub(super) fn crl(args: &CrlArgs, now: OffsetDateTime) -> Shown {
    let domain = OpenDomain::open(&args.place.directory, now)?;
    written(domain, &args.place, args.days, now, "", &json!([]))
}

fn written(
    mut domain: OpenDomain,
    place: &DomainArgs,
    days: u32,
    now: OffsetDateTime,
    before: &str,
    revoked: &serde_json::Value,
) -> Result<(String, u8), Trouble> {
    let (list, _) = domain.list(now, Some(days))?;
    let number = domain.register.list;
    let all = domain.register.entries.iter().filter(|entry| entry.revoked.is_some()).count();
    let path = domain.directory.join(LIST);
    domain.commit(Some(&list), Staged::default())?;
    let until = when(now + time::Duration::days(days.into()));
    if place.json {
        let done = json!({ "revoked": revoked, "list": { "path": path, "number": number, "until": until } });
        return Ok((json_line(&done), 0));
    }
    let count = counted(all, "certificate has", "certificates have");
    let path = look().shown(&path.display().to_string());
    let text = format!(
        "{before}the revocation list {number} is in {path}; {count} been revoked so far\n\
         Carry it to every node before {until}: nodes hear of what is revoked from it alone.\n"
    );
    Ok((text, 0))
}
