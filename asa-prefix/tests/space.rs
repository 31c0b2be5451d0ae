//! The free blocks of a pool against a plain model, step by step.

mod model;
mod pfxm3;

use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::space::{Refused, Space};
use model::{Model, p, want};
use proptest::prelude::*;
use proptest::sample::Index;

/// One step of a run. An index picks from the blocks that are out, or the aggregates, as the run has them by then.
#[derive(Debug, Clone)]
enum Step {
    Add(Prefix),
    Take(Want),
    TakeAtMost(Want, u8),
    TakeExactly(Prefix),
    Free(Prefix),
    FreeTaken(Index),
    FreePart(Index, Prefix),
    Withdraw(Prefix),
    WithdrawKnown(Index),
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL.to_vec())
}

/// Blocks of a small range, where steps often meet, and seldom ones from anywhere, the whole of a family among them.
fn block() -> impl Strategy<Value = Prefix> {
    let close = (family(), any::<u8>(), 0_u8..=8).prop_map(|(family, low, short)| model::near(family, low, short));
    let wild = (family(), any::<u128>(), 0_u8..=128).prop_map(|(family, address, length)| {
        let length = length % (family.bits() + 1);
        match family {
            Family::V4 => Prefix::of(std::net::Ipv4Addr::from((address % (1 << 32)) as u32).into(), length).unwrap(),
            Family::V6 => Prefix::of(std::net::Ipv6Addr::from(address).into(), length).unwrap(),
        }
    });
    let whole = prop::sample::select(vec![p("0.0.0.0/0"), p("::/0"), p("2001:db8::/32"), p("10.0.0.0/8")]);
    prop_oneof![40 => close, 1 => wild, 1 => whole]
}

/// Also lengths that no address has.
fn wanted() -> impl Strategy<Value = Want> {
    let close =
        (family(), 0_u8..=8).prop_map(|(family, short)| Want { family, length: model::longest(family) - short });
    let wild = (family(), any::<u8>()).prop_map(|(family, length)| Want { family, length });
    prop_oneof![20 => close, 1 => wild]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => block().prop_map(Step::Add),
        8 => wanted().prop_map(Step::Take),
        4 => (wanted(), any::<u8>()).prop_map(|(want, longest)| Step::TakeAtMost(want, longest)),
        4 => block().prop_map(Step::TakeExactly),
        2 => block().prop_map(Step::Free),
        10 => any::<Index>().prop_map(Step::FreeTaken),
        1 => (any::<Index>(), block()).prop_map(|(index, part)| Step::FreePart(index, part)),
        1 => block().prop_map(Step::Withdraw),
        2 => any::<Index>().prop_map(Step::WithdrawKnown),
    ]
}

/// Two adjacent aggregates that are buddies, an odd one, then whatever comes.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80).prop_map(|rest| {
        let start = ["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/27", "2001:db8::/61", "2001:db8:0:8::/61"];
        start.into_iter().map(|text| Step::Add(p(text))).chain(rest).collect()
    })
}

fn run(steps: Vec<Step>) {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Add(block) => model.add(block),
            Step::Take(want) => model.take(want),
            Step::TakeAtMost(want, longest) => model.take_at_most(want, longest),
            Step::TakeExactly(block) => model.take_exactly(block),
            Step::Free(block) => model.free(block),
            Step::FreeTaken(index) => match model.taken(&index) {
                Some(block) => model.free(block),
                None => continue,
            },
            Step::FreePart(index, part) => match model.taken(&index) {
                Some(block) => model.free(model::inside(&block, &part)),
                None => continue,
            },
            Step::Withdraw(block) => model.withdraw(block),
            Step::WithdrawKnown(index) => match model.aggregate(&index) {
                Some(block) => model.withdraw(block),
                None => continue,
            },
        }
        model.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// PM-O-02, PM-O-05, PM-O-06, PM-S-14: after every step of any run the blocks are disjoint, none is lost, buddies are
    /// joined but not across borders, the choice is the best fit, and the changes that were named are those that happened.
    #[test]
    fn any_run_keeps_every_address_once(steps in steps()) {
        run(steps);
    }

    /// PM-S-14: a store is read back block by block into the same space, whatever order it has.
    #[test]
    fn a_space_is_read_back_as_it_was(
        wants in prop::collection::vec(wanted(), 0..30),
        frees in prop::collection::vec(any::<Index>(), 0..20),
        key in any::<u64>(),
    ) {
        let mut model = Model::default();
        model.add(p("10.0.0.0/25"));
        model.add(p("2001:db8::/61"));
        wants.into_iter().for_each(|want| model.take(want));
        for index in frees {
            if let Some(block) = model.taken(&index) {
                model.free(block);
            }
        }
        let mut read = Space::new();
        model.space.aggregates().try_for_each(|aggregate| read.enter(aggregate)).unwrap();
        let mut blocks: Vec<Prefix> = model.space.free_blocks().collect();
        blocks.sort_by_key(|block| block.number().wrapping_mul(u128::from(key | 1)));
        blocks.into_iter().try_for_each(|block| read.enter_free(block)).unwrap();
        model.space = read;
        model.check();
        prop_assert_eq!(model.space.join(), []);
    }

    /// PM-S-14: halves that a store kept apart are not joined as it is read, and then all at once.
    #[test]
    fn what_was_read_apart_is_joined_on_demand(lengths in prop::collection::vec(26_u8..=30, 0..20)) {
        let (mut whole, mut apart) = (Space::new(), Space::new());
        for aggregate in [p("10.0.0.0/25"), p("10.0.0.128/25")] {
            whole.enter(aggregate).unwrap();
            apart.enter(aggregate).unwrap();
        }
        let mut low = 0_u32;
        for length in lengths {
            // Each block starts where the last one ended or at the next place it fits, which leaves gaps.
            let size = 1 << (32 - length);
            low = low.next_multiple_of(size);
            if low + size > 256 {
                break;
            }
            let block = Prefix::of(std::net::Ipv4Addr::from(0x0a00_0000 + low).into(), length).unwrap();
            whole.free(block).unwrap();
            apart.enter_free(block).unwrap();
            low += size;
        }
        let mut rows: std::collections::BTreeSet<Prefix> = apart.free_blocks().collect();
        let count = apart.measure_free(Family::V4);
        for joined in apart.join() {
            model::replay_joined(&mut rows, &joined);
        }
        prop_assert!(whole.free_blocks().eq(apart.free_blocks()) && rows.into_iter().eq(apart.free_blocks()));
        prop_assert_eq!((count, apart.measure_free(Family::V4)), (whole.measure_free(Family::V4), count));
    }
}

/// PM-O-05: best fit takes from the smallest block that is big enough, of equal ones from the highest, and its highest part.
#[test]
fn the_smallest_highest_block_is_split() {
    let mut space = Space::new();
    for aggregate in ["2001:db8::/32", "2001:db9::/48", "2001:db9:1::/48", "2001:db9:2::/56"] {
        space.add(p(aggregate)).unwrap();
    }
    let cut = space.take(want("::/50")).unwrap();
    assert_eq!((cut.from, cut.block), (p("2001:db9:1::/48"), p("2001:db9:1:c000::/50")));
    assert_eq!(cut.rest, [p("2001:db9:1::/49"), p("2001:db9:1:8000::/50")]);
    assert_eq!(space.take(want("::/50")).unwrap().from, p("2001:db9:1:8000::/50"));
    assert_eq!(space.take(want("::/60")).unwrap().from, p("2001:db9:2::/56"));
    assert_eq!(space.take(want("::/31")), None);
}

/// PM-O-02: a pool of /60s offers a /60 to who asks for a /56, unless that is beyond the limit; an empty one nothing.
#[test]
fn a_longer_prefix_is_offered_up_to_the_limit() {
    let mut space = Space::new();
    assert_eq!(space.take_at_most(want("::/56"), 64), None);
    space.add(p("2001:db8::/62")).unwrap();
    space.add(p("2001:db8:0:10::/60")).unwrap();
    space.add(p("2001:db8:0:30::/60")).unwrap();
    space.add(p("10.0.0.0/8")).unwrap();
    assert_eq!(space.take_at_most(want("::/56"), 59), None);
    assert_eq!(space.take_at_most(want("::/56"), 0), None, "a limit shorter than what is wanted adds nothing");
    assert_eq!(space.take_at_most(want("::/56"), 60).unwrap().block, p("2001:db8:0:30::/60"));
    assert_eq!(space.take_at_most(want("::/64"), 0).unwrap().from, p("2001:db8::/62"));
    assert_eq!(space.take_at_most(want("0.0.0.0/4"), 16).unwrap().block, p("10.0.0.0/8"));
}

/// PM-O-06: buddies that are aggregates of their own stay apart.
#[test]
fn nothing_is_joined_across_a_border() {
    let mut space = Space::new();
    space.add(p("2001:db8::/33")).unwrap();
    space.add(p("2001:db8:8000::/33")).unwrap();
    let cut = space.take(want("::/34")).unwrap();
    let joined = space.free(cut.block).unwrap();
    assert_eq!((joined.whole, joined.absorbed), (p("2001:db8:8000::/33"), cut.rest));
    assert_eq!(space.join(), []);
    assert_eq!(space.largest(Family::V6), Some(33));
}

/// PM-D-07: a range that is partly out is excluded piece by piece, and never chosen then.
#[test]
fn an_excluded_range_is_never_taken() {
    let mut space = Space::new();
    space.add(p("10.0.0.0/24")).unwrap();
    let range = p("10.0.0.192/26");
    let cut = space.take(want("0.0.0.0/28")).unwrap();
    assert!(range.contains(&cut.block) && space.take_exactly(range).is_none());
    let pieces: Vec<Prefix> = space.free_within(&range).collect();
    assert_eq!(pieces, [p("10.0.0.192/27"), p("10.0.0.224/28")]);
    for piece in pieces {
        assert_eq!(space.take_exactly(piece).unwrap().block, piece);
    }
    assert_eq!(space.free_within(&p("10.0.0.0/26")).count(), 0, "a part of a larger free block is no block");
    while let Some(cut) = space.take(want("0.0.0.0/32")) {
        assert!(!range.overlaps(&cut.block));
    }
    assert_eq!(space.measure_free(Family::V4), 0);
}

/// PM-O-08: 0 for one block, 1/2 for two apart, near 1 for dust; borders count for the family, not for an aggregate.
#[test]
fn fragmentation_is_what_is_outside_the_largest_block() {
    let mut space = Space::new();
    assert_eq!((space.fragmentation(Family::V6), space.fragmentation_of(&p("::/0"))), (0.0, None));
    space.add(p("10.0.0.0/8")).unwrap();
    assert_eq!((space.fragmentation(Family::V4), space.fragmentation(Family::V6)), (0.0, 0.0));
    space.add(p("11.0.0.0/8")).unwrap();
    assert_eq!((space.fragmentation(Family::V4), space.fragmentation_of(&p("11.0.0.0/8"))), (0.5, Some(0.0)));
    let mut dust = Space::new();
    dust.enter(p("10.0.0.0/20")).unwrap();
    assert_eq!(dust.fragmentation_of(&p("10.0.0.0/20")), Some(0.0));
    for low in (0..4096).step_by(2) {
        dust.free(Prefix::of(std::net::Ipv4Addr::from(0x0a00_0000 + low).into(), 32).unwrap()).unwrap();
    }
    assert_eq!(dust.fragmentation(Family::V4), 1.0 - 1.0 / 2048.0);
    assert_eq!(dust.fragments(Family::V4), 2048);
    assert_eq!(dust.fragmentation_of(&p("10.0.0.0/21")), None, "only aggregates have a figure");
}

/// The whole of IPv6, which cannot be counted in 128 bits: at most 128 halvings, and every count comes back.
#[test]
fn all_of_ipv6_is_split_and_joined_again() {
    let mut space = Space::new();
    space.add(p("::/0")).unwrap();
    assert_eq!((space.measure_free(Family::V6), space.fragmentation(Family::V6)), (u128::MAX, 0.0));
    let cut = space.take(want("::/128")).unwrap();
    assert_eq!((cut.block.number(), cut.rest.len(), space.measure_free(Family::V6)), (u128::MAX, 128, u128::MAX));
    let half = space.take(want("::/1")).unwrap();
    assert_eq!(space.measure_free(Family::V6), (1 << 127) - 1);
    space.free(half.block).unwrap();
    assert_eq!(space.free(cut.block).unwrap().whole, p("::/0"));
    assert_eq!((space.measure_free(Family::V6), space.fragments(Family::V6)), (u128::MAX, 1));
    assert_eq!(space.fragmentation_of(&p("::/0")), Some(0.0));
    assert_eq!(space.withdraw(&p("::/0")), Ok(()));
    assert_eq!((space.measure_free(Family::V6), space.aggregates().count()), (0, 0));
}

/// What cannot be is refused with the names of both sides, and changes nothing.
#[test]
fn refusals_name_the_block_and_what_it_meets() {
    let mut space = Space::new();
    space.add(p("10.0.0.0/9")).unwrap();
    let overlap = space.add(p("10.0.0.0/8")).unwrap_err();
    assert_eq!((overlap.new, overlap.old), (p("10.0.0.0/8"), p("10.0.0.0/9")));
    assert!(overlap.to_string().contains("10.0.0.0/8 overlaps 10.0.0.0/9"));
    assert_eq!(space.enter(p("10.64.0.0/10")).unwrap_err().old, p("10.0.0.0/9"));
    let cut = space.take(want("0.0.0.0/24")).unwrap();
    let (block, outside) = (cut.block, |block| Err(Refused::Outside { block }));
    for wrong in [p("::/0"), p("0.0.0.0/0"), p("10.0.0.0/8"), p("10.128.0.0/24")] {
        assert_eq!(space.free(wrong).map(|joined| joined.whole), outside(wrong).map(|()| wrong));
        assert_eq!(space.enter_free(wrong), outside(wrong));
    }
    let free = p("10.127.254.0/24");
    assert_eq!(space.free(p("10.127.254.0/23")), Err(Refused::Free { block: p("10.127.254.0/23"), free }));
    assert_eq!(space.enter_free(p("10.127.254.9/32")), Err(Refused::Free { block: p("10.127.254.9/32"), free }));
    assert_eq!(space.withdraw(&p("10.0.0.0/9")), Err(Refused::Held { aggregate: p("10.0.0.0/9") }));
    assert_eq!(space.withdraw(&p("10.0.0.0/8")), Err(Refused::Unknown { aggregate: p("10.0.0.0/8") }));
    space.free(block).unwrap();
    assert_eq!(space.free(block).unwrap_err(), Refused::Free { block, free: p("10.0.0.0/9") });
    assert!(space.withdraw(&p("10.0.0.0/9")).is_ok() && space.free_blocks().next().is_none());
}
