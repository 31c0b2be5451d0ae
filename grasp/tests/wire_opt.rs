//! RFC 8990 §2.8.12, §2.8.13, §2.9: options, M_INVALID and M_NOOP (G-OPT, G-INV, G-NOOP), as far as the codec decides.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::wire::{Answer, EndOption, Framer, Limits, Locator, Message, Rule, Transport, Value};
use wire_support::{LOCATOR, hex, message, read, response, rule, vector};

const OBJECTIVE: &str = "84 63455831 05 06 01";

/// G-OPT-01, G-OPT-02
#[test]
fn an_option_is_an_array_that_starts_with_its_number() {
    let good = message(&response(&[LOCATOR]));
    for unusable in ["81 6178", "81 20", "80", "9fff", "05", "6178", "f6", "a0", "a1 1867 01", "81 f6", "81 81 1867"] {
        assert_eq!(message(&response(&[unusable, LOCATOR])), good, "{unusable}");
        assert_eq!(message(&response(&[LOCATOR, unusable])), good, "{unusable}");
        assert_eq!(rule(&response(&[unusable])), Rule::NoLocator, "{unusable}");
    }
}

/// G-OPT-03
#[test]
fn unknown_options_are_dropped() {
    let good = message(&response(&[LOCATOR]));
    for unknown in [
        "82 186b 01",
        "81 1863",
        "82 18fa 80",
        "81 1bffffffffffffffff",
        "84 186b 50 00112233445566778899aabbccddeeff 06 01",
    ] {
        assert_eq!(message(&response(&[unknown, LOCATOR])), good, "{unknown}");
        assert_eq!(message(&format!("84 06 01 {unknown} 811865")), message("83 06 01 811865"), "{unknown}");
    }
}

/// G-OPT-04, G-OPT-05
#[test]
fn accept_and_decline_mean_nothing_outside_an_end() {
    for option in ["811865", "811866", "82186661 61"] {
        assert_eq!(message(&format!("84 08 01 {OBJECTIVE} {option}")), message(&format!("83 08 01 {OBJECTIVE}")));
        assert_eq!(message(&format!("84 04 01 {OBJECTIVE} {option}")), message(&format!("83 04 01 {OBJECTIVE}")));
        assert_eq!(rule(&format!("83 05 01 {option}")), Rule::Objective);
        assert_eq!(rule(&response(&[option])), Rule::NoLocator);
    }
}

/// G-OPT-06
#[test]
fn a_reason_is_any_text() {
    let end = Message::End { session_id: 1, option: EndOption::Decline(Some("余额不足 💸".to_owned())) };
    assert_eq!(read(&end.encode()).unwrap(), end);
    let without = Message::End { session_id: 1, option: EndOption::Decline(None) };
    assert_eq!(message("83 06 01 82 1866 05"), without);
    assert_eq!(message("83 06 01 82 1866 f6"), without);
    assert_eq!(rule("83 06 01 82 1866 62c328"), Rule::Malformed);
}

/// G-OPT-07, G-OPT-10, G-OPT-11, G-OPT-13
#[test]
fn locators_encode_to_their_options() {
    let udp = Transport::Udp;
    let ipv4 = Locator::Ipv4 { address: [192, 0, 2, 1].into(), transport: udp, port: 7017 };
    assert_eq!(ipv4.encode(), hex("84 1868 44 c0000201 11 191b69"));
    assert_eq!(Locator::tcp([192, 0, 2, 1].into(), 1).encode(), hex("84 1868 44 c0000201 06 01"));
    let fqdn = Locator::Fqdn { name: "a.b".to_owned(), transport: udp, port: 0 };
    assert_eq!(fqdn.encode(), hex("84 1869 63612e62 11 00"));
    let uri = Locator::Uri { uri: "a:".to_owned(), transport: Some(udp), port: None };
    assert_eq!(uri.encode(), hex("84 186a 62613a 11 f6"));
    for locator in [ipv4, fqdn, uri] {
        let answer = Answer::Locators(vec![locator]);
        let initiator = [192, 0, 2, 2].into();
        let response = Message::Response { session_id: 1, initiator, ttl: 0, answer, objective: None };
        assert_eq!(read(&response.encode()), Ok(response));
    }
}

/// G-INV-01, G-INV-02: type and session id of a bad message are told where they can be read.
#[test]
fn a_bad_message_tells_the_session_id_for_the_invalid() {
    for (bad, message_type) in
        [("82 03 1a000c3ffd", 3), ("83 05 1a000c3ffd 811863", 5), ("82 06 1a000c3ffd", 6), ("82 07 1a000c3ffd", 7)]
    {
        let error = read(&hex(bad)).unwrap_err();
        assert_eq!((error.message_type, error.session_id), (Some(message_type), Some(802_813)), "{bad}");
        assert!(!error.is_cbor_failure());
    }
}

/// G-INV-05, G-INV-07: surplus elements are tolerated; the refused ones still tell that they were M_INVALID.
#[test]
fn an_invalid_has_a_session_id_and_any_content() {
    assert_eq!(message("82 1863 01"), Message::Invalid { session_id: 1, content: None });
    let content = |text| Some(Value::from_encoded(hex(text)).unwrap());
    assert_eq!(message("85 1863 01 01 02 03"), Message::Invalid { session_id: 1, content: content("01") });
    assert_eq!(message("83 1863 01 a1 01 f7"), Message::Invalid { session_id: 1, content: content("a1 01 f7") });
    for bad in ["81 1863", "82 1863 6178"] {
        let error = read(&hex(bad)).unwrap_err();
        assert_eq!((error.rule, error.message_type, error.session_id), (Rule::SessionId, Some(99), None));
    }
}

/// G-INV-08, G-ERR-04
#[test]
fn a_session_id_that_cannot_be_read_is_not_told() {
    for bad in [
        "63616263",
        "20",
        "fb3ff0000000000000",
        "f93c00",
        "1b0000000100000000",
        "41 01",
        "f6",
        "81 01",
        "c24101",
        "c1 01",
    ] {
        for number in 1..=9 {
            let error = read(&hex(&format!("83 {number:02x} {bad} {OBJECTIVE}"))).unwrap_err();
            assert_eq!(
                (error.rule, error.message_type, error.session_id),
                (Rule::SessionId, Some(number), None),
                "{bad}"
            );
        }
        let error = read(&hex(&format!("83 0a {bad} 80"))).unwrap_err();
        assert_eq!((error.rule, error.session_id), (Rule::UnknownType, None), "{bad}");
    }
    for number in 1..=9 {
        assert_eq!(rule(&format!("81 {number:02x}")), Rule::SessionId);
    }
}

/// G-NOOP-02, G-NOOP-03
#[test]
fn a_noop_is_read_with_or_without_surplus() {
    for noop in ["8100", "9f00ff", "81 1800", "82 00 01", "82 00 6178"] {
        assert_eq!(message(noop), Message::Noop, "{noop}");
    }
    assert_eq!(Message::Noop.encode(), hex("8100"));
}

/// G-NOOP-04
#[test]
fn a_noop_around_other_messages_leaves_them_alone() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&[vector("V-15"), vector("V-06"), vector("V-15")].concat());
    let mut frames = vec![];
    while let Some(frame) = framer.next_frame().unwrap() {
        frames.push(frame);
    }
    assert_eq!(frames, [vector("V-15"), vector("V-06"), vector("V-15")]);
}
