//! Against revm itself: its own handler on its own state must come to the same receipts and the
//! same state. Only what weft adds (deposits) is left out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_eips::Typed2718;
use alloy_primitives::{Address, U256};
use common::{
    chain::block,
    programs::{FORKS, base, programs, sent, transactions},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv as RevmBlockEnv, CfgEnv, TxEnv, result::EVMError},
    database::{CacheState, EmptyDB, State},
    primitives::hardfork::SpecId,
    state::AccountInfo,
};
use weft_executor_core::{BlockEnv, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::execute_sequential;
use weft_primitives::{Fork, RecoveredTransaction};

type Accounts = BTreeMap<Address, (u64, U256, Vec<u8>, BTreeMap<U256, U256>)>;

fn accounts(state: &MemoryState) -> Accounts {
    state
        .accounts
        .iter()
        .map(|(address, account)| {
            let code = state
                .code
                .get(&account.code_hash)
                .cloned()
                .unwrap_or_default();
            let storage = state.storage.get(address).cloned().unwrap_or_default();
            (
                *address,
                (account.nonce, account.balance, code.to_vec(), storage),
            )
        })
        .collect()
}

fn revm_state(state: &MemoryState) -> State<EmptyDB> {
    let mut cache = CacheState::new();
    for (hash, code) in &state.code {
        cache
            .contracts
            .insert(*hash, Bytecode::new_legacy(code.clone()));
    }
    for (address, account) in &state.accounts {
        let storage = state.storage.get(address).into_iter().flatten();
        cache.insert_account_with_storage(
            *address,
            AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: account.code_hash,
                code: None,
                ..AccountInfo::default()
            },
            storage.map(|(slot, value)| (*slot, *value)).collect(),
        );
    }
    State::builder()
        .with_cached_prestate(cache)
        .with_bundle_update()
        .build()
}

fn accounts_of_revm(state: &State<EmptyDB>) -> Accounts {
    let cache = &state.cache;
    cache
        .trie_account()
        .into_iter()
        .map(|(address, account)| {
            let info = &account.info;
            let code = info
                .code
                .as_ref()
                .or_else(|| cache.contracts.get(&info.code_hash));
            let storage = account.storage.iter().filter(|(_, value)| !value.is_zero());
            (
                address,
                (
                    info.nonce,
                    info.balance,
                    code.map(|code| code.original_bytes().to_vec())
                        .unwrap_or_default(),
                    storage.map(|(slot, value)| (*slot, *value)).collect(),
                ),
            )
        })
        .collect()
}

fn spec(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::London => SpecId::LONDON,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Osaka => SpecId::OSAKA,
        other => panic!("no test asks for {other}"),
    }
}

fn revm_block(env: &BlockEnv) -> RevmBlockEnv {
    let mut block = RevmBlockEnv {
        number: U256::from(env.number),
        beneficiary: env.beneficiary,
        timestamp: U256::from(env.timestamp),
        gas_limit: env.gas_limit,
        basefee: env.base_fee,
        difficulty: env.difficulty,
        prevrandao: Some(env.prev_randao),
        ..RevmBlockEnv::default()
    };
    block.set_blob_excess_gas_and_price(0, 5_007_716);
    block
}

fn tx_env(transaction: &RecoveredTransaction) -> TxEnv {
    TxEnv::builder()
        .tx_type(Some(transaction.ty()))
        .caller(transaction.signer())
        .gas_limit(transaction.gas_limit())
        .gas_price(transaction.max_fee_per_gas())
        .gas_priority_fee(transaction.max_priority_fee_per_gas())
        .kind(transaction.kind())
        .value(transaction.value())
        .data(transaction.input().clone())
        .nonce(transaction.nonce())
        .chain_id(transaction.chain_id())
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn state_and_receipts_are_revms_own(
        programs in programs(),
        empty_account in any::<bool>(),
        sent in prop::collection::vec(sent(), 1..8),
        fork in prop::sample::select(&FORKS[..]),
    ) {
        let base = base(&programs, empty_account);
        let mut env = block(fork);
        env.gas_limit = 100_000_000;
        let mut transactions = transactions(&sent, fork);
        transactions.retain(|transaction| !transaction.is_deposit());

        let result = execute_sequential(&EvmLayer::new(), &env, &transactions, base.clone()).unwrap();
        let mut after = base.clone();
        after.apply(&result.changes);

        let mut evm = Context::mainnet()
            .with_db(revm_state(&base))
            .with_block(revm_block(&env))
            .with_cfg(CfgEnv::new_with_spec(spec(fork)).with_chain_id(env.chain_id))
            .build_mainnet();
        let mut receipts = result.receipts.iter();
        let mut gas_used = 0;
        for (index, transaction) in transactions.iter().enumerate() {
            match evm.transact_commit(tx_env(transaction)) {
                Ok(expected) => {
                    let receipt = receipts.next().unwrap();
                    gas_used += expected.tx_gas_used();
                    prop_assert_eq!(receipt.success, expected.is_success());
                    prop_assert_eq!(receipt.cumulative_gas_used, gas_used);
                    if expected.is_success() {
                        prop_assert_eq!(&receipt.logs[..], expected.logs());
                    } else {
                        prop_assert!(receipt.logs.is_empty());
                    }
                }
                Err(EVMError::Transaction(_)) => {
                    prop_assert!(result.dropped.iter().any(|(dropped, _)| *dropped == index));
                }
                Err(error) => panic!("{error}"),
            }
        }
        prop_assert!(receipts.next().is_none());
        prop_assert_eq!(accounts(&after), accounts_of_revm(&evm.ctx.journaled_state.database));
    }
}
