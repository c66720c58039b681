//! Every function of the host with arguments that no compiler would make: programs end, end the same
//! every time, and leave nothing behind that they must not.

use std::{fmt::Write, sync::Arc};

use alloy_primitives::{Bytes, TxKind, U256};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use weft_executor_core::{ExecutionLayer, Outcome};
use weft_executor_evm::EvmLayer;
use weft_executor_wasm::WasmMachine;

use crate::chain::{Chain, Contract, Form, user};

/// Name, parameters and result of each function; `i` is an i32 and `l` an i64.
const FUNCTIONS: [(&str, &str, &str); 44] = [
    ("read_args", "i", ""),
    ("write_result", "ii", ""),
    ("exit_early", "i", ""),
    ("storage_load_bytes32", "ii", ""),
    ("storage_cache_bytes32", "ii", ""),
    ("storage_flush_cache", "i", ""),
    ("transient_load_bytes32", "ii", ""),
    ("transient_store_bytes32", "ii", ""),
    ("call_contract", "iiiili", "i"),
    ("delegate_call_contract", "iiili", "i"),
    ("static_call_contract", "iiili", "i"),
    ("create1", "iiiii", ""),
    ("create2", "iiiiii", ""),
    ("return_data_size", "", "i"),
    ("read_return_data", "iii", "i"),
    ("emit_log", "iii", ""),
    ("account_balance", "ii", ""),
    ("account_code", "iiii", "i"),
    ("account_code_size", "i", "i"),
    ("account_codehash", "ii", ""),
    ("evm_gas_left", "", "l"),
    ("evm_ink_left", "", "l"),
    ("block_basefee", "i", ""),
    ("chainid", "", "l"),
    ("block_coinbase", "i", ""),
    ("block_gas_limit", "", "l"),
    ("block_number", "", "l"),
    ("block_timestamp", "", "l"),
    ("contract_address", "i", ""),
    ("msg_reentrant", "", "i"),
    ("msg_sender", "i", ""),
    ("msg_value", "i", ""),
    ("native_keccak256", "iii", ""),
    ("tx_gas_price", "i", ""),
    ("tx_ink_price", "", "i"),
    ("tx_origin", "i", ""),
    ("math_div", "ii", ""),
    ("math_mod", "ii", ""),
    ("math_pow", "ii", ""),
    ("math_add_mod", "iii", ""),
    ("math_mul_mod", "iii", ""),
    ("pay_for_memory_grow", "i", ""),
    // Twice, to be met more often.
    ("storage_flush_cache", "i", ""),
    ("write_result", "ii", ""),
];

fn argument(kind: char, random: &mut StdRng) -> String {
    if kind == 'l' {
        let gas = [0_i64, 1, 2_300, 50_000, 5_000_000, -1];
        return format!("i64.const {}", gas.choose(random).unwrap());
    }
    let edges = [
        0,
        1,
        20,
        32,
        64,
        96,
        4_096,
        65_472,
        65_504,
        65_516,
        65_535,
        65_536,
        i32::MAX,
        i32::MIN,
        -32,
        -1,
    ];
    let number = if random.random_ratio(1, 8) {
        *edges.choose(random).unwrap()
    } else {
        random.random_range(0..2_048)
    };
    format!("i32.const {number}")
}

/// A program that calls random functions with random arguments, in a memory with an address, a module
/// and other bytes in it.
fn program(random: &mut StdRng, callee: &[u8]) -> Vec<u8> {
    let mut imports = String::new();
    for (index, (name, parameters, result)) in FUNCTIONS.iter().enumerate() {
        let words = |kinds: &str| -> String {
            kinds
                .chars()
                .map(|kind| if kind == 'l' { "i64 " } else { "i32 " })
                .collect()
        };
        let (parameters, result) = (words(parameters), words(result));
        writeln!(imports, r#"(import "vm_hooks" "{name}" (func $f{index} (param {parameters}) (result {result})))"#).unwrap();
    }
    let mut body = String::new();
    for _ in 0..random.random_range(1..25) {
        let index = random.random_range(0..FUNCTIONS.len());
        let (_, parameters, result) = FUNCTIONS[index];
        for kind in parameters.chars() {
            writeln!(body, "{}", argument(kind, random)).unwrap();
        }
        writeln!(body, "call $f{index}").unwrap();
        match result {
            "" => {}
            // What comes back goes where arguments may find it.
            "i" => writeln!(
                body,
                "local.set 1 i32.const {} local.get 1 i32.store",
                random.random_range(0..256)
            )
            .unwrap(),
            _ => writeln!(
                body,
                "local.set 2 i32.const {} local.get 2 i64.store",
                random.random_range(0..256)
            )
            .unwrap(),
        }
        if random.random_ratio(1, 12) {
            writeln!(
                body,
                "i32.const {} memory.grow drop",
                random.random_range(0..140)
            )
            .unwrap();
        }
    }
    let data = |bytes: &[u8]| -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").unwrap();
            text
        })
    };
    let noise: Vec<u8> = (0..256).map(|_| random.random()).collect();
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (data (i32.const 0) "{}")
            (data (i32.const 64) "{}")
            (data (i32.const 1024) "{}")
            (func (export "user_entrypoint") (param i32) (result i32) (local i32 i64)
              {body} i32.const {}))"#,
        data(callee),
        data(&[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
        data(&noise),
        random.random_range(0..2),
    );
    wat::parse_str(text).unwrap()
}

/// `WEFT_TEST_PROGRAMS` is how many programs, `WEFT_TEST_SEED` where their seeds begin.
#[test]
fn no_arguments_do_harm() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
    };
    let programs: u64 = number("WEFT_TEST_PROGRAMS", 150);
    let first: u64 = number("WEFT_TEST_SEED", rand::random::<u32>().into());
    println!("WEFT_TEST_SEED={first}");
    let other = EvmLayer::new().with_machine(Arc::new(WasmMachine::new(None).unwrap()));
    let mut chain = Chain::new(3);
    let relay = chain.deploy(user(0), Contract::Relay.init_code(Form::Wasm));
    let (mut succeeded, mut called) = (0, 0);
    for seed in first..first + programs {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut chain = Chain {
            layer: chain.layer.clone(),
            state: chain.state.clone(),
            block: chain.block.clone(),
        };
        let target = *[relay, user(0), user(1).create(0)].choose(random).unwrap();
        let module = Bytes::from(program(random, target.as_slice()));
        let address = chain.deploy(user(1), module);
        for gas in [100_000, 10_000_000] {
            let nonce = chain.nonce(user(2));
            let input = Bytes::from(vec![7; random.random_range(0..300)]);
            let transaction =
                Chain::transaction(user(2), nonce, TxKind::Call(address), 5, gas, input);
            let before = chain.state.clone();
            let execution = chain.execute(&transaction);
            let again = other
                .execute(&chain.block, &transaction, &mut before.clone())
                .unwrap();
            assert_eq!(execution, again, "seed {seed}");
            assert!(execution.gas_used <= gas, "seed {seed}");
            called += 1;
            if let Outcome::Success { .. } = execution.outcome {
                succeeded += 1;
                continue;
            }
            // Of a call that failed only the sender's nonce and fee stay.
            let fee = U256::from(execution.gas_used) * U256::from(11);
            let mut expected = before;
            let sender = expected.accounts.get_mut(&user(2)).unwrap();
            sender.nonce += 1;
            sender.balance -= fee;
            let mut found = chain.state.clone();
            found.accounts.remove(&chain.block.beneficiary);
            expected.accounts.remove(&chain.block.beneficiary);
            assert_eq!(found.accounts, expected.accounts, "seed {seed}");
            assert_eq!(found.storage, expected.storage, "seed {seed}");
            assert!(execution.logs.is_empty());
        }
    }
    println!("{succeeded} of {called} calls succeeded");
}
