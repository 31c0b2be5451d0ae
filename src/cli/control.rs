//! The command line of the subcommands that speak with a running node.

use std::path::PathBuf;

use asa_framework::control::MAX_DRILLS;
use clap::{Args, Subcommand, ValueEnum};

/// What can be asked of a running node.
#[derive(Debug, Subcommand)]
pub(crate) enum Control {
    /// Shows how a running node is: its verdict, its GRASP instance, its instances, its actors.
    ///
    /// Exit code 0 if it is ready, 1 if it is degraded, failing or does not answer in time, 2 if nobody is on the socket.
    #[command(after_help = "Example:\n  asa status --node gray --watch")]
    Status(StatusArgs),
    /// Shows what the instances of a running node say about themselves.
    ///
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa describe gray --json")]
    Describe(DescribeArgs),
    /// Shows a table of the GRASP instance of a running node.
    ///
    /// Exit code 0 if that worked, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa dump discovery --json")]
    Dump(DumpArgs),
    /// Makes an instance of the manifest installed.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa install gray")]
    Install(InstanceArgs),
    /// Gives an installed instance its mandate: it runs and takes no work yet.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa instantiate gray")]
    Instantiate(InstanceArgs),
    /// Lets an instantiated instance work.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa activate gray")]
    Activate(InstanceArgs),
    /// Sets an instance down: no new work, promises kept, queries answered.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa deactivate gray")]
    Deactivate(InstanceArgs),
    /// Takes the mandate of an instance back: it ends and stays installed.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa revoke gray")]
    Revoke(InstanceArgs),
    /// Removes an installed instance from the node.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa uninstall gray --purge")]
    Uninstall(UninstallArgs),
    /// Puts another version in an instance's place without a gap.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa replace gray --with gray@0.2.0")]
    Replace(ReplaceArgs),
    /// Lets a running node read its manifest again and apply what has changed.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or a change did not work, 2 for a wrong command line or if nobody is
    /// on the socket.
    #[command(after_help = "Example:\n  asa reload --plan")]
    Reload(ReloadArgs),
    /// Lets an actor of a running node fail, and tells how long it took to recover.
    ///
    /// The manifest must allow it: control.drills = true. Exit code 0 if it recovered each time, 1 if it did not or the node
    /// refused, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa drill negotiator panic --instance gray --count 3")]
    Drill(DrillArgs),
    /// Shows or changes what a running node logs.
    ///
    /// Exit code 0 if that is done, 1 if the node refused or failed, 2 for a wrong command line or if nobody is on the socket.
    #[command(after_help = "Example:\n  asa log-level info,grasp=debug")]
    LogLevel(LogLevelArgs),
}

/// Which node is meant, and how to tell what it says.
///
/// With none of --socket, --manifest and --node it is the only one that has a socket in a default directory: asa below
/// $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR and /run.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Speak with the node on this control socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["manifest", "node"])]
    pub(crate) socket: Option<PathBuf>,
    /// Speak with the node that runs this manifest.
    #[arg(long, value_name = "PATH", conflicts_with = "node")]
    pub(crate) manifest: Option<PathBuf>,
    /// Speak with the node of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Wait this many seconds for the answer [default: 10 for questions, 900 for what changes something].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,
    /// Write the node's answer to standard output, as JSON on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Show it again every second, or as often as said, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) watch: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The instance; all of them if there is none.
    pub(crate) instance: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The table.
    pub(crate) table: Table,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// The tables of a GRASP instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// The discovery cache.
    Discovery,
    /// The flood cache.
    Floods,
    /// Open sessions.
    Sessions,
    /// Registered objectives.
    Objectives,
}

#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    /// The instance.
    pub(crate) instance: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// The instance.
    pub(crate) instance: String,
    /// Do it although promises are outstanding.
    #[arg(long)]
    pub(crate) force: bool,
    /// Remove its state and keys as well.
    #[arg(long)]
    pub(crate) purge: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplaceArgs {
    /// The instance.
    pub(crate) instance: String,
    /// The class and the version to put in its place.
    #[arg(long, value_name = "CLASS@VERSION", value_parser = release)]
    pub(crate) with: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// The role, such as negotiator; of the node itself discovery, flood and so on.
    pub(crate) role: String,
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// The instance, or node; needed if several have such a role.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// How often, each time after the last recovery.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DRILLS)))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// A handler panics.
    Panic,
    /// The actor never answers again.
    Hang,
    /// The actor ends as if it had nothing left to do.
    Stop,
    /// Its store refuses the next change.
    StoreError,
}

#[derive(Debug, Args)]
pub(crate) struct LogLevelArgs {
    /// What to log from now on; without it the command only shows what is in force.
    #[arg(value_name = "DIRECTIVES")]
    pub(crate) level: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

fn release(text: &str) -> Result<String, String> {
    match text.split_once('@') {
        Some((class, version)) if !class.is_empty() && !version.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("expected CLASS@VERSION, such as gray@0.2.0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Control {
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Command::Control(control)) => control,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_lines_of_the_examples_parse() {
        let Control::Status(status) = parse("asa status --node gray --watch") else { panic!() };
        assert_eq!((status.node.node.as_deref(), status.watch, status.node.json), (Some("gray"), Some(1), false));
        let Control::Status(status) = parse("asa status --watch 5 --json") else { panic!() };
        assert_eq!((status.watch, status.node.json), (Some(5), true));
        let Control::Describe(describe) = parse("asa describe gray --json") else { panic!() };
        assert_eq!(describe.instance.as_deref(), Some("gray"));
        let Control::Dump(dump) = parse("asa dump discovery --json") else { panic!() };
        assert_eq!(dump.table, Table::Discovery);
        let Control::Uninstall(uninstall) = parse("asa uninstall gray --purge") else { panic!() };
        assert_eq!((uninstall.instance.as_str(), uninstall.force, uninstall.purge), ("gray", false, true));
        let Control::Replace(replace) = parse("asa replace gray --with gray@0.2.0") else { panic!() };
        assert_eq!((replace.instance.as_str(), replace.with.as_str()), ("gray", "gray@0.2.0"));
        let Control::Reload(reload) = parse("asa reload --plan --socket /run/a.sock --timeout 3") else { panic!() };
        assert_eq!((reload.plan, reload.node.timeout), (true, Some(3)));
        let Control::Drill(drill) = parse("asa drill pool store-error --instance gray --count 3") else { panic!() };
        assert_eq!((drill.fault, drill.count, drill.instance.as_deref()), (Fault::StoreError, 3, Some("gray")));
        let Control::LogLevel(level) = parse("asa log-level info,grasp=debug") else { panic!() };
        assert_eq!(level.level.as_deref(), Some("info,grasp=debug"));
        for step in ["install", "instantiate", "activate", "deactivate", "revoke"] {
            parse(&format!("asa {step} gray"));
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "asa status --watch 0",
            "asa status --socket /a --node b",
            "asa status --manifest /a --node b",
            "asa dump everything",
            "asa install",
            "asa activate gray --force",
            "asa replace gray",
            "asa replace gray --with gray",
            "asa replace gray --with @1",
            "asa drill pool explode",
            "asa drill pool panic --count 0",
            "asa drill pool panic --count 101",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
