//! What an ASA learns after its acceptance, from the fabric and from the kernel's connections.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use futures_util::future::BoxFuture;
use grasp::net::kernel::Kernel;
use grasp::net::{ByteStream, Interface, LinkSockets, Listener, Network};
use grasp::substrate::InsecureLab;
use grasp::wire::{EndOption, Message};
use grasp::{
    Asa, AsaLocator, Error, ErrorCode, Farewell, Grasp, Locator, Negotiated, NodeConfig, Registration, Session, Step,
    StreamEnd,
};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Nothing but loopback.
struct Loopback(Kernel);

struct Door6(TcpListener);

impl Listener for Door6 {
    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(ByteStream, SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(stream) as ByteStream, peer))
        })
    }
}

impl Network for Loopback {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(Vec::new())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn open_link(&self, _: &Interface) -> io::Result<LinkSockets> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn listen_on(&self, _: &Interface) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn listen(&self, _: &[u16]) -> io::Result<Box<dyn Listener>> {
        let listener = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Box::new(Door6(TcpListener::from_std(listener)?)))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<ByteStream>> {
        self.0.connect(to)
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.0.resolve(name, port)
    }
}

/// Runs in an actix system on the real clock, for half a minute at most.
fn really<F: Future>(future: F) -> F::Output {
    actix::System::new().block_on(async { timeout(s(30), future).await.expect("an end within 30 s") })
}

/// A node on loopback that has asked a scripted peer and has its offer.
async fn offered() -> ((Grasp, Asa), Session, Talk) {
    let config = NodeConfig { name: "node".into(), seed: Some([7; 32]), ..NodeConfig::default() };
    let node = Grasp::start(config, Arc::new(Loopback(Kernel::new())), Arc::new(InsecureLab)).unwrap();
    let asa = asa_with(&node, "A", &neg(NAME), Registration::default()).await;
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let at = AsaLocator::known(Locator::tcp(Ipv6Addr::LOCALHOST.into(), listener.local_addr().unwrap().port()), 0);
    let asker = asa.clone();
    let asking = actix::spawn(async move { asker.request_negotiate(&with(&neg(NAME), 1), Some(&at), s(10)).await });
    let mut peer = Talk::new(Box::new(listener.accept().await.unwrap().0));
    let session = offers(&mut peer, asking).await;
    ((node, asa), session, peer)
}

async fn offers(peer: &mut Talk, asking: JoinHandle<Result<Negotiated, Error>>) -> Session {
    let session_id = peer.next().await.unwrap().session_id().unwrap();
    peer.send(&Message::Negotiate { session_id, objective: with(&neg(NAME), 2) }).await;
    let Negotiated::Offered(session, _) = asking.await.unwrap().unwrap() else { panic!("no offer") };
    session
}

/// The same on the fabric.
async fn offered_on_the_fabric() -> ((Grasp, Asa), Session, Talk) {
    let lan = Lan::new();
    let node = lan.node("node").await;
    let asa = asa(&node, "A", &neg(NAME)).await;
    let door = lan.puppet().listen();
    let at = door.at.clone();
    let asker = asa.clone();
    let asking = actix::spawn(async move { asker.request_negotiate(&with(&neg(NAME), 1), Some(&at), s(10)).await });
    let mut peer = door.accept().await;
    let session = offers(&mut peer, asking).await;
    ((node, asa), session, peer)
}

fn accepting(session: Session, limit: Duration) -> JoinHandle<Result<Farewell, Error>> {
    actix::spawn(async move { session.accept_heard(limit, DEFAULT).await })
}

async fn is_accepted(peer: &mut Talk) {
    let message = peer.next().await;
    assert!(matches!(message, Some(Message::End { option: EndOption::Accept, .. })), "{message:?}");
}

/// A peer that takes the acceptance and closes, at once.
async fn clean(session: Session, mut peer: Talk) {
    let before = Instant::now();
    let accepting = accepting(session, s(10));
    is_accepted(&mut peer).await;
    drop(peer);
    assert_eq!(accepting.await.unwrap(), Ok(Farewell::Clean));
    assert!((ms(100)..s(2)).contains(&before.elapsed()), "{:?}", before.elapsed());
}

/// A peer that does nothing; the node's side stays open until the time is over.
async fn silent(session: Session, mut peer: Talk) {
    let before = Instant::now();
    let accepting = accepting(session, ms(300));
    is_accepted(&mut peer).await;
    assert_eq!(peer.next().await, None);
    assert!(before.elapsed() >= ms(300), "{:?}", before.elapsed());
    assert_eq!(accepting.await.unwrap(), Ok(Farewell::Silent));
}

/// A peer that had closed already: nothing is accepted.
async fn late(node: Grasp, session: Session, mut peer: Talk) {
    peer.shut().await;
    while sessions(&node).await > 0 {}
    let error = session.accept_heard(s(1), DEFAULT).await.unwrap_err();
    assert_eq!((error.code, error.ending), (ErrorCode::NoSocket, Some(StreamEnd::Orderly)));
    assert_eq!(peer.next().await, None);
}

/// PM-S-09, PM-S-10: on the kernel's connections.
#[test]
fn the_kernel_tells_what_became_of_an_acceptance() {
    really(async {
        let (_node, session, peer) = offered().await;
        clean(session, peer).await;
        let (_node, session, peer) = offered().await;
        silent(session, peer).await;
        let ((node, _asa), session, peer) = offered().await;
        late(node, session, peer).await;
    });
}

/// PM-S-10: an acceptance that a closed connection answers with a reset came too late, with or without an end of the stream
/// before that.
#[test]
fn the_kernel_tells_of_an_acceptance_that_came_too_late() {
    really(async {
        for ends_first in [false, true] {
            let (_node, session, mut peer) = offered().await;
            let accepting = accepting(session, s(10));
            // It has arrived, and nobody reads all of it.
            peer.byte().await;
            if ends_first {
                peer.shut().await;
            }
            drop(peer);
            assert_eq!(accepting.await.unwrap(), Ok(Farewell::Reset), "{ends_first}");
        }
    });
}

/// PM-S-09, PM-S-10: the fabric does as the kernel does.
#[test]
fn the_fabric_tells_what_became_of_an_acceptance() {
    paused(async {
        let (_node, session, peer) = offered_on_the_fabric().await;
        clean(session, peer).await;
        let (_node, session, peer) = offered_on_the_fabric().await;
        silent(session, peer).await;
        let ((node, _asa), session, peer) = offered_on_the_fabric().await;
        late(node, session, peer).await;
        for ends_first in [false, true] {
            let (_node, session, mut peer) = offered_on_the_fabric().await;
            let accepting = accepting(session, s(10));
            peer.byte().await;
            if ends_first {
                peer.shut().await;
            }
            drop(peer);
            assert_eq!(accepting.await.unwrap(), Ok(Farewell::Reset));
        }
        // The peer's close and the acceptance cross: the end is heard after 7 ms, the reset after 10.
        let (_node, session, peer) = offered_on_the_fabric().await;
        let accepting = accepting(session, s(10));
        sleep(ms(2)).await;
        drop(peer);
        assert_eq!(accepting.await.unwrap(), Ok(Farewell::Reset));
    });
}

/// PM-S-06: whoever is accepted closes when the ASA lets go of the session, after 5 s at the latest.
#[test]
fn the_close_tells_that_an_acceptance_is_durable() {
    paused(async {
        for lets_go in [true, false] {
            let lan = Lan::new();
            let node = lan.node("node").await;
            let asa = asa(&node, "A", &neg(NAME)).await;
            let listener = asa.clone();
            let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap() });
            sleep(SOON).await;
            let request = Message::RequestNegotiation { session_id: 7, objective: with(&neg(NAME), 1) };
            let mut peer = lan.puppet().say(&node, &request).await;
            let (session, _) = listening.await.unwrap();
            let stepping = actix::spawn(async move {
                let step = session.negotiate_step(&with(&neg(NAME), 2), DEFAULT).await;
                (session, step)
            });
            assert!(matches!(peer.next().await, Some(Message::Negotiate { .. })));
            peer.send(&Message::End { session_id: 7, option: EndOption::Accept }).await;
            let (session, step) = stepping.await.unwrap();
            assert_eq!(step, Ok(Step::Accepted(with(&neg(NAME), 2).with_loop_count(5))));
            let before = Instant::now();
            assert!(peer.is_silent(s(3)).await);
            if lets_go {
                drop(session);
            }
            assert_eq!(peer.next().await, None);
            let rest = if lets_go { ms(0) } else { s(2) };
            assert!((s(3) + rest..s(3) + rest + ms(100)).contains(&before.elapsed()), "{:?}", before.elapsed());
        }
    });
}

/// PM-S-10: a reset after the end of the stream cannot be read any more, but a write of nothing fails, and sends nothing.
#[test]
fn a_write_of_nothing_finds_a_reset_after_the_end() {
    really(async {
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
        let mut ours = Kernel::new().connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        ours.write_all(b"accept").await.unwrap();
        theirs.readable().await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(ours.write(&[]).await.unwrap(), 0);
        let mut taken = [0; 8];
        assert_eq!(theirs.peek(&mut taken).await.unwrap(), 6, "nothing was sent");
        drop(theirs);
        // Over loopback the reset has arrived when `close` returns.
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0, "the end hides it");
        assert!(ours.write(&[]).await.is_err());
    });
}
