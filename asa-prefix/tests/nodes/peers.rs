//! Which of several peers is asked, and how many of them at once.

use super::{Lab, node};
use asa_framework::testing::{self, Harness};
use asa_prefix::prefix::Family;
use grasp::{Objective, Registration, Session, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What several providers have in common.
#[derive(Clone, Default)]
struct Shared {
    /// Who was asked, in order, and whether what it did was accepted.
    asked: Rc<RefCell<Vec<(usize, bool)>>>,
    /// Requests that are not answered yet, now and at most.
    open: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    /// How many /56 have been offered.
    offers: Rc<Cell<u16>>,
}

impl Shared {
    /// A provider that thinks so long and then offers a /56, as often as it is asked and `offers` allows.
    async fn provider(&self, harness: &Harness, number: usize, offers: usize, thinks: Duration) {
        let asa = harness.peer(&format!("provider-{number}")).await;
        let objective = Objective::negotiation("PrefixManager");
        asa.register_objective(&objective, Registration::default()).await.unwrap();
        let shared = self.clone();
        tokio::task::spawn_local(async move {
            let mut left = offers;
            while let Ok((session, request)) = asa.listen_negotiate(&objective).await {
                let gives = left > 0;
                left = left.saturating_sub(1);
                let shared = shared.clone();
                tokio::task::spawn_local(async move { shared.serve(number, gives, thinks, &session, request).await });
            }
        });
    }

    async fn serve(&self, number: usize, gives: bool, thinks: Duration, session: &Session, request: Objective) {
        self.open.set(self.open.get() + 1);
        self.most.set(self.most.get().max(self.open.get()));
        tokio::time::sleep(thinks).await;
        let place = self.asked.borrow().len();
        self.asked.borrow_mut().push((number, false));
        if gives {
            self.offers.set(self.offers.get() + 1);
            let [high, low] = self.offers.get().to_be_bytes();
            let block = [0x20, 1, 0xd, 0xb8, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let offer = Value::item(&(6, 56, serde_bytes(&block))).unwrap();
            let step = session.negotiate_step(&request.with_value(offer), Duration::from_secs(10)).await;
            self.asked.borrow_mut()[place].1 = matches!(step, Ok(grasp::Step::Accepted(_)));
        } else {
            session.end_negotiate(false, Some("none left")).await.unwrap();
        }
        self.open.set(self.open.get() - 1);
    }

    fn asked(&self) -> Vec<(usize, bool)> {
        self.asked.borrow().clone()
    }
}

/// A byte string in CBOR.
fn serde_bytes(bytes: &[u8]) -> ciborium::Value {
    ciborium::Value::Bytes(bytes.to_vec())
}

/// Who was asked in this time, with three providers that give so often each and then decline.
fn three(seed: u64, offers: usize, seconds: u64) -> Vec<(usize, bool)> {
    testing::run(seed, async |harness| {
        let (_, class) = Lab::new();
        let shared = Shared::default();
        for number in 0..3 {
            shared.provider(&harness, number, offers, Duration::ZERO).await;
        }
        node(&harness, class, "edge", "delegator", "ipv6_ask = 56\nipv6_need = 1000000").await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        shared.asked()
    })
}

/// PM-R-08: of three, the one that has helped is asked until it declines; then another helps as well.
#[test]
fn who_has_helped_is_asked_until_it_declines() {
    for seed in 61..65 {
        let asked = three(seed, 20, 120);
        let gains: Vec<usize> = asked.iter().filter(|(_, gain)| *gain).map(|(who, _)| *who).collect();
        // Whoever gives once gives all it has before anybody else is asked.
        let turns: Vec<&[usize]> = gains.chunk_by(|a, b| a == b).collect();
        assert!(turns.len() >= 2 && turns.iter().all(|turn| turn.len() == 20), "{asked:?}");
        let first = asked.iter().take_while(|(who, gain)| *gain && *who == asked[0].0).count();
        assert_eq!((first, asked[first]), (20, (asked[0].0, false)), "{asked:?}");
    }
}

/// PM-R-08: once it has declined, the next request goes to another.
#[test]
fn who_has_declined_is_not_the_next_to_be_asked() {
    for seed in 61..81 {
        let asked = three(seed, 5, 60);
        let refusal = asked.iter().position(|(_, gain)| !gain).unwrap();
        assert_ne!(asked[refusal].0, asked[refusal + 1].0, "seed {seed}: {asked:?}");
    }
}

/// PM-R-09: without a good peer it is not always the same ones that are asked, while another has something to give.
#[test]
fn everybody_is_asked_sooner_or_later() {
    for seed in 61..65 {
        let asked = three(seed, 5, 3_000);
        for number in 0..3 {
            assert!(asked.iter().any(|(who, _)| *who == number), "seed {seed}, provider {number}: {asked:?}");
        }
    }
}

/// PM-Q-10: with ten slow providers, one is asked at a time, and no more is taken than is needed.
#[test]
fn one_request_is_open_at_a_time_however_many_could_be_asked() {
    testing::run(66, async |harness| {
        let (lab, class) = Lab::new();
        let shared = Shared::default();
        for number in 0..10 {
            shared.provider(&harness, number, usize::MAX, Duration::from_secs(3)).await;
        }
        // Four times 256 are the first number of blocks that is enough.
        node(&harness, class, "edge", "delegator", "ipv6_ask = 56\nipv6_need = 1000").await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(shared.most.get(), 1, "{:?}", shared.asked());
        assert_eq!(shared.asked().iter().map(|(_, gain)| *gain).collect::<Vec<_>>(), [true; 4]);
        assert_eq!(lab.census("edge").await.free[&Family::V6], 4 * (256 << 64));
    });
}
