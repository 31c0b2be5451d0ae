//! All cores under arbitrary sequences of inputs: no panic, bounded memory and outputs, and an end.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use proptest::prelude::*;
use support::engine::engine;

/// The bytes of every message type of the checklist, in the form of raw messages that are heard.
const VECTORS: [&str; 10] = [
    "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050200",
    "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c123",
    "85091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050282704578616d706c6520312076616c75653d186480",
    "83041a003da10e8463455832050500",
    "83031a000c3ffd8463455833030682634e5a44182f",
    "83061a000c3ffd811865",
    "83071a00d21462198895",
    "8100",
    "8218631a000c3ffd",
    "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608218648418675020010db8f000baaaf000baaaf000baaa0619c123",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// G-RATE-06, G-ERR-26: any inputs in any order.
    #[test]
    fn any_inputs_in_any_order_are_survived(data in prop::collection::vec(any::<u8>(), 0..1_500)) {
        engine(&data);
    }
}

/// A small corpus: links up, then each vector heard as it stands, cut short, and mixed with calls.
#[test]
fn corpus_is_survived() {
    let up = [5, 3, 0, 1, 0, 2, 0, 3, 1, 0, 1];
    for vector in VECTORS {
        let raw = support::bytes(vector);
        for cut in 0..raw.len() {
            let kept = &raw[..raw.len() - cut];
            let mut data = up.to_vec();
            for operation in [2, 11, 12, 13] {
                data.extend([operation, 5][..if operation == 2 { 1 } else { 2 }].iter());
                data.push(u8::try_from(kept.len() + 1).unwrap());
                data.extend(kept);
                data.extend([1, 0, 3, 200, 7, 1, 0]);
            }
            engine(&data);
        }
    }
    engine(&[]);
    engine(&[0xff; 4_096]);
    engine(&[11; 4_096]);
}

/// The fuzzer's corpus, replayed.
#[test]
fn the_engine_corpus_holds() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/engine");
    let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() >= 20, "{} seeds", seeds.len());
    for seed in seeds {
        engine(&std::fs::read(seed).unwrap());
    }
}
