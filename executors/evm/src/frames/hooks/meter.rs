use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::{
    bytecode::Bytecode,
    context_interface::{
        Cfg, ContextTr, JournalTr,
        cfg::gas::{KECCAK256, LOG},
        journaled_state::JournalLoadError,
    },
};

use super::HOOKS;
use crate::{
    database::ReadFailed,
    evm::{TransactionContext, TransactionError},
};

/// Why a call that hooks or their registry have a part in does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The gas does not cover it.
    OutOfGas,
    /// It would write in a static frame.
    Static,
    /// With this revert data.
    Reverted(Bytes),
    /// There is no result at all.
    Failed(TransactionError),
}

impl From<JournalLoadError<ReadFailed>> for Stop {
    fn from(error: JournalLoadError<ReadFailed>) -> Self {
        match error {
            JournalLoadError::ColdLoadSkipped => Self::OutOfGas,
            JournalLoadError::DBError(error) => error.into(),
        }
    }
}

impl From<ReadFailed> for Stop {
    fn from(error: ReadFailed) -> Self {
        Self::Failed(TransactionError::Database(error))
    }
}

/// The gas of a call, and what looking at the state takes from it: what an EVM contract at
/// [`HOOKS`] would pay.
#[derive(Debug)]
pub(super) struct Meter {
    /// Gas that is left.
    pub(super) left: u64,
    /// Refund, in gas.
    pub(super) refund: i64,
}

impl Meter {
    pub(super) const fn new(gas: u64) -> Self {
        Self {
            left: gas,
            refund: 0,
        }
    }

    pub(super) fn pay(&mut self, gas: u64) -> Result<(), Stop> {
        self.left = self.left.checked_sub(gas).ok_or(Stop::OutOfGas)?;
        Ok(())
    }

    /// Looks at an account; its code and the code's hash.
    pub(super) fn account(
        &mut self,
        context: &mut TransactionContext<'_>,
        address: Address,
    ) -> Result<(B256, Bytecode), Stop> {
        let params = context.cfg().gas_params();
        let additional = params.cold_account_additional_cost();
        self.pay(params.warm_storage_read_cost())?;
        let load = context.journal_mut().load_account_info_skip_cold_load(
            address,
            true,
            self.left < additional,
        )?;
        let code = load.account.code.clone().unwrap_or_default();
        let code_hash = load.account.code_hash;
        if load.is_cold {
            self.pay(additional)?;
        }
        Ok((code_hash, code))
    }

    /// Reads a slot of the registry, whose account has been looked at.
    pub(super) fn load(
        &mut self,
        context: &mut TransactionContext<'_>,
        slot: U256,
    ) -> Result<U256, Stop> {
        let params = context.cfg().gas_params();
        let additional = params.cold_storage_additional_cost();
        self.pay(params.warm_storage_read_cost())?;
        let load =
            context
                .journal_mut()
                .sload_skip_cold_load(HOOKS, slot, self.left < additional)?;
        if load.is_cold {
            self.pay(additional)?;
        }
        Ok(load.data)
    }

    /// Writes a slot of the registry, whose account has been looked at.
    pub(super) fn store(
        &mut self,
        context: &mut TransactionContext<'_>,
        slot: U256,
        value: U256,
    ) -> Result<(), Stop> {
        let params = context.cfg().gas_params();
        // EIP-2200.
        if self.left <= params.call_stipend() {
            return Err(Stop::OutOfGas);
        }
        let cold = params.cold_storage_cost();
        self.pay(params.sstore_static_gas())?;
        let load =
            context
                .journal_mut()
                .sstore_skip_cold_load(HOOKS, slot, value, self.left < cold)?;
        let params = context.cfg().gas_params();
        self.pay(params.sstore_dynamic_gas(true, &load.data, load.is_cold))?;
        self.refund += params.sstore_refund(true, &load.data);
        Ok(())
    }

    /// Hashes this many bytes.
    pub(super) fn hash(
        &mut self,
        context: &TransactionContext<'_>,
        length: usize,
    ) -> Result<(), Stop> {
        self.pay(KECCAK256 + context.cfg().gas_params().keccak256_cost(length))
    }

    /// Copies this many bytes into new memory.
    pub(super) fn copy(
        &mut self,
        context: &TransactionContext<'_>,
        length: usize,
    ) -> Result<(), Stop> {
        let params = context.cfg().gas_params();
        let memory = params.memory_cost(length.div_ceil(32));
        self.pay(params.copy_cost(length).saturating_add(memory))
    }

    /// A log of the registry.
    pub(super) fn log(
        &mut self,
        context: &mut TransactionContext<'_>,
        topics: Vec<B256>,
        data: Bytes,
    ) -> Result<(), Stop> {
        let params = context.cfg().gas_params();
        let count = u8::try_from(topics.len()).unwrap_or(u8::MAX);
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.pay(LOG.saturating_add(params.log_cost(count, length)))?;
        let log = Log::new_unchecked(HOOKS, topics, data);
        context.journal_mut().log(log);
        Ok(())
    }
}
