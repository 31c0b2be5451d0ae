//! The command line of `asa keys`.

use clap::{Args, Subcommand};

use super::keys_quads::Quads;

/// Looks after keys.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa keys quads make --out /etc/asa/quads.key")]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: Keys,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Looks after the key of a group, for the substrate `quads`.
    ///
    /// This is a compatibility mode for groups with members that run graspy: no integrity, no protection against replay.
    #[command(subcommand, after_help = "Example:\n  asa keys quads make --out /etc/asa/quads.key")]
    Quads(Quads),
}
