use std::ops::RangeInclusive;

use alloy_consensus::Transaction as _;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{
    Address, B256, Bytes, TxKind, U256, address,
    map::{AddressSet, HashSet},
};
use weft_executor_core::{BlockEnv, Call};
use weft_primitives::{Fork, RecoveredTransaction};

use crate::host::Context;

/// Gas of any transaction (yellow paper, G_transaction).
const TRANSACTION_GAS: u64 = 21_000;
/// Gas of a creation (EIP-2).
const CREATION_GAS: u64 = 32_000;
/// Gas per 32-byte word of init data (EIP-3860).
const INIT_WORD_GAS: u64 = 2;
/// Gas per token of calldata; a byte is four tokens, a zero byte one (EIP-2028, EIP-7623).
const TOKEN_GAS: u64 = 4;
/// Gas per token of calldata that a transaction costs at least (EIP-7623).
const FLOOR_TOKEN_GAS: u64 = 10;
/// Gas per address of an access list (EIP-2930).
const LISTED_ADDRESS_GAS: u64 = 2_400;
/// Gas per slot of an access list (EIP-2930).
const LISTED_SLOT_GAS: u64 = 1_900;
/// Gas per authorization (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;

/// The precompiles from Prague on (EIP-2537): last bytes of addresses that are zero otherwise.
const PRECOMPILES: RangeInclusive<u8> = 0x01..=0x11;
/// The precompile of EIP-7951, from Osaka on.
const P256_PRECOMPILE: Address = address!("0x0000000000000000000000000000000000000100");

/// What a transaction and an unsigned call have in common.
pub(crate) struct Message<'a> {
    pub(crate) sender: Address,
    pub(crate) kind: TxKind,
    pub(crate) gas_limit: u64,
    /// What the sender pays, in wei per gas.
    pub(crate) gas_price: u128,
    /// What the block sees as its base fee, in wei per gas.
    base_fee: u64,
    pub(crate) value: U256,
    pub(crate) input: &'a Bytes,
    access_list: Option<&'a AccessList>,
    /// Number of authorizations (EIP-7702).
    pub(crate) authorizations: usize,
    /// Nonce that the sender is taken to have; `None` for the one that it has.
    pub(crate) assumed_nonce: Option<u64>,
}

impl<'a> Message<'a> {
    pub(crate) fn of_transaction(block: &BlockEnv, transaction: &'a RecoveredTransaction) -> Self {
        // The gas of a deposit was bought on L1.
        let gas_price = if transaction.is_deposit() {
            0
        } else {
            transaction.effective_gas_price(Some(block.base_fee))
        };
        Self {
            sender: transaction.signer(),
            kind: transaction.kind(),
            gas_limit: transaction.gas_limit(),
            gas_price,
            base_fee: block.base_fee,
            value: transaction.value(),
            input: transaction.input(),
            access_list: transaction.access_list(),
            authorizations: transaction.authorization_list().map_or(0, <[_]>::len),
            assumed_nonce: None,
        }
    }

    pub(crate) fn of_call(block: &BlockEnv, call: &'a Call) -> Self {
        Self {
            sender: call.from,
            kind: call.to,
            gas_limit: call.gas_limit,
            gas_price: call.gas_price,
            base_fee: if call.gas_price == 0 {
                0
            } else {
                block.base_fee
            },
            value: call.value,
            input: &call.input,
            access_list: Some(&call.access_list),
            authorizations: call.authorization_list.len(),
            assumed_nonce: call.nonce,
        }
    }

    /// What the beneficiary earns, in wei per gas (EIP-1559).
    pub(crate) fn tip(&self) -> u128 {
        self.gas_price.saturating_sub(u128::from(self.base_fee))
    }

    fn tokens(&self) -> u64 {
        self.input
            .iter()
            .map(|byte| if *byte == 0 { 1 } else { 4 })
            .sum()
    }

    /// Gas that the message costs before anything runs.
    pub(crate) fn intrinsic_gas(&self) -> u64 {
        let creation = if self.kind.is_create() {
            CREATION_GAS + INIT_WORD_GAS * (self.input.len() as u64).div_ceil(32)
        } else {
            0
        };
        let (addresses, slots) = self.access_list.map_or((0, 0), |list| {
            let slots: usize = list.iter().map(|item| item.storage_keys.len()).sum();
            (list.len() as u64, slots as u64)
        });
        TRANSACTION_GAS
            + TOKEN_GAS * self.tokens()
            + creation
            + LISTED_ADDRESS_GAS * addresses
            + LISTED_SLOT_GAS * slots
            + AUTHORIZATION_GAS * self.authorizations as u64
    }

    /// Gas that the message costs at least (EIP-7623).
    pub(crate) fn floor_gas(&self) -> u64 {
        TRANSACTION_GAS + FLOOR_TOKEN_GAS * self.tokens()
    }

    /// Accounts and slots of `program` that are warm from the start (EIP-2929, EIP-3651).
    pub(crate) fn warm(&self, block: &BlockEnv, program: Address) -> (AddressSet, HashSet<U256>) {
        let mut accounts: AddressSet = [self.sender, program, block.beneficiary]
            .into_iter()
            .collect();
        let mut slots = HashSet::default();
        for item in self.access_list.into_iter().flat_map(|list| list.iter()) {
            accounts.insert(item.address);
            if item.address == program {
                slots.extend(
                    item.storage_keys
                        .iter()
                        .map(|key: &B256| U256::from_be_bytes(key.0)),
                );
            }
        }
        accounts.extend(PRECOMPILES.map(Address::with_last_byte));
        if block.fork >= Fork::Osaka {
            accounts.insert(P256_PRECOMPILE);
        }
        (accounts, slots)
    }

    /// What the program that the message calls can ask.
    pub(crate) fn context(&self, block: &BlockEnv, program: Address) -> Context {
        Context {
            input: self.input.clone(),
            sender: self.sender,
            contract: program,
            value: self.value,
            origin: self.sender,
            gas_price: self.gas_price,
            block_number: block.number,
            timestamp: block.timestamp,
            base_fee: self.base_fee,
            block_gas_limit: block.gas_limit,
            beneficiary: block.beneficiary,
            chain_id: block.chain_id,
        }
    }
}
