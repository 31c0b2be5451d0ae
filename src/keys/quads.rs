//! `asa keys quads`: the key of a group, from a password to a key file.

use std::io::{self, IsTerminal};
use std::path::Path;

use asa_framework::secret::{SecretError, SecretSource, Surroundings, read_any, write_secret};
use grasp::substrate::quads::{GroupKey, MAX_SECRET_SIZE};
use zeroize::Zeroizing;

use crate::cli::keys_quads::Quads;
use crate::control::{Shown, Trouble, print};

/// Carries out a subcommand.
pub(crate) fn run(command: &Quads) -> anyhow::Result<u8> {
    let shown: Shown = match command {
        Quads::Make(args) => key(&args.from, true).and_then(|key| write(&key, &args.out)),
        Quads::Show(args) => key(&SecretSource::File(args.file.clone()), false).map(|key| (fingerprint(&key), 0)),
        Quads::Import(args) => import(&args.file).and_then(|key| write(&key, &args.out)),
    };
    match shown {
        Ok((text, code)) => print(&text, code),
        Err(trouble) => Ok(trouble.tell()),
    }
}

/// The key from a source. A new password is asked for twice.
fn key(source: &SecretSource, new: bool) -> Result<GroupKey, Trouble> {
    let ask = || if new { ask_twice() } else { ask() };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into);
    let around = Surroundings { credentials, prompt: Some(&ask) };
    let secret = source.read(MAX_SECRET_SIZE, &around).map_err(failed)?;
    GroupKey::from_secret(&secret).map_err(|error| Trouble::Failed(format!("{source}: {error}")))
}

fn import(file: &Path) -> Result<GroupKey, Trouble> {
    let text = read_any(file, MAX_SECRET_SIZE).map_err(failed)?;
    GroupKey::from_key_file(&text).map_err(|error| Trouble::Failed(format!("{}: {error}", file.display())))
}

fn write(key: &GroupKey, out: &Path) -> Shown {
    write_secret(out, key.to_key_file().as_bytes()).map_err(|error| {
        if matches!(&error, SecretError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists) {
            let why = "it is there already, and stays as it is; choose another file with --out, or remove it";
            return Trouble::Failed(format!("{}: {why}", out.display()));
        }
        failed(error)
    })?;
    let text = format!(
        "{}wrote {path}; in a manifest:\n\n  [grasp]\n  substrate = \"quads\"\n\n  [grasp.quads]\n  key = \"file:{path}\"\n",
        fingerprint(key),
        path = std::path::absolute(out).unwrap_or_else(|_| out.to_owned()).display()
    );
    Ok((text, 0))
}

fn fingerprint(key: &GroupKey) -> String {
    format!("fingerprint {}\n", key.fingerprint())
}

fn failed(error: impl std::fmt::Display) -> Trouble {
    Trouble::Failed(error.to_string())
}

/// Asks the person at the terminal for the password of a group.
pub(crate) fn ask() -> Result<Zeroizing<String>, String> {
    ask_for("Password of the group: ")
}

fn ask_twice() -> Result<Zeroizing<String>, String> {
    let first = ask()?;
    if first.is_empty() || ask_for("Once more: ")? == first {
        Ok(first)
    } else {
        Err("the two passwords differ; nothing was written".to_owned())
    }
}

fn ask_for(what: &str) -> Result<Zeroizing<String>, String> {
    if !io::stdin().is_terminal() {
        return Err(
            "standard input is no terminal, so nobody can be asked: use file:/path, fd:NUMBER or credential:NAME"
                .to_owned(),
        );
    }
    rpassword::prompt_password(what)
        .map(Zeroizing::new)
        .map_err(|error| format!("cannot ask for the password: {error}"))
}
