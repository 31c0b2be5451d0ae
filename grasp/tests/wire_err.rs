//! Malformed and hostile input (G-ERR), as far as the codec decides.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod wire_support;

use grasp::wire::{EndOption, Framer, Limits, Message, Rule, Value, decode, diagnostic, item_end, with_loop_count};
use wire_support::{DISCOVERY, INITIATOR, LOCATOR, VECTORS, flood, hex, message, read, response, rule, vector};

const OBJECTIVE: &str = "84 63455831 05 06 01";

/// G-ERR-01, G-ERR-23
#[test]
fn every_truncation_is_refused() {
    assert_eq!(read(&[]).unwrap_err().rule, Rule::Truncated);
    for (id, _) in VECTORS {
        let bytes = vector(id);
        for len in 0..bytes.len() {
            let error = read(&bytes[..len]).unwrap_err();
            assert_eq!(error.rule, Rule::Truncated, "{id} cut to {len}");
            assert!(error.is_cbor_failure() && error.offset <= len);
        }
    }
}

/// G-ERR-03
#[test]
fn the_top_item_is_an_array_that_starts_with_a_type() {
    for (bad, broken) in [
        ("01", Rule::NotAnArray),
        ("63616263", Rule::NotAnArray),
        ("a1 03 01", Rule::NotAnArray),
        ("4100", Rule::NotAnArray),
        ("f6", Rule::NotAnArray),
        ("c1 8100", Rule::NotAnArray),
        ("80", Rule::MessageType),
        ("9fff", Rule::MessageType),
        ("83 6133 01 80", Rule::MessageType),
        ("81 8100", Rule::MessageType),
        ("81 f6", Rule::MessageType),
    ] {
        assert_eq!(rule(bad), broken, "{bad}");
        assert_eq!(read(&hex(bad)).unwrap_err().session_id, None);
    }
}

/// G-ERR-05
#[test]
fn an_initiator_of_another_size_or_type_is_refused() {
    let sizes = [0usize, 1, 3, 5, 15, 17, 20].map(|len| format!("{:02x}{}", 0x40 + len, "00".repeat(len)));
    let others = ["60", "64 31323334", "f6", "00", "84 01020304", "5f 41 00 ff", "d818 44 c0000201"];
    for bad in sizes.iter().map(String::as_str).chain(others) {
        assert_eq!(rule(&format!("84 01 01 {bad} {OBJECTIVE}")), Rule::Initiator, "{bad}");
        assert_eq!(rule(&format!("85 02 01 {bad} 05 {LOCATOR}")), Rule::Initiator, "{bad}");
        assert_eq!(rule(&format!("85 09 01 {bad} 05 82 {OBJECTIVE} 80")), Rule::Initiator, "{bad}");
    }
}

/// G-ERR-06
#[test]
fn objectives_of_another_shape_are_refused() {
    for (bad, broken) in [
        ("80", Rule::Objective),
        ("81 63455831", Rule::Objective),
        ("82 63455831 05", Rule::Objective),
        ("85 63455831 05 06 01 01", Rule::Objective),
        ("63455831", Rule::Objective),
        ("f6", Rule::Objective),
        ("a2 63455831 05 06 01", Rule::Objective),
        ("84 01 05 06 01", Rule::ObjectiveName),
        ("84 43455831 05 06 01", Rule::ObjectiveName),
        ("84 f6 05 06 01", Rule::ObjectiveName),
        ("84 63455831 6135 06 01", Rule::ObjectiveFlags),
        ("84 63455831 f6 06 01", Rule::ObjectiveFlags),
        ("84 63455831 f94500 06 01", Rule::ObjectiveFlags),
        ("84 63455831 05 6136 01", Rule::LoopCount),
        ("84 63455831 05 f6 01", Rule::LoopCount),
        ("84 63455831 05 f94600 01", Rule::LoopCount),
    ] {
        assert_eq!(rule(&format!("{DISCOVERY} {bad}")), broken, "{bad}");
        for number in [3, 4, 5, 8] {
            assert_eq!(rule(&format!("83 {number:02x} 01 {bad}")), broken, "{bad}");
        }
        // A first element that is an unsigned integer makes it look like an option, not an objective; still no pair.
        assert_eq!(rule(&flood(&[&format!("82 {bad} 80")])), broken, "{bad}");
        let ok = flood(&[&format!("82 {OBJECTIVE} 80"), &format!("82 {bad} 80")]);
        assert_eq!(rule(&ok), broken, "one bad pair spoils the flood: {bad}");
    }
    for number in [1, 3, 4, 5, 8] {
        assert!(matches!(rule(&format!("82 {number:02x} 01")), Rule::Objective | Rule::Initiator));
    }
    assert_eq!(rule(&format!("83 01 01 {INITIATOR}")), Rule::Objective);
}

/// G-ERR-07
#[test]
fn loop_counts_have_8_bits() {
    for bad in ["190100", "20", "1bffffffffffffffff"] {
        let objective = format!("84 63455831 05 {bad} 01");
        assert_eq!(rule(&format!("{DISCOVERY} {objective}")), Rule::LoopCount);
        assert_eq!(rule(&format!("83 03 01 {objective}")), Rule::LoopCount);
        assert_eq!(rule(&flood(&[&format!("82 {objective} 80")])), Rule::LoopCount);
    }
    for good in ["00", "18ff"] {
        message(&format!("{DISCOVERY} 84 63455831 05 {good} 01"));
    }
}

/// G-ERR-08, T-09
#[test]
fn flags_above_bit_3_are_kept_and_negative_ones_refused() {
    for good in ["10", "1b0000010000000000", "1bffffffffffffffff"] {
        let bytes = hex(&format!("83 03 01 84 63455831 {good} 06 01"));
        assert_eq!(read(&bytes).unwrap().encode(), bytes);
    }
    assert_eq!(rule("83 03 01 84 63455831 20 06 01"), Rule::ObjectiveFlags);
}

/// G-ERR-10
#[test]
fn a_response_without_a_usable_locator_is_refused() {
    for elements in [vec![], vec![OBJECTIVE], vec!["811864"], vec!["82 1864 80"], vec!["82 1864 811865"]] {
        assert_eq!(rule(&response(&elements)), Rule::NoLocator, "{elements:?}");
    }
    // Seen from a Python relay: a divert whose URI locator has two elements.
    assert_eq!(rule(&response(&["82 1864 82 186a 6a687474703a2f2f68332f"])), Rule::NoLocator);
}

/// G-ERR-11, T-37
#[test]
fn the_first_usable_kind_of_answer_counts() {
    let other = "84 1868 44 c0000201 06 05";
    let divert = format!("82 1864 {LOCATOR}");
    let second = format!("82 1864 {other}");
    let only_divert = message(&response(&[&divert]));
    assert_eq!(message(&response(&[&divert, &second])), only_divert);
    assert_eq!(message(&response(&[&divert, other])), only_divert);
    assert_eq!(message(&response(&[other, &divert])), message(&response(&[other])));
    assert_eq!(message(&response(&["811864", &divert])), only_divert, "an empty divert is not usable");
    assert_eq!(message(&response(&["811864", other])), message(&response(&[other])));
    assert_eq!(message(&response(&[other, &divert, LOCATOR])), message(&response(&[other, LOCATOR])));
}

/// G-ERR-12
#[test]
fn a_flood_without_pairs_is_refused() {
    assert_eq!(rule(&flood(&[])), Rule::NoObjective);
    assert!(with_loop_count(&hex(&flood(&[])), 1).is_err());
}

/// G-ERR-13, T-08
#[test]
fn a_flood_with_one_bad_pair_is_refused_whole() {
    let good = format!("82 {OBJECTIVE} 80");
    let pairs = [
        format!("81 {OBJECTIVE}"),
        format!("82 {OBJECTIVE} f6"),
        format!("83 {OBJECTIVE} {LOCATOR} 01"),
        format!("82 {OBJECTIVE} 811865"),
        format!("82 {OBJECTIVE} 81 {LOCATOR}"),
        format!("82 {OBJECTIVE} 40"),
        format!("82 {OBJECTIVE} 00"),
        format!("82 {LOCATOR} {OBJECTIVE}").replace(LOCATOR, "80"),
        OBJECTIVE.to_owned(),
        "80".to_owned(),
        "00".to_owned(),
        "f6".to_owned(),
    ];
    for bad in &pairs {
        let broken = rule(&flood(&[bad]));
        assert!(matches!(broken, Rule::FloodPair), "{bad}: {broken}");
        assert_eq!(rule(&flood(&[&good, bad])), broken, "{bad}");
        assert_eq!(rule(&flood(&[bad, &good])), broken, "{bad}");
    }
}

/// G-ERR-14, G-NEG-42
#[test]
fn an_end_holds_exactly_one_end_option() {
    for bad in [
        "82 06 01",
        "84 06 01 811865 811866",
        "84 06 01 811866 811865",
        "84 06 01 811865 811865",
        "83 06 01 811864",
        "83 06 01 8118c8",
        "83 06 01 05",
        "83 06 01 80",
        "83 06 01 1865",
        "83 06 01 81 81 1865",
    ] {
        assert_eq!(rule(bad), Rule::EndOption, "{bad}");
    }
    assert_eq!(message("84 06 01 811865 811864"), Message::End { session_id: 1, option: EndOption::Accept });
}

/// G-ERR-15
#[test]
fn a_wait_has_a_time_of_32_bits() {
    for bad in
        ["82 07 01", "83 07 01 20", "83 07 01 1b0000000100000000", "83 07 01 f6", "83 07 01 f93c00", "83 07 01 6130"]
    {
        assert_eq!(rule(bad), Rule::WaitingTime, "{bad}");
    }
}

/// G-ERR-16, G-OBJ-03, G-OBJ-05, G-FCAC-10, T-48
#[test]
fn only_some_messages_do_without_a_value() {
    const BARE: &str = "83 63455831 05 06";
    for number in [3, 5, 8] {
        let error = read(&hex(&format!("83 {number:02x} 07 {BARE}"))).unwrap_err();
        assert_eq!((error.rule, error.session_id), (Rule::ValueMissing, Some(7)));
    }
    message(&format!("{DISCOVERY} {BARE}"));
    message(&format!("83 04 01 {BARE}"));
    message(&response(&[LOCATOR, BARE]));
    message(&flood(&[&format!("82 {BARE} 80")]));
}

/// G-ERR-17
#[test]
fn deep_nesting_is_refused_without_deep_recursion() {
    let wide = Limits { size: 20_000, ..Limits::default() };
    for opener in ["81", "9f", "c1", "d818", "a1 00", "bf 00", "82 00", "84 01 01 40"] {
        for (deep, limits) in [(opener.repeat(10_000), wide), (opener.repeat(300), Limits::default())] {
            let mut bytes = hex(&deep);
            bytes.truncate(limits.size);
            assert_eq!(decode(&bytes, &limits).unwrap_err().rule, Rule::TooDeep, "{opener}");
            let mut framer = Framer::new(limits);
            framer.push(&bytes);
            assert_eq!(framer.next_frame().unwrap_err().rule, Rule::TooDeep, "{opener}");
            assert_eq!(diagnostic(&bytes).len(), bytes.len() * 2 + 3);
            assert!(with_loop_count(&bytes, 1).is_err());
            assert!(Value::from_encoded(bytes).is_err());
        }
    }
}

/// G-ERR-17
#[test]
fn the_depth_limit_is_exact() {
    // The message and the objective are two levels.
    let of = |levels: usize| hex(&format!("83 05 01 84 63455831 05 06 {} 00", "81".repeat(levels)));
    assert!(read(&of(14)).is_ok());
    assert_eq!(read(&of(15)).unwrap_err().rule, Rule::TooDeep);
    assert_eq!(item_end(&hex("00"), 0, 0), Ok(1));
    assert!(item_end(&hex("80"), 0, 0).is_err());
    assert_eq!(item_end(&hex("5f 41 00 ff"), 0, 0), Ok(4));
}

/// G-ERR-18: an allocation of the declared size would end the test process.
#[test]
fn giant_lengths_are_refused_without_giant_allocations() {
    for head in ["5b", "7b", "9b", "bb"] {
        for len in ["7fffffffffffffff", "ffffffffffffffff", "8000000000000000", "0000000100000000"] {
            for place in ["", "83 05", "83 05 01", "83 05 01 84 63455831 05 06", "83 1863 01"] {
                let bytes = hex(&format!("{place} {head}{len} 00"));
                assert_eq!(read(&bytes).unwrap_err().rule, Rule::Truncated);
                let mut framer = Framer::new(Limits::default());
                framer.push(&bytes);
                assert_eq!(framer.next_frame().unwrap_err().rule, Rule::TooLong, "{place} {head}{len}");
                assert!(Value::from_encoded(bytes).is_err());
            }
        }
    }
}

/// G-ERR-19, G-FRM-22
#[test]
fn what_is_not_well_formed_is_refused() {
    for bad in [
        "62c328",
        "61ff",
        "63eda080",
        "1c",
        "1d",
        "1e",
        "1f",
        "3c",
        "3f",
        "5c",
        "7d",
        "9e",
        "bc",
        "dc",
        "df",
        "fc",
        "fd",
        "fe",
        "ff",
        "f800",
        "f814",
        "f81f",
        "bf 00 ff",
        "5f 61 61 ff",
        "7f 41 61 ff",
        "5f 5f 41 61 ff ff",
        "7f 7f ff ff",
        "5f 00 ff",
        "7f 61c3 ff",
        "81 ff",
        "a1 00 ff",
        "c1 ff",
        "5f c1 41 00 ff",
        "82 00 ff",
    ] {
        assert_eq!(rule(bad), Rule::Malformed, "{bad}");
        assert_eq!(rule(&format!("83 05 01 84 63455831 05 06 {bad}")), Rule::Malformed, "{bad}");
        assert!(Value::from_encoded(hex(bad)).is_err());
        let bytes = hex(bad);
        assert_eq!(diagnostic(&bytes), format!("h'{}'", grasp::hex::encode(&bytes)));
    }
}

/// G-ERR-20
#[test]
fn bytes_behind_a_datagram_s_message_are_refused() {
    for (id, _) in VECTORS {
        for surplus in ["00", "ff", "8100"] {
            let bytes = [vector(id), hex(surplus)].concat();
            let error = read(&bytes).unwrap_err();
            assert_eq!((error.rule, error.offset), (Rule::TrailingBytes, vector(id).len()), "{id} {surplus}");
        }
    }
}

/// G-ERR-25, T-02, T-03, G-GEN-09
#[test]
fn odd_values_are_kept_and_relayed_byte_by_byte() {
    for value in [
        "a2 01 02 01 03",
        "f863",
        "f7",
        "f8ff",
        "e0",
        "fb3ff8000000000000",
        "fa3fc00000",
        "f93e00",
        "fb7ff8000000000001",
        "f97e01",
        "c249010000000000000000",
        "c24105",
        "bf 01 02 01 03 ff",
        "9f9fffff",
        "5f 41 00 40 ff",
        "7f 6161 60 ff",
        "1b0000000000000001",
        "3bffffffffffffffff",
        "d9d9f7 f6",
        "db1234567890abcdef 00",
        "a1 81 01 a0",
    ] {
        let bytes = hex(&flood(&[&format!("82 84 63455831 05 06 {value} {LOCATOR}")]));
        let Ok(Message::Flood { objectives, .. }) = read(&bytes) else { panic!("{value}") };
        assert_eq!(objectives[0].objective.value.as_ref().unwrap().as_bytes(), hex(value), "{value}");
        assert_eq!(read(&bytes).unwrap().encode(), bytes, "{value}");
        let relayed = hex(&flood(&[&format!("82 84 63455831 05 05 {value} {LOCATOR}")]));
        assert_eq!(with_loop_count(&bytes, 5).unwrap(), relayed, "{value}");
    }
}

/// G-ERR-01: the rule names itself and the place.
#[test]
fn an_error_reads_like_a_sentence() {
    let error = read(&hex("83 05 01 84 63455831 05 190100 01")).unwrap_err();
    assert_eq!(error.to_string(), "the loop count is an unsigned integer from 0 to 255, at byte 9");
}
