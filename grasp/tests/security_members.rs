//! A member of the domain that lies: what it can and cannot do to its neighbours (SECURITY.md). Over TLS, on the fabric.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;
mod hostile;
mod support_tls;

use fabric::*;
use grasp::protocol::authorization::Act;
use grasp::substrate::Substrate;
use grasp::wire::{Answer, Framer, Limits, Locator, Message, decode};
use grasp::{Asa, Grasp, Negotiated, Registration, Value};
use hostile::*;
use std::net::{IpAddr, Ipv6Addr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Two honest neighbours, and the attacker with credentials of the domain and a connection to the first.
struct Scene {
    domain: Domain,
    a: Grasp,
    b: Grasp,
    attacker: Attacker,
    stream: grasp::net::ByteStream,
}

async fn scene() -> Scene {
    let domain = Domain::new();
    let link = domain.link();
    let (a, b) = (domain.start("a", &[link]), domain.start("b", &[link]));
    let attacker = Attacker::on(&domain.fabric, link);
    let port = attacker.neighbours_port(&a).await;
    let stream = attacker.dial_as(&domain.substrate("liar"), port).await;
    sleep(s(10)).await;
    Scene { domain, a, b, attacker, stream }
}

async fn hears(node: &Grasp, from: &Grasp) -> bool {
    let (teller, hearer) = (asa(from, "T", &syn(NAME)).await, asa(node, "H", &syn(NAME)).await);
    teller.flood(60_000, vec![(with(&syn(NAME), 1), None)]).await.unwrap();
    sleep(SOON).await;
    !hearer.get_flood(&syn(NAME)).await.unwrap().is_empty()
}

/// Accepts one request.
fn accepting(asa: Asa) {
    actix::spawn(async move {
        while let Ok((session, _)) = asa.listen_negotiate(&neg(NAME)).await {
            let _ = session.end_negotiate(true, None).await;
        }
    });
}

/// The flood cache is bounded in bytes: values of 30 kB without end push each other out, and what an honest neighbour floods
/// afterwards is there.
#[test]
fn stuffing_the_flood_cache_takes_no_more_than_its_bytes() {
    paused(async {
        let Scene { a, b, mut stream, .. } = scene().await;
        let big = "x".repeat(30_000);
        for id in 0..500 {
            stream.write_all(&flood(id, nobody(), vec![text(&format!("32473:{id}"), 1, &big)])).await.unwrap();
        }
        stream.flush().await.unwrap();
        sleep(s(30)).await;
        let status = a.status().await.unwrap();
        assert!(status.counters["messages_received{M_FLOOD}"] >= 500, "{:?}", status.counters);
        let most = (8 << 20) / 30_000;
        assert!(status.flood_cache <= most && status.flood_cache > most / 2, "{}", status.flood_cache);
        assert!(counted(&a, "flood_evicted_for_bytes").await >= 200);
        assert!(hears(&a, &b).await);
    });
}

/// Floods of a thousand names each are read by their length, not by their number, and bounded by the cache's count.
#[test]
fn floods_of_a_thousand_names_are_read_slowly_and_kept_in_bounds() {
    paused(async {
        let Scene { a, b, mut stream, .. } = scene().await;
        let storm = actix::spawn(async move {
            for id in 0..2_000 {
                let names = (0..1_000).map(|n| text(&format!("32473:{id}-{n}"), 1, "x")).collect();
                if stream.write_all(&flood(id, nobody(), names)).await.is_err() {
                    break;
                }
            }
        });
        sleep(s(2)).await;
        let read = a.status().await.unwrap().counters["messages_received{M_FLOOD}"];
        assert!((20..200).contains(&read), "{read} floods of a thousand names in two seconds");
        assert_eq!(a.status().await.unwrap().flood_cache, 1_000);
        assert!(hears(&a, &b).await);
        storm.abort();
    });
}

/// A response with more than a thousand locators fills neither the cache nor the list, and the honest answer is in it.
#[test]
fn an_answer_of_a_thousand_locators_is_cut() {
    paused(async {
        let Scene { a, b, stream, .. } = scene().await;
        accepting(asa(&b, "S", &neg(NAME)).await);
        let buyer = asa(&a, "B", &neg(NAME)).await;
        let (mut reads, mut writes) = tokio::io::split(stream);
        actix::spawn(async move {
            let mut framer = Framer::new(Limits { size: 65_536, depth: 16 });
            let mut chunk = [0; 4_096];
            while let Ok(read) = reads.read(&mut chunk).await {
                if read == 0 {
                    break;
                }
                framer.push(&chunk[..read]);
                while let Ok(Some(frame)) = framer.next_frame() {
                    let Ok(Message::Discovery { session_id, initiator, .. }) = decode(&frame, &Limits::default())
                    else {
                        continue;
                    };
                    let lies = |n| Locator::tcp(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, n).into(), 7_017);
                    let answer = Answer::Locators((0..1_200).map(lies).collect());
                    let response = Message::Response { session_id, initiator, ttl: 60_000, answer, objective: None };
                    let _ = writes.write_all(&response.encode()).await;
                    let _ = writes.flush().await;
                }
            }
        });
        let found = buyer.discover(&neg(NAME).with_loop_count(6), s(3), None).await.unwrap();
        assert_eq!(found.len(), 65);
        let honest = at(&b).await.locator;
        assert!(found.iter().any(|one| one.locator == honest));
        assert_eq!(counted(&a, "discovery_locators_ignored").await, 1_200 - 64);
        // A locator that leads nowhere costs a failed attempt; the honest one works.
        let one = found.iter().find(|one| one.locator == honest).unwrap();
        let result = buyer.request_negotiate(&with(&neg(NAME), 1), Some(one), DEFAULT).await.unwrap();
        assert!(matches!(result, Negotiated::Accepted(_)));
    });
}

/// A neighbour that takes nothing is dropped after 20 s; others hear what passes meanwhile.
#[test]
fn a_neighbour_that_reads_nothing_is_dropped() {
    paused(async {
        let domain = Domain::new();
        let (left, right) = (domain.link(), domain.link());
        let (b, relay, c) =
            (domain.start("b", &[left]), domain.start("r", &[right, left]), domain.start("c", &[right]));
        let attacker = Attacker::on(&domain.fabric, right);
        let port = attacker.neighbours_port(&relay).await;
        let _stream = attacker.dial_as(&domain.substrate("liar"), port).await;
        sleep(s(10)).await;
        assert_eq!(members(&relay).await, ["b", "c", "liar"]);
        let (from, to) = (asa(&b, "F", &syn(NAME)).await, asa(&c, "T", &syn(NAME)).await);
        for n in 0..30_u32 {
            let value = Value::item(&(n, "x".repeat(20_000))).unwrap();
            from.flood(600_000, vec![(syn(NAME).with_value(value).with_loop_count(6), None)]).await.unwrap();
            sleep(s(3)).await;
            let heard = to.get_flood(&syn(NAME)).await.unwrap().remove(0).objective.value.unwrap();
            assert_eq!(heard.decode::<(u32, String)>().unwrap().0, n);
        }
        assert_eq!(members(&relay).await, ["b", "c"]);
    });
}

/// A neighbour that writes a byte a second is silent: its connection ends, whatever it began to say.
#[test]
fn a_neighbour_that_writes_a_byte_a_second_is_silent() {
    paused(async {
        let Scene { a, mut stream, .. } = scene().await;
        assert_eq!(members(&a).await, ["b", "liar"]);
        actix::spawn(async move {
            for byte in flood(1, nobody(), vec![text("32473:slow", 1, &"x".repeat(1_000))]) {
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                sleep(s(1)).await;
            }
        });
        sleep(s(130)).await;
        assert_eq!(members(&a).await, ["b"]);
        assert!(adjacency(&a, "silent").await >= 1);
    });
}

/// Three hundred connections of one member: eight stay, and the honest neighbour among them.
#[test]
fn one_member_does_not_take_all_places_of_neighbours() {
    paused(async {
        let Scene { domain, a, b, attacker, stream } = scene().await;
        let port = attacker.neighbours_port(&a).await;
        let liar = domain.substrate("liar");
        let mut open = vec![stream];
        for _ in 0..300 {
            open.push(attacker.dial_as(&liar, port).await);
        }
        sleep(s(1)).await;
        let names = members(&a).await;
        assert_eq!((names.iter().filter(|name| *name == "liar").count(), names.contains(&"b".to_owned())), (8, true));
        assert!(adjacency(&a, "connections_replaced").await >= 290);
        assert!(hears(&a, &b).await);
    });
}

/// Without rules any member may answer for any name; with a rule only those that it names are believed.
#[test]
fn a_name_belongs_to_whom_the_rules_say() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let server = domain.start("server", &[link]);
        let squatter = domain.start("squatter", &[link]);
        let careless = domain.start("careless", &[link]);
        let careful =
            domain.start_with("careful", &[link], |c| c.authorization = allow(NAME, Act::Answer, &["server"]));
        for node in [&server, &squatter] {
            accepting(asa(node, "S", &neg(NAME)).await);
        }
        sleep(s(10)).await;
        let ask = async |node: &Grasp, of: &Grasp| {
            let registration = Registration { overlap: true, ..Registration::default() };
            let asa = asa_with(node, "B", &neg(NAME), registration).await;
            asa.request_negotiate(&with(&neg(NAME), 1), Some(&at(of).await), s(5)).await.is_ok()
        };
        assert!(ask(&careless, &server).await && ask(&careless, &squatter).await);
        assert!(ask(&careful, &server).await);
        assert!(!ask(&careful, &squatter).await);
        assert_eq!(counted(&careful, "denied").await, 1);
    });
}

/// A member can flood in anybody's name and overwrite what another has flooded; a rule on floods stops the neighbour that says so.
#[test]
fn a_flood_in_the_name_of_another_is_believed_unless_a_rule_forbids_it() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let open = domain.start("open", &[link]);
        let strict = domain.start_with("strict", &[link], |c| c.authorization = allow(NAME, Act::Flood, &["teller"]));
        let teller = domain.start("teller", &[link]);
        let attacker = Attacker::on(&domain.fabric, link);
        let honest = asa(&teller, "T", &syn(NAME)).await;
        let liar = domain.substrate("liar");
        let mut streams = Vec::new();
        for node in [&open, &strict] {
            let port = attacker.neighbours_port(node).await;
            streams.push(attacker.dial_as(&liar, port).await);
        }
        sleep(s(10)).await;
        honest.flood(600_000, vec![(with(&syn(NAME), 1), None)]).await.unwrap();
        sleep(SOON).await;
        let owner: IpAddr = teller.status().await.unwrap().global.unwrap().into();
        for stream in &mut streams {
            stream.write_all(&flood(77, owner, vec![with(&syn(NAME), 666)])).await.unwrap();
            stream.flush().await.unwrap();
        }
        sleep(SOON).await;
        let mut heard = Vec::new();
        for node in [&open, &strict] {
            let asa = asa(node, "H", &syn(NAME)).await;
            heard.push(
                asa.get_flood(&syn(NAME)).await.unwrap().iter().map(|c| number(&c.objective)).collect::<Vec<_>>(),
            );
        }
        assert_eq!(heard, [[666], [1]]);
        assert_eq!(counted(&strict, "denied").await, 1);
    });
}

/// A question in the name of another is answered where it came from: nobody is made to attack somebody else.
#[test]
fn a_question_in_the_name_of_another_is_answered_to_its_sender() {
    paused(async {
        let Scene { a, b, mut stream, .. } = scene().await;
        let _server =
            asa_with(&a, "S", &neg(NAME), Registration { discoverable: true, ..Registration::default() }).await;
        let victim: IpAddr = b.status().await.unwrap().global.unwrap().into();
        let before = counted(&b, "messages_received").await;
        let question = Message::Discovery { session_id: 5, initiator: victim, objective: neg(NAME) };
        stream.write_all(&question.encode()).await.unwrap();
        stream.flush().await.unwrap();
        let mut framer = Framer::new(Limits::default());
        let answer = timeout(s(5), async {
            loop {
                if let Some(frame) = framer.next_frame().unwrap() {
                    let message = decode(&frame, &Limits::default()).unwrap();
                    if matches!(message, Message::Response { .. }) {
                        return message;
                    }
                    continue;
                }
                let mut chunk = [0; 1_024];
                let read = stream.read(&mut chunk).await.unwrap();
                framer.push(&chunk[..read]);
            }
        });
        let Message::Response { session_id: 5, initiator, .. } = answer.await.unwrap() else {
            panic!("another answer")
        };
        assert_eq!(initiator, victim);
        sleep(SOON).await;
        assert_eq!(counted(&b, "messages_received").await, before);
    });
}

/// A member with a rule that fits all names cannot make the counters grow by names of its own making.
#[test]
fn denied_names_do_not_grow_the_counters_without_end() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let a = domain.start_with("a", &[link], |c| c.authorization = allow("*", Act::Flood, &["nobody"]));
        let attacker = Attacker::on(&domain.fabric, link);
        let port = attacker.neighbours_port(&a).await;
        let mut stream = attacker.dial_as(&domain.substrate("liar"), port).await;
        for id in 0..3_000 {
            let name = format!("32473:{id}{}", "x".repeat(if id % 2 == 0 { 0 } else { 20_000 }));
            stream.write_all(&flood(id, nobody(), vec![text(&name, 1, "x")])).await.unwrap();
        }
        stream.flush().await.unwrap();
        sleep(s(120)).await;
        assert_eq!(counted(&a, "denied").await, 3_000);
        let counters = a.status().await.unwrap().counters;
        assert!(counters.len() < 1_200, "{}", counters.len());
        assert!(counters.keys().all(|key| key.len() < 200));
    });
}

/// G-DSG-02: a revocation list that arrives ends the connection to a neighbour that is open, and no new one is made.
#[test]
fn a_revoked_neighbour_is_cut_off() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let ours = domain.authority.issue(support_tls::member("a"));
        let theirs = domain.authority.issue(support_tls::member("gone"));
        let substrate = |identity: &support_tls::Identity| {
            let credentials = identity.credentials(&domain.authority, None).unwrap();
            std::sync::Arc::new(grasp::substrate::tls::TlsSubstrate::new(credentials, domain.wall.settings()).unwrap())
        };
        let (inside, outside) = (substrate(&ours), substrate(&theirs));
        let a = domain.start_in("a", &[link], inside.clone(), |_| {});
        let (_gone, _b) = (domain.start_in("gone", &[link], outside, |_| {}), domain.start("b", &[link]));
        sleep(s(15)).await;
        assert_eq!(members(&a).await, ["b", "gone"]);
        let list = domain.authority.revoke(&[&theirs]);
        inside.reload(ours.credentials(&domain.authority, Some(&list)).unwrap()).unwrap();
        sleep(s(35)).await;
        assert_eq!(members(&a).await, ["b"]);
        sleep(s(200)).await;
        assert_eq!(members(&a).await, ["b"]);
    });
}

/// A certificate whose name holds escapes, line ends or a forged line: the node is called by its acp-node-name instead.
#[test]
fn a_certificate_name_with_control_characters_is_not_used() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let a = domain.start("a", &[link]);
        let attacker = Attacker::on(&domain.fabric, link);
        let port = attacker.neighbours_port(&a).await;
        let mut open = Vec::new();
        for name in ["x\u{1b}[2J", "x\n2026-01-01 ERROR forged", "x\r\0", "x\u{9b}1m", &"x".repeat(60_000)] {
            let identity = domain.authority.issue(support_tls::Order { serial: 7, ..support_tls::member(name) });
            let credentials = identity.credentials(&domain.authority, None);
            let Ok(credentials) = credentials else { continue };
            let substrate = grasp::substrate::tls::TlsSubstrate::new(credentials, domain.wall.settings()).unwrap();
            if let Ok(secured) = substrate.connect(attacker.dial(port).await, port).await {
                let mut stream = secured.stream;
                let _ = stream.flush().await;
                open.push(stream);
            }
        }
        sleep(s(1)).await;
        let names = members(&a).await;
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.iter().all(|name| name == "0@acp.example.com"), "{names:?}");
    });
}
