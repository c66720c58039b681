use std::sync::Arc;

use alloy_primitives::{Address, B256, U64};
use serde::Deserialize;
use weft_l1_bridge::bridge::{ProvingBatch, WithdrawalProof};

use crate::{
    chain::{StartedWithdrawal, WithdrawalIndexError, withdrawals_in_block},
    rpc::{
        RpcError,
        api::{Api, Registry, to_json},
    },
};

/// Most withdrawals in one answer.
const MOST: usize = 100;

/// Methods about withdrawals to L1.
pub(super) fn register(registry: &mut Registry) {
    registry.asynchronous(
        "weft_getWithdrawalProof",
        1,
        |api, mut arguments| async move {
            let id: Id = arguments.required(
                "the index of a withdrawal or the hash of the transaction that started it",
            )?;
            let worker_api = Arc::clone(&api);
            let started = api.workers.long(move |_| find(&worker_api, id)).await??;
            match started {
                None => to_json(Ok(None::<WithdrawalProof>)),
                Some(started) => to_json(prove(&api, started).await),
            }
        },
    );
    registry.asynchronous("weft_getWithdrawals", 2, |api, mut arguments| async move {
        let sender: Address = arguments.required("a 20-byte address")?;
        let from: Option<U64> = arguments.optional("the index of a withdrawal")?;
        let worker_api = Arc::clone(&api);
        let found = api
            .workers
            .long(move |_| of_sender(&worker_api, sender, from.unwrap_or_default().to()))
            .await??;
        let mut answer = Vec::with_capacity(found.len());
        for started in found {
            answer.push(prove(&api, started).await?);
        }
        to_json(Ok(answer))
    });
}

/// Which withdrawal is meant: a number is an index, 32 bytes are a transaction's hash.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Id {
    Transaction(B256),
    Index(U64),
}

fn find(api: &Api, id: Id) -> Result<Option<StartedWithdrawal>, RpcError> {
    let store = api.chain.store();
    match id {
        Id::Index(index) => Ok(api.chain.withdrawals().get(store, index.to())?),
        Id::Transaction(hash) => {
            let Some(place) = store.transaction_location(hash)? else {
                return Ok(None);
            };
            let started = withdrawals_in_block(store, place.block_number)?;
            Ok(started.into_iter().find(|started| started.tx_hash == hash))
        }
    }
}

fn of_sender(api: &Api, sender: Address, from: u64) -> Result<Vec<StartedWithdrawal>, RpcError> {
    let store = api.chain.store();
    let withdrawals = api.chain.withdrawals();
    let indices = withdrawals.of_sender(store, sender, from, MOST)?;
    let mut found = Vec::with_capacity(indices.len());
    for index in indices {
        found.extend(withdrawals.get(store, index)?);
    }
    Ok(found)
}

/// Adds the batch with the withdrawal, when L1 has it, and the proof against its root.
async fn prove(api: &Arc<Api>, started: StartedWithdrawal) -> Result<WithdrawalProof, RpcError> {
    let index = started.withdrawal.index;
    let batch = match api.l1.batch_of_block(started.block).await? {
        None => None,
        Some(batch) => {
            let (worker_api, last_block) = (Arc::clone(api), batch.last_block);
            let proof = api
                .workers
                .long(move |_| {
                    let chain = &worker_api.chain;
                    chain.withdrawals().proof(chain.store(), index, last_block)
                })
                .await??;
            // A root that is not this chain's cannot be proven against: the batch is another's.
            proof
                .filter(|(_, root)| *root == batch.header.withdrawals_root)
                .map(|(proof, _)| ProvingBatch {
                    index: batch.index,
                    hash: batch.hash,
                    header: batch.header,
                    proof: proof.to_vec(),
                })
        }
    };
    let withdrawal_hash = started.withdrawal.hash();
    let on_l1 = api.l1.withdrawal(withdrawal_hash).await?;
    Ok(WithdrawalProof {
        withdrawal_hash,
        withdrawal: started.withdrawal.into(),
        block_number: started.block,
        transaction_hash: started.tx_hash,
        batch,
        proven_by: on_l1.proven_by,
        finalized_by: on_l1.finalized_by,
    })
}

impl From<WithdrawalIndexError> for RpcError {
    fn from(error: WithdrawalIndexError) -> Self {
        match error {
            WithdrawalIndexError::Store(error) => error.into(),
            WithdrawalIndexError::Log { .. } | WithdrawalIndexError::Sequence { .. } => {
                tracing::error!(%error, "the chain's withdrawals cannot be listed");
                Self::Internal("the chain's withdrawals predeploy is not weft's")
            }
        }
    }
}
