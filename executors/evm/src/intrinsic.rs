use alloy_consensus::Transaction as _;
use revm::context_interface::cfg::GasParams;
use weft_primitives::{Fork, Transaction};

use crate::environment::spec_id;

/// EIP-3860: most bytes of initcode, from Shanghai on.
pub use revm::primitives::eip3860::MAX_INITCODE_SIZE;

/// Gas that a transaction must bring along before anything of it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntrinsicGas {
    /// Gas charged up front: base, calldata, access list (EIP-2930), initcode words (EIP-3860) and
    /// authorizations (EIP-7702).
    pub intrinsic: u64,
    /// Least gas that the transaction pays in the end (EIP-7623); zero before Prague.
    pub floor: u64,
}

/// Intrinsic gas of a transaction under the rules of a fork.
pub fn intrinsic_gas(fork: Fork, transaction: &Transaction) -> IntrinsicGas {
    let (accounts, slots) = transaction
        .access_list()
        .map_or((0, 0), |list| (list.len(), list.storage_keys_count()));
    let gas = GasParams::new_spec(spec_id(fork)).initial_tx_gas(
        transaction.input(),
        transaction.is_create(),
        accounts as u64,
        slots as u64,
        transaction.authorization_count().unwrap_or(0),
        None,
    );
    IntrinsicGas {
        intrinsic: gas.initial_total_gas(),
        floor: if fork >= Fork::Prague {
            gas.floor_gas()
        } else {
            0
        },
    }
}
