//! A chain on a state in memory that runs EVM contracts and programs, and contracts in both forms.

use std::{io::Write, num::NonZeroUsize, sync::Arc};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_sol_types::SolCall;
use weft_executor_core::{
    BlockEnv, Call, Execution, ExecutionLayer, MemoryState, Outcome, Overlay,
};
use weft_executor_evm::EvmLayer;
use weft_executor_parallel::{BlockExecution, Engine, execute_sequential};
use weft_executor_wasm::WasmMachine;
use weft_primitives::{Fork, RecoveredTransaction, Transaction};

pub(crate) mod abi {
    alloy_sol_types::sol!(
        Erc20,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/contracts/artifacts/Erc20.json"
        )
    );
    alloy_sol_types::sol!(
        Hashing,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/contracts/artifacts/Hashing.json"
        )
    );
    alloy_sol_types::sol!(
        Relay,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/contracts/artifacts/Relay.json"
        )
    );
    alloy_sol_types::sol!(
        BurnableToken,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/contracts/artifacts/BurnableToken.json"
        )
    );
    alloy_sol_types::sol!(
        Amm,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/contracts/artifacts/Amm.json"
        )
    );
}

pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
/// What one transaction may have (EIP-7825).
pub(crate) const GAS_CAP: u64 = 1 << 24;
const CHAIN_ID: u64 = 31_338;
const BASE_FEE: u64 = 10;

/// A contract in both forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contract {
    Erc20,
    Hashing,
    Relay,
    Amm,
}

/// A form of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Evm,
    Wasm,
}

pub(crate) const FORMS: [Form; 2] = [Form::Evm, Form::Wasm];

/// Init code that returns a program's code as Stylus' tools send it.
pub(crate) fn stylus_init_code(module: &[u8]) -> Bytes {
    let mut code = vec![0xef, 0xf0, 0x00, 0x00];
    brotli::CompressorWriter::new(&mut code, 4096, 11, 22)
        .write_all(module)
        .unwrap();
    let length = u32::try_from(code.len()).unwrap().to_be_bytes();
    // PUSH4 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN.
    let mut init = vec![0x63];
    init.extend_from_slice(&length);
    init.extend_from_slice(&[0x80, 0x60, 12, 0x5f, 0x39, 0x5f, 0xf3]);
    init.extend_from_slice(&code);
    init.into()
}

impl Contract {
    pub(crate) fn init_code(self, form: Form) -> Bytes {
        macro_rules! module {
            ($name:literal) => {
                stylus_init_code(include_bytes!(concat!(
                    "../../../../tests/stylus/modules/",
                    $name,
                    ".wasm"
                )))
            };
        }
        match (self, form) {
            (Self::Erc20, Form::Evm) => abi::Erc20::BYTECODE.clone(),
            (Self::Hashing, Form::Evm) => abi::Hashing::BYTECODE.clone(),
            (Self::Relay, Form::Evm) => abi::Relay::BYTECODE.clone(),
            (Self::Amm, Form::Evm) => abi::Amm::BYTECODE.clone(),
            (Self::Erc20, Form::Wasm) => module!("erc20"),
            (Self::Hashing, Form::Wasm) => module!("hashing"),
            (Self::Relay, Form::Wasm) => module!("relay"),
            (Self::Amm, Form::Wasm) => module!("amm"),
        }
    }
}

pub(crate) fn user(number: u8) -> Address {
    Address::repeat_byte(0x10 + number)
}

pub(crate) struct Chain {
    pub(crate) layer: EvmLayer,
    pub(crate) state: MemoryState,
    pub(crate) block: BlockEnv,
}

impl Chain {
    /// With so many rich users.
    pub(crate) fn new(users: u8) -> Self {
        let mut state = MemoryState::default();
        for number in 0..users {
            state.insert(user(number), 0, U256::from(1_000 * ETHER), Bytes::new(), []);
        }
        Self {
            layer: EvmLayer::new().with_machine(Arc::new(WasmMachine::new(None).unwrap())),
            state,
            block: BlockEnv {
                fork: Fork::LATEST,
                chain_id: CHAIN_ID,
                number: 7,
                timestamp: 1_700_000_000,
                beneficiary: Address::repeat_byte(0xfe),
                gas_limit: u64::MAX,
                base_fee: BASE_FEE,
                difficulty: U256::ZERO,
                prev_randao: alloy_primitives::B256::repeat_byte(9),
                excess_blob_gas: 0,
            },
        }
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.state
            .accounts
            .get(&address)
            .map_or(0, |account| account.nonce)
    }

    pub(crate) fn transaction(
        from: Address,
        nonce: u64,
        to: TxKind,
        value: u128,
        gas_limit: u64,
        input: Bytes,
    ) -> RecoveredTransaction {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: 2 * u128::from(BASE_FEE),
            max_priority_fee_per_gas: 1,
            to,
            value: U256::from(value),
            access_list: Default::default(),
            input,
        };
        let signed = transaction.into_signed(Signature::new(U256::ONE, U256::ONE, false));
        RecoveredTransaction::new_unchecked(Transaction::Eip1559(signed), from)
    }

    /// Executes a transaction and keeps what it did.
    pub(crate) fn execute(&mut self, transaction: &RecoveredTransaction) -> Execution {
        let execution = self
            .layer
            .execute(&self.block, transaction, &mut self.state)
            .unwrap();
        let mut overlay = Overlay::new(&mut self.state);
        overlay.apply(&execution.changes).unwrap();
        let changes = overlay.into_changes();
        self.state.apply(&changes);
        execution
    }

    pub(crate) fn deploy(&mut self, from: Address, init_code: Bytes) -> Address {
        let nonce = self.nonce(from);
        let transaction = Self::transaction(from, nonce, TxKind::Create, 0, GAS_CAP, init_code);
        match self.execute(&transaction).outcome {
            Outcome::Success {
                created: Some(address),
                ..
            } => address,
            other => panic!("not deployed: {other:?}"),
        }
    }

    /// Sends a call, and returns what it did.
    pub(crate) fn send<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        value: u128,
        call: &C,
    ) -> Execution {
        let nonce = self.nonce(from);
        let transaction = Self::transaction(
            from,
            nonce,
            TxKind::Call(to),
            value,
            GAS_CAP,
            call.abi_encode().into(),
        );
        self.execute(&transaction)
    }

    /// What a call would do.
    pub(crate) fn ask<C: SolCall>(&mut self, from: Address, to: Address, call: &C) -> Outcome {
        let call = Call {
            from,
            to: TxKind::Call(to),
            gas_limit: 50_000_000,
            input: call.abi_encode().into(),
            ..Call::default()
        };
        self.layer
            .call(&self.block, &call, &mut self.state)
            .unwrap()
            .execution
            .outcome
    }

    /// Executes a block by the oracle and by engines of one to four threads, which must agree, and
    /// keeps what it did.
    pub(crate) fn execute_block(
        &mut self,
        transactions: &[RecoveredTransaction],
    ) -> BlockExecution {
        let expected =
            execute_sequential(&self.layer, &self.block, transactions, &self.state).unwrap();
        for threads in 1..=4 {
            let engine = Engine::new(NonZeroUsize::new(threads).unwrap()).unwrap();
            for _ in 0..2 {
                let found = engine
                    .execute(&self.layer, &self.block, transactions, &self.state)
                    .unwrap();
                assert_eq!(found, expected, "{threads} threads");
                assert_eq!(found.conflicts(), expected.conflicts());
                // Waits until it has learned, for the second time.
                engine.predictor();
            }
        }
        self.state.apply(&expected.changes);
        expected
    }
}

/// The return data of a success.
pub(crate) fn output(outcome: &Outcome) -> Bytes {
    match outcome {
        Outcome::Success { output, .. } => output.clone(),
        other => panic!("failed: {other:?}"),
    }
}
