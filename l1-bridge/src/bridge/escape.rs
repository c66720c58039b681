use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, TxKind, U64, U256, keccak256};
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_sol_types::{SolCall, SolValue};
use serde::Serialize;

use super::{Asset, Bridge, BridgeError, settle};
use crate::{
    L1Client, L1Error, TransactionManager,
    contract::{Rollup, TokenBridge},
};

/// What an account got out of a closed chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EscapeSummary {
    /// L1 transaction that closed the chain; `None` when it was closed before.
    pub closed_by: Option<B256>,
    /// L1 transaction that paid.
    pub l1_transaction: B256,
    /// L2 block whose state counts.
    pub l2_block: u64,
    /// Account that got it on L1.
    pub to: Address,
    /// The token; `None` for ether.
    pub token: Option<Address>,
}

impl Bridge {
    /// Takes out of a chain that has stopped what the sender held on L2 when its last batch was made.
    /// Closes the chain first when it is time. L2 is any node that still has the state of the last
    /// posted block: a follower does.
    ///
    /// # Errors
    /// When the chain cannot be closed yet, a node does not answer properly, or a transaction does
    /// not get into L1.
    pub async fn escape(
        &self,
        asset: Asset,
        to: Option<Address>,
    ) -> Result<EscapeSummary, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let (l1, l2) = (self.l1()?, self.l2()?);
        let sender = self.sender(l1)?;
        let account = sender.address();
        let to = to.unwrap_or(account);
        let closed_by = close(&sender, l1, rollup).await?;
        let latest = BlockId::latest();
        let l2_block = l1.view(rollup, &Rollup::lastBlockCall {}, latest).await?;
        let (target, call, token) = match asset {
            Asset::Ether => {
                let proof = proof(l2, account, &[], l2_block).await?;
                let call = Rollup::escapeEtherCall {
                    recipient: to,
                    accountProof: proof.account_proof,
                };
                (rollup, call.abi_encode(), None)
            }
            Asset::Token { token, bridge } => {
                let on_l2 = TokenBridge::l2TokenOfCall { token };
                let on_l2 = l1.view(bridge, &on_l2, latest).await?;
                // A mapping's value lies at the hash of its key and its own slot, the first.
                let slot = keccak256((account, U256::ZERO).abi_encode());
                let mut proof = proof(l2, on_l2, &[slot], l2_block).await?;
                let balance = proof.storage_proof.pop().ok_or_else(|| {
                    L1Error::answer("eth_getProof", "a proof of one slot", "none")
                })?;
                let call = TokenBridge::escapeTokenCall {
                    token,
                    recipient: to,
                    tokenProof: proof.account_proof,
                    balanceProof: balance.proof,
                };
                (bridge, call.abi_encode(), Some(token))
            }
        };
        let receipt = sender
            .send(TxKind::Call(target), U256::ZERO, call.into())
            .await?;
        Ok(EscapeSummary {
            closed_by,
            l1_transaction: receipt.transaction_hash,
            l2_block,
            to,
            token,
        })
    }
}

/// Closes the chain for ever, when it is not closed yet.
async fn close(
    sender: &TransactionManager,
    l1: &L1Client,
    rollup: Address,
) -> Result<Option<B256>, BridgeError> {
    let latest = BlockId::latest();
    if l1.view(rollup, &Rollup::closedCall {}, latest).await? {
        return Ok(None);
    }
    let deadline = l1
        .view(rollup, &Rollup::escapeDeadlineCall {}, latest)
        .await?;
    let head = l1.existing_block(l1.block_number().await?).await?;
    if U256::from(head.timestamp) < deadline {
        return Err(BridgeError::NotClosable {
            deadline: deadline.saturating_to(),
            now: head.timestamp,
        });
    }
    while settle(sender, l1, rollup).await? {}
    let close = Rollup::closeChainCall {}.abi_encode();
    let receipt = sender
        .send(TxKind::Call(rollup), U256::ZERO, close.into())
        .await?;
    Ok(Some(receipt.transaction_hash))
}

async fn proof(
    l2: &L1Client,
    account: Address,
    slots: &[B256],
    block: u64,
) -> Result<EIP1186AccountProofResponse, L1Error> {
    l2.request("eth_getProof", (account, slots, U64::from(block)))
        .await
}
