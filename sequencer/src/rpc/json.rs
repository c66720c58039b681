//! The JSON forms of geth, with the fields that the OP Stack adds for deposits.

use alloy_consensus::{Header, Sealed, Transaction as _};
use alloy_primitives::{Address, B256, Bloom, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::Log;
use serde::Serialize;
use serde_json::{Map, Value, json};
use weft_primitives::{Receipt, SealedBlock, Transaction};

use super::{RpcError, blocks::FoundBlock};
use crate::mempool::PooledTransaction;

/// OP Stack's version of deposit receipts (Canyon).
const DEPOSIT_RECEIPT_VERSION: &str = "0x1";

/// Where a transaction is in the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inclusion<'a> {
    /// Header of its block.
    pub(super) header: &'a Sealed<Header>,
    /// Its index.
    pub(super) index: u64,
    /// Its receipt.
    pub(super) receipt: &'a Receipt,
}

/// A transaction; `included` is `None` for one that waits in the mempool.
pub(super) fn transaction(
    transaction: &Transaction,
    sender: Address,
    included: Option<Inclusion<'_>>,
) -> Result<Value, RpcError> {
    let mut fields = object(transaction)?;
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("hash", json!(transaction.hash()));
    set("from", json!(sender));
    set("to", json!(transaction.to()));
    let base_fee = included.and_then(|included| included.header.base_fee_per_gas);
    set(
        "gasPrice",
        quantity(effective_gas_price(transaction, base_fee)),
    );
    set(
        "blockHash",
        json!(included.map(|included| included.header.hash())),
    );
    set(
        "blockNumber",
        included.map_or(Value::Null, |included| quantity(included.header.number)),
    );
    set(
        "transactionIndex",
        included.map_or(Value::Null, |included| quantity(included.index)),
    );
    if let Some(included) = included {
        set("blockTimestamp", quantity(included.header.timestamp));
        if let Some(nonce) = included.receipt.deposit_nonce {
            set("nonce", quantity(nonce));
            set("depositReceiptVersion", json!(DEPOSIT_RECEIPT_VERSION));
        }
    }
    Ok(Value::Object(fields))
}

/// About how many bytes a waiting transaction takes as JSON.
pub(super) const fn json_size(pooled: &PooledTransaction) -> usize {
    // Two digits a byte, and names and fixed fields around them.
    pooled.size.saturating_mul(2).saturating_add(600)
}

/// About how many bytes a log takes as JSON.
fn log_json_size(log: &Log) -> usize {
    log.inner
        .data
        .data
        .len()
        .saturating_mul(2)
        .saturating_add(900)
}

/// About how many bytes logs take as JSON.
pub(super) fn logs_json_size(logs: &[Log]) -> usize {
    logs.iter().map(log_json_size).sum()
}

/// What the sender pays, in wei per gas; the fee cap when the block is not known yet.
fn effective_gas_price(transaction: &Transaction, base_fee: Option<u64>) -> u128 {
    if transaction.is_deposit() {
        return 0;
    }
    transaction.gas_price().unwrap_or_else(|| match base_fee {
        Some(_) => transaction.effective_gas_price(base_fee),
        None => transaction.max_fee_per_gas(),
    })
}

/// A transaction of a block; `None` when the block has no such index.
pub(super) fn transaction_of(block: &FoundBlock, index: u64) -> Result<Option<Value>, RpcError> {
    let Some((sender, content)) = block.transaction(index) else {
        return Ok(None);
    };
    let receipt = usize::try_from(index)
        .ok()
        .and_then(|index| block.receipts().get(index));
    let included = receipt.map(|receipt| Inclusion {
        header: &block.block().header,
        index,
        receipt,
    });
    transaction(content, sender, included).map(Some)
}

/// A block, with whole transactions or with their hashes.
pub(super) fn block(found: &FoundBlock, whole_transactions: bool) -> Result<Value, RpcError> {
    let block = found.block();
    let mut fields = header_fields(&block.header)?;
    fields.insert("size".to_owned(), quantity(block_size(block)));
    fields.insert("uncles".to_owned(), json!([]));
    fields.insert("withdrawals".to_owned(), json!([]));
    let transactions = if whole_transactions {
        (0..)
            .map_while(|index| transaction_of(found, index).transpose())
            .collect::<Result<_, _>>()?
    } else {
        block
            .transactions
            .iter()
            .map(|transaction| json!(transaction.hash()))
            .collect()
    };
    fields.insert("transactions".to_owned(), Value::Array(transactions));
    Ok(Value::Object(fields))
}

/// A header, as `newHeads` sends it.
pub(super) fn header(header: &Sealed<Header>) -> Result<Value, RpcError> {
    header_fields(header).map(Value::Object)
}

fn header_fields(header: &Sealed<Header>) -> Result<Map<String, Value>, RpcError> {
    let mut fields = object(header.inner())?;
    fields.insert("hash".to_owned(), json!(header.hash()));
    Ok(fields)
}

/// Length of the block's RLP form, in bytes.
fn block_size(block: &SealedBlock) -> u64 {
    // Ommers and withdrawals are empty lists of one byte each.
    let payload = block.header.inner().length() + block.transactions.length() + 2;
    let head = alloy_rlp::Header {
        list: true,
        payload_length: payload,
    };
    u64::try_from(payload + head.length()).unwrap_or(u64::MAX)
}

/// A receipt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptJson {
    #[serde(rename = "type", with = "alloy_serde::quantity")]
    tx_type: u8,
    #[serde(with = "alloy_serde::quantity")]
    status: u8,
    #[serde(with = "alloy_serde::quantity")]
    cumulative_gas_used: u64,
    logs: Vec<Log>,
    logs_bloom: Bloom,
    transaction_hash: B256,
    #[serde(with = "alloy_serde::quantity")]
    transaction_index: u64,
    block_hash: B256,
    #[serde(with = "alloy_serde::quantity")]
    block_number: u64,
    #[serde(with = "alloy_serde::quantity")]
    gas_used: u64,
    #[serde(with = "alloy_serde::quantity")]
    effective_gas_price: u128,
    from: Address,
    to: Option<Address>,
    contract_address: Option<Address>,
    #[serde(
        with = "alloy_serde::quantity::opt",
        skip_serializing_if = "Option::is_none"
    )]
    deposit_nonce: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit_receipt_version: Option<&'static str>,
}

/// The parts of a block that its receipts are shown from.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockParts<'a> {
    /// The block.
    pub(super) block: &'a SealedBlock,
    /// Senders, one for each transaction.
    pub(super) senders: &'a [Address],
    /// Receipts, one for each transaction.
    pub(super) receipts: &'a [Receipt],
}

impl BlockParts<'_> {
    /// All receipts.
    pub(super) fn receipts(&self) -> Vec<ReceiptJson> {
        let mut gas_before = 0;
        let mut logs_before = 0;
        let transactions = self.block.transactions.iter().zip(self.senders);
        transactions
            .zip(self.receipts)
            .enumerate()
            .map(|(index, ((transaction, sender), receipt))| {
                let json = self.receipt(
                    to_u64(index),
                    (transaction, *sender, receipt),
                    gas_before,
                    logs_before,
                );
                gas_before = receipt.cumulative_gas_used;
                logs_before += to_u64(receipt.logs.len());
                json
            })
            .collect()
    }

    /// The receipt of one transaction; `None` when the block has no such index.
    pub(super) fn receipt_at(&self, index: u64) -> Option<ReceiptJson> {
        let position = usize::try_from(index).ok()?;
        let transaction = self.block.transactions.get(position)?;
        let (sender, receipt) = (self.senders.get(position)?, self.receipts.get(position)?);
        let before = self.receipts.get(..position)?;
        let gas_before = before
            .last()
            .map_or(0, |receipt| receipt.cumulative_gas_used);
        let logs_before = before
            .iter()
            .map(|receipt| to_u64(receipt.logs.len()))
            .sum();
        Some(self.receipt(
            index,
            (transaction, *sender, receipt),
            gas_before,
            logs_before,
        ))
    }

    fn receipt(
        &self,
        index: u64,
        (transaction, sender, receipt): (&Transaction, Address, &Receipt),
        gas_before: u64,
        logs_before: u64,
    ) -> ReceiptJson {
        let header = &self.block.header;
        let hash = transaction.hash();
        let nonce = receipt.deposit_nonce.unwrap_or_else(|| transaction.nonce());
        ReceiptJson {
            tx_type: receipt.tx_type,
            status: u8::from(receipt.success),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt
                .logs
                .iter()
                .zip(logs_before..)
                .map(|(log, log_index)| log_json(log, header, hash, index, log_index))
                .collect(),
            logs_bloom: receipt.bloom(),
            transaction_hash: hash,
            transaction_index: index,
            block_hash: header.hash(),
            block_number: header.number,
            gas_used: receipt.cumulative_gas_used.saturating_sub(gas_before),
            effective_gas_price: effective_gas_price(transaction, header.base_fee_per_gas),
            from: sender,
            to: transaction.to(),
            contract_address: transaction.is_create().then(|| sender.create(nonce)),
            deposit_nonce: receipt.deposit_nonce,
            deposit_receipt_version: receipt.deposit_nonce.map(|_| DEPOSIT_RECEIPT_VERSION),
        }
    }

    /// All logs of the block for which `wanted` holds.
    pub(super) fn logs<'a>(
        &'a self,
        wanted: impl Fn(&alloy_primitives::Log) -> bool + 'a,
    ) -> impl Iterator<Item = Log> + 'a {
        let transactions = self.block.transactions.iter().zip(self.receipts);
        transactions
            .zip(0..)
            .flat_map(|((transaction, receipt), index)| {
                let hash = transaction.hash();
                receipt.logs.iter().map(move |log| (log, hash, index))
            })
            .zip(0..)
            .filter(move |((log, _, _), _)| wanted(log))
            .map(|((log, hash, index), log_index)| {
                log_json(log, &self.block.header, hash, index, log_index)
            })
    }
}

fn log_json(
    log: &alloy_primitives::Log,
    header: &Sealed<Header>,
    transaction_hash: B256,
    transaction_index: u64,
    log_index: u64,
) -> Log {
    Log {
        inner: log.clone(),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        block_timestamp: Some(header.timestamp),
        transaction_hash: Some(transaction_hash),
        transaction_index: Some(transaction_index),
        log_index: Some(log_index),
        removed: false,
    }
}

/// A number as JSON-RPC writes it: hexadecimal without leading zeros.
pub(super) fn quantity(number: impl TryInto<U256>) -> Value {
    json!(number.try_into().unwrap_or(U256::MAX))
}

/// A length as a number that JSON-RPC writes.
pub(super) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn object(value: &impl Serialize) -> Result<Map<String, Value>, RpcError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(RpcError::Internal("a value could not be written as JSON")),
    }
}
