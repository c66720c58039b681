//! Programs that do something useful, from their creation on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use common::*;
use weft_executor_core::{FrameEnd, HaltReason, Machine};
use weft_executor_wasm::{COMPILE_GAS_PER_BYTE, compile_gas, is_program, stored_code, validate};

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

/// Gas to admit a valid module.
fn admission_gas(module: &[u8]) -> u64 {
    compile_gas(module.len(), &validate(module).unwrap().work)
}

#[test]
fn a_created_counter_counts() {
    let mut chain = Chain::new();
    let module: Bytes = wat::parse_str(counter()).unwrap().into();
    assert_eq!(chain.machine.name(), "wasm");
    assert_eq!(chain.machine.assemble(&module), Some(stored_code(&module)));
    let price = chain.deploy(&module, GAS).unwrap();
    assert_eq!(price, admission_gas(&module));
    assert!(price > COMPILE_GAS_PER_BYTE * module.len() as u64);
    assert!(is_program(&chain.account(PROGRAM).code));
    assert!(chain.machine.owns(&chain.account(PROGRAM).code));
    for count in 1..=3_u8 {
        let ran = chain.send(BOB, PROGRAM, Bytes::new());
        assert_eq!(output(&ran)[31], count);
        assert_eq!(chain.storage(PROGRAM, U256::ZERO), U256::from(count));
    }
}

#[test]
fn code_is_admitted_for_its_price_and_not_for_less() {
    let machine = Chain::new().machine;
    let module: Bytes = wat::parse_str(counter()).unwrap().into();
    let code = stored_code(&module);
    let price = admission_gas(&module);
    assert_eq!(machine.admit(&code, price - 1), Err(HaltReason::OutOfGas));
    assert_eq!(machine.admit(&code, price), Ok(price));
    assert_eq!(machine.admit(&code, price), Ok(price), "known already");
    let init = Bytes::from_static(&[0x60, 0, 0x60, 0]);
    assert_eq!(machine.assemble(&init), None);
    assert!(!machine.owns(&init));
}

#[test]
fn a_token_mints_transfers_logs_and_reverts() {
    let mut chain = Chain::new();
    let token = {
        chain.put(PROGRAM, &token());
        PROGRAM
    };
    output(&chain.send(ALICE, token, token_input(0, BOB, 1_000)));
    let ran = chain.send(ALICE, token, token_input(1, BOB, 400));
    output(&ran);
    assert_eq!(
        (held(&chain, token, ALICE), held(&chain, token, BOB)),
        (600, 400)
    );

    let [log] = &ran.logs[..] else {
        panic!("one log: {:?}", ran.logs)
    };
    assert_eq!(log.address, token);
    assert_eq!(
        log.topics(),
        [B256::ZERO, ALICE.into_word(), BOB.into_word()]
    );
    assert_eq!(log.data.data[..], 400_u64.to_le_bytes());

    let ran = chain.send(ALICE, token, token_input(1, BOB, 601));
    assert_eq!(revert(&ran), 600_u64.to_le_bytes());
    assert!(ran.logs.is_empty());
    assert!(
        ran.gas_used < 100_000,
        "a revert gives the rest of the gas back"
    );
    assert_eq!(
        (held(&chain, token, ALICE), held(&chain, token, BOB)),
        (600, 400)
    );
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
    for (account, balance) in [(BENEFICIARY, 77), (PROGRAM, 88)] {
        let account = chain.state.accounts.entry(account).or_default();
        account.balance = U256::from(balance);
    }
    let value = U256::from(1_234_567);
    let mut frame = chain.frame(BOB, PROGRAM, Bytes::from_static(b"input"));
    frame.value = value;
    let ran = chain.run(&frame);
    let word = |number: U256| number.to_be_bytes::<32>().to_vec();
    let expected = [
        BOB.into_word().to_vec(),
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
        word(U256::from(88)),
        word(U256::from(1_000 * ETHER)),
        word(U256::from(77)),
        keccak256(b"input").to_vec(),
    ]
    .concat();
    assert_eq!(output(&ran), expected);
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
    let ran = chain.send(ALICE, PROGRAM, Bytes::new());
    let number = |at: usize| u64::from_le_bytes(output(&ran)[at..at + 8].try_into().unwrap());
    let (gas, ink, later) = (number(0), number(8), number(16));
    assert!(gas < GAS - 2_000 && gas > GAS - 3_000);
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
    assert!(second.gas_used > 2_000 + 2_100 + 2_900);
    assert!(second.gas_used < 2_000 + 2_100 + 2_900 + 200);
}

#[test]
fn what_is_not_flushed_is_lost() {
    let mut chain = Chain::with_program(&entrypoint(
        "(i32.store8 (i32.const 63) (i32.const 1))
         (call $storage_cache (i32.const 0) (i32.const 32))
         (i32.const 0)",
    ));
    output(&chain.send(ALICE, PROGRAM, Bytes::new()));
    assert_eq!(chain.storage(PROGRAM, U256::ZERO), U256::ZERO);
}

#[test]
fn more_gas_than_fuel_can_count_is_no_overflow() {
    let mut chain = Chain::with_program(&counter());
    let mut frame = chain.frame(BOB, PROGRAM, Bytes::new());
    frame.gas = u64::MAX;
    let ran = chain.run(&frame);
    assert_eq!(output(&ran)[31], 1);
    assert!(ran.gas_used < 100_000);
}

#[test]
fn stylus_compressed_form_runs() {
    let module = wat::parse_str(counter()).unwrap();
    let mut chain = Chain::new();
    chain.put_code(PROGRAM, compressed(&module));
    let ran = chain.send(ALICE, PROGRAM, Bytes::new());
    assert_eq!(output(&ran)[31], 1);
}

#[test]
fn a_read_that_fails_ends_the_frame_and_not_the_program() {
    let flush = entrypoint(
        "(call $storage_cache (i32.const 0) (i32.const 0))
         (call $storage_flush (i32.const 0)) (i32.const 0)",
    );
    let balance = entrypoint("(call $account_balance (i32.const 0) (i32.const 0)) (i32.const 0)");
    let code = entrypoint("(call $account_code_size (i32.const 0))");
    for module in [counter(), flush, balance, code] {
        let mut chain = Chain::with_program(&module);
        chain.unreadable = true;
        let ran = chain.send(ALICE, PROGRAM, Bytes::new());
        assert_eq!(ran.end, FrameEnd::StateUnread);
    }
}

/// What the Stylus SDK makes is admitted as it is, and a transaction has room to create it (with
/// at most 2^24 gas, EIP-7825) where the module is compressed.
#[test]
fn modules_of_the_stylus_sdk_are_admitted() {
    const CODE_DEPOSIT_GAS: u64 = 200;
    const CALLDATA_GAS: u64 = 16;
    const BASE_GAS: u64 = 100_000;
    let machine = Chain::new().machine;
    for module in [
        &include_bytes!("../../../tests/stylus/modules/amm.wasm")[..],
        include_bytes!("../../../tests/stylus/modules/erc20.wasm"),
        include_bytes!("../../../tests/stylus/modules/hashing.wasm"),
        include_bytes!("../../../tests/stylus/modules/oz-erc20.wasm"),
        include_bytes!("../../../tests/stylus/modules/relay.wasm"),
    ] {
        let price = admission_gas(module);
        let code = compressed(module);
        assert_eq!(machine.admit(&code, price), Ok(price));
        let gas = BASE_GAS + (CODE_DEPOSIT_GAS + CALLDATA_GAS) * code.len() as u64 + price;
        println!(
            "{} bytes, compressed {}, {price} gas, {gas} in all",
            module.len(),
            code.len()
        );
        assert!(gas < 1 << 24);
    }
}

/// The code of a program in Stylus' form.
fn compressed(module: &[u8]) -> Bytes {
    use std::io::Write;
    let mut code = vec![0xef, 0xf0, 0x00, 0x00];
    brotli::CompressorWriter::new(&mut code, 4096, 11, 22)
        .write_all(module)
        .unwrap();
    code.into()
}
