//! `asa keys`: the authority of a domain, its certificates, and what they say; keys of groups.

mod domain;
mod issue;
mod place;
pub(crate) mod quads;
mod register;
mod revoke;
mod show;

use time::OffsetDateTime;

use crate::cli::keys::Keys;
use crate::control::{Shown, print};

/// Carries out a subcommand.
pub(crate) fn run(command: Keys) -> anyhow::Result<u8> {
    let now = OffsetDateTime::now_utc();
    // Certificates know whole seconds.
    let now = now.replace_nanosecond(0).unwrap_or(now);
    let shown: Shown = match command {
        Keys::Quads(command) => return quads::run(&command),
        Keys::InitDomain(args) => domain::init(&args, now),
        Keys::Issue(args) => issue::issue(&args, now),
        Keys::Renew(args) => issue::renew(&args, now),
        Keys::Revoke(args) => revoke::revoke(&args, now),
        Keys::Crl(args) => revoke::crl(&args, now),
        Keys::Show(args) => Ok(show::show(&args, now)),
    };
    match shown {
        Ok((text, code)) => print(&text, code),
        Err(trouble) => Ok(trouble.tell()),
    }
}
