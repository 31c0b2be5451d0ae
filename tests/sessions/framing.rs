//! Messages in streams (RFC 8990 §2.5.3, §2.8.2, §2.8.3).

use std::thread::sleep;
use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::{Objective, Step};

use super::node::*;
use crate::lab::cbor::item_len;
use crate::lab::{Received, in_namespaces, msg};

/// G-FRM-20, T-04: a request is served wherever it is cut, and byte by byte.
#[test]
fn requests_are_served_wherever_they_are_cut() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let whole = ask(9, ACCEPTED, 6, 1000);
        for cut in 1..whole.len() {
            let mut conn = stage.say(&whole[..cut]);
            sleep(Duration::from_millis(1));
            conn.send(&whole[cut..]);
            assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(9)), "cut at {cut}");
            assert_eq!(conn.recv(SOON), Received::Closed);
        }
        let mut conn = stage.connect();
        conn.send_slowly(&whole, Duration::from_millis(1));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(9)));
    });
}

/// COM-02, G-FRM-26, G-FRM-28: 1900 bytes one by one and exactly 2048 are served, one byte more is not.
#[test]
fn requests_up_to_the_limit_are_served() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let sized = |size: usize| {
            let request = |length| msg::reqneg(5, msg::objective(ACCEPTED, 3, 6, Some(Value::Bytes(vec![1; length]))));
            let overhead = request(1000).len() - 1000;
            request(size - overhead)
        };
        assert_eq!(sized(2048).len(), 2048);
        let mut conn = stage.connect();
        conn.send_slowly(&sized(1900), Duration::from_micros(50));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(5)));
        let mut conn = stage.say(&sized(2048));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(5)));
        let (bytes, end) = stage.say(&sized(2049)).recv_to_end(4096, SOON);
        assert!(bytes.is_empty() && end != Received::Silent, "{end:?}");
    });
}

/// G-FRM-28, G-ERR-18: ten megabytes are cut off soon after the limit, and nobody else notices.
#[test]
fn a_huge_request_is_cut_off() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let mut conn = stage.connect();
        // The head of a value of ten million bytes.
        let mut head = msg::hex("83 03 09 84");
        head.extend(msg::encode(&ACCEPTED.into()));
        head.extend(msg::hex("03 06 5a 00989680"));
        let mut sent = 0;
        let before = Instant::now();
        let mut open = conn.try_send(&head).is_ok();
        while open && sent < 10_000_000 {
            open = conn.try_send(&[0; 1000]).is_ok();
            sent += 1000;
        }
        assert!(!open, "ten megabytes were taken");
        assert!(sent < 5_000_000 && before.elapsed() < SOON, "{sent} bytes in {:?}", before.elapsed());
        stage.serve_well(SOON);
    });
}

/// G-FRM-18, 8949: indefinite lengths and longer integers are as good as any.
#[test]
fn any_well_formed_encoding_is_served() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let name = ACCEPTED.as_bytes();
        let mut chunks = vec![0x7f];
        for part in [&name[..3], &name[3..]] {
            chunks.push(0x60 + part.len() as u8);
            chunks.extend(part);
        }
        chunks.push(0xff);
        let request = [msg::hex("9f 1803 1b0000000000000009 9f"), chunks, msg::hex("1903 1806 9f01ff ff ff")];
        let mut request = request.concat();
        // Flags 3 as a 16-bit integer.
        let at = request.windows(3).position(|w| w == [0x19, 0x03, 0x18]).unwrap();
        request.splice(at..at + 2, [0x19, 0x00, 0x03]);
        let mut conn = stage.say(&request);
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(9)));
    });
}

/// G-NOOP-01 to G-NOOP-04, COM-08: no-ops before, between and after other messages have no effect.
#[test]
fn noops_have_no_effect_anywhere() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let mut conn = stage.say(&[msg::noop(), msg::noop(), ask(3, ACCEPTED, 6, 1), msg::noop()].concat());
        let (bytes, end) = conn.recv_to_end(100, SOON);
        assert_eq!(bytes, msg::end_accept(3), "{end:?}");
        let pending = stage.node.respond(|session, _| async move {
            let step = session.negotiate_step(&Objective::negotiation(OPEN), SOON).await;
            session.end_negotiate(true, None).await.unwrap();
            step
        });
        let mut conn = stage.say(&msg::noop().repeat(1000));
        conn.send(&ask(4, OPEN, 6, 1));
        conn.send(&msg::noop());
        assert_eq!(type_of(&conn.recv(SOON).bytes()), 5);
        conn.send(&[msg::noop(), offer(4, OPEN, 4, 2), msg::noop()].concat());
        let step = pending.wait(SOON).unwrap();
        assert!(matches!(step, Step::Offered(objective) if objective.loop_count == 4));
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(4)));
        let mut conn = stage.say(&msg::noop());
        assert_eq!(conn.recv(QUIET), Received::Silent, "a no-op does not end a connection");
        conn.send(&msg::reqsyn(5, msg::objective(SERVED, 5, 6, Some(Value::Null))));
        assert_eq!(type_of(&conn.recv(SOON).bytes()), 8);
    });
}

/// COM-03, G-FRM-20, G-NEG-32: M_WAIT and M_NEGOTIATE in one segment are both honoured.
#[test]
fn two_messages_in_one_segment_are_both_honoured() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let request = valued(Objective::negotiation(OPEN), 1);
        let answer = stage.node.request(request, to, Duration::from_secs(2));
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        conn.send(&[msg::wait(sid, 9_000), offer(sid, OPEN, 5, 80)].concat());
        let Ok(Offered(offered)) = answer.wait(SOON) else { panic!("no offer") };
        assert_eq!(offered, valued(Objective::negotiation(OPEN), 80).with_loop_count(5));
        let step = stage.node.go_on(|session| async move {
            let limit = Duration::from_millis(300);
            session.negotiate_step(&valued(Objective::negotiation(OPEN), 2), limit).await
        });
        assert_eq!(conn.recv(SOON), Received::Bytes(offer(sid, OPEN, 4, 2)));
        conn.send(&[msg::wait(sid, 200), msg::wait(sid, 9_000)].concat());
        sleep(Duration::from_millis(700));
        conn.send(&[msg::wait(sid, 1), msg::end_accept(sid)].concat());
        let step = step.wait(SOON);
        assert!(matches!(step, Ok(Step::Accepted(_))), "{step:?}");
        assert_eq!(conn.recv(SOON), Received::Closed);
    });
}

/// COM-01, COM-03, G-FRM-01, G-FRM-02: each message of ours comes whole in one read, and two in a row are 300 ms apart.
#[test]
fn messages_of_ours_come_whole_and_apart() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let long = || Objective::negotiation(OPEN).with_value(grasp::Value::embedded(&[7; 1_100]));
        let pending = stage.node.respond(move |session, _| async move {
            session.negotiate_wait(SOON).await.unwrap();
            session.negotiate_wait(SOON).await.unwrap();
            let step = session.negotiate_step(&long(), SOON).await;
            session.end_negotiate(false, Some("done")).await.unwrap();
            step
        });
        let mut conn = stage.say(&ask(8, OPEN, 6, 1));
        let mut last = None;
        for kind in [7, 7, 5] {
            let message = conn.recv(SOON).bytes();
            assert_eq!((item_len(&message), type_of(&message)), (Ok(message.len()), kind));
            let gap = last.replace(Instant::now()).map_or(Duration::MAX, |last| last.elapsed());
            assert!(gap >= Duration::from_millis(295), "{gap:?}");
        }
        let answered = Instant::now();
        conn.send(&offer(8, OPEN, 4, 1));
        pending.wait(SOON).unwrap();
        assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_decline(8, Some("done"))));
        assert!(answered.elapsed() < Duration::from_millis(200), "an answer needs no gap");
        let (listener, to) = stage.listen();
        let answer = stage.node.request(long(), to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let message = conn.recv(SOON).bytes();
        assert!(message.len() > 1_100 && item_len(&message) == Ok(message.len()));
        drop(conn);
        assert!(answer.wait(SOON).is_err());
    });
}

/// G-FRM-12, G-SID-02: any 32-bit session id is taken and comes back; a larger one does not.
#[test]
fn session_ids_come_back() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        for sid in [0, 1, 0x8000_0000, u32::MAX] {
            assert_eq!(stage.say(&ask(sid, ACCEPTED, 6, 1)).recv(SOON), Received::Bytes(msg::end_accept(sid)));
            let request = msg::reqsyn(sid, msg::objective(SERVED, 5, 6, None));
            let served = msg::synch(sid, msg::objective(SERVED, 5, 6, Some(7.into())));
            assert_eq!(stage.say(&request).recv(SOON), Received::Bytes(served));
        }
        let objective = msg::objective(ACCEPTED, 3, 6, Some(1.into()));
        let large = msg::message([3.into(), (1_u64 << 32).into(), objective]);
        let (bytes, end) = stage.say(&large).recv_to_end(100, SOON);
        assert!(bytes.is_empty() && end != Received::Silent, "{end:?}");
    });
}
