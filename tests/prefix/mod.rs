//! Prefix managers as processes with stores on disk: killed, started again, and on disks that fail.

mod disk;
mod kill;
mod load;
mod node;
mod operate;
mod union;
