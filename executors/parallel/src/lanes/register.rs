use std::collections::{HashMap, hash_map::Entry};

use alloy_primitives::{
    Address, U256,
    map::{AddressMap, DefaultHashBuilder},
};
use crossbeam_utils::CachePadded;

use super::lane::Lane;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Where lanes that run side by side tell what they have looked at and changed, to find out whether
/// they meet: whether a place that one of them has changed is known to another.
#[derive(Debug)]
pub(crate) struct Register {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    met: AtomicBool,
    /// Leaves as many of 16 bits as there are shards.
    shift: u32,
}

#[derive(Debug, Default)]
struct Shard {
    accounts: AddressMap<Mark>,
    slots: HashMap<(Address, U256), Mark, DefaultHashBuilder>,
}

/// Who has been at a place.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// One lane of those that were there.
    lane: u16,
    /// Whether there was another.
    shared: bool,
    written: bool,
}

/// Most shards; a power of two.
const MAX_SHARDS: usize = 256;

impl Register {
    pub(crate) fn new(threads: usize) -> Self {
        let shards = threads
            .saturating_mul(16)
            .clamp(2, MAX_SHARDS)
            .next_power_of_two();
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            met: AtomicBool::new(false),
            shift: u16::BITS - shards.trailing_zeros(),
        }
    }

    /// Forgets all lanes.
    pub(super) fn clear(&mut self) {
        for shard in &mut self.shards {
            let shard = shard.get_mut();
            shard.accounts.clear();
            shard.slots.clear();
        }
        *self.met.get_mut() = false;
    }

    /// Whether lanes are known to have met. They need not go on then.
    pub(super) fn met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    /// Says that the lanes cannot count as they are.
    pub(super) fn give_up(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// Tells what the lane has met or changed since the last time.
    pub(super) fn tell(&self, number: u16, lane: &mut Lane) {
        let (places, told) = (&lane.places, &mut lane.told);
        let mut met = false;
        let accounts = places.accounts.get(told.accounts..).unwrap_or_default();
        told.accounts = places.accounts.len();
        for account in accounts {
            met |= self.tell_account(number, account.address, account.written);
        }
        for id in told.changed_accounts.drain(..) {
            met |= self.tell_account(number, places.account(id).address, true);
        }
        let slots = places.slots.get(told.slots..).unwrap_or_default();
        told.slots = places.slots.len();
        for slot in slots {
            let address = places.account(slot.account).address;
            met |= self.tell_slot(number, address, slot.slot, slot.written);
        }
        for id in told.changed_slots.drain(..) {
            let slot = places.slot(id);
            let address = places.account(slot.account).address;
            met |= self.tell_slot(number, address, slot.slot, true);
        }
        if met {
            self.give_up();
        }
    }

    fn tell_account(&self, number: u16, address: Address, written: bool) -> bool {
        let bits = u16::from_be_bytes([address[0], address[1]]);
        self.shard(bits, |shard| {
            mark(shard.accounts.entry(address), number, written)
        })
    }

    fn tell_slot(&self, number: u16, address: Address, slot: U256, written: bool) -> bool {
        // Slots of mappings are hashes, others are small numbers, and both differ in their low bits.
        let limbs = slot.as_limbs();
        let mixed = (limbs[0] ^ limbs[3].rotate_left(32) ^ u64::from(address[19]))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.shard((mixed >> 48) as u16, |shard| {
            mark(shard.slots.entry((address, slot)), number, written)
        })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`shift` leaves as many bits as there are shards"
    )]
    fn shard<T>(&self, bits: u16, act: impl FnOnce(&mut Shard) -> T) -> T {
        act(&mut self.shards[usize::from(bits >> self.shift)].lock())
    }
}

/// Whether the lane has met another one at the place.
fn mark<K>(entry: Entry<'_, K, Mark>, lane: u16, written: bool) -> bool {
    match entry {
        Entry::Vacant(entry) => {
            entry.insert(Mark {
                lane,
                shared: false,
                written,
            });
            false
        }
        Entry::Occupied(entry) => {
            let mark = entry.into_mut();
            mark.shared |= mark.lane != lane;
            mark.written |= written;
            mark.shared && mark.written
        }
    }
}
