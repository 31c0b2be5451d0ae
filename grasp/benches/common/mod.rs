//! What the benchmarks of unicast sessions share: a way to run two nodes, a bare baseline, and paired measurement.

use actix::System;
use criterion::Criterion;
use futures_util::future::LocalBoxFuture;
use grasp::net::kernel::Kernel;
use grasp::substrate::{InsecureLab, Substrate};
use grasp::wire::Transport;
use grasp::{AsaLocator, Grasp, Interfaces, Locator, NodeConfig};
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Exchanges at once in the measurements of throughput.
pub(crate) const MANY: usize = 64;
/// Rounds of a paired measurement; each measures both sides, one right after the other.
const ROUNDS: usize = 41;

/// One exchange with a peer; can be made many times at once.
pub(crate) type Exchange = Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// Where the responders run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a thread of their own with a runtime of its own, as a peer would.
    Apart,
    /// On the thread and runtime of the requesters, so that the work of both is counted.
    Together,
}

impl Place {
    /// Runs `server` there for good, and returns what it says once it is ready.
    pub(crate) async fn run<T: Send + 'static>(self, server: impl FnOnce(Ready<T>) + Send + 'static) -> T {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        match self {
            Self::Apart => {
                std::thread::spawn(move || {
                    let system = System::new();
                    system.block_on(async move { server(ready) });
                    system.run().unwrap();
                });
            }
            Self::Together => server(ready),
        }
        is_ready.await.unwrap()
    }
}

/// Takes what the server says once it is ready.
pub(crate) type Ready<T> = tokio::sync::oneshot::Sender<T>;

/// A node that uses no interface: it can be reached over loopback only by those who know its port.
#[allow(dead_code, reason = "not every benchmark is content with it")]
pub(crate) fn node(name: &str) -> Grasp {
    node_over(name, Arc::new(InsecureLab))
}

/// The same over another substrate.
pub(crate) fn node_over(name: &str, substrate: Arc<dyn Substrate>) -> Grasp {
    let config =
        NodeConfig { name: name.into(), port: 0, interfaces: Interfaces::Named(Vec::new()), ..NodeConfig::default() };
    Grasp::start(config, Arc::new(Kernel::new()), substrate).unwrap()
}

/// A port of this host.
pub(crate) fn locator(port: u16) -> AsaLocator {
    AsaLocator::known(Locator::Ipv6 { address: Ipv6Addr::LOCALHOST, transport: Transport::Tcp, port }, 0)
}

/// The bare baseline: a server that answers `request` by `answer` and closes, and a client with a connection an exchange.
pub(crate) async fn bare(place: Place, request: Vec<u8>, answer: Vec<u8>) -> Exchange {
    let (length, answer_length) = (request.len(), answer.len());
    let server = move |ready: Ready<SocketAddr>| {
        actix::spawn(async move {
            let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                actix::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    let mut buffer = vec![0; length];
                    stream.read_exact(&mut buffer).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                    stream.shutdown().await.unwrap();
                });
            }
        });
    };
    let address = place.run(server).await;
    let request: Rc<[u8]> = request.into();
    Rc::new(move || {
        let request = request.clone();
        Box::pin(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&request).await.unwrap();
            let mut buffer = vec![0; answer_length];
            stream.read_exact(&mut buffer).await.unwrap();
        })
    })
}

/// Makes `count` exchanges one after the other; returns how long each took.
async fn one_at_a_time(exchange: &Exchange, count: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        exchange().await;
        times.push(begin.elapsed());
    }
    times
}

/// Rates of several kinds of exchange, one at a time and measured in turns, as parts of that of the first.
#[allow(dead_code, reason = "not every benchmark has several kinds")]
pub(crate) async fn rates(what: &str, kinds: &[(&str, Exchange)]) {
    let mut times = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (at, (_, exchange)) in kinds.iter().enumerate() {
            times[at].extend(one_at_a_time(exchange, 50).await);
        }
    }
    let rates: Vec<f64> = times.into_iter().map(|times| 1.0 / median(times).as_secs_f64()).collect();
    for (at, (name, _)) in kinds.iter().enumerate() {
        println!(
            "RATIO {what}, one at a time: {name} {:.0}/s, {:.2} of {}",
            rates[at],
            rates[at] / rates[0],
            kinds[0].0
        );
    }
}

/// Makes `count` exchanges, always `MANY` at once; returns how long they took together.
async fn many_at_a_time(exchange: &Exchange, count: u64) -> Duration {
    let left = Rc::new(std::cell::Cell::new(count));
    let begin = Instant::now();
    let workers: Vec<_> = (0..MANY)
        .map(|_| {
            let (left, exchange) = (left.clone(), exchange.clone());
            actix::spawn(async move {
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    exchange().await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    begin.elapsed()
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Measures both sides in turns, so that whatever else the machine does meets both alike, and prints the ratios.
async fn compare(what: &str, ours: &Exchange, bare: &Exchange) {
    let (mut singles, mut crowds) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (at, exchange) in [ours, bare].into_iter().enumerate() {
            singles[at].extend(one_at_a_time(exchange, 100).await);
            crowds[at].push(many_at_a_time(exchange, 1_000).await);
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let [ours, bare] = singles.map(|times| micros(median(times)));
    println!("RATIO {what}, one at a time: ours {ours:.1} us, bare {bare:.1} us, {:.2} (target <= 1.50)", ours / bare);
    let [ours, bare] = crowds.map(|times| 1e9 / micros(median(times)));
    println!("RATIO {what}, {MANY} at a time: ours {ours:.0}/s, bare {bare:.0}/s, {:.2} (target >= 0.60)", ours / bare);
}

/// Runs the benchmarks of one kind of exchange against its baseline, at both places.
pub(crate) fn run<F>(criterion: &mut Criterion, what: &str, setup: F)
where
    F: Fn(Place) -> LocalBoxFuture<'static, (Exchange, Exchange)>,
{
    for (place, label) in [(Place::Apart, "two threads"), (Place::Together, "one thread")] {
        let system = System::new();
        let (ours, bare) = system.block_on(setup(place));
        let what = format!("{what}, {label}");
        if std::env::args().any(|argument| argument == "--bench") {
            system.block_on(compare(&what, &ours, &bare));
        }
        let mut group = criterion.benchmark_group(&what);
        for (name, exchange) in [("ours", &ours), ("bare", &bare)] {
            group.bench_function(format!("{name}, one at a time"), |bencher| {
                bencher.iter_custom(|count| system.block_on(one_at_a_time(exchange, count)).into_iter().sum());
            });
            group.bench_function(format!("{name}, {MANY} at a time"), |bencher| {
                bencher.iter_custom(|count| system.block_on(many_at_a_time(exchange, count)));
            });
        }
        group.finish();
    }
}

/// Few samples: the comparison in turns is what counts.
pub(crate) fn configured() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
