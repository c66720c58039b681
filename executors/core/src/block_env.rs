use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use weft_primitives::Fork;

/// What a transaction can see of its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEnv {
    /// Rules in force.
    pub fork: Fork,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Number of the block.
    pub number: u64,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Account that earns the fees.
    pub beneficiary: Address,
    /// Gas limit of the block, in gas.
    pub gas_limit: u64,
    /// EIP-1559 base fee, in wei per gas; zero before London.
    pub base_fee: u64,
    /// Proof-of-work difficulty; zero from the Merge on.
    pub difficulty: U256,
    /// EIP-4399 PREVRANDAO; ignored before the Merge.
    pub prev_randao: B256,
    /// EIP-4844 excess blob gas; ignored before Cancun.
    pub excess_blob_gas: u64,
}

impl BlockEnv {
    /// The environment that transactions of a block with this header see.
    pub fn from_header(header: &Header, chain_id: u64, fork: Fork) -> Self {
        Self {
            fork,
            chain_id,
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or(0),
            difficulty: header.difficulty,
            prev_randao: header.mix_hash,
            excess_blob_gas: header.excess_blob_gas.unwrap_or(0),
        }
    }
}
