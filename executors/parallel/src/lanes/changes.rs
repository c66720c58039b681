use std::{
    collections::{BTreeMap, HashMap},
    iter::Peekable,
    slice,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{AccountChange, ChangeSet, PartedMap, SortedMap, WrittenSlot};

use super::lane::{Lane, Places};
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
    // Addresses are spread evenly, as they are hashes.
    let width = (u64::MAX / u64::try_from(ranges).unwrap_or(1)).max(1);
    let start = |range: usize| width.saturating_mul(u64::try_from(range).unwrap_or(0));
    let gather = |orders: &[Order], range: usize| {
        let next = range.saturating_add(1);
        let end = (next < ranges).then(|| start(next));
        changes_in(lanes, orders, start(range), end)
    };
    let parts: Vec<_> = match crew {
        Some(crew) => {
            let orders = crew.each(lanes.iter().collect(), |lane| written(&lane.places));
            crew.each((0..ranges).collect(), |range| gather(&orders, range))
        }
        None => {
            let orders: Vec<_> = lanes.iter().map(|lane| written(&lane.places)).collect();
            (0..ranges).map(|range| gather(&orders, range)).collect()
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

/// What a lane changed, in order.
#[derive(Debug)]
struct Order {
    accounts: Vec<Keyed>,
    /// The written slots of accounts that have many.
    slots: HashMap<u32, Vec<Keyed>>,
}

/// Slots of an account that are put in order by the thread that does so for the whole lane.
const MANY_SLOTS: usize = 64;

/// An id, with the first 64 bits of its key.
type Keyed = (u64, u32);

/// The accounts of a lane that are changed, in the order of addresses.
fn written(places: &Places) -> Order {
    let mut written_slots = vec![0usize; places.accounts.len()];
    for slot in &places.slots {
        if slot.written
            && let Some(slots) = written_slots.get_mut(slot.account as usize)
        {
            *slots = slots.saturating_add(1);
        }
    }
    let mut accounts: Vec<Keyed> = places
        .accounts
        .iter()
        .zip(&written_slots)
        .zip(0..)
        .filter(|((account, slots), _)| account.written || **slots > 0)
        .map(|((account, _), id)| (first_bytes(account.address), id))
        .collect();
    sort(&mut accounts, |id| places.account(id).address);
    let slots = (0..)
        .zip(&written_slots)
        .filter(|(_, slots)| **slots >= MANY_SLOTS)
        .map(|(id, _)| (id, order_slots(places, id)))
        .collect();
    Order { accounts, slots }
}

fn first_bytes(address: Address) -> u64 {
    let bytes = address.0.first_chunk();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Sorts ids by their keys, of which the first 64 bits are given: mostly these differ.
fn sort<K: Ord>(order: &mut [Keyed], key: impl Fn(u32) -> K) {
    order.sort_unstable_by(|left, right| {
        left.0
            .cmp(&right.0)
            .then_with(|| key(left.1).cmp(&key(right.1)))
    });
}

/// What the lanes changed in accounts whose addresses start with bits from `start` to before `end`.
fn changes_in(
    lanes: &[Lane],
    orders: &[Order],
    start: u64,
    end: Option<u64>,
) -> SortedMap<Address, AccountChange> {
    let mut sources: Vec<_> = lanes
        .iter()
        .zip(orders)
        .map(|(lane, order)| {
            let accounts = &order.accounts;
            let first = accounts.partition_point(|(bits, _)| *bits < start);
            let last = end.map_or(accounts.len(), |end| {
                accounts.partition_point(|(bits, _)| *bits < end)
            });
            let part = accounts.get(first..last).unwrap_or_default();
            Source {
                places: &lane.places,
                order,
                accounts: part.iter().peekable(),
            }
        })
        .filter(|source| source.accounts.len() > 0)
        .collect();
    let most = sources.iter().map(|source| source.accounts.len()).sum();
    let mut changes = Vec::with_capacity(most);
    let mut parts = Vec::with_capacity(sources.len());
    while next_parts(&mut sources, &mut parts) {
        if let Some(change) = change_of(&parts) {
            changes.push(change);
        }
    }
    SortedMap::from_sorted(changes)
}

/// What one lane changed in a range of addresses.
struct Source<'a> {
    places: &'a Places,
    order: &'a Order,
    accounts: Peekable<slice::Iter<'a, Keyed>>,
}

/// What one lane did to an account.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    places: &'a Places,
    order: &'a Order,
    id: u32,
}

/// Puts what the lanes did to the account with the lowest address into `parts`, the oldest first.
/// Whether there is one.
fn next_parts<'a>(sources: &mut [Source<'a>], parts: &mut Vec<Part<'a>>) -> bool {
    parts.clear();
    let mut take = |source: &mut Source<'a>| {
        if let Some((_, id)) = source.accounts.next() {
            parts.push(Part {
                places: source.places,
                order: source.order,
                id: *id,
            });
        }
    };
    if let [source] = sources {
        take(source);
        return !parts.is_empty();
    }
    let lowest = sources
        .iter_mut()
        .filter_map(|source| {
            let (bits, id) = source.accounts.peek()?;
            Some((*bits, source.places.account(*id).address))
        })
        .min();
    let Some((_, lowest)) = lowest else {
        return false;
    };
    for source in sources {
        let places = source.places;
        let is_next = |(_, id): &&Keyed| places.account(*id).address == lowest;
        if source.accounts.peek().is_some_and(is_next) {
            take(source);
        }
    }
    true
}

/// What lanes together did to an account.
fn change_of(parts: &[Part<'_>]) -> Option<(Address, AccountChange)> {
    let first = parts.first()?;
    let account = first.places.account(first.id);
    let (address, before) = (account.address, account.before);
    let (mut after, mut wiped) = (account.current, account.wiped);
    for part in parts.iter().skip(1) {
        let account = part.places.account(part.id);
        // A lane that has not changed the account may have run side by side with the one that has,
        // and has nothing to say of what it is now.
        if account.before != account.current || account.wiped {
            after = account.current;
        }
        wiped |= account.wiped;
    }
    let slots = match parts {
        [part] => part.slots(),
        _ => merge_slots(parts),
    };
    let change = AccountChange::from_sorted(before, after, wiped, slots)?;
    Some((address, change))
}

impl Part<'_> {
    /// The written slots, in order.
    fn slots(&self) -> Vec<(U256, WrittenSlot)> {
        match self.order.slots.get(&self.id) {
            Some(order) => self.slots_in(order),
            None => self.slots_in(&order_slots(self.places, self.id)),
        }
    }

    fn slots_in(&self, order: &[Keyed]) -> Vec<(U256, WrittenSlot)> {
        order
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
        let wiped = part.places.account(part.id).wiped;
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
