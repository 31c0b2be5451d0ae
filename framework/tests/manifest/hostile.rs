//! Input that nobody means well: refused with a reason, without a panic and within bounds.

use asa_framework::manifest::{Document, FloodedPolicy, Lab, MAX_FILE_SIZE, Manifest, Problems, Sources};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{CLASSES, GOOD, LAB, assert_says, refused, text};

#[test]
fn hostile_files_are_refused_with_a_reason() {
    let deep = format!("x = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    let dotted = format!("{}x = 1", "a.".repeat(50_000));
    let many: String = (0..60_000).map(|index| format!("[asa.a{index}]\n")).collect();
    let unknown: String = (0..60_000).map(|index| format!("sesions{index}=1\n")).collect();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![b'#'; MAX_FILE_SIZE as usize + 1], "is too large"),
        (b"[node]\nname = \"\xff\"".to_vec(), "test.toml:2:9: is not text"),
        (b"\x7fELF\x02\x01\x01\0\0\0".to_vec(), "is not TOML"),
        (deep.into_bytes(), "is not TOML"),
        (dotted.into_bytes(), "is not TOML"),
        (many.into_bytes(), "asa is too large"),
        (unknown.into_bytes(), "more problems"),
    ];
    for (bytes, fragment) in cases {
        let message = refused(text(bytes));
        assert_says(&message, &["test.toml:", fragment]);
        assert!(message.len() < 50_000, "{} bytes of message", message.len());
        assert!(message.chars().all(|c| c == '\n' || !c.is_control()), "control characters in {message:?}");
    }
    let absent = Sources { path: Some("/nonexistent/x.toml".into()), ..Sources::default() };
    assert_says(&refused(absent), &["/nonexistent/x.toml: cannot be read: No such file"]);
    let endless = Sources { path: Some("/dev/zero".into()), ..Sources::default() };
    assert_says(&refused(endless), &["/dev/zero: is too large"]);
}

/// Loads whatever it is; fails only by a panic, an empty list of problems or a message that a terminal cannot show.
fn survive(bytes: Vec<u8>, set: (String, String)) -> Result<(), TestCaseError> {
    let check = |outcome: Result<(), Problems>| {
        if let Err(problems) = outcome {
            prop_assert!(!problems.0.is_empty());
            let message = problems.to_string();
            prop_assert!(message.chars().all(|c| c == '\n' || !c.is_control()), "{message:?}");
            prop_assert!(!message.contains("a defect of"), "{message}");
        }
        Ok(())
    };
    let sources =
        Sources { sets: vec![set.clone()], environment: vec![(format!("ASA__{}", set.0), set.1)], ..text(bytes) };
    check(Manifest::load(sources.clone(), CLASSES).map(drop))?;
    check(Lab::load(sources.clone(), CLASSES).map(drop))?;
    check(Document::load(sources, CLASSES).map(drop))
}

/// Small trees with the keys that the class knows, and others.
fn json_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof!["(period_ms|zone|ratio|loud|peers|style|labels|colour)", "\\PC{0,6}"];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let table = prop::collection::btree_map(key.clone(), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            table.prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        key in "\\PC{0,20}",
        value in "\\PC{0,20}",
    ) {
        survive(bytes, (key, value))?;
    }

    #[test]
    fn whatever_is_flooded_a_good_manifest_loads(
        settings in json_tree(),
        under in prop::sample::select(vec!["", "/asa", "/asa/first", "/asa/first/parameters"]),
    ) {
        let nest = |inner: Value, key: &str| json!({ key: inner });
        let settings = under.rsplit('/').filter(|key| !key.is_empty()).fold(settings, nest);
        let policy = FloodedPolicy { objective: "intent".into(), from: "somebody".into(), settings };
        let loaded = Manifest::load(Sources { flooded: vec![policy], ..text(GOOD) }, CLASSES);
        let loaded = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        let plain = Manifest::load(text(GOOD), CLASSES).unwrap().manifest;
        prop_assert_eq!(loaded.manifest.grasp, plain.grasp);
        prop_assert_eq!(&loaded.manifest.asa["first"].parameters["period_ms"], 20);
    }

    #[test]
    fn mutations_of_a_good_manifest_never_panic(
        lab in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>(), 0_usize..30), 1..6),
        key in "(grasp|node|asa|nodes)\\.(port|first|limits|name|left)(\\.(class|parameters|depth))?",
        value in "(-?[0-9]{1,22}|[a-z]{0,6}|\\[.{0,5}|\\{.{0,5})",
    ) {
        let mut bytes = if lab { LAB } else { GOOD }.as_bytes().to_vec();
        for (place, action, byte, length) in edits {
            let at = place.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            match action {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.extend(copy);
                }
                _ => bytes.splice(at..end, [b'9', b'"', b'[', b'\n', b'=', b'.'][usize::from(byte) % 6..].iter().copied()).for_each(drop),
            }
        }
        survive(bytes, (key, value))?;
    }
}
