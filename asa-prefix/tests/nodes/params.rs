//! The table of roles: flooded, read, chosen.

use super::{Lab, node};
use asa_framework::event::Event;
use asa_framework::testing::{self, Harness};
use asa_prefix::wire::params::OBJECTIVE;
use grasp::net::Network;
use grasp::wire::Transport;
use grasp::{Asa, Locator, Objective, Registration, Value, hex};
use std::net::Ipv6Addr;
use std::time::Duration;

/// RSG 34, ASG 44, CSG 56, as pfxm3 floods it.
const REFERENCE: &str = "83828264726f6c6563525347826d7072656669785f6c656e6774681822828264726f6c6563415347826d7072656669785f\
                         6c656e677468182c828264726f6c6563435347826d7072656669785f6c656e6774681838";

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn objective() -> Objective {
    Objective::synchronization(OBJECTIVE)
}

async fn source(harness: &Harness, name: &str) -> Asa {
    let asa = harness.peer(name).await;
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    asa
}

/// Floods in the name of an address that ends so.
async fn flood(source: &Asa, name: u16, table: &str, embedded: bool) {
    let value = Value::item(&serde_json::from_str::<serde_json::Value>(table).unwrap()).unwrap();
    let value = if embedded { Value::embedded(value.as_bytes()) } else { value };
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, name);
    let locator = Locator::Ipv6 { address, transport: Transport::Tcp, port: 7017 };
    source.flood(210_000, vec![(objective().with_value(value), Some(locator))]).await.unwrap();
    // Everybody looks once a minute.
    later(65).await;
}

async fn csg(lab: &Lab) -> Option<u8> {
    lab.explain("edge").await.params.role("CSG").and_then(|role| role.prefix_length)
}

fn said(harness: &Harness, what: &str) -> usize {
    let events = harness.events();
    events.iter().filter(|entry| matches!(&entry.what, Event::Said { text, .. } if text.contains(what))).count()
}

/// PM-P-01, PM-P-06: at once, then every minute, each time good for three and a half minutes.
#[test]
fn an_origin_floods_the_reference_bytes_in_time() {
    testing::run(1, async |harness| {
        let (_, class) = Lab::new();
        let listener = harness.peer("listener").await;
        let mut heard = listener.watch_flood(&objective()).await.unwrap();
        let begun = harness.now();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let mut times = Vec::new();
        for _ in 0..5 {
            let flooded = tokio::time::timeout(Duration::from_secs(90), heard.recv()).await.unwrap().unwrap();
            times.push(harness.now() - begun);
            assert_eq!(hex::encode(flooded.objective.value.as_ref().unwrap().as_bytes()), REFERENCE);
            assert_eq!(flooded.expires.unwrap().since(flooded.heard), Duration::from_secs(210));
        }
        assert!(times[0] < Duration::from_secs(2), "{times:?}");
        for pair in times.windows(2) {
            let pause = (pair[1] - pair[0]).as_secs_f64();
            assert!((50.0..=70.0).contains(&pause), "{times:?}");
        }
    });
}

/// PM-W-12: the usual four items, of which the CDDL of RFC 8992 section 6 lacks the loop count.
#[test]
fn a_flooded_table_has_a_loop_count() {
    testing::run(6, async |harness| {
        let (_, class) = Lab::new();
        let machine = harness.machine();
        let sockets = machine.open_link(&machine.interfaces().unwrap()[0]).unwrap();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let flood = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                let (bytes, _) = sockets.multicast.receive().await.unwrap();
                let message: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
                let items = message.into_array().unwrap();
                if items[0] == 9.into() {
                    return items;
                }
            }
        });
        // [M_FLOOD, session, initiator, ttl, [objective, locator]]
        let flooded = flood.await.unwrap()[4].as_array().unwrap().clone();
        let objective = flooded[0].as_array().unwrap();
        assert_eq!((objective.len(), &objective[0]), (4, &OBJECTIVE.into()), "{objective:?}");
        let loop_count = u8::try_from(objective[2].as_integer().unwrap()).unwrap();
        assert!(loop_count > 0 && objective[3].is_array(), "{objective:?}");
    });
}

/// PM-P-02: every form that was ever seen, bare and in Tag 24.
#[test]
fn every_form_of_the_table_is_understood() {
    let forms = [
        r#"[[["role","CSG"],["prefix_length",50]]]"#,
        r#""[[[\"role\",\"CSG\"],[\"prefix_length\",50]]]""#,
        r#"[{"role":"CSG","prefix_length":50}]"#,
        r#"{"CSG":{"prefix_length":50}}"#,
        r#"[{"role":[{"role_name":"CSG"},{"role_characteristic":[{"prefix_length":"50"}]}]}]"#,
    ];
    testing::run(2, async |harness| {
        let (lab, class) = Lab::new();
        let source = source(&harness, "source").await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 0").await;
        later(1).await;
        assert_eq!(csg(lab).await, Some(56), "the one built in");
        let mut length = 50;
        for embedded in [false, true] {
            for form in forms {
                length += 1;
                flood(&source, 1, &form.replace("50", &length.to_string()), embedded).await;
                assert_eq!(csg(lab).await, Some(length), "{form} {embedded}");
            }
        }
        assert!(lab.explain("edge").await.params_source.is_some());
    });
}

/// PM-P-07, PM-P-08: what is absurd changes nothing and is told once; what is unknown spoils nothing.
#[test]
fn absurd_tables_change_nothing() {
    testing::run(3, async |harness| {
        let (lab, class) = Lab::new();
        let source = source(&harness, "source").await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 0").await;
        let good = r#"[[["role","XYZ"],["prefix_length",9]],[["role","CSG"],["colour","red"],["prefix_length",52]]]"#;
        flood(&source, 1, good, false).await;
        assert_eq!(csg(lab).await, Some(52));
        assert_eq!(said(&harness, r#"key "colour": unknown"#), 1);
        for absurd in ["129", "-5", "\"x\"", "null", "1e9"] {
            let table = format!(r#"[[["role","CSG"],["prefix_length",{absurd}]]]"#);
            flood(&source, 1, &table, false).await;
            flood(&source, 1, &table, false).await;
            assert_eq!(csg(lab).await, Some(52), "{absurd}");
        }
        // Ten times in eleven minutes; told again after ten of them.
        assert!((1..=2).contains(&said(&harness, "the table has no usable role")), "{}", harness.story());
        for nonsense in ["7", "[]", "{}", "\"RSG\""] {
            flood(&source, 1, nonsense, false).await;
            assert_eq!(csg(lab).await, Some(52), "{nonsense}");
        }
    });
}

/// PM-P-09: of two tables that of the lowest address counts, and the conflict is told; the operator may choose otherwise.
#[test]
fn of_two_tables_one_is_chosen_and_the_conflict_told() {
    testing::run(4, async |harness| {
        let (lab, class) = Lab::new();
        let (low, high) = (source(&harness, "low").await, source(&harness, "high").await);
        node(&harness, class, "edge", "delegator", "ipv6_need = 0").await;
        node(&harness, class, "told", "delegator", "ipv6_need = 0\nparams_source = 'fd00::1:2'").await;
        flood(&high, 2, r#"[[["role","CSG"],["prefix_length",60]]]"#, false).await;
        assert_eq!((csg(lab).await, said(&harness, "differs")), (Some(60), 0));
        flood(&low, 1, r#"[[["role","CSG"],["prefix_length",50]]]"#, false).await;
        assert_eq!(csg(lab).await, Some(50));
        let of_low = "the table of fd00::1:2 differs from that of fd00::1:1, which counts";
        assert_eq!(said(&harness, of_low), 1, "{}", harness.story());
        assert_eq!(lab.explain("edge").await.params_source.as_deref(), Some("fd00::1:1"));
        let told = lab.explain("told").await;
        assert_eq!(
            (told.params.role("CSG").unwrap().prefix_length, told.params_source.as_deref()),
            (Some(60), Some("fd00::1:2"))
        );
    });
}
