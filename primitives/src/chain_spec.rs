use std::collections::BTreeMap;

use alloy_consensus::{Header, Sealed, constants::EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256};
use serde::{Deserialize, Serialize};

use crate::Fork;

/// What a chain is: its id, its genesis state and its limits. Read from a geth-format
/// `genesis.json`, and posted to L1 with the contract, so that a follower needs L1 alone.
///
/// Every weft chain runs [`Fork::LATEST`] from its first block: fork activations in the file's
/// `config` must be absent or zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainSpec {
    genesis: Genesis,
}

/// Why a `genesis.json` does not describe a weft chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainSpecError {
    /// The text is not a geth-format genesis.
    #[error("genesis: not a geth-format genesis.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A chain id of zero cannot be signed for (EIP-155).
    #[error("genesis: config.chainId must not be 0")]
    ChainId,
    /// The gas limit is below what a block needs or above what gas counters hold.
    #[error("genesis: gasLimit must be between 5000 and 2^62, found {0}")]
    GasLimit(u64),
    /// The base fee does not fit its header field.
    #[error("genesis: baseFeePerGas must be below 2^64, found {0}")]
    BaseFee(u128),
    /// The genesis block is always block 0.
    #[error("genesis: number must be absent or 0, found {0}")]
    Number(u64),
}

impl ChainSpec {
    /// Takes a genesis after checking that weft can run it.
    ///
    /// # Errors
    /// When a field has a value that no weft chain can have.
    pub fn new(genesis: Genesis) -> Result<Self, ChainSpecError> {
        if genesis.config.chain_id == 0 {
            return Err(ChainSpecError::ChainId);
        }
        if !(5000..=1 << 62).contains(&genesis.gas_limit) {
            return Err(ChainSpecError::GasLimit(genesis.gas_limit));
        }
        if let Some(fee) = genesis.base_fee_per_gas
            && u64::try_from(fee).is_err()
        {
            return Err(ChainSpecError::BaseFee(fee));
        }
        if let Some(number) = genesis.number
            && number != 0
        {
            return Err(ChainSpecError::Number(number));
        }
        Ok(Self { genesis })
    }

    /// Parses a geth-format `genesis.json`.
    ///
    /// # Errors
    /// When the text is not such a file, or as [`ChainSpec::new`].
    pub fn from_json(json: &[u8]) -> Result<Self, ChainSpecError> {
        Self::new(serde_json::from_slice(json)?)
    }

    /// The chain spec as JSON, the same bytes for the same spec.
    pub fn to_json(&self) -> Vec<u8> {
        // A tree of maps with string keys and plain values always serialises.
        serde_json::to_vec(&self.genesis).unwrap_or_default()
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.genesis.config.chain_id
    }

    /// The fork of every block.
    pub const fn fork(&self) -> Fork {
        Fork::LATEST
    }

    /// Accounts of the genesis state.
    pub const fn alloc(&self) -> &BTreeMap<Address, GenesisAccount> {
        &self.genesis.alloc
    }

    /// The genesis file itself.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The header of block 0 over the given state root of [`Self::alloc`].
    pub fn genesis_header(&self, state_root: B256) -> Sealed<Header> {
        let genesis = &self.genesis;
        Sealed::new(Header {
            parent_hash: genesis.parent_hash.unwrap_or_default(),
            ommers_hash: alloy_consensus::EMPTY_OMMER_ROOT_HASH,
            beneficiary: genesis.coinbase,
            state_root,
            transactions_root: alloy_consensus::EMPTY_ROOT_HASH,
            receipts_root: alloy_consensus::EMPTY_ROOT_HASH,
            logs_bloom: Default::default(),
            difficulty: genesis.difficulty,
            number: 0,
            gas_limit: genesis.gas_limit,
            gas_used: 0,
            timestamp: genesis.timestamp,
            extra_data: genesis.extra_data.clone(),
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce),
            // geth's `InitialBaseFee` when the file does not say.
            base_fee_per_gas: Some(
                genesis
                    .base_fee_per_gas
                    .and_then(|fee| u64::try_from(fee).ok())
                    .unwrap_or(1_000_000_000),
            ),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(genesis.blob_gas_used.unwrap_or(0)),
            excess_blob_gas: Some(genesis.excess_blob_gas.unwrap_or(0)),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            block_access_list_hash: None,
            slot_number: None,
        })
    }
}
