//! One negotiation, request to accept, over kernel TCP on loopback; beside it the same bytes without GRASP.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results and exports nothing"
)]

mod common;
#[path = "common/domain.rs"]
mod domain;

use actix::System;
use common::{Exchange, Place, Ready, bare, configured, locator, node_over, rates};
use criterion::{Criterion, criterion_group, criterion_main};
use grasp::substrate::quads::GroupKey;
use grasp::substrate::{InsecureLab, Quads, Substrate};
use grasp::wire::{EndOption, Limits, Message};
use grasp::{Negotiated, Objective, Registration, Value};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// ASA tasks that wait for requests.
const LISTENERS: usize = 16;

fn objective() -> Objective {
    Objective::negotiation("32473:bn").with_value(Value::item(&("NZD", 100)).unwrap())
}

fn serve(substrate: Arc<dyn Substrate>, ready: Ready<u16>) {
    let grasp = node_over("responder", substrate);
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

async fn ours(place: Place, [requester, responder]: [Arc<dyn Substrate>; 2]) -> Exchange {
    let peer = Rc::new(locator(place.run(move |ready| serve(responder, ready)).await));
    let asa = node_over("requester", requester).register_asa("requester").await.unwrap();
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    Rc::new(move || {
        let (asa, peer) = (asa.clone(), peer.clone());
        Box::pin(async move {
            let result = asa.request_negotiate(&objective(), Some(&peer), Duration::ZERO).await.unwrap();
            assert!(matches!(result, Negotiated::Accepted(_)));
        })
    })
}

fn clear() -> [Arc<dyn Substrate>; 2] {
    [Arc::new(InsecureLab), Arc::new(InsecureLab)]
}

fn quads() -> [Arc<dyn Substrate>; 2] {
    [0; 2].map(|_| Arc::new(Quads::new(GroupKey::from_bytes([7; 32]), Limits::default())) as Arc<dyn Substrate>)
}

/// What protection costs: a ciphertext for each message, a full handshake for each negotiation, or one that resumes a session.
fn protection(_: &mut Criterion) {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for (place, label) in [(Place::Apart, "two threads"), (Place::Together, "one thread")] {
        System::new().block_on(async {
            let kinds = [
                ("clear text", ours(place, clear()).await),
                ("QUADS", ours(place, quads()).await),
                ("TLS, resumed", ours(place, domain::members(4_096)).await),
                ("TLS, in full", ours(place, domain::members(0)).await),
            ];
            rates(&format!("negotiation, {label}"), &kinds).await;
        });
    }
}

fn negotiation(criterion: &mut Criterion) {
    let session_id = 0x7a5a_5a5a;
    let request = Message::RequestNegotiation { session_id, objective: objective() }.encode();
    let answer = Message::End { session_id, option: EndOption::Accept }.encode();
    common::run(criterion, "negotiation", move |place| {
        let (request, answer) = (request.clone(), answer.clone());
        Box::pin(async move { (ours(place, clear()).await, bare(place, request, answer).await) })
    });
}

criterion_group!(name = benches; config = configured(); targets = protection, negotiation);
criterion_main!(benches);
