//! Which members may do what with which objective.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::protocol::Member;
use grasp::protocol::authorization::{Act, Authorization};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn rules(rules: &[(&str, Act, &[&str])]) -> Authorization {
    let mut all: BTreeMap<String, BTreeMap<Act, Vec<String>>> = BTreeMap::new();
    for (objective, act, names) in rules {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        all.entry((*objective).to_owned()).or_default().insert(*act, names);
    }
    Authorization { rules: all }
}

fn member(names: &[&str]) -> Member {
    Member::new(names.iter().map(|name| (*name).to_owned()).collect())
}

/// ASA-S-04: without a rule every member may; with one, those whose certificate has a name that fits.
#[test]
fn what_is_not_said_is_allowed_to_all_members() {
    let (gray, briggs) = (member(&["gray1", "gray1.example.net"]), member(&["briggs"]));
    let rules = rules(&[("EX3", Act::Request, &["gray*"]), ("EX*", Act::Flood, &["briggs"])]);
    for (act, objective, who, allowed) in [
        (Act::Request, "EX3", &gray, true),
        (Act::Request, "EX3", &briggs, false),
        (Act::Answer, "EX3", &gray, true),
        (Act::Discover, "EX3", &briggs, true),
        (Act::Request, "EX30", &briggs, true),
        (Act::Flood, "EX1", &briggs, true),
        (Act::Flood, "EX1", &gray, false),
        (Act::Flood, "PrefixManager", &gray, true),
    ] {
        assert_eq!(rules.permits(act, objective, Some(who)), allowed, "{act:?} {objective} {}", who.name());
    }
    assert!(!rules.permits(Act::Request, "EX3", None), "a peer without a name has a right that is given to some");
    assert!(rules.permits(Act::Answer, "EX3", None));
}

#[test]
fn the_longest_pattern_decides_and_an_empty_list_allows_nobody() {
    let rules =
        rules(&[("*", Act::Request, &["*"]), ("32473:*", Act::Request, &["noc"]), ("32473:x", Act::Request, &[])]);
    let noc = member(&["noc"]);
    assert!(rules.permits(Act::Request, "EX1", Some(&member(&["any"]))));
    assert!(rules.permits(Act::Request, "32473:y", Some(&noc)));
    assert!(!rules.permits(Act::Request, "32473:y", Some(&member(&["any"]))));
    assert!(!rules.permits(Act::Request, "32473:x", Some(&noc)));
}

proptest! {
    /// A pattern fits exactly what the regular expression with `.*` in place of each star fits; in bounded time.
    #[test]
    fn a_star_stands_for_any_characters(pattern in "[ab*]{0,12}", text in "[ab]{0,16}") {
        let rules = rules(&[("x", Act::Request, &[pattern.as_str()])]);
        fn fits(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => fits(rest, text) || text.split_first().is_some_and(|(_, less)| fits(pattern, less)),
                (Some((p, rest)), Some((t, less))) => p == t && fits(rest, less),
                (None, Some(_)) | (Some(_), None) => false,
            }
        }
        let expected = fits(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(rules.permits(Act::Request, "x", Some(&member(&[text.as_str()]))), expected);
    }
}
