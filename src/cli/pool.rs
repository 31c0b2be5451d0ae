//! The command line of `asa pool`.

use std::net::IpAddr;
use std::path::PathBuf;

use asa_prefix::prefix::{Family, Prefix};
use clap::{Args, Subcommand, ValueEnum};

use super::control::NodeArgs;

/// Looks after a pool of prefixes: on a running node, or in the state directory of one that does not run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa pool show --node origin")]
pub(crate) struct PoolArgs {
    #[command(subcommand)]
    pub(crate) command: Pool,
}

/// What to do with a pool.
#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// Creates the empty store of a pool, once: an origin without a store does not start by itself.
    ///
    /// Exit code 0 if that is done, 1 if there is a store already or it failed, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa pool init --manifest origin.toml")]
    Init(StoreArgs),
    /// Draws the pool: what is free, granted, delegated, in doubt, and how long it will last.
    ///
    /// Each aggregate is a line of up to 64 letters in the order of its addresses, each the state that has most of that part.
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool show")]
    Show(OnlineArgs),
    /// Lists blocks with their states, in the order of addresses.
    ///
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool blocks --within 2001:db8::/40 --state granted")]
    Blocks(BlocksArgs),
    /// Tells who had an address, and when.
    ///
    /// Exit code 0 if that worked, 1 if the ledger cannot be read or the node failed, 2 for a wrong command line or if nobody is
    /// on the socket.
    #[command(after_help = "Example:\n  asa pool history 2001:db8::7 --at 2026-11-21T16:00:00Z")]
    History(HistoryArgs),
    /// Lists the blocks of which nobody here knows whether they have changed hands.
    ///
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool doubts")]
    Doubts(OnlineArgs),
    /// Puts an end to a doubt: what the operator says is so from now on.
    ///
    /// Ask the other side first: a block that counts as free here and is in use there is given out twice.
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool resolve 2001:db8:5::/48 --as granted")]
    Resolve(ResolveArgs),
    /// Examines whether everything that has to be true of a pool is, and says what is not.
    ///
    /// Exit code 0 if it is sound, 1 if an invariant is broken or the node failed, 2 for a wrong command line or if nobody is on
    /// the socket.
    #[command(after_help = "Example:\n  asa pool fsck --manifest origin.toml --offline")]
    Fsck(EitherArgs),
    /// Adds an address plan to the pool, all of it or nothing.
    ///
    /// One thing a line: `aggregate PREFIX`, `delegated PREFIX CLIENT`, `granted PREFIX PEER`, `excluded PREFIX`; what follows #
    /// is a comment. Exit code 0 if that is done, 1 if the plan is wrong or does not fit, 2 for a wrong command line or if
    /// nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool import plan.txt")]
    Import(ImportArgs),
    /// Writes down what is in the pool at one moment.
    ///
    /// Exit code 0 if that worked, 1 if it failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool export --output pool.jsonl")]
    Export(ExportArgs),
    /// Keeps what is free in a block out of use.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool exclude 2001:db8:ffff::/48")]
    Exclude(BlockArgs),
    /// Brings what was excluded in a block back into use.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool include 2001:db8:ffff::/48")]
    Include(BlockArgs),
    /// Takes an aggregate out of use, as its blocks become free.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool withdraw 2001:db8::/32")]
    Withdraw(BlockArgs),
    /// Takes a granted block back without asking its taker: only if the taker is gone for good.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool reclaim 2001:db8:0:1::/64")]
    Reclaim(BlockArgs),
    /// Takes back that an aggregate is withdrawn; what is out of use in it stays so until it is included.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool reinstate 2001:db8::/32")]
    Reinstate(BlockArgs),
    /// Makes a damaged store whole from the part of it that is; nothing is deleted. The node must not run.
    ///
    /// Exit code 0 if it is whole now, 1 if it cannot be made whole, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa pool repair --manifest origin.toml")]
    Repair(StoreArgs),
    /// Creates a store from an export; what may have changed since is put out of use. The node must not run.
    ///
    /// Exit code 0 if that is done, 1 if there is a store already or it failed, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa pool restore pool.jsonl --manifest origin.toml")]
    Restore(RestoreArgs),
    /// Gives a client of the node a block.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool delegate cpe-17 56")]
    Delegate(DelegateArgs),
    /// Takes the block of a client back; it is free when the client's valid lifetime has passed.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool release cpe-17 2001:db8:0:100::/56")]
    Release(ReleaseArgs),
    /// Explains what the node would ask others for, and why.
    ///
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa pool explain")]
    Explain(OnlineArgs),
}

/// A pool of a running node.
#[derive(Debug, Args)]
pub(crate) struct OnlineArgs {
    /// The instance; needed if several have a pool.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// A pool of a node that does not run.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The state directory of the instance.
    #[arg(long, value_name = "PATH", required_unless_present = "manifest", conflicts_with_all = ["manifest", "instance"])]
    pub(crate) directory: Option<PathBuf>,
    /// The manifest that says where the state directory is.
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,
    /// The instance of the manifest; needed if several have a pool.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Write what was done to standard output, as JSON on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A pool of a running node, or one in a state directory.
#[derive(Debug, Args)]
pub(crate) struct EitherArgs {
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
    /// Ask no node, but read this state directory of an instance.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["socket", "manifest", "node", "instance", "timeout"])]
    pub(crate) directory: Option<PathBuf>,
    /// Ask no node, but read the state directory that the manifest names.
    #[arg(long, requires = "manifest")]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BlocksArgs {
    /// Only blocks that share an address with this one.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) within: Option<Prefix>,
    /// Only blocks in this state, such as free, granted, delegated, in-doubt, excluded; may be repeated.
    #[arg(long = "state", value_name = "STATE")]
    pub(crate) states: Vec<String>,
    /// Only blocks after this one.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) after: Option<Prefix>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The address.
    pub(crate) address: IpAddr,
    /// Only who had it at this time, such as 2026-11-21T16:00:00+01:00; without an offset it is UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<String>,
    #[command(flatten)]
    pub(crate) either: EitherArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// The block, exactly as `asa pool doubts` shows it.
    pub(crate) block: Prefix,
    /// What has become of it.
    #[arg(long = "as", value_name = "FATE")]
    pub(crate) fate: Fate,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

/// What has become of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fate {
    /// It has not changed hands.
    Free,
    /// It has changed hands.
    Granted,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The plan; - reads standard input.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Records)]
    pub(crate) format: Format,
    /// Where to write it; a file that is there is not overwritten. Standard output otherwise.
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) either: EitherArgs,
}

/// Forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Everything, one JSON object a line, for `asa pool restore`.
    Records,
    /// What is in use, for `asa pool import`.
    Plan,
}

#[derive(Debug, Args)]
pub(crate) struct BlockArgs {
    /// The block.
    pub(crate) block: Prefix,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The export.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DelegateArgs {
    /// Who gets it.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) client: String,
    /// The prefix length.
    #[arg(value_parser = clap::value_parser!(u8).range(0..=128))]
    pub(crate) length: u8,
    /// Of which family.
    #[arg(long, value_enum, default_value_t = FamilyArg::Ipv6)]
    pub(crate) family: FamilyArg,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyArg {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl From<FamilyArg> for Family {
    fn from(family: FamilyArg) -> Self {
        match family {
            FamilyArg::Ipv4 => Self::V4,
            FamilyArg::Ipv6 => Self::V6,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// Who has it.
    pub(crate) client: String,
    /// The block.
    pub(crate) block: Prefix,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

/// Reads a time in RFC 3339, of which the end may be left out.
fn moment(text: &str) -> Result<String, String> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let whole = text.trim().replacen(' ', "T", 1);
    let forms = [whole.clone(), format!("{whole}Z"), format!("{whole}:00Z"), format!("{whole}T00:00:00Z")];
    let read = forms.iter().find_map(|form| OffsetDateTime::parse(form, &Rfc3339).ok());
    let read = read.and_then(|moment| moment.format(&Rfc3339).ok());
    read.ok_or_else(|| {
        "expected a time such as 2026-11-21T16:00:00Z, 2026-11-21T17:00:00+01:00 or 2026-11-21".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Pool {
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Command::Pool(pool)) => pool.command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_subcommand_has_help_with_an_example_that_parses() {
        let mut all = Cli::command();
        all.build();
        let pool = all.find_subcommand_mut("pool").unwrap();
        let mut count = 0;
        for subcommand in pool.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
            let name = subcommand.get_name().to_owned();
            let help = subcommand.render_long_help().to_string();
            let example = help.split("Example:\n  ").nth(1).unwrap_or_else(|| panic!("{name} has no example"));
            assert!(example.starts_with(&format!("asa pool {name}")), "the example of {name} shows something else");
            parse(example.trim());
            assert!(help.contains("Exit code 0"), "{name} says nothing of its exit codes");
            count += 1;
        }
        assert_eq!(count, 19);
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "asa pool",
            "asa pool init",
            "asa pool init --directory /a --manifest /b",
            "asa pool repair --directory /a --instance b",
            "asa pool history",
            "asa pool history 2001:db8::/64",
            "asa pool history ::1 --at yesterday",
            "asa pool resolve ::/64",
            "asa pool resolve ::/64 --as lost",
            "asa pool exclude 2001:db8::1/64",
            "asa pool fsck --offline",
            "asa pool fsck --directory /a --node b",
            "asa pool delegate a 129",
            "asa pool blocks --limit 0",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_end_of_a_time_may_be_left_out() {
        for (text, expected) in [
            ("2026-11-21T16:00:00Z", "2026-11-21T16:00:00Z"),
            ("2026-11-21T16:00:00.5+01:00", "2026-11-21T16:00:00.5+01:00"),
            ("2026-11-21 16:00:01", "2026-11-21T16:00:01Z"),
            ("2026-11-21T16:00", "2026-11-21T16:00:00Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
        ] {
            assert_eq!(moment(text).unwrap(), expected);
        }
        for text in ["", "now", "2026-11", "21.11.2026", "2026-13-01"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
