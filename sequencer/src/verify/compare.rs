//! The first difference between derived blocks and those of a node that has the posted chain.

use std::{collections::BTreeMap, time::Duration};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, Log, U64, U256};
use alloy_rpc_types_eth::Block;
use serde::Deserialize;
use weft_executor_parallel::BlockAccessList;
use weft_l1_bridge::{L1Client, L1ClientConfig, L1Error, PostedBatch};
use weft_primitives::Receipt;

use super::difference::{
    BlockDifference, FieldDifference, NodeComparison, StateDifference, StateValue,
    TransactionDifference,
};
use crate::{chain::ChainHandle, error::NodeError};

/// How long an answer may take: access lists of old blocks are computed when they are asked for.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 128 << 20;

/// Asks a node that has the posted chain, as a rule the poster's own, for its blocks.
#[derive(Debug, Clone)]
pub(crate) struct Comparer {
    client: L1Client,
}

/// Why blocks could not be compared.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Node(#[from] L1Error),
    #[error("expected the node to have block {0}, found none")]
    NoBlock(u64),
    #[error(transparent)]
    Own(#[from] NodeError),
}

/// The part of a receipt that is compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirReceipt {
    transaction_hash: B256,
    status: U64,
    cumulative_gas_used: U64,
    logs: Vec<TheirLog>,
}

#[derive(Debug, Deserialize)]
struct TheirLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

/// The part of the answer of `weft_getBlockAccessList` that is compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TheirAccessList {
    access_list: BlockAccessList,
}

/// A block as it is here, with what is compared of it.
struct OwnBlock {
    transactions: Vec<B256>,
    receipts: Vec<Receipt>,
    access_list: Option<BlockAccessList>,
}

impl Comparer {
    /// A comparer with the JSON-RPC endpoint of a node. Nothing is asked yet.
    pub(crate) fn new(url: &str) -> Result<Self, NodeError> {
        let config = L1ClientConfig {
            timeout: TIMEOUT,
            max_response_bytes: MAX_ANSWER_BYTES,
            ..L1ClientConfig::default()
        };
        Ok(Self {
            client: L1Client::new(url, config)?,
        })
    }

    /// Compares the blocks of a batch that are durable here.
    pub(super) async fn compare(
        &self,
        chain: &ChainHandle,
        posted: &PostedBatch,
    ) -> NodeComparison {
        match self.first_difference(chain, posted).await {
            Ok(comparison) => comparison,
            Err(error) => NodeComparison::Unreadable {
                reason: error.to_string(),
            },
        }
    }

    async fn first_difference(
        &self,
        chain: &ChainHandle,
        posted: &PostedBatch,
    ) -> Result<NodeComparison, CompareError> {
        let first = posted.header.first_block;
        let last = posted.header.last_block.min(chain.head().number);
        if last < first || !self.differs(chain, last).await? {
            return Ok(NodeComparison::SameBlocks { last_block: last });
        }
        // A block names its parent: once one differs, all later ones do.
        let (mut same, mut different) = (first.saturating_sub(1), last);
        while different.saturating_sub(same) > 1 {
            let middle = same.midpoint(different);
            match self.differs(chain, middle).await? {
                true => different = middle,
                false => same = middle,
            }
        }
        let claimed = posted.header.last_block;
        let has_posted_block = self
            .header(claimed)
            .await?
            .is_some_and(|header| header.hash_slow() == posted.header.last_block_hash);
        let block = self
            .block_difference(chain, different, has_posted_block)
            .await?;
        Ok(NodeComparison::Differs(Box::new(block)))
    }

    async fn header(&self, number: u64) -> Result<Option<Header>, L1Error> {
        let block: Option<Block<B256>> = self
            .client
            .request("eth_getBlockByNumber", (U64::from(number), false))
            .await?;
        Ok(block.map(|block| block.header.inner))
    }

    async fn differs(&self, chain: &ChainHandle, number: u64) -> Result<bool, CompareError> {
        let theirs = self.header(number).await?;
        let theirs = theirs.ok_or(CompareError::NoBlock(number))?;
        let ours = chain.store().header(number).map_err(NodeError::from)?;
        Ok(ours.is_none_or(|ours| ours.hash() != theirs.hash_slow()))
    }

    async fn block_difference(
        &self,
        chain: &ChainHandle,
        number: u64,
        has_posted_block: bool,
    ) -> Result<BlockDifference, CompareError> {
        let theirs = self.header(number).await?;
        let theirs = theirs.ok_or(CompareError::NoBlock(number))?;
        let ours = chain.store().header(number).map_err(NodeError::from)?;
        let header = ours.map_or_else(Vec::new, |ours| header_difference(&ours, &theirs));
        let own = {
            let chain = chain.clone();
            // It may have to be executed again.
            tokio::task::spawn_blocking(move || own_block(&chain, number))
                .await
                .map_err(|error| NodeError::Setup(format!("comparing panicked: {error}")))??
        };
        let receipts: Option<Vec<TheirReceipt>> = self
            .client
            .request("eth_getBlockReceipts", (U64::from(number),))
            .await?;
        let transaction = receipts.and_then(|theirs| receipt_difference(&own, &theirs));
        // Only nodes of weft have access lists, and only while they keep the state.
        let list: Result<Option<TheirAccessList>, L1Error> = self
            .client
            .request("weft_getBlockAccessList", (U64::from(number),))
            .await;
        let state = match (own.access_list, list) {
            (Some(ours), Ok(Some(theirs))) => state_difference(&ours, &theirs.access_list),
            _ => None,
        };
        Ok(BlockDifference {
            block: number,
            has_posted_block,
            header,
            transaction,
            state,
        })
    }
}

fn own_block(chain: &ChainHandle, number: u64) -> Result<OwnBlock, NodeError> {
    let Some(block) = chain.store().block_with_receipts(number)? else {
        return Err(NodeError::Setup(format!("block {number} is gone")));
    };
    let record = chain.record(number).ok().flatten();
    Ok(OwnBlock {
        transactions: block
            .block
            .transactions
            .iter()
            .map(|transaction| transaction.hash())
            .collect(),
        receipts: block.receipts,
        access_list: record.map(|record| record.access_list()),
    })
}

/// `None` when both are the same.
fn field(field: &'static str, derived: String, claimed: String) -> Option<FieldDifference> {
    (derived != claimed).then(|| FieldDifference {
        field,
        derived: shorten(derived),
        claimed: shorten(claimed),
    })
}

/// Long enough for every value but code, calldata and logs.
fn shorten(mut text: String) -> String {
    const MOST: usize = 300;
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn header_difference(ours: &Header, theirs: &Header) -> Vec<FieldDifference> {
    macro_rules! compare {
        ($($name:literal: $field:ident),* $(,)?) => {
            [$(field($name, text(&ours.$field), text(&theirs.$field))),*]
        };
    }
    compare! {
        "parentHash": parent_hash,
        "stateRoot": state_root,
        "transactionsRoot": transactions_root,
        "receiptsRoot": receipts_root,
        "gasUsed": gas_used,
        "gasLimit": gas_limit,
        "timestamp": timestamp,
        "miner": beneficiary,
        "baseFeePerGas": base_fee_per_gas,
        "mixHash": mix_hash,
        "extraData": extra_data,
        "logsBloom": logs_bloom,
        "parentBeaconBlockRoot": parent_beacon_block_root,
        "withdrawalsRoot": withdrawals_root,
        "requestsHash": requests_hash,
    }
    .into_iter()
    .flatten()
    .collect()
}

/// As JSON has it, without quotation marks.
fn text(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The first receipt that differs.
fn receipt_difference(own: &OwnBlock, theirs: &[TheirReceipt]) -> Option<TransactionDifference> {
    let count = own.receipts.len().max(theirs.len());
    (0..count).find_map(|index| {
        let ours = own.transactions.get(index).zip(own.receipts.get(index));
        let theirs = theirs.get(index);
        let receipt = match (ours, theirs) {
            (Some((hash, ours)), Some(theirs)) => one_receipt(*hash, ours, theirs),
            (Some((hash, _)), None) => {
                vec![field("transactionHash", hash.to_string(), "none".into())]
            }
            (None, Some(theirs)) => vec![field(
                "transactionHash",
                "none".into(),
                theirs.transaction_hash.to_string(),
            )],
            (None, None) => Vec::new(),
        };
        let receipt: Vec<_> = receipt.into_iter().flatten().collect();
        (!receipt.is_empty()).then(|| TransactionDifference {
            index: index as u64,
            hash: ours
                .map(|(hash, _)| *hash)
                .or_else(|| theirs.map(|theirs| theirs.transaction_hash)),
            receipt,
        })
    })
}

fn one_receipt(hash: B256, ours: &Receipt, theirs: &TheirReceipt) -> Vec<Option<FieldDifference>> {
    let logs = |logs: Vec<(Address, Vec<B256>, Bytes)>| format!("{logs:?}");
    let our_logs = ours
        .logs
        .iter()
        .map(|Log { address, data }| (*address, data.topics().to_vec(), data.data.clone()));
    let their_logs = theirs
        .logs
        .iter()
        .map(|log| (log.address, log.topics.clone(), log.data.clone()));
    vec![
        field(
            "transactionHash",
            hash.to_string(),
            theirs.transaction_hash.to_string(),
        ),
        field(
            "status",
            u64::from(ours.success).to_string(),
            theirs.status.to_string(),
        ),
        field(
            "cumulativeGasUsed",
            ours.cumulative_gas_used.to_string(),
            theirs.cumulative_gas_used.to_string(),
        ),
        field("logs", logs(our_logs.collect()), logs(their_logs.collect())),
    ]
}

/// What an access list says about one value: where and what it becomes.
type Place = (Address, StateValue, U256);

/// The first value that differs: after the first transaction after which any does, the first by
/// address.
fn state_difference(ours: &BlockAccessList, theirs: &BlockAccessList) -> Option<StateDifference> {
    let (ours, theirs) = (changes(ours), changes(theirs));
    let differing = |a: &BTreeMap<(u64, Place), String>, b: &BTreeMap<(u64, Place), String>| {
        a.iter()
            .find(|(key, value)| b.get(*key) != Some(*value))
            .map(|(key, _)| *key)
    };
    let here = differing(&ours, &theirs);
    let there = differing(&theirs, &ours);
    let (index, place) = match (here, there) {
        (Some(here), Some(there)) => here.min(there),
        (found, other) => found.or(other)?,
    };
    let value_of = |changes: &BTreeMap<(u64, Place), String>| {
        changes
            .iter()
            .rev()
            .find(|((at, changed), _)| *at <= index && *changed == place)
            .map(|(_, value)| shorten(value.clone()))
    };
    let (address, value, slot) = place;
    Some(StateDifference {
        // Index 0 of an access list is before the transactions.
        transaction: index.checked_sub(1),
        address,
        value,
        slot: (value == StateValue::Storage).then_some(slot),
        derived: value_of(&ours),
        claimed: value_of(&theirs),
    })
}

fn changes(list: &BlockAccessList) -> BTreeMap<(u64, Place), String> {
    let mut changes = BTreeMap::new();
    for account in list {
        let at = |value| (account.address, value, U256::ZERO);
        for change in &account.nonce_changes {
            let index = change.block_access_index.0;
            let value = change.new_nonce.to_string();
            changes.insert((index, at(StateValue::Nonce)), value);
        }
        for change in &account.balance_changes {
            let index = change.block_access_index.0;
            let value = change.post_balance.to_string();
            changes.insert((index, at(StateValue::Balance)), value);
        }
        for change in &account.code_changes {
            let index = change.block_access_index.0;
            let value = change.new_code.to_string();
            changes.insert((index, at(StateValue::Code)), value);
        }
        for slot in &account.storage_changes {
            let place = (account.address, StateValue::Storage, slot.slot);
            for change in &slot.changes {
                let index = change.block_access_index.0;
                changes.insert((index, place), format!("{:#x}", change.new_value));
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use weft_executor_parallel::BlockAccessList;

    use super::*;

    fn list(json: serde_json::Value) -> BlockAccessList {
        serde_json::from_value(json).unwrap()
    }

    fn account(address: &str, balances: &[(u64, u64)], slot: &[(u64, u64)]) -> serde_json::Value {
        let address = Address::repeat_byte(u8::from_str_radix(address, 16).unwrap());
        let balances: Vec<_> = balances
            .iter()
            .map(|(index, value)| {
                serde_json::json!({"index": U64::from(*index), "value": U256::from(*value)})
            })
            .collect();
        let changes: Vec<_> = slot
            .iter()
            .map(|(index, value)| {
                serde_json::json!({"index": U64::from(*index), "value": U256::from(*value)})
            })
            .collect();
        let slots = match changes.is_empty() {
            true => serde_json::json!([]),
            false => serde_json::json!([{"key": "0x5", "changes": changes}]),
        };
        serde_json::json!({
            "address": address,
            "storageChanges": slots,
            "storageReads": [],
            "balanceChanges": balances,
            "nonceChanges": [],
            "codeChanges": [],
        })
    }

    #[test]
    fn the_first_value_that_differs_is_named() {
        let ours = list(serde_json::json!([
            account("01", &[(1, 10), (3, 30)], &[]),
            account("02", &[], &[(2, 7)]),
        ]));
        assert_eq!(state_difference(&ours, &ours), None);
        // Another value after the second transaction, and a further one after the third.
        let theirs = list(serde_json::json!([
            account("01", &[(1, 10), (3, 31)], &[]),
            account("02", &[], &[(2, 8)]),
        ]));
        let found = state_difference(&ours, &theirs).unwrap();
        assert_eq!(found.transaction, Some(1));
        assert_eq!(found.address, Address::repeat_byte(2));
        assert_eq!(
            (found.value, found.slot),
            (StateValue::Storage, Some(U256::from(5)))
        );
        assert_eq!(found.derived.as_deref(), Some("0x7"));
        assert_eq!(found.claimed.as_deref(), Some("0x8"));
        // One side does not change it: what it was before counts.
        let theirs = list(serde_json::json!([
            account("01", &[(1, 10)], &[]),
            account("02", &[], &[(2, 7)]),
        ]));
        let found = state_difference(&ours, &theirs).unwrap();
        assert_eq!(found.transaction, Some(2));
        assert_eq!(found.derived.as_deref(), Some("30"));
        assert_eq!(found.claimed.as_deref(), Some("10"));
        let found = state_difference(&ours, &list(serde_json::json!([]))).unwrap();
        assert_eq!((found.transaction, found.claimed), (Some(0), None));
    }

    #[test]
    fn texts_of_a_node_are_cut() {
        let long = field("logs", "x".repeat(10_000), "y".repeat(10_000)).unwrap();
        assert!(long.derived.len() < 400 && long.claimed.len() < 400);
        assert_eq!(field("status", "1".into(), "1".into()), None);
    }
}
