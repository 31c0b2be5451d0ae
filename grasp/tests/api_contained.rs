//! A panic costs one message, one connection or one session; the node goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fabric;

use fabric::*;
use futures_util::future::BoxFuture;
use grasp::net::ByteStream;
use grasp::protocol::LinkId;
use grasp::recorder::{Event, Record, Recorder};
use grasp::substrate::{Secured, Substrate};
use grasp::wire::{EndOption, Message};
use grasp::{ErrorCode, Grasp, Negotiated, NodeConfig};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use supervision::RestartLimits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

/// Whoever reads this panics.
const BOOM: &str = "32473:boom";

fn has_boom(bytes: &[u8]) -> bool {
    bytes.windows(BOOM.len()).any(|window| window == BOOM.as_bytes())
}

/// A substrate that cannot bear [`BOOM`], nor as many connections as it is told.
#[derive(Default)]
struct Brittle {
    accepts: AtomicUsize,
}

struct BrittleStream(ByteStream);

impl AsyncRead for BrittleStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.0).poll_read(cx, buf);
        assert!(!has_boom(buf.filled()), "read {BOOM}");
        poll
    }
}

impl AsyncWrite for BrittleStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Substrate for Brittle {
    fn name(&self) -> &'static str {
        "brittle"
    }

    fn is_secure(&self) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn seal(&self, _: LinkId, message: Vec<u8>) -> Vec<u8> {
        assert!(!has_boom(&message), "sealed {BOOM}");
        message
    }

    fn open(&self, _: LinkId, datagram: Vec<u8>) -> Option<Vec<u8>> {
        assert!(!has_boom(&datagram), "opened {BOOM}");
        Some(datagram)
    }

    fn connect(&self, stream: ByteStream, _: SocketAddr) -> BoxFuture<'static, io::Result<Secured>> {
        Box::pin(async { Ok(Secured { stream: Box::new(BrittleStream(stream)), member: None }) })
    }

    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>> {
        let fails = self.accepts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        Box::pin(async move {
            assert!(!fails, "accepted");
            Ok(Secured { stream: Box::new(BrittleStream(stream)), member: None })
        })
    }
}

async fn brittle(lan: &Lan) -> (Grasp, Arc<Brittle>) {
    let substrate = Arc::new(Brittle::default());
    let config = NodeConfig { name: "brittle".into(), seed: Some([9; 32]), ..NodeConfig::default() };
    let node = Grasp::start(config, Arc::new(lan.place()), substrate.clone()).unwrap();
    sleep(ms(10)).await;
    (node, substrate)
}

/// A node whose recorder panics when it is handed such a record.
async fn failing(lan: &Lan, at: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Grasp {
    let recorder: Recorder = Arc::new(move |record| assert!(!at(record), "recorded {record:?}"));
    lan.node_with("failing", |config| {
        config.recorder = Some(recorder);
        config.restart = RestartLimits { restarts: 20, longest_pause: ms(200), ..config.restart };
    })
    .await
}

fn heard(record: &Record, what: &str) -> bool {
    matches!(&record.event, Event::Input(input) if input.to_string().contains(what))
}

async fn contained(node: &Grasp, lost: &str) -> u64 {
    node.status().await.unwrap().counters.get(&format!("panics_contained{{{lost}}}")).copied().unwrap_or_default()
}

/// ASA-R-10: a panic while a multicast is opened or decoded loses that message only.
#[test]
fn a_panic_in_decoding_loses_one_message() {
    paused(async {
        let lan = Lan::new();
        let ((node, _), other) = (brittle(&lan).await, lan.node("other").await);
        let objectives = [syn("32473:a"), syn(BOOM), syn("32473:b")];
        let asa = other.register_asa("A").await.unwrap();
        for objective in &objectives {
            asa.register_objective(objective, grasp::Registration::default()).await.unwrap();
            asa.flood(0, vec![(with(objective, 1), None)]).await.unwrap();
        }
        sleep(SOON).await;
        assert_eq!(node.flooded_names().await.unwrap(), ["32473:a", "32473:b"]);
        assert_eq!(contained(&node, "decode").await, 1);
    });
}

/// ASA-R-10: a multicast that panics on its way out is lost; the next one leaves.
#[test]
fn a_panic_in_sending_loses_one_message() {
    paused(async {
        let lan = Lan::new();
        let ((node, _), other) = (brittle(&lan).await, lan.node("other").await);
        let asa = node.register_asa("A").await.unwrap();
        for objective in [syn(BOOM), syn("32473:b")] {
            asa.register_objective(&objective, grasp::Registration::default()).await.unwrap();
            asa.flood(0, vec![(with(&objective, 1), None)]).await.unwrap();
        }
        sleep(SOON).await;
        assert_eq!(other.flooded_names().await.unwrap(), ["32473:b"]);
        assert_eq!(contained(&node, "multicast").await, 1);
    });
}

/// ASA-R-10: a panic while a connection is accepted or read loses that connection only.
#[test]
fn a_panic_in_reading_loses_one_connection() {
    paused(async {
        let lan = Lan::new();
        let ((node, substrate), puppet) = (brittle(&lan).await, lan.puppet());
        let asa = asa(&node, "A", &syn(NAME)).await;
        asa.listen_synchronize(&with(&syn(NAME), 5)).await.unwrap();
        let request = |name: &str| Message::RequestSynchronization { session_id: 1, objective: syn(name) };
        assert_eq!(puppet.say(&node, &request(BOOM)).await.next().await, None);
        substrate.accepts.store(1, Ordering::Relaxed);
        assert_eq!(puppet.connect(&node).await.next().await, None);
        let answer = puppet.say(&node, &request(NAME)).await.next().await;
        assert_eq!(answer, Some(Message::Synch { session_id: 1, objective: with(&syn(NAME), 5) }));
        assert_eq!(contained(&node, "connection").await, 2);
    });
}

/// ASA-R-10: a panic while a session's connection is read ends that session with an error, not the one beside it.
#[test]
fn a_panic_in_a_session_s_connection_ends_that_session() {
    paused(async {
        let lan = Lan::new();
        let ((node, _), puppet) = (brittle(&lan).await, lan.puppet());
        let (asa, door) = (asa(&node, "A", &neg(NAME)).await, puppet.listen());
        let (first, second) = (with(&neg(NAME), 1), with(&neg(NAME), 2));
        let (one, two, _talks) = tokio::join!(
            asa.request_negotiate(&first, Some(&door.at), s(5)),
            asa.request_negotiate(&second, Some(&door.at), s(5)),
            async {
                let mut talks = Vec::new();
                for _ in 0..2 {
                    let (mut talk, request) = door.request().await;
                    let Message::RequestNegotiation { session_id, objective } = request else { panic!("{request:?}") };
                    let bad = number(&objective) == 1;
                    let objective = if bad { with(&neg(BOOM), 3) } else { objective };
                    talk.send(&Message::Negotiate { session_id, objective }).await;
                    // The other one holds its session until both are done.
                    if bad {
                        assert_eq!(talk.next().await, None);
                    }
                    talks.push(talk);
                }
                talks
            },
        );
        assert_eq!(code(one), ErrorCode::NoPeer);
        assert!(matches!(two, Ok(Negotiated::Offered(..))), "{two:?}");
        assert_eq!(contained(&node, "connection").await, 1);
    });
}

/// ASA-R-10: the peer of a session that fails hears a decline within a second, on either side of it, and the books are right.
#[test]
fn a_peer_is_never_left_waiting_by_our_crash() {
    paused(async {
        let lan = Lan::new();
        let node = failing(&lan, |record| heard(record, "6466363636")).await;
        let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        // As responder: the step of the local ASA meets a panic.
        let request = Message::RequestNegotiation { session_id: 77, objective: with(&neg(NAME), 1) };
        let objective = neg(NAME);
        let (mut talk, listened) = tokio::join!(puppet.say(&node, &request), asa.listen_negotiate(&objective));
        let (session, _) = listened.unwrap();
        let before = Instant::now();
        let boom = boom();
        let (step, reason) = tokio::join!(session.negotiate_step(&boom, s(60)), talk.declined());
        assert_eq!((code(step), reason.as_str()), (ErrorCode::NoSession, "this side has failed"));
        assert!(before.elapsed() < s(1), "{:?}", before.elapsed());
        // As initiator: the peer's step meets one.
        let door = puppet.listen();
        let objective = with(&neg(NAME), 1);
        let (outcome, ()) = tokio::join!(asa.request_negotiate(&objective, Some(&door.at), s(60)), async {
            let (mut talk, request) = door.request().await;
            let session_id = request.session_id().unwrap();
            let before = Instant::now();
            talk.send(&Message::Negotiate { session_id, objective: boom.clone() }).await;
            assert_eq!(talk.declined().await, "this side has failed");
            assert!(before.elapsed() < s(1), "{:?}", before.elapsed());
        });
        assert_eq!(code(outcome), ErrorCode::NoSession);
        assert_eq!((sessions(&node).await, counted(&node, "sessions_failed").await), (0, 2));
        assert!(node.sessions().await.unwrap().is_empty());
    });
}

/// What the recorder cannot bear: it stands there in hexadecimal digits.
fn boom() -> grasp::Objective {
    neg(NAME).with_value(grasp::Value::item("f666").unwrap())
}

/// ASA-R-10: an end that waits for its turn to leave still leaves, so that both sides know the same.
#[test]
fn an_end_that_was_promised_is_sent() {
    paused(async {
        let lan = Lan::new();
        // The pause between two messages is over: the core is woken to send the accept.
        let node = failing(&lan, |record| record.core == "session-1" && matches!(record.event, Event::Wake)).await;
        let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        let request = Message::RequestNegotiation { session_id: 77, objective: with(&neg(NAME), 1) };
        let objective = neg(NAME);
        let (mut talk, listened) = tokio::join!(puppet.say(&node, &request), asa.listen_negotiate(&objective));
        let (session, _) = listened.unwrap();
        session.negotiate_wait(s(5)).await.unwrap();
        session.end_negotiate(true, None).await.unwrap();
        assert!(matches!(talk.next().await, Some(Message::Wait { .. })));
        assert_eq!(talk.next().await, Some(Message::End { session_id: 77, option: EndOption::Accept }));
        assert_eq!(talk.next().await, None);
        assert_eq!(counted(&node, "sessions_failed").await, 1);
    });
}

/// ASA-R-10: a question to an actor that fails each time ends with an error in bounded time, and does not take the node along.
#[test]
fn a_question_that_is_lost_for_good_is_an_error() {
    paused(async {
        let lan = Lan::new();
        let node = failing(&lan, |record| record.core != "session-1" && heard(record, BOOM)).await;
        let asa = asa(&node, "A", &syn(BOOM)).await;
        let lost = timeout(s(5), asa.discover(&neg(BOOM), s(2), None)).await.expect("an answer in time");
        assert_eq!(code(lost), ErrorCode::Unspecified);
        let lost = timeout(s(5), asa.flood(0, vec![(with(&syn(BOOM), 1), None)])).await.expect("an answer in time");
        assert_eq!(code(lost), ErrorCode::Unspecified);
        assert_eq!(node.objectives().await.unwrap().len(), 1);
    });
}

/// Nothing is counted where nothing panics.
#[test]
fn nothing_is_counted_where_nothing_panics() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("a").await, lan.node("b").await);
        let asa = asa(&other, "A", &syn(BOOM)).await;
        asa.flood(0, vec![(with(&syn(BOOM), 1), None)]).await.unwrap();
        sleep(SOON).await;
        assert_eq!(node.flooded_names().await.unwrap(), [BOOM]);
        assert_eq!(counted(&node, "panics_contained").await, 0);
    });
}
