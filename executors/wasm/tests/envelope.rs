//! Around its program, a transaction does exactly what it does around EVM code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy, transaction::Recovered,
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use common::*;
use proptest::prelude::*;
use weft_executor_core::{
    ExecuteError, Execution, ExecutionLayer, InvalidTransaction, MemoryState, Outcome,
};
use weft_executor_evm::EvmLayer;
use weft_primitives::{RecoveredTransaction, Transaction, TxDeposit};

/// The EVM's INVALID: ends the execution and takes all its gas.
const INVALID: u8 = 0xfe;

#[derive(Debug, Clone)]
enum Kind {
    Legacy,
    Eip2930,
    Eip1559,
    Eip7702 {
        /// Whether the account that signs the authorization exists, which earns a refund.
        authority_exists: bool,
    },
    Deposit {
        mint: u128,
    },
}

#[derive(Debug, Clone)]
struct Plan {
    kind: Kind,
    nonce: u64,
    gas_limit: u64,
    price: u128,
    tip: u128,
    value: u128,
    input: Vec<u8>,
    listed: Vec<(Address, Vec<B256>)>,
    sender_is_beneficiary: bool,
}

prop_compose! {
    fn plan()(
        kind in prop_oneof![
            Just(Kind::Legacy),
            Just(Kind::Eip2930),
            Just(Kind::Eip1559),
            any::<bool>().prop_map(|authority_exists| Kind::Eip7702 { authority_exists }),
            (0..2 * ETHER).prop_map(|mint| Kind::Deposit { mint }),
        ],
        nonce in prop_oneof![9 => Just(0_u64), 1 => 0..3_u64],
        gas_limit in prop_oneof![4 => 60_000..200_000_u64, 1 => 20_000..60_000_u64, 1 => any::<u64>()],
        price in prop_oneof![5 => 10..100_u128, 1 => 0..10_u128, 1 => any::<u128>()],
        tip in prop_oneof![5 => 0..10_u128, 1 => any::<u128>()],
        value in prop_oneof![2 => Just(0), 5 => 0..ETHER, 1 => any::<u128>()],
        input in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..300),
        listed in prop::collection::vec(
            (
                prop_oneof![Just(PROGRAM), Just(BOB), any::<[u8; 20]>().prop_map(Address::from)],
                prop::collection::vec(any::<[u8; 32]>().prop_map(B256::from), 0..3),
            ),
            0..3,
        ),
        sender_is_beneficiary in prop::bool::weighted(0.1),
    ) -> Plan {
        Plan { kind, nonce, gas_limit, price, tip, value, input, listed, sender_is_beneficiary }
    }
}

impl Plan {
    fn transaction(&self, to: TxKind, input: Bytes) -> RecoveredTransaction {
        let chain_id = block().chain_id;
        let access_list = AccessList(
            self.listed
                .iter()
                .map(|(address, storage_keys)| AccessListItem {
                    address: *address,
                    storage_keys: storage_keys.clone(),
                })
                .collect(),
        );
        let (nonce, gas_limit, value) = (self.nonce, self.gas_limit, U256::from(self.value));
        let signature = Signature::test_signature();
        let transaction = match self.kind {
            Kind::Legacy => Transaction::Legacy(
                TxLegacy {
                    chain_id: Some(chain_id),
                    nonce,
                    gas_price: self.price,
                    gas_limit,
                    to,
                    value,
                    input,
                }
                .into_signed(signature),
            ),
            Kind::Eip2930 => Transaction::Eip2930(
                TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price: self.price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                }
                .into_signed(signature),
            ),
            Kind::Eip1559 => Transaction::Eip1559(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: self.price,
                    max_priority_fee_per_gas: self.tip,
                    to,
                    value,
                    access_list,
                    input,
                }
                .into_signed(signature),
            ),
            Kind::Eip7702 { .. } => {
                // The type has no creations.
                let TxKind::Call(to) = to else {
                    return Self {
                        kind: Kind::Eip1559,
                        ..self.clone()
                    }
                    .transaction(to, input);
                };
                Transaction::Eip7702(
                    TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: self.price,
                        max_priority_fee_per_gas: self.tip,
                        to,
                        value,
                        access_list,
                        authorization_list: vec![authorization()],
                        input,
                    }
                    .into_signed(signature),
                )
            }
            Kind::Deposit { mint } => Transaction::from(TxDeposit {
                source_hash: B256::repeat_byte(1),
                from: ALICE,
                to,
                mint,
                value,
                gas_limit,
                is_system_transaction: false,
                input,
            }),
        };
        Recovered::new_unchecked(transaction, ALICE)
    }

    fn chain(&self) -> Chain {
        let mut chain = Chain::new();
        if let Kind::Eip7702 {
            authority_exists: true,
        } = self.kind
        {
            let authority = authorization().recover_authority().unwrap();
            chain
                .state
                .insert(authority, 0, U256::from(1), Bytes::new(), []);
        }
        if self.sender_is_beneficiary {
            chain.block.beneficiary = ALICE;
        }
        chain
    }
}

/// An authorization, valid on any chain, of whoever this signature belongs to.
fn authorization() -> SignedAuthorization {
    Authorization {
        chain_id: U256::ZERO,
        address: BOB,
        nonce: 0,
    }
    .into_signed(Signature::test_signature())
}

fn run(
    layer: &impl ExecutionLayer,
    chain: &Chain,
    state: &MemoryState,
    transaction: &RecoveredTransaction,
) -> Result<Execution, InvalidTransaction> {
    match layer.execute(&chain.block, transaction, &mut state.clone()) {
        Ok(execution) => Ok(execution),
        Err(ExecuteError::Invalid(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

/// Everything but the words for why it was stopped.
fn halted_alike(
    wasm: Result<Execution, InvalidTransaction>,
    evm: Result<Execution, InvalidTransaction>,
) {
    match (wasm, evm) {
        (Ok(mut wasm), Ok(mut evm)) => {
            for execution in [&mut wasm, &mut evm] {
                assert!(
                    matches!(execution.outcome, Outcome::Halt { .. }),
                    "{execution:?}"
                );
                execution.outcome = Outcome::Revert {
                    output: Bytes::new(),
                };
            }
            assert_eq!(wasm, evm);
        }
        (wasm, evm) => assert_eq!(wasm, evm),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A program that traps against EVM code that is INVALID: the same in every bit.
    #[test]
    fn a_stopped_program_leaves_what_stopped_evm_code_leaves(plan in plan()) {
        let mut chain = plan.chain();
        chain.put(&wat::parse_str(entrypoint("unreachable")).unwrap());
        let mut with_evm_code = chain.state.clone();
        with_evm_code.insert(PROGRAM, 1, U256::ZERO, vec![INVALID].into(), []);
        let transaction = plan.transaction(PROGRAM.into(), plan.input.clone().into());
        halted_alike(
            run(&chain.layer, &chain, &chain.state, &transaction),
            run(&EvmLayer::new(), &chain, &with_evm_code, &transaction),
        );
    }

    /// A module that is refused against init code that is INVALID, of the same bytes in another
    /// order, and so of the same intrinsic gas.
    #[test]
    fn a_refused_creation_leaves_what_failed_init_code_leaves(
        plan in plan(),
        endowed in prop::bool::weighted(0.3),
    ) {
        let mut chain = plan.chain();
        if endowed {
            chain.state.insert(ALICE.create(0), 0, U256::from(3), Bytes::new(), []);
        }
        let mut module = b"\0asm".to_vec();
        module.push(INVALID);
        module.extend_from_slice(&plan.input);
        let mut init_code = module.clone();
        init_code.swap(0, 4);
        halted_alike(
            run(
                &chain.layer,
                &chain,
                &chain.state,
                &plan.transaction(TxKind::Create, module.into()),
            ),
            run(
                &EvmLayer::new(),
                &chain,
                &chain.state,
                &plan.transaction(TxKind::Create, init_code.into()),
            ),
        );
    }

    /// A program that returns at once against EVM code that stops at once: the same but for the
    /// program's own gas, and every wei is accounted for.
    #[test]
    fn a_program_that_does_nothing_differs_from_evm_code_in_gas_only(plan in plan()) {
        let mut chain = plan.chain();
        chain.put(&wat::parse_str(entrypoint("(i32.const 0)")).unwrap());
        let mut with_evm_code = chain.state.clone();
        with_evm_code.insert(PROGRAM, 1, U256::ZERO, vec![0].into(), []);
        let transaction = plan.transaction(PROGRAM.into(), plan.input.clone().into());
        let wasm = run(&chain.layer, &chain, &chain.state, &transaction);
        let evm = run(&EvmLayer::new(), &chain, &with_evm_code, &transaction);
        let (wasm, evm) = match (wasm, evm) {
            (Ok(wasm), Ok(evm)) => (wasm, evm),
            (wasm, evm) => {
                prop_assert_eq!(wasm, evm);
                return Ok(());
            }
        };
        prop_assert!(wasm.gas_used >= evm.gas_used);
        let extra = wasm.gas_used - evm.gas_used;
        if !wasm.outcome.is_success() {
            return Ok(());
        }
        prop_assert!(extra < 3_000, "{extra}");
        prop_assert_eq!(wasm.sender_nonce, evm.sender_nonce);
        let base_fee = U256::from(chain.block.base_fee);
        let burnt = if matches!(plan.kind, Kind::Deposit { .. }) {
            U256::ZERO
        } else {
            base_fee
        };
        let total = |execution: &Execution| -> U256 {
            execution
                .changes
                .accounts
                .iter()
                .map(|(_, change)| change.account.unwrap_or_default().balance)
                .chain(execution.beneficiary_credit)
                .sum()
        };
        // What the two differ by is the base fee of the extra gas.
        prop_assert_eq!(total(&wasm) + burnt * U256::from(extra), total(&evm));
        for ((address, wasm), (_, evm)) in wasm.changes.accounts.iter().zip(&evm.changes.accounts) {
            if *address == PROGRAM {
                prop_assert_eq!(wasm.account.unwrap().balance, evm.account.unwrap().balance);
                prop_assert_eq!(
                    wasm.account.unwrap().code_hash,
                    chain.state.accounts[&PROGRAM].code_hash
                );
            }
        }
    }

    /// What is no program goes to the inner layer as it is.
    #[test]
    fn everything_else_is_the_inner_layers(
        plan in plan(),
        code in prop::collection::vec(any::<u8>(), 0..40),
        create in any::<bool>(),
    ) {
        let mut chain = plan.chain();
        prop_assume!(!weft_executor_wasm::is_program(&code));
        chain.put_code(code.into());
        let to = if create { TxKind::Create } else { PROGRAM.into() };
        let transaction = plan.transaction(to, plan.input.clone().into());
        prop_assert_eq!(
            run(&chain.layer, &chain, &chain.state, &transaction),
            run(&EvmLayer::new(), &chain, &chain.state, &transaction),
        );
    }
}
