//! Messages seen on the wire, from graspy and from the AnimaGUS connect project.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::wire::{Locator, Message, MessageType, Rule, Value, diagnostic, item_end};
use serde_json::Value as Json;
use std::path::Path;
use wire_support::{flood, hex, message, read, response};

fn lines(file: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(file);
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(line: &'a Json, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}

/// Two notations of one item differ in blanks and in how strings are escaped.
fn same_notation(ours: &str, theirs: &str) -> bool {
    let plain = |notation: &str| notation.replace(' ', "");
    plain(ours) == plain(theirs)
}

/// Checks every line that follows the RFC and returns how many there were.
fn check(file: &str) -> usize {
    let mut checked = 0;
    for (number, line) in (1..).zip(lines(file)) {
        let bytes = hex(text(&line, "hex"));
        assert!(same_notation(&diagnostic(&bytes), text(&line, "diag")), "{file}:{number}: {}", diagnostic(&bytes));
        if line["rfc"] == true {
            let message = read(&bytes).unwrap_or_else(|error| panic!("{file}:{number}: {error}"));
            assert_eq!(message.message_type().name(), text(&line, "type"), "{file}:{number}");
            assert_eq!(grasp::hex::encode(&message.encode()), text(&line, "hex"), "{file}:{number}");
            checked += 1;
        }
    }
    checked
}

/// G-FRM-02, G-FRM-18, G-FRM-24, T-02: the senders seen so far use shortest encodings throughout, values included.
#[test]
fn everything_graspy_sent_is_read_and_written_alike() {
    assert_eq!(check("graspy-wire.jsonl"), 225);
}

/// G-FRM-02, G-FRM-24
#[test]
fn everything_graspy_sent_under_quads_is_read_and_written_alike() {
    assert_eq!(check("graspy-quads-wire.jsonl"), 16);
}

/// G-FRM-02, G-FRM-24
#[test]
fn everything_connect_sent_is_read_and_written_alike() {
    assert_eq!(check("connect-wire.jsonl"), 4);
}

/// G-FRM-05, G-INV-07, G-ERR-06, G-ERR-10: four lines break the CDDL, in three ways.
#[test]
fn what_broke_the_rules_is_refused_by_name_or_tolerated() {
    let mut seen = vec![];
    for line in lines("graspy-wire.jsonl").iter().filter(|line| line["rfc"] == false) {
        let result = read(&hex(text(line, "hex")));
        if text(line, "type") == "M_INVALID" {
            let Ok(Message::Invalid { session_id: 3_565_933_200, content: Some(content) }) = &result else {
                panic!("{result:?}")
            };
            assert_eq!(content.as_bytes(), hex("81 1863"));
        }
        seen.push((text(line, "type").to_owned(), result.err().map(|error| error.rule)));
    }
    let expected = [
        (MessageType::Invalid, None),
        (MessageType::Negotiate, Some(Rule::Objective)),
        (MessageType::Negotiate, Some(Rule::Objective)),
        (MessageType::Response, Some(Rule::NoLocator)),
    ];
    assert_eq!(seen, expected.map(|(message_type, rule)| (message_type.name().to_owned(), rule)));
}

/// G-FRM-11, G-OPT-07, G-OPT-11: single options and pairs, read in the place where they belong.
#[test]
fn the_fragments_of_connect_are_read_in_their_place() {
    let fragments = lines("connect-fragments.jsonl");
    assert_eq!(fragments.len(), 3);
    for line in &fragments {
        let fragment = text(line, "hex");
        assert_eq!(item_end(&hex(fragment), 0, 16).unwrap(), fragment.len() / 2);
        assert!(Value::from_encoded(hex(fragment)).is_ok());
        assert!(same_notation(&diagnostic(&hex(fragment)), text(line, "diag")));
        let whole = if text(line, "note").starts_with("flood") { flood(&[fragment]) } else { response(&[fragment]) };
        let read = message(&whole);
        assert_eq!(read.encode(), hex(&whole));
        if let Message::Flood { objectives, .. } = read {
            assert_eq!(objectives[0].objective.name, "EX2@example");
            assert_eq!(objectives[0].locator.as_ref().and_then(Locator::port), Some(4598));
        } else if let Message::Response { answer, .. } = read {
            let known = ["[fe80::1122]:1234", "grasp.example:6789"];
            assert!(known.contains(&answer.locators()[0].to_string().as_str()));
        }
    }
}
