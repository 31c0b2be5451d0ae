//! RFC 8990 §2.5.3: message ends on a stream, however the reads fall (G-FRM-20, G-FRM-28, T-04).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "one test measures real time")]

mod wire_support;

use grasp::wire::{Framer, Limits, Rule};
use std::time::Instant;
use wire_support::{VECTORS, hex, vector};

fn framer() -> Framer {
    Framer::new(Limits::default())
}

fn drain(framer: &mut Framer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| framer.next_frame().unwrap()).collect()
}

fn all() -> Vec<Vec<u8>> {
    VECTORS.iter().map(|(id, _)| vector(id)).collect()
}

/// G-FRM-20: byte by byte, nothing comes early and nothing late.
#[test]
fn a_message_comes_with_its_last_byte() {
    for bytes in all() {
        let mut framer = framer();
        for (i, byte) in bytes.iter().enumerate() {
            assert_eq!(framer.next_frame().unwrap(), None);
            assert_eq!(framer.pending(), i);
            framer.push(&[*byte]);
        }
        assert_eq!(framer.next_frame().unwrap(), Some(bytes));
        assert_eq!((framer.next_frame().unwrap(), framer.pending()), (None, 0));
    }
}

/// G-FRM-20
#[test]
fn every_split_into_two_parts_gives_the_message() {
    for bytes in all() {
        for at in 0..=bytes.len() {
            let mut framer = framer();
            framer.push(&bytes[..at]);
            let mut frames = drain(&mut framer);
            framer.push(&bytes[at..]);
            frames.extend(drain(&mut framer));
            assert_eq!(frames, std::slice::from_ref(&bytes));
        }
    }
}

/// G-FRM-20, T-04: reads join and split messages at will.
#[test]
fn coalesced_messages_come_one_by_one() {
    let stream = all().concat();
    for step in (1..=64).chain([stream.len()]) {
        let mut framer = framer();
        let mut frames = vec![];
        for piece in stream.chunks(step) {
            framer.push(piece);
            frames.extend(drain(&mut framer));
        }
        assert_eq!(frames, all(), "in steps of {step}");
    }
}

/// G-FRM-20: loose encodings end where they end.
#[test]
fn indefinite_items_end_with_their_break() {
    for item in [
        "9f ff",
        "bf ff",
        "5f ff",
        "7f ff",
        "9f 9f ff 9f ff ff",
        "bf 00 9f ff ff",
        "5f 41 ff 42 ffff ff",
        "7f 61 61 ff",
        "c1 9f ff",
        "82 9f ff 5f ff",
        "80",
        "a0",
        "82 80 a0",
        "c1 80",
        "40",
        "82 40 60",
        "9f 40 60 80 a0 00 ff",
        "a1 00 5f 40 ff",
        "9b0000000000000001 9b0000000000000000",
    ] {
        let bytes = hex(item);
        for len in 0..bytes.len() {
            let mut framer = framer();
            framer.push(&bytes[..len]);
            assert_eq!(framer.next_frame().unwrap(), None, "{item} cut to {len}");
            framer.push(&bytes[len..]);
            framer.push(&[0]);
            assert_eq!(drain(&mut framer), [bytes.clone(), vec![0]], "{item}");
        }
    }
}

/// G-FRM-28, G-ERR-18: a declared length shows before its bytes come.
#[test]
fn an_oversize_message_is_refused_when_its_length_is_declared() {
    for head in [
        "59 0800",
        "79 0800",
        "83 05 01 59 07fb",
        "99 0800",
        "b9 0400",
        "5a ffffffff",
        "81 5b 7fffffffffffffff",
        "9b ffffffffffffffff",
        "bb ffffffffffffffff",
        "c1 bb 8000000000000000",
        "5f 59 0800",
    ] {
        let mut framer = framer();
        framer.push(&hex(head));
        assert_eq!(framer.next_frame().unwrap_err().rule, Rule::TooLong, "{head}");
    }
    for head in ["59 07fd", "83 05 01 59 07f7", "99 07fd", "b9 03fe"] {
        let mut framer = framer();
        framer.push(&hex(head));
        assert_eq!(framer.next_frame().unwrap(), None, "{head}");
    }
}

/// G-FRM-26: the limit itself passes.
#[test]
fn a_message_of_exactly_the_limit_passes() {
    let mut bytes = hex("59 07fd");
    bytes.resize(2048, 0);
    let mut framer = framer();
    framer.push(&[bytes.clone(), vec![0]].concat());
    assert_eq!(drain(&mut framer), [bytes, vec![0]]);
}

/// G-FRM-28: a peer that never ends its message is cut off with at most one read more than the limit in memory.
#[test]
fn an_endless_message_is_refused_soon_after_the_limit() {
    for (opener, filler) in [("9f", 0x00u8), ("bf", 0x00), ("5f", 0x40), ("7f", 0x60), ("9f", 0x80)] {
        let mut framer = framer();
        framer.push(&hex(opener));
        let refused = (0..10_000_000 / 1000).find_map(|_| {
            framer.push(&[filler; 1000]);
            assert!(framer.pending() <= 2048 + 1000);
            framer.next_frame().err()
        });
        assert_eq!(refused.unwrap().rule, Rule::TooLong);
    }
}

/// G-ERR-17: the depth limit is that of the decoder.
#[test]
fn depth_is_counted_as_the_decoder_counts_it() {
    for (inside, depth) in
        [("00", 0), ("80", 1), ("9f ff", 1), ("a0", 1), ("c1 00", 1), ("5f 41 00 ff", 0), ("7f ff", 0)]
    {
        for levels in 14..=17 {
            let bytes = hex(&format!("{}{inside}", "81".repeat(levels)));
            let mut framer = framer();
            framer.push(&bytes);
            match framer.next_frame() {
                Ok(frame) => assert!(frame == Some(bytes) && levels + depth <= 16, "{inside} in {levels}"),
                Err(error) => assert!(error.rule == Rule::TooDeep && levels + depth > 16, "{inside} in {levels}"),
            }
        }
    }
}

/// G-ERR-19, G-ERR-01
#[test]
fn what_is_not_well_formed_ends_the_stream() {
    for bad in [
        "ff", "1c", "1f", "f800", "82 ff", "a1 00 ff", "bf 00 ff", "c1 ff", "5f 61", "7f 41", "5f 5f", "5f 00",
        "5f c1", "fc",
    ] {
        let mut framer = framer();
        framer.push(&hex(bad));
        assert_eq!(framer.next_frame().unwrap_err().rule, Rule::Malformed, "{bad}");
        framer.push(&vector("V-15"));
        assert!(framer.next_frame().is_err(), "{bad}");
    }
}

/// G-FRM-28, T-04: a returned message does not keep the whole read alive.
#[test]
fn a_message_takes_no_more_memory_than_itself() {
    let mut framer = framer();
    framer.push(&vector("V-15").repeat(1000));
    while let Some(frame) = framer.next_frame().unwrap() {
        assert!(frame.capacity() <= 64, "{} bytes for a message of 2", frame.capacity());
    }
}

/// T-04: work grows with the bytes, not with their square; the bound is loose enough for a busy machine.
#[test]
fn a_long_read_of_short_messages_takes_linear_work() {
    let time = |len: usize| {
        let mut framer = framer();
        framer.push(&vec![0; len]);
        let start = Instant::now();
        // Frames are dropped one by one, so that a regression costs time and not the machine's memory.
        assert_eq!(std::iter::from_fn(|| framer.next_frame().unwrap()).count(), len);
        start.elapsed()
    };
    let short = (0..5).map(|_| time(10_000)).min().unwrap();
    let long = (0..3).map(|_| time(160_000)).min().unwrap();
    assert!(long < short * 16 * 6, "{short:?} for 10000 messages, {long:?} for 160000");
}
