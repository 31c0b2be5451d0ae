//! One negotiation, request to accept, over kernel TCP on loopback; beside it the same bytes without GRASP.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results and exports nothing"
)]

mod common;

use common::{Exchange, Place, Ready, bare, configured, locator, node};
use criterion::{Criterion, criterion_group, criterion_main};
use grasp::wire::{EndOption, Message};
use grasp::{Negotiated, Objective, Registration, Value};
use std::rc::Rc;
use std::time::Duration;

/// ASA tasks that wait for requests.
const LISTENERS: usize = 16;

fn objective() -> Objective {
    Objective::negotiation("32473:bn").with_value(Value::item(&("NZD", 100)).unwrap())
}

fn serve(ready: Ready<u16>) {
    let grasp = node("responder");
    actix::spawn(async move {
        let asa = grasp.register_asa("responder").await.unwrap();
        asa.register_objective(&objective(), Registration::default()).await.unwrap();
        for _ in 0..LISTENERS {
            let asa = asa.clone();
            actix::spawn(async move {
                loop {
                    let (session, _) = asa.listen_negotiate(&objective()).await.unwrap();
                    session.end_negotiate(true, None).await.unwrap();
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        ready.send(grasp.status().await.unwrap().port).unwrap();
    });
}

async fn ours(place: Place) -> Exchange {
    let peer = Rc::new(locator(place.run(serve).await));
    let asa = node("requester").register_asa("requester").await.unwrap();
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    Rc::new(move || {
        let (asa, peer) = (asa.clone(), peer.clone());
        Box::pin(async move {
            let result = asa.request_negotiate(&objective(), Some(&peer), Duration::ZERO).await.unwrap();
            assert!(matches!(result, Negotiated::Accepted(_)));
        })
    })
}

fn negotiation(criterion: &mut Criterion) {
    let session_id = 0x7a5a_5a5a;
    let request = Message::RequestNegotiation { session_id, objective: objective() }.encode();
    let answer = Message::End { session_id, option: EndOption::Accept }.encode();
    common::run(criterion, "negotiation", move |place| {
        let (request, answer) = (request.clone(), answer.clone());
        Box::pin(async move { (ours(place).await, bare(place, request, answer).await) })
    });
}

criterion_group!(name = benches; config = configured(); targets = negotiation);
criterion_main!(benches);
