//! Replays the committed fuzz corpus through the bodies of the fuzz targets.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../fuzz/neighbours.rs"]
mod neighbours;

use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        body(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10);
}

/// G-ERR-01, G-ERR-17, G-ERR-18, G-ERR-19
#[test]
fn the_decode_corpus_holds() {
    replay("decode", bodies::decode_body);
}

/// G-FRM-20, G-ERR-18, T-04
#[test]
fn the_framing_corpus_holds() {
    replay("framing", bodies::framing_body);
}

/// EX-Q-04, EX-Q-05, EX-Q-07
#[test]
fn the_quads_corpus_holds() {
    replay("quads", bodies::quads_body);
}

/// G-ERR-24: whatever is heard of neighbours.
#[test]
fn the_adjacency_corpus_holds() {
    replay("adjacency", neighbours::adjacency_body);
}
