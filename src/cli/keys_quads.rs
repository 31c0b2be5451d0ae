//! The command line of `asa keys quads`.

use std::path::PathBuf;

use asa_framework::secret::SecretSource;
use clap::{Args, Subcommand};

/// What to do with the key of a group.
#[derive(Debug, Subcommand)]
pub(crate) enum Quads {
    /// Writes the key file of a group from its password, or from another key file.
    ///
    /// Nobody but its owner can read it, and no file is replaced. graspy takes the same file under the name quadsk.py. Exit code
    /// 0 if that is done, 1 if it was refused or failed, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa keys quads make --out /etc/asa/quads.key")]
    Make(MakeArgs),
    /// Tells the fingerprint of a key, never the key: members with the same fingerprint have the same key.
    ///
    /// Exit code 0 if there is a key, 1 if not, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa keys quads show /etc/asa/quads.key")]
    Show(ShowArgs),
    /// Takes over a key file that graspy's quadsmaker has written, also one that others can read.
    ///
    /// The file is read as data and stays as it is. Exit code 0 if that is done, 1 if it was refused or failed, 2 for a wrong
    /// command line.
    #[command(after_help = "Example:\n  asa keys quads import quadsk.py --out /etc/asa/quads.key")]
    Import(ImportArgs),
}

/// Makes a key file.
#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Where the password comes from: file:/path, fd:NUMBER, credential:NAME or prompt. Never the password itself.
    #[arg(long, value_name = "SOURCE", default_value = "prompt", hide_possible_values = true)]
    pub(crate) from: SecretSource,
}

/// Shows a key.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The key file.
    pub(crate) file: PathBuf,
}

/// Takes over a key file.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The key file of graspy.
    pub(crate) file: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
