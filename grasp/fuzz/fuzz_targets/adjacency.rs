#![no_main]

#[path = "../neighbours.rs"]
mod neighbours;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| neighbours::adjacency_body(bytes));
