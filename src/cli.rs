//! The command line: every subcommand, its options and its help.

pub(crate) mod control;
pub(crate) mod keys;
pub(crate) mod keys_quads;
pub(crate) mod pool;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs Autonomic Service Agents on networks that speak GRASP (RFC 8990).
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  asa check config/gray.toml")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Run(RunArgs),
    Relay(RelayArgs),
    Check(CheckArgs),
    Manifest(ManifestArgs),
    Decode(DecodeArgs),
    Discover(DiscoverArgs),
    Synchronize(SynchronizeArgs),
    Flood(FloodArgs),
    GetFlood(GetFloodArgs),
    Pool(pool::PoolArgs),
    Keys(keys::KeysArgs),
    #[command(flatten)]
    Control(control::Control),
}

/// Validates a manifest or a lab file and shows each setting in force with its origin.
///
/// Exit code 0 if everything is valid, 2 if not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa check config/gray.toml --set grasp.port=0")]
pub(crate) struct CheckArgs {
    /// The manifest, a directory of manifests, or a lab file.
    pub(crate) manifest: PathBuf,
    /// Speak on this interface; may be repeated.
    #[arg(long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,
    /// Give a key another value; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) sets: Vec<(String, String)>,
    /// Write one JSON object to standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows what may stand in a manifest.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa manifest defaults gray > gray.toml")]
pub(crate) struct ManifestArgs {
    #[command(subcommand)]
    pub(crate) command: ManifestCommand,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Writes a JSON Schema of manifests and lab files, for editors and other tools.
    #[command(after_help = "Example:\n  asa manifest schema > asa.schema.json")]
    Schema {
        /// Know only this class; may be repeated. All classes of this binary otherwise.
        #[arg(long = "class", value_name = "CLASS")]
        classes: Vec<String>,
    },
    /// Writes a manifest for one instance of a class: every key with its default and what it is for.
    ///
    /// Exit code 2 if this binary carries no such class.
    #[command(after_help = "Example:\n  asa manifest defaults gray")]
    Defaults {
        /// The class.
        class: String,
    },
}

/// Lets two agents talk in one process, without a network.
///
/// Goes on until Ctrl-C, or ends after --sessions with a summary.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa demo gray-briggs --sessions 3 --seed 7 --pace fast")]
pub(crate) struct DemoArgs {
    /// Who talks.
    #[arg(value_enum, default_value_t = Demo::GrayBriggs)]
    pub(crate) demo: Demo,
    /// End after this many negotiations.
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<NonZeroU64>,
    /// Start the random choices here, so that a run can be repeated.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Pause for readers, or do not.
    #[arg(long, value_enum, default_value_t = Pace::Human)]
    pub(crate) pace: Pace,
    /// End after this many seconds; only for prefix.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<NonZeroU64>,
    /// Kill a random node this often; only for prefix.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) kill_every: Option<NonZeroU64>,
}

/// The demonstrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Demo {
    /// A customer asks a bank for money.
    GrayBriggs,
    /// Three tiers of devices share prefixes, and clients come and go.
    Prefix,
}

/// How fast a demonstration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// Pauses so that people can read along.
    Human,
    /// No pause without need.
    Fast,
}

/// Runs what a manifest says until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa run config/briggs.toml --interface eth0 --log-format json")]
pub(crate) struct RunArgs {
    /// The manifest.
    pub(crate) manifest: PathBuf,
    /// Speak on this interface; may be repeated, and replaces the manifest's list.
    #[arg(long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,
    /// Give a key another value; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) sets: Vec<(String, String)>,
    /// How to write events to standard output.
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    /// End after this many negotiations.
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<NonZeroU64>,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Relays discovery and floods between interfaces, without agents of its own.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa relay --interface eth0 eth1")]
pub(crate) struct RelayArgs {
    /// The interfaces to relay between.
    #[arg(long = "interface", value_name = "NAME", required = true, num_args = 1..)]
    pub(crate) interfaces: Vec<String>,
    /// Take part as a node of this manifest would: with its substrate and its credentials. Without it nothing is protected.
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,
    /// Give a key another value; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) sets: Vec<(String, String)>,
    /// How to write events to standard output.
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

/// Decodes GRASP messages, hexadecimal and one a line, into one JSON object a line.
///
/// Exit code 0 if all were decoded, 1 if some were not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  echo 83061a19bc60c2811865 | asa decode")]
pub(crate) struct DecodeArgs {
    /// The file to read; standard input if there is none.
    pub(crate) file: Option<PathBuf>,
}

/// What the subcommands that speak by hand have in common.
#[derive(Debug, Args)]
pub(crate) struct BrowseArgs {
    /// Speak on this interface; may be repeated.
    #[arg(long = "interface", value_name = "NAME", required = true)]
    pub(crate) interfaces: Vec<String>,
    /// Take part as a node of this manifest would: with its substrate and its credentials. Without it nothing is protected.
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,
    /// Give a key of the temporary node another value; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) sets: Vec<(String, String)>,
    /// Wait this many milliseconds for answers.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
    /// Let messages travel this many hops.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) loop_count: u8,
    /// Write one JSON object a line to standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Finds the nodes that offer an objective.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa discover EX3 --interface eth0 --timeout 2000")]
pub(crate) struct DiscoverArgs {
    /// The names of the objectives.
    #[arg(required = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) browse: BrowseArgs,
}

/// Reads the value of an objective from a node that offers it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa synchronize EX2 --interface eth0 --json")]
pub(crate) struct SynchronizeArgs {
    /// The names of the objectives.
    #[arg(required = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) names: Vec<String>,
    /// Ask this node instead of discovering one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) peer: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) browse: BrowseArgs,
}

/// Floods a value of an objective once.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa flood EX1 '\"the time is now\"' --interface eth0 --ttl 60000")]
pub(crate) struct FloodArgs {
    /// The name of the objective.
    pub(crate) name: String,
    /// The value as JSON.
    #[arg(value_parser = json_value)]
    pub(crate) value: serde_json::Value,
    /// Let the value be valid for this many milliseconds; 0 is for ever.
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub(crate) ttl: u32,
    #[command(flatten)]
    pub(crate) browse: BrowseArgs,
}

/// Listens for flooded values of an objective.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa get-flood EX1 --interface eth0 --timeout 65000")]
pub(crate) struct GetFloodArgs {
    /// The names of the objectives.
    #[arg(required = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) browse: BrowseArgs,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE, such as grasp.port=7018".to_owned()),
    }
}

fn json_value(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON, such as '[1, \"two\"]': {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn every_subcommand_has_help_with_an_example() {
        Cli::command().debug_assert();
        let mut all = Cli::command();
        for subcommand in all.get_subcommands_mut() {
            let name = subcommand.get_name().to_owned();
            assert!(subcommand.get_about().is_some(), "{name} says nothing about itself");
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("Example:\n  "), "{name} has no example");
            assert!(help.contains(&format!("asa {name}")), "the example of {name} shows something else");
        }
    }

    #[test]
    fn the_lines_of_the_examples_parse() {
        let Command::Demo(demo) = parse("asa demo gray-briggs --sessions 3 --seed 7 --pace fast").unwrap() else {
            panic!()
        };
        assert_eq!((demo.demo, demo.sessions.map(NonZeroU64::get), demo.seed), (Demo::GrayBriggs, Some(3), Some(7)));
        assert_eq!(demo.pace, Pace::Fast);
        let line = "asa run a.toml --interface a --interface b --set x.y=1=2 --log-format json --sessions 2";
        let Command::Run(run) = parse(line).unwrap() else { panic!() };
        assert_eq!((run.manifest, run.interfaces.len()), (PathBuf::from("a.toml"), 2));
        assert_eq!(run.sets, [("x.y".to_owned(), "1=2".to_owned())]);
        assert_eq!((run.log_format, run.sessions.map(NonZeroU64::get)), (Some(LogFormat::Json), Some(2)));
        let Command::Relay(relay) = parse("asa relay --interface a b --interface c").unwrap() else { panic!() };
        assert_eq!(relay.interfaces, ["a", "b", "c"]);
        assert_eq!((relay.sets.len(), relay.log_format), (0, None));
        let Command::Decode(decode) = parse("asa decode").unwrap() else { panic!() };
        assert_eq!(decode.file, None);
        let Command::Discover(discover) = parse("asa discover EX3 EX2 --interface a --timeout 9 --json").unwrap()
        else {
            panic!()
        };
        assert_eq!((discover.names[0].as_str(), discover.browse.timeout, discover.browse.json), ("EX3", 9, true));
        assert_eq!((discover.browse.interfaces.len(), discover.browse.sets.len()), (1, 0));
        let line = "asa synchronize EX2 --peer [fe80::1%3]:7017 --interface a";
        let Command::Synchronize(synchronize) = parse(line).unwrap() else { panic!() };
        assert_eq!(synchronize.peer.map(|peer| peer.port()), Some(7017));
        assert_eq!((synchronize.names[0].as_str(), synchronize.browse.loop_count), ("EX2", 6));
        let Command::Flood(flood) = parse("asa flood EX1 [1,null] --ttl 5 --loop-count 2 --interface a").unwrap()
        else {
            panic!()
        };
        assert_eq!((flood.name.as_str(), flood.ttl, flood.browse.loop_count), ("EX1", 5, 2));
        assert_eq!(flood.value, serde_json::json!([1, null]));
        let Command::GetFlood(get) = parse("asa get-flood EX1 --interface a").unwrap() else { panic!() };
        assert_eq!((get.names[0].as_str(), get.browse.timeout), ("EX1", 5000));
        let Command::Manifest(shows) = parse("asa manifest schema --class gray --class briggs").unwrap() else {
            panic!()
        };
        let ManifestCommand::Schema { classes } = shows.command else { panic!() };
        assert_eq!(classes, ["gray", "briggs"]);
        let Command::Manifest(shows) = parse("asa manifest defaults gray").unwrap() else { panic!() };
        assert!(matches!(shows.command, ManifestCommand::Defaults { class } if class == "gray"));
        let Command::Check(check) = parse("asa check a.toml --json").unwrap() else { panic!() };
        assert!(check.json && check.sets.is_empty() && check.interfaces.is_empty());
        assert_eq!(check.manifest, PathBuf::from("a.toml"));
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "asa",
            "asa run",
            "asa run a.toml --set port",
            "asa run a.toml --set =1",
            "asa run a.toml --sessions 0",
            "asa run a.toml --log-format xml",
            "asa demo white-black",
            "asa relay",
            "asa flood EX1 nonsense --interface a",
            "asa flood EX1 1 --interface a --loop-count 0",
            "asa synchronize EX2 --interface a --peer fe80::1",
            "asa discover EX3",
            "asa manifest",
            "asa manifest defaults",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{line}");
        }
    }
}
