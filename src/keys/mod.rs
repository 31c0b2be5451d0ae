//! `asa keys`: what members of a group or domain have to keep secret.

pub(crate) mod quads;

use crate::cli::keys::Keys;

/// Carries out a subcommand.
pub(crate) fn run(command: Keys) -> anyhow::Result<u8> {
    match command {
        Keys::Quads(command) => quads::run(&command),
    }
}
