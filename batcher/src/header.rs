use alloy_primitives::{B256, U256, keccak256};

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
    /// Number of user deposits that the chain has taken in from its start up to and including the
    /// last block.
    pub deposits_consumed: u64,
    /// `keccak256` of the encoded batch.
    pub data_hash: B256,
}

impl BatchHeader {
    /// The batch's hash: `keccak256(abi.encode(header))`.
    pub fn hash(&self) -> B256 {
        let word = |number: u64| U256::from(number).to_be_bytes::<32>();
        let words = [
            self.previous_batch_hash.0,
            word(self.first_block),
            word(self.last_block),
            self.last_block_hash.0,
            self.state_root.0,
            word(self.deposits_consumed),
            self.data_hash.0,
        ];
        keccak256(words.as_flattened())
    }
}
