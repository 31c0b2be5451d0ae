//! Who may try to prove membership: a bound on what strangers make a node compute, before anything is computed.

use super::Time;
use super::rate::Bucket;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Attempts of all strangers together: so many at once, and one more after each pause.
const TOTAL_BURST: u32 = 512;
const TOTAL_PAUSE: Duration = Duration::from_millis(5);
/// Attempts of one stranger.
const BURST: u32 = 128;
const PAUSE: Duration = Duration::from_millis(500);
/// Addresses of strangers whose attempts are told apart; those of further ones count together only.
const STRANGERS: usize = 1_024;
/// Addresses at which somebody has proved membership; the one that did so longest ago makes room.
const MEMBERS: usize = 4_096;
/// How long that holds.
const TRUST: Duration = Duration::from_secs(3_600);

/// Lets in whoever has proved membership lately, and of strangers as many as the node can afford to hear out.
///
/// An attempt that succeeds costs its address nothing. Who takes the address of a member is let in, and has to prove membership
/// then like anybody else.
#[derive(Debug)]
pub struct Doorman {
    total: Bucket,
    strangers: BTreeMap<IpAddr, Bucket>,
    members: BTreeMap<IpAddr, Time>,
    /// Attempts that were turned away.
    pub refused: u64,
}

impl Default for Doorman {
    fn default() -> Self {
        let (total, strangers, members) = (Bucket::new(TOTAL_PAUSE, TOTAL_BURST), BTreeMap::new(), BTreeMap::new());
        Self { total, strangers, members, refused: 0 }
    }
}

impl Doorman {
    /// Tells whether a connection from this address may begin to prove membership.
    pub fn admits(&mut self, now: Time, from: IpAddr) -> bool {
        if self.members.get(&from).is_some_and(|proved| now.since(*proved) < TRUST) {
            return true;
        }
        if self.strangers.len() >= STRANGERS && !self.strangers.contains_key(&from) {
            self.strangers.retain(|_, bucket| !bucket.is_full(now));
        }
        let tracked = self.strangers.len() < STRANGERS || self.strangers.contains_key(&from);
        let fair = !tracked || {
            let bucket = self.strangers.entry(from).or_insert_with(|| Bucket::new(PAUSE, BURST));
            self.total.has_token(now) && bucket.take(now)
        };
        let admitted = fair && self.total.take(now);
        self.refused += u64::from(!admitted);
        admitted
    }

    /// A connection from this address has not proved membership: what was known of it holds no more.
    pub fn failed(&mut self, from: IpAddr) {
        self.members.remove(&from);
    }

    /// A connection from this address has proved membership.
    pub fn proved(&mut self, now: Time, from: IpAddr) {
        self.strangers.remove(&from);
        if self.members.len() >= MEMBERS && !self.members.contains_key(&from) {
            let oldest = self.members.iter().min_by_key(|(_, proved)| **proved).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                self.members.remove(&oldest);
            }
        }
        self.members.insert(from, now);
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, Doorman, MEMBERS, STRANGERS, TOTAL_BURST};
    use crate::protocol::Time;
    use std::net::{IpAddr, Ipv6Addr};
    use std::time::Duration;

    fn address(n: u16) -> IpAddr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n).into()
    }

    fn at(ms: u64) -> Time {
        Time::default() + Duration::from_millis(ms)
    }

    #[test]
    fn a_stranger_has_few_attempts_and_a_member_any_number() {
        let mut doorman = Doorman::default();
        let admitted = (0..1_000).filter(|_| doorman.admits(at(0), address(1))).count();
        assert_eq!((admitted, doorman.refused), (BURST as usize, 1_000 - u64::from(BURST)));
        assert!(doorman.admits(at(0), address(2)), "another one is not held responsible");
        assert!(doorman.admits(at(500), address(1)));
        doorman.proved(at(500), address(1));
        assert!((0..1_000).all(|_| doorman.admits(at(500), address(1))));
        let admitted = (0..1_000).filter(|_| doorman.admits(at(3_700_000), address(1))).count();
        assert_eq!(admitted, BURST as usize, "that was an hour ago");
        doorman.proved(at(3_700_000), address(1));
        doorman.failed(address(1));
        let admitted = (0..1_000).filter(|_| doorman.admits(at(3_700_000), address(1))).count();
        assert_eq!(admitted, BURST as usize, "it is a member no more");
    }

    #[test]
    fn many_strangers_share_a_total_that_no_member_needs() {
        let mut doorman = Doorman::default();
        doorman.proved(at(0), address(60_000));
        let admitted = (0..20_000).filter(|n| doorman.admits(at(0), address(*n))).count();
        assert_eq!(admitted, TOTAL_BURST as usize);
        assert!(doorman.admits(at(0), address(60_000)));
        let admitted = (0..20_000).filter(|n| doorman.admits(at(1_000), address(*n))).count();
        assert_eq!(admitted, 200);
        for n in 0..5_000 {
            doorman.proved(at(2_000), address(n));
            doorman.admits(at(2_000), address(n + 5_000));
        }
        assert!(doorman.strangers.len() <= STRANGERS && doorman.members.len() <= MEMBERS);
    }
}
