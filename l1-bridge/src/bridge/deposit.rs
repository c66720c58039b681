use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_sol_types::SolCall;
use serde::Serialize;
use serde_json::Value;
use weft_primitives::{Transaction, user_deposit_from_log};

use super::{Bridge, BridgeError, Token, parse_units, wei};
use crate::{
    L1Client, L1Error,
    contract::{Rollup, TokenBridge},
};

/// Gas limit on L2 of a plain ETH deposit, in gas: the contract's own bound for one without input,
/// plus what a receiving contract may need.
const DEPOSIT_GAS_LIMIT: u64 = 100_000;

/// What is deposited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asset {
    /// Ether.
    Ether,
    /// A token on L1, through a token bridge.
    Token {
        /// The token.
        token: Address,
        /// The token bridge's contract on L1.
        bridge: Address,
    },
}

/// A deposit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// What.
    pub asset: Asset,
    /// How much, in whole units.
    pub amount: String,
    /// Account that gets it on L2; `None` for the sender's own.
    pub to: Option<Address>,
}

/// A deposit that L1 has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DepositSummary {
    /// L1 transaction of the deposit.
    pub l1_transaction: B256,
    /// L1 block that holds it.
    pub l1_block: u64,
    /// Transaction on L2 that it becomes.
    pub l2_transaction: B256,
    /// Account that gets it on L2.
    pub to: Address,
    /// The token on L1; `None` for ether.
    pub token: Option<Address>,
    /// Amount in the smallest units, in decimal.
    pub amount: String,
}

/// A transaction that L2 has to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedTransaction {
    /// Account that is called; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei that the call sends, of what the sender holds on L2 after `mint`.
    pub value: U256,
    /// Wei that are deposited for the sender first.
    pub mint: U256,
    /// Input of the call, or initcode.
    pub data: Bytes,
    /// Gas limit on L2, in gas.
    pub gas_limit: u64,
}

/// A forced transaction that L1 has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForcedSummary {
    /// L1 transaction that forces it.
    pub l1_transaction: B256,
    /// L1 block that holds it.
    pub l1_block: u64,
    /// Its hash on L2.
    pub l2_transaction: B256,
    /// Position in the queue.
    pub deposit: u64,
    /// Last L1 time at which a batch may leave it out, in seconds since the Unix epoch.
    pub deadline: u64,
}

/// How far a deposit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DepositStage {
    /// On L1; no L2 block has taken it in.
    Waiting,
    /// An L2 block has executed it.
    Executed,
    /// An L2 block has taken it in, and it failed there: what it minted stays with its L2 sender.
    Failed,
}

/// How far a deposit is, with its places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DepositStatus {
    /// How far it is.
    pub stage: DepositStage,
    /// L1 transaction that made it.
    pub l1_transaction: B256,
    /// L1 block that holds it.
    pub l1_block: u64,
    /// Transaction on L2 that it becomes.
    pub l2_transaction: B256,
    /// L2 block that has taken it in.
    pub l2_block: Option<u64>,
}

/// A deposit as its L1 transaction's receipt shows it.
struct Made {
    l1_transaction: B256,
    l1_block: u64,
    l2_transaction: B256,
}

impl Bridge {
    /// Moves ether or tokens of the sender from L1 to L2. A token is approved for the bridge first,
    /// for this amount, when it is not yet.
    ///
    /// # Errors
    /// When the address is not a rollup's contract, or a transaction does not get into L1.
    pub async fn deposit(&self, deposit: Deposit) -> Result<DepositSummary, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let l1 = self.l1()?;
        let sender = self.sender(l1)?;
        let to = deposit.to.unwrap_or_else(|| sender.address());
        let (target, value, call, amount, token) = match deposit.asset {
            Asset::Ether => {
                let amount = parse_units("--amount", &deposit.amount, 18)?;
                let call = Rollup::depositTransactionCall {
                    to,
                    value: amount,
                    gasLimit: DEPOSIT_GAS_LIMIT,
                    isCreation: false,
                    data: Bytes::new(),
                };
                (rollup, amount, call.abi_encode(), amount, None)
            }
            Asset::Token { token, bridge } => {
                let found = l1
                    .view(bridge, &TokenBridge::rollupCall {}, BlockId::latest())
                    .await?;
                if found != rollup {
                    return Err(L1Error::answer(
                        format!("rollup() of token bridge {bridge}"),
                        rollup.to_string(),
                        found.to_string(),
                    )
                    .into());
                }
                let decimals = self.decimals(l1, token).await?;
                let amount = parse_units("--amount", &deposit.amount, decimals)?;
                self.approve(token, bridge, amount).await?;
                let call = TokenBridge::depositTokenCall { token, to, amount };
                (bridge, U256::ZERO, call.abi_encode(), amount, Some(token))
            }
        };
        let receipt = sender
            .send(TxKind::Call(target), value, call.into())
            .await?;
        let made = made(&receipt, rollup)?;
        Ok(DepositSummary {
            l1_transaction: made.l1_transaction,
            l1_block: made.l1_block,
            l2_transaction: made.l2_transaction,
            to,
            token,
            amount: wei(amount),
        })
    }

    /// Lets the bridge take `amount` of a token from the sender. What is approved already is set to
    /// zero first: some tokens want it so.
    async fn approve(
        &self,
        token: Address,
        spender: Address,
        amount: U256,
    ) -> Result<(), BridgeError> {
        let l1 = self.l1()?;
        let sender = self.sender(l1)?;
        let owner = sender.address();
        let allowance = Token::allowanceCall { owner, spender };
        let approved = l1.view(token, &allowance, BlockId::latest()).await?;
        if approved >= amount {
            return Ok(());
        }
        let steps = [Some(amount), (!approved.is_zero()).then_some(U256::ZERO)];
        for amount in steps.into_iter().rev().flatten() {
            let call = Token::approveCall { spender, amount };
            sender
                .send(TxKind::Call(token), U256::ZERO, call.abi_encode().into())
                .await?;
        }
        Ok(())
    }

    /// Puts a transaction into the queue on L1, from which L2 must execute it.
    ///
    /// # Errors
    /// When the address is not a rollup's contract, or the transaction does not get into L1.
    pub async fn force(&self, forced: ForcedTransaction) -> Result<ForcedSummary, BridgeError> {
        let info = self.rollup().await?;
        let (rollup, l1) = (info.contract, self.l1()?);
        let call = Rollup::depositTransactionCall {
            to: forced.to.unwrap_or_default(),
            value: forced.value,
            gasLimit: forced.gas_limit,
            isCreation: forced.to.is_none(),
            data: forced.data,
        };
        let receipt = self
            .sender(l1)?
            .send(TxKind::Call(rollup), forced.mint, call.abi_encode().into())
            .await?;
        let made = made(&receipt, rollup)?;
        let at = BlockId::number(made.l1_block);
        let (count, timestamp) = (
            l1.view(rollup, &Rollup::depositCountCall {}, at).await?,
            l1.existing_block(made.l1_block).await?.timestamp,
        );
        Ok(ForcedSummary {
            l1_transaction: made.l1_transaction,
            l1_block: made.l1_block,
            l2_transaction: made.l2_transaction,
            // Others may have come in the same block: at most this one.
            deposit: count.saturating_sub(1),
            deadline: timestamp.saturating_add(info.forced_inclusion_delay),
        })
    }

    /// How far the first deposit of an L1 transaction is.
    ///
    /// # Errors
    /// When a node does not answer properly, or the transaction made no deposit.
    pub async fn deposit_status(&self, l1_tx: B256) -> Result<DepositStatus, BridgeError> {
        let rollup = self.rollup().await?.contract;
        let receipt = self.l1()?.receipt(l1_tx).await?;
        let receipt = receipt.ok_or(BridgeError::NoDeposit(l1_tx))?;
        let made = made(&receipt, rollup)?;
        let found = l2_receipt(self.l2()?, made.l2_transaction).await?;
        Ok(DepositStatus {
            stage: match found {
                None => DepositStage::Waiting,
                Some((_, true)) => DepositStage::Executed,
                Some((_, false)) => DepositStage::Failed,
            },
            l1_transaction: made.l1_transaction,
            l1_block: made.l1_block,
            l2_transaction: made.l2_transaction,
            l2_block: found.map(|(block, _)| block),
        })
    }
}

/// Block and success of a transaction on L2. Its receipt may be of a type that L1 does not know.
async fn l2_receipt(l2: &L1Client, hash: B256) -> Result<Option<(u64, bool)>, L1Error> {
    let method = "eth_getTransactionReceipt";
    let receipt: Option<Value> = l2.request(method, (hash,)).await?;
    let Some(receipt) = receipt else {
        return Ok(None);
    };
    let number = |field: &str| -> Option<u64> {
        let value = receipt.get(field)?.clone();
        Some(serde_json::from_value::<U64>(value).ok()?.to())
    };
    match (number("blockNumber"), number("status")) {
        (Some(block), Some(status)) => Ok(Some((block, status == 1))),
        _ => Err(L1Error::answer(
            format!("{method}({hash})"),
            "a receipt with blockNumber and status",
            receipt.to_string(),
        )),
    }
}

/// The first deposit of a transaction.
fn made(receipt: &TransactionReceipt, rollup: Address) -> Result<Made, BridgeError> {
    let l1_transaction = receipt.transaction_hash;
    let none = || BridgeError::NoDeposit(l1_transaction);
    let (l1_block, block_hash) = receipt
        .block_number
        .zip(receipt.block_hash)
        .ok_or_else(none)?;
    let deposit = receipt
        .logs()
        .iter()
        .filter(|log| log.address() == rollup)
        .find_map(|log| user_deposit_from_log(&log.inner, block_hash, log.log_index?).ok())
        .ok_or_else(none)?;
    Ok(Made {
        l1_transaction,
        l1_block,
        l2_transaction: Transaction::from(deposit).hash(),
    })
}
