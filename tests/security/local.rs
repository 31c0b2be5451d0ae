//! Another user of the same host.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::domain::{ASA, BOUND, Domain};
use crate::lab::in_namespaces;

/// Another user can neither ask nor order a node, nor read its key, also where the directory is open to all.
#[test]
fn another_user_neither_commands_a_node_nor_reads_its_key() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let domain = Domain::found();
        let bank = domain.start(&hosts[0], "briggs", "config/briggs.toml", &[]);
        let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"];
        let stranger = |program: &str, args: &[&str]| {
            let child = hosts[1].command("setpriv").args(as_nobody).arg(program).args(args).spawn();
            (child.finish(BOUND).code(), child.output())
        };
        if stranger("true", &[]).0 != Some(0) {
            // Inside a user namespace with one user there is nobody else to be.
            let _ = std::io::stderr().write_all(b"SKIPPED another_user: no other user here\n");
            return;
        }
        std::fs::set_permissions(domain.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let socket = bank.socket.to_str().unwrap();
        for command in [&["status"][..], &["dump", "floods"], &["uninstall", "briggs"], &["reload"]] {
            let (code, output) = stranger(ASA, &[command, &["--socket", socket]].concat());
            assert!(
                code != Some(0) && output.contains("only the node's own user and root may speak with it"),
                "{command:?}: {code:?} {output}"
            );
        }
        let key = domain.path().join("briggs/briggs.key");
        std::fs::set_permissions(domain.path().join("briggs"), PermissionsExt::from_mode(0o755)).unwrap();
        let (code, output) = stranger("cat", &[key.to_str().unwrap()]);
        assert!(code != Some(0) && !output.contains("PRIVATE"), "{output}");
        assert_eq!(bank.ask(&["status"])["node"]["secure"], true);
    });
}
