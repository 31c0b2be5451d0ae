//! Every published error code, provoked through the API (RFC 8991 Appendix A).
//!
//! Four codes do not occur here. `#02` noReply belongs to polling calls, and calls here are futures. `#10` notOverlap is for
//! implementations without overlap. `#31` IDclash would tell a listener of a request that it never sees; clashes are
//! counted instead. `#00` is `Ok`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::protocol::registry::RegistryLimits;
use grasp::substrate::Unprotected;
use grasp::wire::{EndOption, Message, Transport};
use grasp::{
    AsaHandle, AsaLocator, ErrorCode, Grasp, Locator, Negotiated, NodeConfig, Objective, Registration, Session,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::sleep;

/// RFC 8991 Appendix A as printed.
const PUBLISHED: [(u32, &str, &str); 39] = [
    (0, "ok", "OK"),
    (1, "declined", "Declined"),
    (2, "noReply", "No reply"),
    (3, "unspec", "Unspecified error"),
    (4, "ASAfull", "ASA registry full"),
    (5, "dupASA", "Duplicate ASA name"),
    (6, "noASA", "ASA not registered"),
    (7, "notYourASA", "ASA registered but not by you"),
    (8, "notBoth", "Objective cannot support both negotiation and synchronization"),
    (9, "notDry", "Dry-run allowed only with negotiation"),
    (10, "notOverlap", "Overlap not supported by this implementation"),
    (11, "objFull", "Objective registry full"),
    (12, "objReg", "Objective already registered"),
    (13, "notYourObj", "Objective not registered by this ASA"),
    (14, "notObj", "Objective not found"),
    (15, "notNeg", "Objective not negotiable"),
    (16, "noSecurity", "No security"),
    (17, "noDiscReply", "No reply to discovery"),
    (18, "sockErrNegRq", "Socket error sending negotiation request"),
    (19, "noSession", "No session"),
    (20, "noSocket", "No socket"),
    (21, "loopExhausted", "Loop count exhausted"),
    (22, "sockErrNegStep", "Socket error sending negotiation step"),
    (23, "noPeer", "No negotiation peer"),
    (24, "CBORfail", "CBOR decode failure"),
    (25, "invalidNeg", "Invalid Negotiate message"),
    (26, "invalidEnd", "Invalid end message"),
    (27, "noNegReply", "No reply to negotiation step"),
    (28, "noValidStep", "No valid reply to negotiation step"),
    (29, "sockErrWait", "Socket error sending wait message"),
    (30, "sockErrEnd", "Socket error sending end message"),
    (31, "IDclash", "Incoming request Session ID clash"),
    (32, "notSynch", "Not a synchronization objective"),
    (33, "notFloodDisc", "Not flooded and no reply to discovery"),
    (34, "sockErrSynRq", "Socket error sending synch request"),
    (35, "noListener", "No synch listener"),
    (36, "noSynchReply", "No reply to synchronization request"),
    (37, "noValidSynch", "No valid reply to synchronization request"),
    (38, "invalidLoc", "Invalid locator"),
];

/// A-GEN-02, A-GEN-03.
#[test]
fn numbers_and_texts_are_the_published_ones() {
    let ours = ErrorCode::ALL.map(|code| (code.code(), code.name(), code.text()));
    assert_eq!(ours, PUBLISHED);
    assert_eq!(ErrorCode::LoopExhausted.to_string(), "Loop count exhausted (#21)");
}

/// A node that asks, a puppet that answers, and their common objective.
struct Scene {
    lan: Lan,
    node: Grasp,
    asa: grasp::Asa,
    puppet: Puppet,
}

impl Scene {
    async fn new(objective: &Objective) -> Self {
        let lan = Lan::new();
        let node = lan.node("node").await;
        let asa = asa(&node, "A", objective).await;
        let puppet = lan.puppet();
        Self { lan, node, asa, puppet }
    }

    /// What a negotiation request leads to when the puppet answers with these bytes and closes.
    async fn request(&self, answer: impl FnOnce(u32) -> Vec<u8>) -> Result<Negotiated, grasp::Error> {
        let (door, objective) = (self.puppet.listen(), neg(NAME));
        let (result, ()) = tokio::join!(self.asa.request_negotiate(&objective, Some(&door.at), s(5)), async {
            let (mut talk, request) = door.request().await;
            talk.raw(&answer(request.session_id().unwrap())).await;
            sleep(SOON).await;
        });
        result
    }

    /// What a synchronization request leads to when the puppet answers with these bytes and closes.
    async fn synchronize(&self, answer: impl FnOnce(u32) -> Vec<u8>) -> Result<Objective, grasp::Error> {
        let (door, objective) = (self.puppet.listen(), syn(NAME));
        let (result, ()) = tokio::join!(self.asa.synchronize(&objective, Some(&door.at), s(5)), async {
            let (mut talk, request) = door.request().await;
            talk.raw(&answer(request.session_id().unwrap())).await;
            sleep(SOON).await;
        });
        result
    }

    /// A session in which it is the node's turn, with the puppet's end of the connection.
    async fn session(&self, loop_count: u8) -> (Session, Talk) {
        let asked = with(&neg(NAME), 1).with_loop_count(loop_count);
        let request = Message::RequestNegotiation { session_id: 77, objective: asked };
        let objective = neg(NAME);
        let (talk, session) = tokio::join!(
            async {
                sleep(ms(50)).await;
                self.puppet.say(&self.node, &request).await
            },
            self.asa.listen_negotiate(&objective)
        );
        (session.unwrap().0, talk)
    }
}

/// A locator at which nobody listens.
fn closed(scene: &Scene) -> AsaLocator {
    AsaLocator::known(Locator::tcp(scene.puppet.address().into(), 9), 0)
}

/// The session of a node whose connections cannot be written to any more, with the puppet's end of it.
async fn broken() -> (Session, Talk, Scene) {
    let lan = Lan::new();
    let (network, switch) = Faulty::new(lan.place());
    let node = lan.node_on("node", network, |_| {}).await;
    let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
    let scene = Scene { lan, node, asa, puppet };
    let (session, talk) = scene.session(6).await;
    switch.store(true, Ordering::Relaxed);
    (session, talk, scene)
}

async fn provoke(code: ErrorCode) -> Option<ErrorCode> {
    let scene = Scene::new(&if code.code() >= 32 { syn(NAME) } else { neg(NAME) }).await;
    let Scene { lan, node, asa, .. } = &scene;
    let other = || async { node.register_asa("other").await.unwrap() };
    let register = |objective: Objective| async move {
        let plain = Registration::default();
        other().await.register_objective(&objective, plain).await.err()
    };
    let error = match code {
        // Success; polling; no overlap; told to nobody.
        ErrorCode::Ok | ErrorCode::NoReply | ErrorCode::NotOverlap | ErrorCode::IdClash => return None,
        ErrorCode::Declined => scene.request(|id| decline(id, "no")).await.err(),
        ErrorCode::Unspecified => register(neg("32473:y").with_loop_count(0)).await,
        ErrorCode::AsaFull => {
            let limits = RegistryLimits { asas: 1, ..RegistryLimits::default() };
            let full = lan.node_with("full", |config| config.registry = limits).await;
            let _one = full.register_asa("one").await.unwrap();
            full.register_asa("two").await.err()
        }
        ErrorCode::DuplicateAsa => node.register_asa("A").await.err(),
        ErrorCode::NoAsa => node.asa(AsaHandle(1)).discover(&neg(NAME), DEFAULT, None).await.err(),
        ErrorCode::NotYourAsa => node.deregister_asa(asa.handle(), "B").await.err(),
        ErrorCode::NotBoth => {
            let flags = neg("32473:y").flags.with(syn("32473:y").flags);
            register(Objective { flags, ..neg("32473:y") }).await
        }
        ErrorCode::NotDry => register(syn("32473:y").dry_run()).await,
        ErrorCode::ObjectivesFull => {
            let limits = RegistryLimits { objectives: 1, ..RegistryLimits::default() };
            let full = lan.node_with("full", |config| config.registry = limits).await;
            let one = fabric::asa(&full, "one", &neg(NAME)).await;
            one.register_objective(&neg("32473:y"), Registration::default()).await.err()
        }
        ErrorCode::ObjectiveRegistered => register(neg(NAME)).await,
        ErrorCode::NotYourObjective => other().await.deregister_objective(&neg(NAME)).await.err(),
        ErrorCode::NotObjective => asa.deregister_objective(&neg("32473:y")).await.err(),
        ErrorCode::NotNegotiable => {
            let two = fabric::asa(node, "two", &syn("32473:y")).await;
            two.request_negotiate(&syn("32473:y"), None, DEFAULT).await.err()
        }
        ErrorCode::NoSecurity => {
            let bare = Grasp::start(NodeConfig::default(), Arc::new(lan.place()), Arc::new(Unprotected)).unwrap();
            bare.register_asa("A").await.unwrap().discover(&neg(NAME), DEFAULT, None).await.err()
        }
        ErrorCode::NoDiscoveryReply => asa.request_negotiate(&neg(NAME), None, s(2)).await.err(),
        ErrorCode::SocketNegotiationRequest => {
            asa.request_negotiate(&neg(NAME), Some(&closed(&scene)), DEFAULT).await.err()
        }
        ErrorCode::NoSession => {
            let (session, _talk) = scene.session(6).await;
            session.end_negotiate(true, None).await.unwrap();
            session.negotiate_step(&neg(NAME), DEFAULT).await.err()
        }
        ErrorCode::NoSocket => {
            let (session, talk) = scene.session(6).await;
            drop(talk);
            sleep(SOON).await;
            session.negotiate_step(&neg(NAME), DEFAULT).await.err()
        }
        ErrorCode::LoopExhausted => {
            let (session, mut talk) = scene.session(1).await;
            let error = session.negotiate_step(&neg(NAME), DEFAULT).await.err();
            assert!(talk.is_silent(SOON).await, "nothing is sent");
            error
        }
        ErrorCode::SocketNegotiationStep => {
            let (session, _talk, _scene) = broken().await;
            session.negotiate_step(&neg(NAME), DEFAULT).await.err()
        }
        ErrorCode::NoPeer => scene.request(|_| vec![]).await.err(),
        ErrorCode::CborFail => scene.request(|_| vec![0x83, 0x1c]).await.err(),
        ErrorCode::InvalidNegotiate => {
            let renamed = |id| Message::Negotiate { session_id: id, objective: with(&neg("32473:y"), 1) }.encode();
            scene.request(renamed).await.err()
        }
        ErrorCode::InvalidEnd => scene.request(|id| array(id, 6, &[0x81, 0x18, 200])).await.err(),
        ErrorCode::NoNegotiationReply => {
            let door = scene.puppet.listen();
            asa.request_negotiate(&neg(NAME), Some(&door.at), s(2)).await.err()
        }
        ErrorCode::NoValidStep => {
            let synch = |id| Message::Synch { session_id: id, objective: with(&syn(NAME), 1) }.encode();
            scene.request(synch).await.err()
        }
        ErrorCode::SocketWait => {
            // The message is written after the call has returned: the next call tells.
            let (session, _talk, _scene) = broken().await;
            session.negotiate_wait(s(1)).await.unwrap();
            sleep(SOON).await;
            session.negotiate_wait(s(1)).await.err()
        }
        ErrorCode::SocketEnd => {
            let (session, _talk, _scene) = broken().await;
            session.end_negotiate(true, None).await.unwrap();
            sleep(SOON).await;
            session.end_negotiate(true, None).await.err()
        }
        ErrorCode::NotSynchronizable => asa.synchronize(&neg(NAME), None, DEFAULT).await.err(),
        ErrorCode::NotFloodedNorDiscovered => asa.synchronize(&syn(NAME), None, s(2)).await.err(),
        ErrorCode::SocketSynchronizationRequest => {
            asa.synchronize(&syn(NAME), Some(&closed(&scene)), DEFAULT).await.err()
        }
        ErrorCode::NoListener => scene.synchronize(|_| vec![]).await.err(),
        ErrorCode::NoSynchronizationReply => {
            let door = scene.puppet.listen();
            asa.synchronize(&syn(NAME), Some(&door.at), s(2)).await.err()
        }
        ErrorCode::NoValidSynch => {
            let other = |id| Message::Synch { session_id: id, objective: with(&syn("32473:y"), 1) }.encode();
            scene.synchronize(other).await.err()
        }
        ErrorCode::InvalidLocator => {
            let locator = Locator::Fqdn { name: String::new(), transport: Transport::Tcp, port: 1 };
            asa.flood(0, vec![(with(&syn(NAME), 1), Some(locator))]).await.err()
        }
    };
    Some(error.expect("an error").code)
}

fn decline(session_id: u32, reason: &str) -> Vec<u8> {
    Message::End { session_id, option: EndOption::Decline(Some(reason.into())) }.encode()
}

/// A message of three elements, the last of which is encoded already.
fn array(session_id: u32, kind: u8, last: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x83, kind, 0x1a];
    bytes.extend(session_id.to_be_bytes());
    bytes.extend(last);
    bytes
}

/// A-GEN-02, A-GEN-15, A-SYN-03, A-FLD-05, A-FLD-07, G-HA-02, A-REG-02, A-REG-05, A-GEN-19.
#[test]
fn every_code_comes_from_the_situation_it_is_for() {
    for code in ErrorCode::ALL {
        let provoked = paused(provoke(code));
        assert!(provoked.is_none_or(|provoked| provoked == code), "{provoked:?} in place of {code}");
    }
}

/// A failed request or a step that could not be sent has its own code.
#[test]
fn a_request_that_cannot_be_written_is_a_failed_request() {
    paused(async {
        let lan = Lan::new();
        let (network, switch) = Faulty::new(lan.place());
        let node = lan.node_on("node", network, |_| {}).await;
        let asker = asa(&node, "A", &neg(NAME)).await;
        let door = lan.puppet().listen();
        switch.store(true, Ordering::Relaxed);
        let result = asker.request_negotiate(&neg(NAME), Some(&door.at), s(5)).await;
        assert_eq!(code(result), ErrorCode::SocketNegotiationRequest);
        let result = asker.synchronize(&syn("32473:y"), Some(&door.at), s(5)).await;
        assert_eq!(code(result), ErrorCode::SocketSynchronizationRequest);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// G-HA-01, G-HA-11: a system that accepts no connections is asked again in peace, and served as soon as it does.
#[test]
fn a_refusal_to_accept_is_survived() {
    paused(async {
        let lan = Lan::new();
        let (network, switch) = Faulty::new(lan.place());
        let node = lan.node_on("node", network, |_| {}).await;
        let (server, puppet) = (asa(&node, "A", &syn(NAME)).await, lan.puppet());
        server.listen_synchronize(&with(&syn(NAME), 1)).await.unwrap();
        switch.store(true, Ordering::Relaxed);
        // This one is accepted by a call that began before.
        let _first = puppet.connect(&node).await;
        let request = Message::RequestSynchronization { session_id: 1, objective: syn(NAME) };
        let mut talk = puppet.say(&node, &request).await;
        assert!(talk.is_silent(s(2)).await);
        let refused = counted(&node, "accept_errors").await;
        assert!((15..25).contains(&refused), "{refused}");
        switch.store(false, Ordering::Relaxed);
        assert!(matches!(talk.next().await, Some(Message::Synch { session_id: 1, .. })));
    });
}
