use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header, Sealed, constants::EMPTY_WITHDRAWALS, proofs,
};
use alloy_eips::{BlockNumHash, eip1559::BaseFeeParams, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

use crate::{Transaction, parse_attributes_deposit};

/// The L1 block whose deposits a block has taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, RlpEncodable, RlpDecodable)]
pub struct L1Origin {
    /// Number of the L1 block.
    pub number: u64,
    /// Hash of the L1 block.
    pub hash: B256,
    /// Timestamp of the L1 block, in seconds since the Unix epoch.
    pub timestamp: u64,
    /// Base fee of the L1 block, in wei per gas.
    pub base_fee: U256,
}

impl L1Origin {
    /// Which L1 block it is.
    pub const fn id(&self) -> BlockNumHash {
        BlockNumHash::new(self.number, self.hash)
    }
}

/// A block: its header and its transactions.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Block {
    /// Ethereum header.
    pub header: Header,
    /// Transactions in order; deposits come first.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// Hashes the header.
    pub fn seal(self) -> SealedBlock {
        SealedBlock {
            header: Sealed::new(self.header),
            transactions: self.transactions,
        }
    }
}

/// A block whose hash is known.
#[derive(Debug, Clone)]
pub struct SealedBlock {
    /// Ethereum header with its hash.
    pub header: Sealed<Header>,
    /// Transactions in order; deposits come first.
    pub transactions: Vec<Transaction>,
}

impl SealedBlock {
    /// The block's hash.
    pub fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The L1 origin that this block moved to; `None` when it kept its parent's.
    pub fn new_l1_origin(&self) -> Option<L1Origin> {
        self.transactions.first().and_then(parse_attributes_deposit)
    }
}

/// Everything about a block that is chosen by its producer and not computed from its parent and
/// its transactions. A batch carries these, and a watcher rebuilds the header from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Seconds since the Unix epoch; at least the parent's.
    pub timestamp: u64,
    /// Gas limit of the block, in gas.
    pub gas_limit: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// The L1 origin that the block moves to; `None` keeps its parent's.
    pub new_l1_origin: Option<L1Origin>,
}

/// A child's header with everything filled in that is known before execution. `gas_used`,
/// `state_root`, `transactions_root`, `receipts_root` and `logs_bloom` are those of an empty block
/// until the block is sealed.
///
/// `mix_hash` (PREVRANDAO) is `keccak256(chain id || number || timestamp)`, each 8 bytes
/// big-endian: the sequencer orders transactions anyway, so contracts must not take it for
/// randomness, and it is a function of the block alone.
pub fn child_header(
    chain_id: u64,
    parent: &Sealed<Header>,
    attributes: &BlockAttributes,
) -> Header {
    Header {
        parent_hash: parent.hash(),
        ..unlinked_child_header(chain_id, parent, attributes)
    }
}

/// As [`child_header`], for a parent that has been executed and has no hash yet: the child's
/// `parent_hash` is zero, and `state_root` whatever the parent's field holds. Of the parent, number,
/// gas limit, gas used and base fee count.
pub fn unlinked_child_header(
    chain_id: u64,
    parent: &Header,
    attributes: &BlockAttributes,
) -> Header {
    let number = parent.number.saturating_add(1);
    let mut seed = [0u8; 24];
    for (bytes, word) in
        seed.as_chunks_mut::<8>()
            .0
            .iter_mut()
            .zip([chain_id, number, attributes.timestamp])
    {
        *bytes = word.to_be_bytes();
    }
    Header {
        parent_hash: B256::ZERO,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: attributes.beneficiary,
        state_root: parent.state_root,
        transactions_root: proofs::calculate_transaction_root::<Transaction>(&[]),
        receipts_root: crate::Receipt::root(&[]),
        logs_bloom: Bloom::ZERO,
        difficulty: U256::ZERO,
        number,
        gas_limit: attributes.gas_limit,
        gas_used: 0,
        timestamp: attributes.timestamp,
        extra_data: Bytes::new(),
        mix_hash: keccak256(seed),
        nonce: B64::ZERO,
        base_fee_per_gas: Some(
            parent
                .next_block_base_fee(BaseFeeParams::ethereum())
                .unwrap_or_default(),
        ),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        block_access_list_hash: None,
        slot_number: None,
    }
}
