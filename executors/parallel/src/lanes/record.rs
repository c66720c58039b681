use alloy_primitives::{Address, B256, Bytes, U256};
use weft_executor_core::Account;

use super::{
    attic::Attic,
    lane::Lane,
    log::{LaneResult, LaneTransfer, Look, Traces, size_of_room},
};
use crate::conflicts::Location;

/// Where a transaction of the block is among the lanes that have executed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Included {
    lane: u32,
    position: u32,
}

impl Included {
    pub(super) fn new(lane: usize, position: usize) -> Self {
        Self {
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            position: u32::try_from(position).unwrap_or(u32::MAX),
        }
    }
}

/// What the transactions of a block looked at and wrote, as the lanes have written it down.
#[derive(Debug)]
pub(crate) struct LaneRecord {
    /// The lanes that count, the oldest first.
    lanes: Vec<Lane>,
    /// The included transactions, in order.
    included: Vec<Included>,
    /// Where the lanes' memory goes.
    attic: Attic,
}

impl Drop for LaneRecord {
    fn drop(&mut self) {
        for lane in &mut self.lanes {
            self.attic.put(lane);
        }
    }
}

/// An included transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recorded<'a> {
    Transfer {
        sender: Address,
        receiver: Address,
        transfer: &'a LaneTransfer,
    },
    Execution(RecordedExecution<'a>),
}

/// An execution by the layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordedExecution<'a> {
    lane: &'a Lane,
    traces: Traces<'a>,
    /// Time that the execution took, in nanoseconds; of most it is not taken.
    pub(crate) time: Option<u32>,
    pub(crate) gas_used: u64,
    pub(crate) beneficiary_credit: Option<U256>,
    pub(crate) code: &'a [(B256, Bytes)],
}

impl LaneRecord {
    pub(super) const fn new(lanes: Vec<Lane>, included: Vec<Included>, attic: Attic) -> Self {
        Self {
            lanes,
            included,
            attic,
        }
    }

    /// The included transactions, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Recorded<'_>> {
        (0..self.included.len()).filter_map(|number| self.get(number))
    }

    /// The included transaction with this index in the block.
    pub(crate) fn find(&self, index: usize) -> Option<Recorded<'_>> {
        let index_of = |place: &Included| {
            let lane = self.lanes.get(place.lane as usize)?;
            let entry = lane.log.transactions.get(place.position as usize)?;
            Some(entry.index as usize)
        };
        let number = self
            .included
            .binary_search_by_key(&Some(index), index_of)
            .ok()?;
        self.get(number)
    }

    /// The included transaction with this number.
    pub(crate) fn get(&self, number: usize) -> Option<Recorded<'_>> {
        let place = self.included.get(number)?;
        let lane = self.lanes.get(place.lane as usize)?;
        let position = place.position as usize;
        match &lane.log.transactions.get(position)?.result {
            LaneResult::Transfer(transfer) => Some(Recorded::Transfer {
                sender: lane.places.account(transfer.sender).address,
                receiver: lane.places.account(transfer.receiver).address,
                transfer,
            }),
            LaneResult::Execution(execution) => Some(Recorded::Execution(RecordedExecution {
                lane,
                traces: lane.log.traces(position),
                time: execution.time,
                gas_used: execution.gas_used,
                beneficiary_credit: execution.beneficiary_credit,
                code: &execution.code,
            })),
            LaneResult::Invalid(_) => None,
        }
    }

    /// What lanes found at the accounts that they met, the oldest first.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Address, Option<Account>)> {
        self.lanes.iter().flat_map(|lane| {
            let accounts = lane.places.accounts.iter();
            accounts.map(|account| (account.address, account.before))
        })
    }

    /// Memory that it takes, in bytes, roughly.
    pub(crate) fn size(&self) -> usize {
        let lanes = self.lanes.iter().map(|lane| {
            lane.log
                .size()
                .saturating_add(size_of_room(&lane.places.accounts))
                .saturating_add(size_of_room(&lane.places.slots))
        });
        lanes.fold(size_of_val(self.included.as_slice()), usize::saturating_add)
    }
}

impl<'a> RecordedExecution<'a> {
    /// What it looked at; a look at a slot is one at its account too.
    pub(crate) fn looks(&self) -> impl Iterator<Item = Location> + 'a {
        let places = &self.lane.places;
        self.traces.looks.iter().map(|look| match *look {
            Look::Account(id) | Look::HasStorage(id) => {
                Location::Account(places.account(id).address)
            }
            Look::Slot(id) => {
                let slot = places.slot(id);
                Location::Slot(places.account(slot.account).address, slot.slot)
            }
        })
    }

    /// Accounts that it changed, with what they are afterwards and whether their storage was
    /// removed.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Address, Option<Account>, bool)> + 'a {
        let places = &self.lane.places;
        self.traces.account_writes.iter().map(|write| {
            let address = places.account(write.id).address;
            (address, write.account, write.wiped)
        })
    }

    /// Slots that it looked at, with what was there before its lane began.
    pub(crate) fn found_slots(&self) -> impl Iterator<Item = (Address, U256, U256)> + 'a {
        let places = &self.lane.places;
        self.traces.looks.iter().filter_map(|look| {
            let Look::Slot(id) = *look else {
                return None;
            };
            let slot = places.slot(id);
            let address = places.account(slot.account).address;
            Some((address, slot.slot, slot.before))
        })
    }

    /// Slots that it changed, with their values afterwards.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Address, U256, U256)> + 'a {
        let places = &self.lane.places;
        self.traces.slot_writes.iter().map(|(id, value)| {
            let slot = places.slot(*id);
            (places.account(slot.account).address, slot.slot, *value)
        })
    }
}
