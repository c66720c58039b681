use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::{AccountChange, ChangeSet, PartedMap, SortedMap, WrittenSlot};

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
    let change = AccountChange::from_sorted(before, after, wiped, merge_slots(parts))?;
    Some((address, change))
}

impl Part<'_> {
    fn account(&self) -> &LaneAccount {
        self.places.account(self.id)
    }

    /// What the lane changed in the account, if no other has.
    fn change(&self, has_slots: bool) -> Option<(Address, AccountChange)> {
        let account = self.account();
        let slots = if has_slots { self.slots() } else { Vec::new() };
        let change =
            AccountChange::from_sorted(account.before, account.current, account.wiped, slots)?;
        Some((account.address, change))
    }

    /// The written slots, in order.
    fn slots(&self) -> Vec<(U256, WrittenSlot)> {
        match self.slots.get(&self.id) {
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
