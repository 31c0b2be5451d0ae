//! Clients that should not be there, or do not behave.

use super::*;
use asa_framework::control::{IDLE_LIMIT, MAX_CONNECTIONS, MAX_OPERATIONS, MAX_REQUEST, WRITE_LIMIT};
use proptest::prelude::{Strategy, any, prop};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use tokio::time::Instant;

fn malformed(reply: Option<Reply>) -> String {
    let failure = reply.unwrap().error.unwrap();
    assert_eq!(failure.code, FailureCode::Malformed);
    failure.message
}

#[test]
fn a_malformed_line_is_answered_and_the_next_one_served() {
    run(false, async {
        let place = Place::new().await;
        let mut client = place.client().await;
        for line in ["", "status", "{", "[1]", r#"{"version":1,"command":"reload","plann":true}"#] {
            assert_eq!(client.fails(line).await.code, FailureCode::Malformed, "{line}");
        }
        let message = client.fails(r#"{"version":7,"command":"status"}"#).await.message;
        assert!(message.contains("version 7") && message.contains("speaks version 1"), "{message}");
        assert_eq!(place.node.heard(), 0);
        client.works().await;
        assert_eq!(place.count("malformed"), 6);
    });
}

#[test]
fn a_line_that_is_too_long_ends_its_connection_alone() {
    run(false, async {
        let place = Place::new().await;
        let (mut good, mut bad) = (place.client().await, place.client().await);
        good.works().await;
        // All that may be, and one more.
        let padding = " ".repeat(MAX_REQUEST - STATUS.len());
        assert!(bad.ask(&format!("{STATUS}{padding}")).await.ok.is_some());
        bad.0.write_all("x".repeat(MAX_REQUEST + 1).as_bytes()).await.unwrap();
        assert!(malformed(bad.reply().await).contains("longer than 1048576 bytes"));
        assert_eq!(bad.reply().await, None);
        good.works().await;
    });
}

#[test]
fn a_request_that_is_cut_off_is_not_carried_out() {
    run(false, async {
        let place = Place::new().await;
        let mut client = place.client().await;
        client.0.write_all(STATUS.as_bytes()).await.unwrap();
        client.0.shutdown().await.unwrap();
        assert!(malformed(client.reply().await).contains("does not end with a line end"));
        assert_eq!((client.reply().await, place.node.heard()), (None, 0));
    });
}

#[test]
fn a_silent_client_is_sent_away_after_a_minute() {
    run(true, async {
        let place = Place::new().await;
        let (mut silent, mut dripping) = (place.client().await, place.client().await);
        dripping.works().await;
        let start = Instant::now();
        let (mut reader, mut writer) = dripping.0.into_inner().into_split();
        let drip = async move {
            while writer.write_all(b" ").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let hear = async {
            let mut all = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut all).await.map(|_| all)
        };
        let (silent, said, ()) = tokio::join!(silent.reply(), hear, drip);
        assert!(malformed(silent).contains("no full line within 60 s"));
        // Closing with bytes unread resets the connection, perhaps before the reply is read.
        assert!(said.is_err() || said.unwrap().contains("no full line within 60 s"));
        assert!((IDLE_LIMIT..IDLE_LIMIT + Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(place.count("idle"), 2);
    });
}

#[test]
fn a_stalled_reader_costs_only_its_connection() {
    run(true, async {
        let place = Place::new().await;
        let mut stalled = place.client().await;
        stalled.send(&describe("large")).await;
        let mut other = place.client().await;
        other.works().await;
        assert_eq!(place.count("stalled"), 0);
        sleep(WRITE_LIMIT + Duration::from_secs(1)).await;
        assert_eq!(place.count("stalled"), 1);
        other.works().await;
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stalled.0, &mut rest).await.unwrap();
        assert!(rest.len() < 8 << 20, "it gets no full reply any more");
    });
}

#[test]
fn one_connection_too_many_is_told_so() {
    run(false, async {
        let place = Place::new().await;
        let mut clients = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            clients.push(place.client().await);
            clients.last_mut().unwrap().works().await;
        }
        for _ in 0..3 {
            let mut late = place.client().await;
            let failure = late.reply().await.unwrap().error.unwrap();
            assert_eq!(failure.code, FailureCode::Refused);
            assert!(failure.message.contains("16 control connections are open"), "{failure}");
            assert_eq!(late.reply().await, None);
        }
        assert_eq!(place.count("refused_connections"), 3);
        for client in &mut clients {
            client.works().await;
        }
        clients.pop();
        // The server learns of the end in its own time.
        let deadline = Instant::now() + BOUND;
        loop {
            let mut next = place.client().await;
            // A refusal may have closed it already.
            let _ = next.0.write_all(format!("{STATUS}\n").as_bytes()).await;
            if next.reply().await.is_some_and(|reply| reply.ok.is_some()) {
                break;
            }
            assert!(Instant::now() < deadline, "no place is ever free again");
        }
    });
}

#[test]
fn a_command_goes_on_when_its_client_is_gone_but_not_without_bound() {
    run(true, async {
        let place = Place::new().await;
        for number in 1..=MAX_OPERATIONS {
            let mut client = place.client().await;
            client.send(&describe("never")).await;
            while place.node.heard() < number {
                sleep(Duration::from_millis(1)).await;
            }
            // A conversation at work does not notice; the acceptor's restart lets go of it.
            if number % MAX_CONNECTIONS == 0 {
                let arm = place.tree.arm("control", "acceptor", supervision::Fault::Stop, 1);
                assert!(arm && place.tree.nudge("control", "acceptor"));
                assert_eq!(client.reply().await, None);
            }
        }
        let failure = place.client().await.fails(STATUS).await;
        assert_eq!((failure.code, failure.message.contains("32 commands")), (FailureCode::Refused, true));
        assert_eq!((place.count("refused_operations"), place.node.heard()), (1, MAX_OPERATIONS));
    });
}

#[test]
fn a_panic_of_the_node_fails_one_command() {
    run(false, async {
        let place = Place::new().await;
        let mut client = place.client().await;
        let failure = client.fails(&describe("panic")).await;
        assert_eq!((failure.code, failure.message.contains("panicked")), (FailureCode::Failed, true));
        client.works().await;
        assert_eq!(place.count("panics"), 1);
    });
}

#[test]
fn a_slow_command_keeps_nobody_else_waiting() {
    run(true, async {
        let place = Place::new().await;
        let (mut slow, mut fast) = (place.client().await, place.client().await);
        let start = Instant::now();
        slow.send(&describe("slow")).await;
        fast.works().await;
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(slow.reply().await.unwrap().ok.is_some());
        assert!(start.elapsed() >= Duration::from_secs(5));
    });
}

/// The file system keeps others out; where it has been opened, the server still looks who is asking.
#[test]
fn another_user_is_refused_and_counted() {
    if !rustix::process::geteuid().is_root() {
        println!("needs root: nobody else can become another user");
        return;
    }
    run(false, async {
        let place = Place::new().await;
        let path = place.path();
        let stranger = |path: PathBuf| {
            let talk = move || {
                rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65534)).unwrap();
                let mut stream = std::os::unix::net::UnixStream::connect(path)?;
                let mut said = String::new();
                stream.read_to_string(&mut said).map(|_| said)
            };
            // A thread of its own, since it stays another user.
            let thread = std::thread::spawn(talk);
            async move {
                while !thread.is_finished() {
                    sleep(Duration::from_millis(1)).await;
                }
                thread.join().unwrap()
            }
        };
        let kept_out = stranger(path.clone()).await.unwrap_err();
        assert_eq!(kept_out.kind(), std::io::ErrorKind::PermissionDenied);
        for (what, mode) in [(place.directory.path(), 0o755), (path.parent().unwrap(), 0o755), (&path, 0o666)] {
            std::fs::set_permissions(what, PermissionsExt::from_mode(mode)).unwrap();
        }
        let said: Reply = serde_json::from_str(&stranger(path).await.unwrap()).unwrap();
        let failure = said.error.unwrap();
        assert_eq!(failure.code, FailureCode::Refused);
        assert_eq!(failure.message, "user 65534 may not speak with this node; user 0 and root may");
        assert_eq!((place.count("refused_users"), place.count("connections")), (1, 0));
        place.client().await.works().await;
    });
}

/// Random bytes over a real connection: each line gets one failure, and the next client is served.
#[test]
fn no_bytes_disturb_the_server() {
    run(false, async {
        let place = Place::new().await;
        let mut runner = TestRunner::deterministic();
        let lines = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8);
        for _ in 0..100 {
            let lines = lines.new_tree(&mut runner).unwrap().current();
            let mut bytes = Vec::new();
            lines.iter().for_each(|line| bytes.extend(line.iter().chain(b"\n")));
            let expected = bytes.iter().filter(|byte| **byte == b'\n').count();
            let mut client = place.client().await;
            client.0.write_all(&bytes).await.unwrap();
            client.0.shutdown().await.unwrap();
            let mut replies = 0;
            while let Some(reply) = client.reply().await {
                assert_eq!(reply.error.unwrap().code, FailureCode::Malformed);
                replies += 1;
            }
            assert_eq!(replies, expected);
        }
        assert_eq!(place.node.heard(), 0);
        place.client().await.works().await;
        let acceptor = place.tree.find("control", "acceptor").unwrap();
        assert_eq!(acceptor.life(), 1, "nothing has made it panic");
    });
}
