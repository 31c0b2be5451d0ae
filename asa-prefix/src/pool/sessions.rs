//! What a pool remembers of negotiations, so that it can tell the other side what became of them.

use super::book::Book;
use super::record::{Deal, Part, Record};
use crate::prefix::{Prefix, Want};
use asa_framework::roles::store::Change;

/// A negotiation that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) deal: Deal,
    pub(super) part: Part,
    pub(super) want: Want,
    pub(super) void: Option<Prefix>,
    pub(super) over: bool,
}

pub(super) fn record(number: u64, remembered: &Remembered) -> Record {
    let Remembered { deal, part, want, void, over } = remembered.clone();
    Record::Session { number, deal, part, want, void, over }
}

impl Book {
    pub(super) fn keep(&mut self, number: u64, remembered: Remembered) {
        self.numbers.entry((remembered.deal.session, remembered.part)).or_default().push(number);
        if remembered.over {
            self.overs.insert(number);
        }
        self.sessions.insert(number, remembered);
    }

    /// Remembers a negotiation. If there are more than `limit` the oldest that is over is forgotten, or the oldest of all:
    /// in that one nothing can be accepted any more. Returns how many were.
    pub(super) fn remember(&mut self, remembered: Remembered, limit: usize) -> u64 {
        let number = self.sessions.keys().next_back().map_or(1, |last| last.saturating_add(1));
        self.note(Change::Put(record(number, &remembered)));
        self.keep(number, remembered);
        let mut forgotten = 0;
        while self.sessions.len() > limit.max(1) {
            let oldest = self.overs.first().or_else(|| self.sessions.keys().next()).copied();
            oldest.into_iter().for_each(|oldest| self.forget(oldest));
            forgotten += 1;
        }
        forgotten
    }

    fn forget(&mut self, number: u64) {
        let Some(old) = self.sessions.remove(&number) else { return };
        self.overs.remove(&number);
        self.note(Change::Delete(record(number, &old)));
        let key = (old.deal.session, old.part);
        if let Some(numbers) = self.numbers.get_mut(&key) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.numbers.remove(&key);
            }
        }
    }

    /// Whether this side has asked in a negotiation that is not over.
    pub(super) fn is_asking(&self, deal: &Deal) -> bool {
        self.remembered(deal.session, Part::Asker).any(|(_, it)| !it.over && it.deal == *deal)
    }

    /// Whether it is remembered that a block did not change hands in a negotiation that this side provided for.
    pub(super) fn is_void(&self, deal: &Deal, block: Prefix) -> bool {
        let mut its = self.remembered(deal.session, Part::Provider);
        its.any(|(_, it)| it.void == Some(block) && it.deal == *deal)
    }

    /// Remembered negotiations of a session id.
    pub(super) fn remembered(&self, session: u32, part: Part) -> impl Iterator<Item = (u64, &Remembered)> {
        let numbers = self.numbers.get(&(session, part)).into_iter().flatten();
        numbers.filter_map(|number| Some((*number, self.sessions.get(number)?)))
    }

    /// A negotiation in which this side asked is over, and nothing came of it.
    pub(super) fn over(&mut self, number: u64) {
        let Some(remembered) = self.sessions.get_mut(&number).filter(|remembered| !remembered.over) else { return };
        let before = record(number, remembered);
        remembered.over = true;
        let after = record(number, remembered);
        self.overs.insert(number);
        self.note(Change::Delete(before));
        self.note(Change::Put(after));
    }
}
