//! Nodes on the fabric under a paused clock: the flows of the protocol from one API to the other.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::net::memory::{Conditions, Fabric, FabricNode};
use grasp::substrate::InsecureLab;
use grasp::{ErrorCode, Grasp, Negotiated, NodeConfig, Objective, Registration, Step, Value};
use std::sync::Arc;
use std::time::Duration;

/// Runs a future in an actix system on a paused clock.
fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

fn node(name: &str, place: &FabricNode) -> Grasp {
    let config = NodeConfig { name: name.into(), seed: Some([name.len() as u8; 32]), ..NodeConfig::default() };
    Grasp::start(config, Arc::new(place.clone()), Arc::new(InsecureLab)).unwrap()
}

const NO_LIMIT: Duration = Duration::ZERO;

#[test]
fn two_nodes_negotiate() {
    paused(async {
        let fabric = Fabric::new(1);
        let link = fabric.link(Conditions { latency: Duration::from_millis(5), ..Conditions::default() });
        let (a, b) = (node("a", &fabric.node(&[link])), node("bb", &fabric.node(&[link])));
        let objective = Objective::negotiation("32473:money");
        let (asa_a, asa_b) = (a.register_asa("A").await.unwrap(), b.register_asa("B").await.unwrap());
        asa_a.register_objective(&objective, Registration::default()).await.unwrap();
        asa_b.register_objective(&objective, Registration::default()).await.unwrap();
        let served = objective.clone();
        actix::spawn(async move {
            let (session, request) = asa_b.listen_negotiate(&served).await.unwrap();
            assert_eq!(request.value.unwrap().decode::<u64>().unwrap(), 100);
            session.negotiate_wait(Duration::from_secs(2)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let offer = served.clone().with_value(Value::item(&50).unwrap());
            let step = session.negotiate_step(&offer, NO_LIMIT).await.unwrap();
            let Step::Offered(counter) = step else { panic!("{step:?}") };
            assert_eq!(counter.loop_count, 4);
            session.end_negotiate(true, None).await.unwrap();
            assert_eq!(session.end_negotiate(true, None).await.unwrap_err().code, ErrorCode::NoSession);
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ask = objective.clone().with_value(Value::item(&100).unwrap());
        let Negotiated::Offered(session, offer) = asa_a.request_negotiate(&ask, None, NO_LIMIT).await.unwrap() else {
            panic!("accepted at once")
        };
        assert_eq!((offer.loop_count, offer.value.unwrap().decode::<u64>().unwrap()), (5, 50));
        let counter = objective.clone().with_value(Value::item(&75).unwrap());
        let Step::Accepted(agreed) = session.negotiate_step(&counter, NO_LIMIT).await.unwrap() else { panic!("offer") };
        assert_eq!(agreed.value.unwrap().decode::<u64>().unwrap(), 75);
        drop(session);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(a.status().await.unwrap().sessions, 0);
        assert_eq!(b.status().await.unwrap().sessions, 0);
    });
}

#[test]
fn a_line_of_three_synchronizes_and_floods() {
    paused(async {
        let fabric = Fabric::new(1);
        let (left, right) = (fabric.link(Conditions::default()), fabric.link(Conditions::default()));
        let a = node("a", &fabric.node(&[left]));
        let relay = node("re", &fabric.node(&[left, right]));
        let b = node("bbb", &fabric.node(&[right]));
        let (asa_a, asa_b) = (a.register_asa("A").await.unwrap(), b.register_asa("B").await.unwrap());
        let objective = Objective::synchronization("32473:value");
        asa_b.register_objective(&objective, Registration::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let value = objective.clone().with_value(Value::item("hello").unwrap());
        asa_b.listen_synchronize(&value).await.unwrap();
        let got = asa_a.synchronize(&objective, None, NO_LIMIT).await.unwrap();
        assert_eq!(got.value, value.value);
        let flooded = objective.clone().with_value(Value::item("flooded").unwrap());
        asa_b.flood(10_000, vec![(flooded, None)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let copies = asa_a.get_flood(&objective).await.unwrap();
        assert_eq!(copies[0].objective.value.as_ref().unwrap().decode::<String>().unwrap(), "flooded");
        assert_eq!(copies[0].objective.loop_count, 5);
        let status = relay.status().await.unwrap();
        assert_eq!((status.counters["discovery_relayed"], status.counters["flood_relayed"]), (1, 1));
        for node in [a, relay, b] {
            node.shutdown(Duration::from_secs(1)).await;
        }
    });
}
