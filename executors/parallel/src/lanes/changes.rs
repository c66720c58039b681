use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    iter::Peekable,
    slice,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, AccountChange, ChangeSet, PartedMap, SortedMap, WrittenSlot};

use super::lane::{Lane, LaneAccount, Places};
use crate::crew::Crew;

/// What the lanes changed together, the oldest first.
pub(super) fn gather(
    lanes: &[Lane],
    code: BTreeMap<B256, Bytes>,
    crew: Option<&Crew>,
) -> ChangeSet {
    let accounts: usize = lanes.iter().map(|lane| lane.places.accounts.len()).sum();
    let threads = crew.map_or(1, Crew::threads);
    let ranges = (accounts / ACCOUNTS_PER_RANGE).max(if threads > 1 {
        threads.saturating_mul(RANGES_PER_THREAD)
    } else {
        1
    });
    let parts: Vec<_> = match crew {
        Some(crew) => {
            let written = crew.each(lanes.iter().collect(), |lane| Written::new(lane, ranges));
            crew.each((0..ranges).collect(), |range| changes_in(&written, range))
        }
        None => {
            let written: Vec<_> = lanes
                .iter()
                .map(|lane| Written::new(lane, ranges))
                .collect();
            (0..ranges)
                .map(|range| changes_in(&written, range))
                .collect()
        }
    };
    let accounts = PartedMap::from_parts(parts);
    ChangeSet { accounts, code }
}

/// Accounts whose changes are in one list: some hundred KiB. The system takes larger ones back at
/// once and clears them for the next block.
const ACCOUNTS_PER_RANGE: usize = 2048;

/// More ranges than threads: contracts with many slots are not spread evenly.
const RANGES_PER_THREAD: usize = 4;

/// What a lane changed.
#[derive(Debug)]
struct Written<'a> {
    places: &'a Places,
    /// The changed accounts by ranges of addresses.
    accounts: Vec<Vec<WrittenAccount>>,
    /// The written slots of accounts that have many, in order.
    slots: HashMap<u32, Vec<Keyed>>,
}

/// An account that a lane changed.
#[derive(Debug, Clone, Copy)]
struct WrittenAccount {
    /// The first 64 bits of the address.
    bits: u64,
    id: u32,
    /// The lane's position among the lanes.
    lane: u16,
    /// Whether slots of it are written.
    has_slots: bool,
}

/// Slots of an account that are put in order by the thread that does so for the whole lane.
const MANY_SLOTS: usize = 64;

/// An id, with the first 64 bits of its key.
type Keyed = (u64, u32);

impl<'a> Written<'a> {
    fn new(lane: &'a Lane, ranges: usize) -> Self {
        let places = &lane.places;
        let mut written_slots = vec![0u32; places.accounts.len()];
        for slot in &places.slots {
            if slot.written
                && let Some(slots) = written_slots.get_mut(slot.account as usize)
            {
                *slots = slots.saturating_add(1);
            }
        }
        let room = places.accounts.len() / ranges.max(1);
        let mut accounts: Vec<_> = (0..ranges)
            .map(|_| Vec::with_capacity(room.saturating_add(room / 4)))
            .collect();
        for ((account, slots), id) in places.accounts.iter().zip(&written_slots).zip(0..) {
            if account.written || *slots > 0 {
                let bits = first_bits(account.address);
                if let Some(range) = accounts.get_mut(range_of(bits, ranges)) {
                    range.push(WrittenAccount {
                        bits,
                        id,
                        lane: 0,
                        has_slots: *slots > 0,
                    });
                }
            }
        }
        let slots = (0..)
            .zip(&written_slots)
            .filter(|(_, slots)| **slots as usize >= MANY_SLOTS)
            .map(|(id, _)| (id, order_slots(places, id)))
            .collect();
        Self {
            places,
            accounts,
            slots,
        }
    }

    fn part(&self, id: u32) -> Part<'_> {
        Part {
            places: self.places,
            slots: &self.slots,
            id,
        }
    }
}

fn first_bits(address: Address) -> u64 {
    let bytes = address.0.first_chunk();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The range of addresses that start with these bits. Addresses are spread evenly, as they are
/// hashes.
fn range_of(bits: u64, ranges: usize) -> usize {
    let ranges = u64::try_from(ranges).unwrap_or(1);
    usize::try_from(((bits >> 32) * ranges) >> 32).unwrap_or(0)
}

/// Sorts ids by their keys, of which the first 64 bits are given: mostly these differ.
fn sort<K: Ord>(order: &mut [Keyed], key: impl Fn(u32) -> K) {
    order.sort_unstable_by(|left, right| {
        left.0
            .cmp(&right.0)
            .then_with(|| key(left.1).cmp(&key(right.1)))
    });
}

/// What the lanes changed in accounts of a range of addresses.
fn changes_in(lanes: &[Written<'_>], range: usize) -> SortedMap<Address, AccountChange> {
    let mut order: Vec<WrittenAccount> = Vec::with_capacity(
        lanes
            .iter()
            .filter_map(|lane| Some(lane.accounts.get(range)?.len()))
            .sum(),
    );
    for (lane, number) in lanes.iter().zip(0..) {
        let accounts = lane.accounts.get(range).map(Vec::as_slice);
        let accounts = accounts.unwrap_or_default().iter();
        order.extend(accounts.map(|account| WrittenAccount {
            lane: number,
            ..*account
        }));
    }
    let part = |account: &WrittenAccount| {
        let lane = lanes.get(usize::from(account.lane))?;
        Some(lane.part(account.id))
    };
    let address = |account: &WrittenAccount| part(account).map(|part| part.account().address);
    // Accounts are looked at only where the bits are not enough: each look is a wait for memory.
    order.sort_unstable_by(|left, right| {
        left.bits.cmp(&right.bits).then_with(|| {
            let addresses = address(left).cmp(&address(right));
            addresses.then(left.lane.cmp(&right.lane))
        })
    });
    let mut changes = Vec::with_capacity(order.len());
    let same = |left: &WrittenAccount, right: &WrittenAccount| {
        left.bits == right.bits && address(left) == address(right)
    };
    for group in order.chunk_by(same) {
        let change = match group {
            [alone] => part(alone).and_then(|part| part.change(alone.has_slots)),
            _ => change_of(&group.iter().filter_map(part).collect::<Vec<_>>()),
        };
        changes.extend(change);
    }
    SortedMap::from_sorted(changes)
}

/// What one lane did to an account.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    places: &'a Places,
    slots: &'a HashMap<u32, Vec<Keyed>>,
    id: u32,
}

/// What lanes together did to an account.
fn change_of(parts: &[Part<'_>]) -> Option<(Address, AccountChange)> {
    let first = parts.first()?;
    let account = first.account();
    let (address, before) = (account.address, account.before);
    let (mut after, mut wiped) = (account.current, account.wiped);
    for part in parts.iter().skip(1) {
        let account = part.account();
        // A lane that has not changed the account may have run side by side with the one that has,
        // and has nothing to say of what it is now.
        if account.before != account.current || account.wiped {
            after = account.current;
        }
        wiped |= account.wiped;
    }
    let change = if wiped {
        AccountChange::from_sorted(before, after, wiped, merge_slots(parts))?
    } else {
        change_without_wipe(before, after, changed_slots(parts))?
    };
    Some((address, change))
}

fn change_without_wipe(
    before: Option<Account>,
    after: Option<Account>,
    storage: Vec<(U256, (U256, U256))>,
) -> Option<AccountChange> {
    (before != after || !storage.is_empty()).then(|| AccountChange {
        before,
        after,
        storage_wiped: false,
        storage: SortedMap::from_sorted(storage),
    })
}

/// The slots that the lanes together have changed, in order, with the values before and after, of an
/// account whose storage none of them has removed. Of a slot that several have written, the value
/// before is the oldest lane's, the value after the newest one's.
fn changed_slots(parts: &[Part<'_>]) -> Vec<(U256, (U256, U256))> {
    let orders: Vec<Cow<'_, [Keyed]>> = parts.iter().map(Part::order).collect();
    let mut sources: Vec<_> = parts
        .iter()
        .zip(&orders)
        .map(|(part, order)| (part.places, order.iter().copied().peekable()))
        .filter(|(_, order)| order.len() > 0)
        .collect();
    let most = orders.iter().map(|order| order.len()).sum();
    let mut changed = Vec::with_capacity(most);
    let mut add = |slot: U256, before: U256, after: U256| {
        if before != after {
            changed.push((slot, (before, after)));
        }
    };
    if let [(places, order)] = sources.as_mut_slice() {
        for (_, id) in order {
            let slot = places.slot(id);
            add(slot.slot, slot.before, slot.current);
        }
        return changed;
    }
    loop {
        let bits = sources.iter_mut().filter_map(|(_, order)| order.peek());
        let Some(lowest) = bits.map(|(bits, _)| *bits).min() else {
            return changed;
        };
        // Slots whose first bits are the same: mostly one slot.
        let mut found: Option<(U256, U256, U256)> = None;
        let at_lowest = |(places, order): &mut (&Places, _)| next_slot(places, order, lowest);
        let key = sources.iter_mut().filter_map(at_lowest).min();
        for (places, order) in &mut sources {
            let next =
                order.next_if(|(bits, id)| *bits == lowest && Some(places.slot(*id).slot) == key);
            if let Some((_, id)) = next {
                let slot = places.slot(id);
                let (_, _, after) = found.get_or_insert((slot.slot, slot.before, slot.current));
                *after = slot.current;
            }
        }
        if let Some((slot, before, after)) = found {
            add(slot, before, after);
        }
    }
}

/// The key of the next slot in the order, if it starts with these bits.
fn next_slot(
    places: &Places,
    order: &mut Peekable<impl Iterator<Item = Keyed>>,
    bits: u64,
) -> Option<U256> {
    let (_, id) = order.peek().filter(|(first, _)| *first == bits)?;
    Some(places.slot(*id).slot)
}

impl Part<'_> {
    fn account(&self) -> &LaneAccount {
        self.places.account(self.id)
    }

    /// What the lane changed in the account, if no other has.
    fn change(&self, has_slots: bool) -> Option<(Address, AccountChange)> {
        let account = self.account();
        let (before, after) = (account.before, account.current);
        let change = if account.wiped {
            AccountChange::from_sorted(before, after, true, self.slots())?
        } else if has_slots {
            change_without_wipe(before, after, changed_slots(slice::from_ref(self)))?
        } else {
            change_without_wipe(before, after, Vec::new())?
        };
        Some((account.address, change))
    }

    /// The written slots' ids, in the order of their keys.
    fn order(&self) -> Cow<'_, [Keyed]> {
        match self.slots.get(&self.id) {
            Some(order) => Cow::Borrowed(order),
            None => Cow::Owned(order_slots(self.places, self.id)),
        }
    }

    /// The written slots, in order.
    fn slots(&self) -> Vec<(U256, WrittenSlot)> {
        self.order()
            .iter()
            .map(|(_, id)| {
                let slot = self.places.slot(*id);
                let value = WrittenSlot {
                    before: slot.before,
                    current: slot.current,
                    written: true,
                };
                (slot.slot, value)
            })
            .collect()
    }
}

/// The written slots of an account, in order.
fn order_slots(places: &Places, account: u32) -> Vec<Keyed> {
    let mut order: Vec<Keyed> = places
        .slots_of(account)
        .filter(|(_, slot)| slot.written)
        .map(|(id, slot)| {
            let [_, _, _, first_bits] = slot.slot.into_limbs();
            (first_bits, id)
        })
        .collect();
    sort(&mut order, |id| places.slot(id).slot);
    order
}

/// The slots that several lanes have written, in order. Of one that two have written, the value
/// before is the first one's, the value now the second's. Where the second has wiped the account,
/// what it has not written since is gone.
fn merge_slots(parts: &[Part<'_>]) -> Vec<(U256, WrittenSlot)> {
    let mut merged = Vec::new();
    for part in parts {
        let wiped = part.account().wiped;
        let slots = part.slots();
        merged = if merged.is_empty() {
            slots
        } else if slots.is_empty() && !wiped {
            merged
        } else {
            merge_two(merged, slots, wiped)
        };
    }
    merged
}

fn merge_two(
    first: Vec<(U256, WrittenSlot)>,
    second: Vec<(U256, WrittenSlot)>,
    wiped: bool,
) -> Vec<(U256, WrittenSlot)> {
    let mut merged = Vec::with_capacity(first.len().saturating_add(second.len()));
    let mut second = second.into_iter().peekable();
    for (slot, mut value) in first {
        while let Some(lower) = second.next_if(|(other, _)| *other < slot) {
            merged.push(lower);
        }
        match second.next_if(|(other, _)| *other == slot) {
            Some((_, later)) => value.current = later.current,
            None if wiped => value.current = U256::ZERO,
            None => {}
        }
        merged.push((slot, value));
    }
    merged.extend(second);
    merged
}
