//! `asa keys` in the hands of somebody who means harm, of many at once, and killed at any moment.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;

use serde_json::Value;

use super::{Place, mode, modes};

#[test]
fn nothing_that_is_there_is_overwritten() {
    let place = Place::founded();
    let before = place.read("ca/domain.key");
    place.refused("init-domain acp.example.com --dir ca", 1, "something is there already");
    place.write("file", "");
    place.refused("init-domain acp.example.com --dir file", 1, "something is there already");
    place.refused("init-domain acp.example.com --dir nowhere/ca", 1, "No such file");
    symlink(place.path("elsewhere"), place.path("link")).unwrap();
    place.refused("init-domain acp.example.com --dir link", 1, "something is there already");
    assert!(!place.path("elsewhere").exists());
    std::fs::create_dir(place.path("empty")).unwrap();
    place.done("init-domain acp.example.com --dir empty");
    assert_eq!((mode(&place.path("empty")), place.modes("empty").len()), (0o700, 4));

    place.done("issue north --dir ca");
    place.refused("issue north --dir ca --out other", 1, "asa keys renew");
    // A file of the same name in the way: nothing is registered, nothing is left behind.
    let register = place.read("ca/register");
    std::fs::create_dir(place.path("out")).unwrap();
    place.write("out/south.key", "mine");
    place.refused(
        "issue south --dir ca --out out",
        1,
        "south.key: it is there already, and stays as it is; choose another directory with --out",
    );
    std::fs::remove_file(place.path("out/south.key")).unwrap();
    symlink(place.path("elsewhere"), place.path("out/south.crt")).unwrap();
    place.refused("issue south --dir ca --out out", 1, "south.crt: it is there already");
    place.write("out/domain.crt", &place.read("empty/domain.crt"));
    std::fs::remove_file(place.path("out/south.crt")).unwrap();
    place.refused("issue south --dir ca --out out", 1, "that of another authority");
    assert_eq!(place.modes("out"), modes(&[("domain.crt", mode(&place.path("out/domain.crt")))]));
    assert_eq!((place.read("ca/register"), place.read("ca/domain.key")), (register, before));
    assert!(!place.path("elsewhere").exists());
    let hidden: Vec<_> = place.modes(".").into_iter().filter(|(name, _)| name.starts_with('.')).collect();
    assert_eq!(hidden, []);
}

/// The operator is root, the node is another user.
#[test]
fn a_renewed_key_belongs_to_whom_the_old_one_belonged_to() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can give files away: skipped");
        return;
    }
    let place = Place::founded();
    place.done("issue north --dir ca");
    let owner = |name: &str| std::fs::metadata(place.path(name)).unwrap().uid();
    std::os::unix::fs::chown(place.path("north/north.key"), Some(4711), None).unwrap();
    place.done("renew north --dir ca");
    assert_eq!((owner("north/north.key"), owner("north/north.crt")), (4711, 0));
    assert_eq!(mode(&place.path("north/north.key")), 0o600);
    // Where others can put files, one of theirs does not get the key.
    std::fs::set_permissions(place.path("north"), std::fs::Permissions::from_mode(0o775)).unwrap();
    place.refused("renew north --dir ca", 1, "open to others");
    assert_eq!(place.modes("north").len(), 4);
}

#[test]
fn hostile_names_and_files_write_nothing_elsewhere() {
    let place = Place::founded();
    let before = (place.modes("."), place.modes("ca"), place.read("ca/register"));
    for node in ["../evil", "a/b", "/tmp/evil", "a%b", "ä", "north;", &"a".repeat(64)] {
        place.refused(&format!("issue {node} --dir ca"), 2, "node name");
    }
    for (node, why) in
        [("..", "hidden"), (".", "hidden"), (".ssh", "hidden"), ("domain", "authority"), ("DOMAIN", "authority")]
    {
        place.refused(&format!("issue {node} --dir ca --out ca"), 1, why);
    }
    for domain in ["../evil", "a..b", ".", "-a", "a/b", "acp.example.com/"] {
        place.refused(&format!("init-domain {domain} --dir new"), 2, "");
    }
    place.refused("issue a --dir ca --rsub ../b", 2, "routing subdomain");
    place.refused("issue a --dir ca --address ::ffff:10.0.0.1", 2, "one node alone");
    std::fs::create_dir(place.path("ca/open")).unwrap();
    std::fs::set_permissions(place.path("ca/open"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    place.refused("issue a --dir ca --out ca/open", 1, "everybody may put files there");
    std::fs::remove_dir(place.path("ca/open")).unwrap();
    place.refused("issue a --dir /dev/null", 1, "/dev/null");
    place.refused("issue a --dir nowhere", 1, "nowhere: No such file");
    assert_eq!(before, (place.modes("."), place.modes("ca"), place.read("ca/register")));

    // A register that somebody has changed.
    place.done("issue north --dir ca");
    let good = place.read("ca/register");
    for (from, to, why) in [
        (" north ", " ../north ", "line 5: node name"),
        ("domain acp.example.com", "domain acp.example.org", "line 5"),
        ("list 1", "list 99999999999999999999", "line 3"),
        ("asa-register 1", "\u{1b}[2J", "line 1"),
        (" -\n", "", "not whole"),
    ] {
        assert!(good.contains(from));
        place.write("ca/register", &good.replace(from, to));
        for line in ["issue south --dir ca", "renew north --dir ca", "revoke north --dir ca", "crl --dir ca"] {
            place.refused(line, 1, why);
        }
        let (code, out, _) = place.keys("show ca");
        assert!(code == 1 && out.contains(why) && !out.contains('\u{1b}'), "{out}");
    }
    place.write("ca/register", &good);
    // A key that is not that of the certificate; a pipe, for which nobody waits.
    place.done("init-domain acp.example.com --dir other");
    let key = place.read("ca/domain.key");
    place.write("ca/domain.key", &place.read("other/domain.key"));
    place.refused("issue south --dir ca", 1, "does not belong");
    std::fs::remove_file(place.path("ca/domain.key")).unwrap();
    nix::unistd::mkfifo(&place.path("ca/domain.key"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.refused("issue south --dir ca", 1, "it is no file");
    std::fs::remove_file(place.path("ca/domain.key")).unwrap();
    place.write("ca/domain.key", &key);
    assert!(!place.path("south").exists());
    place.done("issue south --dir ca");
    // One address, one node.
    place.done("issue east --dir ca --address fd89::1");
    place.refused("issue west --dir ca --address fd89::1", 1, "east has this address");
}

#[test]
fn many_at_once_lose_nothing() {
    let place = Place::founded();
    let line = |number: usize| format!("issue n{number} --dir ca --out out");
    std::fs::create_dir(place.path("out")).unwrap();
    let mut children: Vec<_> = (0..8)
        .map(|number| place.command(&line(number / 2)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let codes: Vec<i32> = children.iter_mut().map(|child| child.wait().unwrap().code().unwrap()).collect();
    // Of two for one node, one is refused.
    assert!(codes.chunks(2).all(|pair| pair[0] + pair[1] == 1), "{codes:?}");
    let (code, shown) = place.show("ca");
    assert_eq!((code, shown["files"][0]["register"]["certificates"].as_array().unwrap().len()), (0, 4));
    let registered = shown["files"][0]["register"]["certificates"].as_array().unwrap();
    for entry in registered {
        let node = entry["node"].as_str().unwrap();
        let (code, shown) = place.show(&format!("out/{node}.crt out/{node}.key --anchors out/domain.crt"));
        assert_eq!(code, 0, "{shown}");
        let items = [0, 1].map(|index| shown["files"][index]["items"][0].clone());
        assert_eq!((&items[0]["serial"], &items[0]["key_sha256"]), (&entry["serial"], &items[1]["key_sha256"]));
    }
    assert_eq!((place.modes("out").len(), place.modes("ca").len()), (10, 4));
}

/// The machine may stop at any moment: what is anywhere is in the register, and the register can be read.
#[test]
fn a_command_that_is_killed_leaves_a_register_that_is_true() {
    let place = Place::founded();
    std::fs::create_dir(place.path("out")).unwrap();
    let begun = std::time::Instant::now();
    place.done("issue whole --dir ca --out out");
    let whole = begun.elapsed();
    let mut finished = 0;
    for number in 0..60_u32 {
        let line = if number % 3 == 2 {
            format!("revoke n{} --dir ca", number - 1)
        } else {
            format!("issue n{number} --dir ca --out out")
        };
        let mut child = place.command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Steps of different length for both kinds, past the end of most.
        std::thread::sleep(whole * (number * 7 % 60) / 40);
        child.kill().unwrap();
        finished += usize::from(child.wait().unwrap().success());
        let (_, shown) = place.show("ca");
        assert!(shown["files"][0]["register"].is_object(), "{shown}");
    }
    let (_, shown) = place.show("ca");
    let registered = shown["files"][0]["register"]["certificates"].as_array().unwrap();
    for (name, _) in place.modes("out").iter().filter(|(name, _)| !name.starts_with('.') && name.starts_with('n')) {
        let node = name.split('.').next().unwrap();
        let entry = registered.iter().find(|entry| entry["node"] == node);
        let entry = entry.unwrap_or_else(|| panic!("{name} is not in the register: {shown}"));
        if name.ends_with(".crt") {
            assert_eq!(place.show(&format!("out/{name}")).1["files"][0]["items"][0]["serial"], entry["serial"]);
        }
        // What had no name yet is as closed as what has one.
        assert_eq!(mode(&place.path("out").join(name)) & 0o077 == 0, name.ends_with(".key"), "{name}");
    }
    for (name, mode) in place.modes("out").iter().filter(|(name, _)| name.contains(".key.")) {
        assert_eq!(*mode, 0o600, "{name}");
    }
    // Whatever was revoked is in the next list, though the command that revoked it may not have written one.
    place.done("crl --dir ca");
    let (code, shown) = place.show("ca");
    assert_eq!(code, 0, "{shown}");
    let revoked = registered.iter().filter(|entry| !entry["revoked"].is_null()).count();
    assert_eq!(shown["files"][0]["items"][1]["revoked"].as_array().unwrap().len(), revoked);
    println!("{finished} of 60 commands came to their end, {} certificates, {revoked} revoked", registered.len());
}

#[test]
fn a_revocation_that_cannot_be_written_is_none() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    std::fs::remove_file(place.path("ca/revoked.crl")).unwrap();
    std::fs::create_dir_all(place.path("ca/revoked.crl")).unwrap();
    place.refused("revoke north --dir ca", 1, "revoked.crl");
    let (code, shown) = place.show("ca");
    assert_eq!((code, &shown["files"][0]["register"]["certificates"][0]["revoked"]), (1, &Value::Null));
    std::fs::remove_dir(place.path("ca/revoked.crl")).unwrap();
    place.done("revoke north --dir ca");
    // The register says that it is revoked, and the list is lost: nobody has to remember it.
    std::fs::remove_file(place.path("ca/revoked.crl")).unwrap();
    place.done("crl --dir ca");
    assert_eq!(place.show("north/north.crt --anchors ca/domain.crt --revocations ca/revoked.crl").0, 1);
}
