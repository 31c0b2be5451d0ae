//! The command line of `asa keys`.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use asa_authority::{Domain, NodeName, Rsub};
use clap::{Args, Subcommand};

use super::keys_quads::Quads;

/// Looks after the keys and certificates of a domain of nodes (RFC 8994, section 6.2).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asa keys init-domain acp.example.com --dir authority")]
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
    /// Exit code 0 if it is done, 1 if it was refused or failed, 2 for a wrong command line.
    #[command(subcommand, after_help = "Example:\n  asa keys quads make --out /etc/asa/quads.key")]
    Quads(Quads),
    /// Founds a domain: makes a directory with the certificate and key of its authority, and an empty revocation list.
    ///
    /// Whoever has the key can let any node into the domain: keep the directory off the nodes. Exit code 0 if that is done, 1 if
    /// something is there already or it failed, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa keys init-domain acp.example.com --dir authority")]
    InitDomain(InitArgs),
    /// Makes a key for a node, with its certificate, in a directory that can be carried to the node.
    ///
    /// Shows the lines for the manifest of the node. Exit code 0 if that is done, 1 if it was refused or failed, 2 for a wrong
    /// command line.
    #[command(after_help = "Example:\n  asa keys issue north --dir authority --address fd89:b714:f3db::1 --out north")]
    Issue(IssueArgs),
    /// Tells what certificates, keys, revocation lists and directories of domains are, and what is wrong with them.
    ///
    /// Never shows a secret. Exit code 0 if all is well, 1 if something cannot be read, is not valid now, or does not verify, 2
    /// for a wrong command line.
    #[command(after_help = "Example:\n  asa keys show north/north.crt north/north.key --anchors north/domain.crt")]
    Show(ShowArgs),
    /// Makes a new certificate for a node, with the same names; the old one is valid until it ends.
    ///
    /// The files of the node are replaced, its key too. Exit code 0 if that is done, 1 if it was refused or failed, 2 for a wrong
    /// command line.
    #[command(after_help = "Example:\n  asa keys renew north --dir authority --out north")]
    Renew(RenewArgs),
    /// Revokes the certificates of a node, or one of them, and writes the revocation list anew.
    ///
    /// Nodes hear of it when they have the list. Exit code 0 if that is done, 1 if it was refused or failed, 2 for a wrong command
    /// line.
    #[command(after_help = "Example:\n  asa keys revoke north --dir authority")]
    Revoke(RevokeArgs),
    /// Writes the revocation list anew, before the old one is out of date.
    ///
    /// Exit code 0 if that is done, 1 if it failed, 2 for a wrong command line.
    #[command(after_help = "Example:\n  asa keys crl --dir authority --days 30")]
    Crl(CrlArgs),
}

/// The domain that is meant, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct DomainArgs {
    /// The directory of the domain.
    #[arg(long = "dir", value_name = "PATH")]
    pub(crate) directory: PathBuf,
    /// Write what was done to standard output, as JSON on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The domain, such as acp.example.com: best a name in the DNS that is yours.
    pub(crate) domain: Domain,
    /// How many days the authority is valid.
    #[arg(long, value_name = "N", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) place: DomainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The name of the node, as node.name of its manifest.
    pub(crate) node: NodeName,
    /// The address of the node in its autonomic control plane; 0 stands in the certificate otherwise.
    #[arg(long, value_name = "IPV6", value_parser = address)]
    pub(crate) address: Option<Ipv6Addr>,
    /// The routing subdomain, if the domain has several address prefixes.
    #[arg(long, value_name = "NAME")]
    pub(crate) rsub: Option<Rsub>,
    /// How many days the certificate is valid; not longer than the authority.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
    /// Where to write the files; the directory NODE otherwise. A directory that is not there is made.
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: DomainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Certificates, keys, revocation lists, or directories of domains.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Who may vouch for them: certificates of authorities.
    #[arg(long, value_name = "FILE")]
    pub(crate) anchors: Option<PathBuf>,
    /// What is revoked: revocation lists of the anchors.
    #[arg(long, value_name = "FILE", requires = "anchors")]
    pub(crate) revocations: Option<PathBuf>,
    /// Write one JSON object to standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// The name of the node.
    pub(crate) node: NodeName,
    /// Keep the key: the certificate is read from the output directory, and only it is replaced.
    #[arg(long)]
    pub(crate) same_key: bool,
    /// Revoke the certificates that the node has had so far.
    #[arg(long)]
    pub(crate) revoke_old: bool,
    /// How many days the certificate is valid; not longer than the authority.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
    /// Where to write the files; the directory NODE otherwise. A directory that is not there is made.
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: DomainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The name of the node, or the serial number of one certificate.
    #[arg(value_name = "NODE|SERIAL")]
    pub(crate) which: String,
    /// How many days nodes may rely on the new list.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) place: DomainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CrlArgs {
    /// How many days nodes may rely on the list.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) place: DomainArgs,
}

/// Reads an address that one node alone can have.
fn address(text: &str) -> Result<Ipv6Addr, String> {
    let address: Ipv6Addr =
        text.parse().map_err(|_| "expected an IPv6 address, such as fd89:b714:f3db::1".to_owned())?;
    let shared = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    if shared || address.is_unicast_link_local() || address.to_ipv4_mapped().is_some() {
        return Err("expected an address that one node alone can have, such as fd89:b714:f3db::1".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Keys {
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Command::Keys(keys)) => keys.command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_subcommand_has_help_with_an_example_that_parses() {
        let mut all = Cli::command();
        all.build();
        let keys = all.find_subcommand_mut("keys").unwrap();
        for subcommand in keys.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
            let name = subcommand.get_name().to_owned();
            let help = subcommand.render_long_help().to_string();
            let example = help.split("Example:\n  ").nth(1).unwrap_or_else(|| panic!("{name} has no example"));
            assert!(example.starts_with(&format!("asa keys {name}")), "the example of {name} shows something else");
            parse(example.trim());
            assert!(help.contains("xit code 0"), "{name} says nothing of its exit codes");
        }
    }

    #[test]
    fn usage_errors_exit_with_2() {
        for line in [
            "asa keys",
            "asa keys init-domain acp.example.com",
            "asa keys init-domain 9.example.com --dir a",
            "asa keys init-domain ../a --dir a",
            "asa keys init-domain a --dir a --days 0",
            "asa keys issue ../north --dir a",
            "asa keys issue north --dir a --address 10.0.0.1",
            "asa keys issue north --dir a --address fe80::1",
            "asa keys issue north --dir a --address ff02::1",
            "asa keys issue north --dir a --rsub -a",
            "asa keys show",
            "asa keys show a --revocations b",
            "asa keys renew --dir a",
            "asa keys revoke --dir a",
            "asa keys crl",
            "asa keys crl --dir a --days 0",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
