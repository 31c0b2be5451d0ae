//! What a pool holds: something that can be measured, split and merged.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A block of a resource; a pool of money, VLAN ids or prefixes differs in nothing else.
///
/// The laws, which [`laws`] checks:
///
/// * **Split conserves.** The part taken has the size wanted, part and rest are disjoint, none is empty, and together they
///   measure what the block measured. A block of the size wanted is taken whole. Splitting does not depend on anything but
///   block and want.
/// * **Merge conserves.** Two blocks merge only if they are disjoint; the whole measures as much as both, and overlaps what
///   either overlaps. The order of the two does not matter.
/// * **Overlap** is symmetric, and every block that is not empty overlaps itself.
/// * **Order** is total and agrees with equality, and what lies between two blocks that overlap overlaps one of them, so that
///   a look at neighbours finds every overlap.
/// * **Reduced** wants are strictly smaller, so that asking for less ends.
/// * **Written blocks are read back alike**, as JSON and as CBOR.
pub trait Resource: Clone + Ord + Debug + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    /// How much is wanted, in the terms of the resource: a count, an amount, a prefix length.
    type Want: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + Unpin + 'static;

    /// Returns the size in the smallest units there are.
    fn measure(&self) -> u128;

    /// Returns the size of what is wanted, in the same units.
    fn size(want: &Self::Want) -> u128;

    /// Takes what is wanted out of the block: the part and what is left, or `None` if it is not in there.
    fn split(&self, want: &Self::Want) -> Option<(Self, Vec<Self>)>;

    /// Joins two blocks that make one; `None` if they do not.
    fn merge(&self, other: &Self) -> Option<Self>;

    /// Tells whether something is in both.
    fn overlaps(&self, other: &Self) -> bool;

    /// The next smaller thing to offer when what is wanted is not there (PM-O-02); `None` if nothing less will do.
    fn reduced(want: &Self::Want) -> Option<Self::Want> {
        let _ = want;
        None
    }
}

/// A range of integers without its end, for ids, ports or VLANs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// The first that is in it.
    pub start: u32,
    /// The first that is not.
    pub end: u32,
}

impl Range {
    /// From `start` up to, and without, `end`.
    #[must_use]
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

impl Resource for Range {
    /// So many in a row.
    type Want = u32;

    fn measure(&self) -> u128 {
        self.end.saturating_sub(self.start).into()
    }

    fn size(want: &u32) -> u128 {
        (*want).into()
    }

    fn split(&self, want: &u32) -> Option<(Self, Vec<Self>)> {
        let middle = self.start.checked_add(*want).filter(|middle| *want > 0 && *middle <= self.end)?;
        let rest = Self::new(middle, self.end);
        Some((Self::new(self.start, middle), if rest.is_empty() { Vec::new() } else { vec![rest] }))
    }

    fn merge(&self, other: &Self) -> Option<Self> {
        let (low, high) = if self <= other { (self, other) } else { (other, self) };
        (low.end == high.start && !low.is_empty() && !high.is_empty()).then(|| Self::new(low.start, high.end))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    fn reduced(want: &u32) -> Option<u32> {
        (*want > 1).then(|| want / 2)
    }
}

/// Coins of one account: an amount of money that remembers which coins it is made of, so that none is spent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Coins {
    /// Number of the account that issued them.
    pub account: u32,
    /// Serial number of the first.
    pub first: u64,
    /// How many, in a row.
    pub amount: u64,
}

impl Resource for Coins {
    /// An amount.
    type Want = u64;

    fn measure(&self) -> u128 {
        self.amount.into()
    }

    fn size(want: &u64) -> u128 {
        (*want).into()
    }

    fn split(&self, want: &u64) -> Option<(Self, Vec<Self>)> {
        let left = self.amount.checked_sub(*want).filter(|_| *want > 0)?;
        let rest = Self { first: self.first.checked_add(*want)?, amount: left, ..*self };
        Some((Self { amount: *want, ..*self }, if left == 0 { Vec::new() } else { vec![rest] }))
    }

    fn merge(&self, other: &Self) -> Option<Self> {
        let (low, high) = if self <= other { (self, other) } else { (other, self) };
        let adjoin = low.account == high.account && low.first.checked_add(low.amount) == Some(high.first);
        let amount = low.amount.checked_add(high.amount)?;
        (adjoin && low.amount > 0 && high.amount > 0).then_some(Self { amount, ..*low })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let end = |coins: &Self| u128::from(coins.first) + u128::from(coins.amount);
        let both = u128::from(self.first.max(other.first)) < end(self).min(end(other));
        self.account == other.account && both
    }
}

/// Checks the laws of [`Resource`] on three blocks and a want, for property tests of authors: draw all four at random.
///
/// # Errors
///
/// The first law that is broken, with the values that break it.
pub fn laws<R: Resource>([one, other, third]: [&R; 3], want: &R::Want) -> Result<(), String> {
    let check =
        |law: &str, holds: bool| if holds { Ok(()) } else { Err(format!("{law}: {one:?}, {other:?}, {want:?}")) };
    if let Some((part, rest)) = one.split(want) {
        let total = rest.iter().map(R::measure).sum::<u128>();
        check("a part has the size wanted", part.measure() == R::size(want))?;
        check("nothing taken is empty", part.measure() > 0 && rest.iter().all(|block| block.measure() > 0))?;
        check("a split conserves", part.measure().checked_add(total) == Some(one.measure()))?;
        check("part and rest are disjoint", !rest.iter().any(|block| block.overlaps(&part)))?;
        let disjoint = |i: usize| rest.iter().skip(i + 1).all(|block| !rest[i].overlaps(block));
        check("the rest is disjoint", (0..rest.len()).all(disjoint))?;
        check("parts are in the whole", rest.iter().chain([&part]).all(|block| block.overlaps(one)))?;
        let outside = !one.overlaps(other) && rest.iter().chain([&part]).any(|block| block.overlaps(other));
        check("parts are nowhere else", !outside)?;
        check("a split is always the same", one.split(want) == Some((part, rest)))?;
    } else {
        check("the whole can be taken", R::size(want) != one.measure() || one.measure() == 0)?;
    }
    match one.merge(other) {
        Some(whole) => {
            check("only disjoint blocks merge", !one.overlaps(other))?;
            check("a merge conserves", one.measure().checked_add(other.measure()) == Some(whole.measure()))?;
            check("a whole holds its parts", whole.overlaps(one) && whole.overlaps(other))?;
            check("the order of a merge does not matter", other.merge(one) == Some(whole))?;
        }
        None => check("the order of a merge does not matter", other.merge(one).is_none())?,
    }
    check("overlap is symmetric", one.overlaps(other) == other.overlaps(one))?;
    check("a block overlaps itself", one.overlaps(one) == (one.measure() > 0))?;
    check("equal blocks compare alike", (one == other) == one.cmp(other).is_eq())?;
    let mut sorted = [one, other, third];
    sorted.sort();
    let [low, middle, high] = sorted;
    let between = low < middle && middle < high && middle.measure() > 0 && low.overlaps(high);
    check("what lies between overlaps", !between || low.overlaps(middle) || middle.overlaps(high))?;
    if let Some(less) = R::reduced(want) {
        check("less is less", R::size(&less) < R::size(want))?;
    }
    let json = serde_json::to_string(one).map_err(|error| error.to_string())?;
    check("JSON is read back alike", serde_json::from_str::<R>(&json).is_ok_and(|read| read == *one))?;
    let cbor = grasp::Value::item(one).map_err(|error| error.to_string())?;
    check("CBOR is read back alike", cbor.decode::<R>().is_ok_and(|read| read == *one))
}
