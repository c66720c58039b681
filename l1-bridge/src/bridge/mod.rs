//! What users move between L1 and L2, from their side: deposits, forced transactions, withdrawals.

mod amounts;
mod deposit;
mod escape;
mod proof;
mod withdrawal;

use std::time::Duration;

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, sol};

pub use amounts::parse_units;
pub use deposit::{
    Asset, Deposit, DepositStage, DepositStatus, DepositSummary, ForcedSummary, ForcedTransaction,
};
pub use escape::EscapeSummary;
pub use proof::{BatchHeaderJson, ProvingBatch, WithdrawalJson, WithdrawalProof};
pub use withdrawal::{
    FinalizeSummary, ProveSummary, WithdrawSummary, WithdrawalId, WithdrawalStage, WithdrawalStatus,
};

use crate::{
    L1Client, L1ClientConfig, L1Error, RollupError, RollupInfo, SendError, TransactionManager,
    TxManagerConfig, contract::Rollup,
};

sol! {
    /// An ERC-20 token.
    interface Token {
        /// How many digits of an amount stand behind the point.
        function decimals() external view returns (uint8);
        /// What `spender` may take from `owner`.
        function allowance(address owner, address spender) external view returns (uint256);
        /// Lets `spender` take `amount`.
        function approve(address spender, uint256 amount) external;
    }
}

/// Why something could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A node did not answer properly.
    #[error(transparent)]
    Node(#[from] L1Error),
    /// A transaction was not taken.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The address is not a rollup's contract.
    #[error(transparent)]
    Rollup(#[from] RollupError),
    /// Something that this step needs was not given.
    #[error("expected {0}")]
    NotGiven(&'static str),
    /// Not an amount.
    #[error("{option} {found:?} is not an amount")]
    Amount {
        /// The option.
        option: &'static str,
        /// What it holds.
        found: String,
    },
    /// The chain has no such withdrawal.
    #[error("L2 has no withdrawal {0}")]
    UnknownWithdrawal(WithdrawalId),
    /// L1 has no batch with the withdrawal.
    #[error("withdrawal {index}: no batch on L1 holds L2 block {block} yet")]
    NotPosted {
        /// Index of the withdrawal.
        index: u64,
        /// Block that started it.
        block: u64,
    },
    /// The withdrawal was not proven, or the batch that it was proven with is gone.
    #[error("withdrawal {0} is not proven: prove it first")]
    NotProven(u64),
    /// The batch is not settled.
    #[error(
        "withdrawal {index}: batch {batch} is not settled: its challenge window ends at {settles_at} (seconds since 1970), or it is disputed"
    )]
    NotSettled {
        /// Index of the withdrawal.
        index: u64,
        /// Index of the batch.
        batch: u64,
        /// When its challenge window ends, in seconds since the Unix epoch.
        settles_at: u64,
    },
    /// The chain has not stopped for long enough.
    #[error(
        "the chain cannot be closed yet: when no batch comes until then, from L1 time {deadline} on, and it is {now} (seconds since 1970)"
    )]
    NotClosable {
        /// L1 time from which on it can, in seconds since the Unix epoch.
        deadline: u64,
        /// Time of L1's newest block, in seconds since the Unix epoch.
        now: u64,
    },
    /// It was paid before.
    #[error("withdrawal {0} is paid already")]
    AlreadyPaid(u64),
    /// L1 has no such transaction, or it made no deposit.
    #[error("L1 transaction {0} has made no deposit of this rollup")]
    NoDeposit(B256),
    /// A transaction did not do what it was sent for.
    #[error("transaction {tx_hash}: expected {expected} in its receipt")]
    Receipt {
        /// The transaction.
        tx_hash: B256,
        /// What is missing.
        expected: &'static str,
    },
}

/// A user's way between L1 and L2. What is not given cannot be used: a deposit needs no L2, a
/// question no key.
#[derive(Debug)]
pub struct BridgeConfig {
    /// RPC URL of L1.
    pub l1_url: Option<String>,
    /// The rollup's contract on L1.
    pub contract: Option<Address>,
    /// RPC URL of L2.
    pub l2_url: Option<String>,
    /// The user's key.
    pub signer: Option<PrivateKeySigner>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// See [`BridgeConfig`].
#[derive(Debug)]
pub struct Bridge {
    l1: Option<L1Client>,
    contract: Option<Address>,
    l2: Option<L1Client>,
    signer: Option<PrivateKeySigner>,
}

/// How often a node is asked whether something has come.
const POLL: Duration = Duration::from_millis(500);

impl Bridge {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub fn new(config: BridgeConfig) -> Result<Self, BridgeError> {
        let client = |url: Option<String>| {
            let limits = L1ClientConfig {
                timeout: config.timeout,
                ..L1ClientConfig::default()
            };
            url.map(|url| L1Client::new(&url, limits)).transpose()
        };
        Ok(Self {
            l1: client(config.l1_url)?,
            contract: config.contract,
            l2: client(config.l2_url)?,
            signer: config.signer,
        })
    }

    fn l1(&self) -> Result<&L1Client, BridgeError> {
        self.l1
            .as_ref()
            .ok_or(BridgeError::NotGiven("the URL of L1"))
    }

    fn l2(&self) -> Result<&L1Client, BridgeError> {
        self.l2
            .as_ref()
            .ok_or(BridgeError::NotGiven("the URL of L2"))
    }

    fn contract(&self) -> Result<Address, BridgeError> {
        self.contract.ok_or(BridgeError::NotGiven(
            "the address of the rollup's contract",
        ))
    }

    fn signer(&self) -> Result<&PrivateKeySigner, BridgeError> {
        self.signer
            .as_ref()
            .ok_or(BridgeError::NotGiven("a private key"))
    }

    fn sender(&self, client: &L1Client) -> Result<TransactionManager, BridgeError> {
        let config = TxManagerConfig {
            poll_interval: POLL,
            ..TxManagerConfig::default()
        };
        Ok(TransactionManager::new(
            client.clone(),
            self.signer()?.clone(),
            config,
        ))
    }

    /// The contract, checked to be a rollup's: an address without it would take ether and keep it.
    async fn rollup(&self) -> Result<RollupInfo, BridgeError> {
        Ok(RollupInfo::load(self.l1()?, self.contract()?).await?)
    }

    async fn decimals(&self, client: &L1Client, token: Address) -> Result<u8, BridgeError> {
        Ok(client
            .view(token, &Token::decimalsCall {}, BlockId::latest())
            .await?)
    }
}

/// Wei, as the output of a command shows them.
pub(crate) fn wei(amount: U256) -> String {
    amount.to_string()
}

/// Batches that one transaction settles at most: what fits a block's gas with room to spare.
const SETTLE_AT_ONCE: u64 = 1_000;

/// Settles batches that have waited long enough; says whether there were any.
async fn settle(
    sender: &TransactionManager,
    l1: &L1Client,
    rollup: Address,
) -> Result<bool, BridgeError> {
    let call = Rollup::settleCall {
        maxBatches: U256::from(SETTLE_AT_ONCE),
    };
    let could = l1.view(rollup, &call, BlockId::latest()).await?;
    if could.is_zero() {
        return Ok(false);
    }
    sender
        .send(TxKind::Call(rollup), U256::ZERO, call.abi_encode().into())
        .await?;
    Ok(true)
}
