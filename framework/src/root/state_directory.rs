//! The directory where an instance keeps its state: made when it is instantiated, removed when it is purged.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Tells that a directory belongs to an instance, so that nothing else is ever purged.
const MARK: &str = ".asa-instance";

/// Makes the directory, readable by nobody else, and marks it; the mark survives a power cut, and is never there in part.
pub(super) fn make(directory: &Path, instance: &str) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mark = directory.join(MARK);
    match std::fs::read_to_string(&mark) {
        // An empty one is what a power cut may have left of a mark: it says nothing.
        Ok(owner) if owner.trim_end().is_empty() => std::fs::rename(fresh(directory, instance)?, &mark)?,
        Ok(_) => return check(directory, instance),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let fresh = fresh(directory, instance)?;
            // Unlike a rename this replaces nothing.
            let linked = std::fs::hard_link(&fresh, &mark);
            std::fs::remove_file(&fresh)?;
            match linked {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return check(directory, instance),
                linked => linked?,
            }
        }
        Err(error) => return Err(error),
    }
    File::open(directory)?.sync_all()?;
    // Whoever may not read what is above cannot have made a name in it either, at least not now.
    directory.parent().and_then(|parent| File::open(parent).ok()).map_or(Ok(()), |parent| parent.sync_all())
}

/// A mark under a name of its own, on the disk.
fn fresh(directory: &Path, instance: &str) -> io::Result<PathBuf> {
    let path = directory.join(format!("{MARK}.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    writeln!(file, "{instance}")?;
    file.sync_all()?;
    Ok(path)
}

fn check(directory: &Path, instance: &str) -> io::Result<()> {
    let owner = std::fs::read_to_string(directory.join(MARK))?;
    if owner.trim_end() == instance {
        return Ok(());
    }
    Err(io::Error::other(format!("{} belongs to the instance {:?}", directory.display(), owner.trim_end())))
}

/// Whether an instance has kept anything there.
pub(super) fn is_kept(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() != MARK))
}

/// Removes the directory with everything in it, if it is the instance's; returns what was there.
pub(super) fn purge(directory: &Path, instance: &str) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let unmarked = |error: io::Error| {
        if error.kind() == ErrorKind::NotFound {
            io::Error::other(format!("{} was not made for an instance: it has no file {MARK}", directory.display()))
        } else {
            error
        }
    };
    check(directory, instance).map_err(unmarked)?;
    let mut removed = Vec::new();
    for entry in entries {
        removed.push(entry?.path().display().to_string());
    }
    removed.sort();
    std::fs::remove_dir_all(directory)?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// ASA-L-09
    #[test]
    fn only_what_was_made_for_the_instance_is_purged() {
        let base = std::env::temp_dir().join(format!("asa-state-{}", std::process::id()));
        let directory = base.join("one");
        make(&directory, "one").unwrap();
        make(&directory, "one").unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        // What a power cut may leave of a mark that was not on the disk.
        std::fs::write(directory.join(MARK), "").unwrap();
        make(&directory, "one").unwrap();
        std::fs::write(directory.join("store"), "secret").unwrap();
        assert!(make(&directory, "two").unwrap_err().to_string().contains("belongs to the instance \"one\""));
        assert!(purge(&directory, "two").is_err());
        assert_eq!(purge(&directory, "one").unwrap().len(), 2);
        assert!(!directory.exists());
        std::fs::create_dir_all(base.join("precious")).unwrap();
        assert!(purge(&base.join("precious"), "one").unwrap_err().to_string().contains("was not made for an instance"));
        assert!(base.join("precious").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
