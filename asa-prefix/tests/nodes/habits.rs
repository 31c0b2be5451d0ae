//! What a node does by default, as its neighbours see it.

use super::{Lab, node, p, v6};
use asa_framework::testing;
use asa_prefix::pool::record::State;
use grasp::wire::Flags;
use grasp::{Negotiated, Objective, Registration, Value};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn prefix_manager() -> Objective {
    Objective::negotiation("PrefixManager")
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// PM-W-11, PM-Y-04, PM-R-12, PM-Q-07: requests begin with loop count 6 and are never dry runs; after declines they come at
/// growing intervals.
#[test]
fn requests_are_live_and_come_at_growing_intervals() {
    testing::run(31, async |harness| {
        let (_, class) = Lab::new();
        let peer = harness.peer("miser").await;
        peer.register_objective(&prefix_manager(), Registration::default()).await.unwrap();
        let heard: Rc<RefCell<Vec<(Duration, Objective)>>> = Rc::default();
        let (hears, at, listens) = (heard.clone(), harness.clone(), peer.clone());
        tokio::task::spawn_local(async move {
            while let Ok((session, request)) = listens.listen_negotiate(&prefix_manager()).await {
                hears.borrow_mut().push((at.now(), request));
                session.end_negotiate(false, Some("no")).await.unwrap();
            }
        });
        node(&harness, class, "edge", "delegator", "").await;
        tokio::time::sleep(secs(300)).await;
        let heard = heard.borrow();
        assert!(heard.len() > 4, "{}", heard.len());
        for (_, request) in heard.iter() {
            assert_eq!((request.loop_count, request.flags), (6, Flags::DISC.with(Flags::NEG)));
        }
        let pauses: Vec<Duration> = heard.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses[0] < secs(10) && pauses[pauses.len() - 1] > pauses[0] * 3, "{pauses:?}");
        assert!(heard.len() < 40, "{} requests in five minutes", heard.len());
    });
}

/// PM-O-03, PM-Q-09: who declines an offer, as pfxm3 does with what is longer than it asked for, leaves the block free at once.
#[test]
fn a_declined_offer_leaves_the_block_free() {
    testing::run(32, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/60']").await;
        let peer = harness.peer("choosy").await;
        peer.register_objective(&prefix_manager(), Registration::default()).await.unwrap();
        let found = peer.discover(&prefix_manager(), secs(1), None).await.unwrap();
        let asked = prefix_manager().with_value(Value::item(&(6, 56)).unwrap());
        let answer = peer.request_negotiate(&asked, Some(&found[0]), secs(5)).await.unwrap();
        let Negotiated::Offered(session, offer) = answer else { panic!("{answer:?}") };
        assert_eq!(offer.value.unwrap().as_bytes()[..4], [0x83, 6, 0x18, 60]);
        assert_eq!(lab.blocks("origin").await[0].1.name(), "offered");
        session.end_negotiate(false, Some("insufficient offer")).await.unwrap();
        tokio::time::sleep(secs(1)).await;
        assert_eq!(lab.blocks("origin").await, []);
    });
}

/// PM-P-05, PM-P-10: who comes too late for a flood asks for the parameters; a change counts from the next request on.
#[test]
fn parameters_are_heard_or_asked_for_and_count_from_the_next_request_on() {
    testing::run(33, async |harness| {
        let (lab, class) = Lab::new();
        let roles = |length: u8| format!("prefixes = ['2001:db8::/32']\ndevice_roles = ['RSG /40', 'CSG /{length}']");
        node(&harness, class, "origin", "origin", &format!("{}\nflood_period_s = 3600", roles(58))).await;
        tokio::time::sleep(secs(5)).await;
        // The flood was long before it came, and the next one is an hour away.
        node(&harness, class, "late", "delegator", "").await;
        tokio::time::sleep(secs(20)).await;
        assert_eq!(lab.blocks("origin").await.iter().map(|(block, _)| block.length()).collect::<Vec<_>>(), [58]);
        harness.end("origin").await;
        node(&harness, class, "origin", "origin", &format!("{}\nflood_period_s = 60", roles(57))).await;
        tokio::time::sleep(secs(70)).await;
        node(&harness, class, "later", "delegator", "").await;
        tokio::time::sleep(secs(20)).await;
        let lengths: Vec<u8> = lab.blocks("origin").await.iter().map(|(block, _)| block.length()).collect();
        assert!(lengths.contains(&57) && lengths.contains(&58), "{lengths:?}");
    });
}

/// PM-R-01: roles are data.
#[test]
fn any_role_will_do_that_the_table_has() {
    testing::run(34, async |harness| {
        let (lab, class) = Lab::new();
        let roles = "device_roles = ['XYZ /55', 'RSG /40']";
        let origin = format!("prefixes = ['2001:db8::/32']\ndevice_role = 'RSG'\n{roles}");
        node(&harness, class, "origin", "origin", &origin).await;
        node(&harness, class, "edge", "delegator", &format!("device_role = 'XYZ'\n{roles}")).await;
        tokio::time::sleep(secs(20)).await;
        assert_eq!(lab.blocks("origin").await[0].0, p("2001:db8:ffff:fe00::/55"));
    });
}

/// PM-T-05, PM-S-13: what a client gives back is free when its lifetime has passed.
#[test]
fn what_a_client_gives_back_cools_and_is_free_again() {
    testing::run(35, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/48']\npreferred_s = 60\nvalid_s = 120")
            .await;
        let block = lab.take("origin", "client", v6(64)).await.unwrap();
        tokio::time::sleep(secs(30)).await;
        lab.give("origin", "client", block).await.unwrap();
        assert_eq!(lab.blocks("origin").await[0].1.name(), "cooling");
        tokio::time::sleep(secs(60)).await;
        assert!(matches!(lab.blocks("origin").await[..], [(_, State::Cooling(_))]));
        tokio::time::sleep(secs(60)).await;
        assert_eq!(lab.blocks("origin").await, []);
    });
}

/// PM-D-02: with the parameters alone, no prefix is negotiated.
#[test]
fn a_node_that_takes_part_in_the_parameters_only_negotiates_nothing() {
    testing::run(36, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let manifest = "[asa.edge]\nclass = 'prefix'\nobjectives = ['PrefixManager.Params']\n\
                        [asa.edge.parameters]\nstore = 'memory'";
        harness.node("edge", &[class], manifest).await;
        tokio::time::sleep(secs(120)).await;
        assert_eq!(lab.blocks("origin").await, []);
        let peer = harness.peer("curious").await;
        peer.register_objective(&prefix_manager(), Registration::default()).await.unwrap();
        assert_eq!(peer.discover(&prefix_manager(), secs(1), None).await.unwrap().len(), 1, "only the origin is there");
    });
}
