//! What one peer may ask of this node, so that it cannot keep others from being served (PM-O-12).

use asa_framework::machine::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Peers that are watched at once; of more, the one heard of longest ago that has no open session is forgotten.
const PEERS: usize = 4_096;
/// A peer that has not asked for so long has no session that could still be open; somebody has failed to say so.
const LOST: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Peer {
    open: usize,
    /// Requests that may still come now, in thousandths.
    credit: u64,
    at: Time,
}

/// Open sessions and recent requests of each peer.
#[derive(Debug)]
pub(super) struct Limits {
    sessions: usize,
    rate: u32,
    peers: BTreeMap<String, Peer>,
}

impl Limits {
    pub(super) fn new(sessions: usize, rate: u32) -> Self {
        Self { sessions, rate, peers: BTreeMap::new() }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// Why it is not served, in words for the peer.
    pub(super) fn request(&mut self, now: Time, peer: &str) -> Result<(), &'static str> {
        let full = u64::from(self.rate) * 1_000;
        if !self.peers.contains_key(peer) && self.peers.len() >= PEERS {
            let idle = self.peers.iter().filter(|(_, other)| other.open == 0);
            let oldest = idle.min_by_key(|(_, other)| other.at).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return Err("too many peers at once") };
            self.peers.remove(&oldest);
        }
        let entry = self.peers.entry(peer.to_owned()).or_insert(Peer { open: 0, credit: full, at: now });
        if now.since(entry.at) >= LOST {
            entry.open = 0;
        }
        let passed = u64::try_from(now.since(entry.at).as_millis()).unwrap_or(u64::MAX);
        // A minute fills it up.
        let grown = passed.saturating_mul(u64::from(self.rate)) / 60;
        entry.credit = entry.credit.saturating_add(grown).min(full);
        entry.at = now;
        if entry.open >= self.sessions {
            return Err("too many of your negotiations are open");
        }
        let Some(left) = entry.credit.checked_sub(1_000) else { return Err("too many requests; ask again later") };
        entry.credit = left;
        entry.open += 1;
        Ok(())
    }

    /// A negotiation is over.
    pub(super) fn over(&mut self, peer: &str) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.open = entry.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// PM-O-12
    #[test]
    fn one_peer_is_cut_off_and_others_are_not() {
        let mut limits = Limits::new(2, 3);
        let now = Time::default();
        assert_eq!(limits.request(now, "a"), Ok(()));
        assert_eq!(limits.request(now, "a"), Ok(()));
        assert!(limits.request(now, "a").unwrap_err().contains("open"));
        limits.over("a");
        assert_eq!(limits.request(now, "a"), Ok(()));
        limits.over("a");
        limits.over("a");
        assert!(limits.request(now, "a").unwrap_err().contains("later"));
        assert_eq!(limits.request(now, "b"), Ok(()));
        assert_eq!(limits.request(now + MINUTE / 3, "a"), Ok(()));
    }

    #[test]
    fn peers_are_not_remembered_without_bound() {
        let mut limits = Limits::new(1, 10);
        for number in 0..3 * PEERS {
            let name = number.to_string();
            assert_eq!(limits.request(Time(Duration::from_millis(number as u64)), &name), Ok(()));
            limits.over(&name);
        }
        assert!(limits.peers.len() <= PEERS);
    }
}
