use std::{cmp::Ordering, collections::BTreeMap, collections::BTreeSet, iter::Peekable};

use super::PooledTransaction;

/// What a transaction may pay, in wei per gas; the tip cap is at most the fee cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caps {
    pub(super) fee: u128,
    pub(super) tip: u128,
}

impl Caps {
    /// Highest base fee at which the whole tip is paid.
    const fn headroom(self) -> u128 {
        self.fee.saturating_sub(self.tip)
    }
}

impl From<&PooledTransaction> for Caps {
    fn from(transaction: &PooledTransaction) -> Self {
        Self {
            fee: transaction.fee_cap(),
            tip: transaction.tip_cap(),
        }
    }
}

/// Orders items by what they pay per gas, min(fee cap, base fee + tip cap), then by key, under a
/// base fee that moves.
///
/// Among items that pay their whole tip the order does not depend on the base fee, and neither does
/// it among those that pay their fee cap: when the base fee moves, only items whose headroom it
/// passes change sides.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FeeOrder<K: Ord> {
    base_fee: u128,
    /// Those that pay the base fee and their tip, by tip cap.
    whole_tip: BTreeSet<(u128, K)>,
    /// Those that pay their fee cap, by it.
    capped: BTreeSet<(u128, K)>,
    /// Keys of all by headroom, with their caps.
    by_headroom: BTreeMap<u128, BTreeMap<K, Caps>>,
}

impl<K: Ord + Copy> FeeOrder<K> {
    pub(super) fn new(base_fee: u64) -> Self {
        Self {
            base_fee: u128::from(base_fee),
            whole_tip: BTreeSet::new(),
            capped: BTreeSet::new(),
            by_headroom: BTreeMap::new(),
        }
    }

    pub(super) fn insert(&mut self, caps: Caps, key: K) {
        self.by_headroom
            .entry(caps.headroom())
            .or_default()
            .insert(key, caps);
        let (side, rank) = self.place(caps);
        side.insert((rank, key));
    }

    pub(super) fn remove(&mut self, caps: Caps, key: K) {
        if let Some(keys) = self.by_headroom.get_mut(&caps.headroom()) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_headroom.remove(&caps.headroom());
            }
        }
        let (side, rank) = self.place(caps);
        side.remove(&(rank, key));
    }

    /// Moves to another base fee, in wei per gas.
    pub(super) fn set_base_fee(&mut self, base_fee: u64) {
        let (old, new) = (self.base_fee, u128::from(base_fee));
        self.base_fee = new;
        let passed = if old < new { old..new } else { new..old };
        for (key, caps) in self.by_headroom.range(passed).flat_map(|(_, keys)| keys) {
            if old < new {
                self.whole_tip.remove(&(caps.tip, *key));
                self.capped.insert((caps.fee, *key));
            } else {
                self.capped.remove(&(caps.fee, *key));
                self.whole_tip.insert((caps.tip, *key));
            }
        }
    }

    /// Price and key of each item, the highest first.
    pub(super) fn descending(&self) -> impl Iterator<Item = (u128, K)> {
        let whole_tip = self.whole_tip.iter().rev().map(self.whole_price());
        let capped = self.capped.iter().rev().copied();
        Merged {
            left: whole_tip.peekable(),
            right: capped.peekable(),
            first: Ordering::Greater,
        }
    }

    /// Price and key of each item, the lowest first.
    pub(super) fn ascending(&self) -> impl Iterator<Item = (u128, K)> {
        let whole_tip = self.whole_tip.iter().map(self.whole_price());
        let capped = self.capped.iter().copied();
        Merged {
            left: whole_tip.peekable(),
            right: capped.peekable(),
            first: Ordering::Less,
        }
    }

    fn whole_price(&self) -> impl Fn(&(u128, K)) -> (u128, K) {
        let base_fee = self.base_fee;
        move |(tip, key)| (base_fee.saturating_add(*tip), *key)
    }

    /// The side that an item is on, and its rank there.
    fn place(&mut self, caps: Caps) -> (&mut BTreeSet<(u128, K)>, u128) {
        if caps.headroom() >= self.base_fee {
            (&mut self.whole_tip, caps.tip)
        } else {
            (&mut self.capped, caps.fee)
        }
    }
}

/// Two sequences in one order as one.
struct Merged<L: Iterator, R: Iterator> {
    left: Peekable<L>,
    right: Peekable<R>,
    /// How what comes first compares with what comes later.
    first: Ordering,
}

impl<T: Ord, L: Iterator<Item = T>, R: Iterator<Item = T>> Iterator for Merged<L, R> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let from_left = match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) => left.cmp(right) == self.first,
            (left, _) => left.is_some(),
        };
        if from_left {
            self.left.next()
        } else {
            self.right.next()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u8, u8),
        Remove(u8),
        BaseFee(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..20u8, 0..30u8, 0..30u8).prop_map(|(key, fee, tip)| Step::Insert(key, fee, tip)),
            1 => (0..20u8).prop_map(Step::Remove),
            1 => (0..30u8).prop_map(Step::BaseFee),
        ];
        prop::collection::vec(step, 0..100)
    }

    proptest! {
        #[test]
        fn items_are_in_the_order_of_their_prices(steps in steps()) {
            let mut order = FeeOrder::new(10);
            let mut base_fee = 10;
            let mut model = BTreeMap::<u8, Caps>::new();
            for step in steps {
                match step {
                    Step::Insert(key, fee, tip) => {
                        let caps = Caps { fee: fee.into(), tip: tip.min(fee).into() };
                        if let Some(old) = model.insert(key, caps) {
                            order.remove(old, key);
                        }
                        order.insert(caps, key);
                    }
                    Step::Remove(key) => {
                        if let Some(old) = model.remove(&key) {
                            order.remove(old, key);
                        }
                    }
                    Step::BaseFee(new) => {
                        base_fee = u128::from(new);
                        order.set_base_fee(new.into());
                    }
                }
                let mut expected: Vec<_> = model
                    .iter()
                    .map(|(key, caps)| (caps.fee.min(base_fee + caps.tip), *key))
                    .collect();
                expected.sort_unstable();
                prop_assert!(order.ascending().eq(expected.iter().copied()));
                prop_assert!(order.descending().eq(expected.iter().rev().copied()));
            }
            for (key, caps) in model {
                order.remove(caps, key);
            }
            prop_assert_eq!(order, FeeOrder::new(u64::try_from(base_fee).unwrap()));
        }
    }
}
