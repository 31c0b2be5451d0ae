//! The `asa` command.

fn main() {}
