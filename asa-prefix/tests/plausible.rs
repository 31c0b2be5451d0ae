//! Which offers are fit to be taken.

use asa_prefix::plausible::{Implausible, Limits, Shortest, Special, acceptable};
use asa_prefix::prefix::{Family, Prefix, Want};

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// PM-Q-06
#[test]
fn special_purpose_space_is_never_taken() {
    use Special::{Broadcast, Documentation, Ipv4Mapped, LinkLocal, Loopback, Multicast, Unspecified};
    let laboratory = Limits { documentation: true, ..Limits::default() };
    for (offer, special) in [
        ("ff00::/8", Multicast),
        ("ff02::/16", Multicast),
        ("224.0.0.0/4", Multicast),
        ("239.1.0.0/16", Multicast),
        ("fe80::/10", LinkLocal),
        ("febf:1::/64", LinkLocal),
        ("169.254.7.0/24", LinkLocal),
        ("::1", Loopback),
        ("127.0.0.0/8", Loopback),
        ("127.1.0.0/16", Loopback),
        ("::/128", Unspecified),
        ("::/64", Unspecified),
        ("0.0.0.0/8", Unspecified),
        ("0.1.0.0/16", Unspecified),
        ("::ffff:10.0.0.0/104", Ipv4Mapped),
        ("::fffe:0:0/95", Ipv4Mapped),
        ("255.255.255.0/24", Broadcast),
        ("2001:db8::/32", Documentation),
        ("2001:db8:7::/48", Documentation),
        ("2001:d00::/24", Documentation),
        ("3fff::/20", Documentation),
        ("192.0.2.0/24", Documentation),
        ("198.51.100.128/25", Documentation),
        ("203.0.113.0/24", Documentation),
        ("203.0.112.0/22", Documentation),
    ] {
        let offer = p(offer);
        match Limits::default().check(&offer).unwrap_err() {
            Implausible::Special { special: named, .. } => assert_eq!(named, special, "{offer}"),
            other => panic!("{other}"),
        }
        assert_eq!(laboratory.check(&offer).is_ok(), special == Documentation, "{offer}");
    }
    let error = Limits::default().check(&p("203.0.112.0/22")).unwrap_err();
    assert_eq!(error.to_string(), "203.0.112.0/22 overlaps the documentation prefix 203.0.113.0/24");
}

/// PM-Q-06: what is next to special space, and what is private, is like any other.
#[test]
fn ordinary_and_private_space_is_taken() {
    for offer in [
        "2001:db7::/32",
        "2001:db9::/32",
        "2a00::/16",
        "fd00:1::/32",
        "fe00::/16",
        "fec0::/16",
        "4000::/16",
        "::2",
        "::fffe:0:0/96",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "126.0.0.0/8",
        "128.0.0.0/8",
        "223.255.255.0/24",
        "169.253.0.0/16",
        "1.0.0.0/8",
        "192.0.3.0/24",
        "3fff:1000::/20",
    ] {
        assert_eq!(Limits::default().check(&p(offer)), Ok(()), "{offer}");
    }
}

/// PM-Q-06
#[test]
fn what_is_too_large_or_outside_the_aggregates_is_not_taken() {
    let limits = Limits {
        permitted: vec![p("2001:db8::/32"), p("10.0.0.0/8")],
        shortest: Shortest { v4: 16, v6: 40 },
        documentation: true,
    };
    for (offer, reason) in [
        ("2001:db8:100::/40", None),
        ("10.255.0.0/16", None),
        ("2001:db8::/39", Some("2001:db8::/39 is shorter than the configured bound of /40")),
        ("10.0.0.0/15", Some("10.0.0.0/15 is shorter than the configured bound of /16")),
        ("2001:db9::/48", Some("2001:db9::/48 is outside the permitted aggregates")),
        ("172.16.0.0/24", Some("172.16.0.0/24 is outside the permitted aggregates")),
        ("::/0", Some("::/0 is shorter than the configured bound of /40")),
    ] {
        assert_eq!(limits.check(&p(offer)).err().map(|error| error.to_string()).as_deref(), reason);
    }
    let around = Limits { permitted: vec![p("2a00:1:2::/48")], ..Limits::default() };
    assert!(matches!(around.check(&p("2a00:1::/32")), Err(Implausible::NotPermitted { .. })));
    for offer in ["2000::/15", "64.0.0.0/7", "::/0", "0.0.0.0/0"] {
        assert!(matches!(Limits::default().check(&p(offer)), Err(Implausible::TooShort { .. })), "{offer}");
    }
}

/// PM-Q-06: the operator writes what is meant, or hears of it.
#[test]
fn limits_are_read_from_the_manifest() {
    let text = r#"{"permitted":["2001:db8::/32"],"shortest":{"ipv6":20},"documentation":true}"#;
    let limits: Limits = serde_json::from_str(text).unwrap();
    let shortest = Shortest { v6: 20, ..Shortest::default() };
    assert_eq!(limits, Limits { permitted: vec![p("2001:db8::/32")], shortest, documentation: true });
    assert!(serde_json::from_str::<Limits>(r#"{"permited":[]}"#).is_err());
}

/// PM-Q-04, PM-Q-05
#[test]
fn less_than_asked_is_taken_only_while_it_helps() {
    let asked = Want::new(Family::V6, 57).unwrap();
    for (offer, flexible, taken) in [
        ("2a00::/57", None, true),
        ("2a00::/48", None, true),
        ("2a00::/58", None, false),
        ("2a00::/60", Some(60), true),
        ("2a00::/61", Some(60), false),
        ("2a00::/57", Some(50), true),
        ("2a00::/58", Some(50), false),
        ("10.0.0.0/8", None, false),
        ("10.0.0.0/20", Some(128), false),
    ] {
        assert_eq!(acceptable(asked, &p(offer), flexible).is_ok(), taken, "{offer}, {flexible:?}");
    }
    let error = acceptable(asked, &p("10.0.0.0/20"), None).unwrap_err();
    assert_eq!(error, "asked for IPv6 /57, offered IPv4 /20: another address family");
    let error = acceptable(asked, &p("2a00::/61"), Some(60)).unwrap_err();
    assert_eq!(error, "insufficient offer: asked for IPv6 /57, offered IPv6 /61, and /60 is the least that helps");
}
