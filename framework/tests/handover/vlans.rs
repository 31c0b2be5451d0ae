//! The agent of these tests: shares VLAN ids as the example does, with a journal in its state directory, in several versions.
#![allow(unreachable_pub, reason = "shared by the files of one test")]

use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::manifest::{ParameterCheck, Problem};
use asa_framework::roles::Activity;
use asa_framework::roles::delegator::{Delegator, DelegatorArgs, DelegatorPlan, Plain, PoolStrategy};
use asa_framework::roles::negotiator::{Negotiator, NegotiatorArgs};
use asa_framework::roles::pool::{Answer, Ask, Census, Pool, PoolArgs, PoolError, PoolPlan, Record, Request, State};
use asa_framework::roles::resource::Range;
use asa_framework::roles::store::{Change, FaultStore, FileStore, Store, StoreError};
use futures_util::future::LocalBoxFuture;
use grasp::{Error, ErrorCode, Objective, Registration};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use supervision::Mailbox;

pub const WHOLE: Range = Range { start: 2, end: 4096 };

pub fn vlans() -> Objective {
    Objective::negotiation("32473:vlans")
}

/// One incarnation of an instance.
#[derive(Clone)]
pub struct Place {
    activity: Activity,
    pub delegator: Mailbox<Delegator<Range>>,
    pub pool: Mailbox<Pool<Range>>,
}

impl Place {
    pub async fn census(&self) -> Result<Census<Range>, String> {
        let answer: Result<Answer<Range>, PoolError> =
            self.pool.send(Ask(Request::Query)).await.map_err(|gone| gone.to_string())?;
        match answer {
            Ok(Answer::Census(census)) => Ok(census),
            other => Err(format!("{other:?}")),
        }
    }
}

/// What all versions of the class share in one test, by instance.
#[derive(Default)]
pub struct Shared {
    places: BTreeMap<String, Vec<Place>>,
    stores: BTreeMap<String, FaultStore<Record<Range>>>,
    files: BTreeMap<String, FileStore<Record<Range>>>,
    /// How often the journal was opened.
    opened: BTreeMap<String, usize>,
    /// Who has used the store, in order: each incarnation once in a row.
    users: BTreeMap<String, Vec<usize>>,
    /// Works that are under way, by user.
    working: BTreeMap<String, Vec<usize>>,
    /// Uses of the store at the same time.
    clashes: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Lab(Arc<Mutex<Shared>>);

impl Lab {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap()
    }

    /// The incarnations of an instance that run: those that are to work first, of these the latest.
    pub fn places(&self, key: &str) -> Vec<Place> {
        let shared = self.shared();
        let all = shared.places.get(key).into_iter().flatten().rev();
        let mut all: Vec<Place> = all.filter(|place| place.delegator.connected()).cloned().collect();
        all.sort_by_key(|place| !place.activity.is_active());
        all
    }

    pub fn opened(&self, key: &str) -> usize {
        self.shared().opened.get(key).copied().unwrap_or(0)
    }

    /// The store of an instance, to be let fail.
    pub fn store(&self, key: &str) -> FaultStore<Record<Range>> {
        self.shared().stores[key].clone()
    }

    /// Whether a journal holds the block in this state, whatever the store that fails lets through.
    pub async fn is_stored(&self, block: Range, state: impl Fn(&State) -> bool) -> bool {
        let files: Vec<_> = self.shared().files.values().cloned().collect();
        for file in files {
            let records = file.load().await.unwrap();
            let here = |record: &Record<Range>| matches!(record, Record::Block { block: b, state: s } if *b == block && state(s));
            if records.iter().any(here) {
                return true;
            }
        }
        false
    }

    /// What the journal of an instance holds.
    pub async fn blocks(&self, key: &str) -> Vec<(Range, State)> {
        let file = self.shared().files[key].clone();
        let records = file.load().await.unwrap().into_iter();
        let blocks = records.filter_map(|record| match record {
            Record::Block { block, state } => Some((block, state)),
            Record::Life(_) | Record::Aggregate { .. } => None,
        });
        blocks.collect()
    }

    /// Lets go of what it knows of an instance, so that nothing of it lives on.
    pub fn forget(&self, key: &str) {
        let mut shared = self.shared();
        shared.places.remove(key);
        shared.stores.remove(key);
        shared.files.remove(key);
        shared.users.remove(key);
    }

    /// The incarnations that have used the store, in order; nobody has used it at the same time as another.
    pub fn users(&self, key: &str) -> Vec<usize> {
        let shared = self.shared();
        assert_eq!(shared.clashes, Vec::<String>::new());
        shared.users[key].clone()
    }
}

/// Notes who uses the store.
struct Witness {
    inner: Arc<FaultStore<Record<Range>>>,
    lab: Lab,
    key: String,
    user: usize,
}

impl Witness {
    fn around<T: 'static>(
        &self,
        work: LocalBoxFuture<'static, Result<T, StoreError>>,
    ) -> LocalBoxFuture<'static, Result<T, StoreError>> {
        let (lab, key, user) = (self.lab.clone(), self.key.clone(), self.user);
        Box::pin(async move {
            let under_way = UnderWay::begin(lab, key, user);
            let done = work.await;
            drop(under_way);
            done
        })
    }
}

struct UnderWay {
    lab: Lab,
    key: String,
    user: usize,
}

impl UnderWay {
    fn begin(lab: Lab, key: String, user: usize) -> Self {
        let mut shared = lab.shared();
        let working = shared.working.entry(key.clone()).or_default();
        working.push(user);
        if let Some(other) = working.iter().copied().find(|other| *other != user) {
            shared.clashes.push(format!("{key}: {user} and {other}"));
        }
        let users = shared.users.entry(key.clone()).or_default();
        if users.last() != Some(&user) {
            users.push(user);
        }
        drop(shared);
        Self { lab, key, user }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut shared = self.lab.shared();
        let working = shared.working.get_mut(&self.key).unwrap();
        let at = working.iter().position(|user| *user == self.user).unwrap();
        working.remove(at);
    }
}

impl Store<Record<Range>> for Witness {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<Record<Range>>, StoreError>> {
        self.around(self.inner.load())
    }

    fn commit(&self, changes: Vec<Change<Record<Range>>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        self.around(self.inner.commit(changes))
    }
}

/// A version of the class.
pub struct Vlans {
    version: &'static str,
    /// It starts its roles, and never says that it is ready.
    never: bool,
    lab: Lab,
}

/// The versions 1.0.0 and 2.0.0, and 1.0.1 that never becomes healthy.
pub fn classes(lab: &Lab) -> [&'static dyn Class; 3] {
    [("1.0.0", false), ("2.0.0", false), ("1.0.1", true)]
        .map(|(version, never)| Box::leak(Box::new(Vlans { version, never, lab: lab.clone() })) as &'static dyn Class)
}

impl ClassInfo for Vlans {
    fn name(&self) -> &'static str {
        "vlans"
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn summary(&self) -> &'static str {
        "shares VLAN ids between nodes"
    }

    fn defaults(&self) -> &'static str {
        "# Ids to keep at hand.\nstock = 64\n"
    }

    fn roles(&self) -> &'static [&'static str] {
        &["delegator", "origin"]
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("stock", 2..=4094);
        check.finish()
    }
}

fn open(site: &Site) -> Result<FileStore<Record<Range>>, Error> {
    let failed = |error: StoreError| Error::new(ErrorCode::Unspecified, error.to_string());
    let directory = site.mandate.state_directory.as_ref().expect("the manifest names one");
    let store = match FileStore::open(directory, "pool") {
        Err(StoreError::Missing { .. }) => FileStore::create(directory, "pool"),
        opened => opened,
    };
    store.map_err(failed)
}

impl Class for Vlans {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        let (lab, never) = (self.lab.clone(), self.never);
        Box::pin(async move {
            let key = site.instance().to_owned();
            let asa = site.register().await?;
            asa.register_objective(&vlans(), Registration { overlap: true, ..Registration::default() }).await?;
            let inner = site.belonging(|| {
                let file = open(&site)?;
                let mut shared = lab.shared();
                *shared.opened.entry(key.clone()).or_default() += 1;
                shared.files.insert(key.clone(), file.clone());
                Ok::<_, Error>(FaultStore::new(Arc::new(file)))
            })?;
            let user = lab.shared().places.get(&key).map_or(0, Vec::len);
            lab.shared().stores.insert(key.clone(), (*inner).clone());
            let store = Arc::new(Witness { inner, lab: lab.clone(), key: key.clone(), user });

            let upstream = site.mandate.settings.role == "delegator";
            let initial = if upstream { Vec::new() } else { vec![WHOLE] };
            let stock = site.mandate.settings.parameters["stock"].as_u64().unwrap_or_default().into();
            let pool = PoolArgs::new(&site, store, PoolPlan { initial, low: stock / 2, ..PoolPlan::default() });
            let pool = site.role("pool", move |_| Pool::new(pool));
            let plan = DelegatorPlan { upstream, target: stock, ..DelegatorPlan::default() };
            let delegator = DelegatorArgs::new(&site, &pool, plan);
            let delegator = site.role("delegator", move |_| Delegator::new(delegator));
            lab.shared().places.entry(key).or_default().push(Place {
                activity: site.activity.clone(),
                delegator: delegator.clone(),
                pool,
            });
            if never {
                std::future::pending::<()>().await;
            }
            let want = |shortfall| u32::try_from(shortfall).unwrap_or(u32::MAX);
            let strategy = PoolStrategy::<Range>::factory(Plain { objective: vlans(), want });
            let (listens, advisor) = (Some(vlans()), Some(delegator.recipient()));
            let negotiator = NegotiatorArgs { listens, advisor, ..NegotiatorArgs::new(&asa, &site, strategy) };
            site.role("negotiator", move |_| Negotiator::new(negotiator));
            Ok(Agent::new(asa))
        })
    }
}
