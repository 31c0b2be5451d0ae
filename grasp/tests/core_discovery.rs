//! Asking, answering and remembering: RFC 8990 §2.5.4.3, §2.8.4, §2.8.5; RFC 8991 §2.3.4.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::cache::{DiscoveryCache, Entry};
use grasp::protocol::discovery::{Discovery, DiscoveryConfig, DiscoverySettings, Input, Output, Question, Scope};
use grasp::protocol::{Announcement, Machine, Topology};
use grasp::wire::{Answer, Locator, Message, Objective};
use std::net::IpAddr;
use support::asking::*;
use support::*;

const V02: &str =
    "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c123";

fn answers(outputs: &[Output]) -> Vec<Locator> {
    found(outputs).into_iter().flat_map(|(_, found)| found.locators).map(|l| l.locator).collect()
}

/// What is known of EX1 without asking anybody.
fn known(node: &mut Driver<Discovery>) -> Vec<Locator> {
    let outputs = node.feed(Input::Discover(ask(&[], 0)));
    assert!(multicasts(&outputs).is_empty());
    answers(&outputs)
}

/// Asks for EX1 and hears one answer on link B.
fn learned(ttl: u32, locator: Locator) -> Driver<Discovery> {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(Input::Discover(Question { scope: Scope::First, ..ask(&[7], 1000) }));
    node.hear(B, 2, &direct(7, ttl, locator));
    node
}

/// G-DISC-01, G-DISC-02, G-DISC-03, G-DISC-05, G-DISC-06, G-SID-11: one multicast on each link, with the node's global
/// address, the default loop count and one objective without a value.
#[test]
fn question_goes_to_every_link() {
    let mut node = Driver::discovery(&[A, B]);
    let sent = multicasts(&node.feed(Input::Discover(ask(&[7], 1000))));
    assert_eq!(sent.iter().map(|(link, _)| *link).collect::<Vec<_>>(), [A, B]);
    for (_, raw) in sent {
        assert_eq!(message(&raw), disc(7, gua(1), "EX1", 6));
    }
}

/// G-DISC-04, T-12: without a global address each copy carries the link's own.
#[test]
fn initiator_without_global_address_is_the_links() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(Input::Topology(Topology { global: None, ..topology(&[A, B]) }));
    let sent = multicasts(&node.feed(Input::Discover(ask(&[7], 1000))));
    let initiators: Vec<_> = sent.iter().map(|(_, raw)| message(raw)).collect();
    assert_eq!(initiators, [disc(7, lla(0x101), "EX1", 6), disc(7, lla(0x102), "EX1", 6)]);
}

/// G-DISC-07: a question for the link only has loop count 1 on the wire.
#[test]
fn loop_count_of_the_question_is_kept() {
    let mut node = Driver::discovery(&[A]);
    let objective = Objective::discovery("EX1").with_loop_count(1);
    let sent = multicasts(&node.feed(Input::Discover(Question { objective, ..ask(&[7], 1000) })));
    assert_eq!(message(&sent[0].1), disc(7, gua(1), "EX1", 1));
}

/// G-DISC-08, A-DISC-05: silence ends at the timeout with an empty list, and the session id is given back.
#[test]
fn silence_ends_with_an_empty_list() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7], 600)));
    assert!(node.run_to(at(599)).is_empty());
    let (when, last): (Vec<_>, Vec<_>) = node.run_to(at(10_000)).into_iter().unzip();
    assert!(when.iter().all(|t| *t == at(600)));
    assert!(last.contains(&Output::Release(vec![7])) && answers(&last).is_empty() && found(&last).len() == 1);
    assert_eq!(node.core.deadline(), None);
}

/// G-DISC-09, G-DISC-10, G-DISC-11, G-DISC-12, G-SID-12: repetitions start after 100 ms a loop count, at least double
/// their distance, each with its own session id, and end with the ids.
#[test]
fn repetitions_back_off_under_new_session_ids() {
    let mut node = Driver::discovery(&[A]);
    let first = multicasts(&node.feed(Input::Discover(ask(&[7, 8, 9, 10], 60_000))));
    let mut sent: Vec<_> = first.into_iter().map(|(_, raw)| (at(0), message(&raw).session_id())).collect();
    for (when, output) in node.run_to(at(60_000)) {
        sent.extend(multicasts(&[output]).into_iter().map(|(_, raw)| (when, message(&raw).session_id())));
    }
    let expected = [(at(0), Some(7)), (at(600), Some(8)), (at(1_800), Some(9)), (at(4_200), Some(10))];
    assert_eq!(sent, expected);
}

/// G-DISC-10: an answered question is not repeated, and an answer to its first try still counts after the second.
#[test]
fn answered_question_is_not_repeated() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7, 8, 9], 5_000)));
    node.run_to(at(700));
    node.hear(A, 2, &direct(7, 60_000, tcp(gua(2), 80)));
    let rest: Vec<_> = node.run_to(at(5_000)).into_iter().map(|(_, output)| output).collect();
    assert!(multicasts(&rest).is_empty());
    assert_eq!(answers(&rest), [tcp(gua(2), 80)]);
}

/// G-DISC-13, G-DCAC-06, G-DCAC-07, A-DISC-04, A-DISC-08: all answers until the timeout are returned, with the link.
#[test]
fn all_answers_until_the_timeout_are_returned() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(Input::Discover(ask(&[7], 1000)));
    for n in 2..12 {
        node.run_to(at(u64::from(n) * 50));
        assert!(found(&node.hear(B, n, &direct(7, 60_000, tcp(gua(n), 80)))).is_empty());
    }
    let (_, found) = found(&node.jump()).pop().unwrap();
    assert_eq!(node.now, at(1000));
    assert_eq!(found.locators.len(), 10);
    let best = &found.locators[0];
    assert_eq!((&best.locator, best.interface, best.diverted), (&tcp(gua(11), 80), B, false));
    assert_eq!(best.expires, Some(at(550 + 60_000)));
}

/// T-38: an internal question ends with the first usable locator; another whose answer is cached is not asked.
#[test]
fn first_usable_locator_ends_an_internal_question() {
    let mut node = Driver::discovery(&[A]);
    let question = Question { scope: Scope::First, ..ask(&[7], 1000) };
    node.feed(Input::Discover(question.clone()));
    let outputs = node.hear(A, 2, &direct(7, 60_000, tcp(gua(2), 80)));
    assert_eq!(answers(&outputs), [tcp(gua(2), 80)]);
    let again = node.feed(Input::Discover(Question { session_ids: vec![8], ..question }));
    assert!(multicasts(&again).is_empty(), "G-DCAC-02");
    assert_eq!(answers(&again), [tcp(gua(2), 80)]);
    assert!(again.contains(&Output::Release(vec![8])));
}

/// G-DISC-15: an initiator that wants direct answers only ignores diverts, whether heard now or before.
#[test]
fn diverts_may_be_ignored() {
    let mut node = Driver::discovery(&[A]);
    let divert = |sid| response(sid, 60_000, Answer::Divert(vec![tcp(gua(2), 80)]));
    node.feed(Input::Discover(Question { direct_only: true, ..ask(&[7], 1000) }));
    node.hear(A, 3, &divert(7));
    assert!(answers(&node.jump()).is_empty());
    node.feed(Input::Discover(ask(&[8], 1000)));
    node.hear(A, 3, &divert(8));
    assert_eq!(answers(&node.jump()), [tcp(gua(2), 80)]);
    assert!(answers(&node.feed(Input::Discover(Question { direct_only: true, ..ask(&[], 0) }))).is_empty());
    // Nor does a divert end a question that one direct answer would end.
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(Question { direct_only: true, scope: Scope::First, ..ask(&[9], 1000) }));
    assert!(node.hear(A, 3, &divert(9)).is_empty());
    let outputs = node.hear(A, 4, &direct(9, 60_000, tcp(gua(4), 80)));
    assert_eq!(answers(&outputs), [tcp(gua(4), 80)]);
}

/// G-DISC-16, G-SID-02, G-SID-13: an answer counts only with the question's session id and initiator.
#[test]
fn unasked_answers_are_dropped() {
    let mut node = Driver::discovery(&[A]);
    node.hear_raw(A, source(2, A), &bytes(V02));
    node.feed(Input::Discover(ask(&[7], 1000)));
    node.hear(A, 2, &direct(8, 60_000, tcp(gua(2), 80)));
    let answer = Answer::Locators(vec![tcp(gua(2), 80)]);
    let initiator = IpAddr::V6(gua(9));
    node.hear(A, 2, &Message::Response { session_id: 7, initiator, ttl: 60_000, answer, objective: None });
    assert!(answers(&node.jump()).is_empty());
    assert_eq!((node.core.counters().unexpected, node.core.cache().len()), (3, 0));
}

/// G-DISC-17, G-DISC-18: a copy of the objective changes nothing, and locators of all kinds are recorded.
#[test]
fn answers_of_any_shape_are_recorded() {
    let fqdn = Locator::Fqdn { name: "a.example".into(), transport: grasp::wire::Transport::Tcp, port: 443 };
    let answer = Answer::Locators(vec![tcp(gua(2), 80), fqdn.clone()]);
    for objective in [None, Some(Objective::synchronization("EX1").with_value(value(0)))] {
        let mut node = Driver::discovery(&[A]);
        node.feed(Input::Discover(ask(&[7], 1000)));
        let (initiator, answer) = (IpAddr::V6(gua(1)), answer.clone());
        node.hear(A, 2, &Message::Response { session_id: 7, initiator, ttl: 60_000, answer, objective });
        assert_eq!(answers(&node.jump()), [tcp(gua(2), 80), fqdn.clone()]);
    }
}

/// G-DISC-19, T-13: the node's own question is neither answered nor relayed when it comes back, on any link, also
/// without a global address.
#[test]
fn own_question_is_recognised_on_every_link() {
    for global in [Some(gua(1)), None] {
        let mut node = Driver::discovery(&[A, B]);
        node.feed(Input::Topology(Topology { global, ..topology(&[A, B]) }));
        node.feed(local("EX1", announce(60_000)));
        let sent = multicasts(&node.feed(Input::Discover(ask(&[7], 1000))));
        for (_, raw) in sent {
            for link in [A, B] {
                assert!(node.hear_raw(link, source(9, link), &raw).is_empty());
                let relayed = grasp::wire::with_loop_count(&raw, 5).unwrap();
                assert!(node.hear_raw(link, source(9, link), &relayed).is_empty());
            }
        }
        assert_eq!(node.core.counters().own_heard, 8);
    }
}

/// G-DISC-20: an answer after the timeout disturbs nothing.
#[test]
fn late_answer_is_dropped() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7], 1000)));
    node.jump();
    node.feed(Input::Discover(Question { request: 2, ..ask(&[8], 1000) }));
    assert!(node.hear(A, 2, &direct(7, 60_000, tcp(gua(2), 80))).is_empty());
    assert!(answers(&node.jump()).is_empty());
}

/// G-DISC-22, T-24: a ttl of 0 means ten minutes.
#[test]
fn ttl_zero_lives_ten_minutes() {
    let mut node = learned(0, tcp(gua(2), 80));
    node.run_to(at(599_999));
    assert_eq!(known(&mut node), [tcp(gua(2), 80)]);
    node.run_to(at(600_000));
    assert!(known(&mut node).is_empty());
}

/// G-DISC-23: addresses outside the domain are not believed, nor are those that are no node's.
#[test]
fn foreign_addresses_are_not_believed() {
    let settings = DiscoverySettings { domain: Some((gua(0), 64)), ..DiscoverySettings::default() };
    let config = DiscoveryConfig { settings, ..DiscoveryConfig::default() };
    for (address, believed) in
        [("2001:db8::99", true), ("2001:db8:1::1", false), ("fd00::1", false), ("ff02::1", false), ("fe80::2", true)]
    {
        let mut node = Driver::discovery_with(&[A], config.clone());
        node.feed(Input::Discover(ask(&[7], 1000)));
        node.hear(A, 2, &direct(7, 60_000, tcp(address.parse().unwrap(), 80)));
        assert_eq!(answers(&node.jump()).len(), usize::from(believed), "{address}");
        assert_eq!(node.core.counters().distrusted, u64::from(!believed));
    }
    for address in ["::", "::1", "ff0e::1", "127.0.0.1", "0.0.0.0", "224.0.0.119"] {
        let node = learned(60_000, Locator::tcp(address.parse().unwrap(), 80));
        assert!(node.core.cache().is_empty(), "{address}");
    }
}

/// G-DCAC-01, A-DISC-03: cached locators come without asking, with the link they were heard on.
#[test]
fn timeout_zero_reads_the_cache() {
    let mut node = learned(60_000, tcp(gua(2), 80));
    let (_, found) = found(&node.feed(Input::Discover(ask(&[], 0)))).remove(0);
    assert_eq!((found.locators[0].interface, found.locators.len()), (B, 1));
    let mut empty = Driver::discovery(&[A]);
    assert!(known(&mut empty).is_empty());
}

/// G-DCAC-03, G-DCAC-04: an entry lives as long as its ttl, not longer.
#[test]
fn entries_expire() {
    let mut node = learned(2_000, tcp(gua(2), 80));
    node.run_to(at(1_000));
    assert_eq!(known(&mut node).len(), 1);
    node.run_to(at(3_000));
    assert!(known(&mut node).is_empty());
    let outputs = node.hear(A, 3, &disc(9, gua(3), "EX1", 6));
    assert!(responses(&outputs).is_empty(), "an expired entry is not diverted");
    assert_eq!(multicasts(&outputs).len(), 1);
}

/// G-DCAC-09, G-DCAC-10: a full cache drops the oldest and counts it; a dead locator can be removed.
#[test]
fn cache_is_bounded() {
    let mut node = Driver::discovery_with(&[A], DiscoveryConfig { cache_capacity: 3, ..DiscoveryConfig::default() });
    node.feed(Input::Discover(ask(&[7], 10_000)));
    for n in 2..7 {
        node.run_to(at(n.into()));
        node.hear(A, n, &direct(7, 60_000, tcp(gua(n), 80)));
    }
    assert_eq!(known(&mut node), [6, 5, 4].map(|n| tcp(gua(n), 80)));
    assert_eq!((node.core.cache().len(), node.core.counters().cache_evicted), (3, 2));
    node.feed(Input::Dead { name: "EX1".into(), locator: tcp(gua(5), 80) });
    assert_eq!(known(&mut node), [6, 4].map(|n| tcp(gua(n), 80)));
    node.feed(Input::Flush { name: "EX1".into() });
    assert!(node.core.cache().is_empty());
}

/// G-DCAC-12: a locator heard twice is one entry, and the later answer sets its lifetime.
#[test]
fn second_answer_refreshes() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7], 5_000)));
    node.hear(A, 2, &direct(7, 2_000, tcp(gua(2), 80)));
    node.run_to(at(1_000));
    node.hear(A, 2, &direct(7, 2_000, tcp(gua(2), 80)));
    node.run_to(at(2_500));
    assert_eq!(known(&mut node).len(), 1);
    node.run_to(at(3_000));
    assert!(known(&mut node).is_empty());
}

/// G-DCAC-08, T-41: direct before diverted, then the latest heard.
#[test]
fn best_locator_comes_first() {
    let mut cache = DiscoveryCache::new(10);
    for (n, diverted, heard) in [(2, true, 9), (3, false, 1), (4, false, 5)] {
        let (locator, expires) = (tcp(gua(n), 80), at(100));
        cache.insert(at(heard), "o", Entry { locator, link: A, diverted, heard: at(heard), expires });
    }
    let order: Vec<_> = cache.get(at(10), "o").into_iter().map(|entry| entry.locator.clone()).collect();
    assert_eq!(order, [4, 3, 2].map(|n| tcp(gua(n), 80)));
}

/// A-DISC-02, A-DISC-06, T-39: what lives no longer than the minimum is deleted; 0 deletes all.
#[test]
fn minimum_ttl_flushes() {
    for (minimum, kept) in
        [(None, 1), (Some(1), 1), (Some(30_000), 1), (Some(60_000), 0), (Some(90_000), 0), (Some(0), 0)]
    {
        let mut node = learned(60_000, tcp(gua(2), 80));
        let minimum_ttl = minimum.map(ms);
        let outputs = node.feed(Input::Discover(Question { minimum_ttl, ..ask(&[], 0) }));
        assert_eq!(answers(&outputs).len(), kept, "{minimum:?}");
        assert_eq!(node.core.cache().len(), kept);
    }
}

/// T-40: other ASAs of this node are found without the network, the asker's own listeners are not.
#[test]
fn own_node_is_found_but_not_oneself() {
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", announce(1)));
    assert_eq!(known(&mut node), [tcp(gua(1), 7017)]);
    node.feed(local("EX1", Announcement { asas: [ASKER].into(), ..announce(1) }));
    assert!(known(&mut node).is_empty());
}

/// T-40: the node's own port, told back by a neighbour's cache, is not taken for another node.
#[test]
fn own_locator_told_back_is_ignored() {
    for locator in [tcp(gua(1), 7017), tcp(lla(0x102), 7017)] {
        let node = learned(60_000, locator);
        assert!(node.core.cache().is_empty());
    }
    let other_instance = learned(60_000, tcp(gua(1), 7018));
    assert_eq!(other_instance.core.cache().len(), 1);
}

/// G-DIVT-04, G-DIVT-10, T-37: diverted locators are marked; a link-local one in a divert is not used.
#[test]
fn diverted_locators_are_marked_and_never_link_local() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7], 1000)));
    node.hear(A, 3, &response(7, 9_000, Answer::Divert(vec![tcp(gua(2), 80), tcp(lla(2), 80), tcp(gua(2), 80)])));
    node.hear(A, 3, &direct(7, 9_000, tcp(gua(4), 80)));
    let (_, found) = found(&node.jump()).remove(0);
    let seen: Vec<_> = found.locators.into_iter().map(|l| (l.locator, l.diverted)).collect();
    assert_eq!(seen, [(tcp(gua(4), 80), false), (tcp(gua(2), 80), true)]);
}

/// G-RAPD-10: M_SYNCH in place of a response ends the question; after a response it does nothing.
#[test]
fn rapid_answer_counts_only_if_it_comes_first() {
    let objective = Objective::synchronization("EX1").with_value(value(5));
    let synch = Message::Synch { session_id: 7, objective: objective.clone() };
    let question = Question { objective: objective.clone(), scope: Scope::First, ..ask(&[7], 1000) };
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(question.clone()));
    assert_eq!(found(&node.hear(A, 2, &synch))[0].1.rapid, Some(objective));
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(question));
    assert_eq!(found(&node.hear(A, 2, &direct(7, 9_000, tcp(gua(2), 80))))[0].1.rapid, None);
    assert!(node.hear(A, 2, &synch).is_empty());
    assert_eq!(node.core.counters().unexpected, 1);
}

/// T-05, T-21: a question that fits into no datagram, or has no loop count, is refused and never sent.
#[test]
fn impossible_questions_are_refused() {
    let sized = |n: usize| Question { objective: Objective::discovery("x".repeat(n)), ..ask(&[7], 1000) };
    let room = 1232 - disc(u32::MAX, gua(1), &"x".repeat(300), 6).encode().len() + 300;
    assert!(sized(room).check(1232).is_ok() && sized(room + 1).check(1232).is_err());
    let objective = Objective::discovery("EX1").with_loop_count(0);
    assert!(Question { objective, ..ask(&[7], 1000) }.check(1232).is_err());
    let mut node = Driver::discovery(&[A]);
    assert!(node.feed(Input::Discover(sized(2000))).is_empty());
    assert_eq!(node.core.counters().too_long, 1);
    assert_eq!(found(&node.jump()).len(), 1);
}

/// Cancelled questions give their ids back and say nothing more.
#[test]
fn cancelled_question_is_forgotten() {
    let mut node = Driver::discovery(&[A]);
    node.feed(Input::Discover(ask(&[7, 8], 10_000)));
    assert_eq!(node.feed(Input::Cancel { request: 1 }), [Output::Release(vec![7, 8])]);
    assert_eq!(node.core.deadline(), None);
    assert!(node.hear(A, 2, &direct(7, 9_000, tcp(gua(2), 80))).is_empty());
}
