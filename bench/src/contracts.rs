//! The workloads' contracts and the transactions that bring them into a base state.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolValue};
use weft_primitives::RecoveredTransaction;

use crate::scenario::transaction;

#[allow(missing_docs, reason = "generated from the artifacts")]
mod abi {
    alloy_sol_types::sol!(
        Token,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/contracts/artifacts/Token.json"
        )
    );
    alloy_sol_types::sol!(
        Pair,
        concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/artifacts/Pair.json")
    );
    alloy_sol_types::sol!(
        Router,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/contracts/artifacts/Router.json"
        )
    );
}

pub(crate) use abi::{Pair, Router, Token};

/// EIP-7825: most gas that one transaction may have.
const TRANSACTION_GAS: u64 = 1 << 24;

/// A minted balance costs some 25,000 gas.
const HOLDERS_A_MINT: usize = 500;

/// Deploys contracts and calls them, as one account.
pub(crate) struct Deployer {
    address: Address,
    nonce: u64,
    transactions: Vec<RecoveredTransaction>,
}

impl Deployer {
    pub(crate) const fn new(address: Address) -> Self {
        Self {
            address,
            nonce: 0,
            transactions: Vec::new(),
        }
    }

    fn push(&mut self, to: TxKind, input: Bytes) {
        self.transactions.push(transaction(
            self.address,
            self.nonce,
            to,
            U256::ZERO,
            TRANSACTION_GAS,
            input,
        ));
        self.nonce += 1;
    }

    pub(crate) fn deploy(&mut self, code: &Bytes, arguments: &[u8]) -> Address {
        let address = self.address.create(self.nonce);
        let input = [code.as_ref(), arguments].concat();
        self.push(TxKind::Create, input.into());
        address
    }

    pub(crate) fn call<C: SolCall>(&mut self, contract: Address, call: &C) {
        self.push(TxKind::Call(contract), call.abi_encode().into());
    }

    pub(crate) fn token(&mut self) -> Address {
        self.deploy(&Token::BYTECODE, &[])
    }

    pub(crate) fn router(&mut self) -> Address {
        self.deploy(&Router::BYTECODE, &[])
    }

    pub(crate) fn pair(&mut self, token0: Address, token1: Address) -> Address {
        self.deploy(&Pair::BYTECODE, &(token0, token1).abi_encode_params())
    }

    /// Gives each holder `value` new tokens.
    pub(crate) fn mint(&mut self, token: Address, holders: &[Address], value: U256) {
        for holders in holders.chunks(HOLDERS_A_MINT) {
            let holders = holders.to_vec();
            self.call(token, &Token::mintCall { holders, value });
        }
    }

    pub(crate) fn into_transactions(self) -> Vec<RecoveredTransaction> {
        self.transactions
    }
}

/// A call of a contract by a user.
pub(crate) fn call<C: SolCall>(
    sender: Address,
    nonce: u64,
    contract: Address,
    gas_limit: u64,
    call: &C,
) -> RecoveredTransaction {
    raw_call(sender, nonce, contract, gas_limit, call.abi_encode().into())
}

/// A call of a contract by a user, with this calldata.
pub(crate) fn raw_call(
    sender: Address,
    nonce: u64,
    contract: Address,
    gas_limit: u64,
    input: Bytes,
) -> RecoveredTransaction {
    transaction(
        sender,
        nonce,
        TxKind::Call(contract),
        U256::ZERO,
        gas_limit,
        input,
    )
}
