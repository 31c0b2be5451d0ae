//! Values from the worst of peers.

use super::{SHAPES, array, item, tag};
use asa_prefix::prefix::Prefix;
use asa_prefix::wire::{Dialect, Form, WireError, read_offer, read_request, write_offer, write_request};
use ciborium::Value as Item;
use grasp::Value;
use proptest::prelude::*;

fn cbor() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        (-3..200_i64).prop_map(Item::from),
        any::<u64>().prop_map(Item::from),
        any::<bool>().prop_map(Item::from),
        Just(Item::Null),
        any::<f64>().prop_map(Item::from),
        "\\PC{0,8}".prop_map(Item::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Item::Bytes),
        (0..20_usize).prop_map(|len| Item::Bytes(vec![0; len])),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Item::Array),
            prop::collection::vec((inner.clone(), inner.clone()), 0..3).prop_map(Item::Map),
            (prop_oneof![Just(24), Just(52), Just(54), any::<u64>()], inner).prop_map(|(n, item)| tag(n, item)),
        ]
    })
}

/// A reason goes into a decline and a log line as it is.
fn presentable(error: &WireError) -> bool {
    let text = error.to_string();
    text.is_ascii() && text.len() <= 120 && !text.chars().any(char::is_control)
}

/// What was read is what was meant: written again, it is read alike.
fn consistent(dialect: Dialect, value: &Value) -> Result<(), TestCaseError> {
    match read_request(dialect, value) {
        Ok(asked) => {
            let again = read_request(dialect, &write_request(asked.form, asked.want).unwrap()).unwrap();
            prop_assert_eq!(again.want, asked.want);
            // Zero bytes alone are not counted: a request of F6 under the name of pfxm4 may have any number of them.
            prop_assert_eq!(again.form.embedded, asked.form.embedded);
            if let Some(hint) = asked.hint {
                prop_assert_eq!(hint.want(), asked.want);
            }
        }
        Err(error) => prop_assert!(presentable(&error), "{}", error),
    }
    match read_offer(dialect, value) {
        Ok(offered) => {
            let again = read_offer(dialect, &write_offer(offered.form, &offered.prefix).unwrap()).unwrap();
            prop_assert_eq!(again.prefix, offered.prefix);
        }
        Err(error) => prop_assert!(presentable(&error), "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// PM-W-08: never a panic, and never a prefix with stray bits.
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), wrap: bool) {
        for dialect in Dialect::ALL {
            if wrap {
                consistent(dialect, &Value::embedded(&bytes))?;
            } else if let Ok(value) = Value::from_encoded(bytes.clone()) {
                consistent(dialect, &value)?;
            }
        }
    }

    /// PM-W-08
    #[test]
    fn arbitrary_items_do_no_harm(content in cbor(), wrap in 0..3) {
        let content = match wrap {
            0 => tag(54, content),
            1 => array([6.into(), content]),
            _ => content,
        };
        for dialect in Dialect::ALL {
            consistent(dialect, &item(content.clone()))?;
        }
    }

    /// PM-W-08
    #[test]
    fn damaged_values_do_no_harm(
        address: u128, length in 0..=128_u8, shape in prop::sample::select(&SHAPES), at: prop::sample::Index, bit in 0..8,
        embedded: bool,
    ) {
        let prefix = Prefix::of(std::net::Ipv6Addr::from(address).into(), length).unwrap();
        let form = Form { shape, embedded };
        let mut bytes = write_offer(form, &prefix).unwrap().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        for dialect in Dialect::ALL {
            consistent(dialect, &Value::embedded(&bytes))?;
            if let Ok(value) = Value::from_encoded(bytes.clone()) {
                consistent(dialect, &value)?;
            }
        }
    }
}
