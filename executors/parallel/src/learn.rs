use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use weft_primitives::RecoveredTransaction;

use crate::{
    accesses::{AccessRecord, BlockAccesses},
    conflicts::Location,
    lanes::record::{Recorded, RecordedExecution},
    predict::{Observed, Predictor},
};

/// Share of a block's time that learning from it may take: one part of this many.
const TIME_SHARE: u32 = 20;

/// Transactions with the same contract and function that are learned from in one block.
const MOST_ALIKE: usize = 4;

/// Learns from transactions of a block: `wanted` has their indexes in the block, those first that
/// there is most to learn from. It stops when it has taken too much of the `elapsed` time that the
/// block took.
pub(crate) fn learn(
    predictor: &Predictor,
    transactions: &[RecoveredTransaction],
    accesses: &BlockAccesses,
    wanted: impl Iterator<Item = usize>,
    elapsed: Duration,
) {
    let AccessRecord::Lanes(record) = &accesses.record else {
        return;
    };
    let start = Instant::now();
    let mut alike: HashMap<(Option<Address>, Option<[u8; 4]>), usize> = HashMap::new();
    for index in wanted {
        let (Some(transaction), Some(Recorded::Execution(execution))) =
            (transactions.get(index), record.find(index))
        else {
            continue;
        };
        let selector = transaction.input().first_chunk().copied();
        let count = alike.entry((transaction.to(), selector)).or_default();
        if *count >= MOST_ALIKE {
            continue;
        }
        *count = count.saturating_add(1);
        observe(predictor, transaction, &execution);
        if start.elapsed() > elapsed / TIME_SHARE {
            return;
        }
    }
}

fn observe(
    predictor: &Predictor,
    transaction: &RecoveredTransaction,
    execution: &RecordedExecution<'_>,
) {
    let mut accounts: Vec<(Address, bool)> = execution
        .accounts()
        .map(|(address, ..)| (address, true))
        .collect();
    let mut slots: Vec<_> = execution
        .slots()
        .map(|(address, slot, _)| (address, slot, true))
        .collect();
    for look in execution.looks() {
        match look {
            Location::Account(address) => accounts.push((address, false)),
            Location::Slot(address, slot) => slots.push((address, slot, false)),
        }
    }
    // Of equal places the written one comes first.
    accounts.sort_unstable_by_key(|(address, written)| (*address, !written));
    accounts.dedup_by_key(|(address, _)| *address);
    slots.sort_unstable_by_key(|(address, slot, written)| (*address, *slot, !written));
    slots.dedup_by_key(|(address, slot, _)| (*address, *slot));
    predictor.learn(
        transaction,
        &Observed {
            gas_used: execution.gas_used,
            accounts: &accounts,
            slots: &slots,
        },
    );
}
