//! The side that asks: looks for the other side of every negotiation that is in doubt, and for the source of what goes back.

use super::message::{Message, Verb};
use super::surplus::Idle;
use crate::pool::record::{Dealt, Source, State, Way};
use crate::pool::{Answer, Ask, Level, Pool, PoolError, Request, Subscribe};
use crate::prefix::{Family, Prefix, Want};
use actix::prelude::*;
use asa_framework::class::Site;
use asa_framework::event::{Event, Events};
use asa_framework::machine::{Clock, Time};
use asa_framework::roles::backoff::{Backoff, BackoffPlan};
use asa_framework::roles::{Activity, Control, Load, Outstanding};
use grasp::constants::GRASP_LISTEN_PORT;
use grasp::wire::Transport;
use grasp::{Asa, AsaLocator, ErrorCode, Locator, Negotiated, Objective};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use supervision::{Fresh, Mailbox, child};

/// Blocks that are dealt with in one round.
const BLOCKS: usize = 64;
/// Rounds in which the provider is there and does not know a negotiation, before a claim is given up whose accept was answered
/// with a reset (PM-S-10).
const ROUNDS: u32 = 3;
/// How often it is looked whether something can go back.
const LOOK: Duration = Duration::from_secs(60);

/// Time limits and names.
#[derive(Debug, Clone)]
pub struct CorrespondentPlan {
    /// The objective that settles doubts.
    pub settle: Objective,
    /// The objective that hands blocks back.
    pub giving_back: Objective,
    /// The objectives under which prefixes are offered: who has them, and not the others, is another maker's.
    pub offering: Vec<Objective>,
    /// Time to look for peers.
    pub discovery: Duration,
    /// Time limit of a question.
    pub answer: Duration,
    /// Pauses between rounds that have not settled everything.
    pub backoff: BackoffPlan,
    /// How long an acquired aggregate has to be idle before it goes back; `None` keeps it (PM-T-01).
    pub return_after: Option<Duration>,
    /// What has to be at hand, as a number of blocks of a length: twice that is never handed back.
    pub keep: BTreeMap<Family, (Want, u128)>,
    /// Where the choice of pauses starts.
    pub seed: u64,
}

/// What it is made of, in every life anew.
#[derive(Clone)]
pub struct CorrespondentArgs {
    /// The ASA; both objectives must be registered already.
    pub asa: Asa,
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// Its pool.
    pub pool: Mailbox<Pool>,
    /// Whether new work is taken now.
    pub activity: Activity,
    /// Time limits and names.
    pub plan: CorrespondentPlan,
}

impl CorrespondentArgs {
    /// One of this site.
    #[must_use]
    pub fn new(asa: &Asa, site: &Site, pool: &Mailbox<Pool>, plan: CorrespondentPlan) -> Self {
        let (asa, instance, events) = (asa.clone(), site.instance().to_owned(), site.events.clone());
        Self { asa, instance, events, pool: pool.clone(), activity: site.activity.clone(), plan }
    }
}

/// The actor.
pub struct Correspondent {
    args: CorrespondentArgs,
    clock: Clock,
    level: Level,
    running: bool,
    backoff: Backoff,
    /// Rounds in which nobody knew a negotiation.
    unknown: BTreeMap<Prefix, u32>,
    idle: Idle,
    random: ChaCha12Rng,
}

impl Correspondent {
    /// One that begins when it is started.
    #[must_use]
    pub fn new(args: CorrespondentArgs) -> Self {
        Self {
            clock: Clock::of_the_runtime(),
            level: Level::default(),
            running: false,
            backoff: Backoff::default(),
            unknown: BTreeMap::new(),
            idle: Idle::default(),
            random: ChaCha12Rng::seed_from_u64(args.plan.seed),
            args,
        }
    }

    fn tell(&self, text: String) {
        tracing::info!(asa = self.args.instance, text);
        (self.args.events)(Event::Said { asa: self.args.instance.clone(), session_id: None, text });
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    /// Begins a round if there is something to settle, now or when the pause after the last one is over.
    fn consider(&mut self, ctx: &mut Context<Self>) {
        let due = self.level.writable && self.level.doubts + self.level.returning > 0;
        if self.running || !due || !self.args.activity.is_active() {
            return;
        }
        self.running = true;
        let pause = self.backoff.until(self.now()).map_or(Duration::ZERO, |until| until.since(self.now()));
        let (args, unknown) = (self.args.clone(), self.unknown.clone());
        // A search that has come to nothing may have been led astray by what is remembered of the network.
        let flush = self.backoff.failures() % 4 == 3;
        let round = async move {
            tokio::time::sleep(pause).await;
            round(&args, unknown, flush).await
        };
        ctx.spawn(round.into_actor(self).map(|outcome, actor, ctx| {
            actor.running = false;
            for line in outcome.said {
                actor.tell(line);
            }
            actor.unknown = outcome.unknown;
            if outcome.left == 0 {
                actor.backoff.succeeded();
            } else {
                let (now, plan, draw) = (actor.now(), actor.args.plan.backoff, actor.random.random());
                if outcome.settled > 0 {
                    actor.backoff.succeeded();
                }
                actor.backoff.failed(now, &plan, draw);
            }
            actor.consider(ctx);
        }));
    }

    /// Takes what is not needed any more out of use; a round then hands it back.
    fn look(&self, ctx: &mut Context<Self>) {
        if !self.args.activity.is_active() {
            return;
        }
        let asked = self.args.pool.send(Ask(Request::Census));
        ctx.spawn(asked.into_actor(self).map(|answer, actor, _| {
            let Ok(Ok(Answer::Census(census))) = answer else { return };
            let (now, after) = (actor.now(), actor.args.plan.return_after);
            if let Some(block) = actor.idle.next(now, &census, after, &actor.args.plan.keep) {
                actor.args.pool.do_send(Ask(Request::Return(block)));
            }
        }));
    }
}

/// What came of a round.
struct Outcome {
    settled: usize,
    left: usize,
    unknown: BTreeMap<Prefix, u32>,
    said: Vec<String>,
}

/// Somebody's answer about one block.
enum Reply {
    /// It is settled.
    Settled(String),
    /// He knows it, and it cannot be settled yet.
    Later,
    /// He does not know it.
    Unknown,
    /// He did not answer.
    Silent,
}

async fn ask(args: &CorrespondentArgs, request: Request) -> Result<Answer, PoolError> {
    let asked = args.pool.send(Ask(request)).await;
    asked.unwrap_or_else(|_| Err(PoolError::State("the pool does not answer".into())))
}

fn address(locator: &AsaLocator) -> Option<IpAddr> {
    match &locator.locator {
        Locator::Ipv6 { address, .. } => Some((*address).into()),
        Locator::Ipv4 { address, .. } => Some((*address).into()),
        Locator::Fqdn { .. } | Locator::Uri { .. } | Locator::Other { .. } => None,
    }
}

/// Those at an address: nobody else can know what became of a negotiation with it, or may be told.
fn at(found: &[AsaLocator], peer: &str) -> Vec<AsaLocator> {
    let peer: Option<IpAddr> = peer.parse().ok();
    found.iter().filter(|at| peer.is_some() && address(at) == peer).cloned().collect()
}

/// A node at an address that no discovery has found: discovery ends at the first neighbour that has an objective, so that those
/// behind it are not heard of. All objectives of a node are at one port, as a rule that of RFC 8990 section 2.6.
fn unseen(peer: &str) -> Option<AsaLocator> {
    let (transport, port) = (Transport::Tcp, GRASP_LISTEN_PORT);
    let locator = match peer.parse().ok()? {
        // It says nothing about the link.
        IpAddr::V6(address) if address.is_unicast_link_local() => return None,
        IpAddr::V6(address) => Locator::Ipv6 { address, transport, port },
        IpAddr::V4(address) => Locator::Ipv4 { address, transport, port },
    };
    Some(AsaLocator::known(locator, 0))
}

/// Those at an address, whether they have been discovered or not.
fn there(found: &[AsaLocator], peer: &str) -> Vec<AsaLocator> {
    let found = at(found, peer);
    if found.is_empty() { unseen(peer).into_iter().collect() } else { found }
}

async fn find(args: &CorrespondentArgs, objective: &Objective, flush: bool) -> Vec<AsaLocator> {
    let flush = flush.then_some(Duration::ZERO);
    args.asa.discover(objective, args.plan.discovery, flush).await.unwrap_or_default()
}

async fn round(args: &CorrespondentArgs, mut unknown: BTreeMap<Prefix, u32>, flush: bool) -> Outcome {
    let mut outcome = Outcome { settled: 0, left: 0, unknown: BTreeMap::new(), said: Vec::new() };
    let list = ask(args, Request::Unsettled { limit: BLOCKS }).await;
    let Ok(Answer::Blocks(blocks, more)) = list else {
        outcome.left = 1;
        return outcome;
    };
    outcome.left = usize::from(more);
    let doubts = blocks.iter().any(|(_, state)| matches!(state, State::Doubt { .. }));
    let settlers = if doubts { find(args, &args.plan.settle, flush).await } else { Vec::new() };
    let mut others = Vec::new();
    if blocks.iter().any(|(_, state)| matches!(state, State::Doubt { way: Way::In, reset: true, .. })) {
        for objective in &args.plan.offering {
            others.extend(find(args, objective, true).await);
        }
    }
    let returning = blocks.iter().any(|(_, state)| *state == State::Returning);
    let takers = if returning { find(args, &args.plan.giving_back, flush).await } else { Vec::new() };
    for (block, state) in blocks {
        let rounds = unknown.remove(&block).unwrap_or_default();
        let reply = if let State::Doubt { dealt, way, reset } = &state {
            let reply = settle(args, (&settlers, &others), block, dealt, *way).await;
            let lost = *reset && *way == Way::In && rounds + 1 >= ROUNDS;
            if lost && matches!(reply, Reply::Unknown) { give_up(args, block, dealt).await } else { reply }
        } else {
            give_back(args, &takers, block).await
        };
        match reply {
            Reply::Settled(said) => {
                outcome.settled += 1;
                outcome.said.push(said);
            }
            Reply::Later | Reply::Silent => outcome.left += 1,
            Reply::Unknown => {
                outcome.left += 1;
                outcome.unknown.insert(block, rounds.saturating_add(1));
            }
        }
    }
    outcome
}

/// Asks one after the other what became of a negotiation, until somebody knows.
///
/// Who is not there, but for the objectives of prefixes, is of another maker and keeps no ledger.
async fn settle(
    args: &CorrespondentArgs,
    (settlers, others): (&[AsaLocator], &[AsaLocator]),
    block: Prefix,
    dealt: &Dealt,
    way: Way,
) -> Reply {
    let seen = !at(settlers, &dealt.deal.peer).is_empty();
    let foreign = !seen && !at(others, &dealt.deal.peer).is_empty();
    let session = dealt.deal.session;
    let verb = if way == Way::In { Verb::Took } else { Verb::Gave };
    let request = args.plan.settle.clone().with_value(Message { verb, session, block }.write());
    // From now on the taker's word decides, and not an acceptance that may still come.
    if way == Way::Out && ask(args, Request::Inquire(block)).await.is_err() {
        return Reply::Later;
    }
    let mut silent = !seen;
    for peer in there(settlers, &dealt.deal.peer) {
        match args.asa.request_negotiate(&request, Some(&peer), args.plan.answer).await {
            Ok(Negotiated::Offered(talk, answer)) => {
                let message = answer.value.as_ref().and_then(|value| Message::read(value).ok());
                let fits = |message: &Message| message.session == session && message.block == block;
                let moved = match message.filter(fits).map(|message| message.verb) {
                    Some(Verb::Moved) => true,
                    Some(Verb::Kept) => false,
                    _ => {
                        let _ = talk.end_negotiate(false, Some("that is no answer")).await;
                        continue;
                    }
                };
                // Written down before the other side may rely on it.
                if ask(args, Request::Settle { block, session, moved }).await.is_err() {
                    let _ = talk.end_negotiate(false, Some("not now")).await;
                    return Reply::Later;
                }
                let _ = talk.end_negotiate(true, None).await;
                let what = if moved { "has changed hands" } else { "has not changed hands" };
                return Reply::Settled(format!("{block} of session {session}, which was in doubt, {what}"));
            }
            Ok(Negotiated::Accepted(_)) => silent = false,
            Err(error) if error.code == ErrorCode::Declined && error.detail == "unknown" => silent = false,
            Err(error) if error.code == ErrorCode::Declined => return Reply::Later,
            Err(_) => silent = true,
        }
    }
    if silent && !foreign { Reply::Silent } else { Reply::Unknown }
}

/// Nobody knows the negotiation, and the accept was answered with a reset: the peer keeps no ledger and has not counted it.
async fn give_up(args: &CorrespondentArgs, block: Prefix, dealt: &Dealt) -> Reply {
    let Dealt { deal, .. } = dealt;
    match ask(args, Request::Settle { block, session: deal.session, moved: false }).await {
        Ok(_) => Reply::Settled(format!("{block} stays with {}: the acceptance came too late", deal.peer)),
        Err(_) => Reply::Later,
    }
}

/// Hands an aggregate back to where it came from (PM-T-03).
async fn give_back(args: &CorrespondentArgs, peers: &[AsaLocator], block: Prefix) -> Reply {
    let Ok(Answer::Census(census)) = ask(args, Request::Census).await else { return Reply::Later };
    let aggregate = census.aggregates.into_iter().find(|aggregate| aggregate.block == block);
    let Some(Source::Peer(dealt)) = aggregate.map(|aggregate| aggregate.source) else { return Reply::Unknown };
    let message = Message { verb: Verb::Return, session: dealt.deal.session, block };
    let request = args.plan.giving_back.clone().with_value(message.write());
    for peer in there(peers, &dealt.deal.peer) {
        let answer = args.asa.request_negotiate(&request, Some(&peer), args.plan.answer).await;
        if matches!(answer, Ok(Negotiated::Accepted(_))) {
            return match ask(args, Request::Returned { block, gone: true }).await {
                Ok(_) => Reply::Settled(format!("{block} is back with {}", dealt.deal.peer)),
                Err(_) => Reply::Later,
            };
        }
    }
    Reply::Silent
}

impl Fresh for Correspondent {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Correspondent);

impl Actor for Correspondent {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.args.pool.do_send(Subscribe(ctx.address().recipient(), None));
        ctx.run_interval(LOOK, |actor, ctx| {
            actor.look(ctx);
            actor.consider(ctx);
        });
    }
}

impl Handler<Level> for Correspondent {
    type Result = ();

    fn handle(&mut self, level: Level, ctx: &mut Context<Self>) {
        supervision::strike();
        if level.doubts > self.level.doubts || level.returning > self.level.returning {
            // A new one is settled soon, however long the others have been waiting.
            self.backoff.succeeded();
        }
        self.level = level;
        self.consider(ctx);
    }
}

impl Handler<Control> for Correspondent {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        supervision::strike();
        if control == Control::Activate {
            self.consider(ctx);
        }
    }
}

impl Handler<Outstanding> for Correspondent {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load { busy: usize::from(self.running), promises: 0 }
    }
}
