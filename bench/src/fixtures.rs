use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use alloy_consensus::transaction::SignerRecoverable;
use alloy_primitives::{Address, B256, Bytes, U256};
use flate2::read::GzDecoder;
use serde::Deserialize;
use weft_executor_core::{BlockEnv, MemoryState};
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

use crate::{BenchError, Scenario};

const MAINNET_CHAIN_ID: u64 = 1;

/// A block of Ethereum itself with all state that it reads.
#[derive(Debug)]
pub struct Fixture {
    /// Number of the block.
    pub number: u64,
    /// Gas that the block used when it was made, in gas.
    pub gas_used: u64,
    /// What to execute.
    pub scenario: Scenario,
}

#[derive(Deserialize)]
struct FixtureFile {
    spec: String,
    block: alloy_rpc_types_eth::Block<alloy_rpc_types_eth::Transaction<Transaction>>,
    pre_state: BTreeMap<Address, PreAccount>,
    block_hashes: BTreeMap<String, B256>,
}

#[derive(Deserialize)]
struct PreAccount {
    balance: U256,
    nonce: u64,
    code: Option<Bytes>,
    storage: BTreeMap<U256, U256>,
}

/// The fixtures (`*.json.gz`) in a folder, sorted by name.
///
/// # Errors
/// When the folder cannot be read or has none.
pub fn fixture_files(folder: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let entries = fs::read_dir(folder).map_err(|_| BenchError::NoFixtures(folder.to_owned()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".json.gz"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(BenchError::NoFixtures(folder.to_owned()));
    }
    Ok(files)
}

impl Fixture {
    /// Reads a gzipped JSON file: the block as `eth_getBlockByNumber` gives it with whole
    /// transactions, the name of its fork, the accounts before it and the hashes of blocks before it.
    ///
    /// # Errors
    /// When the file cannot be read or is not of this form.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let broken = |reason: String| BenchError::Fixture {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(|error| broken(error.to_string()))?;
        let file: FixtureFile = serde_json::from_reader(GzDecoder::new(file))
            .map_err(|error| broken(error.to_string()))?;
        let fork: Fork = file
            .spec
            .parse()
            .map_err(|error: weft_primitives::UnknownFork| broken(error.to_string()))?;
        let header = &file.block.header.inner;
        let listed = file.block.transactions.as_transactions();
        let transactions = listed
            .unwrap_or_default()
            .iter()
            .map(|listed| {
                let transaction = listed.inner.inner();
                // Frontier took signatures with a high `s`.
                let sender = transaction
                    .recover_signer_unchecked()
                    .map_err(|error| broken(format!("{}: {error}", transaction.hash())))?;
                Ok(RecoveredTransaction::new_unchecked(
                    transaction.clone(),
                    sender,
                ))
            })
            .collect::<Result<Vec<_>, BenchError>>()?;

        let mut base = MemoryState::default();
        for (address, account) in file.pre_state {
            let code = account.code.unwrap_or_default();
            base.insert(
                address,
                account.nonce,
                account.balance,
                code,
                account.storage,
            );
        }
        for (number, hash) in file.block_hashes {
            let number = number
                .parse()
                .map_err(|_| broken(format!("block number {number:?} is none")))?;
            base.block_hashes.insert(number, hash);
        }
        Ok(Self {
            number: header.number,
            gas_used: header.gas_used,
            scenario: Scenario {
                base,
                block: BlockEnv::from_header(header, MAINNET_CHAIN_ID, fork),
                transactions,
            },
        })
    }
}
