use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::result::ExecutionResult,
    database::{CacheDB, EmptyDB},
    state::AccountInfo,
};
use weft_executor_core::MemoryState;

use crate::{
    BenchError, Scenario,
    environment::{block_env, rules, transaction_env},
};

/// A block for the honest baseline: the plainest sequential loop over revm.
///
/// The loop has every advantage. State lies in memory with analysed code before it starts, the
/// transactions are in revm's form, and the EVM is built once; per transaction there is `transact`,
/// the commit into the cache, and a result to keep.
#[derive(Debug)]
pub struct PlainBlock {
    rules: CfgEnv,
    block: BlockEnv,
    state: CacheDB<EmptyDB>,
    transactions: Vec<TxEnv>,
}

/// What the loop gave.
#[derive(Debug)]
pub struct PlainExecution {
    /// One for each transaction.
    pub results: Vec<ExecutionResult>,
    /// The state after the block.
    pub state: CacheDB<EmptyDB>,
}

impl PlainBlock {
    /// The block in revm's form.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            rules: rules(&scenario.block),
            block: block_env(&scenario.block),
            state: cache_db(&scenario.base),
            transactions: scenario.transactions.iter().map(transaction_env).collect(),
        }
    }

    /// Executes the block and says how long the loop took.
    ///
    /// # Errors
    /// When a transaction is invalid.
    pub fn run(&self) -> Result<(Duration, PlainExecution), BenchError> {
        let transactions = self.transactions.clone();
        let mut evm = Context::mainnet()
            .with_db(self.state.clone())
            .with_cfg(self.rules.clone())
            .with_block(self.block.clone())
            .build_mainnet();
        let mut results = Vec::with_capacity(transactions.len());

        let start = Instant::now();
        for (index, transaction) in transactions.into_iter().enumerate() {
            match evm.transact_commit(transaction) {
                Ok(result) => results.push(result),
                Err(error) => {
                    let reason = error.to_string();
                    return Err(BenchError::Plain { index, reason });
                }
            }
        }
        let elapsed = start.elapsed();

        let state = evm.ctx.journaled_state.database;
        Ok((elapsed, PlainExecution { results, state }))
    }
}

fn cache_db(state: &MemoryState) -> CacheDB<EmptyDB> {
    let mut database = CacheDB::default();
    for (address, account) in &state.accounts {
        let code = state
            .code
            .get(&account.code_hash)
            .map_or_else(Bytecode::default, |code| {
                // Code that starts like an EIP-7702 delegation but is none is ordinary code.
                Bytecode::new_raw_checked(code.clone())
                    .unwrap_or_else(|_| Bytecode::new_legacy(code.clone()))
            });
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: Some(code),
        };
        database.insert_account_info(*address, info);
        let Some(slots) = state.storage.get(address) else {
            continue;
        };
        if let Some(entry) = database.cache.accounts.get_mut(address) {
            entry
                .storage
                .extend(slots.iter().map(|(slot, value)| (*slot, *value)));
        }
    }
    let hashes = &mut database.cache.block_hashes;
    hashes.extend(
        state
            .block_hashes
            .iter()
            .map(|(number, hash): (&u64, &B256)| (U256::from(*number), *hash)),
    );
    database
}
