use alloy_primitives::{Address, U256};

/// Why the pool does not take a transaction. Texts begin as geth's do, because wallets and
/// libraries match on them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// The same transaction is waiting already.
    #[error("already known")]
    AlreadyKnown,
    /// EIP-4844 transactions exist on L1 only.
    #[error("transaction type not supported: blob transactions (type 0x03)")]
    BlobTransaction,
    /// Deposits come from L1 only.
    #[error("transaction type not supported: deposit transactions (type 0x7e) come from L1")]
    Deposit,
    /// The encoding is larger than one transaction's may be, in bytes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Bytes of the EIP-2718 encoding.
        size: usize,
        /// Most bytes that are taken.
        limit: usize,
    },
    /// EIP-3860: the initcode is too large, in bytes.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeSize {
        /// Bytes of initcode.
        size: usize,
        /// Most bytes that are taken.
        limit: usize,
    },
    /// EIP-7825: the gas limit is above what one transaction may have.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")]
    GasLimitCap {
        /// Most gas of one transaction.
        cap: u64,
        /// Gas limit of this one.
        gas_limit: u64,
    },
    /// The transaction fits into no block.
    #[error("exceeds block gas limit: tx gas {gas_limit}, block gas limit {block_gas_limit}")]
    BlockGasLimit {
        /// Gas limit of the transaction.
        gas_limit: u64,
        /// Gas limit of the block.
        block_gas_limit: u64,
    },
    /// EIP-1559: the tip cap is above the fee cap, in wei per gas.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip_cap}, maxFeePerGas: {fee_cap}"
    )]
    TipAboveFeeCap {
        /// `maxPriorityFeePerGas`.
        tip_cap: u128,
        /// `maxFeePerGas`.
        fee_cap: u128,
    },
    /// The signature is for another chain (EIP-155).
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id of the transaction.
        have: u64,
        /// Chain id of this chain.
        want: u64,
    },
    /// A legacy transaction without a chain id, which could be replayed elsewhere.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// EIP-2681: the nonce cannot be incremented.
    #[error("nonce has max value: {0}")]
    NonceMax(u64),
    /// EIP-7702: nothing is authorized.
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    /// The gas limit does not cover the intrinsic gas.
    #[error("intrinsic gas too low: gas {gas_limit}, minimum needed {minimum}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        gas_limit: u64,
        /// Its intrinsic gas.
        minimum: u64,
    },
    /// EIP-7623: the gas limit does not cover the calldata floor.
    #[error("insufficient gas for floor data gas cost: gas {gas_limit}, minimum needed {minimum}")]
    FloorGas {
        /// Gas limit of the transaction.
        gas_limit: u64,
        /// Its floor.
        minimum: u64,
    },
    /// The tip is below the pool's minimum, in wei per gas.
    #[error("transaction underpriced: gas tip cap {tip_cap}, minimum needed {minimum}")]
    TipTooLow {
        /// Tip cap of the transaction.
        tip_cap: u128,
        /// Lowest tip cap that is taken.
        minimum: u128,
    },
    /// EIP-3607: the sender has code that is no EIP-7702 delegation.
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// The nonce has been used.
    #[error("nonce too low: address {sender}, tx: {nonce} state: {state}")]
    NonceTooLow {
        /// The sender.
        sender: Address,
        /// Nonce of the transaction.
        nonce: u64,
        /// Nonce that the account is at.
        state: u64,
    },
    /// The nonce is too far ahead of the account's.
    #[error("nonce too high: address {sender}, tx: {nonce} state: {state}")]
    NonceTooHigh {
        /// The sender.
        sender: Address,
        /// Nonce of the transaction.
        nonce: u64,
        /// Nonce that the account is at.
        state: u64,
    },
    /// The sender has as many transactions waiting as one sender may have.
    #[error("account limit exceeded: address {sender}, limit {limit}")]
    AccountLimit {
        /// The sender.
        sender: Address,
        /// Most transactions of one sender.
        limit: usize,
    },
    /// Another transaction waits at this nonce and this one does not pay 10 % more.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The balance does not cover this transaction alone, in wei.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {overshot}"
    )]
    InsufficientFunds {
        /// Balance of the sender.
        balance: U256,
        /// Most that the transaction can cost.
        cost: U256,
        /// What is missing.
        overshot: U256,
    },
    /// The balance does not cover this transaction after the executable ones before it, in wei.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {overshot}"
    )]
    InsufficientFundsForQueue {
        /// Balance of the sender.
        balance: U256,
        /// Most that the sender's other executable transactions can cost.
        queued: U256,
        /// Most that this transaction can cost.
        cost: U256,
        /// What is missing.
        overshot: U256,
    },
    /// The chain is slow because L1 is, and places are for those who can pay its price, in wei per
    /// gas.
    #[error(
        "transaction underpriced: max fee per gas {fee_cap}, minimum needed {minimum} while the chain waits for L1"
    )]
    FeeFloor {
        /// Fee cap of the transaction.
        fee_cap: u128,
        /// Lowest fee cap that is taken now.
        minimum: u128,
    },
    /// Too much of the chain is not safe yet.
    #[error("txpool is full: {backlog} bytes of blocks wait for L1, try later")]
    WaitsForL1 {
        /// Bytes of transactions in blocks that are not safe.
        backlog: u64,
    },
    /// The pool is full of transactions that pay as much or more.
    #[error("transaction underpriced: txpool is full, and no transaction in it pays less")]
    Underpriced,
    /// The pool is full and this transaction, behind a nonce gap or one of those that would have
    /// to make room for it, could not be executed.
    #[error("txpool is full")]
    Full,
}
