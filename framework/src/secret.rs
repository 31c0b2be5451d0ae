//! Where secrets are read from: never the command line, the environment or the manifest itself.

mod read;

pub use read::{SecretError, Surroundings, read_any, write_secret};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, by its absolute path, that nobody but its owner may read.
    File(PathBuf),
    /// A descriptor that whoever started the process has left open; read to its end, once.
    Descriptor(u32),
    /// A credential that systemd passes, by its name (LoadCredential= in the unit).
    Credential(String),
    /// A person at the terminal.
    Prompt,
}

/// A text is no [`SecretSource`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a place to read a secret from; it is one of {forms}", forms = SecretSource::FORMS)]
pub struct NotASource {
    found: String,
}

impl SecretSource {
    /// What it looks like.
    pub const FORMS: &'static str = "\"file:/path\", \"credential:NAME\", \"fd:NUMBER\" and \"prompt\"";
}

impl FromStr for SecretSource {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        // What was meant as a secret is not repeated in a message.
        let wrong =
            || NotASource { found: text.split(':').next().filter(|kind| kind.len() < 12).unwrap_or("").to_owned() };
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "file" if rest.starts_with('/') && rest.len() <= 4095 && !rest.contains('\0') => {
                Ok(Self::File(rest.into()))
            }
            "fd" => rest.parse().map(Self::Descriptor).map_err(|_| wrong()),
            "credential" if is_credential(rest) => Ok(Self::Credential(rest.to_owned())),
            "prompt" if text == "prompt" => Ok(Self::Prompt),
            _ => Err(wrong()),
        }
    }
}

/// Where a secret that is read again from time to time is: an absolute path, or a credential of systemd.
#[must_use]
pub fn secret_file(text: &str) -> Option<SecretSource> {
    let source: SecretSource =
        if text.starts_with('/') { format!("file:{text}") } else { text.to_owned() }.parse().ok()?;
    matches!(source, SecretSource::Credential(_) | SecretSource::File(_)).then_some(source)
}

/// A file name, and no way to another directory.
fn is_credential(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name != "." && name != ".." && !name.contains(['/', '\0'])
}

impl fmt::Display for SecretSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file:{}", path.display()),
            Self::Descriptor(number) => write!(out, "fd:{number}"),
            Self::Credential(name) => write!(out, "credential:{name}"),
            Self::Prompt => out.write_str("prompt"),
        }
    }
}
