//! The official GeneralStateTests: state root and logs hash after one transaction, or its refusal;
//! and the same from the engine, where the transaction stands in a block with others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use alloy_consensus::{
    Signed, Transaction as _, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::{eip2718::Decodable2718, eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use revm_statetest_types::{SpecName, Test, TestSuite, TestUnit, recover_address};
use weft_executor_core::{Account, BlockEnv, InvalidTransaction, MemoryState};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, Engine, execute_sequential};
use weft_primitives::{Fork, RecoveredTransaction, Transaction, TxDeposit};

/// How one case came out.
enum Case {
    Passed,
    Refused,
    Skipped(String),
    Failed(String),
}

/// The fork of a test; `Err` says why weft does not have it.
fn fork(spec: &SpecName) -> Result<Fork, String> {
    Ok(match spec {
        SpecName::Frontier => Fork::Frontier,
        SpecName::Homestead => Fork::Homestead,
        SpecName::EIP150 => Fork::Tangerine,
        SpecName::EIP158 => Fork::SpuriousDragon,
        SpecName::Byzantium => Fork::Byzantium,
        SpecName::ConstantinopleFix => Fork::Petersburg,
        SpecName::Istanbul => Fork::Istanbul,
        SpecName::Berlin => Fork::Berlin,
        SpecName::London => Fork::London,
        SpecName::Paris | SpecName::Merge => Fork::Merge,
        SpecName::Shanghai => Fork::Shanghai,
        SpecName::Cancun => Fork::Cancun,
        SpecName::Prague => Fork::Prague,
        SpecName::Osaka => Fork::Osaka,
        SpecName::Constantinople => {
            return Err("Constantinople never ran: Petersburg took its place".into());
        }
        SpecName::Amsterdam => return Err("Amsterdam is not stable in revm".into()),
        SpecName::FrontierToHomesteadAt5
        | SpecName::HomesteadToDaoAt5
        | SpecName::HomesteadToEIP150At5
        | SpecName::EIP158ToByzantiumAt5
        | SpecName::ByzantiumToConstantinopleAt5
        | SpecName::ByzantiumToConstantinopleFixAt5
        | SpecName::BerlinToLondonAt5 => {
            return Err("a fork transition is no rule set of one block".into());
        }
        SpecName::Unknown => return Err("a fork name that revm does not know".into()),
    })
}

fn pre_state(unit: &TestUnit) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, account) in &unit.pre {
        state.insert(
            *address,
            account.nonce,
            account.balance,
            account.code.clone(),
            account.storage.iter().map(|(slot, value)| (*slot, *value)),
        );
    }
    // The rule of these tests: the hash of block N is the hash of N in decimal digits.
    let current: u64 = unit.env.current_number.saturating_to();
    state.block_hashes = (current.saturating_sub(256)..current)
        .map(|number| (number, keccak256(number.to_string())))
        .collect();
    state
}

fn state_root(state: &MemoryState) -> B256 {
    state_root_unhashed(state.accounts.iter().map(|(address, account)| {
        let slots = state.storage.get(address).into_iter().flatten();
        (
            *address,
            TrieAccount {
                nonce: account.nonce,
                balance: account.balance,
                storage_root: storage_root_unhashed(
                    slots.map(|(slot, value)| (B256::from(*slot), *value)),
                ),
                code_hash: account.code_hash,
            },
        )
    }))
}

/// The mining reward of zero that the tests' authors give after the transaction.
fn reward_nothing(state: &mut MemoryState, coinbase: Address, fork: Fork) {
    if fork < Fork::SpuriousDragon {
        state.accounts.entry(coinbase).or_default();
    } else if state.accounts.get(&coinbase).is_some_and(Account::is_empty) {
        state.accounts.remove(&coinbase);
        state.storage.remove(&coinbase);
    }
}

fn block_env(unit: &TestUnit, fork: Fork) -> BlockEnv {
    let env = &unit.env;
    BlockEnv {
        fork,
        chain_id: env.current_chain_id.map_or(1, |id| id.saturating_to()),
        number: env.current_number.saturating_to(),
        timestamp: env.current_timestamp.saturating_to(),
        beneficiary: env.current_coinbase,
        gas_limit: env.current_gas_limit.saturating_to(),
        base_fee: if fork >= Fork::London {
            // The base fee that geth's own runner takes for files without one.
            env.current_base_fee
                .unwrap_or(U256::from(10))
                .saturating_to()
        } else {
            0
        },
        difficulty: env.current_difficulty,
        prev_randao: env.current_random.unwrap_or_default(),
        excess_blob_gas: env
            .current_excess_blob_gas
            .unwrap_or_default()
            .saturating_to(),
    }
}

fn sender(unit: &TestUnit) -> Option<Address> {
    unit.transaction.sender.or_else(|| {
        let key = unit.transaction.secret_key?;
        recover_address(key.as_slice())
    })
}

/// The transaction of a case; `Err` says why it is none.
fn transaction(unit: &TestUnit, test: &Test) -> Result<RecoveredTransaction, String> {
    let Some(bytes) = &test.txbytes else {
        let sender = sender(unit).ok_or("no key to sign with")?;
        let transaction = transaction_from_parts(unit, test)?;
        return Ok(RecoveredTransaction::new_unchecked(transaction, sender));
    };
    let transaction = Transaction::decode_2718_exact(bytes).map_err(|error| error.to_string())?;
    let recovered = transaction.recover().map_err(|error| error.to_string())?;
    if let Some(sender) = sender(unit) {
        assert_eq!(recovered.signer(), sender);
    }
    Ok(recovered)
}

/// The transaction out of the test's fields, for files that do not give its bytes. The signature
/// is none: execution does not look at it.
fn transaction_from_parts(unit: &TestUnit, test: &Test) -> Result<Transaction, String> {
    let parts = &unit.transaction;
    let indexes = &test.indexes;
    let too_large = "a field is too large";
    let nonce: u64 = parts.nonce.try_into().map_err(|_| too_large)?;
    let gas_limit: u64 = parts.gas_limit[indexes.gas]
        .try_into()
        .map_err(|_| too_large)?;
    let value = parts.value[indexes.value];
    let input = parts.data[indexes.data].clone();
    let to = parts.to.map_or(TxKind::Create, TxKind::Call);
    let chain_id: u64 = parts
        .chain_id
        .unwrap_or(U256::ONE)
        .try_into()
        .map_err(|_| too_large)?;
    let fee = |fee: Option<U256>| {
        u128::try_from(fee.unwrap_or_default()).map_err(|_| too_large.to_owned())
    };
    let (gas_price, max_fee_per_gas, max_priority_fee_per_gas) = (
        fee(parts.gas_price)?,
        fee(parts.max_fee_per_gas)?,
        fee(parts.max_priority_fee_per_gas)?,
    );
    let access_list: Option<AccessList> = parts.access_lists.get(indexes.data).cloned().flatten();
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    let tx_type = parts
        .tx_type(indexes.data)
        .ok_or("this type must have a receiver")? as u8;
    let call_target = parts.to.ok_or("this type must have a receiver");
    Ok(match tx_type {
        0 => Transaction::Legacy(Signed::new_unhashed(
            TxLegacy {
                chain_id: parts.chain_id.map(|_| chain_id),
                nonce,
                gas_price,
                gas_limit,
                to,
                value,
                input,
            },
            signature,
        )),
        1 => Transaction::Eip2930(Signed::new_unhashed(
            TxEip2930 {
                chain_id,
                nonce,
                gas_price,
                gas_limit,
                to,
                value,
                access_list: access_list.unwrap_or_default(),
                input,
            },
            signature,
        )),
        2 => Transaction::Eip1559(Signed::new_unhashed(
            TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list: access_list.unwrap_or_default(),
                input,
            },
            signature,
        )),
        3 => Transaction::Eip4844(Signed::new_unhashed(
            TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: call_target?,
                value,
                access_list: access_list.unwrap_or_default(),
                blob_versioned_hashes: parts.blob_versioned_hashes.clone(),
                max_fee_per_blob_gas: fee(parts.max_fee_per_blob_gas)?,
                input,
            },
            signature,
        )),
        4 => Transaction::Eip7702(Signed::new_unhashed(
            TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: call_target?,
                value,
                access_list: access_list.unwrap_or_default(),
                authorization_list: parts
                    .authorization_list
                    .clone()
                    .unwrap_or_default()
                    .into_iter()
                    .map(SignedAuthorization::from)
                    .collect(),
                input,
            },
            signature,
        )),
        other => return Err(format!("no transaction type {other:#x}")),
    })
}

/// Whether a refusal is for one of the reasons that the test allows (`A|B`). Names without a
/// reason of weft's own are met by any refusal.
fn is_expected(names: &str, reason: &InvalidTransaction) -> bool {
    names.split('|').any(|name| {
        use InvalidTransaction as Invalid;
        let name = name.trim().trim_start_matches("TransactionException.");
        match name {
            "INTRINSIC_GAS_TOO_LOW" => matches!(reason, Invalid::IntrinsicGas { .. }),
            "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST" => matches!(reason, Invalid::FloorGas { .. }),
            "INSUFFICIENT_ACCOUNT_FUNDS" | "GASLIMIT_PRICE_PRODUCT_OVERFLOW" => {
                matches!(reason, Invalid::InsufficientFunds { .. })
            }
            "INSUFFICIENT_MAX_FEE_PER_GAS" => matches!(reason, Invalid::FeeCapTooLow { .. }),
            "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS" => {
                matches!(reason, Invalid::TipAboveFeeCap { .. })
            }
            "GAS_ALLOWANCE_EXCEEDED" => matches!(reason, Invalid::BlockGasLimit { .. }),
            "INITCODE_SIZE_EXCEEDED" => matches!(reason, Invalid::InitCodeSize { .. }),
            "NONCE_MISMATCH_TOO_HIGH" => matches!(reason, Invalid::NonceTooHigh { .. }),
            "NONCE_MISMATCH_TOO_LOW" => matches!(reason, Invalid::NonceTooLow { .. }),
            "NONCE_IS_MAX" => matches!(reason, Invalid::NonceMax { .. }),
            "SENDER_NOT_EOA" => matches!(reason, Invalid::SenderHasCode { .. }),
            "INVALID_CHAINID" => matches!(reason, Invalid::ChainId { .. }),
            "GAS_LIMIT_EXCEEDS_MAXIMUM" => matches!(reason, Invalid::TransactionGasCap { .. }),
            "TYPE_NOT_SUPPORTED" => matches!(reason, Invalid::UnsupportedType),
            _ => true,
        }
    })
}

struct Runner {
    layer: EvmLayer,
    /// Engines of 2, 4 and 8 threads, which take turns.
    engines: [Engine; 3],
    turn: AtomicUsize,
    /// Cases that also stood in a block with others.
    in_blocks: AtomicUsize,
    /// Of these, those on several threads.
    in_parallel: AtomicUsize,
}

impl Runner {
    fn new() -> Self {
        Self {
            layer: EvmLayer::new(),
            engines: [2, 4, 8].map(|threads| {
                let engine = Engine::new(threads.try_into().unwrap()).unwrap();
                engine.with_parallel_from(Duration::ZERO)
            }),
            turn: AtomicUsize::new(0),
            in_blocks: AtomicUsize::new(0),
            in_parallel: AtomicUsize::new(0),
        }
    }

    fn engine(&self) -> &Engine {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.engines[turn % self.engines.len()]
    }
}

/// Transactions before the test's own in [`in_a_block`], and after it.
const FILLERS: usize = 8;

/// Enough, in sum, for a block that the engine runs on several threads.
const FILLER_GAS_LIMIT: u64 = 150_000;

fn filler_address(number: usize) -> Address {
    Address::from_word(keccak256(format!("filler {number}")))
}

/// A deposit from one account to another that no test knows, with calldata for nobody. It pays no fee,
/// so that nothing that a test looks at changes.
fn filler(number: usize) -> RecoveredTransaction {
    let from = filler_address(2 * number);
    let deposit = TxDeposit {
        from,
        to: TxKind::Call(filler_address(2 * number + 1)),
        mint: 5,
        value: U256::from(3),
        gas_limit: FILLER_GAS_LIMIT,
        input: Bytes::from_static(&[1]),
        ..TxDeposit::default()
    };
    RecoveredTransaction::new_unchecked(deposit.into(), from)
}

/// The transaction among others on several threads, and once more at the end, where its nonce is
/// used up: what it does must be `alone`. `None` when the block has no room for that.
fn in_a_block(
    runner: &Runner,
    block: &BlockEnv,
    transaction: &RecoveredTransaction,
    pre: &MemoryState,
    alone: &BlockExecution,
) -> Option<Result<(), String>> {
    let (layer, engine) = (&runner.layer, runner.engine());
    let fillers = FILLER_GAS_LIMIT * 2 * FILLERS as u64;
    if transaction.gas_limit().checked_add(fillers)? > block.gas_limit {
        return None;
    }
    let mut transactions: Vec<_> = (0..FILLERS).map(filler).collect();
    transactions.push(transaction.clone());
    transactions.extend((FILLERS..2 * FILLERS).map(filler));
    transactions.push(transaction.clone());
    let oracle = match execute_sequential(layer, block, &transactions, pre) {
        Ok(result) => result,
        Err(error) => return Some(Err(format!("in a block: {error}"))),
    };
    let found = match engine.execute(layer, block, &transactions, pre) {
        Ok(result) => result,
        Err(error) => return Some(Err(format!("in a block, {engine:?}: {error}"))),
    };
    if found.stats.threads > 1 {
        runner.in_parallel.fetch_add(1, Ordering::Relaxed);
    }
    if found != oracle {
        return Some(Err(format!(
            "in a block, {engine:?}: found {found:?}, the oracle {oracle:?}"
        )));
    }
    let fillers: Vec<_> = (0..4 * FILLERS).map(filler_address).collect();
    let changes = oracle.changes.accounts.iter();
    let changes = changes.filter(|(address, _)| !fillers.contains(address));
    let included = 1 - alone.dropped.len();
    let same = oracle.dropped.len() == 2 - included
        && changes.eq(alone.changes.accounts.iter())
        && oracle.changes.code == alone.changes.code
        && oracle.receipts.len() == 2 * FILLERS + included
        && alone.receipts.first().is_none_or(|receipt| {
            let [before, found] = &oracle.receipts[FILLERS - 1..=FILLERS] else {
                unreachable!("a slice of two")
            };
            found.success == receipt.success
                && found.logs == receipt.logs
                && found.cumulative_gas_used - before.cumulative_gas_used
                    == receipt.cumulative_gas_used
        });
    Some(if same {
        Ok(())
    } else {
        Err(format!("in a block: {oracle:?}, and alone: {alone:?}"))
    })
}

fn run_case(runner: &Runner, unit: &TestUnit, spec: &SpecName, test: &Test) -> Case {
    let (layer, engine) = (&runner.layer, runner.engine());
    let fork = match fork(spec) {
        Ok(fork) => fork,
        Err(reason) => return Case::Skipped(reason),
    };
    let pre = pre_state(unit);
    let block = block_env(unit, fork);
    let transaction = match (transaction(unit, test), &test.expect_exception) {
        (Ok(transaction), _) => Some(transaction),
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Case::Failed(format!("transaction: {error}")),
    };
    let result = match execute_sequential(layer, &block, transaction.as_slice(), pre.clone()) {
        Ok(result) => result,
        Err(error) => return Case::Failed(error.to_string()),
    };
    match engine.execute(layer, &block, transaction.as_slice(), &pre) {
        Ok(found) if found == result => {}
        other => return Case::Failed(format!("{engine:?}: {other:?}")),
    }
    let blocks = transaction
        .as_ref()
        .and_then(|transaction| in_a_block(runner, &block, transaction, &pre, &result));
    match blocks {
        Some(Ok(())) => {
            runner.in_blocks.fetch_add(1, Ordering::Relaxed);
        }
        Some(Err(error)) => return Case::Failed(error),
        None => {}
    }
    let mut post = pre;
    post.apply(&result.changes);
    reward_nothing(&mut post, block.beneficiary, fork);
    let root = state_root(&post);
    let logs: Vec<_> = result
        .receipts
        .into_iter()
        .flat_map(|receipt| receipt.logs)
        .collect();
    let logs = keccak256(alloy_rlp::encode(&logs));
    if root != test.hash || logs != test.logs {
        return Case::Failed(format!(
            "expected root {} and logs {}, found {root} and {logs}; dropped: {:?}",
            test.hash, test.logs, result.dropped
        ));
    }
    match (&test.expect_exception, result.dropped.first()) {
        (None, None) => Case::Passed,
        (None, Some((_, reason))) => Case::Failed(format!("refused: {reason}")),
        (Some(_), None) if transaction.is_none() => Case::Refused,
        (Some(names), None) => Case::Failed(format!("not refused for {names}")),
        (Some(names), Some((_, reason))) if is_expected(names, reason) => Case::Refused,
        (Some(names), Some((_, reason))) => {
            Case::Failed(format!("refused for {reason:?} and not for {names}"))
        }
    }
}

/// Reads a file of tests. Some fields that must not fit are written `0x:bigint 0x..`; what counts
/// is the transaction's bytes, so they are read as zero.
fn read(path: &Path) -> Result<TestSuite, String> {
    fn without_bigints(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) if text.starts_with("0x:bigint") => {
                *text = "0x0".into();
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(without_bigints),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(without_bigints),
            _ => {}
        }
    }
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(path).unwrap()).map_err(|error| error.to_string())?;
    without_bigints(&mut json);
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn run_file(runner: &Runner, path: &Path) -> Vec<(String, Case)> {
    let suite = match read(path) {
        Ok(suite) => suite,
        Err(error) => return vec![(String::new(), Case::Failed(error))],
    };
    let mut cases = Vec::new();
    for (name, unit) in &suite.0 {
        for (spec, tests) in &unit.post {
            for test in tests {
                let indexes = &test.indexes;
                let name = format!(
                    "{name} {spec:?} d{} g{} v{}",
                    indexes.data, indexes.gas, indexes.value
                );
                cases.push((name, run_case(runner, unit, spec, test)));
            }
        }
    }
    cases
}

#[test]
fn official_state_tests() {
    let Some(folder) = common::fixtures("state-tests") else {
        return;
    };
    let files = common::files(&folder, ".json");
    assert!(!files.is_empty(), "no tests in {}", folder.display());
    let runner = Runner::new();
    let results = common::on_all_cores(&files, |path| run_file(&runner, path));

    let (mut passed, mut refused, mut failed) = (0, 0, Vec::new());
    let mut skipped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, cases) in results {
        let path = path.strip_prefix(&folder).unwrap().display().to_string();
        for (name, case) in cases {
            match case {
                Case::Passed => passed += 1,
                Case::Refused => refused += 1,
                Case::Skipped(reason) => {
                    skipped
                        .entry(reason)
                        .or_default()
                        .push(format!("{path} {name}"));
                }
                Case::Failed(reason) => failed.push(format!("{path} {name}: {reason}")),
            }
        }
    }
    let in_blocks = runner.in_blocks.into_inner();
    let in_parallel = runner.in_parallel.into_inner();
    eprintln!(
        "state tests: {passed} executed as expected, {refused} refused as expected; \
         {in_blocks} of them also among others in a block, {in_parallel} of these on several threads"
    );
    for (reason, cases) in &skipped {
        eprintln!("skipped {}: {reason}", cases.len());
        for case in cases {
            eprintln!("  {case}");
        }
    }
    // One thread is enough where the case is heavier than all others in its block.
    assert!(passed > 0 && in_blocks > 0 && 2 * in_parallel > in_blocks);
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
