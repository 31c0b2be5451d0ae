//! Prefixes that an origin negotiates with those who ask it, over kernel TCP on loopback.
//!
//! The origin is a whole instance of the class, on a thread of its own. Those who ask have no pool; each request is answered by an
//! offer, which is accepted. The count ends when the origin has the last grant in its store.

use super::{MANY, directory, many_at_a_time, median};
use asa_framework::class::{Class, Site};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::manifest::{Manifest, Sources};
use asa_framework::roles::store::{MemStore, Store};
use asa_prefix::PrefixManager;
use asa_prefix::class::{Disk, Handles, Place, runtime_clocks};
use asa_prefix::pool::record::Record;
use asa_prefix::pool::{Answer, Ask, Clocks, Request};
use asa_prefix::store::{Options, SledStore};
use grasp::net::kernel::Kernel;
use grasp::substrate::InsecureLab;
use grasp::wire::{EndOption, Message, Transport};
use grasp::{Asa, AsaLocator, Grasp, Interfaces, Locator, Negotiated, NodeConfig, Objective, Value};
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const ROUNDS: usize = 9;
const SINGLE: u32 = 100;
const CROWD: u32 = 1_000;

/// A place with this store, that tells whom to ask.
struct Shelf {
    store: Arc<dyn Store<Record>>,
    handles: Mutex<Option<Handles>>,
}

impl Place for Shelf {
    fn store(&self, _: &Site, _: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String> {
        Ok(self.store.clone())
    }

    fn clocks(&self) -> Clocks {
        runtime_clocks(1)
    }

    fn started(&self, _: &str, handles: Handles) {
        *self.handles.lock().unwrap() = Some(handles);
    }
}

/// Runs a server on a thread of its own, for good; returns what it says once it is ready.
async fn apart<T: Send + 'static>(server: impl FnOnce(oneshot::Sender<T>) + Send + 'static) -> T {
    let (ready, is_ready) = oneshot::channel();
    std::thread::spawn(move || {
        let system = actix::System::new();
        system.block_on(async move { server(ready) });
        system.run().unwrap();
    });
    is_ready.await.unwrap()
}

async fn origin(shelf: &'static Shelf) -> u16 {
    apart(move |ready| {
        actix::spawn(async move {
            let class: &'static dyn Class = Box::leak(Box::new(PrefixManager::at(shelf)));
            let text = "[node]\nname = 'origin'\n[grasp]\nsubstrate = 'insecure-lab'\n[asa.prefix]\nclass = 'prefix'\n\
                        role = 'origin'\n[asa.prefix.parameters]\nprefixes = ['2001:db8::/32']\n\
                        peer_requests_per_minute = 1000000\npeer_sessions = 1000\n";
            let content = Some(text.as_bytes().to_vec());
            let sources = Sources { path: Some("origin.toml".into()), content, ..Sources::default() };
            let loaded = Manifest::load(sources, &[class]).unwrap_or_else(|problems| panic!("{problems}"));
            let stage = Stage::new(Arc::new(Kernel::new()), &[class], Arc::new(|_| {}));
            // No interface: only those who know its port can reach it, over loopback.
            let adjust =
                |config: &mut NodeConfig| (config.interfaces, config.port) = (Interfaces::Named(Vec::new()), 0);
            let deployment = Deployment::start(loaded, stage, adjust).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            ready.send(deployment.grasp().status().await.unwrap().port).unwrap();
            std::future::pending::<()>().await;
            drop(deployment);
        });
    })
    .await
}

fn request() -> Objective {
    Objective::negotiation("PrefixManager").with_value(Value::item(&(6, 64)).unwrap())
}

async fn asker() -> Asa {
    let config = NodeConfig {
        name: "asker".into(),
        port: 0,
        interfaces: Interfaces::Named(Vec::new()),
        ..NodeConfig::default()
    };
    let grasp = Grasp::start(config, Arc::new(Kernel::new()), Arc::new(InsecureLab)).unwrap();
    let asa = grasp.register_asa("asker").await.unwrap();
    asa.register_objective(&request(), grasp::Registration::default()).await.unwrap();
    asa
}

async fn obtain(asa: Asa, peer: Rc<AsaLocator>) {
    match asa.request_negotiate(&request(), Some(&peer), Duration::ZERO).await.unwrap() {
        Negotiated::Offered(session, _) => session.end_negotiate(true, None).await.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Waits until the origin has granted so many.
async fn granted(shelf: &Shelf, count: u64) {
    let pool = shelf.handles.lock().unwrap().clone().unwrap().pool;
    loop {
        let answer = pool.send(Ask(Request::Census)).await.unwrap().unwrap();
        let Answer::Census(census) = answer else { panic!("{answer:?}") };
        let now = census.aggregates[0].states.get("granted").map_or(0, |granted| granted.blocks);
        if now >= count {
            return;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// The same bytes: a request, an offer, an accept, and the close of the server, who has a connection for each.
async fn bare() -> SocketAddr {
    apart(|ready| {
        actix::spawn(async move {
            let [first, answer, last] = messages();
            let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (first, answer, last) = (first.len(), answer.clone(), last.len());
                actix::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    stream.read_exact(&mut vec![0; first]).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                    stream.read_exact(&mut vec![0; last]).await.unwrap();
                });
            }
        });
    })
    .await
}

fn messages() -> [Vec<u8>; 3] {
    let session_id = 0x7a5a_5a5a;
    let mut address = [0_u8; 16];
    address[..8].copy_from_slice(&[0x20, 1, 0x0d, 0xb8, 1, 2, 3, 4]);
    let offer = request().with_value(Value::item(&(6, 64, grasp_bytes(&address))).unwrap());
    [
        Message::RequestNegotiation { session_id, objective: request() }.encode(),
        Message::Negotiate { session_id, objective: offer }.encode(),
        Message::End { session_id, option: EndOption::Accept }.encode(),
    ]
}

/// A byte string in CBOR.
fn grasp_bytes(bytes: &[u8]) -> ciborium::Value {
    ciborium::Value::Bytes(bytes.to_vec())
}

async fn exchange(peer: SocketAddr) {
    let [first, answer, last] = messages();
    let mut stream = TcpStream::connect(peer).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&first).await.unwrap();
    stream.read_exact(&mut vec![0; answer.len()]).await.unwrap();
    stream.write_all(&last).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

async fn measure(what: &str, store: Arc<dyn Store<Record>>) {
    let shelf: &'static Shelf = Box::leak(Box::new(Shelf { store, handles: Mutex::default() }));
    let port = origin(shelf).await;
    let locator = Locator::Ipv6 { address: Ipv6Addr::LOCALHOST, transport: Transport::Tcp, port };
    let (peer, asa, baseline) = (Rc::new(AsaLocator::known(locator, 0)), asker().await, bare().await);
    let mut sum = 1;
    obtain(asa.clone(), peer.clone()).await;
    granted(shelf, sum).await;
    let (mut singles, mut crowds) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..SINGLE {
            obtain(asa.clone(), peer.clone()).await;
        }
        sum += u64::from(SINGLE);
        granted(shelf, sum).await;
        singles[0].push(begun.elapsed() / SINGLE);
        let begun = Instant::now();
        for _ in 0..SINGLE {
            exchange(baseline).await;
        }
        singles[1].push(begun.elapsed() / SINGLE);

        let (asa, peer) = (asa.clone(), peer.clone());
        let begun = Instant::now();
        many_at_a_time(CROWD, move |_| obtain(asa.clone(), peer.clone())).await;
        sum += u64::from(CROWD);
        granted(shelf, sum).await;
        crowds[0].push(begun.elapsed() / CROWD);
        crowds[1].push(many_at_a_time(CROWD, move |_| exchange(baseline)).await / CROWD);
    }
    for (how, [ours, bare]) in [("one at a time".to_owned(), singles), (format!("{MANY} at a time"), crowds)] {
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "RATIO negotiated prefixes, {what}, {how}: ours {:.0}/s ({ours:.0} us each), bare exchange {:.0}/s ({bare:.0} us), {:.2}",
            1e6 / ours,
            1e6 / bare,
            ours / bare
        );
    }
}

pub(super) async fn run() {
    measure("store in memory", Arc::new(MemStore::default())).await;
    let directory = directory();
    let options = Options { segment_bytes: 1 << 30, ..Options::default() };
    measure("store on disk", Arc::new(SledStore::create(directory.path(), options).unwrap())).await;
}
