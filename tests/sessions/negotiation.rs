//! Negotiation byte for byte (RFC 8990 §2.5.5, §2.8.6 to §2.8.9, Appendix A.5).

use std::thread::sleep;
use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::wire::Form;
use grasp::{ErrorCode, Objective, Step};

use super::node::*;
use crate::lab::{Received, in_namespaces, msg};

const MS: Duration = Duration::from_millis(1);

fn dollars(amount: u32) -> grasp::Value {
    grasp::Value::item(&("NZD", amount)).unwrap()
}

fn ex3(amount: u32) -> Objective {
    Objective::negotiation("EX3").with_value(dollars(amount))
}

/// The objective of Appendix A.5 as the peer writes it.
fn written(loop_count: u8, amount: u32) -> Value {
    msg::objective("EX3", 3, loop_count, Some(msg::array(["NZD".into(), amount.into()])))
}

/// G-NEG-13, G-NEG-15, G-NEG-19, G-NEG-21, G-NEG-37, A-NEG-12, COM-05: Appendix A.5 with the node as the initiator.
#[test]
fn appendix_a5_from_the_initiator() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(ex3(410), to, Duration::from_secs(1));
        let mut conn = listener.accept(SOON).unwrap();
        let request = conn.recv(SOON).bytes();
        let sid = sid_of(&request);
        assert_eq!(request, msg::reqneg(sid, written(6, 410)));
        // The counterpart of the example repeats the loop count (T-18).
        conn.send(&msg::neg(sid, written(6, 80)));
        assert_eq!(answer.wait(SOON), Ok(Offered(ex3(80))));
        let step = stage.node.go_on(|session| async move {
            let first = session.negotiate_step(&ex3(307), Duration::from_millis(500)).await.unwrap();
            let second = session.negotiate_step(&ex3(246), SOON).await.unwrap();
            (first, second)
        });
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::neg(sid, written(5, 307))));
        conn.send(&msg::wait(sid, 34_965));
        sleep(700 * MS);
        conn.send(&msg::neg(sid, written(4, 120)));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::neg(sid, written(3, 246))));
        conn.send(&msg::end_accept(sid));
        let (first, second) = step.wait(SOON);
        assert_eq!(first, Step::Offered(ex3(120).with_loop_count(4)));
        assert_eq!(second, Step::Accepted(ex3(246).with_loop_count(3)));
        assert_eq!(conn.recv(SOON), Received::Closed);
    });
}

/// G-NEG-13, G-NEG-14, G-NEG-15, G-NEG-20, G-NEG-22, A-NEG-13: Appendix A.5 with the node as the responder.
#[test]
fn appendix_a5_from_the_responder() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let deal = stage.node.begin(|inside| async move {
            let (session, request) = inside.asa.listen_negotiate(&Objective::negotiation("EX3")).await.unwrap();
            assert_eq!(request, ex3(410));
            assert_eq!(
                session.negotiate_step(&ex3(80), SOON).await.unwrap(),
                Step::Offered(ex3(307).with_loop_count(4))
            );
            session.negotiate_wait(Duration::from_millis(34_965)).await.unwrap();
            session.negotiate_step(&ex3(120), SOON).await
        });
        sleep(50 * MS);
        let sid = 0x00d2_1462;
        let mut conn = stage.say(&msg::hex("83031a00d214628463455833030682634e5a4419019a"));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::neg(sid, written(5, 80))));
        conn.send(&msg::neg(sid, written(4, 307)));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::hex("83071a00d21462198895")));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::neg(sid, written(3, 120))));
        conn.send(&msg::hex("83061a00d2146282186672496e73756666696369656e742066756e6473"));
        let error = deal.wait(SOON).unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, "Insufficient funds"));
        assert_eq!(conn.recv(SOON), Received::Closed, "an end needs no reply");
    });
}

/// A-GEN-06, T-01, COM-11: Tag 24 is handed out with its form, and sent only where the ASA says so.
#[test]
fn tag_24_keeps_its_form() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let inner = msg::hex("82634e5a44182f");
        for (inner, wrapped) in [(inner.clone(), true), (msg::hex("8201ff"), true), (inner, false)] {
            let sent = inner.clone();
            let seen = stage.node.respond(move |session, request| async move {
                let value = request.value.unwrap();
                let back = if wrapped { grasp::Value::embedded(&sent) } else { value.clone() };
                let _ = session.negotiate_step(&Objective::negotiation(OPEN).with_value(back), 100 * MS).await;
                value.form()
            });
            let value = if wrapped {
                Value::Tag(24, Box::new(Value::Bytes(inner.clone())))
            } else {
                ciborium::from_reader(&inner[..]).unwrap()
            };
            sleep(50 * MS);
            let mut conn = stage.say(&msg::reqneg(7, msg::objective(OPEN, 3, 6, Some(value.clone()))));
            let back = msg::neg(7, msg::objective(OPEN, 3, 5, Some(value)));
            assert_eq!(conn.recv(SOON), Received::Bytes(back));
            let expected = if wrapped { Form::Embedded(inner.into()) } else { Form::Item(inner.into()) };
            assert_eq!(seen.wait(SOON), expected);
        }
    });
}

/// G-NEG-41, A-NEG-06, COM-07: a dry run is delivered as one, and each step of it says so; flag bit 0 does not matter.
#[test]
fn a_dry_run_says_so_in_every_step() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        for (flags, back) in [(11_u8, 11_u8), (10, 11), (3, 3), (2, 3)] {
            let pending = stage.node.respond(|session, request| async move {
                let dry = request.is_dry_run();
                let plain = valued(Objective::negotiation(OPEN), 2);
                let step = if dry { plain.dry_run() } else { plain };
                let _ = session.negotiate_step(&step, 100 * MS).await;
                dry
            });
            sleep(50 * MS);
            let mut conn = stage.say(&msg::reqneg(7, msg::objective(OPEN, flags, 6, Some(1.into()))));
            let step = msg::neg(7, msg::objective(OPEN, back, 5, Some(2.into())));
            assert_eq!(conn.recv(SOON), Received::Bytes(step), "flags {flags}");
            assert_eq!(pending.wait(SOON), flags & 8 != 0);
        }
    });
}

/// COM-15, G-NEG-18, G-NEG-22, A-NEG-14: reasons are any UTF-8, both ways; an empty one is left out.
#[test]
fn reasons_are_any_text() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        for reason in [None, Some("Недостаточно средств"), Some("\u{1f4b8}\n\u{7}")] {
            let answer = stage.node.request(Objective::negotiation(OPEN), to.clone(), SOON);
            let mut conn = listener.accept(SOON).unwrap();
            let sid = sid_of(&conn.recv(SOON).bytes());
            conn.send(&msg::end_decline(sid, reason));
            let error = answer.wait(SOON).unwrap_err();
            assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, reason.unwrap_or_default()));
            let pending =
                stage.node.respond(move |session, _| async move { session.end_negotiate(false, reason).await });
            sleep(50 * MS);
            let mut conn = stage.say(&ask(7, OPEN, 6, 1));
            assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_decline(7, reason)));
            pending.wait(SOON).unwrap();
        }
        let pending =
            stage.node.respond(|session, _| async move { session.end_negotiate(true, Some("ignored")).await });
        sleep(50 * MS);
        assert_eq!(stage.say(&ask(7, OPEN, 6, 1)).recv(SOON), Received::Bytes(msg::end_accept(7)));
        pending.wait(SOON).unwrap();
    });
}

/// G-NEG-33, G-NEG-34, G-NEG-36, G-NOOP-05, T-23, G-ERR-15: a wait replaces the timer, to more and to less; a broken one does not.
#[test]
fn a_wait_replaces_the_timer() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let limit = 800 * MS;
        let raw = |sid: u32, last: Vec<Value>| msg::message([7.into(), sid.into()].into_iter().chain(last));
        let extra = || vec![1_600.into(), msg::array([102.into()])];
        type Wait<'a> = &'a dyn Fn(u32) -> Vec<u8>;
        let cases: [(Wait<'_>, u32); 8] = [
            (&|sid| msg::wait(sid, 1_600), 2_000),
            (&|sid| msg::wait(sid, 100), 500),
            (&|sid| msg::wait(sid, 0), 400),
            (&|sid| raw(sid, extra()), 2_000),
            (&|sid| raw(sid, vec![]), 800),
            (&|sid| raw(sid, vec![(-1).into()]), 800),
            (&|sid| raw(sid, vec![(1_u64 << 32).into()]), 800),
            (&|_| msg::noop(), 800),
        ];
        for (case, (wait, expected)) in cases.into_iter().enumerate() {
            let before = Instant::now();
            let answer = stage.node.request(Objective::negotiation(OPEN), to.clone(), limit);
            let mut conn = listener.accept(SOON).unwrap();
            let sid = sid_of(&conn.recv(SOON).bytes());
            sleep(400 * MS);
            conn.send(&wait(sid));
            let (left, end) = conn.recv_to_end(1000, SOON);
            let elapsed = before.elapsed();
            assert!(left.is_empty() && end == Received::Closed, "case {case}: {}", msg::to_hex(&left));
            assert_eq!(code(answer.wait(SOON)), ErrorCode::NoNegotiationReply);
            let expected = expected * MS;
            assert!(elapsed > expected - 20 * MS && elapsed < expected + 250 * MS, "case {case}: {elapsed:?}");
        }
    });
}

/// G-NEG-23, G-NEG-39, T-46: null goes on; a second proposal in a row is not a step, and a third is called invalid.
#[test]
fn proposals_alternate() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(Objective::negotiation(OPEN), to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        conn.send(&msg::neg(sid, msg::objective(OPEN, 3, 5, Some(Value::Null))));
        let null = Objective::negotiation(OPEN).with_value(grasp::Value::null()).with_loop_count(5);
        assert_eq!(answer.wait(SOON), Ok(Offered(null)));
        conn.send(&offer(sid, OPEN, 4, 66));
        assert_eq!(conn.recv(QUIET), Received::Silent);
        conn.send(&offer(sid, OPEN, 4, 67));
        assert_eq!(type_of(&conn.recv(SOON).bytes()), 99);
        let step = stage.node.go_on(|session| async move {
            let step = session.negotiate_step(&valued(Objective::negotiation(OPEN), 2), SOON).await;
            session.end_negotiate(true, None).await.unwrap();
            step
        });
        assert_eq!(conn.recv(SOON), Received::Bytes(offer(sid, OPEN, 4, 2)));
        conn.send(&offer(sid, OPEN, 3, 5));
        assert_eq!(step.wait(SOON), Ok(Step::Offered(valued(Objective::negotiation(OPEN), 5).with_loop_count(3))));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(sid)));
    });
}

/// G-NEG-16, COM-06, A-NEG-05: a count that would reach zero is not sent; letting go declines.
#[test]
fn an_exhausted_loop_count_sends_nothing() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        for loop_count in [0, 1] {
            let step = stage.node.respond(|session, _| async move {
                let step = session.negotiate_step(&Objective::negotiation(OPEN), SOON).await;
                tokio::time::sleep(QUIET * 2).await;
                step
            });
            let mut conn = stage.say(&ask(7, OPEN, loop_count, 1));
            assert_eq!(conn.recv(QUIET), Received::Silent, "loop count {loop_count}");
            assert_eq!(code(step.wait(SOON)), ErrorCode::LoopExhausted);
            let end = conn.recv(SOON).bytes();
            assert_eq!((type_of(&end), sid_of(&end)), (6, 7));
            assert_eq!(conn.recv(SOON), Received::Closed);
        }
        stage.node.wait_idle();
    });
}

/// G-NEG-29, G-NEG-30, G-SYN-11, T-49: a clash meets silence, with no message and no end; the session it clashed with goes on.
#[test]
fn a_clash_meets_silence() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(Objective::negotiation(OPEN), to, SOON * 2);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        let mut clashing =
            [stage.say(&ask(sid, ACCEPTED, 6, 1)), stage.say(&msg::reqsyn(sid, msg::objective(SERVED, 5, 6, None)))];
        let seen = stage.node.respond(|session, request| async move {
            tokio::time::sleep(QUIET * 4).await;
            session.end_negotiate(true, None).await.unwrap();
            request.value.unwrap().decode::<u64>().unwrap()
        });
        sleep(50 * MS);
        let mut first = stage.say(&ask(1, OPEN, 6, 1));
        sleep(50 * MS);
        let mut again = stage.say(&ask(1, OPEN, 6, 2));
        for conn in clashing.iter_mut().chain([&mut again]) {
            assert_eq!(conn.recv(QUIET), Received::Silent);
        }
        assert_eq!(first.recv(SOON), Received::Bytes(msg::end_accept(1)));
        assert_eq!(seen.wait(SOON), 1);
        conn.send(&msg::end_accept(sid));
        assert!(matches!(answer.wait(SOON), Ok(Accepted(_))));
        assert_eq!(stage.node.counted("session_id_clashes"), 3);
        // The same id from another host is another session.
        stage.node.wait_idle();
    });
}

/// G-NEG-43, G-ERR-26, G-SID-13: what has another session id, or no place in a negotiation, changes nothing.
#[test]
fn what_does_not_belong_changes_nothing() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(Objective::negotiation(OPEN), to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        let (other, address) = (sid.wrapping_add(1), stage.peer.ula());
        let objective = || msg::objective(OPEN, 3, 5, Some(9.into()));
        conn.send(
            &[
                offer(other, OPEN, 5, 9),
                msg::end_accept(other),
                msg::end_decline(other, None),
                msg::wait(other, 0),
                msg::invalid(other, None),
                msg::synch(other, objective()),
                msg::reqsyn(sid, objective()),
                msg::reqneg(sid, objective()),
                msg::discovery(sid, address, OPEN, 3, 6, None),
                msg::flood(sid, address, 0, vec![(msg::objective(SERVED, 4, 5, Some(1.into())), None)]),
                msg::response(sid, address, 0, vec![msg::locator(address, 6, 9)], None),
                msg::hex("83 0a 01 80"),
            ]
            .concat(),
        );
        assert_eq!(conn.recv(QUIET), Received::Silent);
        conn.send(&offer(sid, OPEN, 5, 80));
        assert_eq!(answer.wait(SOON), Ok(Offered(valued(Objective::negotiation(OPEN), 80).with_loop_count(5))));
        let known = stage.node.run(|inside| async move {
            let status = inside.grasp.status().await.unwrap();
            (status.flood_cache, status.discovery_cache)
        });
        assert_eq!(known, (0, 0));
    });
}

/// An answer to a request, and what it means: the error, and whether the node calls the message invalid.
fn bad_answers() -> Vec<(&'static str, Vec<u8>, ErrorCode, bool)> {
    use ErrorCode::{CborFail, Declined, InvalidEnd, InvalidNegotiate, NoValidStep};
    let sid = "1a aaaaaaaa";
    let objective = |bytes: Vec<u8>| [msg::hex(&format!("83 05 {sid}")), bytes].concat();
    let text = |name: &str| msg::encode(&name.into());
    let neg = |value: Value| objective(msg::encode(&value));
    vec![
        ("another name", neg(msg::objective("32473:other", 3, 5, Some(1.into()))), InvalidNegotiate, true),
        ("a dry run", neg(msg::objective(OPEN, 11, 5, Some(1.into()))), InvalidNegotiate, true),
        ("not negotiable", neg(msg::objective(OPEN, 5, 5, Some(1.into()))), InvalidNegotiate, true),
        ("no value", neg(msg::objective(OPEN, 3, 5, None)), InvalidNegotiate, true),
        ("a loop count of 256", neg(msg::array([OPEN.into(), 3.into(), 256.into(), 1.into()])), InvalidNegotiate, true),
        ("negative flags", neg(msg::array([OPEN.into(), (-1).into(), 5.into(), 1.into()])), InvalidNegotiate, true),
        ("no objective", msg::hex(&format!("82 05 {sid}")), InvalidNegotiate, true),
        ("an end without option", msg::hex(&format!("82 06 {sid}")), InvalidEnd, true),
        ("an end with a foreign option", msg::hex(&format!("83 06 {sid} 81 18c8")), InvalidEnd, true),
        ("an end with both options", msg::hex(&format!("84 06 {sid} 811865 811866")), InvalidEnd, true),
        ("an end with a divert", msg::hex(&format!("83 06 {sid} 811864")), InvalidEnd, true),
        ("a synch", msg::synch(0xaaaa_aaaa, msg::objective(OPEN, 5, 5, Some(1.into()))), NoValidStep, false),
        ("an invalid", msg::invalid(0xaaaa_aaaa, None), NoValidStep, false),
        ("an invalid with content", msg::invalid(0xaaaa_aaaa, Some(Value::Bytes(vec![1; 8]))), NoValidStep, false),
        ("a reserved length", msg::hex(&format!("83 05 {sid} 1c")), CborFail, false),
        ("a lone break", msg::hex("ff"), CborFail, false),
        ("a giant string", msg::hex(&format!("83 05 {sid} 5b 7fffffffffffffff")), CborFail, false),
        ("a giant array", msg::hex(&format!("83 05 {sid} 9b 7fffffffffffffff 00")), CborFail, false),
        ("deep nesting", [msg::hex(&format!("83 05 {sid}")), vec![0x81; 10_000]].concat(), CborFail, false),
        ("a broken name", objective(msg::hex("84 62c328 03 05 01")), CborFail, false),
        // A foreign option after a valid one is dropped (G-FRM-05).
        ("a decline and a foreign option", msg::hex(&format!("84 06 {sid} 811866 8118c8")), Declined, false),
        (
            "too long a value",
            objective([vec![0x84], text(OPEN), msg::hex("03 05 59 0900"), vec![0; 2304]].concat()),
            CborFail,
            false,
        ),
    ]
}

/// G-NEG-24, G-NEG-27, G-NEG-42, G-ERR-14, G-ERR-16, G-ERR-17 to G-ERR-19, G-ERR-23, G-INV-02, G-INV-04, G-INV-07, G-INV-10, T-50, A-GEN-15.
#[test]
fn a_bad_answer_fails_the_negotiation_with_its_code() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        for (what, bytes, expected, invalid) in bad_answers() {
            let answer = stage.node.request(Objective::negotiation(OPEN), to.clone(), SOON);
            let mut conn = listener.accept(SOON).unwrap();
            let sid = sid_of(&conn.recv(SOON).bytes());
            let placeholder = bytes.windows(4).position(|w| w == [0xaa; 4]);
            let mut bytes = bytes;
            if let Some(at) = placeholder {
                bytes[at..at + 4].copy_from_slice(&sid.to_be_bytes());
            }
            let before = Instant::now();
            conn.send(&bytes);
            let error = answer.wait(SOON * 2).expect_err(what);
            assert_eq!(error.code, expected, "{what}: {error}");
            assert_eq!(error.detail.contains("h'0101010101010101'"), what == "an invalid with content", "{error}");
            assert!(before.elapsed() < Duration::from_secs(1), "{what}");
            let (said, end) = conn.recv_to_end(4096, SOON);
            assert_ne!(end, Received::Silent, "{what}: still open");
            if invalid {
                assert_eq!((type_of(&said), sid_of(&said)), (99, sid), "{what}");
                let content = msg::decode(&said).as_array().and_then(|a| a.get(2)?.as_text().map(str::len));
                assert!(content.is_some_and(|len| (1..=256).contains(&len)), "{what}: no reason");
            } else {
                assert!(said.is_empty(), "{what}: {}", msg::to_hex(&said));
            }
        }
        stage.node.wait_idle();
        stage.serve_well(SOON);
    });
}

/// G-SYN-06, A-SYN-03, G-ERR-23: what is no answer to a synchronization fails it with its code.
#[test]
fn a_bad_answer_fails_the_synchronization_with_its_code() {
    use ErrorCode::{CborFail, NoValidSynch};
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let value = || Some(1.into());
        type Answer<'a> = &'a dyn Fn(u32) -> Vec<u8>;
        let cases: [(Answer<'_>, ErrorCode); 7] = [
            (&|sid| msg::synch(sid, msg::objective("32473:other", 5, 6, value())), NoValidSynch),
            (&|sid| msg::synch(sid, msg::objective("32473:v", 5, 6, None)), NoValidSynch),
            (&|sid| offer(sid, "32473:v", 5, 1), NoValidSynch),
            (&|sid| msg::invalid(sid, None), NoValidSynch),
            (&|sid| msg::end_decline(sid, None), NoValidSynch),
            (&|_| msg::hex("83 1c"), CborFail),
            (&|_| vec![0x81; 10_000], CborFail),
        ];
        for (case, (answer, expected)) in cases.into_iter().enumerate() {
            let got = stage.node.synchronize("32473:v", to.clone(), SOON);
            let mut conn = listener.accept(SOON).unwrap();
            let sid = sid_of(&conn.recv(SOON).bytes());
            conn.send(&answer(sid));
            assert_eq!(code(got.wait(SOON)), expected, "case {case}");
            assert!(matches!(conn.recv(SOON), Received::Closed | Received::Reset));
        }
        // Another session id and a no-op are passed over; the answer counts.
        let got = stage.node.synchronize("32473:v", to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        let objective = |value: u64| msg::objective("32473:v", 5, 6, Some(value.into()));
        conn.send(&[msg::noop(), msg::synch(!sid, objective(1)), msg::synch(sid, objective(2))].concat());
        assert_eq!(got.wait(SOON).unwrap().value, Some(grasp::Value::item(&2).unwrap()));
    });
}
