//! `asa keys quads`: key files as an operator makes, shows and takes them over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ASA: &str = env!("CARGO_BIN_EXE_asa");
/// The key file of the password "test", as graspy's `quadsmaker` writes it.
const TEST_FILE: &str = r"key=b'\x98\x9a\xaa\xf1\x19I\xa2\xcdh\xbf\xf1\xc0\x16O\xdb\x82E\x9f\xc2\xf1\x8d\xae\xce\x83F\x13\xc9*\xe5_\xfd\xc8'
iv=b'\xaa\xf1\x19I\xa2\xcdh\xbf\xf1\xc0\x16O\xdb\x82E\x9f'
";

fn shell(directory: &Path, script: &str) -> (i32, String, String) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(directory).env("ASA", ASA).env_remove("CREDENTIALS_DIRECTORY");
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// EX-Q-07: the same file from every source, for its owner alone whatever the mask, and shown by its fingerprint only.
#[test]
fn a_key_is_made_from_a_secret_wherever_it_is() {
    let place = tempfile::tempdir().unwrap();
    let (code, _, err) = shell(place.path(), "umask 0; (umask 077; echo test > password)");
    assert_eq!((code, err.as_str()), (0, ""));
    let mut shown = Vec::new();
    for (number, script) in [
        "--from \"file:$PWD/password\"",
        "--from fd:3 3< password",
        "--from fd:0 < password",
        "--from credential:password",
    ]
    .iter()
    .enumerate()
    {
        let credentials = "umask 0; export CREDENTIALS_DIRECTORY=\"$PWD\"";
        let (code, out, err) =
            shell(place.path(), &format!("{credentials}; $ASA keys quads make --out {number} {script}"));
        assert_eq!((code, err.as_str()), (0, ""), "{script}");
        let file = place.path().join(number.to_string());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file)), (TEST_FILE, 0o600), "{script}");
        assert!(out.contains(&format!("key = \"file:{}\"", file.display())), "{out}");
        let (code, fingerprint, _) = shell(place.path(), &format!("$ASA keys quads show {number}"));
        assert_eq!(code, 0);
        assert!(out.starts_with(&fingerprint) && fingerprint.starts_with("fingerprint "), "{out}{fingerprint}");
        assert!(!out.contains("test") || place.path().display().to_string().contains("test"), "{out}");
        assert!(!out.contains("989aaa") && !out.contains("x98"), "{out}");
        shown.push(fingerprint);
    }
    shown.dedup();
    assert_eq!(shown.len(), 1);
}

/// EX-Q-07
#[test]
fn what_graspy_wrote_is_taken_over_as_data() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("quadsk.py"), TEST_FILE).unwrap();
    let (code, _, err) = shell(place.path(), "chmod 644 quadsk.py; $ASA keys quads import quadsk.py --out key");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        (fs::read_to_string(place.path().join("key")).unwrap().as_str(), mode(&place.path().join("key"))),
        (TEST_FILE, 0o600)
    );
    for (what, text) in [
        ("'No key'", "key='No key'\niv='No key'\n".to_owned()),
        ("line 3", format!("{TEST_FILE}__import__('os').system('touch owned')\n")),
        ("line 1", "key=open('/etc/hostname','rb').read()\n".to_owned()),
        ("not the part of `key`", TEST_FILE.replace("E\\x9f'\n", "E\\x9e'\n")),
    ] {
        fs::write(place.path().join("bad.py"), text).unwrap();
        let (code, out, err) = shell(place.path(), "$ASA keys quads import bad.py --out bad");
        assert_eq!((code, out.as_str()), (1, ""), "{what}");
        assert!(err.starts_with("asa: bad.py: ") && err.contains(what), "{err}");
        assert!(!place.path().join("bad").exists() && !place.path().join("owned").exists());
    }
}

/// EX-Q-07: nothing is replaced, nothing that others may have read is used, and nobody is asked where nobody is.
#[test]
fn what_is_unsafe_is_refused_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("there"), "mine").unwrap();
    fs::write(place.path().join("open"), "test\n").unwrap();
    fs::write(place.path().join("key.py"), TEST_FILE).unwrap();
    let from = "--from \"file:$PWD/open\"";
    let there = "asa: there: it is there already, and stays as it is; choose another file";
    for (script, said) in [
        (format!("chmod 644 open; $ASA keys quads make --out new {from}"), "chmod 600 "),
        ("$ASA keys quads show open".to_owned(), "chmod 600 "),
        (format!("chmod 600 open; $ASA keys quads make --out there {from}"), there),
        ("$ASA keys quads import key.py --out there".to_owned(), there),
        ("$ASA keys quads make --out new".to_owned(), "standard input is no terminal"),
        ("$ASA keys quads make --out new --from credential:password".to_owned(), "LoadCredential=password:"),
        ("$ASA keys quads make --out new --from fd:77".to_owned(), "fd:77"),
        ("$ASA keys quads make --out new --from fd:3 3< /dev/null".to_owned(), "the password is empty"),
        ("head -c 9000 /dev/zero | $ASA keys quads make --out new --from fd:0".to_owned(), "more than 4096 bytes"),
    ] {
        let (code, out, err) = shell(place.path(), &script);
        assert_eq!((code, out.as_str()), (1, ""), "{script}");
        assert!(err.contains(said), "{script}: {err}");
        assert!(!place.path().join("new").exists(), "{script}");
    }
    assert_eq!(fs::read_to_string(place.path().join("there")).unwrap(), "mine");
    // Not even by mistake: what is no source may be the password itself, so it is not repeated.
    let (code, _, err) = shell(place.path(), "$ASA keys quads make --out new --from correct-horse-battery");
    assert_eq!(code, 2);
    assert!(err.contains("file:/path"), "{err}");
}

/// EX-Q-05, EX-Q-07: a node does not start on a key that others may have read, and says what it is on.
#[test]
fn a_node_refuses_a_key_that_others_can_read() {
    let place = tempfile::tempdir().unwrap();
    let manifest =
        "[node]\nname = 'n'\n[control]\nenabled = false\n[grasp]\nsubstrate = 'quads'\ninterfaces = ['lo']\n";
    let key = place.path().join("key");
    fs::write(&key, TEST_FILE).unwrap();
    let text = format!("{manifest}[grasp.quads]\nkey = 'file:{}'\n", key.display());
    fs::write(place.path().join("a.toml"), text).unwrap();
    let (code, _, err) = shell(place.path(), "chmod 640 key; $ASA run a.toml");
    assert_eq!(code, 1);
    assert!(err.contains("grasp.quads.key") && err.contains("chmod 600 "), "{err}");
}
