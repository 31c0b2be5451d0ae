//! `asa pool`: the operator's side of a pool of prefixes.

mod blocks;
mod files;
mod history;
mod offline;
mod online;
mod show;
mod words;

use std::io::{self, IsTerminal};

use crate::cli::pool::Pool;
use crate::control::{Shown, print};

/// The width of what is no terminal.
const COLUMNS: usize = 80;

/// Carries out a subcommand.
pub(crate) fn run(command: Pool) -> anyhow::Result<u8> {
    let shown: Shown = match command {
        Pool::Init(args) => offline::init(&args)?,
        Pool::Repair(args) => offline::repair(&args)?,
        Pool::Restore(args) => offline::restore(&args)?,
        Pool::Show(args) => show::show(args)?,
        Pool::Blocks(args) => blocks::blocks(args)?,
        Pool::Doubts(args) => blocks::doubts(args)?,
        Pool::History(args) => history::history(args)?,
        Pool::Fsck(args) => online::fsck(args)?,
        Pool::Resolve(args) => online::resolve(args)?,
        Pool::Exclude(args) => online::exclude(args)?,
        Pool::Include(args) => online::include(args)?,
        Pool::Withdraw(args) => online::withdraw(args)?,
        Pool::Reclaim(args) => online::reclaim(args)?,
        Pool::Reinstate(args) => online::reinstate(args)?,
        Pool::Delegate(args) => online::delegate(args)?,
        Pool::Release(args) => online::release(args)?,
        Pool::Explain(args) => online::explain(args)?,
        Pool::Import(args) => files::import(args)?,
        Pool::Export(args) => files::export(args)?,
    };
    match shown {
        Ok((text, code)) => print(&text, code),
        Err(trouble) => Ok(trouble.tell()),
    }
}

/// The width of the terminal, or of what stands in its place.
fn width() -> usize {
    let size = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}
