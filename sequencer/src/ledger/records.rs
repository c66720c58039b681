use alloy_eips::BlockNumHash;
use alloy_primitives::{Address, B256, U256};
use weft_batcher::BatchHeader;

/// A batch that the L1 contract has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRecord {
    /// Position among all batches of the contract.
    pub index: u64,
    /// Hash of the batch header.
    pub hash: B256,
    /// Hash of the header of the batch before it.
    pub previous_hash: B256,
    /// Number of its first L2 block.
    pub first_block: u64,
    /// Number of its last L2 block.
    pub last_block: u64,
    /// Hash of its last L2 block.
    pub last_block_hash: B256,
    /// State root after its last L2 block.
    pub state_root: B256,
    /// Root of the withdrawals tree after its last L2 block.
    pub withdrawals_root: B256,
    /// L1 origin of its last L2 block.
    pub l1_origin: BlockNumHash,
    /// Deposits that the chain has consumed up to its last L2 block, from genesis on.
    pub deposits_consumed: u64,
    /// Blobs that hold its data; 0 when calldata does.
    pub blob_count: u8,
    /// Hash of the posted data, as in the header.
    pub data_hash: B256,
    /// Size of what was posted, calldata and blobs, in bytes.
    pub posted_bytes: u64,
    /// L1 block that holds it.
    pub l1_block_number: u64,
    /// Hash of that L1 block.
    pub l1_block_hash: B256,
    /// L1 transaction that posted it.
    pub l1_tx_hash: B256,
}

impl BatchRecord {
    /// The header as the contract has it.
    pub const fn header(&self) -> BatchHeader {
        BatchHeader {
            previous_batch_hash: self.previous_hash,
            first_block: self.first_block,
            last_block: self.last_block,
            last_block_hash: self.last_block_hash,
            state_root: self.state_root,
            withdrawals_root: self.withdrawals_root,
            l1_origin: self.l1_origin,
            deposits_consumed: self.deposits_consumed,
            blob_count: self.blob_count,
            data_hash: self.data_hash,
        }
    }
}

/// A deposit that the L1 contract has emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositRecord {
    /// Position among all deposits of the contract.
    pub index: u64,
    /// Source hash of the 0x7E transaction.
    pub source_hash: B256,
    /// L1 block that holds it.
    pub l1_block_number: u64,
    /// Hash of that L1 block.
    pub l1_block_hash: B256,
    /// L1 transaction that made it.
    pub l1_tx_hash: B256,
    /// Index of its log in the L1 block.
    pub l1_log_index: u64,
    /// Sender on L2.
    pub from: Address,
    /// Receiver on L2; `None` creates a contract.
    pub to: Option<Address>,
    /// Ether that comes into being on L2, in wei.
    pub mint: u128,
    /// Ether that the deposit sends on L2, in wei.
    pub value: U256,
    /// Hash of the 0x7E transaction on L2.
    pub l2_tx_hash: B256,
    /// L2 block that has executed it; `None` until one has.
    pub l2_block: Option<u64>,
}

/// One signed L1 transaction of the batcher. Attempts of one sender and nonce replace each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L1Attempt {
    /// Account that signed it.
    pub sender: Address,
    /// Its nonce.
    pub nonce: u64,
    /// First batch that it posts.
    pub first_batch: u64,
    /// Last batch that it posts.
    pub last_batch: u64,
    /// Its hash.
    pub tx_hash: B256,
    /// Gas limit, in gas.
    pub gas_limit: u64,
    /// `maxFeePerGas`, in wei.
    pub max_fee_per_gas: u128,
    /// `maxPriorityFeePerGas`, in wei.
    pub max_priority_fee_per_gas: u128,
    /// `maxFeePerBlobGas`, in wei; `None` for a transaction without blobs.
    pub max_fee_per_blob_gas: Option<u128>,
    /// When it was first sent, in seconds since the Unix epoch.
    pub sent_at: u64,
    /// What has become of it.
    pub state: AttemptState,
}

/// What has become of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// Sent, and neither included nor given up.
    Sent,
    /// In an L1 block, and it succeeded.
    Included {
        /// That L1 block.
        l1_block_number: u64,
    },
    /// Refused by the L1 node, or reverted in a block.
    Failed {
        /// The node's or the contract's reason; the ledger keeps its first
        /// [`MAX_ERROR_CHARS`] characters.
        error: String,
        /// The L1 block where it reverted; `None` when it never reached one.
        l1_block_number: Option<u64>,
    },
    /// Another attempt of the same nonce took its place.
    Replaced,
}

/// Longest error text that is kept of a failed attempt, in characters.
pub const MAX_ERROR_CHARS: usize = 1024;

/// The last L1 block whose logs are all recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L1Cursor {
    /// Number of the L1 block.
    pub number: u64,
    /// Its hash: when L1 has another block at this number, L1 has reorganised.
    pub hash: B256,
}

/// How many rows the ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerCounts {
    /// Batches.
    pub batches: u64,
    /// Nonces that the batcher has used on L1.
    pub l1_transactions: u64,
    /// Signed transactions that it has sent for them.
    pub l1_attempts: u64,
    /// Deposits.
    pub deposits: u64,
    /// Withdrawals that L2 has started.
    pub withdrawals: u64,
}
