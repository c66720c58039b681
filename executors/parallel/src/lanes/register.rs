use std::collections::{HashMap, hash_map::Entry};

use alloy_primitives::{
    Address, U256,
    map::{AddressMap, DefaultHashBuilder},
};
use crossbeam_utils::CachePadded;

use super::{lane::Lane, log::Look};
use crate::{
    conflicts::Location,
    sync::{AtomicBool, Mutex, Ordering},
};

/// Where lanes that run side by side tell now and then what they have looked at and changed, to find
/// out early whether they meet often: whether places that one of them has changed are known to
/// another.
#[derive(Debug)]
pub(crate) struct Register {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// For each lane, where another has met it that it does not know of.
    news: Vec<CachePadded<Mutex<Vec<Location>>>>,
    /// Whether there was ever any news.
    met: AtomicBool,
    stopped: AtomicBool,
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
            news: Vec::new(),
            met: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            shift: u16::BITS - shards.trailing_zeros(),
        }
    }

    /// Forgets all lanes, and is there for this many.
    pub(super) fn clear(&mut self, lanes: usize) {
        for shard in &mut self.shards {
            let shard = shard.get_mut();
            shard.accounts.clear();
            shard.slots.clear();
        }
        for news in &mut self.news {
            news.get_mut().clear();
        }
        self.news.resize_with(lanes, CachePadded::default);
        *self.met.get_mut() = false;
        *self.stopped.get_mut() = false;
    }

    /// Whether the lanes should stop.
    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Has all lanes stop after the transaction that they are at.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Tells what the lane's last transaction has looked at and changed, and hears where others have
    /// met the lane.
    pub(super) fn tell(&self, number: u16, lane: &mut Lane) {
        let Lane { places, log, .. } = lane;
        let Some(last) = log.transactions.len().checked_sub(1) else {
            return;
        };
        let traces = log.traces(last);
        let accounts = traces.looks.iter().filter_map(|look| match look {
            Look::Account(id) | Look::HasStorage(id) => Some(*id),
            Look::Slot(_) => None,
        });
        let slots = traces.looks.iter().filter_map(|look| match look {
            Look::Slot(id) => Some(*id),
            Look::Account(_) | Look::HasStorage(_) => None,
        });
        let mut new = Vec::new();
        for id in accounts.chain(traces.account_writes.iter().map(|write| write.id)) {
            let account = places.account_mut(id);
            if self.tell_account(number, account.address, account.written) && !account.met {
                account.met = true;
                new.push(Location::Account(account.address));
            }
        }
        for id in slots.chain(traces.slot_writes.iter().map(|(id, _)| *id)) {
            let address = places.account(places.slot(id).account).address;
            let slot = places.slot_mut(id);
            if self.tell_slot(number, address, slot.slot, slot.written) && !slot.met {
                slot.met = true;
                new.push(Location::Slot(address, slot.slot));
            }
        }
        if !new.is_empty() {
            self.met.store(true, Ordering::Relaxed);
            self.send(number, &new);
        }
        if self.met.load(Ordering::Relaxed) {
            self.hear(number, lane);
        }
    }

    fn send(&self, number: u16, places: &[Location]) {
        for (news, lane) in self.news.iter().zip(0..) {
            if lane != number {
                news.lock().extend_from_slice(places);
            }
        }
    }

    fn hear(&self, number: u16, lane: &mut Lane) {
        let Some(news) = self.news.get(usize::from(number)) else {
            return;
        };
        for place in std::mem::take(&mut *news.lock()) {
            let Some(account) = lane.known_account(place.address()) else {
                continue;
            };
            match place.slot() {
                None => lane.places.account_mut(account).met = true,
                Some(slot) => {
                    if let Some(slot) = lane.known_slot(account, slot) {
                        lane.places.slot_mut(slot).met = true;
                    }
                }
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "an address has 20 bytes")]
    fn tell_account(&self, number: u16, address: Address, written: bool) -> bool {
        let bits = u16::from_be_bytes([address[0], address[1]]);
        self.shard(bits, |shard| {
            mark(shard.accounts.entry(address), number, written)
        })
    }

    #[expect(clippy::indexing_slicing, reason = "an address has 20 bytes")]
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
