//! What the fuzz targets do with one input; the corpus test runs the same functions.

use grasp::protocol::Time;
use grasp::substrate::quads::{Deframer, GroupKey};
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Framer, Limits, MessageType, Rule, Value, decode, diagnostic, item_end, with_loop_count};

/// Nothing panics, and what decodes survives its own encoding.
pub(crate) fn decode_body(bytes: &[u8]) {
    let limits = Limits::default();
    assert!(diagnostic(bytes).len() <= bytes.len() * 12 + 3);
    let relayed = with_loop_count(bytes, 23);
    if let Ok(value) = Value::from_encoded(bytes.to_vec()) {
        let _ = value.form();
        let _ = value.decode::<String>();
        let _ = value.decode::<Vec<u64>>();
    }
    let Ok(message) = decode(bytes, &limits) else { return };
    let encoded = message.encode();
    let wide = Limits { size: usize::MAX, ..limits };
    assert_eq!(decode(&encoded, &wide).as_ref(), Ok(&message));
    let relayable = [MessageType::Discovery, MessageType::Flood].contains(&message.message_type());
    assert_eq!(relayed.is_ok(), relayable);
    if let Ok(relayed) = relayed {
        assert!(decode(&relayed, &wide).is_ok());
        assert_eq!(with_loop_count(&relayed, 23), Ok(relayed));
    }
}

/// The framer, fed in pieces whose sizes the first byte chooses, ends items where the decoder does.
pub(crate) fn framing_body(input: &[u8]) {
    let Some((step, stream)) = input.split_first() else { return };
    let limits = Limits::default();
    let mut framer = Framer::new(limits);
    let mut at = 0;
    for piece in stream.chunks(usize::from(*step).max(1)) {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(&stream[at..at + frame.len()], frame);
                    match item_end(stream, at, limits.depth) {
                        Ok(end) => assert_eq!(end, at + frame.len()),
                        // Only the check for UTF-8 is left to the decoder.
                        Err(error) => assert_eq!(error.rule, Rule::Malformed),
                    }
                    at += frame.len();
                }
                Ok(None) => break,
                Err(error) => {
                    match item_end(stream, at, limits.depth) {
                        Ok(end) => assert!(error.rule == Rule::TooLong && end - at > limits.size),
                        Err(_) => assert!(error.rule != Rule::Truncated),
                    }
                    return;
                }
            }
        }
        assert!(framer.pending() <= limits.size);
    }
    assert_eq!(framer.pending(), stream.len() - at);
}

/// Bytes as a key file, as a multicast and as a stream of ciphertexts. The first byte chooses the pieces of the stream, the second
/// whether the rest is a ciphertext or becomes one, so that what is behind the decryption is reached as well.
pub(crate) fn quads_body(input: &[u8]) {
    let Some(([step, clear], rest)) = input.split_first_chunk() else { return };
    if let Ok(key) = GroupKey::from_key_file(rest) {
        assert!(GroupKey::from_key_file(key.to_key_file().as_bytes()) == Ok(key));
    }
    let limits = Limits::default();
    let key = || GroupKey::from_bytes(*b"a key for nothing but fuzz tests");
    let quads = Quads::new(key(), limits);
    let stream = if clear % 2 == 1 { quads.seal(1, rest.to_vec()) } else { rest.to_vec() };
    match quads.open(1, stream.clone()) {
        Some(opened) => {
            assert_eq!(item_end(&opened, 0, limits.depth), Ok(opened.len()));
            assert_eq!(quads.seal(1, opened), stream);
        }
        None => assert!(clear % 2 == 0 || item_end(rest, 0, limits.depth) != Ok(rest.len())),
    }
    let in_pieces = |step: usize| {
        let (mut deframer, mut found) = (Deframer::new(key().into(), limits), Vec::new());
        let (mut rest, mut failed) = (&stream[..], false);
        while !rest.is_empty() && deframer.room() > 0 {
            let (now, later) = rest.split_at(rest.len().min(deframer.room()).min(step));
            deframer.push(Time::default(), now);
            rest = later;
            assert!(deframer.held() <= 2 * limits.size + 2048);
            let before = found.len();
            found.extend(std::iter::from_fn(|| deframer.poll()));
            // After a failure nothing comes any more.
            assert!(!failed || found.len() == before);
            failed |= deframer.has_failed();
        }
        (found, failed, deframer.deadline().is_some())
    };
    let whole = in_pieces(usize::MAX);
    assert_eq!(whole, in_pieces(usize::from(*step).max(1)));
    let (found, failed, unfinished) = whole;
    assert!(!failed || unfinished);
    assert!(found.iter().all(|message| decode(message, &limits).is_ok()));
    let sealed: Vec<u8> = found.iter().flat_map(|message| quads.seal(1, message.clone())).collect();
    assert!(stream.starts_with(&sealed));
}
