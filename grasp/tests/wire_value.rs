//! RFC 8990 §2.10.1, RFC 8991 §2.3.2.4: values stay bytes, and Tag 24 is explicit (T-01, T-02).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::constants::MAX_DEPTH;
use grasp::wire::{Flags, Form, Message, Objective, Value, ValueError};
use wire_support::{hex, read};

fn value(text: &str) -> Value {
    Value::from_encoded(hex(text)).unwrap()
}

fn embedded(text: &str) -> Form {
    Form::Embedded(hex(text).into())
}

/// T-01: the two explicit forms.
#[test]
fn an_item_and_an_embedded_item_are_two_forms() {
    let item = Value::item(&("NZD", 47)).unwrap();
    assert_eq!(item.as_bytes(), hex("82 634e5a44 182f"));
    assert_eq!(item.form(), Form::Item(hex("82 634e5a44 182f").into()));
    let wrapped = Value::embedded(item.as_bytes());
    assert_eq!(wrapped.as_bytes(), hex("d818 47 82634e5a44182f"));
    assert_eq!(wrapped.form(), embedded("82634e5a44182f"));
    for form in [item, wrapped] {
        assert_eq!(form.decode::<(String, u64)>().unwrap(), ("NZD".to_owned(), 47));
    }
}

/// T-01: an answer in the form of the question.
#[test]
fn a_value_can_be_mirrored_in_the_form_it_came_in() {
    for sent in [
        value("82 634e5a44 182f"),
        value("d818 47 82634e5a44182f"),
        value("d818 43 8201ff"),
        value("d818 40"),
        value("43 010203"),
    ] {
        let mirrored = match sent.form() {
            Form::Item(bytes) => Value::from_encoded(bytes).unwrap(),
            Form::Embedded(inner) => Value::embedded(&inner),
        };
        assert_eq!(mirrored, sent);
    }
}

/// T-01: a Python peer wraps bytes whose beginning happens to decode, such as `-----BEGIN`.
#[test]
fn the_inside_of_tag_24_need_not_be_one_item() {
    let pem = b"-----BEGIN CERTIFICATE-----\nMIIB";
    let wrapped = Value::embedded(pem);
    assert_eq!(wrapped.form(), Form::Embedded(pem.to_vec().into()));
    assert_eq!(wrapped.decode::<i64>(), Err(ValueError::NotOneItem));
    let cut = value("d818 43 8201ff");
    assert_eq!(cut.form(), embedded("8201ff"));
    assert_eq!(cut.decode::<Vec<u8>>(), Err(ValueError::NotOneItem));
    assert_eq!(value("d818 40").decode::<u8>(), Err(ValueError::NotOneItem));
    assert_eq!(value("d818 42 0000").decode::<u8>(), Err(ValueError::NotOneItem));
}

/// T-01: no guessing.
#[test]
fn plain_byte_strings_are_untouched() {
    for plain in ["47 82634e5a44182f", "41 00", "40", "5f 41 00 ff"] {
        assert_eq!(value(plain).form(), Form::Item(hex(plain).into()));
        assert_eq!(value(plain).as_bytes(), hex(plain));
    }
}

/// T-01
#[test]
fn tag_24_around_anything_but_a_byte_string_is_untouched() {
    for other in
        ["d818 82 634e5a44 182f", "d818 00", "d818 61 61", "d818 f6", "d818 d818 41 00", "d817 41 00", "d9 0118 41 00"]
    {
        assert_eq!(value(other).form(), Form::Item(hex(other).into()), "{other}");
    }
}

/// T-01: wrapped twice is unwrapped once.
#[test]
fn only_the_outer_tag_24_is_unwrapped() {
    let twice = Value::embedded(Value::embedded(&hex("07")).as_bytes());
    assert_eq!(twice.form(), embedded("d8184107"));
}

/// T-01, G-FRM-18
#[test]
fn tag_24_is_recognised_in_any_well_formed_encoding() {
    assert_eq!(value("d818 5f 42 8263 43 4e5a44 42 182f ff").form(), embedded("82634e5a44182f"));
    assert_eq!(value("d818 5f ff").form(), embedded(""));
    assert_eq!(value("d90018 58 01 07").form(), embedded("07"));
    assert_eq!(value("d818 5f 41 07 ff").decode::<u8>().unwrap(), 7);
}

/// G-ERR-23: what does not fit is the ASA's problem and is told as such.
#[test]
fn a_value_of_another_shape_is_an_error() {
    assert!(matches!(value("f5").decode::<u8>(), Err(ValueError::Shape(_))));
    assert!(matches!(value("f863").decode::<u8>(), Err(ValueError::Shape(_))));
    assert!(value("f6").decode::<Option<u8>>().unwrap().is_none());
    assert_eq!(Value::null(), value("f6"));
}

/// G-OBJ-03: a value is exactly one item.
#[test]
fn only_one_well_formed_item_is_a_value() {
    for bad in ["", "00 00", "81", "ff", "62c328", "8201ff"] {
        assert_eq!(Value::from_encoded(hex(bad)), Err(ValueError::NotOneItem), "{bad}");
    }
}

/// G-ERR-17: what a peer could not read is refused before it is sent.
#[test]
fn a_value_nested_too_deeply_for_a_flood_is_not_made() {
    let nested = |levels: usize| (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    assert!(Value::item(&nested(MAX_DEPTH - 3)).is_ok());
    assert!(matches!(Value::item(&nested(MAX_DEPTH - 2)), Err(ValueError::Shape(_))));
}

/// A record of a message replays to the same bytes.
#[test]
fn values_are_recorded_as_hex() {
    let odd = value("a2 01 02 01 f863");
    let json = serde_json::to_string(&odd).unwrap();
    assert_eq!(json, "\"a2010201f863\"");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), odd);
    assert!(serde_json::from_str::<Value>("\"a2\"").is_err());
    assert!(serde_json::from_str::<Value>("\"0\"").is_err());
    assert_eq!(format!("{odd:?}"), "{1: 2, 1: simple(99)}");
}

/// T-01, T-02: the engine sends what it was given.
#[test]
fn a_message_holds_the_value_s_own_bytes() {
    let objective =
        Objective { name: "EX3".to_owned(), flags: Flags::NEG, loop_count: 6, value: Some(value("d818 43 8201ff")) };
    let message = Message::RequestNegotiation { session_id: 1, objective };
    assert_eq!(message.encode(), hex("83 03 01 84 63455833 02 06 d818 43 8201ff"));
    assert_eq!(read(&message.encode()), Ok(message));
}
