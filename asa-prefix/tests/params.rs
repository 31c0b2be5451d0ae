//! The table of `PrefixManager.Params`.

use asa_prefix::wire::params::{MAX_VALUE, OBJECTIVE, Params, ParamsError, RoleParams, choose};
use ciborium::Value as Item;
use grasp::Value;
use grasp::constants::MAX_MULTICAST_SIZE;
use grasp::wire::{Flags, Locator, Message, Objective, TaggedObjective, Transport};
use proptest::prelude::*;
use std::net::Ipv6Addr;

/// What pfxm3 and pfxm4 flood.
const REFERENCE: &str = "83828264726f6c6563525347826d7072656669785f6c656e6774681822828264726f6c6563415347826d7072656669785f6c\
                         656e677468182c828264726f6c6563435347826d7072656669785f6c656e6774681838";

fn json(text: &str) -> Value {
    Value::item(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
}

fn lengths(params: &Params) -> Vec<(&str, Option<u8>)> {
    params.iter().map(|(role, params)| (role, params.prefix_length)).collect()
}

/// PM-P-01, PM-P-03: the defaults are complete, and flooded as the Python programs do.
#[test]
fn the_built_in_table_is_written_as_in_the_rfc() {
    let value = Params::default().write().unwrap();
    assert_eq!(grasp::hex::encode(value.as_bytes()), REFERENCE);
    assert_eq!(lengths(&Params::default()), [("ASG", Some(44)), ("CSG", Some(56)), ("RSG", Some(34))]);
    assert_eq!(Params::default().role("CSG"), Some(&RoleParams::of_length(56)));
    assert_eq!(Params::default().role("XYZ"), None);
}

/// PM-P-02: V1 to V5, bare and in Tag 24.
#[test]
fn every_form_of_the_table_means_the_same() {
    let v1 = r#"[[["role","RSG"],["prefix_length",34]],[["role","ASG"],["prefix_length","44"]],[["role","CSG"],["prefix_length",56]]]"#;
    let v3 =
        r#"[{"role":"RSG","prefix_length":34},{"role":"ASG","prefix_length":44},{"role":"CSG","prefix_length":"56"}]"#;
    let v4 = r#"{"RSG":{"prefix_length":34},"ASG":{"prefix_length":44},"CSG":{"prefix_length":56}}"#;
    let v5 = r#"[{"role":[{"role_name":"RSG"},{"role_characteristic":[{"prefix_length":"34"}]}]},
                 {"role":[{"role_name":"ASG"},{"role_characteristic":[{"prefix_length":"44"}]}]},
                 {"role":[{"role_name":"CSG"},{"role_characteristic":[{"prefix_length":56}]}]}]"#;
    for form in [v1, v3, v4, v5] {
        let text = format!(" {form}\n");
        let bytes = Value::item(&Item::Bytes(text.clone().into_bytes())).unwrap();
        for value in [json(form), Value::item(&text).unwrap(), bytes] {
            for value in [Value::embedded(value.as_bytes()), value] {
                let read = Params::read(&value).unwrap();
                assert_eq!((read.params, read.ignored), (Params::default(), vec![]), "{form}");
            }
        }
        // COM-11: a Python peer wraps the bytes of this text as they are, for its first byte is an item by itself.
        let read = Params::read(&Value::embedded(text.as_bytes())).unwrap();
        assert_eq!(read.params, Params::default(), "{form}");
    }
}

/// PM-P-07, PM-P-08: one bad number or unknown key costs nothing but itself.
#[test]
fn absurd_numbers_and_unknown_keys_are_left_out_by_name() {
    let read = Params::read(&json(
        r#"[[["role","RSG"],["prefix_length",129]],
            [["role","ASG"],["prefix_length",-5],["prefix_length",48],["colour","red"],["ipv4_prefix_length",33]],
            [["role","CSG"],["prefix_length","x"],["request_more",false],["low_percent","101"]],
            [["role","XYZ"],["colour","red"],["prefix_length",128],["prefix_length",7]],
            [["role","XYZ"],["prefix_length",9]],
            [["prefix_length",9]], 7, [["role",9]], {"role":"","prefix_length":1}]"#,
    ))
    .unwrap();
    let csg = RoleParams { request_more: Some(false), ..RoleParams::default() };
    let expected = [("ASG", RoleParams::of_length(48)), ("CSG", csg), ("XYZ", RoleParams::of_length(128))];
    assert_eq!(read.params, expected.map(|(role, params)| (role.to_owned(), params)).into_iter().collect());
    assert_eq!(
        read.ignored,
        [
            r#"role "RSG": key "prefix_length": expected 0 to 128, found 129"#,
            r#"role "RSG": no usable parameter"#,
            r#"role "ASG": key "prefix_length": expected 0 to 128, found -5"#,
            r#"role "ASG": key "colour": unknown"#,
            r#"role "ASG": key "ipv4_prefix_length": expected 0 to 32, found 33"#,
            r#"role "CSG": key "prefix_length": expected 0 to 128, found "x""#,
            r#"role "CSG": key "low_percent": expected 0 to 100, found "101""#,
            r#"role "XYZ": key "colour": unknown"#,
            r#"role "XYZ": key "prefix_length": comes twice"#,
            r#"role "XYZ": comes twice"#,
            "entry 6: no role",
            "entry 7: no role",
            "entry 8: no role",
            r#"role "": not a name"#,
        ]
    );
}

/// PM-P-08: what is left out is told in a bounded number of printable lines.
#[test]
fn a_hostile_table_does_not_flood_the_log() {
    let role = format!("\u{1b}[2J\n{}", "x".repeat(500));
    let mut entries = vec![serde_json::json!({ "role": role, "prefix_length": 5 })];
    entries.extend((0..1000).map(|_| serde_json::json!(0)));
    let read = Params::read(&Value::item(&entries).unwrap()).unwrap();
    assert_eq!((read.params.len(), read.ignored.len()), (0, 17));
    assert_eq!(read.ignored.last().unwrap(), "and 985 more");
    assert!(read.ignored.iter().all(|line| line.len() < 200 && !line.chars().any(char::is_control)));
}

/// PM-P-02: what is no table at all is an error.
#[test]
fn nonsense_is_refused() {
    let text = |text: &str| Value::item(text).unwrap();
    for value in [Value::null(), json("7"), text("RSG"), text("7"), text(""), Value::item(&1.5).unwrap()] {
        assert!(matches!(Params::read(&value), Err(ParamsError::NoTable(_))), "{value:?}");
    }
    assert!(matches!(Params::read(&Value::embedded(b"\x82\x01\xff")), Err(ParamsError::NoTable(_))));
    let large = Params::read(&text(&"x".repeat(3000))).unwrap_err().to_string();
    assert!(large.contains("3003 bytes") && large.contains("2048"), "{large}");
    let empty = Params::read(&json("[]")).unwrap();
    assert!(empty.params.is_empty() && empty.ignored.is_empty());
    assert_eq!(empty.params.write().unwrap().as_bytes(), [0x80]);
}

/// PM-P-11: what is ours is written where it is set, after what is the RFC's.
#[test]
fn our_keys_are_written_only_where_they_are_set() {
    let more = RoleParams {
        prefix_length: Some(44),
        ipv4_prefix_length: Some(20),
        request_more: Some(true),
        low_percent: Some(25),
    };
    let v4 = RoleParams { ipv4_prefix_length: Some(24), ..RoleParams::default() };
    let table: Params = [("B", more), ("A", v4), ("C", RoleParams::of_length(34))]
        .map(|(role, params)| (role.into(), params))
        .into_iter()
        .collect();
    let expected = r#"[[["role","C"],["prefix_length",34]],
        [["role","B"],["prefix_length",44],["ipv4_prefix_length",20],["low_percent",25],["request_more",true]],
        [["role","A"],["ipv4_prefix_length",24]]]"#;
    assert_eq!(table.write().unwrap(), json(expected));
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<Params>(&text).unwrap(), table);
    assert!(serde_json::from_str::<Params>(r#"{"A":{"prefix_lenght":3}}"#).is_err());
}

/// PM-P-07: nor is an absurd table sent.
#[test]
fn a_table_that_others_would_ignore_is_not_written() {
    let one = |role: &str, params| -> Result<Value, ParamsError> {
        [(role.to_owned(), params)].into_iter().collect::<Params>().write()
    };
    assert!(one("A", RoleParams::of_length(128)).is_ok());
    let error = one("A", RoleParams::of_length(129)).unwrap_err();
    assert_eq!(error.to_string(), "prefix_length of role A is 129; the greatest is 128");
    let v4 = RoleParams { ipv4_prefix_length: Some(33), ..RoleParams::default() };
    assert!(matches!(one("A", v4), Err(ParamsError::Range { key: "ipv4_prefix_length", .. })));
    for role in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(one(role, RoleParams::of_length(1)), Err(ParamsError::Role(_))));
    }
}

/// PM-P-12: a table too large for a flood is refused, and the largest that is not does fit.
#[test]
fn the_table_fits_into_a_flood() {
    let table =
        |roles: usize| -> Params { (0..roles).map(|n| (format!("role{n:04}"), RoleParams::of_length(24))).collect() };
    let error = table(500).write().unwrap_err();
    assert!(matches!(error, ParamsError::TooLarge { roles: 500, .. }));
    assert!(error.to_string().contains("1100") && error.to_string().contains("2048"), "{error}");
    let largest = (1..500).rev().find_map(|roles| table(roles).write().ok()).unwrap();
    assert!(largest.as_bytes().len() > MAX_VALUE - 40);
    let padded = Value::item(&Item::Bytes(vec![0; MAX_VALUE - 3])).unwrap();
    assert_eq!(padded.as_bytes().len(), MAX_VALUE);
    let objective =
        Objective { name: OBJECTIVE.into(), flags: Flags(u8::MAX.into()), loop_count: 255, value: Some(padded) };
    let locator = Locator::Ipv6 { address: Ipv6Addr::LOCALHOST, transport: Transport::Tcp, port: u16::MAX };
    let flood = Message::Flood {
        session_id: u32::MAX,
        initiator: Ipv6Addr::LOCALHOST.into(),
        ttl: u32::MAX,
        objectives: vec![TaggedObjective { objective, locator: Some(locator) }],
    };
    // What is left is for encryption to pad.
    assert!(flood.encode().len() + 50 <= MAX_MULTICAST_SIZE, "{}", flood.encode().len());
}

fn table(length: u8) -> Value {
    [("ASG".to_owned(), RoleParams::of_length(length))].into_iter().collect::<Params>().write().unwrap()
}

/// PM-P-09
#[test]
fn the_lowest_source_counts_unless_one_is_configured() {
    let copy = |source: &str, length| (Some(source.to_owned()), table(length));
    let copies = [copy("fd00::10", 40), copy("fd00::9", 44), (None, table(48)), copy("fd00::9", 50)];
    let mut order: Vec<_> = copies.to_vec();
    for _ in 0..3 {
        order.rotate_left(1);
        // Of one source, the first copy counts: keep theirs in order.
        order.sort_by_key(|(source, value)| (source.as_deref() == Some("fd00::9")) && *value == table(50));
        let choice = choose(&order, None);
        assert_eq!(
            (choice.params, choice.source.as_deref()),
            (Some([("ASG".to_owned(), RoleParams::of_length(44))].into_iter().collect()), Some("fd00::9"))
        );
        let conflict = "the table of fd00::10 and 1 more differs from that of fd00::9, which counts";
        assert_eq!((choice.conflict.as_deref(), choice.ignored.len()), (Some(conflict), 0));
    }
    let configured = choose(&copies, Some("fd00:0::10"));
    assert_eq!(configured.params.unwrap().role("ASG"), Some(&RoleParams::of_length(40)));
    assert_eq!(configured.source.as_deref(), Some("fd00::10"));
    let missing = choose(&copies[..1], Some("fd00::1"));
    assert_eq!(missing.source.as_deref(), Some("fd00::10"));
    let conflict = "the configured source fd00::1 has no usable table, that of fd00::10 counts";
    assert_eq!(missing.conflict.as_deref(), Some(conflict));
    let agreed = choose(&[copy("fd00::2", 44), copy("fd00::1", 44)], None);
    assert_eq!((agreed.source.as_deref(), agreed.conflict), (Some("fd00::1"), None));
}

/// PM-P-07, PM-P-09: a source without a usable table is passed over, and nothing usable leaves things as they are.
#[test]
fn a_useless_table_displaces_nothing() {
    let useless = json(r#"[[["role","ASG"],["prefix_length",129]]]"#);
    let copies =
        [(Some("fd00::1".to_owned()), useless), (Some("fd00::2".to_owned()), Value::null()), (None, table(44))];
    let choice = choose(&copies, None);
    assert_eq!((choice.params.is_some(), choice.source, choice.conflict), (true, None, None));
    assert_eq!(choice.ignored.len(), 2);
    assert!(choice.ignored[0].starts_with("fd00::1: ") && choice.ignored[1].starts_with("fd00::2: "));
    let nothing = choose(&copies[..2], Some("fd00::2"));
    assert_eq!((nothing.params, nothing.source), (None, None));
    assert!(nothing.conflict.unwrap().contains("fd00::2"));
    assert_eq!(choose(&[], None).conflict, None);
}

proptest! {
    /// PM-P-02, PM-P-07: whatever is read can be written, and reads alike.
    #[test]
    fn arbitrary_tables_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), wrap: bool) {
        let value = if wrap { Some(Value::embedded(&bytes)) } else { Value::from_encoded(bytes).ok() };
        if let Some(Ok(read)) = value.map(|value| Params::read(&value)) {
            prop_assert!(read.params.write().is_ok());
        }
    }

    /// PM-P-01: the round trip.
    #[test]
    fn a_written_table_reads_as_it_was(
        roles in prop::collection::btree_map(
            "[A-Za-z0-9 ]{1,12}",
            (0..=128_u8, prop::option::of(0..=32_u8), prop::option::of(any::<bool>()), prop::option::of(0..=100_u8)),
            0..8,
        ),
        cut in 0..200_usize,
    ) {
        let table: Params = roles
            .into_iter()
            .map(|(role, (length, ipv4_prefix_length, request_more, low_percent))| {
                (role, RoleParams { prefix_length: Some(length), ipv4_prefix_length, request_more, low_percent })
            })
            .collect();
        let value = table.write().unwrap();
        let read = Params::read(&value).unwrap();
        prop_assert_eq!((&read.params, read.ignored.len()), (&table, 0));
        let text = serde_json::to_vec(&value.decode::<serde_json::Value>().unwrap()).unwrap();
        let read = Params::read(&Value::item(&Item::Bytes(text.clone())).unwrap()).unwrap();
        prop_assert_eq!(&read.params, &table);
        let damaged = &text[..cut.min(text.len())];
        prop_assert_eq!(Params::read(&Value::item(&Item::Bytes(damaged.to_vec())).unwrap()).is_ok(), damaged == text);
    }
}
