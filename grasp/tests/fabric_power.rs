//! Nodes of the fabric that go down and come back: what their peers see of that.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::net::memory::{Conditions, Fabric, FabricNode};
use grasp::net::{ByteStream, Listener, Network};
use grasp::wire::Message;
use grasp::{Error, ErrorCode, StreamEnd};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// Two nodes with a latency of 5 ms, and a connection from the first to the second.
struct Pair {
    a: FabricNode,
    b: FabricNode,
    at: SocketAddr,
    listener: Box<dyn Listener>,
    ours: ByteStream,
    theirs: ByteStream,
}

async fn pair() -> Pair {
    let lan = Lan::new();
    let (a, b) = (lan.place(), lan.place());
    let listener = b.listen(&[0]).unwrap();
    let at = SocketAddr::new(b.global().unwrap().into(), listener.port());
    let (ours, accepted) = tokio::join!(a.connect(at), listener.accept());
    Pair { a, b, at, listener, ours: ours.unwrap(), theirs: accepted.unwrap().0 }
}

async fn read(stream: &mut ByteStream) -> Option<io::Result<usize>> {
    timeout(s(60), stream.read(&mut [0; 16])).await.ok()
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn is_reset(read: Option<io::Result<usize>>) -> bool {
    read.is_some_and(|read| read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset))
}

/// Without power nothing leaves and nothing arrives, and nobody can connect.
#[test]
fn a_node_without_power_is_silent() {
    paused(async {
        let Pair { a, b, at, listener, mut ours, mut theirs } = pair().await;
        let (link_a, link_b) = (&a.interfaces().unwrap()[0], &b.interfaces().unwrap()[0]);
        let (sockets_a, sockets_b) = (a.open_link(link_a).unwrap(), b.open_link(link_b).unwrap());
        sockets_a.multicast.send(b"before").unwrap();
        assert_eq!(sockets_b.multicast.receive().await.unwrap().0, b"before");
        theirs.write_all(b"on its way").await.unwrap();
        sockets_a.multicast.send(b"lost").unwrap();
        b.power_off();
        sockets_b.multicast.send(b"unheard").unwrap();
        theirs.write_all(b"unheard").await.unwrap();
        assert!(theirs.read(&mut [0; 16]).await.is_err(), "its own reads fail");
        assert_eq!(read(&mut ours).await.unwrap().unwrap(), 10, "what has left arrives");
        ours.write_all(b"into the dark").await.unwrap();
        assert!(read(&mut ours).await.is_none(), "neither an end nor a reset");
        assert!(timeout(s(60), sockets_a.multicast.receive()).await.is_err());
        assert!(timeout(s(60), sockets_b.multicast.receive()).await.is_err());
        assert!(timeout(s(60), listener.accept()).await.is_err());
        assert_eq!(kind(a.connect(at).await), ErrorKind::HostUnreachable);
        assert_eq!(kind(b.connect(at).await), ErrorKind::NetworkDown);
        assert_eq!(kind(b.listen(&[0])), ErrorKind::NetworkDown);
        assert_eq!(kind(b.open_link(link_b)), ErrorKind::NetworkDown);
        drop(theirs);
        assert!(read(&mut ours).await.is_none(), "the dead close nothing");
    });
}

/// A reader that waits is woken when its node loses its power.
#[test]
fn a_waiting_reader_learns_that_its_node_is_down() {
    paused(async {
        let Pair { b, mut theirs, ours: _ours, .. } = pair().await;
        let reading = actix::spawn(async move { theirs.read(&mut [0; 16]).await });
        sleep(ms(10)).await;
        let before = Instant::now();
        b.power_off();
        assert_eq!(kind(reading.await.unwrap()), ErrorKind::NetworkDown);
        assert_eq!(before.elapsed(), Duration::ZERO);
    });
}

/// A kernel that has just been booted knows no connection: it resets what is written to one.
#[test]
fn a_rebooted_node_resets_old_connections() {
    paused(async {
        let Pair { a, b, at, mut ours, mut theirs, .. } = pair().await;
        b.power_off();
        ours.write_all(b"lost").await.unwrap();
        b.power_on();
        assert_eq!(kind(a.connect(at).await), ErrorKind::ConnectionRefused, "nobody listens yet");
        assert!(read(&mut ours).await.is_none(), "nothing was written since");
        let before = Instant::now();
        ours.write_all(b"hello?").await.unwrap();
        assert!(is_reset(read(&mut ours).await));
        assert_eq!(before.elapsed(), ms(10));
        assert_eq!(kind(ours.write(b"?").await), ErrorKind::ConnectionReset);
        // The old process stays dead; a new one serves at the same address.
        assert!(theirs.read(&mut [0; 16]).await.is_err());
        let listener = b.listen(&[at.port()]).unwrap();
        let (ours, accepted) = tokio::join!(a.connect(at), listener.accept());
        let (mut ours, (mut theirs, _)) = (ours.unwrap(), accepted.unwrap());
        ours.write_all(b"again").await.unwrap();
        assert_eq!(read(&mut theirs).await.unwrap().unwrap(), 5);
    });
}

/// The kernel closes for a process that is killed: with an end if everything was read, with a reset if not.
#[test]
fn a_killed_process_is_closed_by_its_kernel() {
    paused(async {
        let Pair { a, b, at, mut ours, mut theirs, .. } = pair().await;
        ours.write_all(b"read").await.unwrap();
        assert_eq!(read(&mut theirs).await.unwrap().unwrap(), 4);
        theirs.write_all(b"last").await.unwrap();
        b.kill_process();
        theirs.write_all(b"unheard").await.unwrap();
        assert_eq!(read(&mut ours).await.unwrap().unwrap(), 4);
        assert_eq!(read(&mut ours).await.unwrap().unwrap(), 0, "an end in order");
        assert_eq!(kind(a.connect(at).await), ErrorKind::ConnectionRefused);
        ours.write_all(b"too late").await.unwrap();
        sleep(ms(10)).await;
        assert_eq!(read(&mut ours).await.unwrap().unwrap(), 0, "the end hides the reset from a reader");
        assert_eq!(kind(ours.write(&[]).await), ErrorKind::ConnectionReset);
        // Unread when it was killed.
        let Pair { b, mut ours, theirs: _theirs, .. } = pair().await;
        ours.write_all(b"unread").await.unwrap();
        sleep(ms(6)).await;
        b.kill_process();
        assert!(is_reset(read(&mut ours).await));
        // On its way when it was killed: the end comes first, and then the reset.
        let Pair { b, mut ours, theirs: _theirs, .. } = pair().await;
        ours.write_all(b"on its way").await.unwrap();
        sleep(ms(2)).await;
        b.kill_process();
        assert_eq!(read(&mut ours).await.unwrap().unwrap(), 0);
        assert_eq!(ours.write(&[]).await.unwrap(), 0);
        sleep(ms(10)).await;
        assert_eq!(kind(ours.write(&[]).await), ErrorKind::ConnectionReset);
    });
}

/// PM-S-07: a GRASP peer tells a killed process from a power failure, and a fresh node can be asked at once.
#[test]
fn a_negotiation_with_a_node_that_goes_down() {
    for (power, code, ending) in
        [(false, ErrorCode::NoPeer, Some(StreamEnd::Orderly)), (true, ErrorCode::NoNegotiationReply, None)]
    {
        paused(async {
            let lan = Lan::new();
            let asker = asa(&lan.node("asker").await, "A", &neg(NAME)).await;
            let place = lan.place();
            let served = async |name| {
                let node = lan.node_on(name, Arc::new(place.clone()), |_| {}).await;
                let server = asa(&node, "B", &neg(NAME)).await;
                let listener = server.clone();
                let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await });
                sleep(SOON).await;
                (node, server, listening)
            };
            let (node, server, listening) = served("first").await;
            let asked = asker.clone();
            let to = at(&node).await;
            let asking =
                actix::spawn(async move { asked.request_negotiate(&with(&neg(NAME), 1), Some(&to), s(10)).await });
            let held = listening.await.unwrap().unwrap();
            if power {
                place.power_off()
            } else {
                place.kill_process()
            }
            let Error { code: failed, ending: ended, .. } = asking.await.unwrap().unwrap_err();
            assert_eq!((failed, ended), (code, ending));
            drop((held, server, node));
            place.power_on();
            let (node, _server, listening) = served("second").await;
            let to = at(&node).await;
            let asking =
                actix::spawn(async move { asker.request_negotiate(&with(&neg(NAME), 2), Some(&to), s(10)).await });
            let (session, asked) = listening.await.unwrap().unwrap();
            assert_eq!(number(&asked), 2);
            session.end_negotiate(true, None).await.unwrap();
            assert!(asking.await.unwrap().is_ok());
        });
    }
}

/// A seed repeats itself, power failures included.
#[test]
fn power_failures_follow_from_the_seed() {
    let run = |seed| {
        paused(async {
            let fabric = Fabric::new(seed);
            let link = fabric.link(Conditions { latency: ms(5), jitter: ms(20), loss: 0.3, ..Conditions::default() });
            let (a, b) = (fabric.node(&[link]), fabric.node(&[link]));
            let sockets = a.open_link(&a.interfaces().unwrap()[0]).unwrap();
            let mut heard = Vec::new();
            let start = Instant::now();
            for round in 0..4_u8 {
                let theirs = b.open_link(&b.interfaces().unwrap()[0]).unwrap();
                for number in 0..20_u8 {
                    sockets.multicast.send(&Message::Noop.encode()).unwrap();
                    sockets.multicast.send(&[round, number]).unwrap();
                    while let Ok(received) = timeout(ms(3), theirs.multicast.receive()).await {
                        heard.push((start.elapsed(), received.unwrap().0));
                    }
                }
                if round % 2 == 0 {
                    b.power_off()
                } else {
                    b.kill_process()
                }
                b.power_on();
            }
            heard
        })
    };
    assert!(run(1).len() > 40);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
