//! What the fuzz targets do with one input; the corpus test runs the same functions.

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
