//! Secrets come from where nobody else can read them, and go there.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use asa_framework::secret::{SecretError, SecretSource, Surroundings, read_any, write_secret};
use zeroize::Zeroizing;

const LIMIT: usize = 16;

fn read(source: &str) -> Result<Vec<u8>, SecretError> {
    source.parse::<SecretSource>().unwrap().read(LIMIT, &Surroundings::default()).map(|secret| secret.to_vec())
}

fn file(directory: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn from_file(path: &Path) -> Result<Vec<u8>, SecretError> {
    read(&format!("file:{}", path.display()))
}

/// EX-Q-07
#[test]
fn a_file_that_others_can_touch_is_refused_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400, 0o700] {
        assert_eq!(from_file(&file(place.path(), "own", "secret\n", mode)).unwrap(), b"secret\n", "{mode:o}");
        fs::remove_file(place.path().join("own")).unwrap();
    }
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777] {
        let path = file(place.path(), "open", "secret", mode);
        let refused = from_file(&path).unwrap_err();
        assert!(matches!(&refused, SecretError::Exposed { mode: found, .. } if *found == mode), "{mode:o}: {refused}");
        assert!(refused.to_string().contains(&format!("chmod 600 {}", path.display())), "{refused}");
        assert_eq!(*read_any(&path, LIMIT).unwrap(), b"secret");
    }
}

#[test]
fn what_is_no_file_or_too_long_is_refused() {
    let place = tempfile::tempdir().unwrap();
    assert!(matches!(from_file(place.path()), Err(SecretError::NoFile(_))));
    let pipe = place.path().join("pipe");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
    assert!(made.success());
    // Nobody writes to it, and still nobody waits.
    assert!(matches!(from_file(&pipe), Err(SecretError::NoFile(_))));
    assert!(matches!(from_file(&place.path().join("none")), Err(SecretError::Io { .. })));
    assert_eq!(from_file(&file(place.path(), "just", &"x".repeat(LIMIT), 0o600)).unwrap().len(), LIMIT);
    let longer = from_file(&file(place.path(), "longer", &"x".repeat(LIMIT + 1), 0o600)).unwrap_err();
    assert!(matches!(longer, SecretError::TooLong { limit: LIMIT, .. }) && !longer.to_string().contains("xx"));
}

/// EX-Q-07
#[test]
fn a_descriptor_is_read_to_its_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let slow = std::thread::spawn(move || {
        writer.write_all(b"sec").unwrap();
        writer.write_all(b"ret").unwrap();
    });
    assert_eq!(read(&format!("fd:{}", reader.as_raw_fd())).unwrap(), b"secret");
    slow.join().unwrap();
    let mut unnamed: File = tempfile::tempfile().unwrap();
    unnamed.write_all(b"kept").unwrap();
    unnamed.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(read(&format!("fd:{}", unnamed.as_raw_fd())).unwrap(), b"kept");
    assert!(matches!(read("fd:987654"), Err(SecretError::Io { .. })));
}

#[test]
fn a_credential_is_one_of_the_service_managers() {
    let place = tempfile::tempdir().unwrap();
    // systemd lets its own group read them.
    file(place.path(), "key", "secret", 0o440);
    file(place.path(), "open", "secret", 0o444);
    let around = Surroundings { credentials: Some(place.path().to_owned()), prompt: None };
    let source = |name: &str| format!("credential:{name}").parse::<SecretSource>().unwrap();
    assert_eq!(*source("key").read(LIMIT, &around).unwrap(), b"secret");
    assert!(matches!(source("open").read(LIMIT, &around), Err(SecretError::Exposed { .. })));
    let without = read("credential:key").unwrap_err();
    assert!(without.to_string().contains("LoadCredential=key:"), "{without}");
    assert!("credential:../key".parse::<SecretSource>().is_err());
}

#[test]
fn a_person_is_asked_only_where_there_is_one() {
    assert!(matches!(read("prompt"), Err(SecretError::NoPrompt(_))));
    let ask = || Ok(Zeroizing::new("typed".to_owned()));
    let around = Surroundings { credentials: None, prompt: Some(&ask) };
    assert_eq!(*SecretSource::Prompt.read(LIMIT, &around).unwrap(), b"typed");
    let refuse = || Err("no terminal".to_owned());
    let around = Surroundings { credentials: None, prompt: Some(&refuse) };
    assert_eq!(SecretSource::Prompt.read(LIMIT, &around).unwrap_err().to_string(), "no terminal");
}

/// EX-Q-07
#[test]
fn a_secret_is_written_once_and_for_its_owner() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("key");
    write_secret(&path, b"first").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(write_secret(&path, b"second").is_err());
    assert_eq!(fs::read(&path).unwrap(), b"first");
    let (elsewhere, link) = (place.path().join("elsewhere"), place.path().join("link"));
    symlink(&elsewhere, &link).unwrap();
    assert!(write_secret(&link, b"third").is_err());
    assert!(!elsewhere.exists());
}
