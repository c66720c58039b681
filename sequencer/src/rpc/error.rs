use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use jsonrpsee_types::{ErrorObjectOwned, error::ErrorCode};
use weft_executor_core::{HaltReason, InvalidTransaction};
use weft_primitives::TransactionError;
use weft_state::StateError;

use super::{context::L1InfoError, fair_queue::Busy, rate_limit::TooMany};
use crate::mempool::MempoolError;

/// Why a request has no result. Codes and texts are those of geth where it has one, because
/// clients match on them.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The request itself is not one of JSON-RPC 2.0.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// The parameters are not what the method takes.
    #[error("{0}")]
    InvalidParams(String),
    /// The message or transaction reverted.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// The message was stopped.
    #[error("{0}")]
    Halted(HaltReason),
    /// The message cannot stand at this point of the chain.
    #[error("err: {reason} (supplied gas {gas})")]
    InvalidCall {
        /// Why.
        reason: InvalidTransaction,
        /// Its gas limit, in gas.
        gas: u64,
    },
    /// No gas limit up to the allowance is enough.
    #[error("gas required exceeds allowance ({0})")]
    GasRequiredExceedsAllowance(u64),
    /// The mempool does not take the transaction.
    #[error("{0}")]
    Mempool(Box<MempoolError>),
    /// The bytes are not a transaction that may be sent.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The block is not known.
    #[error("{0}")]
    UnknownBlock(&'static str),
    /// The block is known, its state is not kept any more.
    #[error("state of block {0} is not kept: ask for a later block")]
    StateNotKept(u64),
    /// No filter with this id.
    #[error("filter not found")]
    UnknownFilter,
    /// A bound of the server.
    #[error("limit exceeded: {0}")]
    LimitExceeded(String),
    /// More is waiting than the server keeps.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The node does not take transactions in.
    #[error("read-only node: it follows the chain and takes no transactions")]
    ReadOnly,
    /// The node holds no keys.
    #[error(
        "unknown account: this node holds no keys, sign in a wallet and send the raw transaction"
    )]
    NoKeys,
    /// Only a WebSocket connection can carry notifications.
    #[error("notifications not supported: subscribe over WebSocket")]
    NotificationsUnsupported,
    /// EIP-7966: in the pool, not in a block in time.
    #[error("The transaction was added to the mempool but wasn't processed in {}ms.", waited.as_millis())]
    SyncTimeout {
        /// The transaction.
        hash: B256,
        /// How long the server waited.
        waited: Duration,
    },
    /// EIP-7966: in the pool, waiting for another transaction.
    #[error(
        "The transaction was added to the mempool but wasn't processed due to a missing nonce or insufficient funds."
    )]
    SyncNotReady(B256),
    /// A call took too long.
    #[error("execution aborted (timeout = {}ms)", .0.as_millis())]
    Timeout(Duration),
    /// The store cannot answer.
    #[error("state could not be read: {0}")]
    State(#[source] StateError),
    /// What is known about L1 cannot be read.
    #[error(transparent)]
    L1(#[from] L1InfoError),
    /// A fault of the server; the log has more.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Code of errors that JSON-RPC leaves to the server; geth's default.
const SERVER_ERROR: i32 = -32000;
/// EIP-1474's "limit exceeded".
const LIMIT_EXCEEDED: i32 = -32005;

impl RpcError {
    fn code(&self) -> i32 {
        match self {
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest.code(),
            Self::InvalidParams(_) => ErrorCode::InvalidParams.code(),
            Self::Reverted(_) => 3,
            Self::SyncTimeout { .. } => 4,
            Self::SyncNotReady(_) => 5,
            Self::LimitExceeded(_) | Self::Busy(_) => LIMIT_EXCEEDED,
            Self::NotificationsUnsupported => ErrorCode::MethodNotFound.code(),
            Self::State(_) | Self::L1(_) | Self::Internal(_) => ErrorCode::InternalError.code(),
            Self::Halted(_)
            | Self::InvalidCall { .. }
            | Self::GasRequiredExceedsAllowance(_)
            | Self::Mempool(_)
            | Self::Transaction(_)
            | Self::UnknownBlock(_)
            | Self::StateNotKept(_)
            | Self::UnknownFilter
            | Self::ReadOnly
            | Self::NoKeys
            | Self::Timeout(_) => SERVER_ERROR,
        }
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::TooManyChanges { number, most } => Self::LimitExceeded(format!(
                "blocks after {number} changed more than {most} accounts and slots: ask for a later \
                 block"
            )),
            error => Self::State(error),
        }
    }
}

impl From<TooMany> for RpcError {
    fn from(too_many: TooMany) -> Self {
        Self::LimitExceeded(match too_many.retry_after {
            Some(wait) => format!(
                "too many requests, try again in {} ms",
                wait.as_millis() + 1
            ),
            None => "more requests in one batch than this client may burst, send fewer".to_owned(),
        })
    }
}

impl From<MempoolError> for RpcError {
    fn from(error: MempoolError) -> Self {
        Self::Mempool(Box::new(error))
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        let data = match &error {
            RpcError::Reverted(output) => Some(output.to_string()),
            RpcError::SyncTimeout { hash, .. } | RpcError::SyncNotReady(hash) => {
                Some(hash.to_string())
            }
            _ => None,
        };
        if matches!(
            error,
            RpcError::State(_) | RpcError::L1(_) | RpcError::Internal(_)
        ) {
            tracing::error!(%error, "request failed");
        }
        Self::owned(error.code(), error.to_string(), data)
    }
}

fn revert_message(output: &[u8]) -> String {
    match revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// The text in the data of Solidity's `Error(string)` and `Panic(uint256)`; `None` for any other
/// data.
fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let (offset, rest) = arguments.split_first_chunk::<32>()?;
            if U256::from_be_bytes(*offset) != U256::from(32) {
                return None;
            }
            let (length, text) = rest.split_first_chunk::<32>()?;
            let length = usize::try_from(U256::from_be_bytes(*length)).ok()?;
            Some(String::from_utf8_lossy(text.get(..length)?).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => {
            let code = U256::from_be_bytes(*arguments.first_chunk::<32>()?);
            let text = match u8::try_from(code).ok() {
                Some(0x00) => "generic panic",
                Some(0x01) => "assert(false)",
                Some(0x11) => "arithmetic underflow or overflow",
                Some(0x12) => "division or modulo by zero",
                Some(0x21) => "enum overflow",
                Some(0x22) => "invalid encoded storage byte array accessed",
                Some(0x31) => "out-of-bounds array access; popping on an empty array",
                Some(0x32) => "out-of-bounds access of an array or bytesN",
                Some(0x41) => "out of memory",
                Some(0x51) => "uninitialized function",
                _ => return Some(format!("unknown panic code: {code:#x}")),
            };
            Some(text.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reasons_of_solidity_errors_are_read() {
        let error = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "0000000000000000000000000000000000000000000000000000000000000005"
            "68656c6c6f000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(revert_message(&error), "execution reverted: hello");
        let panic = hex!(
            "4e487b71"
            "0000000000000000000000000000000000000000000000000000000000000011"
        );
        assert_eq!(
            revert_message(&panic),
            "execution reverted: arithmetic underflow or overflow"
        );
        assert_eq!(revert_message(&hex!("deadbeef")), "execution reverted");
        assert_eq!(revert_message(&[]), "execution reverted");
    }

    proptest! {
        #[test]
        fn any_revert_data_is_read(selector in 0..3usize, data in proptest::collection::vec(any::<u8>(), 0..128)) {
            let selectors = [hex!("08c379a0"), hex!("4e487b71"), hex!("00000000")];
            let bytes = [selectors[selector].as_slice(), &data].concat();
            prop_assert!(revert_message(&bytes).starts_with("execution reverted"));
        }
    }
}
