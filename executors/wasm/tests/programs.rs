//! Programs that do something useful, from their creation on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use common::*;
use weft_executor_core::{
    Account, Call, ExecuteError, ExecutionLayer, MemoryState, Outcome, StateView,
};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::execute_sequential;
use weft_executor_wasm::{
    CODE_DEPOSIT_GAS_PER_BYTE, COMPILE_GAS_PER_BYTE, WasmLayer, is_program, stored_code,
};

/// A token in one slot per holder, keyed by the holder's address. Input: a byte 0 (mint to the
/// sender) or 1 (transfer), the receiver's address, the amount in 8 bytes. A transfer of more than
/// there is reverts with the balance; a transfer logs sender, receiver and amount.
fn token() -> String {
    program(
        r#"
        ;; 0: input; 64: sender, 96: receiver, each as 32 bytes; 128: balance; 160: log
        (func $balance (param $who i32) (result i64)
            (call $storage_load (local.get $who) (i32.const 128))
            (i64.load (i32.const 152)))
        (func $set (param $who i32) (param $amount i64)
            (i64.store (i32.const 152) (local.get $amount))
            (call $storage_cache (local.get $who) (i32.const 128)))
        (func (export "user_entrypoint") (param $len i32) (result i32)
            (local $amount i64) (local $held i64)
            (if (i32.ne (local.get $len) (i32.const 29)) (then (return (i32.const 1))))
            (call $read_args (i32.const 0))
            (call $msg_sender (i32.const 76))
            (memory.copy (i32.const 108) (i32.const 1) (i32.const 20))
            (local.set $amount (i64.load (i32.const 21)))
            (local.set $held (call $balance (i32.const 64)))
            (if (i32.eqz (i32.load8_u (i32.const 0)))
                (then
                    (call $set (i32.const 64) (i64.add (local.get $held) (local.get $amount))))
                (else
                    (if (i64.gt_u (local.get $amount) (local.get $held))
                        (then
                            (call $write_result (i32.const 152) (i32.const 8))
                            (return (i32.const 1))))
                    (call $set (i32.const 64) (i64.sub (local.get $held) (local.get $amount)))
                    (call $set
                        (i32.const 96)
                        (i64.add (call $balance (i32.const 96)) (local.get $amount)))
                    (memory.copy (i32.const 192) (i32.const 64) (i32.const 64))
                    (i64.store (i32.const 256) (local.get $amount))
                    (call $emit_log (i32.const 160) (i32.const 104) (i32.const 3))))
            (call $storage_flush (i32.const 1))
            (i32.const 0))"#,
    )
}

fn token_input(operation: u8, receiver: Address, amount: u64) -> Bytes {
    [&[operation][..], receiver.as_slice(), &amount.to_le_bytes()]
        .concat()
        .into()
}

fn held(chain: &Chain, token: Address, holder: Address) -> u64 {
    let slot = chain.storage(token, U256::from_be_bytes(holder.into_word().0));
    u64::from_le_bytes(slot.to_be_bytes::<32>()[24..].try_into().unwrap())
}

#[test]
fn a_created_counter_counts() {
    let mut chain = Chain::new();
    let module: Bytes = wat::parse_str(counter()).unwrap().into();
    let (execution, created) = chain.deploy_bytes(module.clone());
    let counter = created.expect("created");
    assert_eq!(counter, ALICE.create(0));
    assert_eq!(output(&execution), &stored_code(&module)[..]);

    let account = chain.state.accounts[&counter];
    assert_eq!(account.nonce, 1);
    assert_eq!(account.code_hash, keccak256(stored_code(&module)));
    assert!(is_program(&chain.state.code[&account.code_hash]));

    let tokens: u64 = module.iter().map(|b| if *b == 0 { 4 } else { 16 }).sum();
    let intrinsic = 53_000 + tokens + 2 * (module.len() as u64).div_ceil(32);
    let stored = CODE_DEPOSIT_GAS_PER_BYTE * (module.len() as u64 + 4);
    let compiled = COMPILE_GAS_PER_BYTE * module.len() as u64;
    assert_eq!(execution.gas_used, intrinsic + stored + compiled);

    for count in 1..=3_u8 {
        let execution = chain.send(BOB, counter, Bytes::new());
        assert_eq!(output(&execution)[31], count);
        assert_eq!(chain.storage(counter, U256::ZERO), U256::from(count));
    }
}

#[test]
fn a_creation_moves_value_and_pays_fees() {
    let mut chain = Chain::new();
    let module = wat::parse_str(counter()).unwrap();
    let value = U256::from(5 * ETHER);
    let transaction = chain.transaction(ALICE, TxKind::Create, module.into(), value, GAS_CAP);
    let before = chain.balance(ALICE);
    let execution = chain.execute(&transaction);
    assert!(execution.outcome.is_success());
    assert_eq!(chain.balance(ALICE.create(0)), value);
    let gas = U256::from(execution.gas_used);
    assert_eq!(chain.balance(ALICE), before - value - gas * U256::from(13));
    assert_eq!(chain.balance(BENEFICIARY), gas * U256::from(3));
}

#[test]
fn a_token_mints_transfers_logs_and_reverts() {
    let mut chain = Chain::new();
    let token = chain.deploy(&token()).1.expect("created");
    assert!(
        chain
            .send(ALICE, token, token_input(0, BOB, 1_000))
            .outcome
            .is_success()
    );
    let execution = chain.send(ALICE, token, token_input(1, BOB, 400));
    assert!(execution.outcome.is_success());
    assert_eq!(
        (held(&chain, token, ALICE), held(&chain, token, BOB)),
        (600, 400)
    );

    let [log] = &execution.logs[..] else {
        panic!("one log: {:?}", execution.logs)
    };
    assert_eq!(log.address, token);
    assert_eq!(
        log.topics(),
        [B256::ZERO, ALICE.into_word(), BOB.into_word()]
    );
    assert_eq!(log.data.data[..], 400_u64.to_le_bytes());

    let execution = chain.send(ALICE, token, token_input(1, BOB, 601));
    let Outcome::Revert { output } = &execution.outcome else {
        panic!("{:?}", execution.outcome)
    };
    assert_eq!(output[..], 600_u64.to_le_bytes());
    assert!(execution.logs.is_empty());
    assert!(
        execution.gas_used < 100_000,
        "a revert gives the rest of the gas back"
    );
    assert_eq!(
        (held(&chain, token, ALICE), held(&chain, token, BOB)),
        (600, 400)
    );
    assert_eq!(chain.state.accounts[&ALICE].nonce, 4);
}

#[test]
fn the_host_answers_with_the_transaction_and_its_block() {
    let body = "
        (call $msg_sender (i32.const 12))
        (call $msg_value (i32.const 32))
        (call $contract_address (i32.const 76))
        (call $tx_origin (i32.const 108))
        (call $block_coinbase (i32.const 140))
        (call $block_basefee (i32.const 160))
        (call $tx_gas_price (i32.const 192))
        (i64.store (i32.const 224) (call $block_number))
        (i64.store (i32.const 232) (call $block_timestamp))
        (i64.store (i32.const 240) (call $block_gas_limit))
        (i64.store (i32.const 248) (call $chainid))
        (i64.store32 (i32.const 256) (i64.extend_i32_u (call $tx_ink_price)))
        (i32.store (i32.const 260) (call $msg_reentrant))
        (i32.store (i32.const 264) (call $return_data_size))
        (i32.store (i32.const 268)
            (call $read_return_data (i32.const -1) (i32.const 5) (i32.const 10)))
        (call $contract_address (i32.const 512))
        (call $account_balance (i32.const 512) (i32.const 272))
        (call $msg_sender (i32.const 512))
        (call $account_balance (i32.const 512) (i32.const 304))
        (call $block_coinbase (i32.const 512))
        (call $account_balance (i32.const 512) (i32.const 336))
        (call $read_args (i32.const 512))
        (call $keccak (i32.const 512) (local.get $len) (i32.const 368))
        (call $write_result (i32.const 0) (i32.const 400))
        (i32.const 0)";
    let mut chain = Chain::with_program(&entrypoint(body));
    chain
        .state
        .insert(BENEFICIARY, 0, U256::from(77), Bytes::new(), []);
    let value = U256::from(1_234_567);
    let gas = 500_000;
    let transaction = chain.transaction(
        ALICE,
        PROGRAM.into(),
        Bytes::from_static(b"input"),
        value,
        gas,
    );
    let before = chain.balance(ALICE);
    let execution = chain.execute(&transaction);
    let word = |number: U256| number.to_be_bytes::<32>().to_vec();
    let expected = [
        ALICE.into_word().to_vec(),
        word(value),
        PROGRAM.into_word().to_vec(),
        ALICE.into_word().to_vec(),
        BENEFICIARY.into_word().to_vec(),
        word(U256::from(10)),
        word(U256::from(13)),
        7_u64.to_le_bytes().to_vec(),
        1_700_000_000_u64.to_le_bytes().to_vec(),
        60_000_000_u64.to_le_bytes().to_vec(),
        31_338_u64.to_le_bytes().to_vec(),
        10_000_u32.to_le_bytes().to_vec(),
        vec![0; 12],
        word(value),
        // While it runs, the sender has paid for all its gas and the beneficiary has no tip yet.
        word(before - value - U256::from(13 * gas)),
        word(U256::from(77)),
        keccak256(b"input").to_vec(),
    ]
    .concat();
    assert_eq!(output(&execution), expected);
}

#[test]
fn gas_and_ink_left_fall_as_the_program_works() {
    let body = "(local $gas i64) (local $ink i64)
        (local.set $gas (call $evm_gas_left))
        (local.set $ink (call $evm_ink_left))
        (i64.store (i32.const 0) (local.get $gas))
        (i64.store (i32.const 8) (local.get $ink))
        (i64.store (i32.const 16) (call $evm_gas_left))
        (call $write_result (i32.const 0) (i32.const 24))
        (i32.const 0)";
    let mut chain = Chain::with_program(&entrypoint(body));
    let execution = chain.send(ALICE, PROGRAM, Bytes::new());
    let number = |at: usize| u64::from_le_bytes(output(&execution)[at..at + 8].try_into().unwrap());
    let (gas, ink, later) = (number(0), number(8), number(16));
    assert!(gas < 5_000_000 - 21_000 && gas > 4_970_000);
    assert!(ink / 10_000 <= gas && ink / 10_000 >= gas - 2);
    assert!(later < gas);
}

/// Reads and writes through the cache cost what the EVM's do, plus the host calls.
#[test]
fn storage_is_priced_as_in_the_evm() {
    let mut chain = Chain::with_program(&counter());
    let first = chain.send(ALICE, PROGRAM, Bytes::new());
    let second = chain.send(ALICE, PROGRAM, Bytes::new());
    // A slot that was empty costs 20,000, one that was not 2,900 (EIP-2200 with EIP-2929).
    assert_eq!(first.gas_used - second.gas_used, 20_000 - 2_900);
    assert!(second.gas_used > 21_000 + 2_000 + 2_100 + 2_900);
    assert!(second.gas_used < 21_000 + 2_000 + 2_100 + 2_900 + 200);
}

#[test]
fn clearing_a_slot_is_refunded_up_to_a_fifth() {
    let clear = entrypoint(
        "(call $storage_cache (i32.const 0) (i32.const 32))
         (call $storage_flush (i32.const 0))
         (i32.const 0)",
    );
    let mut chain = Chain::with_program(&clear);
    let code = chain.state.code[&chain.state.accounts[&PROGRAM].code_hash].clone();
    chain
        .state
        .insert(PROGRAM, 1, U256::ZERO, code, [(U256::ZERO, U256::from(9))]);
    let execution = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(execution.gas_refunded, 4_800);
    assert_eq!(chain.storage(PROGRAM, U256::ZERO), U256::ZERO);
    let paid = U256::from(1_000 * ETHER) - chain.balance(ALICE);
    assert_eq!(paid, U256::from(execution.gas_used) * U256::from(13));
}

#[test]
fn what_is_not_flushed_is_lost() {
    let mut chain = Chain::with_program(&entrypoint(
        "(i32.store8 (i32.const 63) (i32.const 1))
         (call $storage_cache (i32.const 0) (i32.const 32))
         (i32.const 0)",
    ));
    assert!(
        chain
            .send(ALICE, PROGRAM, Bytes::new())
            .outcome
            .is_success()
    );
    assert_eq!(chain.storage(PROGRAM, U256::ZERO), U256::ZERO);
}

#[test]
fn a_call_costs_nothing_without_a_price_and_says_what_was_looked_at() {
    let chain = Chain::with_program(&counter());
    let call = Call {
        from: BOB,
        to: PROGRAM.into(),
        gas_limit: 1_000_000,
        ..Call::default()
    };
    let outcome = chain.call(&call);
    assert_eq!(output(&outcome.execution)[31], 1);
    let program = outcome
        .accessed
        .iter()
        .find(|a| a.address == PROGRAM)
        .unwrap();
    assert_eq!(program.slots, [U256::ZERO]);
    assert!(outcome.accessed.is_sorted_by_key(|account| account.address));
    let sender = outcome
        .execution
        .changes
        .accounts
        .iter()
        .find(|(address, _)| *address == BOB);
    let balance = sender.map(|(_, change)| change.account.unwrap().balance);
    assert!(balance.is_none_or(|balance| balance == U256::from(1_000 * ETHER)));
}

#[test]
fn more_gas_than_fuel_can_count_is_no_overflow() {
    let chain = Chain::with_program(&counter());
    let call = Call {
        from: BOB,
        to: PROGRAM.into(),
        gas_limit: u64::MAX,
        ..Call::default()
    };
    let mut block = chain.block.clone();
    block.fork = weft_primitives::Fork::Prague;
    let mut state = chain.state.clone();
    let outcome = chain.layer.call(&block, &call, &mut state).unwrap();
    assert!(outcome.execution.gas_used < 100_000);
}

#[test]
fn stylus_compressed_form_runs() {
    use std::io::Write;
    let module = wat::parse_str(counter()).unwrap();
    let mut code = vec![0xef, 0xf0, 0x00, 0x00];
    brotli::CompressorWriter::new(&mut code, 4096, 11, 22)
        .write_all(&module)
        .unwrap();
    let mut chain = Chain::new();
    chain.put_code(code.into());
    let execution = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(output(&execution)[31], 1);
}

/// The same block twice, through the engine, with fresh compilers: everything is the same.
#[test]
fn a_block_with_creation_calls_and_transfers_executes_the_same_twice() {
    let chain = Chain::new();
    let at_nonce = |mut transaction: weft_primitives::RecoveredTransaction, nonce: u64| {
        if let weft_primitives::Transaction::Eip1559(signed) = transaction.inner() {
            let mut inner = signed.tx().clone();
            inner.nonce = nonce;
            let signed = alloy_consensus::Signed::new_unhashed(inner, *signed.signature());
            transaction = alloy_consensus::transaction::Recovered::new_unchecked(
                weft_primitives::Transaction::Eip1559(signed),
                transaction.signer(),
            );
        }
        transaction
    };
    let module: Bytes = wat::parse_str(token()).unwrap().into();
    let token = ALICE.create(0);
    let to = |from, input| chain.transaction(from, token.into(), input, U256::ZERO, 200_000);
    let transactions = [
        chain.transaction(ALICE, TxKind::Create, module, U256::ZERO, GAS_CAP),
        at_nonce(to(ALICE, token_input(0, BOB, 50)), 1),
        at_nonce(to(BOB, token_input(1, ALICE, 1)), 0),
        at_nonce(to(ALICE, token_input(1, BOB, 20)), 2),
        at_nonce(
            chain.transaction(BOB, ALICE.into(), Bytes::new(), U256::from(5), 21_000),
            1,
        ),
        at_nonce(to(BOB, token_input(1, ALICE, 7)), 2),
    ];
    let run = || {
        let layer = WasmLayer::new(EvmLayer::new()).unwrap();
        execute_sequential(&layer, &chain.block, &transactions, chain.state.clone()).unwrap()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let success: Vec<bool> = first
        .receipts
        .iter()
        .map(|receipt| receipt.success)
        .collect();
    assert_eq!(success, [true, true, false, true, true, true]);
    assert!(first.dropped.is_empty());

    let mut state: MemoryState = chain.state.clone();
    state.apply(&first.changes);
    let chain = Chain { state, ..chain };
    assert_eq!(
        (held(&chain, token, ALICE), held(&chain, token, BOB)),
        (37, 13)
    );
}

#[test]
fn before_prague_there_are_no_programs() {
    let mut chain = Chain::with_program(&counter());
    chain.block.fork = weft_primitives::Fork::Cancun;
    let execution = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(halt(&execution), "invalid opcode");
}

/// A state whose storage cannot be read.
struct Unreadable(MemoryState);

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct Gone;

impl StateView for Unreadable {
    type Error = Gone;

    fn account(&mut self, address: Address) -> Result<Option<Account>, Gone> {
        Ok(self.0.account(address).unwrap())
    }

    fn storage(&mut self, _address: Address, _slot: U256) -> Result<U256, Gone> {
        Err(Gone)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, Gone> {
        Ok(self.0.code(code_hash).unwrap())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Gone> {
        Ok(self.0.block_hash(number).unwrap())
    }
}

#[test]
fn a_read_that_fails_ends_the_execution_and_not_the_program() {
    let flush = entrypoint(
        "(call $storage_cache (i32.const 0) (i32.const 0))
         (call $storage_flush (i32.const 0)) (i32.const 0)",
    );
    for module in [counter(), flush] {
        let chain = Chain::with_program(&module);
        let transaction =
            chain.transaction(ALICE, PROGRAM.into(), Bytes::new(), U256::ZERO, 100_000);
        let mut state = Unreadable(chain.state.clone());
        let result = chain.layer.execute(&chain.block, &transaction, &mut state);
        assert!(
            matches!(result, Err(ExecuteError::State(Gone))),
            "{result:?}"
        );
    }
}
