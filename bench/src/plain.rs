use std::time::{Duration, Instant};

use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::result::ExecutionResult,
    database::{CacheDB, EmptyDB},
};

use crate::{
    BenchError, Scenario,
    base::cache_db,
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

    /// The state before the block.
    pub(crate) const fn base(&self) -> &CacheDB<EmptyDB> {
        &self.state
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
