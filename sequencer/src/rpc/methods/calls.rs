use alloy_eips::{
    BlockId, BlockNumberOrTag,
    eip2930::{AccessList, AccessListItem},
};
use alloy_primitives::{Address, Bytes, TxKind, U64};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use serde::Serialize;
use weft_executor_core::{BlockEnv, Call, CallOutcome, ExecuteError, Outcome, Overlay, StateView};
use weft_state::{StateError, StateReader};

use super::{block_or_latest, estimate};
use crate::rpc::{
    RpcError,
    api::{Api, Registry, now},
    overrides::{OverriddenState, override_env},
    params::Arguments,
    workers::Deadline,
};

const REQUEST: &str = "a transaction object";
const STATE_OVERRIDES: &str = "state overrides: an object of accounts by address";
const BLOCK_OVERRIDES: &str = "block overrides: an object of header fields";
/// Addresses of the EVM's precompiles: 1 to 17, and P-256 (EIP-7951).
const PRECOMPILES: (std::ops::RangeInclusive<u64>, u64) = (1..=0x11, 0x100);
/// Rounds after which an access list that still grows is given as it is.
const ACCESS_LIST_ROUNDS: usize = 16;

/// Methods that execute a message.
pub(super) fn register(registry: &mut Registry) {
    registry.long("eth_call", 4, |api, arguments, _| call(api, arguments));
    registry.long("eth_estimateGas", 4, |api, arguments, deadline| {
        let mut scene = Scene::new(api, arguments)?;
        estimate::estimate_gas(&mut scene, deadline).map(U64::from)
    });
    registry.long("eth_createAccessList", 4, create_access_list);
}

/// A message with the place where it is executed.
pub(super) struct Scene<'a> {
    api: &'a Api,
    pub(super) env: BlockEnv,
    pub(super) call: Call,
    /// Whether the caller set a gas limit.
    pub(super) has_gas_limit: bool,
    pub(super) state: Overlay<OverriddenState<StateReader>>,
}

impl<'a> Scene<'a> {
    /// Reads `[request, block, state overrides, block overrides]`.
    fn new(api: &'a Api, mut arguments: Arguments) -> Result<Self, RpcError> {
        let request: TransactionRequest = arguments.required(REQUEST)?;
        let id = block_or_latest(&mut arguments)?;
        let accounts: Option<StateOverride> = arguments.optional(STATE_OVERRIDES)?;
        let block: Option<BlockOverrides> = arguments.optional(BLOCK_OVERRIDES)?;
        let (header, state) = api.state(id)?;
        let mut env = match id {
            BlockId::Number(BlockNumberOrTag::Pending) => api.chain.pending_env(now()),
            _ => api.chain.env_of(&header),
        };
        if let Some(block) = &block {
            override_env(&mut env, block)?;
        }
        let has_gas_limit = request.gas.is_some_and(|gas| gas > 0);
        let call = message(request, &env, api.config.call_gas)?;
        let state = OverriddenState::new(state, accounts, block.as_ref())?;
        Ok(Self {
            api,
            env,
            call,
            has_gas_limit,
            state: Overlay::new(state),
        })
    }

    /// Executes the message with what the scene holds now.
    pub(super) fn execute(&mut self) -> Result<CallOutcome, ExecuteError<StateError>> {
        self.api.chain.call(&self.env, &self.call, &mut self.state)
    }

    /// The most gas that the server gives to one execution.
    pub(super) fn gas_cap(&self) -> u64 {
        self.api.config.call_gas
    }

    /// The sender's balance.
    pub(super) fn sender_balance(&mut self) -> Result<alloy_primitives::U256, RpcError> {
        let account = self.state.account(self.call.from)?;
        Ok(account.unwrap_or_default().balance)
    }

    /// Whether the message is a plain transfer to an account without code.
    pub(super) fn is_plain_transfer(&mut self) -> Result<bool, RpcError> {
        let TxKind::Call(to) = self.call.to else {
            return Ok(false);
        };
        if !self.call.input.is_empty()
            || !self.call.access_list.is_empty()
            || !self.call.authorization_list.is_empty()
            || is_precompile(to)
        {
            return Ok(false);
        }
        let account = self.state.account(to)?.unwrap_or_default();
        Ok(account.code_hash == alloy_primitives::KECCAK256_EMPTY)
    }
}

/// The message that a request stands for.
fn message(request: TransactionRequest, env: &BlockEnv, gas_cap: u64) -> Result<Call, RpcError> {
    if request.blob_versioned_hashes.is_some() || request.sidecar.is_some() {
        return Err(RpcError::InvalidParams(
            "blob transactions (type 0x03) are not accepted on this chain".into(),
        ));
    }
    if let Some(found) = request.chain_id
        && found != env.chain_id
    {
        return Err(RpcError::InvalidParams(format!(
            "chainId does not match node's (have={found}, want={})",
            env.chain_id
        )));
    }
    let gas_price = gas_price(&request, env)?;
    let gas = request.gas.filter(|gas| *gas > 0).unwrap_or(gas_cap);
    let input = request
        .input
        .try_into_unique_input()
        .map_err(|error| RpcError::InvalidParams(error.to_string()))?;
    Ok(Call {
        from: request.from.unwrap_or_default(),
        to: request.to.unwrap_or(TxKind::Create),
        gas_limit: gas.min(gas_cap),
        gas_price,
        value: request.value.unwrap_or_default(),
        input: input.unwrap_or_default(),
        nonce: request.nonce,
        access_list: request.access_list.unwrap_or_default(),
        authorization_list: request.authorization_list.unwrap_or_default(),
    })
}

/// What the sender would pay, in wei per gas; zero when the request names no price.
fn gas_price(request: &TransactionRequest, env: &BlockEnv) -> Result<u128, RpcError> {
    let (cap, tip) = match (
        request.gas_price,
        request.max_fee_per_gas,
        request.max_priority_fee_per_gas,
    ) {
        (Some(_), cap, tip) if cap.is_some() || tip.is_some() => {
            return Err(RpcError::InvalidParams(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into(),
            ));
        }
        (Some(price), ..) => return Ok(price),
        (None, cap, tip) => (cap.unwrap_or(0), tip.unwrap_or(0)),
    };
    if cap == 0 {
        return Ok(0);
    }
    if tip > cap {
        return Err(RpcError::InvalidParams(format!(
            "maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})"
        )));
    }
    if cap < u128::from(env.base_fee) {
        return Err(RpcError::InvalidCall {
            reason: weft_executor_core::InvalidTransaction::FeeCapTooLow {
                max_fee: cap,
                base_fee: env.base_fee,
            },
            gas: request.gas.unwrap_or(0),
        });
    }
    Ok(cap.min(u128::from(env.base_fee).saturating_add(tip)))
}

fn call(api: &Api, arguments: Arguments) -> Result<Bytes, RpcError> {
    let mut scene = Scene::new(api, arguments)?;
    let gas = scene.call.gas_limit;
    let outcome = scene.execute().map_err(|error| execute_error(error, gas))?;
    match outcome.execution.outcome {
        Outcome::Success { output, .. } => Ok(output),
        Outcome::Revert { output } => Err(RpcError::Reverted(output)),
        Outcome::Halt { reason } => Err(RpcError::Halted(reason)),
    }
}

/// Why a message was not executed, as geth says it.
pub(super) fn execute_error(error: ExecuteError<StateError>, gas: u64) -> RpcError {
    match error {
        ExecuteError::Invalid(reason) => RpcError::InvalidCall { reason, gas },
        ExecuteError::State(error) => RpcError::State(error),
        ExecuteError::Layer(error) => {
            tracing::error!(error, "execution layer failed");
            RpcError::Internal("the execution layer failed")
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListResult {
    access_list: AccessList,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    gas_used: U64,
}

/// Executes the message again with what it has accessed until that is what it was given.
fn create_access_list(
    api: &Api,
    arguments: Arguments,
    deadline: Deadline,
) -> Result<AccessListResult, RpcError> {
    let mut scene = Scene::new(api, arguments)?;
    let gas = scene.call.gas_limit;
    for _ in 0..ACCESS_LIST_ROUNDS {
        deadline.check()?;
        let outcome = scene.execute().map_err(|error| execute_error(error, gas))?;
        let list = access_list(&scene, &outcome);
        if list == scene.call.access_list {
            let error = match outcome.execution.outcome {
                Outcome::Success { .. } => None,
                Outcome::Revert { output } => Some(RpcError::Reverted(output).to_string()),
                Outcome::Halt { reason } => Some(reason.to_string()),
            };
            return Ok(AccessListResult {
                access_list: list,
                error,
                gas_used: U64::from(outcome.execution.gas_used),
            });
        }
        scene.call.access_list = list;
    }
    Err(RpcError::Internal("the access list did not settle"))
}

/// What the message accessed, without the addresses that are warm anyway and have no slots there.
fn access_list(scene: &Scene<'_>, outcome: &CallOutcome) -> AccessList {
    let target = match (scene.call.to, &outcome.execution.outcome) {
        (TxKind::Call(to), _) => Some(to),
        (TxKind::Create, Outcome::Success { created, .. }) => *created,
        (TxKind::Create, _) => Some(scene.call.from.create(outcome.execution.sender_nonce)),
    };
    let is_warm = |address: Address| {
        address == scene.call.from
            || Some(address) == target
            || address == scene.env.beneficiary
            || is_precompile(address)
    };
    let items = outcome
        .accessed
        .iter()
        .filter(|account| !account.slots.is_empty() || !is_warm(account.address))
        .map(|account| AccessListItem {
            address: account.address,
            storage_keys: account.slots.iter().map(|slot| (*slot).into()).collect(),
        })
        .collect();
    AccessList(items)
}

fn is_precompile(address: Address) -> bool {
    let (first, last) = PRECOMPILES;
    first
        .chain([last])
        .any(|number| address == Address::left_padding_from(&number.to_be_bytes()))
}
