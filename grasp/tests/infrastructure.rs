//! The objectives of the infrastructure: RFC 8994 §6.2.5.1, §6.4; RFC 8995 §4.1.1, §4.3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use ciborium::Value as Cbor;
use grasp::infrastructure::*;
use grasp::protocol::Dull;
use grasp::wire::{Flags, Limits, Locator, Message, Objective, TaggedObjective, Transport, Value, decode};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use support::{Driver, at, bytes, floods, gua, lla, message, tcp};

fn item(value: &Cbor) -> Value {
    Value::item(value).unwrap()
}

/// ASA-I-03, ASA-I-05 to ASA-I-07: names byte by byte, flags 4, loop counts, lifetimes; `AN_proxy` is none of them.
#[test]
fn the_objectives_are_those_of_the_rfcs() {
    let table = [
        ("AN_ACP", 1, 210_000),
        ("AN_Proxy", 1, 180_000),
        ("AN_join_registrar", 255, 180_000),
        ("SRV.est", 255, 210_000),
    ];
    for (name, loop_count, ttl) in table {
        let kind = Kind::named(name).unwrap();
        let objective = kind.objective();
        assert_eq!((objective.name.as_str(), objective.flags, objective.loop_count), (name, Flags(4), loop_count));
        assert_eq!((kind.ttl(), kind.is_dull()), (ttl, loop_count == 1));
    }
    assert_eq!(PERIOD.as_secs(), 60);
    for other in ["AN_proxy", "AN_join_proxy", "an_acp", "SRV.EST", ""] {
        assert_eq!(Kind::named(other), None);
    }
    let rules = Dull::infrastructure();
    assert_eq!(rules.objectives.iter().map(String::as_str).collect::<Vec<_>>(), ["AN_ACP", "AN_Proxy"]);
    assert!(!rules.serves("AN_proxy"));
    // The other spelling is an operator's to allow.
    assert!(Dull::new(["AN_Proxy", "AN_proxy"]).serves("AN_proxy"));
}

/// ASA-I-03: a name, or an array that begins with one, or with an array that does; parameters and extensions are kept.
#[test]
fn an_offer_is_read_in_all_its_forms() {
    let array = |parts: &[Cbor]| Cbor::Array(parts.to_vec());
    let (name, odd) = (Cbor::from("IKEv2"), Cbor::Map(vec![(Cbor::from(1), Cbor::Null)]));
    let forms = [
        (name.clone(), 0, 0),
        (array(std::slice::from_ref(&name)), 0, 0),
        (array(&[name.clone(), odd.clone(), Cbor::from(7)]), 0, 2),
        (array(&[array(std::slice::from_ref(&name))]), 0, 0),
        (array(&[array(&[name.clone(), odd.clone()]), odd.clone(), name.clone()]), 1, 2),
    ];
    for (value, parameters, extensions) in forms {
        let offer = Offer::read(&item(&value)).unwrap();
        assert_eq!(
            (offer.method(), offer.parameters().len(), offer.extensions().len()),
            ("IKEv2", parameters, extensions)
        );
        assert_eq!(offer.value(), item(&value));
        assert!(offer.is_known());
    }
    let unknown = Offer::read(&item(&Cbor::from("Foo.bar-9"))).unwrap();
    assert!(!unknown.is_known());
    for bad in [
        Cbor::Null,
        Cbor::from(7),
        array(&[]),
        array(&[Cbor::Null]),
        array(&[array(&[])]),
        array(&[array(&[Cbor::from(1)])]),
        Cbor::Bytes(b"IKEv2".to_vec()),
    ] {
        assert_eq!(Offer::read(&item(&bad)), Err(OfferError::Shape), "{bad:?}");
    }
    for bad in ["", "9x", "a b", "x-", "x.", "-x", "ä", "IKEv2\u{0}"] {
        assert_eq!(Offer::read(&item(&Cbor::from(bad))), Err(OfferError::Name), "{bad}");
    }
    for good in ["a", "@", "_", "$", "a--.b", "x9", GRASP_TLS, DTLS, IKEV2] {
        assert!(is_method_name(good), "{good}");
    }
}

/// ASA-I-06, ASA-I-05, ASA-I-07: what a registrar, a server and a proxy flood, as the examples of the RFCs have it.
#[test]
fn announcements_are_those_of_the_rfcs() {
    let registrar: Ipv6Addr = "fda3:79a6:f6ee:0:0200:0:6400:1".parse().unwrap();
    let at_tcp = Locator::tcp(registrar.into(), 8_443);
    let (objective, locator) = an_join_registrar(EST_TLS, at_tcp.clone());
    assert_eq!((objective.loop_count, locator), (255, Some(at_tcp)));
    assert_eq!(objective.value.as_ref().and_then(registrar_protocols).as_deref(), Some("EST-TLS"));
    assert_eq!(registrar_protocols(&Value::item(&7).unwrap()), None);
    let (objective, locator) = srv_est(registrar, 443);
    assert_eq!((objective.value, locator), (Some(Value::null()), Some(tcp(registrar, 443))));
    let (objective, locator) = an_proxy(Transport::Tcp, 4_443);
    assert_eq!(objective.value, Some(Value::item("").unwrap()));
    assert_eq!(locator, Some(tcp(Ipv6Addr::UNSPECIFIED, 4_443)));
}

/// The floods of RFC 8995 §4.3, with TCP, UDP, and IPv6 in IPv6 without a port.
const REGISTRAR: &str = "87 09 1a00357b4e 50 fd000000000000000000000000000001 1a0002bf20 \
    82 84 71414e5f6a6f696e5f726567697374726172 04 18ff 67 4553542d544c53 84 1867 50 fd451345000000000000000000006789 06 1901bb \
    82 84 71414e5f6a6f696e5f726567697374726172 04 18ff 67 4553542d544c53 84 1867 50 fd451345000000000000000000006789 11 191633 \
    82 84 71414e5f6a6f696e5f726567697374726172 04 18ff 67 4553542d544c53 84 1867 50 fe800000000000000000000000001234 1829 f6";

fn registrar() -> Vec<u8> {
    bytes(&REGISTRAR.replace(' ', ""))
}

/// ASA-I-06: a locator of protocol 41 with a null port costs nothing beside it; it is read, kept, and written as it was.
#[test]
fn a_registrar_may_be_reached_by_other_protocols() {
    let read = message(&registrar());
    let Message::Flood { objectives, .. } = &read else { panic!("{read:?}") };
    let locators: Vec<_> = objectives.iter().map(|tagged| tagged.locator.clone().unwrap()).collect();
    let address: Ipv6Addr = "fe80::1234".parse().unwrap();
    assert_eq!(locators[2], Locator::Other { address: address.into(), protocol: 41, port: None });
    assert_eq!(locators.iter().map(Locator::protocol).collect::<Vec<_>>(), [Some(6), Some(17), Some(41)]);
    assert_eq!(read.encode(), registrar());
    let from = IpAddr::V6("fd00::1".parse().unwrap());
    let places: Vec<_> = locators.iter().map(|at| place(Kind::AnJoinRegistrar, from, Some(at)).unwrap()).collect();
    assert_eq!(places.iter().map(|place| place.port).collect::<Vec<_>>(), [Some(443), Some(5_683), None]);
    assert_eq!(places[2], Place { address, protocol: Some(41), port: None });
}

/// ASA-I-06, G-FREL-06: relays pass such a flood on with every byte but the first loop count as it was, and keep all of it.
#[test]
fn locators_of_other_protocols_are_relayed_untouched() {
    let mut node = Driver::flood(&[support::A, support::B]);
    let outputs = node.hear_raw(support::A, &registrar());
    let expected = grasp::hex::encode(&registrar()).replacen("0418ff", "0418fe", 1);
    assert_eq!(floods(&outputs), [(support::B, bytes(&expected))]);
    node.run_to(at(1));
    assert_eq!(node.core.store().get(node.now, "AN_join_registrar").len(), 3);
}

/// ASA-I-05: SRV.est without a value is taken.
#[test]
fn a_server_needs_no_value() {
    let raw = bytes("85091a00bc4e4f50fd89b714f3db000020000006400000011a00033450828367535256 2e65737404 18ff 84186750fd89b714f3db00002000000640000001061901bb".replace(' ', "").as_str());
    let mut node = Driver::flood(&[support::A]);
    node.hear_raw(support::A, &raw);
    let copies = node.core.store().get(node.now, "SRV.est");
    assert_eq!((copies.len(), copies[0].objective.value.clone()), (1, None));
}

/// ASA-I-03, ASA-I-04, ASA-I-07: where things are; nothing that leads to a third party is believed.
#[test]
fn places_of_a_link_are_the_initiators() {
    let from = IpAddr::V6(lla(9));
    for kind in [Kind::AnAcp, Kind::AnProxy] {
        let here = place(kind, from, Some(&tcp(lla(9), 7))).unwrap();
        assert_eq!(here, Place { address: lla(9), protocol: Some(6), port: Some(7) });
        assert_eq!(place(kind, from, None), Some(Place { address: lla(9), protocol: None, port: None }));
        for wrong in [tcp(lla(8), 7), tcp(gua(9), 7), Locator::tcp(Ipv4Addr::new(10, 0, 0, 1).into(), 7)] {
            assert_eq!(place(kind, from, Some(&wrong)), None);
        }
        assert_eq!(place(kind, gua(9).into(), Some(&tcp(gua(9), 7))), None);
        assert_eq!(place(kind, Ipv4Addr::LOCALHOST.into(), None), None);
    }
    assert!(place(Kind::SrvEst, gua(9).into(), Some(&tcp(gua(8), 443))).is_some());
}

fn told(
    kind: Kind,
    change: impl FnOnce(&mut Objective, &mut Option<Locator>, &mut u32, &mut IpAddr, &mut bool),
) -> Vec<String> {
    let mut objective =
        kind.objective().with_value(Value::item(if kind == Kind::AnJoinRegistrar { EST_TLS } else { IKEV2 }).unwrap());
    let (mut initiator, mut ttl, mut dull) = (IpAddr::V6(lla(9)), kind.ttl(), kind.is_dull());
    if !dull {
        initiator = gua(9).into();
    }
    let mut locator = Some(Locator::tcp(initiator, 7));
    change(&mut objective, &mut locator, &mut ttl, &mut initiator, &mut dull);
    let sight = Sight { objective: &objective, locator: locator.as_ref(), initiator, ttl, dull };
    assert_eq!(purpose(&sight).is_some(), Kind::named(&objective.name).is_some());
    oddities(&sight)
}

/// ASA-I-10: what is odd about a flood is said in words; nothing is, if it is as its RFC has it.
#[test]
fn what_is_odd_is_told() {
    for kind in Kind::ALL {
        assert_eq!(told(kind, |_, _, _, _, _| {}), Vec::<String>::new(), "{kind:?}");
    }
    let acp = Kind::AnAcp;
    let table: [(Vec<String>, &str); 16] = [
        (told(acp, |_, locator, _, _, _| *locator = Some(tcp(lla(8), 7))), "locator is not the source"),
        (told(acp, |_, _, _, initiator, _| *initiator = gua(9).into()), "locator is not the source"),
        (told(acp, |objective, _, _, _, _| objective.loop_count = 6), "loop count 6 where 1 is due"),
        (told(acp, |_, _, ttl, _, _| *ttl = 120_000), "ttl of 120 s is short for a period of 60 s, 210 s is usual"),
        (told(Kind::AnProxy, |_, _, ttl, _, _| *ttl = 0), "ttl 0: whoever dies stays announced for ever"),
        (told(acp, |o, _, _, _, _| o.value = Some(Value::item("Foo").unwrap())), "unknown method Foo"),
        (
            told(acp, |o, _, _, _, _| o.value = Some(Value::item("a b").unwrap())),
            "a method name has letters, digits, @, _, $, and - or . between them (RFC 8994 section 6.4)",
        ),
        (told(acp, |o, _, _, _, _| o.value = None), "it names no method"),
        (
            told(acp, |o, locator, _, _, _| {
                *locator = None;
                o.value = Some(Value::item(DTLS).unwrap())
            }),
            "no locator, and DTLS has no port of its own",
        ),
        (told(acp, |objective, _, _, _, _| objective.flags = Flags(5)), "flags 5 where 4 is due"),
        (told(acp, |_, _, _, _, dull| *dull = false), "heard outside of DULL"),
        (
            told(acp, |objective, _, _, _, _| objective.name = "AN_acp".into()),
            "AN_acp is not AN_ACP: names are compared byte by byte",
        ),
        (
            told(Kind::AnProxy, |o, _, _, _, _| o.name = "AN_proxy".into()),
            "AN_proxy is not AN_Proxy: names are compared byte by byte",
        ),
        (told(Kind::SrvEst, |_, _, _, _, dull| *dull = true), "heard by DULL: it belongs into the ACP"),
        (told(Kind::AnJoinRegistrar, |o, _, _, _, _| o.value = Some(Value::null())), "its value is no text"),
        (told(Kind::SrvEst, |_, locator, _, _, _| *locator = None), "no locator"),
    ];
    for (odd, expected) in table {
        assert!(odd.iter().any(|one| one == expected), "{expected}: {odd:?}");
    }
    assert_eq!(told(acp, |_, locator, _, _, _| *locator = None), Vec::<String>::new(), "IKEv2 has a port of its own");
    let tunnel = Locator::Other { address: lla(5).into(), protocol: 41, port: None };
    assert_eq!(told(Kind::AnJoinRegistrar, |_, locator, _, _, _| *locator = Some(tunnel)), Vec::<String>::new());
}

/// ASA-I-08: the floods that were seen of graspy and of connect are read, and what is odd about each is told.
#[test]
fn floods_seen_in_the_field_are_explained() {
    let seen = [
        (
            "85091ad61785ad502607f0b0000f000200000000000005f71a0001d4c0828471414e5f6a6f696e5f7265676973747261720501674553542d544c53841867502607f0b0000f000200000000000005f7061850",
            vec![
                "flags 5 where 4 is due",
                "loop count 1: it was hardly flooded with 255",
                "ttl of 120 s is short for a period of 60 s, 180 s is usual",
            ],
        ),
        (
            "85090e50fe80000000000000000000000000112201828466414e5f414350040165494b45763284186750fe800000000000000000000000001122111901f4",
            vec!["ttl of 0.001 s is short for a period of 60 s, 210 s is usual"],
        ),
        (
            "85091a900629d050fd5a1e57a1b0000100000000000000011a00033450828466414e5f414350050165494b45763284186750fe80000000000000000000fffe00010111193a98",
            vec!["flags 5 where 4 is due", "locator is not the source"],
        ),
        (
            "85091ac5777a0850fd5a1e57a1b0000100000000000000011a000334508284675352562e6573740518fef684186750fd5a1e57a1b000010000000000000001061901bb",
            vec!["flags 5 where 4 is due"],
        ),
    ];
    for (raw, expected) in seen {
        let Message::Flood { initiator, ttl, objectives, .. } = message(&bytes(raw)) else { panic!("no flood") };
        let TaggedObjective { objective, locator } = &objectives[0];
        let dull = Kind::named(&objective.name).unwrap().is_dull();
        let sight = Sight { objective, locator: locator.as_ref(), initiator, ttl, dull };
        assert!(purpose(&sight).is_some());
        assert_eq!(oddities(&sight), expected, "{objective:?}");
    }
}

fn cbor() -> impl Strategy<Value = Cbor> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Cbor::from),
        ".{0,8}".prop_map(Cbor::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Cbor::Bytes),
        any::<bool>().prop_map(Cbor::from),
        Just(Cbor::Null),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Cbor::Array),
            (0_u64..5_000, inner).prop_map(|(tag, inner)| Cbor::Tag(tag, Box::new(inner))),
        ]
    })
}

proptest! {
    /// ASA-I-03: odd parameters and extensions survive a round trip; no value whatever does harm.
    #[test]
    fn odd_values_survive_a_round_trip(
        name in "[A-Za-z@_$]([-.]{0,2}[A-Za-z0-9@_$]){0,6}",
        parameters in prop::collection::vec(cbor(), 0..3),
        extensions in prop::collection::vec(cbor(), 0..3),
        any in cbor(),
    ) {
        let method = Cbor::Array(std::iter::once(Cbor::from(name.clone())).chain(parameters.clone()).collect());
        let value = item(&Cbor::Array(std::iter::once(method).chain(extensions.clone()).collect()));
        let offer = Offer::read(&value).unwrap();
        prop_assert_eq!((offer.method(), offer.parameters(), offer.extensions()), (name.as_str(), &parameters[..], &extensions[..]));
        prop_assert_eq!(offer.value(), value);
        let any = item(&any);
        if let Ok(offer) = Offer::read(&any) {
            prop_assert_eq!(offer.value(), any);
        }
    }

    /// ASA-I-06: any other protocol and port, in either family, is read and written as it was.
    #[test]
    fn any_other_protocol_survives_a_round_trip(v6 in any::<Ipv6Addr>(), v4 in any::<Ipv4Addr>(), family in any::<bool>(), protocol in 0_u8..=255, port in any::<Option<u16>>()) {
        prop_assume!(![6, 17].contains(&protocol));
        let address: IpAddr = if family { v4.into() } else { v6.into() };
        let locator = Some(Locator::Other { address, protocol, port });
        let objectives = vec![TaggedObjective { objective: Objective::synchronization("x").with_value(Value::null()), locator }];
        let flood = Message::Flood { session_id: 1, initiator: v6.into(), ttl: 1, objectives };
        prop_assert_eq!(decode(&flood.encode(), &Limits::default()), Ok(flood));
    }
}
