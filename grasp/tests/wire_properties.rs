//! What holds for every message and for every sequence of bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../fuzz/bodies.rs"]
mod bodies;
mod wire_support;

use grasp::wire::{
    Answer, EndOption, Flags, Framer, Limits, Locator, Message, Objective, TaggedObjective, Transport, Value, decode,
    diagnostic, item_end, with_loop_count,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire_support::{VECTORS, vector};

const WIDE: Limits = Limits { size: 1 << 20, depth: 16 };

/// One encoded item, in loose encodings too.
fn item() -> impl Strategy<Value = Vec<u8>> {
    let small = |major: u8| move |n: u8| vec![major << 5 | n];
    let leaf = prop_oneof![
        (0u8..24).prop_map(small(0)),
        (0u8..24).prop_map(small(1)),
        any::<u8>().prop_map(|n| vec![0x18, n]),
        any::<u64>().prop_map(|n| [&[0x1b][..], &n.to_be_bytes()].concat()),
        vec(any::<u8>(), 0..20).prop_map(|bytes| [&[0x58, bytes.len() as u8][..], &bytes].concat()),
        "\\PC{0,5}".prop_map(|text| [&[0x78, text.len() as u8][..], text.as_bytes()].concat()),
        prop_oneof![Just(0xf4u8), Just(0xf5), Just(0xf6), Just(0xf7), Just(0xe0)].prop_map(|byte| vec![byte]),
        (32u8..=255).prop_map(|n| vec![0xf8, n]),
        any::<u16>().prop_map(|n| [&[0xf9][..], &n.to_be_bytes()].concat()),
        any::<u64>().prop_map(|n| [&[0xfb][..], &n.to_be_bytes()].concat()),
        Just(vec![0x5f, 0x41, 0xff, 0x40, 0xff]),
        Just(vec![0x7f, 0x61, 0x61, 0xff]),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| [vec![0x80 | items.len() as u8], items.concat()].concat()),
            vec(inner.clone(), 0..4).prop_map(|items| [vec![0x9f], items.concat(), vec![0xff]].concat()),
            vec((inner.clone(), inner.clone()), 0..3).prop_map(|pairs| {
                let head = vec![0xa0 | pairs.len() as u8];
                pairs.into_iter().fold(head, |bytes, (key, value)| [bytes, key, value].concat())
            }),
            vec((inner.clone(), inner.clone()), 0..3).prop_map(|pairs| {
                let bytes = pairs.into_iter().fold(vec![0xbf], |bytes, (key, value)| [bytes, key, value].concat());
                [bytes, vec![0xff]].concat()
            }),
            inner.prop_map(|item| [vec![0xd8, 0x18], item].concat()),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        item().prop_map(|bytes| Value::from_encoded(bytes).unwrap()),
        vec(any::<u8>(), 0..40).prop_map(|inner| Value::embedded(&inner)),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::from), any::<Ipv6Addr>().prop_map(IpAddr::from)]
}

fn complete() -> impl Strategy<Value = Objective> {
    ("\\PC{0,12}", any::<u64>(), any::<u8>(), value()).prop_map(|(name, flags, loop_count, value)| Objective {
        name,
        flags: Flags(flags),
        loop_count,
        value: Some(value),
    })
}

fn objective() -> impl Strategy<Value = Objective> {
    (complete(), any::<bool>()).prop_map(|(mut objective, bare)| {
        objective.value = objective.value.filter(|_| !bare);
        objective
    })
}

fn locator() -> impl Strategy<Value = Locator> {
    let transport = || prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)];
    prop_oneof![
        (any::<Ipv6Addr>(), transport(), any::<u16>()).prop_map(|(address, transport, port)| Locator::Ipv6 {
            address,
            transport,
            port
        }),
        (any::<Ipv4Addr>(), transport(), any::<u16>()).prop_map(|(address, transport, port)| Locator::Ipv4 {
            address,
            transport,
            port
        }),
        ("\\PC{0,12}", transport(), any::<u16>()).prop_map(|(name, transport, port)| Locator::Fqdn {
            name,
            transport,
            port
        }),
        ("\\PC{0,12}", proptest::option::of(transport()), any::<Option<u16>>())
            .prop_map(|(uri, transport, port)| Locator::Uri { uri, transport, port }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let id = any::<u32>;
    let answer = (vec(locator(), 1..4), any::<bool>())
        .prop_map(|(locators, divert)| if divert { Answer::Divert(locators) } else { Answer::Locators(locators) });
    let end = prop_oneof![Just(EndOption::Accept), proptest::option::of("\\PC{0,12}").prop_map(EndOption::Decline),];
    let tagged = (objective(), proptest::option::of(locator()))
        .prop_map(|(objective, locator)| TaggedObjective { objective, locator });
    prop_oneof![
        Just(Message::Noop),
        (id(), address(), objective()).prop_map(|(session_id, initiator, objective)| Message::Discovery {
            session_id,
            initiator,
            objective
        }),
        (id(), address(), any::<u32>(), answer, proptest::option::of(objective())).prop_map(
            |(session_id, initiator, ttl, answer, objective)| Message::Response {
                session_id,
                initiator,
                ttl,
                answer,
                objective
            }
        ),
        (id(), complete()).prop_map(|(session_id, objective)| Message::RequestNegotiation { session_id, objective }),
        (id(), objective())
            .prop_map(|(session_id, objective)| Message::RequestSynchronization { session_id, objective }),
        (id(), complete()).prop_map(|(session_id, objective)| Message::Negotiate { session_id, objective }),
        (id(), end).prop_map(|(session_id, option)| Message::End { session_id, option }),
        (id(), any::<u32>()).prop_map(|(session_id, waiting_time)| Message::Wait { session_id, waiting_time }),
        (id(), complete()).prop_map(|(session_id, objective)| Message::Synch { session_id, objective }),
        (id(), address(), any::<u32>(), vec(tagged, 1..4)).prop_map(|(session_id, initiator, ttl, objectives)| {
            Message::Flood { session_id, initiator, ttl, objectives }
        }),
        (id(), proptest::option::of(value()))
            .prop_map(|(session_id, content)| Message::Invalid { session_id, content }),
    ]
}

/// Bytes that are nearly a message: a vector with a few bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (0..VECTORS.len(), vec((any::<usize>(), any::<u8>()), 0..5)).prop_map(|(which, changes)| {
        let mut bytes = vector(VECTORS[which].0);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// G-FRM-02, G-FRM-03, G-FRM-24
    #[test]
    fn what_is_encoded_decodes_to_the_same(message in message()) {
        let bytes = message.encode();
        prop_assert_eq!(item_end(&bytes, 0, 16), Ok(bytes.len()));
        prop_assert_eq!(decode(&bytes, &WIDE), Ok(message));
    }

    /// A record of a message replays to the same message.
    #[test]
    fn what_is_recorded_replays_to_the_same(message in message()) {
        let json = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    }

    /// G-ERR-01, G-ERR-25: nothing panics, and what decodes survives its own encoding.
    #[test]
    fn no_bytes_do_harm(bytes in prop_oneof![vec(any::<u8>(), 0..300), damaged(), item()]) {
        bodies::decode_body(&bytes);
    }

    /// G-FRM-20, G-ERR-01, T-04: the framer ends items where the decoder does, in pieces of any size.
    #[test]
    fn no_stream_does_harm(
        step in any::<u8>(),
        parts in vec(prop_oneof![vec(any::<u8>(), 0..20), damaged(), item()], 0..6),
    ) {
        bodies::framing_body(&[vec![step], parts.concat()].concat());
    }

    /// EX-Q-04, EX-Q-05: neither do ciphertexts, nor what is in them.
    #[test]
    fn no_ciphertext_does_harm(
        choice in any::<[u8; 2]>(),
        parts in vec(prop_oneof![vec(any::<u8>(), 0..40), damaged(), item()], 0..4),
    ) {
        bodies::quads_body(&[choice.to_vec(), parts.concat()].concat());
    }

    /// G-FRM-20
    #[test]
    fn frames_are_the_items_of_the_stream(items in vec(item(), 0..8), step in 1usize..50) {
        let mut framer = Framer::new(WIDE);
        let mut frames = vec![];
        for piece in items.concat().chunks(step) {
            framer.push(piece);
            while let Some(frame) = framer.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        prop_assert_eq!(frames, items);
    }

    /// G-DREL-17, G-FREL-06, G-FREL-10, T-03: the first loop count changes and nothing else.
    #[test]
    fn a_relay_changes_one_number(message in message(), loop_count in any::<u8>()) {
        let mut expected = message.clone();
        if let Message::Discovery { objective, .. } = &mut expected {
            objective.loop_count = loop_count;
        } else if let Message::Flood { objectives, .. } = &mut expected {
            objectives[0].objective.loop_count = loop_count;
        } else {
            prop_assert!(with_loop_count(&message.encode(), loop_count).is_err());
            return Ok(());
        }
        prop_assert_eq!(with_loop_count(&message.encode(), loop_count), Ok(expected.encode()));
    }

    /// Notation is written for every item, in bounded size.
    #[test]
    fn notation_is_bounded(bytes in prop_oneof![item(), vec(any::<u8>(), 0..100), vec(0xf7u8..0xf8, 0..100)]) {
        prop_assert!(diagnostic(&bytes).len() <= bytes.len() * 12 + 3);
    }
}
