//! `asa keys` by hand, as somebody who has never seen it, and as somebody who means harm.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use asa_authority::{Authority, Request, Revocations, Serial, Validity};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

const ASA: &str = env!("CARGO_BIN_EXE_asa");

/// A directory of its own; removed at the end.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With the domain acp.example.com in `ca`.
    fn founded() -> Self {
        let place = Self::new();
        place.done("init-domain acp.example.com --dir ca");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(ASA);
        command
            .arg("keys")
            .args(line.split(' '))
            .current_dir(self.0.path())
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    fn keys(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs what has to work.
    fn done(&self, line: &str) -> String {
        let (code, out, err) = self.keys(line);
        assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
        out
    }

    /// Runs what has to fail, with nothing on standard output.
    fn refused(&self, line: &str, code: i32, why: &str) {
        let (found, out, err) = self.keys(line);
        assert_eq!((found, out.as_str()), (code, ""), "{line}: {err}");
        assert!(err.contains(why), "{line}: {why:?} is not in {err}");
    }

    fn json(&self, line: &str) -> Value {
        let out = self.done(&format!("{line} --json"));
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// What `asa keys show` says, whatever its exit code.
    fn show(&self, line: &str) -> (i32, Value) {
        let (code, out, err) = self.keys(&format!("show {line} --json"));
        assert_eq!(err, "");
        (code, serde_json::from_str(&out).unwrap())
    }

    /// Every path below with its mode, in order.
    fn modes(&self, below: &str) -> Vec<(String, u32)> {
        let mut found: Vec<(String, u32)> = std::fs::read_dir(self.path(below))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().mode() & 0o7777))
            .collect();
        found.sort();
        found
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }
}

fn modes(files: &[(&str, u32)]) -> Vec<(String, u32)> {
    files.iter().map(|(name, mode)| ((*name).to_owned(), *mode)).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

/// RFC 8994, section 6.2
#[test]
fn an_operator_founds_a_domain_and_carries_a_node_into_it() {
    let place = Place::new();
    let out = place.done("init-domain ACP.example.com --dir ca");
    assert!(out.contains("the authority of acp.example.com is in ca") && out.contains("asa keys issue"), "{out}");
    let own = [("domain.crt", 0o644), ("domain.key", 0o600), ("register", 0o600), ("revoked.crl", 0o644)];
    assert_eq!((mode(&place.path("ca")), place.modes("ca")), (0o700, modes(&own)));

    let out = place.done("issue north --dir ca --address fd89:b714:f3db::1 --rsub area51");
    let node = [("domain.crt", 0o644), ("north.crt", 0o644), ("north.key", 0o600), ("revoked.crl", 0o644)];
    assert_eq!((mode(&place.path("north")), place.modes("north")), (0o700, modes(&node)));
    assert_eq!(place.read("north/domain.crt"), place.read("ca/domain.crt"));
    assert_eq!(place.read("north/revoked.crl"), place.read("ca/revoked.crl"));

    // What is to be pasted is a manifest whose paths are those of the files.
    let manifest: toml::Table = toml::from_str(&out[out.find("[grasp]").unwrap()..]).unwrap();
    assert_eq!(manifest["grasp"]["substrate"].as_str(), Some("tls"));
    let north = place.path("north").canonicalize().unwrap();
    for (key, file) in
        [("certificate", "north.crt"), ("key", "north.key"), ("anchors", "domain.crt"), ("revocations", "revoked.crl")]
    {
        assert_eq!(manifest["grasp"]["tls"][key].as_str(), north.join(file).to_str(), "{key}");
    }

    let shown = place
        .done("show ca north/north.crt north/north.key --anchors north/domain.crt --revocations north/revoked.crl");
    for part in [
        "fd89b714f3db00000000000000000001+area51@acp.example.com",
        "fd89:b714:f3db::1",
        "north.acp.example.com",
        " days left",
        "private key",
        "the anchors vouch for it",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("warning") && !shown.contains("WRONG") && !shown.contains('\u{1b}'), "{shown}");
    let secret = place.read("north/north.key");
    assert!(secret.lines().filter(|line| !line.starts_with('-')).all(|line| !shown.contains(&line[..16])));
    let register = place.read("ca/register");
    assert_eq!(register.lines().filter(|line| line.starts_with("certificate ")).count(), 1);
}

#[test]
fn json_says_what_was_done_and_what_is_there() {
    let place = Place::new();
    let founded = place.json("init-domain acp.example.com --dir ca --days 100");
    assert_eq!((&founded["domain"], &founded["files"]["key"]), (&"acp.example.com".into(), &"ca/domain.key".into()));
    let issued = place.json("issue north --dir ca --out out --days 20");
    assert_eq!(issued["acp_node_name"], "0@acp.example.com");
    assert_eq!(issued["notes"], serde_json::json!([]));
    let serial = issued["serial"].as_str().unwrap();
    let (code, shown) = place.show("ca out/north.crt out/north.key out/revoked.crl --anchors ca/domain.crt");
    assert_eq!((code, &shown["sound"]), (0, &true.into()));
    let files = shown["files"].as_array().unwrap();
    assert_eq!(files[0]["register"]["certificates"][0]["serial"], serial);
    assert_eq!(files[0]["register"]["certificates"][0]["live"], true);
    assert_eq!((&files[1]["items"][0]["node"], &files[1]["verified"]), (&"north".into(), &true.into()));
    assert_eq!(files[1]["items"][0]["serial"], serial);
    assert!(matches!(files[1]["items"][0]["days_left"].as_i64(), Some(19 | 20)), "{shown}");
    assert!(files[1]["warnings"][0].as_str().unwrap().contains("ends soon"), "{shown}");
    assert_eq!(files[2]["items"][0]["key_sha256"], files[1]["items"][0]["key_sha256"]);
    assert_eq!((&files[3]["items"][0]["kind"], &files[3]["verified"]), (&"revocations".into(), &true.into()));
    // A certificate does not outlive the authority.
    let issued = place.json("issue south --dir ca --days 365");
    assert_eq!(issued["until"], founded["until"]);
    assert!(issued["notes"][0].as_str().unwrap().contains("with the authority itself"), "{issued}");
    let renewed = place.json("renew north --dir ca --out out --days 10");
    assert_eq!((&renewed["new_key"], renewed["serial"] == issued["serial"]), (&true.into(), false));
    let revoked = place.json("revoke south --dir ca");
    assert_eq!((&revoked["revoked"], &revoked["list"]["number"]), (&serde_json::json!([issued["serial"]]), &2.into()));
    assert_eq!(place.json("crl --dir ca --days 3")["list"]["number"], 3);
}

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
    place.refused("issue south --dir ca --out out", 1, "south.key: it is there already");
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

#[test]
fn a_node_is_renewed_with_a_new_key_or_the_same_and_the_old_certificate_stays_valid() {
    let place = Place::founded();
    place.done("issue north --dir ca --address fd89:b714:f3db::1 --rsub b");
    let certificate = |place: &Place| {
        let (code, shown) = place.show("north/north.crt --anchors ca/domain.crt --revocations ca/revoked.crl");
        assert_eq!(code, 0, "{shown}");
        shown["files"][0]["items"][0].clone()
    };
    let (first, key) = (certificate(&place), place.read("north/north.key"));
    std::fs::copy(place.path("north/north.crt"), place.path("first.crt")).unwrap();
    place.done("renew north --dir ca --same-key");
    let second = certificate(&place);
    assert_eq!((&second["key_sha256"], &second["acp_node_name"]), (&first["key_sha256"], &first["acp_node_name"]));
    assert!(second["serial"] != first["serial"] && place.read("north/north.key") == key);
    // A file that was made too wide becomes narrow again.
    std::fs::set_permissions(place.path("north/north.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    place.done("renew north --dir ca");
    let third = certificate(&place);
    assert!(third["key_sha256"] != second["key_sha256"] && third["acp_node_name"] == first["acp_node_name"]);
    assert_eq!(mode(&place.path("north/north.key")), 0o600);
    let (_, key) = place.show("north/north.key");
    assert_eq!(key["files"][0]["items"][0]["key_sha256"], third["key_sha256"]);
    // All three are valid until the old ones are revoked.
    let old = "first.crt --anchors ca/domain.crt --revocations ca/revoked.crl";
    assert_eq!(place.show(old).0, 0);
    let out = place.done("renew north --dir ca --revoke-old");
    assert!(out.contains("revoked: 3"), "{out}");
    let (code, shown) = place.show(old);
    assert_eq!((code, &shown["files"][0]["faults"][0]), (1, &"it is revoked".into()));
    certificate(&place);
    assert_eq!(place.read("ca/revoked.crl"), place.read("north/revoked.crl"));

    place.refused("renew south --dir ca", 1, "no node south");
    place.refused("renew north --dir ca --same-key --out fresh", 1, "north.crt");
    std::fs::copy(place.path("first.crt"), place.path("north/north.crt")).unwrap();
    place.refused("renew north --dir ca --same-key", 1, "its key cannot be kept");
    place.done("revoke north --dir ca");
    place.refused("renew north --dir ca", 1, "north is revoked");
    place.done("issue north --dir ca --out again");
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
fn a_revoked_node_is_in_the_list_and_in_the_register() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    let serial = place.json("issue south --dir ca")["serial"].as_str().unwrap().to_owned();
    let out = place.done("revoke north --dir ca");
    assert!(out.contains("of north is revoked") && out.contains("Carry it to every node"), "{out}");
    let check =
        |node: &str| place.show(&format!("{node}/{node}.crt --anchors ca/domain.crt --revocations ca/revoked.crl")).0;
    assert_eq!((check("north"), check("south")), (1, 0));
    place.refused("revoke north --dir ca", 1, "revoked already");
    place.refused("revoke east --dir ca", 1, "neither a node nor a serial number");
    let pairs: Vec<&str> = (0..16).map(|at| &serial[2 * at..2 * at + 2]).collect();
    place.done(&format!("revoke {} --dir ca", pairs.join(":").to_uppercase()));
    assert_eq!(check("south"), 1);
    let (code, shown) = place.show("ca");
    assert_eq!(code, 0, "{shown}");
    assert_eq!(shown["files"][0]["items"][1]["revoked"].as_array().unwrap().len(), 2);
    // A list that is lost, spoilt or older than the register is found and made again.
    let newest = place.read("ca/revoked.crl");
    for (text, why) in
        [(None, "No such file"), (Some("x"), "no block"), (Some(&*place.read("north/revoked.crl")), "not the newest")]
    {
        match text {
            None => std::fs::remove_file(place.path("ca/revoked.crl")).unwrap(),
            Some(text) => place.write("ca/revoked.crl", text),
        }
        let (code, shown) = place.show("ca");
        assert!(code == 1 && shown["files"][0]["faults"].to_string().contains(why), "{shown}");
        place.done(&format!("issue n{} --dir ca", why.len()));
        assert_eq!(place.show("ca").0, 0);
        assert_ne!(place.read("ca/revoked.crl"), newest);
        assert_eq!((check("north"), check("south")), (1, 1));
    }
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

#[test]
fn what_has_ended_or_is_open_to_others_is_told() {
    let place = Place::new();
    let now = OffsetDateTime::now_utc();
    let validity = |from, until| Validity { from: now + Duration::days(from), until: now + Duration::days(until) };
    let serial = Serial::from_random([7; 16]);
    let (authority, key) = Authority::create("a.b".parse().unwrap(), serial, validity(-100, 100)).unwrap();
    let issue = |from, until| {
        let (node, name) = ("north".parse().unwrap(), "0@a.b".parse().unwrap());
        authority.issue(&Request { node, name, serial, validity: validity(from, until) }).unwrap().certificate
    };
    let list = Revocations { number: 1, validity: validity(-9, -2), revoked: Vec::new() };
    for (name, text) in [
        ("anchor", authority.certificate()),
        ("past", &issue(-50, -1)),
        ("future", &issue(1, 50)),
        ("soon", &issue(-1, 3)),
        ("list", &authority.revocations(&list).unwrap()),
        ("key", &key),
        ("both", &format!("{}{}", issue(-1, 50), *key)),
        ("junk", "\u{1b}[2J"),
    ] {
        place.write(name, text);
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    for (name, code, word) in [
        ("past", 1, "has ended"),
        ("future", 1, "not valid yet"),
        ("soon", 0, "ends soon: "),
        ("list", 1, "out of date"),
        ("key", 0, "open to others (mode 644)"),
        ("both", 1, "does not belong"),
        ("junk", 1, "no block"),
        ("nowhere", 1, "No such file"),
        ("anchor", 0, "certificate of an authority"),
    ] {
        let (found, out, err) = place.keys(&format!("show {name}"));
        assert!(found == code && out.contains(word) && err.is_empty(), "{name}: {found} {out}{err}");
        assert!(!out.contains('\u{1b}'));
        assert_eq!(place.show(name).0, code, "{name}");
    }
    assert_eq!(place.show("soon --anchors anchor").0, 0);
    assert_eq!(place.show("soon --anchors soon").0, 0, "what is an anchor itself needs nobody else");
    assert_eq!(place.show("soon --anchors list").0, 1);
    assert_eq!(place.show("soon --anchors nowhere").0, 1);
    assert_eq!(place.show("soon --anchors anchor --revocations list").0, 1);
    assert_eq!(place.show("soon --anchors anchor --revocations nowhere").0, 1);
}

/// RFC 8994, section 6.2.2.1; RFC 5280. Another implementation reads and verifies what was made.
#[test]
fn openssl_agrees() {
    let openssl = |place: &Place, line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(place.0.path()).stdin(Stdio::null()).output().ok()
    };
    let place = Place::founded();
    let Some(version) = openssl(&place, "version") else {
        eprintln!("openssl is not installed: skipped");
        return;
    };
    assert!(version.status.success());
    let run = |line: &str| {
        let output = openssl(&place, line).unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    place.done("issue north --dir ca --address fd89:b714:f3db::1");
    place.done("issue south --dir ca");
    let check = |node: &str| {
        run(&format!(
            "verify -x509_strict -CAfile ca/domain.crt -crl_check -CRLfile ca/revoked.crl -purpose sslserver {node}/{node}.crt"
        ))
    };
    for node in ["north", "south"] {
        let (good, text) = check(node);
        assert!(good, "{text}");
    }
    place.done("revoke south --dir ca");
    assert!(check("north").0);
    let (good, text) = check("south");
    assert!(!good && text.contains("revoked"), "{text}");
    let (_, text) = run("x509 -in north/north.crt -noout -text");
    for part in [
        "CN = north",
        "1.3.6.1.5.5.7.8.10",
        "DNS:north.acp.example.com",
        "Digital Signature, Key Agreement",
        "prime256v1",
    ] {
        assert!(text.replace("CN=", "CN = ").contains(part), "{part} is not in {text}");
    }
    // The content of the extension is the OCTET STRING after its name.
    let (_, text) = run("asn1parse -in north/north.crt");
    let mut lines = text.lines().skip_while(|line| !line.contains("X509v3 Subject Alternative Name"));
    let content = lines.find(|line| line.contains("OCTET STRING")).unwrap();
    let offset = content.split(':').next().unwrap().trim();
    let (_, text) = run(&format!("asn1parse -in north/north.crt -strparse {offset}"));
    let name = text.lines().find(|line| line.contains("IA5STRING")).unwrap_or_else(|| panic!("no IA5STRING in {text}"));
    assert!(name.ends_with(":fd89b714f3db00000000000000000001@acp.example.com"), "{text}");
    let (_, text) = run("x509 -in north/north.crt -noout -ext subjectAltName");
    assert!(text.contains("fd89b714f3db00000000000000000001@acp.example.com"), "{text}");
    let (good, text) = run("pkey -in north/north.key -noout -check");
    assert!(good, "{text}");
    let (_, text) = run("crl -in ca/revoked.crl -noout -text");
    assert!(text.contains("X509v3 CRL Number") && text.contains("X509v3 Authority Key Identifier"), "{text}");
}

/// What docs/keys.md says of a real PKI: a chain in the certificate file, several anchors, an otherName made with openssl.
#[test]
fn certificates_of_another_pki_are_understood() {
    let place = Place::founded();
    let run = |line: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(line.split(' ')).current_dir(place.0.path()).stdin(Stdio::null()).output().ok()?;
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    };
    if run("version").is_none() {
        eprintln!("openssl is not installed: skipped");
        return;
    }
    place.write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
    let name = "subjectAltName=otherName:1.3.6.1.5.5.7.8.10;IA5STRING:0+b@acp.example.com\n";
    place.write("node.ext", &format!("{name}keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"));
    place.write("utf8.ext", &name.replace("IA5STRING", "UTF8"));
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!("{request} -x509 -days 9 -keyout root.key -out root.crt -subj /CN=root")).unwrap();
    run(&format!("{request} -keyout mid.key -out mid.csr -subj /CN=middle")).unwrap();
    run("x509 -req -in mid.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile ca.ext -out mid.crt -days 9")
        .unwrap();
    run("req -new -newkey rsa:2048 -nodes -keyout n.key -out n.csr -subj /CN=north").unwrap();
    for extensions in ["node", "utf8"] {
        let sign = "x509 -req -in n.csr -CA mid.crt -CAkey mid.key -CAcreateserial -days 9";
        run(&format!("{sign} -extfile {extensions}.ext -out {extensions}.crt")).unwrap();
    }
    place.write("chain.crt", &(place.read("node.crt") + &place.read("mid.crt")));
    place.write("anchors.crt", &(place.read("ca/domain.crt") + &place.read("root.crt")));
    let (code, shown) = place.show("chain.crt n.key --anchors anchors.crt");
    assert_eq!(code, 0, "{shown}");
    let files = shown["files"].as_array().unwrap();
    let node = &files[0]["items"][0];
    assert_eq!((&node["acp_node_name"], &node["rsub"]), (&"0+b@acp.example.com".into(), &"b".into()));
    assert_eq!((&files[0]["items"][1]["authority"], &files[0]["verified"]), (&true.into(), &true.into()));
    assert_eq!((&node["key"], &files[1]["items"][0]["key_sha256"]), (&"RSA 2048".into(), &node["key_sha256"]));
    // Without what is between, or without its anchor, nobody vouches.
    assert_eq!(place.show("node.crt --anchors anchors.crt").0, 1);
    assert_eq!(place.show("chain.crt --anchors ca/domain.crt").0, 1);
    let (_, shown) = place.show("utf8.crt");
    assert!(shown["files"][0]["warnings"].to_string().contains("no IA5String"), "{shown}");
    // The old form of a key, and an encrypted one.
    run("pkey -in mid.key -traditional -out sec1.key").unwrap();
    run("pkey -in mid.key -aes256 -passout pass:x -out locked.key").unwrap();
    for (key, why) in [("sec1.key", "openssl pkcs8 -topk8"), ("locked.key", "is encrypted")] {
        let (code, shown) = place.show(key);
        assert!(code == 1 && shown["files"][0]["faults"].to_string().contains(why), "{shown}");
    }
}
