use std::{fmt, time::Duration};

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_sol_types::SolCall;
use serde::Serialize;
use tokio::time::Instant;
use weft_primitives::{Withdrawal, predeploys, withdrawal_proof_leads_to};

use super::{Bridge, BridgeError, POLL, WithdrawalProof, parse_units, settle, wei};
use crate::{
    L1Client, L1Error,
    contract::{
        AbiBatchHeader, AbiWithdrawal, L2TokenBridgePredeploy, Rollup, WithdrawalsPredeploy,
    },
};

/// Gas that the call on L1 gets at least when ether is withdrawn to an account, in gas.
const ETHER_GAS: u64 = 100_000;

/// Which withdrawal is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawalId {
    /// The one with this index.
    Index(u64),
    /// The first that this L2 transaction has started.
    Transaction(B256),
}

impl fmt::Display for WithdrawalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Transaction(hash) => write!(f, "of transaction {hash}"),
        }
    }
}

/// A withdrawal that L2 has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawSummary {
    /// Index of the withdrawal.
    pub index: u64,
    /// Its hash.
    pub withdrawal_hash: B256,
    /// L2 transaction that started it.
    pub l2_transaction: B256,
    /// L2 block that holds it.
    pub l2_block: u64,
    /// Account that gets it on L1.
    pub to: Address,
    /// The token, by its address on L1; `None` for ether.
    pub token: Option<Address>,
    /// Amount in the smallest units, in decimal.
    pub amount: String,
}

/// A withdrawal that L1 knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProveSummary {
    /// Index of the withdrawal.
    pub index: u64,
    /// Its hash.
    pub withdrawal_hash: B256,
    /// Batch that it was proven with.
    pub batch: u64,
    /// When the batch's challenge window ends, in seconds since the Unix epoch.
    pub settles_at: u64,
    /// L1 transaction that proved it.
    pub l1_transaction: B256,
}

/// A withdrawal that is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FinalizeSummary {
    /// Index of the withdrawal.
    pub index: u64,
    /// Its hash.
    pub withdrawal_hash: B256,
    /// L1 transaction that paid it.
    pub l1_transaction: B256,
    /// L1 block that holds it.
    pub l1_block: u64,
}

/// How far a withdrawal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStage {
    /// On L2; no batch on L1 holds it.
    Started,
    /// A batch on L1 holds it: it can be proven.
    Posted,
    /// Proven on L1; its batch is not settled.
    Proven,
    /// Proven, and its batch is settled: it can be finalized.
    Payable,
    /// Paid.
    Paid,
}

/// How far a withdrawal is, with its places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawalStatus {
    /// How far it is.
    pub stage: WithdrawalStage,
    /// Index of the withdrawal.
    pub index: u64,
    /// Its hash.
    pub withdrawal_hash: B256,
    /// L2 transaction that started it.
    pub l2_transaction: B256,
    /// L2 block that holds it.
    pub l2_block: u64,
    /// The batch that it was proven with, or else the first that holds it.
    pub batch: Option<u64>,
    /// When that batch's challenge window ends, in seconds since the Unix epoch.
    pub settles_at: Option<u64>,
}

/// What L1 knows of a withdrawal.
struct OnL1 {
    proven_in: Option<u64>,
    settles_at: u64,
    is_settled: bool,
    is_paid: bool,
}

impl Bridge {
    /// Starts a withdrawal of the sender's ether or tokens on L2. `amount` is in whole units.
    ///
    /// # Errors
    /// When the transaction does not get into L2.
    pub async fn withdraw(
        &self,
        token: Option<Address>,
        amount: &str,
        to: Option<Address>,
    ) -> Result<WithdrawSummary, BridgeError> {
        let l2 = self.l2()?;
        let sender = self.sender(l2)?;
        let to = to.unwrap_or_else(|| sender.address());
        let (target, value, call, amount) = match token {
            None => {
                let amount = parse_units("--amount", amount, 18)?;
                let call = WithdrawalsPredeploy::initiateWithdrawalCall {
                    target: to,
                    gasLimit: U256::from(ETHER_GAS),
                    data: Bytes::new(),
                };
                (predeploys::WITHDRAWALS, amount, call.abi_encode(), amount)
            }
            Some(token) => {
                let on_l2 = L2TokenBridgePredeploy::tokenOfCall { l1Token: token };
                let on_l2 = l2
                    .view(predeploys::TOKEN_BRIDGE, &on_l2, BlockId::latest())
                    .await?;
                let decimals = self.decimals(l2, on_l2).await?;
                let amount = parse_units("--amount", amount, decimals)?;
                let call = L2TokenBridgePredeploy::withdrawCall {
                    l1Token: token,
                    to,
                    amount,
                };
                let call = call.abi_encode();
                (predeploys::TOKEN_BRIDGE, U256::ZERO, call, amount)
            }
        };
        let receipt = sender
            .send(TxKind::Call(target), value, call.into())
            .await?;
        let tx_hash = receipt.transaction_hash;
        let missing = |expected| BridgeError::Receipt { tx_hash, expected };
        let withdrawal = receipt
            .logs()
            .iter()
            .find_map(|log| Withdrawal::from_log(&log.inner))
            .and_then(Result::ok)
            .ok_or_else(|| missing("a withdrawal"))?;
        Ok(WithdrawSummary {
            index: withdrawal.index,
            withdrawal_hash: withdrawal.hash(),
            l2_transaction: tx_hash,
            l2_block: receipt
                .block_number
                .ok_or_else(|| missing("a block number"))?,
            to,
            token,
            amount: wei(amount),
        })
    }

    /// Proves a withdrawal on L1, waiting for its batch for at most `wait`.
    ///
    /// # Errors
    /// When L1 has no batch with it in time, or the transaction does not get into L1.
    pub async fn prove(
        &self,
        id: WithdrawalId,
        wait: Duration,
    ) -> Result<ProveSummary, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let l1 = self.l1()?;
        let end = Instant::now() + wait;
        loop {
            let proof = self.proof(id).await?;
            let index = proof.withdrawal.index;
            // The L2 node reads L1 on its own time: what it says is looked up.
            if let Some(batch) = &proof.batch
                && self
                    .batch_is_on_l1(l1, rollup, batch.index, batch.hash)
                    .await?
            {
                let call = Rollup::proveWithdrawalCall {
                    withdrawal: AbiWithdrawal::from(proof.withdrawal.clone()),
                    batchIndex: U256::from(batch.index),
                    header: AbiBatchHeader::from(&batch.header),
                    proof: batch.proof.clone(),
                };
                let receipt = self
                    .sender(l1)?
                    .send(TxKind::Call(rollup), U256::ZERO, call.abi_encode().into())
                    .await?;
                return Ok(ProveSummary {
                    index,
                    withdrawal_hash: proof.withdrawal_hash,
                    batch: batch.index,
                    settles_at: settles_at(l1, rollup, batch.index).await?,
                    l1_transaction: receipt.transaction_hash,
                });
            }
            if Instant::now() >= end {
                return Err(BridgeError::NotPosted {
                    index,
                    block: proof.block_number,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes a withdrawal's payment on L1, waiting for its batch to settle for at most `wait`.
    ///
    /// # Errors
    /// When it is not proven, not settled in time or paid already, or a transaction does not get into
    /// L1.
    pub async fn finalize(
        &self,
        id: WithdrawalId,
        wait: Duration,
    ) -> Result<FinalizeSummary, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let l1 = self.l1()?;
        let sender = self.sender(l1)?;
        let end = Instant::now() + wait;
        let proof = self.proof(id).await?;
        let index = proof.withdrawal.index;
        loop {
            let on_l1 = on_l1(l1, rollup, proof.withdrawal_hash).await?;
            if on_l1.is_paid {
                return Err(BridgeError::AlreadyPaid(index));
            }
            let batch = on_l1.proven_in.ok_or(BridgeError::NotProven(index))?;
            if on_l1.is_settled {
                break;
            }
            // Anybody may settle what has waited long enough; without need nobody does.
            if settle(&sender, l1, rollup).await? {
                continue;
            }
            if Instant::now() >= end {
                return Err(BridgeError::NotSettled {
                    index,
                    batch,
                    settles_at: on_l1.settles_at,
                });
            }
            tokio::time::sleep(POLL).await;
        }
        let call = Rollup::finalizeWithdrawalCall {
            withdrawal: AbiWithdrawal::from(proof.withdrawal),
        };
        let receipt = sender
            .send(TxKind::Call(rollup), U256::ZERO, call.abi_encode().into())
            .await?;
        let tx_hash = receipt.transaction_hash;
        Ok(FinalizeSummary {
            index,
            withdrawal_hash: proof.withdrawal_hash,
            l1_transaction: tx_hash,
            l1_block: receipt.block_number.ok_or(BridgeError::Receipt {
                tx_hash,
                expected: "a block number",
            })?,
        })
    }

    /// How far a withdrawal is.
    ///
    /// # Errors
    /// When a node does not answer properly, or L2 has no such withdrawal.
    pub async fn withdrawal_status(
        &self,
        id: WithdrawalId,
    ) -> Result<WithdrawalStatus, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let l1 = self.l1()?;
        let proof = self.proof(id).await?;
        let on_l1 = on_l1(l1, rollup, proof.withdrawal_hash).await?;
        let posted = proof.batch.as_ref().map(|batch| batch.index);
        let batch = on_l1.proven_in.or(posted);
        Ok(WithdrawalStatus {
            stage: match (on_l1.is_paid, on_l1.proven_in, posted) {
                (true, ..) => WithdrawalStage::Paid,
                (false, Some(_), _) if on_l1.is_settled => WithdrawalStage::Payable,
                (false, Some(_), _) => WithdrawalStage::Proven,
                (false, None, Some(_)) => WithdrawalStage::Posted,
                (false, None, None) => WithdrawalStage::Started,
            },
            index: proof.withdrawal.index,
            withdrawal_hash: proof.withdrawal_hash,
            l2_transaction: proof.transaction_hash,
            l2_block: proof.block_number,
            settles_at: match batch {
                Some(batch) => Some(settles_at(l1, rollup, batch).await?),
                None => None,
            },
            batch,
        })
    }

    /// What L2 says about a withdrawal, checked to be the one that was asked for and to fit itself.
    async fn proof(&self, id: WithdrawalId) -> Result<WithdrawalProof, BridgeError> {
        let l2 = self.l2()?;
        let method = "weft_getWithdrawalProof";
        let found: Option<WithdrawalProof> = match id {
            WithdrawalId::Index(index) => l2.request(method, (U64::from(index),)).await?,
            WithdrawalId::Transaction(hash) => l2.request(method, (hash,)).await?,
        };
        let proof = found.ok_or(BridgeError::UnknownWithdrawal(id))?;
        let withdrawal = Withdrawal::from(proof.withdrawal.clone());
        let is_asked_for = match id {
            WithdrawalId::Index(index) => index == withdrawal.index,
            WithdrawalId::Transaction(hash) => hash == proof.transaction_hash,
        };
        let leads = proof.batch.as_ref().is_none_or(|batch| {
            withdrawal_proof_leads_to(
                proof.withdrawal_hash,
                withdrawal.index,
                &batch.proof,
                batch.header.withdrawals_root,
            )
        });
        if is_asked_for && leads && withdrawal.hash() == proof.withdrawal_hash {
            return Ok(proof);
        }
        Err(L1Error::answer(
            format!("{method} of withdrawal {id}"),
            "that withdrawal with a proof that holds",
            format!(
                "withdrawal {} of {}",
                withdrawal.index, proof.transaction_hash
            ),
        )
        .into())
    }

    async fn batch_is_on_l1(
        &self,
        l1: &L1Client,
        rollup: Address,
        index: u64,
        hash: B256,
    ) -> Result<bool, L1Error> {
        let count = l1
            .view(rollup, &Rollup::batchCountCall {}, BlockId::latest())
            .await?;
        if U256::from(index) >= count {
            return Ok(false);
        }
        let call = Rollup::batchHashesCall {
            index: U256::from(index),
        };
        Ok(l1.view(rollup, &call, BlockId::latest()).await? == hash)
    }
}

async fn settles_at(l1: &L1Client, rollup: Address, batch: u64) -> Result<u64, L1Error> {
    let latest = BlockId::latest();
    let posted = Rollup::batchPostedAtCall {
        index: U256::from(batch),
    };
    let posted_at = l1.view(rollup, &posted, latest).await?;
    let window = l1
        .view(rollup, &Rollup::challengeWindowCall {}, latest)
        .await?;
    Ok(posted_at.saturating_add(window))
}

async fn on_l1(l1: &L1Client, rollup: Address, hash: B256) -> Result<OnL1, L1Error> {
    // All at one block, so that they fit each other.
    let at = BlockId::number(l1.block_number().await?);
    let is_paid = l1
        .view(
            rollup,
            &Rollup::finalizedWithdrawalsCall {
                withdrawalHash: hash,
            },
            at,
        )
        .await?;
    let proven = l1
        .view(
            rollup,
            &Rollup::provenWithdrawalsCall {
                withdrawalHash: hash,
            },
            at,
        )
        .await?;
    let count = l1.view(rollup, &Rollup::batchCountCall {}, at).await?;
    let batch = U256::from(proven.batchIndex);
    let still_there = !proven.batchHash.is_zero()
        && batch < count
        && l1
            .view(rollup, &Rollup::batchHashesCall { index: batch }, at)
            .await?
            == proven.batchHash;
    if !still_there {
        return Ok(OnL1 {
            proven_in: None,
            settles_at: 0,
            is_settled: false,
            is_paid,
        });
    }
    let settled = l1.view(rollup, &Rollup::settledBatchesCall {}, at).await?;
    Ok(OnL1 {
        proven_in: Some(proven.batchIndex),
        settles_at: settles_at(l1, rollup, proven.batchIndex).await?,
        is_settled: batch < U256::from(settled),
        is_paid,
    })
}
