//! Clients and a stranger that never stop, and the audit of what everybody owns.
#![allow(unreachable_pub, reason = "shared by the files of one test")]

use crate::vlans::{Lab, Place, WHOLE, vlans};
use asa_framework::roles::delegator::{Give, Take};
use asa_framework::roles::pool::{Answer, Ask, Census, Request, State, Way};
use asa_framework::roles::resource::{Range, Resource};
use asa_framework::testing::Harness;
use grasp::{Asa, AsaLocator, Negotiated, Registration, Step, Value};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Blocks that each client holds.
const HELD: usize = 3;

/// What has happened, and who owns what by his own account.
#[derive(Default)]
pub struct Books {
    /// Owner of each block: `core-…` and `edge-…` are clients, `stranger` is one.
    pub held: RefCell<BTreeMap<Range, String>>,
    pub taken: Cell<u32>,
    pub given: Cell<u32>,
    pub negotiated: Cell<u32>,
    pub declined: Cell<u32>,
    /// Requests that failed, with the reason.
    failures: RefCell<BTreeMap<String, u32>>,
    /// What may never happen.
    pub wrong: RefCell<Vec<String>>,
    rounds: Cell<u32>,
    enough: Cell<bool>,
}

fn add(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}

impl Books {
    fn failed(&self, who: &str, why: impl std::fmt::Display) {
        *self.failures.borrow_mut().entry(format!("{who}: {why}")).or_default() += 1;
    }

    /// Nobody may be shown what somebody owns.
    fn shown(&self, block: Range, whom: &str) {
        if let Some((old, owner)) = self.held.borrow().iter().find(|(old, _)| old.overlaps(&block)) {
            self.wrong.borrow_mut().push(format!("{whom} is given {block:?}, but {owner} owns {old:?}"));
        }
    }

    /// Nobody hears of anything that is not stored.
    fn stored(&self, is_stored: bool, block: Range) {
        if !is_stored {
            self.wrong.borrow_mut().push(format!("{block:?} is not in the store"));
        }
    }

    fn owns(&self, block: Range, owner: &str) {
        self.shown(block, owner);
        self.held.borrow_mut().insert(block, owner.to_owned());
    }

    /// The clients of a node that own something.
    pub fn clients_of(&self, key: &str) -> Vec<String> {
        self.held.borrow().values().filter(|owner| owner.starts_with(key)).cloned().collect()
    }

    /// What has failed since this was last asked.
    pub fn failures(&self) -> BTreeMap<String, u32> {
        self.failures.take()
    }
}

pub struct Traffic {
    pub books: Rc<Books>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Asks the latest incarnation, and those before it if it does not serve yet or any more.
async fn anywhere<T, F>(lab: &Lab, key: &str, ask: impl Fn(Place) -> F) -> Result<T, String>
where
    F: Future<Output = Result<Result<T, String>, actix::MailboxError>>,
{
    let mut last = "nobody is there".to_owned();
    for _ in 0..3 {
        for place in lab.places(key) {
            match ask(place).await {
                Ok(Err(why)) if why == "not active" => last = why,
                Ok(answer) => return answer,
                Err(gone) => last = gone.to_string(),
            }
        }
    }
    Err(last)
}

async fn client(lab: Lab, books: Rc<Books>, key: &'static str, lane: u64) {
    let mut mine: VecDeque<(Range, String)> = VecDeque::new();
    let mut turn = 0_u32;
    while !books.enough.get() {
        tokio::time::sleep(Duration::from_millis(40 + 13 * lane)).await;
        turn += 1;
        let (want, client) = (1 + (turn + lane as u32) % 6, format!("{key}-{}-{lane}-{turn}", books.rounds.get()));
        let block = loop {
            let taken = anywhere(&lab, key, |place| {
                let client = client.clone();
                async move { place.delegator.send(Take { want, client }).await }
            });
            match taken.await {
                Ok(block) => break block,
                Err(why) => books.failed(&format!("{key} take"), why),
            }
            tokio::time::sleep(SECOND / 4).await;
        };
        add(&books.taken);
        if block.measure() != u128::from(want) {
            books.wrong.borrow_mut().push(format!("{client} wants {want} and gets {block:?}"));
        }
        let granted = State::Granted { to: format!("client {client}") };
        books.stored(lab.is_stored(block, |state| *state == granted).await, block);
        books.owns(block, &client);
        mine.push_back((block, client));
        if mine.len() > HELD {
            let first = mine.pop_front().unwrap();
            give(&lab, &books, key, first).await;
        }
    }
    // The last one stays.
    mine.pop_back();
    for one in mine {
        give(&lab, &books, key, one).await;
    }
}

async fn give(lab: &Lab, books: &Books, key: &str, (block, client): (Range, String)) {
    books.held.borrow_mut().remove(&block);
    add(&books.given);
    for attempt in 0.. {
        let given = anywhere(lab, key, |place| {
            let client = client.clone();
            async move { place.delegator.send(Give { block, client }).await }
        });
        match given.await {
            Ok(()) => return,
            // Only the answer to the last attempt was lost.
            Err(why) if why.starts_with("Range {") && attempt > 0 => return,
            Err(why) if why.starts_with("Range {") => {
                books.wrong.borrow_mut().push(format!("{client} cannot give back: {why}"));
                return;
            }
            Err(why) => books.failed(&format!("{key} give"), why),
        }
        tokio::time::sleep(SECOND / 4).await;
    }
}

/// A plain GRASP peer, and where it asks.
pub struct Stranger {
    lab: Lab,
    peer: Asa,
    places: Vec<AsaLocator>,
}

impl Stranger {
    pub async fn arrive(harness: &Harness, lab: &Lab, name: &str) -> Self {
        let peer = harness.peer(name).await;
        peer.register_objective(&vlans(), Registration::default()).await.unwrap();
        let places = peer.discover(&vlans(), Duration::from_millis(300), Some(Duration::ZERO)).await.unwrap();
        assert_eq!(places.len(), 2);
        Self { lab: lab.clone(), peer, places }
    }

    /// Takes what it is offered, declines it, haggles, or thinks about it for a while.
    async fn asks(&self, turn: usize, books: &Books) -> Result<(), grasp::Error> {
        let asks = |want: u32| vlans().with_value(Value::item(&want).unwrap());
        let (place, want) = (&self.places[turn % self.places.len()], 1 + u32::from(turn.is_multiple_of(3)));
        let block = |offer: grasp::Objective| offer.value.unwrap().decode::<Range>().unwrap();
        let (session, mut offered) = match self.peer.request_negotiate(&asks(want), Some(place), 20 * SECOND).await? {
            Negotiated::Offered(session, offer) => (session, block(offer)),
            Negotiated::Accepted(_) => panic!("accepted without an offer"),
        };
        books.shown(offered, "stranger");
        let is_offered = |state: &State| matches!(state, State::Offered { .. });
        books.stored(self.lab.is_stored(offered, is_offered).await, offered);
        tokio::time::sleep(Duration::from_millis(turn as u64 * 150 % 1050)).await;
        if turn.is_multiple_of(7) {
            match session.negotiate_step(&asks(want + 1), 20 * SECOND).await? {
                Step::Offered(offer) => offered = block(offer),
                Step::Accepted(_) => panic!("accepted without an offer"),
            }
        }
        if turn % 4 < 2 {
            session.end_negotiate(true, None).await?;
            books.owns(offered, "stranger");
            add(&books.negotiated);
        } else {
            session.end_negotiate(false, Some("not that one")).await?;
            add(&books.declined);
        }
        Ok(())
    }
}

async fn never_stops(stranger: Rc<Stranger>, books: Rc<Books>, lane: u64) {
    let mut turn = 5 * books.rounds.get() as usize + lane as usize;
    while !books.enough.get() {
        tokio::time::sleep(Duration::from_millis(230 + 70 * lane)).await;
        turn += 1;
        if let Err(why) = stranger.asks(turn, &books).await {
            books.failed("stranger", why);
        }
    }
}

impl Traffic {
    /// Begins on both nodes.
    pub fn begin(lab: &Lab, stranger: &Rc<Stranger>, books: &Rc<Books>) -> Self {
        books.enough.set(false);
        add(&books.rounds);
        let mut tasks = Vec::new();
        for lane in 0..3 {
            tasks.push(actix::spawn(never_stops(stranger.clone(), books.clone(), lane)));
            for key in ["core", "edge"] {
                tasks.push(actix::spawn(client(lab.clone(), books.clone(), key, lane)));
            }
        }
        Self { books: books.clone(), tasks }
    }

    /// Ends it when everybody has got what he last asked for.
    pub async fn end(self) {
        self.books.enough.set(true);
        for task in self.tasks {
            let ended = tokio::time::timeout(120 * SECOND, task).await;
            ended.unwrap_or_else(|_| panic!("somebody is never served: {:?}", self.books.failures.borrow())).unwrap();
        }
        // What the nodes have to say to each other.
        tokio::time::sleep(20 * SECOND).await;
    }
}

/// What the pools hold when all is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub core: Census<Range>,
    pub edge: Census<Range>,
    /// Who has what has left a pool: the stranger, and the edge.
    arrived: Vec<Range>,
}

fn doubts(census: &Census<Range>) -> Vec<(Range, Way)> {
    let doubtful = census.blocks.iter().filter_map(|(block, state)| {
        let State::Doubt { way, .. } = state else { return None };
        Some((*block, *way))
    });
    doubtful.collect()
}

impl Audit {
    /// Number of doubts of the core and of the edge.
    pub fn doubts(&self) -> (usize, usize) {
        (doubts(&self.core).len(), doubts(&self.edge).len())
    }

    /// Puts an end to the doubts, as an operator does who asks the other side.
    pub async fn resolve(&self, lab: &Lab) {
        for (key, census) in [("core", &self.core), ("edge", &self.edge)] {
            for (block, way) in doubts(census) {
                let ours = match way {
                    Way::Out => !self.arrived.contains(&block),
                    Way::In => to_peers(&self.core).get(&block) == Some(&true),
                };
                let request = Request::Resolve { block, ours };
                let answer = lab.places(key)[0].pool.send(Ask(request)).await.unwrap();
                assert_eq!(answer, Ok(Answer::Done));
            }
        }
    }
}

/// Blocks that a pool has given to peers, and whether that is certain.
fn to_peers(census: &Census<Range>) -> BTreeMap<Range, bool> {
    let given = census.blocks.iter().filter_map(|(block, state)| {
        let certain = matches!(state, State::Granted { to } if to.starts_with("peer "));
        let doubtful = matches!(state, State::Doubt { way: Way::Out, .. });
        (certain || doubtful).then_some((*block, certain))
    });
    given.collect()
}

/// Blocks are disjoint, and those that are not on their way in make up the aggregates.
fn whole(census: &Census<Range>) -> u128 {
    assert!(census.blocks.windows(2).all(|pair| !pair[0].0.overlaps(&pair[1].0)), "{census:?}");
    let foreign = |state: &State| matches!(state, State::Accepting { .. } | State::Doubt { way: Way::In, .. });
    let own: u128 = census.blocks.iter().filter(|(_, state)| !foreign(state)).map(|(block, _)| block.measure()).sum();
    let aggregates: u128 = census.aggregates.iter().map(|(block, _)| block.measure()).sum();
    assert_eq!(own, aggregates, "{census:?}");
    own
}

/// Nothing is owned twice and nothing is lost, over both nodes, their clients and the stranger.
pub async fn audit(lab: &Lab, books: &Books) -> Audit {
    assert_eq!(*books.wrong.borrow(), Vec::<String>::new());
    let census = async |key: &str| lab.places(key).first().expect("one runs").census().await.unwrap();
    let (core, edge) = (census("core").await, census("edge").await);
    assert!(core.writable && edge.writable);
    assert_eq!(whole(&core), WHOLE.measure());
    whole(&edge);
    for census in [&core, &edge] {
        let open = census.blocks.iter().find(|(_, s)| matches!(s, State::Offered { .. } | State::Accepting { .. }));
        assert_eq!(open, None, "no negotiation is open");
    }
    let held = books.held.borrow();
    // Each client has what its pool says, and the pool has granted nothing else to clients.
    for (key, census) in [("core", &core), ("edge", &edge)] {
        let said = census.blocks.iter().filter_map(|(block, state)| {
            let State::Granted { to } = state else { return None };
            Some((*block, to.strip_prefix("client ")?.to_owned()))
        });
        let said: BTreeMap<Range, String> = said.collect();
        let own = held.iter().filter(|(_, owner)| owner.starts_with(key));
        assert_eq!(said, own.map(|(block, owner)| (*block, owner.clone())).collect());
    }
    // What has left a pool has arrived, and nothing has arrived that has not left.
    let doubtful_in =
        |block: &Range| edge.blocks.iter().any(|(b, s)| b == block && matches!(s, State::Doubt { way: Way::In, .. }));
    let mut left = to_peers(&core);
    left.extend(to_peers(&edge));
    let strangers = held.iter().filter(|(_, owner)| *owner == "stranger").map(|(block, _)| *block);
    let arrived: Vec<Range> = strangers.chain(edge.aggregates.iter().map(|(block, _)| *block)).collect();
    for block in &arrived {
        assert!(left.contains_key(block), "{block:?} belongs to somebody, and nobody has given it");
    }
    for (block, certain) in &left {
        let known = arrived.contains(block) || doubtful_in(block);
        assert!(known || !certain, "{block:?} was given, and nobody has it");
    }
    drop(held);
    Audit { core, edge, arrived }
}
