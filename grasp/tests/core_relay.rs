//! Relaying discoveries, passing answers back, diverts, limits: RFC 8990 §2.5.4.4, §2.9.2, §2.9.5.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::discovery::{Discovery, DiscoveryConfig, DiscoverySettings, Input, Question, Scope};
use grasp::protocol::rate::{Bucket, RelayLimiter, RelayRate};
use grasp::protocol::seen::Seen;
use grasp::protocol::{Announcement, AsaHandle, Machine};
use grasp::wire::{Answer, Locator, Message, Objective, Transport};
use std::net::{IpAddr, Ipv6Addr};
use support::*;

const V01: &str = "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050200";
const V02: &str =
    "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c123";
const V16: &str =
    "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608218648418675020010db8f000baaaf000baaaf000baaa0619c123";
const V22: &str = "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050100";

fn told(session_id: u32, ttl: u32, answer: Answer) -> Message {
    Message::Response { session_id, initiator: IpAddr::V6(gua(9)), ttl, answer, objective: None }
}

fn direct(session_id: u32, locator: Locator) -> Message {
    told(session_id, 60_000, Answer::Locators(vec![locator]))
}

fn diverted(outputs: &[grasp::protocol::discovery::Output]) -> Vec<Locator> {
    responses(outputs)
        .into_iter()
        .flat_map(|(_, _, answer)| {
            let Message::Response { answer: Answer::Divert(locators), .. } = answer else { panic!("{answer:?}") };
            locators
        })
        .collect()
}

fn fqdn(name: &str) -> Locator {
    Locator::Fqdn { name: name.into(), transport: Transport::Tcp, port: 443 }
}

fn uri(uri: &str) -> Locator {
    Locator::Uri { uri: uri.into(), transport: None, port: None }
}

/// A relay that has passed on a question of peer 9 on A, loop count 6.
fn relaying() -> Driver<Discovery> {
    let mut node = Driver::discovery(&[A, B, C]);
    assert_eq!(multicasts(&node.hear(A, 9, &disc(7, gua(9), "EX1", 6))).len(), 2);
    node
}

/// G-DREL-01, G-DREL-02, G-DREL-03, G-DREL-05, G-DREL-07, G-DREL-17: V-01 goes out on all other links as V-22.
#[test]
fn question_is_relayed_with_one_loop_count_less() {
    for link in [A, B] {
        let mut node = Driver::discovery(&[A, B, C]);
        let outputs = node.hear_raw(link, source(9, link), &bytes(V01));
        let others: Vec<_> = [A, B, C].into_iter().filter(|l| *l != link).map(|l| (l, bytes(V22))).collect();
        assert_eq!(multicasts(&outputs), others);
        assert_eq!(outputs.len(), 2);
    }
}

/// G-DREL-17: a value with a half float, a tag and undefined crosses the relay byte by byte; 24 to 23 is shorter.
#[test]
fn values_cross_the_relay_untouched() {
    let mut node = Driver::discovery(&[A, B]);
    let raw = bytes("84011a00d4d7485020010db8f000baaa28ccdc4c97036781846345583105181883f93c00c11a5f5e1000f7");
    let out = bytes("84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831051783f93c00c11a5f5e1000f7");
    assert_eq!(multicasts(&node.hear_raw(A, source(9, A), &raw)), [(B, out)]);
}

/// G-DREL-08, G-ERR-07, T-19: loop counts 1 and 0 are not relayed, and do not wrap.
#[test]
fn exhausted_loop_count_is_not_relayed() {
    let mut node = Driver::discovery(&[A, B]);
    for (sid, loop_count) in [(7, 1), (8, 0)] {
        assert!(node.hear(A, 9, &disc(sid, gua(9), "EX1", loop_count)).is_empty());
    }
    assert_eq!(node.core.counters().discarded, 2);
}

/// G-DRSP-11: a node that does not relay discards.
#[test]
fn relaying_can_be_switched_off() {
    let settings = DiscoverySettings { relay: false, ..DiscoverySettings::default() };
    let mut node = Driver::discovery_with(&[A, B], DiscoveryConfig { settings, ..DiscoveryConfig::default() });
    assert!(node.hear(A, 9, &disc(7, gua(9), "EX1", 6)).is_empty());
}

/// G-DREL-04: what is supported or cached from elsewhere is answered and not relayed.
#[test]
fn known_objective_is_answered_and_not_relayed() {
    let mut node = relaying();
    node.hear(B, 2, &direct(7, tcp(gua(2), 80)));
    let announcement = Announcement { ttl: 1, local: false, asas: [AsaHandle(2)].into(), rapid: None };
    node.feed(Input::Local { name: "EX2".into(), announcement: Some(announcement) });
    for (sid, name) in [(8, "EX1"), (9, "EX2")] {
        let outputs = node.hear(A, 9, &disc(sid, gua(9), name, 6));
        assert_eq!((outputs.len(), responses(&outputs).len()), (1, 1), "{name}");
    }
}

/// G-DREL-09, G-DREL-10, T-26, T-42: a remembered question is not relayed again, whatever link it comes from, before or
/// after its answers, for two minutes.
#[test]
fn question_is_relayed_once() {
    let mut node = relaying();
    node.hear(B, 2, &direct(7, tcp(lla(2), 80)));
    for (time, link) in [(0, A), (1, B), (2, C), (600, A), (119_000, C)] {
        node.run_to(at(time));
        assert!(node.hear(link, 9, &disc(7, gua(9), "EX1", 5)).is_empty(), "after {time} ms");
    }
    assert_eq!((node.core.counters().duplicates, node.core.counters().relayed), (5, 1));
    assert_eq!(multicasts(&node.hear(A, 9, &disc(7, gua(8), "EX1", 6))).len(), 2, "G-SID-10: another initiator");
}

/// G-DREL-10, T-12: a question of a link-local initiator that comes back over another link is the same question.
#[test]
fn link_local_initiators_question_is_relayed_once() {
    let mut node = Driver::discovery(&[A, B, C]);
    assert_eq!(multicasts(&node.hear(A, 9, &disc(7, lla(9), "EX1", 6))).len(), 2);
    assert!(node.hear(C, 8, &disc(7, lla(9), "EX1", 4)).is_empty());
}

/// G-DREL-11: the relay waits 100 ms for each loop count left; later answers are not passed on.
#[test]
fn relay_gives_up_after_its_share_of_the_time() {
    let mut node = Driver::discovery(&[A, B]);
    node.hear(A, 9, &disc(7, gua(9), "EX1", 3));
    assert_eq!(node.core.deadline(), Some(at(200)));
    node.run_to(at(199));
    assert_eq!(diverted(&node.hear(B, 2, &direct(7, tcp(gua(2), 80)))), [tcp(gua(2), 80)]);
    node.run_to(at(200));
    assert!(node.hear(B, 3, &direct(7, tcp(gua(3), 80))).is_empty());
    assert_eq!((node.core.counters().unexpected, node.core.deadline()), (1, None));
}

/// G-DREL-12, G-DREL-13, G-DRSP-12, G-DIVT-03: V-02 from behind becomes V-16 to the question's source.
#[test]
fn answer_goes_back_as_a_divert() {
    let mut node = Driver::discovery(&[A, B]);
    let raw = bytes("84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050600");
    node.hear_raw(A, source(9, A), &raw);
    let outputs = node.hear_raw(B, source(2, B), &bytes(V02));
    assert_eq!(responses(&outputs), [(A, source(9, A), message(&bytes(V16)))]);
    assert_eq!(outputs.len(), 1);
}

/// G-DREL-14, T-36, T-37: every answer is passed on, at once, each locator once.
#[test]
fn all_answers_are_passed_on() {
    let mut node = relaying();
    assert_eq!(diverted(&node.hear(B, 2, &direct(7, tcp(gua(2), 80)))), [tcp(gua(2), 80)]);
    assert_eq!(diverted(&node.hear(C, 3, &direct(7, tcp(gua(3), 80)))), [tcp(gua(3), 80)]);
    assert!(node.hear(C, 4, &direct(7, tcp(gua(2), 80))).is_empty());
}

/// G-DREL-15: a divert from behind is passed on as one divert.
#[test]
fn divert_is_passed_on_flat() {
    let mut node = relaying();
    let behind = vec![tcp(gua(2), 80), fqdn("a.example.com"), tcp(gua(2), 80)];
    let outputs = node.hear(B, 2, &told(7, 60_000, Answer::Divert(behind)));
    assert_eq!(diverted(&outputs), [tcp(gua(2), 80), fqdn("a.example.com")]);
    assert_eq!(responses(&outputs).len(), 1);
}

/// G-DREL-16, G-DIVT-04: link-local addresses are not passed on, alone or among others.
#[test]
fn link_local_addresses_are_not_passed_on() {
    let mut node = relaying();
    assert!(node.hear(B, 2, &direct(7, tcp(lla(2), 80))).is_empty());
    let mixed =
        Answer::Locators(vec![tcp(lla(3), 80), tcp(gua(3), 80), Locator::tcp("169.254.1.1".parse().unwrap(), 80)]);
    assert_eq!(diverted(&node.hear(B, 3, &told(7, 60_000, mixed))), [tcp(gua(3), 80)]);
    assert_eq!(diverted(&node.hear(C, 9, &disc(8, gua(8), "EX1", 6))), [tcp(gua(3), 80)]);
}

/// G-DISC-23: what the relay does not believe it does not pass on.
#[test]
fn distrusted_addresses_are_not_passed_on() {
    let settings = DiscoverySettings { domain: Some((gua(0), 64)), ..DiscoverySettings::default() };
    let mut node = Driver::discovery_with(&[A, B], DiscoveryConfig { settings, ..DiscoveryConfig::default() });
    node.hear(A, 9, &disc(7, gua(9), "EX1", 6));
    for address in ["2001:db8:1::1", "::1", "ff02::13", "::"] {
        let locator = tcp(address.parse::<Ipv6Addr>().unwrap(), 80);
        assert!(node.hear(B, 2, &direct(7, locator)).is_empty(), "{address}");
    }
}

/// G-DIVT-05, G-DIVT-06, G-DIVT-07: nothing that may mean something else elsewhere stands in a divert.
#[test]
fn names_and_addresses_valid_here_only_are_not_diverted() {
    let v4 = Locator::tcp("192.0.2.9".parse().unwrap(), 80);
    let cases = [
        (fqdn("printer.local"), false),
        (fqdn("Printer.LOCAL."), false),
        (fqdn("localhost"), false),
        (fqdn("local.example.com"), true),
        (fqdn("notlocal"), true),
        (uri("http://x.local/"), false),
        (uri("http://user@x.Local:80/a?b"), false),
        (uri("coap://[fe80::1]:5683/"), false),
        (uri("coap://[fe80::1%25eth0]/"), false),
        (uri("http://127.0.0.1:80/"), false),
        (uri("coap://[2001:db8::1]/"), true),
        (uri("https://example.com/x.local"), true),
    ];
    for (locator, told) in cases {
        let mut node = relaying();
        assert_eq!(diverted(&node.hear(B, 2, &direct(7, locator.clone()))).len(), usize::from(told), "{locator}");
        let cached = node.hear(A, 9, &disc(8, gua(9), "EX1", 6));
        assert_eq!(responses(&cached).len(), usize::from(told), "{locator}");
    }
    for (internal_nat4, told) in [(false, 1), (true, 0)] {
        let settings = DiscoverySettings { internal_nat4, ..DiscoverySettings::default() };
        let mut node = Driver::discovery_with(&[A, B], DiscoveryConfig { settings, ..DiscoveryConfig::default() });
        node.hear(A, 9, &disc(7, gua(9), "EX1", 6));
        assert_eq!(diverted(&node.hear(B, 2, &direct(7, v4.clone()))).len(), told);
    }
}

/// G-DCAC-13, G-DRSP-09: what was passed on is remembered; the next question is diverted, not relayed.
#[test]
fn relay_remembers_what_it_passed_on() {
    let mut node = relaying();
    node.hear(B, 2, &direct(7, tcp(gua(2), 80)));
    let outputs = node.hear(A, 8, &disc(8, gua(8), "EX1", 6));
    assert_eq!(diverted(&outputs), [tcp(gua(2), 80)]);
    assert!(multicasts(&outputs).is_empty());
}

/// G-DRSP-10, G-DREL-10: a relayed question that comes back by another way is neither answered from what its answers taught,
/// nor relayed again; the same question under a new session id is answered there.
#[test]
fn question_that_comes_round_is_not_answered_from_its_own_answers() {
    let mut node = relaying();
    node.hear(B, 2, &direct(7, tcp(gua(2), 80)));
    assert!(node.hear(C, 5, &disc(7, gua(9), "EX1", 4)).is_empty());
    assert_eq!(diverted(&node.hear(C, 5, &disc(8, gua(9), "EX1", 4))), [tcp(gua(2), 80)]);
}

/// G-DRSP-10, T-35: an entry is not told on the link it came from; the question is relayed instead. LC 1 still diverts.
#[test]
fn entry_is_not_told_where_it_was_learned() {
    let mut node = relaying();
    node.hear(B, 2, &direct(7, tcp(gua(2), 80)));
    let outputs = node.hear(B, 8, &disc(8, gua(8), "EX1", 6));
    assert!(responses(&outputs).is_empty());
    assert_eq!(multicasts(&outputs).iter().map(|(link, _)| *link).collect::<Vec<_>>(), [A, C]);
    assert_eq!(diverted(&node.hear(C, 8, &disc(9, gua(8), "EX1", 1))).len(), 1, "G-DRSP-18");
}

/// G-DCAC-11, T-24: a divert lives no longer than the shortest of what it holds, and is never 0.
#[test]
fn divert_lives_no_longer_than_its_locators() {
    let mut node = relaying();
    node.hear(B, 2, &told(7, 5_000, Answer::Locators(vec![tcp(gua(2), 80)])));
    node.hear(C, 3, &told(7, 0, Answer::Locators(vec![tcp(gua(3), 80)])));
    for (time, expected) in [(3_000, 2_000), (4_999, 1), (5_000, 595_000)] {
        node.run_to(at(time));
        let (_, _, answer) = responses(&node.hear(A, 8, &disc(8, gua(8), "EX1", 1))).remove(0);
        assert!(matches!(answer, Message::Response { ttl, .. } if ttl == expected), "{answer:?} at {time}");
    }
    node.now = grasp::protocol::Time(std::time::Duration::from_nanos(604_999_999_999 - 5_000_000_000));
    let (_, _, answer) = responses(&node.hear(A, 8, &disc(9, gua(8), "EX1", 1))).remove(0);
    assert!(matches!(answer, Message::Response { ttl: 1.., .. }), "{answer:?}");
}

/// T-36: after the asker has refused an answer it gets no more, and the question is still not relayed again.
#[test]
fn refused_asker_gets_no_more_answers() {
    let mut node = relaying();
    node.feed(Input::Unanswerable { source: source(9, A) });
    assert!(node.hear(B, 2, &direct(7, tcp(gua(2), 80))).is_empty());
    assert!(node.hear(C, 9, &disc(7, gua(9), "EX1", 5)).is_empty());
}

/// G-DREL-14: very many answers are bounded and counted.
#[test]
fn answers_to_one_question_are_bounded() {
    let mut node = relaying();
    let mut sent = 0;
    for n in 2..1_500 {
        sent += node.hear(B, 2, &direct(7, tcp(gua(n), 80))).len();
    }
    assert_eq!(sent, 1_000);
    assert!(node.core.counters().answers_full > 0 && node.core.cache().len() <= 1_000);
}

/// G-RATE-01, G-RATE-04, T-42: a flood of questions is relayed at the configured rate, the excess counted; local
/// questions are answered all the same, and duplicates take no token.
#[test]
fn relaying_is_limited_and_answering_is_not() {
    let mut node = Driver::discovery(&[A, B]);
    let announcement = Announcement { ttl: 1, local: false, asas: [AsaHandle(2)].into(), rapid: None };
    node.feed(Input::Local { name: "mine".into(), announcement: Some(announcement) });
    let mut relayed = 0;
    for n in 0..1_000u32 {
        node.run_to(at(n.into()));
        let peer = u16::try_from(n % 10).unwrap() + 10;
        let question = disc(n, gua(9), "EX1", 2);
        relayed += multicasts(&node.hear(A, peer, &question)).len();
        node.hear(A, peer, &question);
        assert_eq!(responses(&node.hear(A, peer, &disc(n, gua(8), "mine", 6))).len(), 1);
    }
    assert!((100..=150).contains(&relayed), "{relayed}");
    let counters = node.core.counters();
    assert_eq!(counters.relayed, u64::try_from(relayed).unwrap());
    assert!(counters.relays_refused > 800 && counters.duplicates == counters.relayed);
}

/// G-RATE-05: a noisy neighbour does not take the quiet one's share.
#[test]
fn quiet_neighbour_is_relayed_beside_a_noisy_one() {
    let mut node = Driver::discovery(&[A, B]);
    let mut quiet = 0;
    for n in 0..5_000u32 {
        node.run_to(at(n.into()));
        node.hear(A, 10, &disc(n, gua(10), "EX1", 2));
        if n % 100 == 0 {
            quiet += multicasts(&node.hear(A, 11, &disc(n, gua(11), "EX1", 2))).len();
        }
    }
    assert_eq!(quiet, 50);
}

/// G-RATE-01: relays in progress and remembered questions are bounded, and the bounds are counted.
#[test]
fn relays_in_progress_are_bounded() {
    let config = DiscoveryConfig { relays_max: 2, seen_capacity: 3, ..DiscoveryConfig::default() };
    let mut node = Driver::discovery_with(&[A, B], config);
    let relayed: Vec<_> = (0..3).map(|n| node.hear(A, 9, &disc(n, gua(9), "EX1", 2)).len()).collect();
    assert_eq!(relayed, [1, 1, 0]);
    assert_eq!(node.core.counters().relays_full, 1);
    for n in 10..14 {
        node.run_to(at(u64::from(n) * 1000));
        node.hear(A, 9, &disc(n, gua(9), "EX1", 2));
    }
    assert_eq!(node.core.counters().seen_evicted, 3);
}

/// G-RATE-03, T-42: a bucket gives its burst at once and its rate in the long run.
#[test]
fn bucket_gives_burst_then_rate() {
    let mut bucket = Bucket::new(ms(100), 5);
    assert_eq!((0..20).filter(|_| bucket.take(at(0))).count(), 5);
    assert!(!bucket.take(at(99)) && bucket.take(at(100)) && !bucket.take(at(100)));
    let mut bucket = Bucket::new(ms(100), 5);
    assert_eq!((0..10_000).filter(|n| bucket.take(at(*n))).count(), 104);
    let mut odd = Bucket::new(std::time::Duration::MAX, u32::MAX);
    assert!(odd.take(at(0)));
}

/// G-RATE-05: the limiter tracks a bounded number of neighbours and never gives more than the total.
#[test]
fn limiter_is_bounded_by_the_total() {
    let mut limiter = RelayLimiter::new(RelayRate { per_second: 10, burst: 20 });
    let admitted = (0..5_000u16).filter(|n| limiter.admit(at(0), A, gua(*n).into())).count();
    assert_eq!((admitted, limiter.refused), (20, 4_980));
}

/// G-FREL-08, T-53: an origin is remembered for 120 s, and no longer.
#[test]
fn origins_are_remembered_for_two_minutes() {
    let mut seen = Seen::new(2);
    let origin = |n| (n, IpAddr::V6(gua(1)), 0);
    assert!(seen.insert(at(0), origin(1)) && !seen.insert(at(119_999), origin(1)));
    assert!(!seen.contains(at(120_000), &origin(1)) && seen.insert(at(120_000), origin(1)));
    assert!(seen.insert(at(120_000), origin(2)) && seen.insert(at(120_000), origin(3)));
    assert_eq!(seen.evicted, 1);
}

/// G-DREL-18, G-DISC-21: three relays in a row reach as far as the loop count, and each takes one.
#[test]
fn each_hop_repeats_the_procedure() {
    let mut raw = disc(7, gua(9), "EX1", 4).encode();
    for left in (1..4).rev() {
        let mut relay = Driver::discovery(&[A, B]);
        let sent = multicasts(&relay.hear_raw(A, source(9, A), &raw));
        raw = sent[0].1.clone();
        assert_eq!(message(&raw), disc(7, gua(9), "EX1", left));
    }
    assert!(Driver::discovery(&[A, B]).hear_raw(A, source(9, A), &raw).is_empty());
}

/// G-SID-13: an own question on its way does not keep others' questions from being relayed, nor take their answers.
#[test]
fn own_and_relayed_questions_do_not_mix() {
    let mut node = relaying();
    node.feed(Input::Discover(Question {
        request: 1,
        asker: AsaHandle(1),
        objective: Objective::discovery("EX2"),
        session_ids: vec![8],
        timeout: ms(1000),
        minimum_ttl: None,
        scope: Scope::All,
        direct_only: false,
    }));
    assert_eq!(diverted(&node.hear(B, 2, &direct(7, tcp(gua(2), 80)))).len(), 1);
    node.run_to(at(999));
    assert!(found(&node.jump())[0].1.locators.is_empty());
}
