//! One link of the fabric: who hears a multicast, when, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Datagrams that wait for one receiver; more are lost, as in a socket's buffer.
const QUEUE: usize = 8_192;

/// How a link treats what crosses it; the default is a perfect link.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// One-way delay of datagrams and connections.
    pub latency: Duration,
    /// Largest extra delay of a datagram.
    pub jitter: Duration,
    /// Part of the datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// Part of the datagrams that arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Part of the datagrams that is overtaken by those sent within the next latency and 10 ms, 0 to 1.
    pub reorder: f64,
}

pub(super) struct Wire {
    pub(super) conditions: Conditions,
    pub(super) apart: BTreeSet<usize>,
    /// Sockets by node and interface, in the order in which they joined: several instances may be on one host.
    members: BTreeMap<(usize, u32, u64), Weak<Datagrams>>,
    joined: u64,
}

impl Wire {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self { conditions, apart: BTreeSet::new(), members: BTreeMap::new(), joined: 0 }
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&a) != self.apart.contains(&b)
    }

    pub(super) fn join(&mut self, node: usize, index: u32) -> Arc<Datagrams> {
        let datagrams = Arc::new(Datagrams::default());
        self.joined += 1;
        self.members.insert((node, index, self.joined), Arc::downgrade(&datagrams));
        datagrams
    }

    /// Nothing is delivered to a node any more, until it joins again.
    pub(super) fn leave(&mut self, node: usize) {
        self.members.retain(|(member, ..), _| *member != node);
    }

    /// Delivers to all other sockets, those of other instances on the same node included (RFC 8990 §2.3); the draws come in the order of the members, so that a seed repeats itself.
    pub(super) fn multicast(
        &mut self,
        from: usize,
        own: &Arc<Datagrams>,
        source: SocketAddrV6,
        bytes: &[u8],
        draw: &mut dyn FnMut() -> f64,
        attached: &dyn Fn(usize) -> bool,
    ) {
        self.members.retain(|_, datagrams| datagrams.strong_count() > 0);
        let now = Instant::now();
        for ((node, index, _), datagrams) in &self.members {
            let Some(datagrams) = datagrams.upgrade() else { continue };
            if Arc::ptr_eq(&datagrams, own) || self.is_cut(from, *node) || !attached(*node) {
                continue;
            }
            let Conditions { latency, jitter, loss, duplicate, reorder } = self.conditions;
            if loss > 0.0 && draw() < loss {
                continue;
            }
            let copies = if duplicate > 0.0 && draw() < duplicate { 2 } else { 1 };
            let source = SocketAddrV6::new(*source.ip(), source.port(), 0, *index);
            for _ in 0..copies {
                let mut delay = latency;
                if !jitter.is_zero() {
                    delay += jitter.mul_f64(draw());
                }
                if reorder > 0.0 && draw() < reorder {
                    delay += latency + Duration::from_millis(10);
                }
                datagrams.push(now + delay, bytes.to_vec(), source.into());
            }
        }
    }
}

type Datagram = (Vec<u8>, SocketAddr);

/// What one receiver will hear, in the order of arrival.
#[derive(Default)]
pub(super) struct Datagrams {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<(Instant, u64), Datagram>,
}

impl Datagrams {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, due: Instant, bytes: Vec<u8>, source: SocketAddr) {
        let mut queue = self.lock();
        if queue.waiting.len() < QUEUE {
            let order = queue.next;
            queue.next += 1;
            queue.waiting.insert((due, order), (bytes, source));
            self.arrived.notify_one();
        }
    }

    pub(super) async fn next(&self) -> Datagram {
        loop {
            let due = {
                let mut queue = self.lock();
                match queue.waiting.first_entry() {
                    Some(first) if first.key().0 <= Instant::now() => return first.remove(),
                    Some(first) => Some(first.key().0),
                    None => None,
                }
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = self.arrived.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => self.arrived.notified().await,
            }
        }
    }
}
