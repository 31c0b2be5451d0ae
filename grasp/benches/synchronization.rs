//! One synchronization, request to value, over kernel TCP on loopback; beside it the same bytes without GRASP.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results and exports nothing"
)]

mod common;

use common::{Exchange, Place, Ready, bare, configured, locator, node};
use criterion::{Criterion, criterion_group, criterion_main};
use grasp::wire::Message;
use grasp::{Objective, Registration, Value};
use std::rc::Rc;
use std::time::Duration;

fn objective() -> Objective {
    Objective::synchronization("32473:bs")
}

fn value() -> Objective {
    objective().with_value(Value::item(&("NZD", 100)).unwrap())
}

fn serve(ready: Ready<u16>) {
    let grasp = node("server");
    actix::spawn(async move {
        let asa = grasp.register_asa("server").await.unwrap();
        asa.register_objective(&objective(), Registration::default()).await.unwrap();
        asa.listen_synchronize(&value()).await.unwrap();
        ready.send(grasp.status().await.unwrap().port).unwrap();
        std::future::pending::<()>().await;
        drop(asa);
    });
}

async fn ours(place: Place) -> Exchange {
    let peer = Rc::new(locator(place.run(serve).await));
    let asa = node("client").register_asa("client").await.unwrap();
    Rc::new(move || {
        let (asa, peer) = (asa.clone(), peer.clone());
        Box::pin(async move {
            let got = asa.synchronize(&objective(), Some(&peer), Duration::ZERO).await.unwrap();
            assert!(got.value.is_some());
        })
    })
}

fn synchronization(criterion: &mut Criterion) {
    let session_id = 0x7a5a_5a5a;
    let request = Message::RequestSynchronization { session_id, objective: objective() }.encode();
    let answer = Message::Synch { session_id, objective: value() }.encode();
    common::run(criterion, "synchronization", move |place| {
        let (request, answer) = (request.clone(), answer.clone());
        Box::pin(async move { (ours(place).await, bare(place, request, answer).await) })
    });
}

criterion_group!(name = benches; config = configured(); targets = synchronization);
criterion_main!(benches);
