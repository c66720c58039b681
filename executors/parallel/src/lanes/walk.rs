use alloy_primitives::U256;
use weft_executor_core::{Account, ExecutionLayer, StateView};
use weft_primitives::RecoveredTransaction;

use super::{
    in_order::InOrder,
    lane::{Lane, LaneSlot},
    log::{LaneResult, LaneTransaction, Look},
    outcome::InvalidDeposit,
    view::LaneView,
};
use crate::EngineError;

/// A lane that met others, followed transaction by transaction: what its transactions found, as
/// opposed to what they would find now.
#[derive(Debug)]
pub(super) struct Followed {
    lane: Lane,
    next: usize,
    /// The lane's values after the transactions so far, by id.
    accounts: Vec<Option<Account>>,
    slots: Vec<U256>,
    /// The ids of the lane's places in the lane of what counts.
    account_ids: Vec<Option<u32>>,
    slot_ids: Vec<Option<u32>>,
}

impl Followed {
    pub(super) fn new(lane: Lane) -> Self {
        let places = &lane.places;
        Self {
            accounts: places.accounts.iter().map(|entry| entry.before).collect(),
            slots: places.slots.iter().map(LaneSlot::found).collect(),
            account_ids: vec![None; places.accounts.len()],
            slot_ids: vec![None; places.slots.len()],
            lane,
            next: 0,
        }
    }

    pub(super) fn into_lane(self) -> Lane {
        self.lane
    }

    /// Settles the block's next transaction, which was this lane's to execute: with what came out
    /// there if it found what is there now, and by another execution otherwise.
    pub(super) fn settle<L: ExecutionLayer, S: StateView>(
        &mut self,
        index: usize,
        transaction: &RecoveredTransaction,
        turn: &mut InOrder<'_, L, S>,
    ) -> Result<(), EngineError<S::Error>> {
        let position = self.next;
        let entry = self.lane.log.transactions.get(position);
        let Some(entry) = entry.filter(|entry| entry.index as usize == index) else {
            // The lane did not come that far.
            return turn.execute(index, transaction);
        };
        self.next = position.saturating_add(1);
        if let Some(reason) = turn.outcome.no_room(turn.block, transaction) {
            self.follow(position);
            return turn
                .outcome
                .leave_out(index, transaction, reason)
                .map_err(InvalidDeposit::into);
        }
        // A transfer is done again as quickly as it is checked.
        if matches!(entry.result, LaneResult::Transfer(_)) {
            self.follow(position);
            return turn.execute(index, transaction);
        }
        turn.outcome.speculated = turn.outcome.speculated.saturating_add(1);
        if self.holds(position, turn).map_err(EngineError::State)? {
            self.copy(position, turn);
            self.follow(position);
            let result = self.take_result(position);
            return match result {
                Some(result) => turn.add(index, transaction, result),
                None => turn.execute(index, transaction),
            };
        }
        turn.outcome.stale.push(index);
        self.follow(position);
        turn.execute(index, transaction)
    }

    /// Whether the transaction found what it would find now.
    fn holds<L: ExecutionLayer, S: StateView>(
        &mut self,
        position: usize,
        turn: &mut InOrder<'_, L, S>,
    ) -> Result<bool, S::Error> {
        let mut view = turn.view();
        for look in self.lane.log.traces(position).looks {
            let same = match *look {
                Look::Account(id) => {
                    let now = account_id(&self.lane, &mut self.account_ids, id, &mut view);
                    Some(view.account_at(now)?) == self.accounts.get(id as usize).copied()
                }
                Look::Slot(id) => {
                    let now = slot_id(
                        &self.lane,
                        &mut self.account_ids,
                        &mut self.slot_ids,
                        id,
                        &mut view,
                    );
                    Some(view.slot_at(now)) == self.slots.get(id as usize).copied()
                }
                // Rare enough to be executed again.
                Look::HasStorage(_) => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies what the transaction looked at and wrote to the lane of what counts.
    fn copy<L: ExecutionLayer, S: StateView>(
        &mut self,
        position: usize,
        turn: &mut InOrder<'_, L, S>,
    ) {
        let mut view = turn.view();
        let traces = self.lane.log.traces(position);
        for look in traces.looks {
            let look = match *look {
                Look::Account(id) => {
                    Look::Account(account_id(&self.lane, &mut self.account_ids, id, &mut view))
                }
                Look::HasStorage(id) => {
                    Look::HasStorage(account_id(&self.lane, &mut self.account_ids, id, &mut view))
                }
                Look::Slot(id) => Look::Slot(slot_id(
                    &self.lane,
                    &mut self.account_ids,
                    &mut self.slot_ids,
                    id,
                    &mut view,
                )),
            };
            view.lane.log.look(look);
        }
        for write in traces.account_writes {
            let id = account_id(&self.lane, &mut self.account_ids, write.id, &mut view);
            if write.wiped {
                view.lane.wipe(id);
            }
            view.lane.set_account(id, write.account);
            view.lane.log.write_account(id, write.account, write.wiped);
        }
        for (slot, value) in traces.slot_writes {
            let id = slot_id(
                &self.lane,
                &mut self.account_ids,
                &mut self.slot_ids,
                *slot,
                &mut view,
            );
            view.lane.write_slot(id, *value);
        }
        if let Some(LaneTransaction {
            result: LaneResult::Execution(execution),
            ..
        }) = self.lane.log.transactions.get(position)
        {
            for (hash, code) in &execution.code {
                view.lane.code.insert(*hash, code.clone());
            }
        }
    }

    /// Goes forward by one transaction of the lane, whether it counts or not: this is what the
    /// next one of the lane found.
    fn follow(&mut self, position: usize) {
        let traces = self.lane.log.traces(position);
        for write in traces.account_writes {
            if let Some(account) = self.accounts.get_mut(write.id as usize) {
                *account = write.account;
            }
            if write.wiped {
                for (id, _) in self.lane.places.slots_of(write.id) {
                    if let Some(slot) = self.slots.get_mut(id as usize) {
                        *slot = U256::ZERO;
                    }
                }
            }
        }
        for (id, value) in traces.slot_writes {
            if let Some(slot) = self.slots.get_mut(*id as usize) {
                *slot = *value;
            }
        }
        let Some(LaneTransaction {
            result: LaneResult::Transfer(transfer),
            ..
        }) = self.lane.log.transactions.get(position)
        else {
            return;
        };
        if let Some(Some(sender)) = self.accounts.get_mut(transfer.sender as usize) {
            let cost = transfer.value.saturating_add(U256::from(transfer.fee));
            sender.nonce = sender.nonce.saturating_add(1);
            sender.balance = sender.balance.saturating_sub(cost);
        }
        if let Some(receiver) = self.accounts.get_mut(transfer.receiver as usize)
            && (receiver.is_some() || !transfer.value.is_zero())
        {
            let account = receiver.get_or_insert_default();
            account.balance = account.balance.saturating_add(transfer.value);
        }
    }

    fn take_result(&mut self, position: usize) -> Option<LaneResult> {
        let entry = self.lane.log.transactions.get_mut(position)?;
        Some(entry.result.take())
    }
}

/// The account's id in the lane of what counts. Before the lanes it was what the lane has found
/// first, so nobody need be asked.
fn account_id<S: StateView>(
    lane: &Lane,
    ids: &mut [Option<u32>],
    id: u32,
    view: &mut LaneView<'_, S>,
) -> u32 {
    let known = ids.get_mut(id as usize);
    if let Some(Some(known)) = known {
        return *known;
    }
    let account = lane.places.account(id);
    let now = view.lane.account_before(account.address, account.before);
    if let Some(known) = known {
        *known = Some(now);
    }
    now
}

/// As [`account_id`], for a slot.
fn slot_id<S: StateView>(
    lane: &Lane,
    account_ids: &mut [Option<u32>],
    ids: &mut [Option<u32>],
    id: u32,
    view: &mut LaneView<'_, S>,
) -> u32 {
    if let Some(Some(known)) = ids.get(id as usize) {
        return *known;
    }
    let slot = lane.places.slot(id);
    let account = account_id(lane, account_ids, slot.account, view);
    let now = view
        .lane
        .slot_before(account, slot.slot, slot.before, slot.removed);
    if let Some(known) = ids.get_mut(id as usize) {
        *known = Some(now);
    }
    now
}
