//! A hundred nodes for ten minutes of virtual time: the same seed tells the same story, byte for byte.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly")]

use grasp::net::memory::{Conditions, Fabric, FabricNode};
use grasp::protocol::Machine;
use grasp::protocol::discovery::{Discovery, DiscoveryConfig};
use grasp::protocol::flood::{Flood, FloodConfig};
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::SessionConfig;
use grasp::recorder::{Event, Record, replay};
use grasp::substrate::InsecureLab;
use grasp::{Asa, Error, Grasp, Negotiated, NodeConfig, Objective, Registration, Step, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const NODES: usize = 100;
const FLOODERS: usize = 4;
const SERVERS: usize = 4;
const CLIENTS: usize = 12;
/// The ASAs start nothing new after this time.
const WORK: Duration = Duration::from_secs(520);
const LENGTH: Duration = Duration::from_secs(600);
/// The loop count of the flood whose reach is measured at the end.
const REACH: u8 = 4;

/// Runs a future in an actix system on a paused clock.
fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

/// Which nodes are on which link: a random tree, some shortcuts, some links of many.
fn graph(random: &mut ChaCha12Rng) -> Vec<Vec<usize>> {
    let mut links: Vec<Vec<usize>> =
        (1..NODES).map(|node| vec![random.random_range(node.saturating_sub(6)..node), node]).collect();
    for _ in 0..12 {
        let (a, b) = (random.random_range(0..NODES), random.random_range(0..NODES));
        if a != b {
            links.push(vec![a, b]);
        }
    }
    for lan in 0..5 {
        links.push((0..4).map(|member| lan * 20 + member * 4).collect());
    }
    links
}

/// Links between each node and `from`, at least.
fn distances(links: &[Vec<usize>], from: usize) -> Vec<usize> {
    let mut distance = vec![usize::MAX; NODES];
    distance[from] = 0;
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for other in links.iter().filter(|members| members.contains(&node)).flatten() {
            if distance[*other] == usize::MAX {
                distance[*other] = distance[node] + 1;
                queue.push_back(*other);
            }
        }
    }
    distance
}

/// What happened in one run.
#[derive(Default)]
struct Story {
    log: Vec<u8>,
    records: usize,
    /// Messages that the discovery and flooding cores heard, by node and core.
    heard: BTreeMap<(String, String), u64>,
    /// Floods that came to the watchers, by node.
    flooded: BTreeMap<String, u64>,
    /// Results of the calls of the ASAs, by kind.
    results: BTreeMap<String, usize>,
}

impl Story {
    fn take(&mut self, record: &Record) {
        serde_json::to_writer(&mut self.log, record).unwrap();
        self.log.push(b'\n');
        self.records += 1;
        match &record.event {
            Event::Input(value) if value.get("heard").is_some() => {
                *self.heard.entry((record.node.clone(), record.core.clone())).or_default() += 1;
            }
            Event::Output(value) if value.get("flooded").is_some() => {
                *self.flooded.entry(record.node.clone()).or_default() += 1;
            }
            Event::Input(_) | Event::Wake | Event::Output(_) => {}
        }
    }

    fn count(&mut self, what: &str, result: Result<&str, &Error>) {
        let result = match result {
            Ok(result) => result.to_owned(),
            Err(error) => format!("{:?}", error.code),
        };
        *self.results.entry(format!("{what} {result}")).or_default() += 1;
    }
}

type Shared = Arc<Mutex<Story>>;

fn start(at: usize, seed: u64, place: &FabricNode, story: &Shared) -> Grasp {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&(at as u64).to_be_bytes());
    let story = story.clone();
    let recorder = move |record: &Record| story.lock().unwrap().take(record);
    let config = NodeConfig {
        name: format!("n{at:02}"),
        seed: Some(bytes),
        recorder: Some(Arc::new(recorder)),
        ..NodeConfig::default()
    };
    Grasp::start(config, Arc::new(place.clone()), Arc::new(InsecureLab)).unwrap()
}

async fn flooder(asa: Asa, objective: Objective, mut random: ChaCha12Rng, story: Shared, end: Instant) {
    asa.register_objective(&objective, Registration::default()).await.unwrap();
    let mut count = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(20_000..60_000))).await;
        count += 1;
        let value = objective.clone().with_value(Value::item(&count).unwrap());
        let result = asa.flood(120_000, vec![(value, None)]).await;
        story.lock().unwrap().count("flood", result.as_ref().map(|()| "sent"));
    }
}

async fn server(asa: Asa, negotiated: Objective, synchronized: Objective, mut random: ChaCha12Rng, story: Shared) {
    asa.register_objective(&negotiated, Registration::default()).await.unwrap();
    asa.register_objective(&synchronized, Registration::default()).await.unwrap();
    asa.listen_synchronize(&synchronized.clone().with_value(Value::item("served").unwrap())).await.unwrap();
    loop {
        let Ok((session, _)) = asa.listen_negotiate(&negotiated).await else { return };
        let (choice, objective, story) = (random.random_range(0..5), negotiated.clone(), story.clone());
        actix::spawn(async move {
            let result = match choice {
                0 => session.end_negotiate(false, Some("not today")).await.map(|()| "declined"),
                1 => match session.negotiate_wait(Duration::from_secs(30)).await {
                    Ok(()) => {
                        sleep(Duration::from_secs(15)).await;
                        session.end_negotiate(true, None).await.map(|()| "accepted late")
                    }
                    Err(error) => Err(error),
                },
                _ => {
                    let offer = objective.with_value(Value::item(&choice).unwrap());
                    match session.negotiate_step(&offer, Duration::from_secs(10)).await {
                        Ok(Step::Accepted(_)) => Ok("was accepted"),
                        Ok(Step::Offered(_)) => session.end_negotiate(true, None).await.map(|()| "accepted"),
                        Err(error) => Err(error),
                    }
                }
            };
            story.lock().unwrap().count("serve", result.as_ref().copied());
        });
    }
}

async fn client(asa: Asa, names: Vec<String>, mut random: ChaCha12Rng, story: Shared, end: Instant) {
    for name in &names {
        asa.register_objective(
            &Objective::negotiation(format!("{name}:n")),
            Registration { overlap: true, ..Registration::default() },
        )
        .await
        .unwrap();
    }
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(1_000..60_000))).await;
        let name = &names[random.random_range(0..names.len())];
        if random.random_bool(0.4) {
            let objective = Objective::synchronization(format!("{name}:s"));
            let result = asa.synchronize(&objective, None, Duration::from_secs(10)).await;
            story.lock().unwrap().count("synchronize", result.as_ref().map(|_| "value"));
            continue;
        }
        let objective = Objective::negotiation(format!("{name}:n")).with_value(Value::item(&100).unwrap());
        let result = match asa.request_negotiate(&objective, None, Duration::from_secs(10)).await {
            Ok(Negotiated::Accepted(_)) => Ok("accepted"),
            Ok(Negotiated::Offered(session, _)) if random.random_bool(0.5) => {
                match session.negotiate_step(&objective, Duration::from_secs(10)).await {
                    Ok(Step::Accepted(_)) => Ok("accepted in the end"),
                    Ok(Step::Offered(_)) => Ok("left"),
                    Err(error) => Err(error),
                }
            }
            Ok(Negotiated::Offered(session, _)) => session.end_negotiate(true, None).await.map(|()| "agreed"),
            Err(error) => Err(error),
        };
        story.lock().unwrap().count("negotiate", result.as_ref().copied());
    }
}

/// One run; the invariants of its end are checked.
fn simulate(seed: u64) -> Story {
    let story = Shared::default();
    paused(tell(seed, story.clone()));
    // Actors that are still there when the runtime ends may hold the story.
    std::mem::take(&mut *story.lock().unwrap())
}

async fn tell(seed: u64, story: Shared) {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let begin = Instant::now();
    let fabric = Fabric::new(seed);
    let graph = graph(&mut random);
    let links: Vec<_> = graph
        .iter()
        .map(|_| {
            fabric.link(Conditions {
                latency: Duration::from_micros(random.random_range(100..8_000)),
                jitter: Duration::from_micros(random.random_range(0..4_000)),
                loss: random.random_range(0.0..0.05),
                duplicate: random.random_range(0.0..0.05),
                reorder: random.random_range(0.0..0.1),
            })
        })
        .collect();
    let places: Vec<_> = (0..NODES)
        .map(|node| {
            let on: Vec<_> = graph.iter().zip(&links).filter(|(m, _)| m.contains(&node)).map(|(_, l)| *l).collect();
            fabric.node(&on)
        })
        .collect();
    let nodes: Vec<_> = places.iter().enumerate().map(|(at, place)| start(at, seed, place, &story)).collect();
    let end = begin + WORK;
    let mut working = Vec::new();
    let mut serving = Vec::new();
    let names: Vec<String> = (0..SERVERS).map(|server| format!("32473:s{server}")).collect();
    for flooder_at in 0..FLOODERS {
        let asa = nodes[(flooder_at * 23 + 5) % NODES].register_asa("flooder").await.unwrap();
        let objective = Objective::synchronization(format!("32473:f{flooder_at}"));
        let random = ChaCha12Rng::from_rng(&mut random);
        working.push(actix::spawn(flooder(asa, objective, random, story.clone(), end)));
    }
    for (at, name) in names.iter().enumerate() {
        let asa = nodes[(at * 29 + 11) % NODES].register_asa("server").await.unwrap();
        let (negotiated, synchronized) =
            (Objective::negotiation(format!("{name}:n")), Objective::synchronization(format!("{name}:s")));
        let random = ChaCha12Rng::from_rng(&mut random);
        serving.push(actix::spawn(server(asa, negotiated, synchronized, random, story.clone())));
    }
    for at in 0..CLIENTS {
        let asa = nodes[(at * 17 + 3) % NODES].register_asa("client").await.unwrap();
        // The objective of a server on the same node is the server's own.
        let near = |server: usize| (server * 29 + 11) % NODES == (at * 17 + 3) % NODES;
        let names = names.iter().enumerate().filter(|(server, _)| !near(*server)).map(|(_, n)| n.clone()).collect();
        let random = ChaCha12Rng::from_rng(&mut random);
        working.push(actix::spawn(client(asa, names, random, story.clone(), end)));
    }
    sleep_until(begin + Duration::from_secs(200)).await;
    fabric.partition(&places[30..60].iter().collect::<Vec<_>>());
    sleep_until(begin + Duration::from_secs(260)).await;
    fabric.partition(&[]);
    for task in working {
        task.await.unwrap();
    }
    assert!(begin.elapsed() < LENGTH - Duration::from_secs(10), "work ended after {:?}", begin.elapsed());
    measure_reach(&fabric, &graph, &links, &nodes).await;
    sleep_until(begin + LENGTH).await;
    for node in &nodes {
        assert_eq!(node.status().await.unwrap().sessions, 0);
    }
    for task in serving {
        task.abort();
    }
    check_counters(&story, &nodes).await;
}

/// With equal latencies a flood comes first by a shortest way, so it reaches exactly the nodes within its loop count.
async fn measure_reach(fabric: &Fabric, graph: &[Vec<usize>], links: &[u32], nodes: &[Grasp]) {
    for link in links {
        fabric.set_conditions(*link, Conditions { latency: Duration::from_millis(1), ..Conditions::default() });
    }
    let from = NODES / 2;
    let asa = nodes[from].register_asa("measure").await.unwrap();
    let objective = Objective::synchronization("32473:reach").with_loop_count(REACH);
    asa.register_objective(&objective, Registration::default()).await.unwrap();
    asa.flood(0, vec![(objective.clone().with_value(Value::item("here").unwrap()), None)]).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let distances = distances(graph, from);
    let mut reached = 0;
    for (node, distance) in nodes.iter().zip(distances) {
        let has = node.flooded_names().await.unwrap().contains(&objective.name);
        assert_eq!(has, distance <= usize::from(REACH), "{} links away", distance);
        reached += usize::from(has);
    }
    assert!((10..NODES).contains(&reached), "{reached} nodes say little about loop counts");
}

fn records(log: &[u8]) -> impl Iterator<Item = Record> {
    log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap())
}

/// Every flood that was heard was either new or has moved a counter; every message is counted once.
async fn check_counters(story: &Shared, nodes: &[Grasp]) {
    let (heard, flooded) = {
        let story = story.lock().unwrap();
        (story.heard.clone(), story.flooded.clone())
    };
    let (mut floods, mut duplicates) = (0, 0);
    for node in nodes {
        let status = node.status().await.unwrap();
        let count = |name: &str| status.counters.get(name).copied().unwrap_or_default();
        let of = |core: &str| heard.get(&(status.name.clone(), core.to_owned())).copied().unwrap_or_default();
        assert_eq!(count("messages_received{M_FLOOD}"), of("flood"), "{}", status.name);
        let discovery = count("messages_received{M_DISCOVERY}") + count("messages_received{M_RESPONSE}");
        assert_eq!(discovery, of("discovery"), "{}", status.name);
        let new = flooded.get(&status.name).copied().unwrap_or_default() - count("flood_sent");
        let known = ["duplicates", "far_link_local", "not_synchronizable", "unexpected"]
            .map(|name| count(&format!("flood_{name}")))
            .iter()
            .sum::<u64>();
        assert_eq!(of("flood"), new + known, "{}", status.name);
        assert_eq!(count("session_id_clashes"), 0);
        floods += new;
        duplicates += count("flood_duplicates");
    }
    assert!(floods > 1_000 && duplicates > 100, "{floods} floods heard, {duplicates} of them again");
}

/// FNV-1a over 64 bits: a log's fingerprint that is the same everywhere.
fn fingerprint(log: &[u8]) -> u64 {
    log.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The first record in which two logs differ, from either.
fn first_difference(a: &[u8], b: &[u8]) -> Option<String> {
    let (a, b) = (a.split(|byte| *byte == b'\n'), b.split(|byte| *byte == b'\n'));
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let mut pairs = a.zip(b).enumerate();
    pairs.find(|(_, (a, b))| a != b).map(|(at, (a, b))| format!("record {}:\n{}\n{}", at + 1, text(a), text(b)))
}

#[test]
fn the_simulation_is_deterministic_per_seed() {
    let runs: Vec<_> = [7, 7, 8].into_iter().map(|seed| std::thread::spawn(move || simulate(seed))).collect();
    let [first, second, other]: [Story; 3] =
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>().try_into().ok().unwrap();
    let facts = |story: &Story| (story.log.len(), story.records, fingerprint(&story.log));
    println!("{:?} {:?} {:?}", facts(&first), first.results, facts(&other));
    let difference = || first_difference(&first.log, &second.log).unwrap_or_else(|| "one log is longer".into());
    assert_eq!(facts(&first), facts(&second), "{}", difference());
    assert_eq!(first.results, second.results);
    assert_ne!(fingerprint(&first.log), fingerprint(&other.log));
    for kind in ["negotiate accepted", "negotiate agreed", "negotiate Declined", "synchronize value", "flood sent"] {
        assert!(first.results.get(kind).is_some_and(|count| *count > 0), "no {kind}: {:?}", first.results);
    }
}

/// The records of one core.
fn of(log: &[u8], node: &str, core: &str) -> Vec<Record> {
    records(log).filter(|record| record.node == node && record.core == core).collect()
}

fn replays<M>(mut machine: M, records: &[Record]) -> usize
where
    M: Machine,
    M::Input: serde::de::DeserializeOwned,
    M::Output: serde::Serialize,
{
    replay(&mut machine, records).unwrap();
    records.iter().filter(|record| matches!(record.event, Event::Output(_))).count()
}

#[test]
fn recorded_cores_replay_to_the_same_outputs() {
    let story = Shared::default();
    let told = story.clone();
    let session_id = paused(async move {
        let fabric = Fabric::new(3);
        let link = || fabric.link(Conditions { latency: Duration::from_millis(3), ..Conditions::default() });
        let (left, right) = (link(), link());
        let places = [fabric.node(&[left]), fabric.node(&[left, right]), fabric.node(&[right])];
        let nodes: Vec<_> = places.iter().enumerate().map(|(at, place)| start(at, 3, place, &told)).collect();
        let (ours, theirs) =
            (nodes[0].register_asa("ours").await.unwrap(), nodes[2].register_asa("theirs").await.unwrap());
        let objective = Objective::negotiation("32473:n");
        let flooded = Objective::synchronization("32473:f");
        ours.register_objective(&objective, Registration::default()).await.unwrap();
        theirs.register_objective(&objective, Registration::default()).await.unwrap();
        theirs.register_objective(&flooded, Registration::default()).await.unwrap();
        let served = objective.clone();
        sleep(Duration::from_secs(1)).await;
        actix::spawn(async move {
            let value = Value::item(&vec!["a", "flood"]).unwrap();
            theirs.flood(60_000, vec![(flooded.with_value(value), None)]).await.unwrap();
            let (session, _) = theirs.listen_negotiate(&served).await.unwrap();
            session.negotiate_wait(Duration::from_secs(70)).await.unwrap();
            sleep(Duration::from_secs(65)).await;
            let offer = served.clone().with_value(Value::item(&1.5).unwrap());
            assert!(session.negotiate_step(&offer, Duration::ZERO).await.is_err());
        });
        let ask = objective.clone().with_value(Value::item(&100).unwrap());
        let found = ours.request_negotiate(&ask, None, Duration::ZERO).await.unwrap();
        let Negotiated::Offered(session, _) = found else { panic!("{found:?}") };
        session.end_negotiate(false, Some("too late")).await.unwrap();
        let session_id = session.session_id();
        drop(session);
        sleep(Duration::from_secs(1)).await;
        session_id
    });
    let log = std::mem::take(&mut story.lock().unwrap().log);
    let sessions = records(&log).filter(|record| record.node == "n00" && record.core.starts_with("session"));
    let core = sessions.map(|record| record.core).next().unwrap();
    let config = SessionConfig {
        session_id,
        message_size: Registration::default().message_size,
        gap: NodeConfig::default().message_gap,
        wait_cap: None,
        session_cap: None,
    };
    let requester = Negotiation::initiator(config, Objective::negotiation("32473:n"));
    assert!(replays(requester, &of(&log, "n00", &core)) >= 4);
    for node in ["n00", "n01", "n02"] {
        assert!(replays(Discovery::new(DiscoveryConfig::default()), &of(&log, node, "discovery")) >= 1, "{node}");
        assert!(replays(Flood::new(FloodConfig::default()), &of(&log, node, "flood")) >= 1, "{node}");
    }
    let mut twisted = of(&log, "n01", "flood");
    let output = twisted.iter().rposition(|record| matches!(record.event, Event::Output(_))).unwrap();
    twisted[output].event = Event::Output("something else".into());
    assert_eq!(replay(&mut Flood::new(FloodConfig::default()), &twisted).unwrap_err().line, output + 1);
    twisted.remove(output);
    assert!(replay(&mut Flood::new(FloodConfig::default()), &twisted).is_err(), "an output too many goes unnoticed");
}
