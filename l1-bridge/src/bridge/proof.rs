use alloy_eips::BlockNumHash;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use weft_batcher::BatchHeader;
use weft_primitives::Withdrawal;

use crate::contract::{AbiBatchHeader, AbiWithdrawal};

/// A withdrawal as JSON-RPC shows it, with the names of the contract's struct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawalJson {
    /// Position among all withdrawals of the chain.
    #[serde(with = "alloy_serde::quantity")]
    pub index: u64,
    /// Account that started it on L2.
    pub sender: Address,
    /// Account that is called on L1.
    pub target: Address,
    /// In wei.
    pub value: U256,
    /// Gas that the call gets at least, in gas.
    pub gas_limit: U256,
    /// Input of the call.
    pub data: Bytes,
}

impl From<Withdrawal> for WithdrawalJson {
    fn from(withdrawal: Withdrawal) -> Self {
        Self {
            index: withdrawal.index,
            sender: withdrawal.sender,
            target: withdrawal.target,
            value: withdrawal.value,
            gas_limit: withdrawal.gas_limit,
            data: withdrawal.data,
        }
    }
}

impl From<WithdrawalJson> for Withdrawal {
    fn from(json: WithdrawalJson) -> Self {
        Self {
            index: json.index,
            sender: json.sender,
            target: json.target,
            value: json.value,
            gas_limit: json.gas_limit,
            data: json.data,
        }
    }
}

impl From<WithdrawalJson> for AbiWithdrawal {
    fn from(json: WithdrawalJson) -> Self {
        Self {
            index: U256::from(json.index),
            sender: json.sender,
            target: json.target,
            value: json.value,
            gasLimit: json.gas_limit,
            data: json.data,
        }
    }
}

/// A batch header as JSON-RPC shows it, with the names of the contract's struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchHeaderJson {
    /// Hash of the batch before.
    pub previous_batch_hash: B256,
    /// First block.
    #[serde(with = "alloy_serde::quantity")]
    pub first_block: u64,
    /// Last block.
    #[serde(with = "alloy_serde::quantity")]
    pub last_block: u64,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// State root after the last block.
    pub state_root: B256,
    /// Root of the withdrawals tree after the last block.
    pub withdrawals_root: B256,
    /// Number of the last block's L1 origin.
    #[serde(with = "alloy_serde::quantity")]
    pub l1_origin_number: u64,
    /// Hash of the last block's L1 origin.
    pub l1_origin_hash: B256,
    /// Deposits that the chain has executed up to the last block.
    #[serde(with = "alloy_serde::quantity")]
    pub deposits_consumed: u64,
    /// Blobs that hold the data; 0 when calldata does.
    #[serde(with = "alloy_serde::quantity")]
    pub blob_count: u8,
    /// Hash of the data.
    pub data_hash: B256,
}

impl From<&BatchHeader> for BatchHeaderJson {
    fn from(header: &BatchHeader) -> Self {
        Self {
            previous_batch_hash: header.previous_batch_hash,
            first_block: header.first_block,
            last_block: header.last_block,
            last_block_hash: header.last_block_hash,
            state_root: header.state_root,
            withdrawals_root: header.withdrawals_root,
            l1_origin_number: header.l1_origin.number,
            l1_origin_hash: header.l1_origin.hash,
            deposits_consumed: header.deposits_consumed,
            blob_count: header.blob_count,
            data_hash: header.data_hash,
        }
    }
}

impl From<&BatchHeaderJson> for BatchHeader {
    fn from(json: &BatchHeaderJson) -> Self {
        Self {
            previous_batch_hash: json.previous_batch_hash,
            first_block: json.first_block,
            last_block: json.last_block,
            last_block_hash: json.last_block_hash,
            state_root: json.state_root,
            withdrawals_root: json.withdrawals_root,
            l1_origin: BlockNumHash::new(json.l1_origin_number, json.l1_origin_hash),
            deposits_consumed: json.deposits_consumed,
            blob_count: json.blob_count,
            data_hash: json.data_hash,
        }
    }
}

impl From<&BatchHeaderJson> for AbiBatchHeader {
    fn from(json: &BatchHeaderJson) -> Self {
        Self::from(&BatchHeader::from(json))
    }
}

/// Answer of `weft_getWithdrawalProof`: a withdrawal, where it stands, and what L1 pays against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawalProof {
    /// The withdrawal.
    pub withdrawal: WithdrawalJson,
    /// Its hash.
    pub withdrawal_hash: B256,
    /// L2 block that started it.
    #[serde(with = "alloy_serde::quantity")]
    pub block_number: u64,
    /// L2 transaction that started it.
    pub transaction_hash: B256,
    /// The first batch that holds it; `None` while L1 has none.
    pub batch: Option<ProvingBatch>,
    /// L1 transaction that proved it last; `None` as far as the node knows of none.
    pub proven_by: Option<B256>,
    /// L1 transaction that paid it; `None` as far as the node knows of none.
    pub finalized_by: Option<B256>,
}

/// A batch, and the way from a withdrawal to its withdrawals root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvingBatch {
    /// Index of the batch.
    #[serde(with = "alloy_serde::quantity")]
    pub index: u64,
    /// Hash of the batch.
    pub hash: B256,
    /// Header of the batch.
    pub header: BatchHeaderJson,
    /// Siblings of the withdrawal's leaf, from below upwards.
    pub proof: Vec<B256>,
}
