use alloy_eips::BlockNumHash;
use alloy_primitives::{B256, U256, keccak256};
use weft_primitives::L1Origin;

/// What the contract on L1 stores about a batch, by its hash: the ABI struct `BatchHeader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchHeader {
    /// Hash of the batch before this one, as the contract gives it; zero before the first batch.
    pub previous_batch_hash: B256,
    /// Number of the first block.
    pub first_block: u64,
    /// Number of the last block.
    pub last_block: u64,
    /// Hash of the last block.
    pub last_block_hash: B256,
    /// State root after the last block.
    pub state_root: B256,
    /// Root of the tree of withdrawals after the last block; zero before the first withdrawal.
    pub withdrawals_root: B256,
    /// L1 origin of the last block; zero while the chain has taken in none. The contract takes a batch
    /// only where L1 has that block.
    pub l1_origin: BlockNumHash,
    /// Number of user deposits that the chain has taken in from its start up to and including the
    /// last block.
    pub deposits_consumed: u64,
    /// Number of blobs that hold the encoded batch; zero when it is calldata.
    pub blob_count: u8,
    /// `keccak256` of the encoded batch when it is calldata, of the blobs' versioned hashes, one
    /// after another, when it is in blobs.
    pub data_hash: B256,
}

impl BatchHeader {
    /// How a header names the L1 origin of its last block: zero stands for none.
    pub fn origin_id(origin: Option<&L1Origin>) -> BlockNumHash {
        origin.map(L1Origin::id).unwrap_or_default()
    }

    /// The batch's hash: `keccak256(abi.encode(header))`.
    pub fn hash(&self) -> B256 {
        let word = |number: u64| U256::from(number).to_be_bytes::<32>();
        let words = [
            self.previous_batch_hash.0,
            word(self.first_block),
            word(self.last_block),
            self.last_block_hash.0,
            self.state_root.0,
            self.withdrawals_root.0,
            word(self.l1_origin.number),
            self.l1_origin.hash.0,
            word(self.deposits_consumed),
            word(self.blob_count.into()),
            self.data_hash.0,
        ];
        keccak256(words.as_flattened())
    }
}
