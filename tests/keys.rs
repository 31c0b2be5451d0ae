//! `asa keys` by hand, as somebody who has never seen it.

mod again;
mod harm;
mod openssl;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
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
    let cut = |name: &str, at: usize| place.read(name)[..at].to_owned();
    for (text, why) in [
        (cut("anchor", 200), "the block of PEM CERTIFICATE has no end: the file is cut"),
        (place.read("list") + &cut("list", 200), "the block of PEM X509 CRL has no end: the file is cut"),
        (cut("key", 60), "the block of PEM PRIVATE KEY has no end: the file is cut"),
        (cut("key", 20), "a line that begins with -----BEGIN does not end"),
        (place.read("key").replace("\nM", "\n!"), "a block of PEM is not in base64"),
    ] {
        place.write("broken", &text);
        let (code, shown) = place.show("broken");
        let fault = shown["files"][0]["faults"][0].as_str().unwrap();
        assert!(code == 1 && fault.starts_with(why) && fault.ends_with("; write it anew"), "{shown}");
    }
    assert_eq!(place.show("soon --anchors anchor").0, 0);
    assert_eq!(place.show("soon --anchors soon").0, 0, "what is an anchor itself needs nobody else");
    assert_eq!(place.show("soon --anchors list").0, 1);
    assert_eq!(place.show("soon --anchors nowhere").0, 1);
    assert_eq!(place.show("soon --anchors anchor --revocations list").0, 1);
    assert_eq!(place.show("soon --anchors anchor --revocations nowhere").0, 1);
}
