use std::{
    collections::{BTreeMap, HashMap},
    iter::Peekable,
    slice,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{Account, AccountChange, ChangeSet, PartedMap, SortedMap, WrittenSlot};

use super::lane::{Lane, Places};
use crate::crew::Crew;

/// What the lanes changed together, the oldest first.
pub(super) fn gather(
    lanes: &[Lane],
    code: BTreeMap<B256, Bytes>,
    crew: Option<&Crew>,
) -> ChangeSet {
    let Some(crew) = crew else {
        let orders: Vec<_> = lanes.iter().map(|lane| written(&lane.places)).collect();
        let accounts = PartedMap::from_parts([changes_in(lanes, &orders, 0, None)]);
        return ChangeSet { accounts, code };
    };
    let orders = crew.each(lanes.iter().collect(), |lane| written(&lane.places));
    // Addresses are spread evenly, as they are hashes.
    let ranges = crew.threads();
    let width = (u64::MAX / u64::try_from(ranges).unwrap_or(1)).max(1);
    let start = |range: usize| width.saturating_mul(u64::try_from(range).unwrap_or(0));
    let parts = crew.each((0..ranges).collect(), |range| {
        let next = range.saturating_add(1);
        let end = (next < ranges).then(|| start(next));
        changes_in(lanes, &orders, start(range), end)
    });
    let accounts = PartedMap::from_parts(parts);
    ChangeSet { accounts, code }
}

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
    while let Some(part) = next_part(&mut sources) {
        let change = AccountChange::from_sorted(part.before, part.after, part.wiped, part.slots);
        if let Some(change) = change {
            changes.push((part.address, change));
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

/// The account with the lowest address, with what all lanes did to it.
fn next_part(sources: &mut [Source<'_>]) -> Option<AccountPart> {
    if let [source] = sources {
        let (_, id) = source.accounts.next()?;
        return Some(AccountPart::new(source.places, source.order, *id));
    }
    let (_, lowest) = sources
        .iter_mut()
        .filter_map(|source| {
            let (bits, id) = source.accounts.peek()?;
            Some((*bits, source.places.account(*id).address))
        })
        .min()?;
    let mut parts = sources.iter_mut().filter_map(|source| {
        let places = source.places;
        let (_, id) = source
            .accounts
            .next_if(|(_, id)| places.account(*id).address == lowest)?;
        Some(AccountPart::new(places, source.order, *id))
    });
    let first = parts.next()?;
    Some(parts.fold(first, AccountPart::then))
}

/// What one or more lanes did to an account, its written slots in order.
#[derive(Debug)]
struct AccountPart {
    address: Address,
    before: Option<Account>,
    after: Option<Account>,
    wiped: bool,
    slots: Vec<(U256, WrittenSlot)>,
}

impl AccountPart {
    fn new(places: &Places, order: &Order, id: u32) -> Self {
        let account = places.account(id);
        let slots = match order.slots.get(&id) {
            Some(order) => slots_in(places, order),
            None => slots_in(places, &order_slots(places, id)),
        };
        Self {
            address: account.address,
            before: account.before,
            after: account.current,
            wiped: account.wiped,
            slots,
        }
    }

    /// What two lanes did, of which the second did not run before the first.
    fn then(self, second: Self) -> Self {
        // A lane that has not changed the account may have run side by side with the one that has,
        // and has nothing to say of what it is now.
        let changed = second.before != second.after || second.wiped;
        Self {
            address: self.address,
            before: self.before,
            after: if changed { second.after } else { self.after },
            wiped: self.wiped || second.wiped,
            slots: merge_slots(self.slots, second.slots, second.wiped),
        }
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

fn slots_in(places: &Places, order: &[Keyed]) -> Vec<(U256, WrittenSlot)> {
    order
        .iter()
        .map(|(_, id)| {
            let slot = places.slot(*id);
            let value = WrittenSlot {
                before: slot.before,
                current: slot.current,
                written: true,
            };
            (slot.slot, value)
        })
        .collect()
}

/// Of a slot that both have written, the value before is the first one's, the value now the
/// second's. If the second has wiped the account, what it has not written since is gone.
fn merge_slots(
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
