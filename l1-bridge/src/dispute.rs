//! Disputes about batches: what the contract asks for, and what a challenger sends.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_sol_types::{SolCall, SolEvent};

use crate::{L1Client, L1Error, RollupInfo, SendError, TransactionManager, contract::Rollup};

/// How a batch stands on L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchStanding {
    /// Hash of the batch with this index; zero when there is none.
    pub batch_hash: B256,
    /// Until when it can be challenged, in seconds since the Unix epoch.
    pub challenge_deadline: u64,
    /// Whether it can no longer be removed.
    pub is_settled: bool,
    /// Timestamp of the L1 block in which all this was so, in seconds since the Unix epoch.
    pub l1_timestamp: u64,
}

/// The contract's side of disputes.
#[derive(Debug, Clone)]
pub struct Disputes {
    client: L1Client,
    contract: Address,
}

impl Disputes {
    /// The disputes of a contract.
    pub const fn new(client: L1Client, info: &RollupInfo) -> Self {
        Self {
            client,
            contract: info.contract,
        }
    }

    /// How the batch with this index stands in L1's newest block.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn standing(&self, index: u64) -> Result<BatchStanding, L1Error> {
        let head = self.client.block_number().await?;
        let block = self.client.existing_block(head).await?;
        // All at one block, so that they fit each other.
        let at = BlockId::number(head);
        let index = U256::from(index);
        let posted_at: u64 = self.view(Rollup::batchPostedAtCall { index }, at).await?;
        let window: u64 = self.view(Rollup::challengeWindowCall {}, at).await?;
        Ok(BatchStanding {
            batch_hash: self.view(Rollup::batchHashesCall { index }, at).await?,
            challenge_deadline: posted_at.saturating_add(window),
            is_settled: self.view(Rollup::isSettledCall { index }, at).await?,
            l1_timestamp: block.timestamp,
        })
    }

    /// What a challenge costs until it is decided, in wei.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn bond(&self) -> Result<U256, L1Error> {
        let bond = self
            .view(Rollup::challengeBondCall {}, BlockId::latest())
            .await?;
        Ok(U256::from(bond))
    }

    /// What [`Disputes::claim`] would pay, in wei: zero while the dispute is open, when it was lost,
    /// and when it was paid.
    ///
    /// # Errors
    /// When L1 does not answer properly.
    pub async fn bond_of(&self, dispute: u64) -> Result<U256, L1Error> {
        let call = Rollup::bondOfCall {
            disputeId: U256::from(dispute),
        };
        self.view(call, BlockId::latest()).await
    }

    /// Disputes a batch with the account of `manager`, which pays the bond. Returns the number of the
    /// dispute and the receipt.
    ///
    /// # Errors
    /// When the transaction does not get into L1, for example because the batch is another one, is
    /// disputed already, or its time is over.
    pub async fn challenge(
        &self,
        manager: &TransactionManager,
        index: u64,
        batch_hash: B256,
    ) -> Result<(u64, TransactionReceipt), SendError> {
        let call = Rollup::challengeBatchCall {
            index: U256::from(index),
            batchHash: batch_hash,
        };
        let bond = self.bond().await?;
        let receipt = manager
            .send(TxKind::Call(self.contract), bond, call.abi_encode().into())
            .await?;
        let dispute = receipt
            .logs()
            .iter()
            .filter(|log| log.inner.address == self.contract)
            .find_map(|log| Rollup::BatchChallenged::decode_log(&log.inner).ok())
            .and_then(|event| u64::try_from(event.disputeId).ok())
            .ok_or_else(|| {
                L1Error::answer(
                    format!("receipt of {}", receipt.transaction_hash),
                    "an event BatchChallenged",
                    "none",
                )
            })?;
        Ok((dispute, receipt))
    }

    /// Has the bond of a dispute paid back to its challenger.
    ///
    /// # Errors
    /// When the transaction does not get into L1, for example because there is nothing to pay.
    pub async fn claim(
        &self,
        manager: &TransactionManager,
        dispute: u64,
    ) -> Result<TransactionReceipt, SendError> {
        let call = Rollup::claimBondCall {
            disputeId: U256::from(dispute),
        };
        manager
            .send(
                TxKind::Call(self.contract),
                U256::ZERO,
                call.abi_encode().into(),
            )
            .await
    }

    async fn view<C: SolCall + Send>(&self, call: C, at: BlockId) -> Result<C::Return, L1Error> {
        self.client.view(self.contract, &call, at).await
    }
}
