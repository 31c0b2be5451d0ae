//! What the bank puts on the wire, seen from a bare socket of the fabric.

use crate::support::{World, agent, manifest, paused};
use asa_framework::deploy::Deployment;
use grasp::net::Network;
use grasp::wire::{Limits, Message, decode};
use grasp::{Objective, Registration, hex};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(2);

async fn bank(world: &mut World) -> Deployment {
    world.start(&manifest("briggs", &agent("briggs", "briggs", "seed = 1\nbank = 'Kiwi'\nwait_min_ms = 10500"))).await
}

/// Sends one message over a connection of its own, and returns what comes back until there is silence or the end.
async fn exchange(world: &World, bank: &Deployment, request: &str) -> String {
    let status = bank.grasp().status().await.unwrap();
    let to = SocketAddr::from((status.global.unwrap(), status.port));
    let mut stream = world.place().connect(to).await.unwrap();
    stream.write_all(&hex::decode(request).unwrap()).await.unwrap();
    let mut answer = vec![0; 2048];
    let length = tokio::time::timeout(LIMIT, stream.read(&mut answer)).await.expect("an answer").unwrap();
    hex::encode(&answer[..length])
}

/// GB-W-01, GB-W-02 (avoid): EX1 is flooded at once and in every period, with flags 5, loop count 4, an empty locator and a
/// lifetime of three and a half periods.
#[test]
fn ex1_is_flooded_as_described() {
    paused(async {
        let mut world = World::new();
        let place = world.place();
        let sockets = place.open_link(&place.interfaces().unwrap()[0]).unwrap();
        let bank = bank(&mut world).await;
        let mut floods = Vec::new();
        let begin = tokio::time::Instant::now();
        while floods.len() < 3 {
            let (bytes, _) =
                tokio::time::timeout(Duration::from_secs(61), sockets.multicast.receive()).await.unwrap().unwrap();
            if let Message::Flood { ttl, objectives, .. } = decode(&bytes, &Limits::default()).unwrap() {
                let tagged = &objectives[0];
                let Objective { name, flags, loop_count, value } = &tagged.objective;
                assert_eq!((objectives.len(), name.as_str(), flags.0, *loop_count, ttl), (1, "EX1", 5, 4, 210_000));
                assert_eq!(tagged.locator, None);
                let text: String = value.as_ref().unwrap().decode().unwrap();
                let (date, from) = text.split_at(20);
                let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                assert_eq!((shape.as_str(), from), ("0000-00-00 00:00 UTC", " from Kiwi"));
                floods.push(begin.elapsed().as_secs());
            }
        }
        assert_eq!(floods, [0, 60, 120]);
        bank.stop(LIMIT).await;
    });
}

/// GB-W-02, GB-W-03: EX1 and EX2 are also served to those who ask, EX2 as `[1, "two", 3]` with flags 5 and loop count 4.
#[test]
fn ex1_and_ex2_are_served() {
    paused(async {
        let mut world = World::new();
        let bank = bank(&mut world).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = exchange(&world, &bank, "83040784634558320504f6").await;
        assert_eq!(answer, "8308078463455832050483016374776f03");
        let answer = exchange(&world, &bank, "83040884634558310504f6").await;
        assert!(answer.starts_with("8308088463455831050478"), "{answer}");
        bank.stop(LIMIT).await;
    });
}

/// GB-W-03, GB-W-04: a discovery with a null value is answered within a second with the value of EX2 behind the locator, and
/// that is taken instead of a request; without rapid mode the request is made.
#[test]
fn ex2_is_read_by_rapid_mode_and_without() {
    paused(async {
        let mut world = World::new();
        let bank = bank(&mut world).await;
        let hand = world.start(&manifest("hand", "")).await;
        let asa = hand.grasp().register_asa("hand").await.unwrap();
        let ex2 = Objective::synchronization("EX2").with_loop_count(4);
        asa.register_objective(&ex2, Registration { overlap: true, ..Registration::default() }).await.unwrap();
        for rapid in [true, false] {
            let begin = tokio::time::Instant::now();
            let read = asa.synchronize_rapidly(&ex2, None, Duration::from_secs(5), rapid).await.unwrap();
            assert_eq!(read.value.unwrap().decode::<(u8, String, u8)>().unwrap(), (1, "two".into(), 3));
            assert!(begin.elapsed() < Duration::from_secs(1));
        }
        hand.stop(LIMIT).await;
        bank.stop(LIMIT).await;
    });
}

/// GB-W-07, GB-B-03: the accept and the decline, byte for byte; GB-B-04: nothing comes before the accept.
#[test]
fn accepts_and_declines_are_those_of_the_python_program() {
    paused(async {
        let mut world = World::new();
        let bank = bank(&mut world).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let accepted = exchange(&world, &bank, "83031a19bc60c28463455833030c82634e5a440a").await;
        assert_eq!(accepted, "83061a19bc60c2811865");
        let declined = exchange(&world, &bank, "83031a19bc60c38463455833030c82635553440a").await;
        assert_eq!(declined, "83061a19bc60c382186670".to_owned() + &hex::encode(b"Invalid currency"));
        bank.stop(LIMIT).await;
    });
}
