//! RFC 8990 §2.8.1, §2.8.2, §4: message framing and CDDL (G-FRM), as far as the codec decides.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::wire::{
    Answer, EndOption, Flags, Limits, Locator, Message, MessageType, Rule, Transport, Value, decode, with_loop_count,
};
use wire_support::{DISCOVERY, INITIATOR, LOCATOR, VECTORS, flood, hex, message, read, response, rule, vector};

/// An objective, encoded.
const OBJECTIVE: &str = "84 63455831 05 06 01";

/// G-FRM-01, G-FRM-02
#[test]
fn a_message_is_one_array_and_nothing_else() {
    for (id, _) in VECTORS.iter().filter(|(id, _)| *id != "V-34") {
        let bytes = read(&vector(id)).unwrap().encode();
        assert!((0x81..=0x97).contains(&bytes[0]), "{id}");
        assert_eq!(grasp::wire::item_end(&bytes, 0, 16).unwrap(), bytes.len(), "{id}");
    }
}

/// G-FRM-04
#[test]
fn the_type_is_an_unsigned_integer_up_to_255() {
    for head in ["83 190100", "83 20", "83 1903e8", "83 1bffffffffffffffff", "83 f4", "83 f93c00", "83 c24105"] {
        assert_eq!(rule(&format!("{head} 01 {OBJECTIVE}")), Rule::MessageType, "{head}");
    }
    assert_eq!(rule(&format!("83 18ff 01 {OBJECTIVE}")), Rule::UnknownType);
}

/// G-FRM-05, G-OPT-05, T-07
#[test]
fn options_of_another_message_are_dropped() {
    let negotiate = message(&format!("84 05 01 {OBJECTIVE} 811866"));
    assert!(matches!(negotiate, Message::Negotiate { session_id: 1, .. }));
    assert_eq!(negotiate, message(&format!("83 05 01 {OBJECTIVE}")));
    for misfit in ["811865", "811866", "82186b01"] {
        assert_eq!(message(&response(&[LOCATOR, misfit])), message(&response(&[LOCATOR])), "{misfit}");
        assert_eq!(message(&response(&[misfit, LOCATOR])), message(&response(&[LOCATOR])), "{misfit}");
        assert_eq!(message(&format!("84 07 01 05 {misfit}")), message("83 07 01 05"), "{misfit}");
        assert_eq!(
            message(&format!("85 {} {OBJECTIVE} {misfit}", &DISCOVERY[3..])),
            message(&format!("{DISCOVERY} {OBJECTIVE}"))
        );
    }
}

/// G-FRM-05, G-OPT-05, T-08: a pair begins with an array, an option with an unsigned integer.
#[test]
fn options_of_another_message_are_dropped_from_floods() {
    let pair = format!("82 {OBJECTIVE} 80");
    let plain = message(&flood(&[&pair]));
    for misfit in ["811865", "82186662 6e6f", "82186b01", LOCATOR] {
        for elements in [[pair.as_str(), misfit], [misfit, pair.as_str()]] {
            let bytes = hex(&flood(&elements));
            assert_eq!(read(&bytes).unwrap(), plain, "{elements:?}");
            let relayed = with_loop_count(&bytes, 5).unwrap();
            assert_eq!(relayed, hex(&flood(&elements).replace(OBJECTIVE, "84 63455831 05 05 01")), "{elements:?}");
        }
    }
    assert_eq!(rule(&flood(&["811865"])), Rule::NoObjective);
}

/// G-FRM-06, G-FRM-07, G-FRM-08, G-GEN-08: type and session id are told, for the rules of transports to act on.
#[test]
fn every_unassigned_type_is_refused_by_name() {
    for number in 0..=255u8 {
        let bytes = hex(&format!("83 18{number:02x} 1a000c3ffd 80"));
        match MessageType::from_number(number.into()) {
            Some(message_type) => assert_eq!(message_type as u8, number),
            None => {
                let error = read(&bytes).unwrap_err();
                assert_eq!(
                    (error.rule, error.message_type, error.session_id),
                    (Rule::UnknownType, Some(number), Some(802_813))
                );
            }
        }
    }
}

/// G-FRM-10, T-06
#[test]
fn options_of_a_response_are_spliced_into_it() {
    assert_eq!(rule(&response(&[&format!("81 {LOCATOR}")])), Rule::NoLocator);
    assert_eq!(rule(&response(&[&format!("82 1864 81 {LOCATOR}")])), Rule::NoLocator);
    let copied = message(&response(&[OBJECTIVE, LOCATOR]));
    assert_eq!(copied, message(&response(&[LOCATOR, OBJECTIVE])));
    assert_eq!(copied.encode(), hex(&response(&[LOCATOR, OBJECTIVE])));
}

/// G-FRM-12
#[test]
fn session_ids_have_32_bits() {
    assert_eq!(message("83 07 1affffffff 00").session_id(), Some(u32::MAX));
    assert_eq!(message("83 07 00 00").session_id(), Some(0));
    assert_eq!(rule("83 07 1b0000000100000000 00"), Rule::SessionId);
}

/// G-FRM-13
#[test]
fn initiators_have_4_or_16_bytes() {
    let with = |initiator: &str| format!("84 01 01 {initiator} {OBJECTIVE}");
    message(&with("44 c0000201"));
    message(&with(INITIATOR));
    assert_eq!(rule(&with("45 c000020101")), Rule::Initiator);
    let mapped = message(&with("50 00000000000000000000ffffc0000201"));
    assert_eq!(mapped.encode(), hex(&with("50 00000000000000000000ffffc0000201")));
}

/// G-FRM-14
#[test]
fn times_have_32_bits() {
    let flood = |ttl: &str| format!("85 09 01 {INITIATOR} {ttl} 82 {OBJECTIVE} 80");
    let response = |ttl: &str| format!("85 02 01 {INITIATOR} {ttl} {LOCATOR}");
    assert!(matches!(message(&flood("1affffffff")), Message::Flood { ttl: u32::MAX, .. }));
    assert!(matches!(message(&response("1affffffff")), Message::Response { ttl: u32::MAX, .. }));
    assert!(matches!(message("83 07 01 1affffffff"), Message::Wait { waiting_time: u32::MAX, .. }));
    for bad in ["1b0000000100000000", "20", "f6", "6130"] {
        assert_eq!(rule(&flood(bad)), Rule::Ttl);
        assert_eq!(rule(&response(bad)), Rule::Ttl);
        assert_eq!(rule(&format!("83 07 01 {bad}")), Rule::WaitingTime);
    }
}

/// G-FRM-15
#[test]
fn an_objective_has_3_or_4_elements() {
    for (id, has_value) in [("V-01", true), ("V-21", false)] {
        let Ok(Message::Discovery { objective, .. }) = read(&vector(id)) else { panic!("{id}") };
        assert_eq!((objective.name.as_str(), objective.value.is_some()), ("EX1", has_value));
    }
}

/// G-FRM-16, T-08
#[test]
fn the_null_locator_is_an_empty_array() {
    let bytes = read(&vector("V-03")).unwrap().encode();
    assert_eq!(bytes.last(), Some(&0x80));
    assert_eq!(
        message(&flood(&[&format!("82 {OBJECTIVE} 9fff")])).encode(),
        hex(&flood(&[&format!("82 {OBJECTIVE} 80")]))
    );
}

/// G-FRM-17, G-ERR-09
#[test]
fn bad_locators_are_unusable_and_good_ones_beside_them_are_used() {
    const ADDRESS: &str = "50 20010db8f000baaaf000baaaf000baaa";
    /// In a flood they are kept, so that what stands beside them is not lost (RFC 8995 §4.3).
    const OTHER_PROTOCOLS: [&str; 2] = ["baaa 1884 19c123", "baaa 01 19c123"];
    let bad = [
        format!("84 1867 {ADDRESS} f6 f6"),
        format!("84 1867 {ADDRESS} 1884 19c123"),
        format!("84 1867 {ADDRESS} 01 19c123"),
        format!("84 1867 {ADDRESS} 06 1a00010000"),
        format!("84 1867 {ADDRESS} 06 20"),
        format!("84 1867 {ADDRESS} 06 6130"),
        format!("84 1867 {ADDRESS} 63544350 00"),
        format!("83 1867 {ADDRESS} 06"),
        format!("82 1867 {ADDRESS}"),
        format!("85 1867 {ADDRESS} 06 19c123 00"),
        format!("84 1868 {ADDRESS} 06 19c123"),
        "84 1867 44 c0000201 06 19c123".to_owned(),
        "84 1867 40 06 19c123".to_owned(),
        "84 1867 60 06 19c123".to_owned(),
        "84 1868 45 c000020101 06 19c123".to_owned(),
        "84 1869 f6 06 19c123".to_owned(),
        "84 1869 6161 f6 19c123".to_owned(),
        "84 1869 6161 06 f6".to_owned(),
        "84 1869 4161 06 01".to_owned(),
        "84 186a 4161 f6 f6".to_owned(),
        "84 186a 6161 f7 f6".to_owned(),
        "84 186a 6161 1884 f6".to_owned(),
        "82 186a 6161".to_owned(),
        "81 1867".to_owned(),
    ];
    let good = message(&response(&[LOCATOR]));
    for locator in &bad {
        assert_eq!(rule(&response(&[locator])), Rule::NoLocator, "{locator}");
        assert_eq!(message(&response(&[locator, LOCATOR])), good, "{locator}");
        assert_eq!(message(&response(&[LOCATOR, locator])), good, "{locator}");
        let tagged = flood(&[&format!("82 {OBJECTIVE} {locator}")]);
        if OTHER_PROTOCOLS.iter().any(|kept| locator.contains(kept)) {
            let Message::Flood { objectives, .. } = message(&tagged) else { panic!("no flood") };
            assert!(matches!(objectives[0].locator, Some(Locator::Other { .. })), "{objectives:?}");
            assert_eq!(grasp::protocol::reach(objectives[0].locator.as_ref().unwrap(), 1), None);
        } else {
            assert_eq!(rule(&tagged), Rule::FloodPair, "{locator}");
        }
        let divert = message(&response(&[&format!("83 1864 {locator} {LOCATOR}")]));
        assert_eq!(divert, message(&response(&[&format!("82 1864 {LOCATOR}")])), "{locator}");
    }
}

/// G-FRM-17, G-OPT-13
#[test]
fn a_uri_may_do_without_protocol_and_port() {
    let of = |transport: &str, port: &str| {
        let read = message(&response(&[&format!("84 186a 6161 {transport} {port}")]));
        let Message::Response { answer: Answer::Locators(locators), .. } = read else { panic!("{read:?}") };
        locators
    };
    let uri = |transport, port| vec![Locator::Uri { uri: "a".to_owned(), transport, port }];
    assert_eq!(of("f6", "f6"), uri(None, None));
    assert_eq!(of("11", "f6"), uri(Some(Transport::Udp), None));
    assert_eq!(of("f6", "00"), uri(None, Some(0)));
    assert_eq!(of("06", "19ffff"), uri(Some(Transport::Tcp), Some(65_535)));
}

/// G-FRM-18
#[test]
fn any_well_formed_encoding_of_the_envelope_is_read() {
    let shortest = read(&vector("V-06")).unwrap();
    for loose in [
        "9f 1803 1a000c3ffd 84 7f 6145 6158 6133 ff 03 06 82 634e5a44 182f ff",
        "83 190003 1b00000000000c3ffd 9f 63455833 1803 1b0000000000000006 82 634e5a44 182f ff",
        "9803 03 1a000c3ffd 9804 7803455833 03 06 82 634e5a44 182f",
        "9b0000000000000003 1a00000003 1a000c3ffd 9a00000004 7b0000000000000003455833 190003 1806 82 634e5a44 182f",
        "83 03 1a000c3ffd 84 7f 60 63455833 60 ff 03 06 82 634e5a44 182f",
    ] {
        let read = message(loose);
        assert_eq!(read, shortest, "{loose}");
        assert_eq!(read.encode(), vector("V-06"), "{loose}");
    }
}

/// G-FRM-18
#[test]
fn any_well_formed_encoding_of_options_is_read() {
    let chunked = "9f 190067 5f 48 20010db8f000baaa 48 f000baaaf000baaa ff 1806 1a0000c123 ff";
    assert_eq!(message(&response(&[chunked])), message(&response(&[LOCATOR])));
    assert_eq!(message("83 06 01 9f 190066 7f 6161 6162 ff ff"), message("83 06 01 82 1866 626162"));
    let initiator = "5f 44 20010db8 40 4c f000baaa28ccdc4c97036781 ff";
    assert_eq!(
        message(&format!("84 01 01 {initiator} {OBJECTIVE}")),
        message(&format!("84 01 01 {INITIATOR} {OBJECTIVE}"))
    );
    assert_eq!(
        message(&flood(&[&format!("9f {OBJECTIVE} 9f ff ff")])),
        message(&flood(&[&format!("82 {OBJECTIVE} 80")]))
    );
}

/// G-FRM-18, T-02: the value keeps the encoding it came in.
#[test]
fn the_encoding_of_a_value_is_never_touched() {
    for value in [
        "1803",
        "9f 01 ff",
        "7f 6161 ff",
        "bf 01 02 ff",
        "fb3ff8000000000000",
        "c24101",
        "d9d9f7 00",
        "1b0000000000000000",
    ] {
        let bytes = hex(&format!("83 05 01 84 63455833 03 06 {value}"));
        let Ok(Message::Negotiate { objective, .. }) = read(&bytes) else { panic!("{value}") };
        assert_eq!(objective.value.unwrap().as_bytes(), hex(value));
        assert_eq!(read(&bytes).unwrap().encode(), bytes, "{value}");
    }
}

/// G-FRM-21
#[test]
fn a_tagged_message_is_refused() {
    assert_eq!(rule("d9d9f7 8100"), Rule::NotAnArray);
    assert_eq!(rule(&format!("83 03 c101 {OBJECTIVE}")), Rule::SessionId);
    assert_eq!(rule(&format!("83 03 01 c1 {OBJECTIVE}")), Rule::Objective);
    assert_eq!(rule("83 03 01 84 c163455831 05 06 01"), Rule::ObjectiveName);
    assert_eq!(rule("83 03 c24101 84 63455831 05 06 01"), Rule::SessionId);
}

/// G-FRM-22
#[test]
fn names_are_utf_8() {
    assert_eq!(rule("83 03 01 84 62c328 05 06 01"), Rule::Malformed);
    assert_eq!(rule("83 03 01 84 7f 61c3 61a9 ff 05 06 01"), Rule::Malformed);
    assert_eq!(rule("83 03 01 84 41 45 05 06 01"), Rule::ObjectiveName);
    let Message::RequestNegotiation { objective, .. } = message("83 03 01 84 62c3a9 05 06 01") else { panic!() };
    assert_eq!(objective.name, "é");
}

/// G-FRM-25
#[test]
fn unknown_tags_in_values_pass() {
    let bytes = hex("83 05 01 84 63455833 03 06 d91267 a1 01 02");
    let Ok(Message::Negotiate { objective, .. }) = read(&bytes) else { panic!() };
    assert_eq!(objective.value.as_ref().unwrap().as_bytes(), hex("d91267 a1 01 02"));
    assert_eq!(read(&bytes).unwrap().encode(), bytes);
}

/// G-FRM-26, G-FRM-28
#[test]
fn a_message_of_exactly_the_limit_is_read_and_one_byte_more_is_refused() {
    let of = |len: usize| {
        let mut bytes = hex("83 03 1a000c3ffd 84 63455833 03 06");
        let content = len - bytes.len() - 3;
        bytes.push(0x59);
        bytes.extend(u16::try_from(content).unwrap().to_be_bytes());
        bytes.resize(len, 0);
        bytes
    };
    assert_eq!(of(2048).len(), 2048);
    assert_eq!(read(&of(2048)).unwrap().encode(), of(2048));
    assert_eq!(read(&of(2049)).unwrap_err().rule, Rule::TooLong);
    let wide = Limits { size: 8192, ..Limits::default() };
    assert!(decode(&of(8192), &wide).is_ok());
    assert_eq!(decode(&of(8193), &wide).unwrap_err().rule, Rule::TooLong);
}

/// G-GEN-02, G-DREL-17, G-FREL-06, G-FREL-10, T-03
#[test]
fn a_relay_changes_the_loop_count_and_no_other_byte() {
    let of = |loop_count: &str| hex(&format!("{DISCOVERY} 84 63455831 1805 {loop_count} 9f fb3ff8000000000000 f7 ff"));
    assert_eq!(with_loop_count(&of("1818"), 23).unwrap(), of("17"));
    assert_eq!(with_loop_count(&of("17"), 24).unwrap(), of("1818"));
    assert_eq!(with_loop_count(&of("18ff"), 254).unwrap(), of("18fe"));
    assert_eq!(with_loop_count(&of("190006"), 5).unwrap(), of("05"));
    assert_eq!(with_loop_count(&of("01"), 0).unwrap(), of("00"));
    let loose = |count: &str| {
        hex(&format!("9f 09 01 {INITIATOR} 192710 9f 84 63455831 05 {count} f7 80 ff 82 84 63455832 05 1818 02 80 ff"))
    };
    assert_eq!(with_loop_count(&loose("1818"), 23).unwrap(), loose("17"));
}

/// T-03: other messages, and those without an objective in its place, have no loop count to lower.
#[test]
fn only_discoveries_and_floods_are_relayed() {
    for (id, _) in VECTORS {
        let relayed = with_loop_count(&vector(id), 3);
        let types = [Some(MessageType::Discovery), Some(MessageType::Flood)];
        assert_eq!(relayed.is_ok(), types.contains(&read(&vector(id)).ok().map(|m| m.message_type())), "{id}");
    }
    for bad in [
        "",
        "00",
        "80",
        "8101",
        "83 01 01 02",
        "84 01 01 40 80",
        "84 01 01 40 83 60 01 20",
        &flood(&[]),
        &flood(&["80"]),
    ] {
        assert!(with_loop_count(&hex(bad), 3).is_err(), "{bad}");
    }
}

/// T-09: neither flag is required, both are allowed, and none is dropped.
#[test]
fn flags_are_kept_as_they_came() {
    for flags in [0u64, 1, 4, 6, 11, 15, 16, 0xff, 1 << 40, u64::MAX] {
        let bytes = hex(&format!("83 05 01 84 63455833 1b{flags:016x} 06 01"));
        let Ok(Message::Negotiate { objective, .. }) = read(&bytes) else { panic!("{flags}") };
        assert_eq!(objective.flags, Flags(flags));
        assert_eq!(read(&read(&bytes).unwrap().encode()).unwrap(), read(&bytes).unwrap());
    }
    let both = Flags::NEG.with(Flags::SYNCH);
    assert!(both.contains(Flags::NEG) && both.contains(Flags::SYNCH) && !both.contains(Flags::DISC));
    assert_eq!(Flags::DISC.with(Flags::NEG).with(Flags::NEG_DRY), Flags(11));
}

/// G-FRM-05: an end keeps its meaning beside options that do not belong there.
#[test]
fn foreign_options_beside_an_end_option_are_dropped() {
    for foreign in ["811864", LOCATOR, "82186b01", OBJECTIVE, "05"] {
        let accept = Message::End { session_id: 1, option: EndOption::Accept };
        assert_eq!(message(&format!("84 06 01 811865 {foreign}")), accept, "{foreign}");
    }
}

/// G-FRM-03: what is built here has the array lengths of the CDDL.
#[test]
fn invalid_and_value_take_whatever_item_they_are_given() {
    let content = Some(Value::item(&("why", 1.5)).unwrap());
    let invalid = Message::Invalid { session_id: 7, content };
    assert_eq!(invalid.encode(), hex("83 1863 07 82 63776879 f93e00"));
    assert_eq!(read(&invalid.encode()).unwrap(), invalid);
}
