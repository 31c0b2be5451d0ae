//! The pool of pfxm3, as its source has it, beside ours.

use super::model::p;
use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::space::Space;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A list ordered by length, then by address; a request searches it from its end.
struct Pfxm3(Vec<Prefix>);

impl Pfxm3 {
    fn insert(&mut self, block: Prefix) {
        let key = |block: &Prefix| (block.length(), block.number());
        let place = self.0.partition_point(|other| key(other) < key(&block));
        self.0.insert(place, block);
    }

    fn get(&mut self, length: u8) -> Option<Prefix> {
        loop {
            let place = self.0.iter().rposition(|block| block.length() <= length)?;
            let block = self.0.remove(place);
            if block.length() == length {
                return Some(block);
            }
            let (low, high) = block.halves()?;
            self.insert(low);
            self.insert(high);
        }
    }

    /// One turn of its background task, which joins at most one pair.
    fn compress(&mut self) -> bool {
        let Some(place) = self.0.windows(2).position(|pair| pair[0].buddy() == Some(pair[1])) else { return false };
        let parent = self.0[place].parent().unwrap();
        self.0.drain(place..=place + 1);
        self.insert(parent);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// PM-O-05: where pfxm3 had the time to join whatever there was, it gives the same block.
    #[test]
    fn the_choice_is_that_of_pfxm3(
        steps in prop::collection::vec(prop_oneof![(0_u8..=16).prop_map(Ok), any::<Index>().prop_map(Err)], 1..120),
    ) {
        let (mut space, mut other) = (Space::new(), Pfxm3(vec![p("2001:db8::/48")]));
        space.add(p("2001:db8::/48")).unwrap();
        let mut live = Vec::new();
        for step in steps {
            match step {
                Ok(longer) => {
                    while other.compress() {}
                    let length = 48 + longer;
                    let block = space.take(Want { family: Family::V6, length }).map(|cut| cut.block);
                    prop_assert_eq!(block, other.get(length));
                    live.extend(block);
                }
                Err(index) if !live.is_empty() => {
                    let block = live.swap_remove(index.index(live.len()));
                    space.free(block).unwrap();
                    other.insert(block);
                }
                Err(_) => {}
            }
        }
        prop_assert!(space.fragments(Family::V6) <= other.0.len());
    }
}

/// PM-O-05: over many runs we leave no more fragments than pfxm3 with the same arrivals and departures, however often that
/// joins. A single run may come out either way.
#[test]
fn fragments_are_not_above_those_of_pfxm3() {
    for period in [1, 4, 20] {
        let (mut ours, mut theirs, mut worse) = (0, 0, 0);
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (mut space, mut other) = (Space::new(), Pfxm3(vec![p("2001:db8::/44")]));
            space.add(p("2001:db8::/44")).unwrap();
            let mut live = Vec::new();
            for step in 0..600 {
                if random.random_bool(0.55) {
                    let length = random.random_range(52..=60);
                    // The pool is large enough for all, so that both hold blocks of the same sizes.
                    let block = space.take(Want { family: Family::V6, length }).unwrap().block;
                    live.push((block, other.get(length).unwrap()));
                } else if !live.is_empty() {
                    let (block, other_block) = live.swap_remove(random.random_range(0..live.len()));
                    space.free(block).unwrap();
                    other.insert(other_block);
                }
                if step % period == 0 {
                    other.compress();
                }
            }
            ours += space.fragments(Family::V6);
            theirs += other.0.len();
            worse += usize::from(space.fragments(Family::V6) > other.0.len());
        }
        println!("joined every {period} steps: {ours} fragments, pfxm3 {theirs}; more in {worse} of 200 runs");
        assert!(ours <= theirs, "pfxm3 joining every {period} steps: {ours} fragments against {theirs}");
    }
}
