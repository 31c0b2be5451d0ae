#![no_main]

#[path = "../../tests/support/engine.rs"]
mod engine;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| engine::engine(bytes));
