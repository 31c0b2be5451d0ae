//! `asa demo`: whole networks in one process, for newcomers.

mod gray_briggs;
mod prefix;

use crate::cli::{Demo, DemoArgs};

/// Runs the demonstration that is asked for.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    match args.demo {
        Demo::GrayBriggs => gray_briggs::run(args),
        Demo::Prefix => prefix::run(args),
    }
}
