//! Examines a store that nobody has open, and changes nothing.

use super::batch::Lines;
use super::check::{Code, Figures, Problem, Problems, check};
use super::error::{Error, failed};
use super::files::{self, Birth, FORMAT, Home};
use super::line::{Entry, read};
use super::options::Options;
use super::record::Key;
use super::replay::{self, Records, Replayed};
use super::segment;
use super::tables::{Content, Tables};
use crate::pool::record::Record;
use serde::Serialize;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Differences between the legs that are told one by one.
const DIFFERENCES: usize = 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Identity of the store, if it is known.
    pub birth: Option<String>,
    /// Number of the last line of the ledger, if it is whole.
    pub line: Option<u64>,
    /// What is wrong; empty if the store is whole.
    pub problems: Vec<Problem>,
    /// What there is: by the tables, or by the ledger if they cannot be read.
    pub figures: Figures,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A copy of the database, since sled cannot read without writing; gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(sled: &Path) -> Result<Self, Error> {
        let name = format!("asa-fsck-{}-{:016x}", std::process::id(), rand::random::<u64>());
        let copy = Self(std::env::temp_dir().join(name));
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(failed("create", path));
        make(&copy.0)?;
        make(&copy.0.join("sled"))?;
        copy_directory(sled, &copy.0.join("sled"), &make)?;
        Ok(copy)
    }

    fn home(&self) -> Home {
        Home::at(&self.0)
    }
}

/// sled keeps large values in a directory of its own; there is nothing deeper.
fn copy_directory(from: &Path, to: &Path, make: &impl Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(failed("read", from))? {
        let entry = entry.map_err(failed("read", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed("examine", &path))?;
        if kind.is_dir() {
            make(&target)?;
            copy_directory(&path, &target, make)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(failed("copy", &path))?;
        }
    }
    Ok(())
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the copy of the database could not be removed");
        }
    }
}

/// Examines the store in a directory: identity, tables, ledger (every line and snapshot of it), whether both hold the same
/// record by record, and whether the records are a sound pool ([`check`]). Needs room for a copy of the database in the directory
/// for temporary files.
///
/// What a crash leaves unfinished, and the next start completes, is no problem: one batch that only one of them has.
///
/// # Errors
///
/// [`Error::Missing`]; [`Error::Locked`] if a process has it open, which then has to be asked instead; [`Error::Io`]. All
/// else is in the report.
pub fn fsck(dir: &Path) -> Result<Report, Error> {
    let home = Home::at(dir);
    if !home.is_inhabited()? || (!files::exists(&home.birth)? && files::exists(&home.unborn)?) {
        return Err(Error::Missing { path: home.dir });
    }
    let _lock = files::lock_unwritten(&home.lock)?;
    let mut problems = Problems::default();
    let mut report = Report::default();
    let copy = match Copy::of(&home.sled) {
        Ok(copy) => Some(copy),
        Err(_) if !files::exists(&home.sled)? => None,
        Err(error) => return Err(error),
    };
    let birth = birth(&home, copy.as_ref(), &mut problems);
    report.birth = birth.as_ref().map(|birth| birth.birth.clone());
    let Some(birth) = birth else {
        report.problems = problems.into_list();
        return Ok(report);
    };
    let tables = match &copy {
        None => Err(Error::damaged(&home.sled, "the database is missing")),
        Some(copy) => Tables::open(&copy.home(), &birth, &Options::default()).map(|(_, content)| content),
    };
    let tables = tables.map_err(|error| problems.add(Code::Tables, in_place(&error, copy.as_ref(), &home))).ok();
    let since = tables.as_ref().map_or(u64::MAX, |content| content.last.seq);
    let ledger = replay::all(&home.ledger, &birth.birth, since);
    let ledger = ledger.map_err(|error| problems.add(Code::Ledger, error.to_string())).ok();
    report.line = ledger.as_ref().map(|ledger| ledger.tail.seq);
    let records = match (tables, ledger) {
        (Some(tables), Some(ledger)) => compare(tables, ledger, &mut problems),
        (Some(tables), None) => tables.records,
        (None, Some(ledger)) => ledger.records.into_values().collect(),
        (None, None) => Vec::new(),
    };
    problems.extend(check(&records));
    report.figures = Figures::of(&records);
    report.problems = problems.into_list();
    Ok(report)
}

/// An error about the copy, told about the original.
fn in_place(error: &Error, copy: Option<&Copy>, home: &Home) -> String {
    let text = error.to_string();
    copy.map_or(text.clone(), |copy| text.replace(&copy.0.display().to_string(), &home.dir.display().to_string()))
}

/// Finds out who the store is, and whether all of its parts say so.
fn birth(home: &Home, copy: Option<&Copy>, problems: &mut Problems) -> Option<Birth> {
    let file = Birth::read(&home.birth);
    let ledger = segment::identity(&home.ledger);
    let tables = copy.and_then(|copy| Tables::identity_of(&copy.home().sled, &Options::default()).ok().flatten());
    let mut tell = |what: String| problems.add(Code::Birth, format!("{what}; run `asa pool repair`"));
    match (file, ledger) {
        (Ok(birth), ledger) => {
            let path = home.birth.display();
            for (name, other) in [("ledger", ledger.map(|ledger| ledger.birth)), ("database", tables)] {
                if let Some(other) = other.filter(|other| *other != birth.birth) {
                    tell(format!("{path} says {}, but the {name} is the one of the store {other}", birth.birth));
                }
            }
            Some(birth)
        }
        (Err(error), Some(birth)) => {
            tell(error.to_string());
            Some(birth)
        }
        (Err(error), None) => {
            tell(error.to_string());
            let time = Options::default().now();
            tables.map(|birth| Birth { birth, format: FORMAT, time })
        }
    }
}

/// Compares the legs record by record, after each has got what the next start would give it; returns the records.
fn compare(tables: Content, ledger: Replayed, problems: &mut Problems) -> Vec<Record> {
    let Content { records, last } = tables;
    let mut here: Records = records.into_iter().map(|record| (Key::of(&record), record)).collect();
    let Replayed { records: mut there, later, tail } = ledger;
    if last.seq > tail.seq {
        if Lines::kept(&last, tail.seq, tail.sum).is_none() {
            let what = format!("the ledger ends with line {}, and the database has line {}", tail.seq, last.seq);
            problems.add(Code::Legs, format!("{what}; run `asa pool repair`"));
        }
        for line in last.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            for change in read::<Entry>(line).map_or_else(|_| Vec::new(), |entry| entry.changes) {
                // What does not fit shows in the comparison.
                let _ = replay::apply(&mut there, change);
            }
        }
    }
    for change in later {
        let _ = replay::apply(&mut here, change);
    }
    let mut different = 0;
    let keys = here.keys().chain(there.keys().filter(|key| !here.contains_key(key)));
    for key in keys.filter(|key| here.get(key) != there.get(key)) {
        different += 1;
        if different <= DIFFERENCES {
            let (here, there) = (here.get(key), there.get(key));
            problems.add(Code::Legs, format!("{key}: the database says {here:?}, the ledger {there:?}"));
        }
    }
    if different > DIFFERENCES {
        problems.add(Code::Legs, format!("{} more records differ", different - DIFFERENCES));
    }
    here.into_values().collect()
}
