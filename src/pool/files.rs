//! `asa pool import` and `asa pool export`: address plans and records, from and to files.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use asa_framework::control::MAX_REQUEST;
use asa_prefix::desk::{Exported, PoolCommand, read_plan, write_plan};
use asa_prefix::pool::record::Record;
use asa_prefix::store::{self, Options};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::offline::directory_of;
use super::online::{plain, query};
use crate::cli::pool::{EitherArgs, ExportArgs, Format, ImportArgs, OnlineArgs};
use crate::control::text::{count, counted};
use crate::control::{CHANGE, QUESTION, Shown, Trouble, json_line, understand};

/// Bytes of a plan that are read, at most.
const PLAN: u64 = 64 << 20;
/// Records that are taken from a node, at most; then it is no pool that we know.
const RECORDS: usize = 1 << 24;

/// Adds a plan.
pub(super) fn import(args: ImportArgs) -> anyhow::Result<Shown> {
    let at = if args.file == Path::new("-") { "standard input".into() } else { args.file.display().to_string() };
    let failed = |why: String| Ok(Err(Trouble::Failed(format!("{at}: {why}"))));
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(error) => return failed(error.to_string()),
    };
    let plan = match read_plan(&text) {
        Ok(plan) => plan,
        Err(error) => return failed(error.to_string()),
    };
    if plan.is_empty() {
        return failed("the plan is empty".to_owned());
    }
    let lines = plan.len();
    let command = PoolCommand::Import { plan };
    // What goes around it has hardly more than a hundred bytes, and the name of the instance.
    let size = serde_json::to_vec(&command)?.len() + 4_096;
    if size > MAX_REQUEST {
        let why =
            format!("{} lines are more than one request can hold; import them in several plans", count(lines as u64));
        return failed(why);
    }
    let done = counted(lines, "line is", "lines are");
    query(&args.online, CHANGE, &command, |_, _: Value| format!("{done} imported\n"), |_| 0)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let taken = if path == Path::new("-") {
        io::stdin().lock().take(PLAN + 1).read_to_string(&mut text)?
    } else {
        File::open(path)?.take(PLAN + 1).read_to_string(&mut text)?
    };
    if taken as u64 > PLAN {
        return Err(io::Error::other(format!("longer than {PLAN} bytes")));
    }
    Ok(text)
}

/// Writes down what is in the pool.
pub(super) fn export(args: ExportArgs) -> anyhow::Result<Shown> {
    let records = if args.either.directory.is_some() || args.either.offline {
        stored(&args.either)
    } else {
        asked(&args.either.online)?
    };
    let records = match records {
        Ok(records) => records,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let Some(path) = &args.output else {
        let mut text = Vec::new();
        write(args.format, &records, &mut text)?;
        return Ok(Ok((String::from_utf8_lossy(&text).into_owned(), 0)));
    };
    let failed = |error: io::Error| Trouble::Failed(format!("{}: {error}", path.display()));
    // Who is a client of whom is nobody else's business.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed);
    let written = file.and_then(|file| {
        let mut file = BufWriter::new(file);
        write(args.format, &records, &mut file).map_err(failed)?;
        file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)
    });
    let done = counted(records.len(), "record", "records");
    Ok(written.map(|()| {
        if args.either.online.node.json {
            (json_line(&json!({ "records": records.len(), "output": path })), 0)
        } else {
            (format!("{done} written\n"), 0)
        }
    }))
}

fn write(format: Format, records: &[Record], mut out: impl Write) -> io::Result<()> {
    match format {
        Format::Records => store::export_records(records, OffsetDateTime::now_utc(), out),
        Format::Plan => out.write_all(write_plan(records).as_bytes()).and_then(|()| out.flush()),
    }
}

/// The records in a state directory.
fn stored(args: &EitherArgs) -> Result<Vec<Record>, Trouble> {
    let directory = directory_of(args)?;
    let mut text = Vec::new();
    let failed = |error: store::Error| Trouble::Failed(error.to_string());
    store::export(&directory, Options::default(), &mut text).map_err(failed)?;
    store::parse_export(text.as_slice()).map_err(failed)
}

/// The records of a running node, page by page.
fn asked(args: &OnlineArgs) -> anyhow::Result<Result<Vec<Record>, Trouble>> {
    let mut records: Vec<Record> = Vec::new();
    let mut command = PoolCommand::Export { export: None, from: 0 };
    loop {
        let page = plain(args, 6 * QUESTION, &command)?.and_then(understand::<Exported>);
        let page = match page {
            Ok(page) => page,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let grows = !page.records.is_empty();
        records.extend(page.records);
        match page.next {
            None => return Ok(Ok(records)),
            Some(from) if grows && from == records.len() && from <= RECORDS => {
                command = PoolCommand::Export { export: Some(page.export), from };
            }
            Some(from) => {
                let text = format!("the node goes on with record {from} after {}", records.len());
                return Ok(Err(Trouble::Failed(text)));
            }
        }
    }
}
