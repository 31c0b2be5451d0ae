//! An aggregate as a line of letters, in the order of its addresses.

use crate::prefix::{Prefix, Want};
use std::collections::BTreeMap;

/// Parts that an aggregate is drawn in, as a power of two: each is a prefix of its own.
const PARTS: u8 = 6;

/// How much of each part is in which state.
#[derive(Debug)]
pub(super) struct Map {
    aggregate: Prefix,
    /// Length of a part.
    length: u8,
    weights: BTreeMap<(u128, char), u128>,
}

impl Map {
    pub(super) fn new(aggregate: Prefix) -> Self {
        let length = aggregate.length().saturating_add(PARTS).min(aggregate.family().bits());
        Self { aggregate, length, weights: BTreeMap::new() }
    }

    /// Enters a block of the aggregate.
    pub(super) fn add(&mut self, block: &Prefix, letter: char) {
        let host = u32::from(block.family().bits().saturating_sub(self.length));
        let first = block.number().saturating_sub(self.aggregate.number()).checked_shr(host).unwrap_or(0);
        let (parts, each) = if block.length() >= self.length {
            (1, block.measure())
        } else {
            let part = Want { family: block.family(), length: self.length }.measure();
            (1_u128 << (self.length - block.length()).min(PARTS), part)
        };
        for part in first..first.saturating_add(parts) {
            let weight = self.weights.entry((part, letter)).or_default();
            *weight = weight.saturating_add(each);
        }
    }

    /// A letter for each part: that of the state that has most of it; of equal ones, one that is not free.
    pub(super) fn draw(&self) -> String {
        let parts = 1_u128 << (self.length - self.aggregate.length());
        let most = |part: u128| {
            let states = self.weights.range((part, char::MIN)..=(part, char::MAX));
            states.max_by_key(|((_, letter), weight)| (**weight, *letter != 'F')).map(|((_, letter), _)| *letter)
        };
        (0..parts).map(|part| most(part).unwrap_or(' ')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(aggregate: &str, blocks: &[(&str, char)]) -> String {
        let mut map = Map::new(aggregate.parse().unwrap());
        blocks.iter().for_each(|(block, letter)| map.add(&block.parse().unwrap(), *letter));
        map.draw()
    }

    /// PM-L-04
    #[test]
    fn each_letter_is_the_state_that_has_most_of_its_part() {
        let half = [("2001:db8::/33", 'F'), ("2001:db8:8000::/34", 'G'), ("2001:db8:c000::/34", 'x')];
        let expected = format!("{}{}{}", "F".repeat(32), "G".repeat(16), "x".repeat(16));
        assert_eq!(map("2001:db8::/32", &half), expected);
        // Of the first part three quarters are delegated, in pieces.
        let pieces = [("10.0.0.0/24", 'F'), ("10.0.1.0/24", 'D'), ("10.0.2.0/23", 'D'), ("10.0.4.0/22", 'F')];
        assert_eq!(map("10.0.0.0/16", &pieces), format!("DF{}", " ".repeat(62)));
        assert_eq!(map("10.0.0.0/16", &[("10.0.0.0/23", 'F'), ("10.0.2.0/23", '?')]).chars().next(), Some('?'));
    }

    #[test]
    fn the_smallest_and_the_largest_aggregates_are_drawn() {
        assert_eq!(map("2001:db8::1/128", &[("2001:db8::1/128", 'D')]), "D");
        assert_eq!(map("10.0.0.0/30", &[("10.0.0.0/31", 'F'), ("10.0.0.2/32", 'D')]), "FFD ");
        assert_eq!(map("::/0", &[("::/0", 'F')]), "F".repeat(64));
        assert_eq!(map("::/0", &[("8000::/1", 'G')]), format!("{}{}", " ".repeat(32), "G".repeat(32)));
    }
}
