//! The shell: asks pool, delegator and ledger, and puts their answers into JSON.

use super::answer::{Blocks, Checked, Exported, Fault, Given, Overview, Resolved};
use super::command::{Fate, PoolCommand};
use crate::delegator::{Delegator, Explain, Give, Take};
use crate::forecast::{Forecast, Samples, usual};
use crate::pool::record::{Record, State};
use crate::pool::{Answer, Ask, Level, Pool, PoolError, Request, Subscribe};
use crate::prefix::{Family, Prefix, Want};
use crate::store;
use actix::prelude::*;
use asa_framework::class::{Query, Site};
use asa_framework::control::{Failure, FailureCode};
use asa_framework::roles::store::Store;
use asa_framework::roles::{Control, Load, Outstanding};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supervision::{Fresh, Mailbox, child};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Queries that read all of the pool or of its ledger, at once.
const LARGE: usize = 2;
/// Records in a page of an export; a record has hardly more than 1 KiB, and a reply may have 16 MiB.
const PAGE: usize = 5_000;
/// How long the next page of an export may take to be asked for.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a client's name.
const NAME: usize = 255;
/// Tries to see the pool and its store at the same moment.
const LOOKS: u32 = 5;
/// Differences that are told one by one.
const DIFFERENCES: usize = 20;

/// What a desk is made of, in every life anew.
#[derive(Clone)]
pub struct DeskArgs {
    /// Name of the instance.
    pub instance: String,
    /// The blocks.
    pub pool: Mailbox<Pool>,
    /// Who serves clients.
    pub delegator: Mailbox<Delegator>,
    /// The store, to be compared with what the pool thinks; `None` compares nothing.
    pub store: Option<Arc<dyn Store<Record>>>,
    /// Where the ledger is; `None` for a pool in memory.
    pub directory: Option<PathBuf>,
    /// The families that are dealt with, and the size of block that use is counted in.
    pub units: BTreeMap<Family, u8>,
}

impl DeskArgs {
    /// A desk of this site, for a pool in memory, that deals with IPv6.
    #[must_use]
    pub fn new(site: &Site, pool: &Mailbox<Pool>, delegator: &Mailbox<Delegator>) -> Self {
        let (instance, units) = (site.instance().to_owned(), BTreeMap::from([(Family::V6, usual(Family::V6).length)]));
        Self { instance, pool: pool.clone(), delegator: delegator.clone(), store: None, directory: None, units }
    }
}

/// What does not change with the lives of the actor.
struct Shared {
    began: Instant,
    samples: Mutex<BTreeMap<Family, Samples>>,
    export: Mutex<Export>,
    large: Arc<Semaphore>,
}

/// The export under way: one at a time.
#[derive(Default)]
struct Export {
    number: u64,
    records: Option<(Arc<Vec<Record>>, Instant)>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The actor.
pub struct Desk {
    args: DeskArgs,
    shared: Arc<Shared>,
}

impl Desk {
    /// A desk that listens to its pool when it is started.
    #[must_use]
    pub fn new(args: DeskArgs) -> Self {
        let (samples, export) = (Mutex::default(), Mutex::default());
        let shared = Shared { began: Instant::now(), samples, export, large: Arc::new(Semaphore::new(LARGE)) };
        Self { args, shared: Arc::new(shared) }
    }
}

impl Fresh for Desk {
    fn fresh(&self) -> Self {
        // What has been observed stays known.
        Self { args: self.args.clone(), shared: self.shared.clone() }
    }
}

child!(Desk);

impl Actor for Desk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.args.pool.do_send(Subscribe(ctx.address().recipient(), None));
        ctx.run_interval(IDLE, |desk, _| {
            let mut export = held(&desk.shared.export);
            if export.records.as_ref().is_some_and(|(_, used)| used.elapsed() >= IDLE) {
                export.records = None;
            }
        });
    }
}

impl Handler<Level> for Desk {
    type Result = ();

    fn handle(&mut self, level: Level, _: &mut Context<Self>) {
        let now = self.shared.began.elapsed().as_secs();
        let mut samples = held(&self.shared.samples);
        for family in Family::ALL {
            samples.entry(family).or_default().note(now, level.free(family));
        }
    }
}

impl Handler<Control> for Desk {
    type Result = ();

    fn handle(&mut self, _: Control, _: &mut Context<Self>) {}
}

impl Handler<Outstanding> for Desk {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load::default()
    }
}

impl Handler<Query> for Desk {
    type Result = ResponseFuture<Result<Value, Failure>>;

    fn handle(&mut self, Query(query): Query, _: &mut Context<Self>) -> Self::Result {
        let clerk = Clerk { args: self.args.clone(), shared: self.shared.clone() };
        Box::pin(async move { clerk.serve(PoolCommand::read(query)?).await })
    }
}

fn failure(code: FailureCode, text: impl Into<String>) -> Failure {
    Failure::new(code, text)
}

fn refused(text: impl Into<String>) -> Failure {
    failure(FailureCode::Refused, text)
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        let code = match &error {
            PoolError::Busy => FailureCode::Busy,
            PoolError::Store(_) | PoolError::Unsound(_) => FailureCode::Failed,
            PoolError::Empty
            | PoolError::Inactive
            | PoolError::Quota(_)
            | PoolError::NoDeal
            | PoolError::State(_)
            | PoolError::Overlap { .. } => FailureCode::Refused,
        };
        failure(code, error.to_string())
    }
}

fn json<T: Serialize>(answer: T) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| failure(FailureCode::Failed, format!("not as JSON: {error}")))
}

/// Serves one query.
struct Clerk {
    args: DeskArgs,
    shared: Arc<Shared>,
}

impl Clerk {
    async fn serve(self, command: PoolCommand) -> Result<Value, Failure> {
        match command {
            PoolCommand::Census {} => self.overview().await,
            PoolCommand::Blocks { after, within, states, limit } => self.blocks(after, within, states, limit).await,
            PoolCommand::Doubts {} => self.blocks(None, None, vec!["in-doubt".into()], usize::MAX).await,
            PoolCommand::Explain {} => {
                let told = self.args.delegator.send(Explain).await;
                json(told.map_err(|_| gone("delegator"))?.map_err(refused)?)
            }
            PoolCommand::Forecast {} => json(self.forecast()),
            PoolCommand::Take { client, family, length } => self.take(client, family, length).await,
            PoolCommand::Give { client, block } => {
                let given = self.args.delegator.send(Give { client: client.clone(), block }).await;
                let block = given.map_err(|_| gone("delegator"))?.map_err(refused)?;
                json(Given { block, client })
            }
            PoolCommand::Resolve { block, fate } => self.resolve(block, fate).await,
            PoolCommand::Exclude { block } => self.list(Request::Exclude(block)).await,
            PoolCommand::Include { block } => self.list(Request::Include(block)).await,
            PoolCommand::Withdraw { block } => self.list(Request::Withdraw(block)).await,
            PoolCommand::Reclaim { block } => self.pool(Request::Reclaim(block)).await.map(|_| Value::Null),
            PoolCommand::Reinstate { block } => self.pool(Request::Reinstate(block)).await.map(|_| Value::Null),
            PoolCommand::Import { plan } => self.pool(Request::Import(plan)).await.map(|_| Value::Null),
            PoolCommand::Export { export, from } => self.export(export, from).await,
            PoolCommand::History { address, at } => self.history(address, at).await,
            PoolCommand::Fsck {} => self.fsck().await,
        }
    }

    async fn pool(&self, request: Request) -> Result<Answer, Failure> {
        let answer = self.args.pool.send(Ask(request)).await;
        Ok(answer.map_err(|_| gone("pool"))??)
    }

    async fn list(&self, request: Request) -> Result<Value, Failure> {
        match self.pool(request).await? {
            Answer::Blocks(blocks, more) => json(Blocks::of(blocks, more)),
            other => Err(strange(&other)),
        }
    }

    async fn blocks(
        &self,
        after: Option<Prefix>,
        within: Option<Prefix>,
        states: Vec<String>,
        limit: usize,
    ) -> Result<Value, Failure> {
        if let Some(unknown) = states.iter().find(|state| !State::NAMES.contains(&state.as_str())) {
            let unknown: String = unknown.chars().take(80).flat_map(char::escape_debug).collect();
            let known = State::NAMES.join(", ");
            return Err(failure(FailureCode::Unknown, format!("there is no state {unknown}; there are {known}")));
        }
        self.list(Request::Blocks { after, within, states, limit }).await
    }

    async fn overview(&self) -> Result<Value, Failure> {
        match self.pool(Request::Census).await? {
            Answer::Census(census) => {
                let (instance, census) = (self.args.instance.clone(), *census);
                json(Overview { instance, census, forecast: self.forecast() })
            }
            other => Err(strange(&other)),
        }
    }

    fn forecast(&self) -> BTreeMap<Family, Forecast> {
        let now = self.shared.began.elapsed().as_secs();
        let samples = held(&self.shared.samples);
        let mut forecasts = BTreeMap::new();
        for family in Family::ALL {
            let unit = self.args.units.get(&family).and_then(|length| Want::new(family, *length));
            match samples.get(&family) {
                Some(known) if unit.is_some() || !known.is_idle() => {
                    forecasts.insert(family, known.forecast(now, unit.unwrap_or_else(|| usual(family))));
                }
                Some(_) | None => {}
            }
        }
        forecasts
    }

    async fn take(&self, client: String, family: Family, length: u8) -> Result<Value, Failure> {
        if client.is_empty() || client.len() > NAME || client.contains(char::is_control) {
            let what = format!("the name of a client has 1 to {NAME} bytes, and no control characters");
            return Err(failure(FailureCode::Malformed, what));
        }
        let want = Want::new(family, length).ok_or_else(|| {
            failure(FailureCode::Malformed, format!("{family} has no prefix length {length}: 0 to {}", family.bits()))
        })?;
        let taken = self.args.delegator.send(Take { client: client.clone(), want }).await;
        json(Given { block: taken.map_err(|_| gone("delegator"))?.map_err(refused)?, client })
    }

    async fn resolve(&self, block: Prefix, fate: Fate) -> Result<Value, Failure> {
        let states = vec!["in-doubt".into()];
        let found = self.pool(Request::Blocks { after: None, within: Some(block), states, limit: 100 }).await?;
        let Answer::Blocks(found, _) = found else { return Err(strange(&found)) };
        let way = found.iter().find_map(|(other, state)| match state {
            State::Doubt { way, .. } if *other == block => Some(*way),
            _ => None,
        });
        let Some(way) = way else {
            let near: Vec<String> = found.iter().map(|(block, _)| block.to_string()).collect();
            let near = if near.is_empty() { String::new() } else { format!("; near it {}", near.join(", ")) };
            let text = format!("{block} is not in doubt{near}; asa pool doubts tells all that are");
            return Err(failure(FailureCode::Unknown, text));
        };
        // Whichever way it was to go: the taker has it, or the provider still has.
        let moved = fate == Fate::Granted;
        self.pool(Request::Resolve { block, moved }).await?;
        json(Resolved { block, way, moved })
    }

    fn large(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.shared.large.clone().try_acquire_owned().map_err(|_| {
            failure(FailureCode::Busy, format!("{LARGE} queries that read everything are under way; try again later"))
        })
    }

    async fn records(&self) -> Result<Vec<Record>, Failure> {
        match self.pool(Request::Records).await? {
            Answer::Records(records) => Ok(records),
            other => Err(strange(&other)),
        }
    }

    async fn export(&self, export: Option<u64>, from: usize) -> Result<Value, Failure> {
        let (number, records) = match export {
            None => {
                let _large = self.large()?;
                let records = Arc::new(self.records().await?);
                let mut current = held(&self.shared.export);
                current.number += 1;
                current.records = Some((records.clone(), Instant::now()));
                (current.number, records)
            }
            Some(number) => {
                let mut current = held(&self.shared.export);
                let same = current.number == number;
                let Some((records, used)) = current.records.as_mut().filter(|_| same) else {
                    let text =
                        format!("export {number} is over: it was left for {} s, or another has begun", IDLE.as_secs());
                    return Err(failure(FailureCode::Unknown, text));
                };
                *used = Instant::now();
                (number, records.clone())
            }
        };
        let rest = records.get(from..).unwrap_or_default();
        let page = rest.iter().take(PAGE).cloned().collect();
        let next = from.saturating_add(PAGE);
        let next = (next < records.len()).then_some(next);
        if next.is_none() {
            let mut current = held(&self.shared.export);
            if current.number == number {
                current.records = None;
            }
        }
        json(Exported { export: number, records: page, next })
    }

    async fn history(&self, address: IpAddr, at: Option<String>) -> Result<Value, Failure> {
        let Some(directory) = self.args.directory.clone() else {
            return Err(refused("this pool is kept in memory: it has no history"));
        };
        let at = at.map(|text| OffsetDateTime::parse(&text, &Rfc3339)).transpose();
        let at = at.map_err(|error| {
            failure(FailureCode::Malformed, format!("`at` is no time such as 2026-11-21T16:00:00Z: {error}"))
        })?;
        let large = self.large()?;
        let read = tokio::task::spawn_blocking(move || {
            let _large = large;
            store::history(&directory, address, at)
        });
        let history = read.await.map_err(|error| failure(FailureCode::Failed, error.to_string()))?;
        json(history.map_err(|error| failure(FailureCode::Failed, error.to_string()))?)
    }

    /// Examines what the pool thinks, and whether the store holds the same.
    async fn fsck(&self) -> Result<Value, Failure> {
        let _large = self.large()?;
        let mut records = self.records().await?;
        let mut faults: Vec<Fault> = Vec::new();
        let mut compared = false;
        if let Some(store) = &self.args.store {
            for _ in 0..LOOKS {
                let kept = store.load().await;
                let kept = match kept {
                    Ok(kept) => kept.into_iter().collect::<BTreeSet<_>>(),
                    Err(error) => {
                        faults.push(Fault { code: "tables".into(), what: error.to_string() });
                        break;
                    }
                };
                let again = self.records().await?;
                let (before, after): (BTreeSet<_>, BTreeSet<_>) =
                    (records.into_iter().collect(), again.iter().cloned().collect());
                records = again;
                if before == after {
                    compared = true;
                    faults.extend(differences(&after, &kept));
                    break;
                }
            }
        }
        let count = records.len();
        let checked = tokio::task::spawn_blocking(move || store::check(&records));
        let problems = checked.await.map_err(|error| failure(FailureCode::Failed, error.to_string()))?;
        faults.extend(problems.into_iter().map(|problem| Fault { code: problem.code.to_string(), what: problem.what }));
        json(Checked { records: count, compared, problems: faults })
    }
}

/// What the pool thinks and the store does not hold, and the other way round.
fn differences(pool: &BTreeSet<Record>, store: &BTreeSet<Record>) -> Vec<Fault> {
    let told = |record: &Record| serde_json::to_string(record).unwrap_or_else(|error| error.to_string());
    let fault = |what: String| Fault { code: "store".into(), what };
    let missing = pool.difference(store).map(|record| fault(format!("the store lacks {}", told(record))));
    let surplus = store.difference(pool).map(|record| fault(format!("only the store has {}", told(record))));
    let mut all = missing.chain(surplus);
    let mut listed: Vec<Fault> = all.by_ref().take(DIFFERENCES).collect();
    let more = all.count();
    if more > 0 {
        listed.push(fault(format!("{more} more records differ")));
    }
    listed
}

fn gone(role: &str) -> Failure {
    failure(FailureCode::Failed, format!("the {role} does not answer; it may be restarting: try again"))
}

/// The pool has answered something else.
fn strange(answer: &Answer) -> Failure {
    let name = match answer {
        Answer::Done => "done",
        Answer::Block(_) | Answer::Again(_) => "a block",
        Answer::Verdict(_) => "a verdict",
        Answer::Census(_) => "a census",
        Answer::Blocks(..) => "blocks",
        Answer::Records(_) => "records",
    };
    failure(FailureCode::Failed, format!("the pool answers with {name}"))
}
