use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::AddressMap};
use alloy_rpc_types_eth::{BlockOverrides, state::StateOverride};
use weft_executor_core::{Account, BlockEnv, StateView};

use super::RpcError;

/// Most accounts and slots that one request may override.
const MAX_OVERRIDES: usize = 100_000;

/// A state in which some accounts, slots and block hashes are replaced, as `eth_call` allows.
#[derive(Debug)]
pub(super) struct OverriddenState<S> {
    base: S,
    accounts: AddressMap<AccountOverride>,
    code: BTreeMap<B256, Bytes>,
    block_hashes: BTreeMap<u64, B256>,
}

#[derive(Debug, Default)]
struct AccountOverride {
    nonce: Option<u64>,
    balance: Option<U256>,
    code_hash: Option<B256>,
    /// Whether slots that are not in `slots` are zero.
    whole_storage: bool,
    slots: BTreeMap<U256, U256>,
}

impl<S: StateView> OverriddenState<S> {
    /// # Errors
    /// When the overrides contradict each other, are too many or cannot be honoured.
    pub(super) fn new(
        base: S,
        accounts: Option<StateOverride>,
        block: Option<&BlockOverrides>,
    ) -> Result<Self, RpcError> {
        let mut state = Self {
            base,
            accounts: AddressMap::default(),
            code: BTreeMap::new(),
            block_hashes: block
                .and_then(|block| block.block_hash.clone())
                .unwrap_or_default(),
        };
        let mut size = 0_usize;
        for (address, wanted) in accounts.into_iter().flatten() {
            if wanted.move_precompile_to.is_some() {
                return Err(RpcError::InvalidParams(format!(
                    "account {address}: movePrecompileToAddress is not supported"
                )));
            }
            let (whole_storage, slots) = match (wanted.state, wanted.state_diff) {
                (Some(_), Some(_)) => {
                    return Err(RpcError::InvalidParams(format!(
                        "account {address} has both 'state' and 'stateDiff'"
                    )));
                }
                (Some(state), None) => (true, state),
                (None, diff) => (false, diff.unwrap_or_default()),
            };
            size = size.saturating_add(slots.len()).saturating_add(1);
            if size > MAX_OVERRIDES {
                return Err(RpcError::LimitExceeded(format!(
                    "at most {MAX_OVERRIDES} accounts and slots can be overridden"
                )));
            }
            let code_hash = wanted.code.map(|code| {
                let hash = keccak256(&code);
                state.code.insert(hash, code);
                hash
            });
            state.accounts.insert(
                address,
                AccountOverride {
                    nonce: wanted.nonce,
                    balance: wanted.balance,
                    code_hash,
                    whole_storage,
                    slots: slots
                        .into_iter()
                        .map(|(slot, value)| (slot.into(), value.into()))
                        .collect(),
                },
            );
        }
        Ok(state)
    }
}

impl<S: StateView> StateView for OverriddenState<S> {
    type Error = S::Error;

    fn account(&mut self, address: Address) -> Result<Option<Account>, S::Error> {
        let account = self.base.account(address)?;
        let Some(wanted) = self.accounts.get(&address) else {
            return Ok(account);
        };
        let account = account.unwrap_or_default();
        Ok(Some(Account {
            nonce: wanted.nonce.unwrap_or(account.nonce),
            balance: wanted.balance.unwrap_or(account.balance),
            code_hash: wanted.code_hash.unwrap_or(account.code_hash),
        }))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, S::Error> {
        if let Some(wanted) = self.accounts.get(&address) {
            if let Some(value) = wanted.slots.get(&slot) {
                return Ok(*value);
            }
            if wanted.whole_storage {
                return Ok(U256::ZERO);
            }
        }
        self.base.storage(address, slot)
    }

    fn code(&mut self, code_hash: B256) -> Result<Bytes, S::Error> {
        match self.code.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(code_hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, S::Error> {
        match self.block_hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash(number),
        }
    }
}

/// Replaces what the caller wants of the block's environment.
///
/// # Errors
/// When a value does not fit its field.
pub(super) fn override_env(env: &mut BlockEnv, wanted: &BlockOverrides) -> Result<(), RpcError> {
    let fits = |value: U256, field: &str| {
        u64::try_from(value).map_err(|_| {
            RpcError::InvalidParams(format!("block override {field} is above 2^64 - 1"))
        })
    };
    if let Some(number) = wanted.number {
        env.number = fits(number, "number")?;
    }
    if let Some(base_fee) = wanted.base_fee {
        env.base_fee = fits(base_fee, "baseFee")?;
    }
    env.timestamp = wanted.time.unwrap_or(env.timestamp);
    env.gas_limit = wanted.gas_limit.unwrap_or(env.gas_limit);
    env.beneficiary = wanted.coinbase.unwrap_or(env.beneficiary);
    env.prev_randao = wanted.random.unwrap_or(env.prev_randao);
    env.difficulty = wanted.difficulty.unwrap_or(env.difficulty);
    if wanted.blob_base_fee.is_some() {
        return Err(RpcError::InvalidParams(
            "block override blobBaseFee is not supported".into(),
        ));
    }
    Ok(())
}
