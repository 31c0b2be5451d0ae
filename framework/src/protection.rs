//! What protects the messages of a node, as its manifest says, from the files and secrets that it names.

use crate::manifest::{Grasp, Substrate, Tls};
use crate::secret::{SecretError, SecretSource, Surroundings, read_any, secret_file};
use grasp::substrate::quads::{GroupKey, KeyError, MAX_SECRET_SIZE};
use grasp::substrate::tls::{Credentials, CredentialsError, Fault, File, Settings, TlsSubstrate};
use grasp::substrate::{InsecureLab, Quads, Substrate as Protection, Unprotected};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Bytes of a file of certificates, keys or revocations, at most.
const PEM_SIZE: usize = 4 << 20;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Asks a person for a secret, which is not shown.
pub type Prompt = Arc<dyn Fn() -> Result<Zeroizing<String>, String> + Send + Sync>;

/// What keeps a substrate from being set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unprotectable {
    #[error("grasp.quads.key: {0}")]
    Source(#[from] crate::secret::NotASource),
    #[error("grasp.quads.key: {0}")]
    Secret(SecretError),
    #[error("grasp.quads.key: {place}: {error}")]
    Key { place: SecretSource, error: KeyError },
    #[error("grasp.tls.{key}: {error}")]
    File { key: &'static str, error: SecretError },
    #[error("grasp.tls.{key} ({path}): {fault}")]
    Credentials { key: &'static str, path: String, fault: Fault },
}

impl Unprotectable {
    /// Whether time, or a new certificate in the place of this one, may mend it.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Credentials { fault: Fault::Expired(_) | Fault::NotYetValid(_), .. })
    }
}

/// Sets up what the manifest names.
pub(crate) fn set_up(
    grasp: &Grasp,
    prompt: Option<&Prompt>,
) -> Result<(Arc<dyn Protection>, Option<TlsFiles>), Unprotectable> {
    Ok(match grasp.substrate {
        Substrate::None => (Arc::new(Unprotected), None),
        Substrate::InsecureLab => (Arc::new(InsecureLab), None),
        Substrate::Quads => {
            let source: SecretSource = grasp.quads.key.parse()?;
            let ask = prompt.map(|prompt| move || prompt());
            let ask = ask.as_ref().map(|ask| ask as &dyn Fn() -> Result<Zeroizing<String>, String>);
            let around = Surroundings { credentials: credentials(), prompt: ask };
            let secret = source.read(MAX_SECRET_SIZE, &around).map_err(Unprotectable::Secret)?;
            let limits = grasp::wire::Limits { size: grasp.limits.message_size, depth: grasp.limits.depth };
            let key = GroupKey::from_secret(&secret).map_err(|error| Unprotectable::Key { place: source, error })?;
            (Arc::new(Quads::new(key, limits)), None)
        }
        Substrate::Tls => {
            let warn_before = Duration::from_secs(u64::from(grasp.tls.warn_days) * DAY);
            let seen = Seen::look(&grasp.tls);
            let credentials = read(&grasp.tls)?;
            let substrate = TlsSubstrate::new(credentials, Settings { warn_before, ..Settings::default() })
                .map_err(|error| blamed(&grasp.tls, error))?;
            let files = TlsFiles(Arc::new(Inner {
                substrate: substrate.clone(),
                tls: grasp.tls.clone(),
                seen: Mutex::new(seen),
                trouble: Mutex::default(),
            }));
            (Arc::new(substrate), Some(files))
        }
    })
}

/// Where systemd has put the credentials of this service.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn read(tls: &Tls) -> Result<Credentials, Unprotectable> {
    let file =
        |key, path: &str| read_any(Path::new(path), PEM_SIZE).map_err(|error| Unprotectable::File { key, error });
    let source = secret_file(&tls.key).unwrap_or_else(|| SecretSource::File(tls.key.clone().into()));
    let around = Surroundings { credentials: credentials(), prompt: None };
    let key = source.read(PEM_SIZE, &around).map_err(|error| Unprotectable::File { key: "key", error })?;
    let (certificate, anchors) = (file("certificate", &tls.certificate)?, file("anchors", &tls.anchors)?);
    let revocations = match tls.revocations.as_str() {
        "" => None,
        path => Some(file("revocations", path)?),
    };
    let revocations = revocations.as_ref().map(|list| list.as_slice());
    Credentials::from_pem(&certificate, &key, &anchors, revocations, SystemTime::now())
        .map_err(|error| blamed(tls, error))
}

/// Says which key of the manifest named the file that is wrong.
fn blamed(tls: &Tls, CredentialsError { file, fault }: CredentialsError) -> Unprotectable {
    let (key, path) = match file {
        File::Certificate => ("certificate", &tls.certificate),
        File::Key => ("key", &tls.key),
        File::Anchors => ("anchors", &tls.anchors),
        File::Revocations => ("revocations", &tls.revocations),
    };
    Unprotectable::Credentials { key, path: path.clone(), fault }
}

/// The files from which the substrate `tls` is fed. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct TlsFiles(Arc<Inner>);

struct Inner {
    substrate: TlsSubstrate,
    tls: Tls,
    seen: Mutex<Seen>,
    /// Why the files as they are now are not in force.
    trouble: Mutex<Option<String>>,
}

/// What tells one state of the files from another: time of change of content or mode, size and inode of each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen(Vec<Option<(i64, i64, u64, u64)>>);

impl Seen {
    fn look(tls: &Tls) -> Self {
        let key = match (secret_file(&tls.key), credentials()) {
            (Some(SecretSource::Credential(name)), Some(directory)) => directory.join(name),
            (Some(SecretSource::File(path)), _) => path,
            _ => PathBuf::from(&tls.key),
        };
        let paths = [tls.certificate.clone().into(), key, tls.anchors.clone().into(), tls.revocations.clone().into()];
        let about = |path: PathBuf| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.ctime(), about.ctime_nsec(), about.size(), about.ino()))
        };
        Self(paths.into_iter().map(about).collect())
    }
}

impl TlsFiles {
    /// How often to look at the files; `None` for never.
    pub(crate) fn look_every(&self) -> Option<Duration> {
        let every = self.0.tls.look_every_ms;
        (every > 0).then(|| Duration::from_millis(every.into()))
    }

    /// Why the files as they are now are not in force.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again if they have changed since they were read last.
    pub(crate) fn look(&self) {
        let now = Seen::look(&self.0.tls);
        if *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) != now {
            // What is wrong with them stands in the log and in status.
            let _ = self.reload();
        }
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// What is wrong with them; what was in force stays so.
    pub(crate) fn reload(&self) -> Result<(), String> {
        // Before they are read, so that a change in between is seen next time.
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::look(&self.0.tls);
        let read = read(&self.0.tls)
            .and_then(|credentials| self.0.substrate.reload(credentials).map_err(|error| blamed(&self.0.tls, error)));
        let trouble = read.err().map(|error| format!("the credentials on disk are not in force: {error}"));
        match &trouble {
            None => tracing::info!("certificate, key, anchors and revocations have been read again"),
            Some(trouble) => tracing::error!("{trouble}"),
        }
        (*self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner)).clone_from(&trouble);
        trouble.map_or(Ok(()), Err)
    }
}
