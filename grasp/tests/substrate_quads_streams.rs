//! Ciphertexts on a connection: whatever the reads are, and one reaction to whatever is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::net::ByteStream;
use grasp::protocol::Time;
use grasp::substrate::quads::{Deframer, FAILURE_DELAY, GroupKey};
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Limits, Message, Objective, Value, decode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};

/// Bytes of the ciphertext of the longest message.
const LONGEST: usize = 2064;
/// Of any message and any state: the longest message twice, and what one read brings.
const MEMORY: usize = 2 * 2048 + 1024 + 32;

fn key() -> GroupKey {
    GroupKey::from_bytes(*b"0123456789abcdefghijklmnopqrstuv")
}

fn quads() -> Quads {
    Quads::new(key(), Limits::default())
}

fn seal(message: &[u8]) -> Vec<u8> {
    quads().seal(1, message.to_vec())
}

/// Encrypts whole blocks, without padding.
fn raw(blocks: &[u8]) -> Vec<u8> {
    assert_eq!(blocks.len() % 16, 0);
    let mut sealed = seal(blocks);
    sealed.truncate(blocks.len());
    sealed
}

fn synch(session_id: u32, value: &[u8]) -> Vec<u8> {
    named("x", session_id, value)
}

fn named(name: &str, session_id: u32, value: &[u8]) -> Vec<u8> {
    let objective = Objective::synchronization(name).with_value(Value::item(&value).unwrap());
    Message::Synch { session_id, objective }.encode()
}

/// A message of exactly so many bytes.
fn message_of(size: usize) -> Vec<u8> {
    // Some sizes need another name, since the length of the value takes more bytes from some lengths on.
    let messages = (0..size).flat_map(|value| ["x", "xy"].map(|name| named(name, 7, &vec![1; value])));
    { messages }.find(|message| message.len() == size).unwrap()
}

fn wait(session_id: u32) -> Vec<u8> {
    Message::Wait { session_id, waiting_time: 5 }.encode()
}

fn feed(deframer: &mut Deframer, at: Time, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() && deframer.room() > 0 {
        let (now, later) = bytes.split_at(bytes.len().min(deframer.room()));
        deframer.push(at, now);
        assert!(deframer.held() <= MEMORY);
        found.extend(std::iter::from_fn(|| deframer.poll()));
        bytes = later;
    }
    found
}

fn deframer() -> Deframer {
    Deframer::new(Arc::new(key()), Limits::default())
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0x81, 0x00]),
        any::<u32>().prop_map(wait),
        (any::<u32>(), vec(any::<u8>(), 0..200)).prop_map(|(id, value)| synch(id, &value)),
        (any::<u32>(), 1900_usize..2020).prop_map(|(id, size)| synch(id, &vec![9; size])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// EX-Q-04: any messages, cut and joined in any way.
    #[test]
    fn messages_come_out_as_they_went_in(messages in vec(any_message(), 1..6), cuts in vec(1_usize..2100, 1..40)) {
        let stream: Vec<u8> = messages.iter().flat_map(|message| seal(message)).collect();
        let (mut deframer, mut found, mut rest) = (deframer(), Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            found.extend(feed(&mut deframer, Time::default(), now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, messages);
        prop_assert_eq!(deframer.deadline(), None);
        prop_assert_eq!(deframer.held(), 0);
    }

    /// EX-Q-04, EX-Q-05: nothing panics, memory is bounded, and no more is taken than of a message that is never completed.
    #[test]
    fn any_bytes_are_taken_within_bounds(
        good in vec(any_message(), 0..2),
        bytes in vec(any::<u8>(), 0..3000),
        sealed in any::<bool>(),
        step in 1_usize..1200,
    ) {
        let mut stream: Vec<u8> = good.iter().flat_map(|message| seal(message)).collect();
        stream.extend(if sealed { seal(&bytes) } else { bytes });
        let (mut deframer, mut found) = (deframer(), Vec::new());
        for (second, piece) in (0..).zip(stream.chunks(step)) {
            let before = deframer.deadline();
            found.extend(feed(&mut deframer, Time(Duration::from_secs(second)), piece));
            // The deadline follows from the first byte alone.
            if let (Some(before), Some(now)) = (before, deframer.deadline()) {
                prop_assert!(now == before || now == Time(Duration::from_secs(second)) + FAILURE_DELAY);
            }
        }
        prop_assert_eq!(&found[..good.len()], &good[..]);
        for message in &found {
            prop_assert!(decode(message, &Limits::default()).is_ok());
        }
    }

    /// EX-Q-04: a changed byte never changes the messages before it.
    #[test]
    fn a_changed_ciphertext_does_not_reach_back(at in 0_usize..64, flip in 1_u8..) {
        let (first, second) = (wait(1), synch(2, &[3; 20]));
        let mut stream = [seal(&first), seal(&second)].concat();
        let at = 16 + at % (stream.len() - 16);
        stream[at] ^= flip;
        let found = feed(&mut deframer(), Time::default(), &stream);
        prop_assert_eq!(&found[0], &first);
    }
}

/// EX-Q-04: where the item fills its last block, a block of padding follows; every size near a border.
#[test]
fn messages_of_every_size_around_a_block_border_end_where_they_end() {
    for size in (20..54).chain(2030..=2048) {
        let message = message_of(size);
        let sealed = seal(&message);
        assert_eq!(sealed.len(), (size / 16 + 1) * 16);
        let mut deframer = deframer();
        assert_eq!(feed(&mut deframer, Time::default(), &sealed[..sealed.len() - 1]), [[0_u8; 0]; 0], "{size}");
        assert!(deframer.deadline().is_some());
        assert_eq!(feed(&mut deframer, Time::default(), &sealed[sealed.len() - 1..]), [message], "{size}");
        assert_eq!(deframer.deadline(), None);
    }
    let too_long = message_of(2049);
    assert_eq!(feed(&mut deframer(), Time::default(), &seal(&too_long)), [[0_u8; 0]; 0]);
}

/// What can be wrong with a message, by name.
fn failures() -> Vec<(&'static str, Vec<u8>)> {
    let item = Message::Wait { session_id: 0x1234_5678, waiting_time: 200 }.encode();
    assert_eq!(item.len(), 9);
    let padded = |padding: &[u8]| raw(&[&item[..], padding].concat());
    let full = message_of(32);
    let long = seal(&synch(7, &[5; 500]));
    vec![
        ("another key", Quads::new(GroupKey::from_bytes([9; 32]), Limits::default()).seal(1, item.clone())),
        ("clear text", synch(7, &[5; 30])),
        ("padding 0", padded(&[0; 7])),
        ("padding too short", padded(&[7, 7, 7, 7, 7, 7, 6])),
        ("padding not all the same", padded(&[7, 7, 7, 8, 7, 7, 7])),
        ("padding of another length", padded(&[1; 7])),
        ("wrong block of padding", raw(&[&full[..], &[15; 16]].concat())),
        ("no item", raw(&[0xff; 16])),
        ("an item of reserved form", raw(&[0x1c; 16])),
        ("two items", raw(&[&item[..], &[0, 6, 6, 6, 6, 6, 6]].concat())),
        ("too long by its header", raw(&[0x5a; 16])),
        ("too long in the end", seal(&message_of(2049))),
        ("too deep", raw(&[0x81; 32])),
        ("no message", seal(&[0x63, b'a', b'b', b'c'])),
        ("a message of unknown type", seal(&[0x82, 0x18, 0x2a, 7])),
        ("a message with a wrong field", seal(&[0x83, 7, 7, 0x61, b'x'])),
        ("one byte", vec![1]),
        ("a part of a block", seal(&item)[..15].to_vec()),
        ("one block of many", long[..16].to_vec()),
        ("many blocks, the last missing", long[..long.len() - 16].to_vec()),
        ("the block of padding missing", seal(&full)[..32].to_vec()),
    ]
}

/// Counts what is read from it.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        self.1.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
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

/// A protected connection, its other end, and how many bytes have been read from that.
async fn pair(quads: &Quads) -> (ByteStream, DuplexStream, Arc<AtomicUsize>) {
    let (near, far) = duplex(65_536);
    let read = Arc::new(AtomicUsize::new(0));
    let near = quads.accept(Box::new(Counted(near, read.clone()))).await.unwrap().stream;
    (near, far, read)
}

/// What the peer does besides sending what is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Nothing,
    /// Ends its direction.
    Shuts,
    /// Sends a good message first, in the same segment.
    AfterGood,
    /// Sends it byte by byte, and goes on.
    Trickles,
    /// Sends far more behind it.
    Floods,
}

/// EX-Q-05: one reaction and one time for whatever is wrong, whatever the peer does besides.
#[tokio::test(start_paused = true)]
async fn every_failure_ends_the_stream_at_the_same_time() {
    let quads = quads();
    let mut ended = 0;
    for manner in [Manner::Nothing, Manner::Shuts, Manner::AfterGood, Manner::Trickles, Manner::Floods] {
        for (what, bytes) in failures() {
            let what = format!("{what}, {manner:?}");
            let (mut near, mut far, read) = pair(&quads).await;
            sleep(Duration::from_millis(1234)).await;
            let (first, good) = (Instant::now(), wait(1));
            match manner {
                Manner::Nothing | Manner::Shuts => far.write_all(&bytes).await.unwrap(),
                Manner::AfterGood => far.write_all(&[seal(&good), bytes.clone()].concat()).await.unwrap(),
                Manner::Floods => far.write_all(&[&bytes[..], &[0; 60_000]].concat()).await.unwrap(),
                Manner::Trickles => far.write_all(&bytes[..1]).await.unwrap(),
            }
            if manner == Manner::Shuts {
                far.shutdown().await.unwrap();
            }
            let task = tokio::spawn(async move {
                let mut found = Vec::new();
                let error = near.read_to_end(&mut found).await.unwrap_err();
                let after = first.elapsed();
                assert!(near.write_all(b"x").await.is_err(), "nothing is answered");
                assert!(near.read(&mut [0; 10]).await.is_err());
                assert_eq!(near.write(&[]).await.unwrap(), 0, "the probe is for the connection");
                (found, error.kind(), error.to_string(), after, near)
            });
            if manner == Manner::Trickles {
                for byte in &bytes[1..] {
                    sleep(Duration::from_millis(1)).await;
                    if far.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                }
            }
            let (found, kind, text, after, near) = timeout(Duration::from_secs(60), task).await.expect(&what).unwrap();
            assert_eq!(found, if manner == Manner::AfterGood { good } else { Vec::new() }, "{what}");
            assert_eq!((kind, after), (io::ErrorKind::InvalidData, FAILURE_DELAY), "{what}");
            assert_eq!(text, "a message that this group's key does not open");
            if manner == Manner::Floods {
                // The kernel sees the same number of bytes left unread, whatever was wrong.
                assert_eq!(read.load(Ordering::Relaxed), LONGEST, "{what}");
            }
            ended += 1;
            assert_eq!(quads.counters()["undecryptable_streams"], ended, "{what}");
            drop(near);
            let mut answered = Vec::new();
            far.read_to_end(&mut answered).await.unwrap();
            assert_eq!(answered, [0; 0], "{what}");
        }
    }
    assert_eq!(FAILURE_DELAY, Duration::from_secs(5));
}

/// EX-Q-05: time counts from the message's own first byte, not from the last good one.
#[tokio::test(start_paused = true)]
async fn good_messages_do_not_move_the_end() {
    let quads = quads();
    let (mut near, mut far, _) = pair(&quads).await;
    let mut buffer = [0; 100];
    for session in 1..4 {
        far.write_all(&seal(&wait(session))).await.unwrap();
        let read = near.read(&mut buffer).await.unwrap();
        assert_eq!(buffer[..read], wait(session));
        sleep(Duration::from_secs(60)).await;
    }
    let sealed = seal(&synch(9, &[1; 40]));
    far.write_all(&sealed[..20]).await.unwrap();
    let first = Instant::now();
    let slow = async {
        sleep(Duration::from_millis(4900)).await;
        far.write_all(&sealed[20..]).await.unwrap();
    };
    let (read, ()) = tokio::join!(near.read(&mut buffer), slow);
    assert_eq!(buffer[..read.unwrap()], synch(9, &[1; 40]));
    assert_eq!(first.elapsed(), Duration::from_millis(4900));
    far.write_all(&[1]).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    // A byte has come when it is read.
    let broken = Instant::now();
    assert!(near.read(&mut buffer).await.is_err());
    assert_eq!(broken.elapsed(), FAILURE_DELAY);
}

/// EX-Q-03: a stream counts once, also where whoever holds it has less patience.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_given_up_early_is_counted() {
    let quads = quads();
    for (number, bytes) in (1..).zip([seal(&[0xff]), vec![1; 15]]) {
        let (mut near, mut far, _) = pair(&quads).await;
        far.write_all(&bytes).await.unwrap();
        assert!(timeout(Duration::from_secs(4), near.read(&mut [0; 10])).await.is_err());
        drop(near);
        assert_eq!(quads.counters()["undecryptable_streams"], number);
    }
}

/// The end of a stream between messages is just that, and a reset is passed on at once.
#[tokio::test(start_paused = true)]
async fn an_orderly_end_is_no_failure() {
    let quads = quads();
    let (mut near, mut far, _) = pair(&quads).await;
    far.write_all(&seal(&wait(1))).await.unwrap();
    far.shutdown().await.unwrap();
    let mut found = Vec::new();
    near.read_to_end(&mut found).await.unwrap();
    assert_eq!(found, wait(1));
    assert_eq!(quads.counters()["undecryptable_streams"], 0);
    near.write_all(&wait(2)).await.unwrap();
    near.shutdown().await.unwrap();
    let mut sealed = Vec::new();
    far.read_to_end(&mut sealed).await.unwrap();
    assert_eq!(sealed, seal(&wait(2)));
}

/// EX-Q-01, COM-01: one write is one ciphertext, also where the connection takes it in pieces.
#[tokio::test(start_paused = true)]
async fn each_write_is_one_ciphertext() {
    let (near, mut far) = duplex(50);
    let mut near = quads().connect(Box::new(near), "[::1]:1".parse().unwrap()).await.unwrap().stream;
    let messages = [synch(1, &[1; 700]), wait(2), synch(3, &[3; 7])];
    let expected = messages.iter().flat_map(|message| seal(message)).collect::<Vec<u8>>();
    let writing = async {
        for message in &messages {
            near.write_all(message).await.unwrap();
            assert_eq!(near.write(&[]).await.unwrap(), 0);
        }
        // Nobody has asked for a flush.
        sleep(Duration::from_secs(1)).await;
        drop(near);
    };
    let mut sealed = Vec::new();
    let (read, ()) = tokio::join!(far.read_to_end(&mut sealed), writing);
    read.unwrap();
    assert_eq!(sealed, expected);
}

/// A message that was given up in the middle cannot be followed by another one.
#[tokio::test(start_paused = true)]
async fn nothing_follows_half_a_ciphertext() {
    let (near, far) = duplex(20);
    let mut near = quads().accept(Box::new(near)).await.unwrap().stream;
    assert!(timeout(Duration::from_secs(1), near.write_all(&synch(1, &[1; 100]))).await.is_err());
    assert_eq!(near.write_all(&wait(2)).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(far);
}
