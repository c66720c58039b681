use std::sync::Arc;

use alloy_primitives::{Bytes, KECCAK256_EMPTY};
use weft_executor_core::StateView;
use weft_primitives::Transaction;

use super::{RpcError, api::Api};
use crate::mempool::{MempoolError, PooledTransaction, check_sender_code};

impl Api {
    /// Takes a signed transaction in: decodes it, checks what needs no state, recovers the sender,
    /// looks the account up and hands all to the mempool. The only way in.
    ///
    /// # Errors
    /// [`RpcError::ReadOnly`], [`RpcError::Transaction`] or [`RpcError::Mempool`] with the reason.
    pub(super) async fn submit(
        self: &Arc<Self>,
        bytes: Bytes,
    ) -> Result<Arc<PooledTransaction>, RpcError> {
        let api = Arc::clone(self);
        self.workers.short(move || api.admit(&bytes)).await?
    }

    fn admit(&self, bytes: &[u8]) -> Result<Arc<PooledTransaction>, RpcError> {
        let mempool = self.mempool()?;
        let transaction = Transaction::decode_for_l2(bytes)?;
        if mempool.get(&transaction.hash()).is_some() {
            return Err(MempoolError::AlreadyKnown.into());
        }
        let transaction = transaction.recover()?;
        mempool.check_stateless(&transaction)?;
        let sender = transaction.signer();
        let mut state = self.chain.store().latest_state()?;
        let account = state.account(sender)?.unwrap_or_default();
        if account.code_hash != KECCAK256_EMPTY {
            check_sender_code(sender, &state.code(account.code_hash)?)?;
        }
        Ok(mempool.add(transaction, account)?)
    }
}
