//! Makes a damaged store whole from the part of it that is.

use super::batch::Batch;
use super::error::{Error, failed};
use super::files::{self, Birth, FORMAT, Home};
use super::ledger::Ledger;
use super::legs::{Failed, Legs};
use super::line;
use super::options::Options;
use super::record::{Changed, Sum};
use super::replay::{self, Replayed};
use super::segment::{self, Brief, SEGMENT};
use super::tables::{Last, Tables};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Records in one transaction while the tables are built anew.
const CHUNK: usize = 4_096;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RepairReport {
    /// Step by step; empty if nothing had to be done.
    pub done: Vec<String>,
    /// Where the damaged parts are now; nothing is deleted.
    pub aside: Vec<PathBuf>,
    /// Records in the store now.
    pub records: u64,
}

/// Repairs the store in a directory, which must not be open. Nothing is deleted.
///
/// * Damaged tables are moved aside (`sled.damaged-1`) and built anew from the ledger.
/// * A damaged ledger is moved aside (`ledger.damaged-1`, to be read by people), and a new one begins with a snapshot of the
///   tables, if these are as far as the ledger ever was.
/// * A lost or foreign `birth` is written anew if tables and ledger agree on who they are, or if there is only one of them.
///
/// # Errors
///
/// [`Error::Damaged`] if there is no whole part to begin from: then an export has to be restored. [`Error::Missing`],
/// [`Error::Locked`], [`Error::Io`], [`Error::Format`].
pub fn repair(dir: &Path, options: &Options) -> Result<RepairReport, Error> {
    let home = Home::at(dir);
    if !home.is_inhabited()? || (!files::exists(&home.birth)? && files::exists(&home.unborn)?) {
        return Err(Error::Missing { path: home.dir });
    }
    let _lock = files::lock(&home.lock)?;
    let mut report = RepairReport::default();
    let birth = birth(&home, options, &mut report)?;
    // What a crash has left is completed first, as at every start.
    let whole = Legs::open(&home, &birth, Failed::default(), options).map(|(legs, _)| legs.position());
    let ledger = replay::all(&home.ledger, &birth.birth, u64::MAX).map(drop);
    match (whole, ledger) {
        (Ok(_), Ok(())) => {}
        (Ok(_), Err(error)) => ledger_from_tables(&home, &birth, &error, options, &mut report)?,
        (Err(error), _) if !error.is_damage() => return Err(error),
        (Err(error), ledger) => match (Tables::open(&home, &birth, options), replay::least(&home.ledger, &birth.birth))
        {
            (Err(tables), _) if !tables.is_damage() => return Err(tables),
            (Err(tables), Err(lines)) => return Err(lost(&home, &tables, &lines)),
            (Err(tables), Ok(replayed)) => {
                tables_from_ledger(&home, &birth, &tables, replayed, options, &mut report)?;
                if let Err(error) = ledger {
                    ledger_from_tables(&home, &birth, &error, options, &mut report)?;
                }
            }
            // The tables go back behind what the ledger can tell, or do not fit it.
            (Ok((open, content)), Ok(replayed)) if replayed.tail.seq >= content.last.seq => {
                drop(open);
                tables_from_ledger(&home, &birth, &error, replayed, options, &mut report)?;
                if let Err(error) = ledger {
                    ledger_from_tables(&home, &birth, &error, options, &mut report)?;
                }
            }
            (Ok((open, content)), lines) => {
                drop(open);
                let seen = last_seen(&home);
                if seen > content.last.seq {
                    let behind = format!("it ends with line {}, and the ledger with {seen}", content.last.seq);
                    let lines = lines.err().unwrap_or(error);
                    return Err(lost(&home, &Error::damaged(&home.sled, behind), &lines));
                }
                ledger_from_tables(&home, &birth, &lines.err().unwrap_or(error), options, &mut report)?;
            }
        },
    }
    let (_, records) = Legs::open(&home, &birth, Failed::default(), options)?;
    report.records = records.len() as u64;
    Ok(report)
}

/// Nothing is whole.
fn lost(home: &Home, tables: &Error, ledger: &Error) -> Error {
    let problem = format!(
        "neither the database nor the ledger is whole, so nothing is changed ({tables}) ({ledger}); \
         move {} away and restore an export",
        home.dir.display()
    );
    Error::damaged(&home.dir, problem)
}

/// Finds out who the store is, by two of three witnesses, and makes the file say so.
fn birth(home: &Home, options: &Options, report: &mut RepairReport) -> Result<Birth, Error> {
    let file = match Birth::read(&home.birth) {
        Err(error @ Error::Format { .. }) => return Err(error),
        other => other,
    };
    let tables = if files::exists(&home.sled)? { Tables::identity_of(&home.sled, options) } else { Ok(None) };
    let tables = match tables {
        Err(error) if !error.is_damage() => return Err(error),
        other => other.ok().flatten(),
    };
    let ledger = segment::identity(&home.ledger);
    let in_ledger = ledger.as_ref().map(|ledger| ledger.birth.clone());
    let error = match file {
        Ok(birth) => {
            let says = |other: &Option<String>| other.as_ref().is_none_or(|other| *other == birth.birth);
            let witnesses = [&tables, &in_ledger].iter().filter(|other| other.as_ref() == Some(&birth.birth)).count();
            if witnesses > 0 || (says(&tables) && says(&in_ledger)) {
                return Ok(birth);
            }
            Error::damaged(&home.birth, format!("it says {}, and nothing else does", birth.birth))
        }
        Err(error) => error,
    };
    let foreign = files::exists(&home.birth)? && Birth::read(&home.birth).is_ok();
    let found = match (tables, in_ledger) {
        (Some(tables), Some(ledger)) if tables == ledger => tables,
        // The file is lost, and there is but one part: that one is it.
        (Some(only), None) | (None, Some(only)) if !foreign => only,
        (tables, ledger) => {
            let problem = format!(
                "{error}; the database is the one of {tables:?}, the ledger of {ledger:?}: these are parts of different \
                 stores, and nothing is changed; put the right ones together, or restore an export"
            );
            return Err(Error::damaged(&home.dir, problem));
        }
    };
    if files::exists(&home.birth)? {
        aside(&home.birth, "damaged", report)?;
    }
    let time = ledger.map_or_else(|| options.now(), |ledger| ledger.time);
    let birth = Birth { birth: found, format: FORMAT, time };
    birth.write(home)?;
    report.done.push(format!("{error}: the identity {} is written anew, as the other parts say it", birth.birth));
    Ok(birth)
}

fn aside(path: &Path, word: &str, report: &mut RepairReport) -> Result<(), Error> {
    let to = files::move_aside(path, word)?;
    report.done.push(format!("{} is moved aside to {}", path.display(), to.display()));
    report.aside.push(to);
    Ok(())
}

/// Builds the tables anew; they appear whole.
fn tables_from_ledger(
    home: &Home,
    birth: &Birth,
    why: &Error,
    replayed: Replayed,
    options: &Options,
    report: &mut RepairReport,
) -> Result<(), Error> {
    let fresh = Home { sled: home.dir.join("sled.fresh"), ..home.clone() };
    if files::exists(&fresh.sled)? {
        aside(&fresh.sled, "unfinished", report)?;
    }
    Tables::create(&fresh, birth, options)?;
    {
        let (tables, _) = Tables::open(&fresh, birth, options)?;
        let Replayed { records, tail, .. } = replayed;
        let (mut sum, mut records) = (Sum::default(), records.into_iter().peekable());
        loop {
            let chunk = records.by_ref().take(CHUNK);
            let changes = chunk.map(|(key, record)| Changed { key, from: None, to: Some(record) }).collect();
            let batch = Batch { changes };
            sum = batch.sum(sum)?;
            tables.apply(&batch, &Last { seq: tail.seq, first: tail.seq, sum, lines: Vec::new() })?;
            if records.peek().is_none() {
                break;
            }
        }
        tables.sync(options)?;
        if sum != tail.sum {
            return Err(Error::damaged(&home.ledger, "the records in it are not what its last line says"));
        }
    }
    if files::exists(&home.sled)? {
        aside(&home.sled, "damaged", report)?;
    }
    files::rename(&fresh.sled, &home.sled)?;
    report.done.push(format!("{why}: the database is built anew from the ledger"));
    Ok(())
}

/// Begins a ledger with what is in the tables.
fn ledger_from_tables(
    home: &Home,
    birth: &Birth,
    why: &Error,
    options: &Options,
    report: &mut RepairReport,
) -> Result<(), Error> {
    let fresh = Home { ledger: home.dir.join("ledger.fresh"), ..home.clone() };
    if files::exists(&fresh.ledger)? {
        aside(&fresh.ledger, "unfinished", report)?;
    }
    {
        let (tables, content) = Tables::open(home, birth, options)?;
        Ledger::create(&fresh, birth, Some((&tables, content.last.seq, content.last.sum)), options)?;
    }
    if files::exists(&home.ledger)? {
        aside(&home.ledger, "damaged", report)?;
    }
    files::rename(&fresh.ledger, &home.ledger)?;
    report.done.push(format!("{why}: a new ledger begins with what is in the database"));
    Ok(())
}

/// The highest number of a line in the ledger that can be read, whatever is wrong with the others.
fn last_seen(home: &Home) -> u64 {
    let segments = segment::numbers(&home.ledger, SEGMENT).unwrap_or_default();
    let Some(last) = segments.last() else { return 0 };
    let Ok(file) =
        std::fs::File::open(segment::path(&home.ledger, *last, SEGMENT)).map_err(failed("open", &home.ledger))
    else {
        return 0;
    };
    let (mut file, mut buffer, mut seen) = (std::io::BufReader::new(file), Vec::new(), 0);
    while let Ok(line::Next::Whole(bytes)) = line::next(&mut file, &mut buffer) {
        if let Ok(brief) = line::read::<Brief>(bytes) {
            seen = seen.max(brief.seq);
        }
    }
    seen
}
