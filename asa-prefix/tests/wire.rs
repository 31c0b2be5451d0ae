//! Requests and offers on the wire: the table of `asa_prefix::wire`, byte by byte.

mod hostile;

use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::wire::{Dialect, Form, Found, Shape, WireError, read_offer, read_request, write_offer, write_request};
use ciborium::Value as Item;
use grasp::Value;
use grasp::wire::{Limits, Message, decode};

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn hex(text: &str) -> Value {
    Value::from_encoded(grasp::hex::decode(text).unwrap()).unwrap()
}

fn item(item: impl Into<Item>) -> Value {
    Value::item(&item.into()).unwrap()
}

fn array(items: impl IntoIterator<Item = Item>) -> Item {
    Item::Array(items.into_iter().collect())
}

fn bytes(prefix: &str) -> Item {
    match p(prefix).address() {
        std::net::IpAddr::V4(address) => Item::Bytes(address.octets().to_vec()),
        std::net::IpAddr::V6(address) => Item::Bytes(address.octets().to_vec()),
    }
}

fn tag(tag: u64, content: Item) -> Item {
    Item::Tag(tag, Box::new(content))
}

const F4: Shape = Shape::F4 { versioned: true, delegation: true };
const F4_OLD: Shape = Shape::F4 { versioned: false, delegation: false };
const SHAPES: [Shape; 9] = [
    Shape::F1,
    Shape::F2,
    Shape::F3,
    F4,
    Shape::F4 { versioned: true, delegation: false },
    F4_OLD,
    Shape::F4 { versioned: false, delegation: true },
    Shape::F5,
    Shape::F6,
];
use Dialect::{PrefixManager, PrefixManagerT};

/// PM-W-01: every request of section 1.1, and PM-W-02 for those that are written back.
#[test]
fn requests_are_read_by_shape_alone() {
    let v6 = |length| Want::new(Family::V6, length).unwrap();
    let v4 = |length| Want::new(Family::V4, length).unwrap();
    for (dialect, text, shape, want) in [
        (PrefixManager, "811839", Shape::F1, v6(57)),
        (PrefixManager, "8106", Shape::F1, v6(6)),
        (PrefixManager, "82061839", Shape::F2, v6(57)),
        (PrefixManager, "820414", Shape::F2, v4(20)),
        (PrefixManager, "83061839f6", Shape::F3, v6(57)),
        (PrefixManager, "830414f6", Shape::F3, v4(20)),
        (PrefixManager, "8306f51839", F4, v6(57)),
        (PrefixManager, "82f41839", F4_OLD, v6(57)),
        (PrefixManager, "d83682183940", Shape::F6, v6(57)),
        (PrefixManager, "d834821440", Shape::F6, v4(20)),
        (PrefixManagerT, "d836821839480000000000000000", Shape::F5, v6(57)),
        (PrefixManagerT, "d834821443000000", Shape::F5, v4(20)),
        (PrefixManagerT, "d83682183940", Shape::F6, v6(57)),
        (PrefixManagerT, "82061839", Shape::F2, v6(57)),
    ] {
        for embedded in [false, true] {
            let value = if embedded { Value::embedded(hex(text).as_bytes()) } else { hex(text) };
            let asked = read_request(dialect, &value).unwrap();
            let form = Form { shape, embedded };
            assert_eq!((asked.want, asked.form, asked.surplus, asked.hint), (want, form, false, None), "{text}");
            assert_eq!(write_request(form, want).unwrap(), value, "{text}");
        }
    }
}

/// PM-W-01: the variants that are read and never written.
#[test]
fn a_null_may_follow_the_length_in_every_positional_form() {
    for (items, shape) in [
        (array([57.into(), Item::Null]), Shape::F1),
        (array([6.into(), true.into(), 57.into(), Item::Null]), F4),
        (array([false.into(), 57.into(), Item::Null]), F4_OLD),
    ] {
        let asked = read_request(PrefixManager, &item(items)).unwrap();
        assert_eq!((asked.form, asked.want.length, asked.surplus), (Form::plain(shape), 57, false));
    }
}

/// PM-W-01, PM-W-02: every offer of section 1.1.
#[test]
fn offers_are_answered_in_kind_byte_for_byte() {
    let block = p("2001:db8:ffff:ff80::/57");
    for (dialect, shape, prefix, text) in [
        (PrefixManager, Shape::F1, block, "8218395020010db8ffffff800000000000000000"),
        (PrefixManager, Shape::F2, block, "830618395020010db8ffffff800000000000000000"),
        (PrefixManager, Shape::F2, p("10.255.240.0/20"), "830414440afff000"),
        (PrefixManager, F4, block, "8406f518395020010db8ffffff800000000000000000"),
        (PrefixManager, F4_OLD, block, "83f418395020010db8ffffff800000000000000000"),
        (PrefixManagerT, Shape::F5, block, "d8368218394820010db8ffffff80"),
        (PrefixManagerT, Shape::F5, p("10.255.240.0/20"), "d8348214430afff0"),
        (PrefixManager, Shape::F6, block, "d8368218394820010db8ffffff80"),
        (PrefixManager, Shape::F6, p("2001:db8::/64"), "d8368218404420010db8"),
        (PrefixManager, Shape::F6, p("::/0"), "d836820040"),
    ] {
        for form in [Form::plain(shape), Form::embedded(shape)] {
            let value = write_offer(form, &prefix).unwrap();
            let expected = if form.embedded { Value::embedded(hex(text).as_bytes()) } else { hex(text) };
            assert_eq!(value, expected, "{form}");
            let read = read_offer(dialect, &value).unwrap();
            assert_eq!((read.prefix, read.form, read.surplus), (prefix, form, false));
        }
    }
    let null = write_offer(Form::plain(Shape::F3), &block).unwrap();
    assert_eq!(read_offer(PrefixManager, &null).unwrap().form, Form::plain(Shape::F2));
}

/// PM-W-05: as many bytes as the length needs, zero bytes included.
#[test]
fn prefixes_for_pfxm4_are_zero_padded() {
    for (prefix, text) in [
        ("2001:db8::/57", "d8368218394820010db800000000"),
        ("2001:db8::/61", "d83682183d4820010db800000000"),
        ("2001:db8::/64", "d8368218404820010db800000000"),
        ("10.0.0.0/20", "d8348214430a0000"),
        ("10.0.0.0/22", "d8348216430a0000"),
    ] {
        assert_eq!(write_offer(Form::plain(Shape::F5), &p(prefix)).unwrap(), hex(text));
        assert_eq!(read_offer(PrefixManagerT, &hex(text)).unwrap().prefix, p(prefix));
    }
}

/// PM-W-06
#[test]
fn only_the_objective_of_pfxm4_may_keep_zero_bytes() {
    let (short, long) = (hex("d8368218404420010db8"), hex("d8368218404820010db800000000"));
    for (value, shape) in [(&short, Shape::F6), (&long, Shape::F5)] {
        let read = read_offer(PrefixManagerT, value).unwrap();
        assert_eq!((read.prefix, read.form), (p("2001:db8::/64"), Form::plain(shape)));
    }
    assert_eq!(read_offer(PrefixManager, &short).unwrap().prefix, p("2001:db8::/64"));
    assert_eq!(read_offer(PrefixManager, &long).unwrap_err(), WireError::TrailingZero);
    for dialect in Dialect::ALL {
        let stray = read_offer(dialect, &hex("d83682182c4620010db81233")).unwrap_err();
        assert_eq!(stray, WireError::StrayBits { family: Family::V6, length: 44 });
        let more = read_offer(dialect, &hex("d8368218204520010db801")).unwrap_err();
        assert_eq!(more, WireError::Surplus { length: 32, found: 5 });
    }
}

/// PM-W-07
#[test]
fn a_plain_address_is_a_prefix_and_an_interface_is_not() {
    for (dialect, shape) in [(PrefixManager, Shape::F6), (PrefixManagerT, Shape::F5)] {
        for (number, address) in [(54, "2001:db8::1/128"), (52, "192.0.2.7/32")] {
            let value = item(tag(number, bytes(address)));
            let read = read_offer(dialect, &value).unwrap();
            assert_eq!((read.prefix, read.form), (p(address), Form::plain(shape)));
            assert_eq!(read_request(dialect, &value).unwrap().hint, Some(p(address)));
            let interface = item(tag(number, array([bytes(address), 24.into()])));
            assert_eq!(read_offer(dialect, &interface).unwrap_err(), WireError::InterfaceForm);
        }
    }
}

/// PM-W-08
#[test]
fn lengths_and_bytes_out_of_range_are_refused_with_a_reason() {
    let length = |family, found| WireError::Length { family, found };
    let (v6, v4) = (Family::V6, Family::V4);
    let stray = |family, length| WireError::StrayBits { family, length };
    for (items, error) in [
        (array([6.into(), 129.into()]), length(v6, Found::Integer(129))),
        (array([6.into(), (-1).into()]), length(v6, Found::Integer(-1))),
        (array([6.into(), u64::MAX.into()]), length(v6, Found::Integer(u64::MAX.into()))),
        (array([4.into(), 33.into()]), length(v4, Found::Integer(33))),
        (array([129.into()]), length(v6, Found::Integer(129))),
        (array([6.into(), 57.0.into()]), length(v6, Found::Float)),
        (array([6.into(), "57".into()]), length(v6, Found::Text)),
        (array([6.into(), true.into()]), length(v6, Found::Nothing)),
        (array([true.into()]), length(v6, Found::Nothing)),
        (array([5.into(), 57.into()]), WireError::Version(Found::Integer(5))),
        (array(["6".into(), true.into(), 57.into()]), WireError::Version(Found::Text)),
        (
            array([6.into(), 57.into(), Item::Bytes(vec![0; 15])]),
            WireError::Bytes { family: v6, found: Found::Bytes(15) },
        ),
        (
            array([4.into(), 20.into(), Item::Bytes(vec![0; 16])]),
            WireError::Bytes { family: v4, found: Found::Bytes(16) },
        ),
        (array([6.into(), 57.into(), "x".into()]), WireError::Bytes { family: v6, found: Found::Text }),
        (array([4.into(), 20.into(), bytes("10.0.8.0/21")]), stray(v4, 20)),
        (array([56.into(), bytes("2001:db8:0:80::/57")]), stray(v6, 56)),
        (array([]), WireError::NoPrefixValue(Found::Array(0))),
        (Item::Null, WireError::NoPrefixValue(Found::Null)),
        ("PrefixManager".into(), WireError::NoPrefixValue(Found::Text)),
        (tag(260, array([6.into(), 57.into()])), WireError::NoPrefixValue(Found::Tag(260))),
        (tag(54, 57.into()), WireError::Tagged { family: v6, found: Found::Integer(57) }),
        (tag(54, array([129.into(), Item::Bytes(vec![])])), length(v6, Found::Integer(129))),
        (tag(52, array([33.into(), Item::Bytes(vec![])])), length(v4, Found::Integer(33))),
        (tag(54, array([57.into()])), WireError::Bytes { family: v6, found: Found::Nothing }),
        (tag(54, array([57.into(), Item::Null])), WireError::Bytes { family: v6, found: Found::Null }),
        (tag(54, array([57.into(), Item::Bytes(vec![]), 1.into()])), WireError::SurplusItems(3)),
        (tag(24, 57.into()), WireError::NoPrefixValue(Found::Tag(24))),
    ] {
        let value = item(items);
        assert_eq!(read_request(PrefixManager, &value).unwrap_err(), error, "{value:?}");
        assert_eq!(read_offer(PrefixManager, &value).unwrap_err(), error, "{value:?}");
    }
    let request = hex("83061839f6");
    assert_eq!(read_offer(PrefixManager, &request).unwrap_err(), WireError::NoPrefix);
}

/// Section 1.1, F7: recognised, and refused for what it is.
#[test]
fn pfxm4_of_2021_is_recognised_and_refused() {
    for (number, address, length) in [(54, "2001:db8::/57", 57), (52, "10.255.240.0/20", 20)] {
        let inner = item(array([bytes(address), length.into()]));
        let value = item(tag(number, Item::Bytes(inner.as_bytes().to_vec())));
        for dialect in Dialect::ALL {
            assert_eq!(read_request(dialect, &value).unwrap_err(), WireError::Outdated);
        }
    }
    let october = hex("d836821839480000000000000000");
    assert_eq!(read_request(PrefixManager, &october).unwrap_err(), WireError::TrailingZero);
}

/// PM-W-04
#[test]
fn surplus_items_are_noticed_and_mean_nothing() {
    let block = "2001:db8:ffff:ff80::/57";
    let more: Item = "more".into();
    for items in [
        array([57.into(), bytes(block), more.clone()]),
        array([6.into(), 57.into(), bytes(block), more.clone()]),
        array([6.into(), true.into(), 57.into(), bytes(block), more.clone()]),
        array([true.into(), 57.into(), bytes(block), more.clone()]),
    ] {
        let offered = read_offer(PrefixManager, &item(items.clone())).unwrap();
        assert_eq!((offered.prefix, offered.surplus), (p(block), true));
        let asked = read_request(PrefixManager, &item(items)).unwrap();
        assert_eq!((asked.want.length, asked.surplus, asked.hint), (57, true, Some(p(block))));
    }
    let tagged = tag(54, array([57.into(), Item::Bytes(vec![0; 8]), more]));
    assert!(read_request(PrefixManagerT, &item(tagged)).unwrap().surplus);
}

/// COM-11: the content of Tag 24 need not be an item.
#[test]
fn whatever_stands_in_tag_24_is_refused_without_harm() {
    for inner in [&[0x82, 0x01, 0xff][..], b"-----BEGIN", &[], &[0x82, 0x06, 0x18, 0x39, 0x00]] {
        assert_eq!(read_request(PrefixManager, &Value::embedded(inner)).unwrap_err(), WireError::NotOneItem);
    }
    let twice = Value::embedded(Value::embedded(&[0x81, 0x18, 0x39]).as_bytes());
    assert_eq!(read_request(PrefixManager, &twice).unwrap_err(), WireError::TwiceEmbedded);
    let deep = [&[0x81; 10_000][..], &[0x06]].concat();
    assert!(matches!(read_request(PrefixManager, &Value::embedded(&deep)), Err(WireError::TooLong { .. })));
    assert_eq!(read_request(PrefixManager, &Value::embedded(&deep[8500..])).unwrap_err(), WireError::NotOneItem);
}

/// PM-W-01, PM-W-08: oddities of CBOR that mean what they say, and those that mean too much.
#[test]
fn unusual_encodings_are_read_or_refused_by_what_they_mean() {
    // [_ 6, 57], [6, 57] with the widest integers, and bytes in chunks.
    for text in ["9f061839ff", "9b00000000000000021b00000000000000061b0000000000000039"] {
        assert_eq!(read_request(PrefixManager, &hex(text)).unwrap().want.length, 57);
    }
    let chunks = hex("830414 5f420aff42f000ff".replace(' ', "").as_str());
    assert_eq!(read_offer(PrefixManager, &chunks).unwrap().prefix, p("10.255.240.0/20"));
    // A length of 2^128 as a bignum, and one of -2^64.
    for text in ["8206c25101000000000000000000000000000000 00".replace(' ', ""), "82063bffffffffffffffff".into()] {
        assert!(matches!(read_request(PrefixManager, &hex(&text)), Err(WireError::Length { .. })), "{text}");
    }
    // An array of two thousand items, and one that holds itself to the depth that is allowed.
    let wide = array([6.into(), 57.into()].into_iter().chain((0..2000).map(|_| Item::Null)));
    assert!(read_request(PrefixManager, &item(wide)).unwrap().surplus);
    let deep = hex(&format!("{}06", "81".repeat(15)));
    assert!(read_request(PrefixManager, &deep).is_err());
}

/// PM-W-03: F1 and the old F4 have no version, so IPv4 cannot be asked for or given in them.
#[test]
fn forms_without_a_version_refuse_ipv4() {
    for shape in SHAPES {
        let form = Form::plain(shape);
        let refused = matches!(shape, Shape::F1 | Shape::F4 { versioned: false, .. });
        let want = Want::new(Family::V4, 20).unwrap();
        assert_eq!(write_request(form, want).err(), refused.then_some(WireError::Ipv6Only(form)));
        assert_eq!(write_offer(form, &p("10.0.0.0/20")).err(), refused.then_some(WireError::Ipv6Only(form)));
    }
    let absurd = Want { family: Family::V4, length: 33 };
    assert!(matches!(write_request(Form::plain(Shape::F2), absurd), Err(WireError::Length { .. })));
}

/// PM-W-01: the log names the form.
#[test]
fn forms_have_the_names_of_the_table() {
    assert_eq!(Form::plain(Shape::F2).to_string(), "F2");
    assert_eq!(Form::embedded(Shape::F5).to_string(), "F8(F5)");
    assert_eq!(Form::embedded(F4).to_string(), "F8(F4)");
    assert_eq!((PrefixManager.own_form(), PrefixManagerT.own_form()), (Form::plain(Shape::F2), Form::plain(Shape::F5)));
    for shape in SHAPES {
        let form = Form::embedded(shape);
        assert_eq!(serde_json::from_str::<Form>(&serde_json::to_string(&form).unwrap()).unwrap(), form);
    }
}

/// What pfxm3 and pfxm4 were seen to send, and the two whole messages of section 1.1.
#[test]
fn captured_messages_are_understood() {
    let lines = include_str!("data/prefixmanager-wire.jsonl").lines();
    let captured = lines.map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["hex"].as_str().unwrap().to_owned()
    });
    let whole = [
        "83031a11223344846d5072656669784d616e61676572030683061839f6",
        "83031ab248475e846e5072656669784d616e61676572540306d836821839480000000000000000",
    ];
    let mut seen = Vec::new();
    for text in captured.chain(whole.map(str::to_owned)) {
        let message = decode(&grasp::hex::decode(&text).unwrap(), &Limits::default()).unwrap();
        let (objective, offer) = match message {
            Message::Discovery { objective, .. } | Message::RequestNegotiation { objective, .. } => (objective, false),
            Message::Negotiate { objective, .. } => (objective, true),
            other => panic!("{other:?}"),
        };
        let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.objective() == objective.name).unwrap();
        let value = objective.value.unwrap();
        if offer {
            let offered = read_offer(dialect, &value).unwrap();
            assert_eq!(write_offer(offered.form, &offered.prefix).unwrap(), value);
            seen.push(format!("{dialect} {} {}", offered.form, offered.prefix));
        } else {
            let asked = read_request(dialect, &value).unwrap();
            assert_eq!(write_request(asked.form, asked.want).unwrap(), value);
            seen.push(format!("{dialect} {} {}", asked.form, asked.want));
        }
    }
    let expected = [
        "PrefixManager F3 IPv4 /20",
        "PrefixManager F3 IPv6 /59",
        "PrefixManagerT F5 IPv4 /20",
        "PrefixManagerT F5 IPv4 /20",
        "PrefixManagerT F5 IPv6 /57",
        "PrefixManagerT F5 10.255.224.0/20",
        "PrefixManager F3 IPv6 /57",
        "PrefixManagerT F5 IPv6 /57",
    ];
    assert_eq!(seen, expected);
}

/// PM-W-02: all forms, both families, all lengths, under the objective that the form belongs to.
#[test]
fn every_length_survives_the_round_trip() {
    let ones = [("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Family::V6), ("255.255.255.255", Family::V4)];
    let high = [("2001:db8::", Family::V6), ("10.0.0.0", Family::V4), ("::", Family::V6)];
    for (address, family) in ones.into_iter().chain(high) {
        for length in 0..=family.bits() {
            let prefix = Prefix::of(address.parse().unwrap(), length).unwrap();
            for form in SHAPES.into_iter().flat_map(|shape| [Form::plain(shape), Form::embedded(shape)]) {
                if family == Family::V4 && !form.shape.carries_ipv4() {
                    continue;
                }
                // A prefix of no bytes has no zero byte at its end; with length 0, F5 and F6 are the same.
                let dialect = if form.shape == Shape::F5 { PrefixManagerT } else { PrefixManager };
                let request = write_request(form, prefix.want()).unwrap();
                let asked = read_request(dialect, &request).unwrap();
                assert_eq!((asked.want, asked.hint, asked.form), (prefix.want(), None, form));
                let offer = write_offer(asked.form, &prefix).unwrap();
                let offered = read_offer(dialect, &offer).unwrap();
                let shape = if form.shape == Shape::F3 { Shape::F2 } else { form.shape };
                assert_eq!((offered.prefix, offered.form), (prefix, Form { shape, ..form }));
            }
        }
    }
}
