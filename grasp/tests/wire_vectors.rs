//! Every test vector decodes to the stated form and encodes to the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::wire::{
    Answer, EndOption, Flags, Form, Locator, Message, MessageType, Objective, Rule, TaggedObjective, Transport, Value,
    diagnostic, with_loop_count,
};
use std::net::{IpAddr, Ipv6Addr};
use wire_support::{VECTORS, hex, read, vector};

const INITIATOR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf000, 0xbaaa, 0x28cc, 0xdc4c, 0x9703, 0x6781);
const RESPONDER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf000, 0xbaaa, 0xf000, 0xbaaa, 0xf000, 0xbaaa);

/// Checks that the vector is this message, in both directions.
fn is(id: &str, message: &Message) {
    let bytes = vector(id);
    assert_eq!(read(&bytes).as_ref(), Ok(message), "{id}");
    assert_eq!(message.encode(), bytes, "{id}");
}

fn objective(name: &str, flags: u64, loop_count: u8, value: Option<&str>) -> Objective {
    let value = value.map(|text| Value::from_encoded(hex(text)).unwrap());
    Objective { name: name.to_owned(), flags: Flags(flags), loop_count, value }
}

fn discovery(objective: Objective) -> Message {
    Message::Discovery { session_id: 13_948_744, initiator: INITIATOR.into(), objective }
}

fn response(ttl: u32, answer: Answer, objective: Option<Objective>) -> Message {
    Message::Response { session_id: 13_948_744, initiator: INITIATOR.into(), ttl, answer, objective }
}

fn tcp(port: u16) -> Locator {
    Locator::tcp(RESPONDER.into(), port)
}

fn fqdn(port: u16) -> Locator {
    Locator::Fqdn { name: "a.example.com".to_owned(), transport: Transport::Tcp, port }
}

fn negotiate(loop_count: u8, value: &str) -> Message {
    Message::Negotiate { session_id: 13_767_778, objective: objective("EX3", 3, loop_count, Some(value)) }
}

/// V-01, V-21, V-22, V-23; G-FRM-24
#[test]
fn discoveries_of_the_vectors() {
    is("V-01", &discovery(objective("EX1", 5, 2, Some("00"))));
    is("V-21", &discovery(objective("EX1", 5, 2, None)));
    is("V-22", &discovery(objective("EX1", 5, 1, Some("00"))));
    let initiator = IpAddr::from([192, 0, 2, 1]);
    let objective = objective("EX1", 5, 6, Some("f6"));
    assert_eq!(objective.value, Some(Value::null()));
    is("V-23", &Message::Discovery { session_id: 1, initiator, objective });
}

/// V-02, V-18, V-19, V-20; G-FRM-24, G-OPT-07, G-OPT-11, G-OPT-13
#[test]
fn responses_of_the_vectors() {
    is("V-02", &response(60_000, Answer::Locators(vec![tcp(49_443)]), None));
    is("V-18", &response(60_000, Answer::Locators(vec![tcp(49_443), fqdn(49_443)]), None));
    let copy = Some(objective("EX1", 5, 2, Some("00")));
    is("V-19", &response(60_000, Answer::Locators(vec![tcp(49_443)]), copy));
    let uri = Locator::Uri { uri: "coap://[2001:db8::1]/".to_owned(), transport: None, port: None };
    is("V-20", &response(0, Answer::Locators(vec![uri]), None));
}

/// V-16, V-17; T-37
#[test]
fn diverts_of_the_vectors() {
    is("V-16", &response(60_000, Answer::Divert(vec![tcp(49_443)]), None));
    is("V-17", &response(60_000, Answer::Divert(vec![tcp(49_443), fqdn(443)]), None));
}

/// V-03, V-24, V-25, V-26; G-FRM-24, G-FRM-11, G-FRM-16
#[test]
fn floods_of_the_vectors() {
    let flood =
        |objectives| Message::Flood { session_id: 3_504_974, initiator: INITIATOR.into(), ttl: 10_000, objectives };
    let tagged = |objective, locator| TaggedObjective { objective, locator };
    let example = Value::item("Example 1 value=").unwrap();
    let mut text = objective("EX1", 5, 2, None);
    text.value = Some(Value::item(&(example.decode::<String>().unwrap(), 100)).unwrap());
    is("V-03", &flood(vec![tagged(text, None)]));
    let second = || tagged(objective("EX2", 5, 3, Some("02")), Some(tcp(7017)));
    is("V-24", &flood(vec![tagged(objective("EX1", 5, 6, Some("01")), None), second()]));
    is("V-25", &flood(vec![tagged(objective("EX1", 5, 5, Some("01")), None), second()]));

    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xc001, 0x1001, 0xfeef, 0);
    let locator = Locator::Ipv6 { address, transport: Transport::Udp, port: 15_000 };
    assert!(locator.is_link_local());
    let objectives = vec![tagged(objective("AN_ACP", 4, 1, Some("65 494b457632")), Some(locator))];
    is("V-26", &Message::Flood { session_id: 12_340_815, initiator: address.into(), ttl: 210_000, objectives });
}

/// V-04, V-05, V-29, V-30; G-FRM-24
#[test]
fn synchronizations_of_the_vectors() {
    let request =
        |value| Message::RequestSynchronization { session_id: 4_038_926, objective: objective("EX2", 5, 5, value) };
    is("V-04", &request(Some("00")));
    is("V-29", &request(Some("f6")));
    is("V-30", &request(None));
    let mut current = objective("EX2", 5, 5, None);
    current.value = Some(Value::item(&("Example 2 value=", 200)).unwrap());
    is("V-05", &Message::Synch { session_id: 4_038_926, objective: current });
}

/// V-06, V-08, V-09, V-10, V-12, V-13, V-27, V-28; G-FRM-24
#[test]
fn negotiations_of_the_vectors() {
    let request = |session_id, flags, value| Message::RequestNegotiation {
        session_id,
        objective: objective("EX3", flags, 6, Some(value)),
    };
    is("V-06", &request(802_813, 3, "82 634e5a44 182f"));
    is("V-08", &request(13_767_778, 3, "82 634e5a44 19019a"));
    is("V-28", &request(802_813, 11, "82 634e5a44 182f"));
    let wrapped = request(802_813, 3, "d818 47 82634e5a44182f");
    is("V-27", &wrapped);
    let Message::RequestNegotiation { objective, .. } = wrapped else { panic!("{wrapped:?}") };
    assert_eq!(objective.value.unwrap().form(), Form::Embedded(hex("82634e5a44182f").into()));
    is("V-09", &negotiate(6, "82 634e5a44 1850"));
    is("V-10", &negotiate(5, "82 634e5a44 190133"));
    is("V-12", &negotiate(4, "82 634e5a44 1878"));
    is("V-13", &negotiate(3, "82 634e5a44 18f6"));
}

/// V-07, V-14, V-31; G-FRM-24
#[test]
fn ends_of_the_vectors() {
    is("V-07", &Message::End { session_id: 802_813, option: EndOption::Accept });
    let reason = Some("Insufficient funds".to_owned());
    is("V-14", &Message::End { session_id: 13_767_778, option: EndOption::Decline(reason) });
    is("V-31", &Message::End { session_id: 802_813, option: EndOption::Decline(None) });
}

/// V-11, V-35; G-FRM-24
#[test]
fn waits_of_the_vectors() {
    is("V-11", &Message::Wait { session_id: 13_767_778, waiting_time: 34_965 });
    is("V-35", &Message::Wait { session_id: 13_767_778, waiting_time: 0 });
}

/// V-15; G-NOOP-03
#[test]
fn the_noop_of_the_vectors() {
    is("V-15", &Message::Noop);
    assert_eq!(Message::Noop.session_id(), None);
}

/// V-32, V-33; G-INV-07
#[test]
fn invalids_of_the_vectors() {
    let content = Some(Value::from_encoded(hex("48 830a1a000c3ffd80")).unwrap());
    is("V-32", &Message::Invalid { session_id: 802_813, content });
    is("V-33", &Message::Invalid { session_id: 802_813, content: None });
}

/// V-34; G-FRM-06
#[test]
fn an_unknown_type_is_refused_with_its_session_id() {
    let error = read(&vector("V-34")).unwrap_err();
    assert_eq!((error.rule, error.message_type, error.session_id), (Rule::UnknownType, Some(10), Some(802_813)));
    assert!(!error.is_cbor_failure());
}

/// V-22, V-25; G-DREL-17, G-FREL-06, G-FREL-10, T-03
#[test]
fn a_relay_makes_the_next_vector() {
    assert_eq!(with_loop_count(&vector("V-01"), 1).unwrap(), vector("V-22"));
    assert_eq!(with_loop_count(&vector("V-24"), 5).unwrap(), vector("V-25"));
}

/// G-FRM-02, G-FRM-09
#[test]
fn vectors_carry_the_types_of_the_table() {
    let types: [(&str, MessageType); 11] = [
        ("V-15", MessageType::Noop),
        ("V-01", MessageType::Discovery),
        ("V-02", MessageType::Response),
        ("V-06", MessageType::RequestNegotiation),
        ("V-04", MessageType::RequestSynchronization),
        ("V-09", MessageType::Negotiate),
        ("V-07", MessageType::End),
        ("V-11", MessageType::Wait),
        ("V-05", MessageType::Synch),
        ("V-03", MessageType::Flood),
        ("V-33", MessageType::Invalid),
    ];
    assert_eq!(types.map(|(_, message_type)| message_type), MessageType::ALL);
    for (id, message_type) in types {
        assert_eq!(read(&vector(id)).unwrap().message_type(), message_type, "{id}");
    }
}

/// G-FRM-24
#[test]
fn no_vector_was_forgotten() {
    for (id, _) in VECTORS {
        let bytes = vector(id);
        match read(&bytes) {
            Ok(message) => assert_eq!(message.encode(), bytes, "{id}"),
            Err(error) => assert_eq!((id, error.rule), ("V-34", Rule::UnknownType)),
        }
    }
}

/// RFC 8990 Appendix A
#[test]
fn diagnostic_notation_reads_like_the_appendix() {
    let notation = |id| diagnostic(&vector(id));
    assert_eq!(notation("V-01"), r#"[1, 13948744, h'20010db8f000baaa28ccdc4c97036781', ["EX1", 5, 2, 0]]"#);
    assert_eq!(notation("V-14"), r#"[6, 13767778, [102, "Insufficient funds"]]"#);
    assert_eq!(notation("V-27"), r#"[3, 802813, ["EX3", 3, 6, 24(h'82634e5a44182f')]]"#);
}
