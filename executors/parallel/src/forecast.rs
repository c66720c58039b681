use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use weft_primitives::RecoveredTransaction;

use crate::{
    crew::Crew,
    predict::{PredictedAccess, Predictor, Reader},
};

/// What is expected of some transactions in a row.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// Expected times, in nanoseconds.
    pub(crate) costs: Vec<u32>,
    /// Places of all transactions, one after another.
    pub(crate) places: Vec<PredictedAccess>,
    /// Where the places of each transaction end.
    pub(crate) ends: Vec<u32>,
    /// Whether all transactions look like plain transfers, whose places are known for certain.
    pub(crate) only_transfers: bool,
    /// Transactions that need what the block's beneficiary has earned before them.
    pub(crate) alone: Vec<u32>,
    /// Transactions that nothing was known of, or too little.
    pub(crate) unknown: Vec<u32>,
}

/// Time of a plain transfer that another thread would save, in nanoseconds: the rest is looking for
/// its accounts, which planning takes too.
const TRANSFER_TIME: u32 = 200;

/// Gas for each nanosecond that execution takes.
const GAS_PER_NANOSECOND: u64 = 5;

/// Gas of a limit that is taken for more than room to spare.
const MAX_STATED_GAS: u64 = 2_000_000;

/// Gas that a call is expected to use that nothing is known of: what is learned soon shows whether
/// it is more.
const UNKNOWN_GAS: u64 = 30_000;

/// Least transactions to predict that another thread is worth.
const SMALLEST_PART: usize = 1024;

fn is_transfer(transaction: &RecoveredTransaction) -> bool {
    transaction.input().is_empty() && transaction.kind().is_call()
}

/// Time that the transactions take at most by what they say themselves, in nanoseconds.
pub(crate) fn stated_time(transactions: &[RecoveredTransaction]) -> u64 {
    let times = transactions.iter().map(|transaction| {
        if is_transfer(transaction) {
            u64::from(TRANSFER_TIME)
        } else {
            time_of_limit(transaction, MAX_STATED_GAS)
        }
    });
    times.fold(0, u64::saturating_add)
}

fn time_of_limit(transaction: &RecoveredTransaction, most: u64) -> u64 {
    transaction.gas_limit().min(most) / GAS_PER_NANOSECOND
}

/// What the predictor expects of a block, by parts.
pub(crate) fn forecast(
    predictor: &Predictor,
    transactions: &[RecoveredTransaction],
    beneficiary: Address,
    crew: &Crew,
) -> Vec<Forecast> {
    let reader = predictor.reader();
    // A small block is done before a helper is awake.
    let part = transactions
        .len()
        .div_ceil(crew.threads())
        .max(SMALLEST_PART);
    let parts = transactions.chunks(part).enumerate().collect();
    crew.each(parts, |(number, part_of_block)| {
        let first = number.saturating_mul(part);
        Forecast::new(&reader, first, part_of_block, beneficiary)
    })
}

impl Forecast {
    /// `first` is the index of the first of these transactions in the block.
    fn new(
        reader: &Reader<'_>,
        first: usize,
        transactions: &[RecoveredTransaction],
        beneficiary: Address,
    ) -> Self {
        let mut forecast = Self {
            costs: Vec::with_capacity(transactions.len()),
            ends: Vec::with_capacity(transactions.len()),
            places: Vec::with_capacity(transactions.len().saturating_mul(4)),
            only_transfers: true,
            alone: Vec::new(),
            unknown: Vec::new(),
        };
        let paid = reader.account(beneficiary);
        for (transaction, index) in transactions.iter().zip(first..) {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let first_place = forecast.places.len();
            let prediction = reader.predict(transaction, &mut forecast.places);
            let mut places = forecast.places.iter().skip(first_place);
            if places.any(|access| access.place == paid) {
                forecast.alone.push(index);
            }
            forecast.only_transfers &= is_transfer(transaction);
            let time = match prediction.time {
                _ if is_transfer(transaction) => TRANSFER_TIME,
                0 => {
                    let time = time_of_limit(transaction, UNKNOWN_GAS);
                    u32::try_from(time).unwrap_or(u32::MAX)
                }
                known => u32::try_from(known).unwrap_or(u32::MAX),
            };
            if !prediction.known || !prediction.complete {
                forecast.unknown.push(index);
            }
            forecast.costs.push(time);
            let end = forecast.places.len();
            forecast.ends.push(u32::try_from(end).unwrap_or(u32::MAX));
        }
        forecast
    }
}
