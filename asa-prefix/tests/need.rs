//! How much is asked for.

use asa_prefix::need::{IPV4_NEED, IPV6_NEED, Reason, explain, wanted_length};
use asa_prefix::prefix::{Family, Want};
use proptest::prelude::*;

/// PM-Q-02: the numbers of pfxm3.
#[test]
fn the_length_asked_for_is_that_of_pfxm3() {
    for (delegated, shortfall, length) in
        [(64, IPV6_NEED.into(), 57), (64, 33, 57), (64, 63, 57), (64, 64, 56), (64, 1, 62), (64, 0, 63), (56, 5, 52)]
    {
        assert_eq!(wanted_length(Family::V6, delegated, shortfall), length, "{shortfall} of /{delegated}");
    }
    for shortfall in 0..=IPV4_NEED {
        assert_eq!(wanted_length(Family::V4, 24, shortfall.into()), 20);
    }
    assert_eq!(wanted_length(Family::V4, 24, 9), 19);
}

/// PM-Q-02: never a length that does not exist.
#[test]
fn absurd_needs_ask_for_a_length_that_exists() {
    for family in Family::ALL {
        for delegated in [0, 1, 2, 32, 33, 64, 128, 255] {
            for shortfall in [0, 1, 1 << 40, 1 << 127, u128::MAX] {
                assert!((1..=family.bits()).contains(&wanted_length(family, delegated, shortfall)));
            }
        }
    }
}

/// PM-Q-02: more than twice and at most four times the shortfall, for every shortfall to a million.
#[test]
fn the_block_is_two_to_four_times_the_shortfall() {
    for shortfall in 1..=1_000_000_u128 {
        let blocks = 1_u128 << (64 - wanted_length(Family::V6, 64, shortfall));
        assert!(2 * shortfall < blocks && blocks <= 4 * shortfall, "{shortfall}: {blocks}");
        if shortfall > IPV4_NEED.into() {
            let blocks = 1_u128 << (32 - wanted_length(Family::V4, 32, shortfall));
            assert!(2 * shortfall < blocks && blocks <= 4 * shortfall, "IPv4, {shortfall}: {blocks}");
        }
    }
}

proptest! {
    /// PM-Q-02
    #[test]
    fn a_greater_need_never_asks_for_less(delegated in 0..=128_u8, a: u128, b: u128, bits in 0..128_u32) {
        let (low, high) = ((a >> bits).min(b >> bits), (a >> bits).max(b >> bits));
        for family in Family::ALL {
            prop_assert!(wanted_length(family, delegated, high) <= wanted_length(family, delegated, low));
        }
    }
}

/// PM-Q-01
#[test]
fn the_length_asked_for_is_explained() {
    let want = Want::new(Family::V6, 57).unwrap();
    let role = |source: Option<&str>| Reason::Role { role: "ASG".into(), source: source.map(str::to_owned) };
    let need = |delegated, held| Reason::Need { delegated, need: 40, held };
    for (reason, text) in [
        (Reason::Manifest, "IPv6 /57: set in the manifest"),
        (role(None), "IPv6 /57: built-in length of role \"ASG\""),
        (role(Some("fd00::1")), "IPv6 /57: length of role \"ASG\" in the parameters of fd00::1"),
        (need(64, 8), "IPv6 /57: of 40 blocks of /64 needed 8 are there, 32 are missing; a /57 holds 128"),
        (need(56, 50), "IPv6 /57: of 40 blocks of /56 needed 50 are there, 0 are missing; a /57 holds none"),
    ] {
        assert_eq!(explain(want, &reason), text);
        assert_eq!(serde_json::from_str::<Reason>(&serde_json::to_string(&reason).unwrap()).unwrap(), reason);
    }
}
