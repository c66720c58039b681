use alloy_consensus::Transaction as _;
use weft_primitives::RecoveredTransaction;

use crate::{
    crew::Crew,
    predict::{PredictedAccess, Predictor, Reader},
};

/// What is expected of some transactions in a row.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// In gas.
    pub(crate) costs: Vec<u32>,
    /// Places of all transactions, one after another.
    pub(crate) places: Vec<PredictedAccess>,
    /// Where the places of each transaction end.
    pub(crate) ends: Vec<u32>,
    /// Whether all transactions look like plain transfers, whose places are known for certain.
    pub(crate) only_transfers: bool,
    /// Transactions that nothing was known of, or too little.
    pub(crate) unknown: Vec<u32>,
}

/// Expected cost of a plain transfer, in gas: a tenth of a call that uses as much.
const TRANSFER_COST: u32 = 2_500;

/// Gas above which a limit says nothing about what a transaction uses.
const MAX_CREDIBLE_GAS: u64 = 150_000;

/// Least transactions to predict that another thread is worth.
const SMALLEST_PART: usize = 1024;

fn is_transfer(transaction: &RecoveredTransaction) -> bool {
    transaction.input().is_empty() && transaction.kind().is_call()
}

/// Cost of the transactions by what they say themselves, in gas.
pub(crate) fn stated_cost(transactions: &[RecoveredTransaction]) -> u64 {
    transactions.iter().map(|tx| u64::from(cost_of(tx, tx.gas_limit()))).sum()
}

fn cost_of(transaction: &RecoveredTransaction, gas: u64) -> u32 {
    if is_transfer(transaction) {
        return TRANSFER_COST;
    }
    u32::try_from(gas.min(transaction.gas_limit())).unwrap_or(u32::MAX)
}

/// What the predictor expects of a block, by parts.
pub(crate) fn forecast(
    predictor: &Predictor,
    transactions: &[RecoveredTransaction],
    crew: &Crew,
) -> Vec<Forecast> {
    let reader = predictor.reader();
    // A small block is done before a helper is awake.
    let part = transactions.len().div_ceil(crew.threads()).max(SMALLEST_PART);
    let parts = transactions.chunks(part).enumerate().collect();
    crew.each(parts, |(number, part_of_block)| {
        Forecast::new(&reader, number.saturating_mul(part), part_of_block)
    })
}

impl Forecast {
    /// `first` is the index of the first of these transactions in the block.
    fn new(reader: &Reader<'_>, first: usize, transactions: &[RecoveredTransaction]) -> Self {
        let mut forecast = Self {
            costs: Vec::with_capacity(transactions.len()),
            ends: Vec::with_capacity(transactions.len()),
            places: Vec::with_capacity(transactions.len().saturating_mul(4)),
            only_transfers: true,
            unknown: Vec::new(),
        };
        for (transaction, index) in transactions.iter().zip(first..) {
            let prediction = reader.predict(transaction, &mut forecast.places);
            forecast.only_transfers &= is_transfer(transaction);
            let gas = if prediction.known {
                prediction.gas
            } else {
                prediction.gas.min(MAX_CREDIBLE_GAS)
            };
            if !prediction.known || !prediction.complete {
                forecast
                    .unknown
                    .push(u32::try_from(index).unwrap_or(u32::MAX));
            }
            forecast.costs.push(cost_of(transaction, gas));
            let end = forecast.places.len();
            forecast.ends.push(u32::try_from(end).unwrap_or(u32::MAX));
        }
        forecast
    }
}
